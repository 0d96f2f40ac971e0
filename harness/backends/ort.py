"""ONNX Runtime on the CPU: the embedded default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.backends import Availability, Batch, Outputs, Room
from harness.cells import Cell
from harness.measure import Measurement, TimingPlan, time_calls
from harness.ort_profile import Profile, read_profile
from harness.ort_session import CONFIGURATION, EXACT_INTEGERS, session_options
from harness.probe import Probe
from harness.store import Artefact
from harness.verdict import Broken, Refused

PROVIDER = "CPUExecutionProvider"


class OrtSession:
    """An ``InferenceSession`` that maps batches one by one."""

    def __init__(self, session: object, outputs: tuple[str, ...]) -> None:
        self._run = session.run  # type: ignore[attr-defined]
        self._outputs = outputs

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        """Answers every batch, in order."""
        for batch in batches:
            with _refused(batch):
                values = self._run(self._outputs, dict(batch.inputs))
            yield Outputs(batch.ids, dict(zip(self._outputs, values, strict=True)))

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        """Times ``InferenceSession.run`` alone; clock ``host``."""
        feed = dict(batch.inputs)
        with _refused(batch):
            return time_calls(lambda: self._run(self._outputs, feed), plan)


@contextmanager
def _refused(batch: Batch) -> Iterator[None]:
    """Leaves as ``Refused`` where the graph does not run on the batch; memory that ran out passes as it is."""
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

    try:
        yield
    except (Fail, InvalidArgument) as error:
        # Both come as the same kind of error.
        if "allocate memory" in str(error):
            raise
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in batch.inputs.items())
        raise Refused(f"ONNX Runtime does not run the graph on {shapes}: {error}") from error


class OrtBackend:
    """Runs ONNX on the CPU provider, asked for explicitly and checked after opening."""

    name = "ort"
    formats: tuple[str, ...] = ("onnx",)
    markers: tuple[str, ...] = ()
    compiles = False
    timed = True

    def discover(self, probe: Probe) -> Availability:
        """Present where the package onnxruntime is."""
        version = probe.package("onnxruntime")
        if version is None:
            return Availability(False, "no Python package onnxruntime", "pip install -c constraints.txt onnxruntime")
        options = {EXACT_INTEGERS: CONFIGURATION[EXACT_INTEGERS]}
        return Availability(True, provenance={"onnxruntime": version, "provider": PROVIDER, **options})

    def prepare(self, form: Artefact, cell: Cell, room: Room) -> Artefact:
        """The ONNX file as it is."""
        return form

    @contextmanager
    def open(self, prepared: Artefact, cell: Cell, room: Room) -> Iterator[OrtSession]:
        """A session on the file, and on nothing but the CPU provider."""
        session = _opened(prepared.file("model.onnx"), _options(cell, room))
        yield OrtSession(session, _outputs(cell))

    def profile(self, prepared: Artefact, cell: Cell, room: Room, batch: Batch, runs: int) -> Profile:
        """Which node of the same session ran where and how long, over so many runs of a batch besides the first.

        The profiler's file lies in a folder of its own, and nothing stays of it.
        """
        with TemporaryDirectory(prefix="profile-") as folder:
            options = _options(cell, room)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = _opened(prepared.file("model.onnx"), options)
            for _ in OrtSession(session, _outputs(cell)).map([batch] * (runs + 1)):
                pass
            written = session.end_profiling()
            return read_profile(Path(written))


def _options(cell: Cell, room: Room) -> Any:
    options = session_options(room.compute.threads)
    # Planning it takes time by the square of the number of tensors, of which half precision has three for one.
    options.enable_mem_reuse = cell.precision != "fp16"
    return options


def _opened(path: Path, options: Any) -> Any:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, options, providers=[PROVIDER])
    except Exception as error:
        raise Refused(f"ONNX Runtime does not load {path}: {error}") from error
    if session.get_providers() != [PROVIDER]:
        raise Broken(f"asked ONNX Runtime for {PROVIDER}, it runs on {', '.join(session.get_providers())}")
    return session


def _outputs(cell: Cell) -> tuple[str, ...]:
    return tuple(spec.name for spec in cell.sized.outputs)


BACKEND = OrtBackend()
