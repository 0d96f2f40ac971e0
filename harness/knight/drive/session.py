"""Inference on the quantised graph by the vendor's quantiser (``-r infer``): its own arithmetic of the chip on a
processor. A window of inputs goes through one start of the tool."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backends import Batch, Outputs
from harness.cells import Cell
from harness.knight import configuration, script
from harness.knight.console import check_inferred
from harness.knight.drive.compile import INPUTS, PLUG_IN, QUANTISED, Job
from harness.knight.drive.simulate import NO_TIME, OUTPUTS, simulated
from harness.knight.plan import Plan
from harness.knight.plug_in import plug_in
from harness.measure import Measurement, TimingPlan
from harness.process import private_folder
from harness.sizes import TensorSpec
from harness.store import Artefact
from harness.verdict import Absent, Answer, Figure, Outcome, Refused, Verdict

WINDOW_BYTES = 256 << 20
"""Inputs and outputs that lie on disk at once."""
WIDEST = 8
"""Bytes of a number in a file, at most."""


class KnightSession:
    """A quantised and compiled network. Every batch is one item: the quantised graph takes no other."""

    def __init__(self, made: Artefact, cell: Cell, job: Job) -> None:
        self._made = made
        self._cell = cell
        self._model = cell.sized
        self._job = job

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        """Answers every batch, in order, by a start of the tool for each window of them."""
        source = iter(batches)
        each = sum(prod(spec.shape(1)) * WIDEST for spec in (*self._model.inputs, *self._model.outputs))
        while window := tuple(islice(source, max(1, WINDOW_BYTES // each))):
            with private_folder(Path(tempfile.gettempdir()), "window") as folder:
                # Read before the folder goes; the caller may take its time with the answers.
                raw = self._infer(folder, window)
            for batch, values in zip(window, raw, strict=True):
                specs = zip(self._model.outputs, values, strict=True)
                yield Outputs(batch.ids, {spec.name: scaled(value, spec, self._job.plan) for spec, value in specs})

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        """Never gives a time. Raises ``Absent``, which says why."""
        raise Absent(f"{self._cell.id}: {NO_TIME}")

    def simulate(self, batch: Batch) -> Answer:
        """Goes the rest of the chain, which ends in an estimate: the compiled network simulated on the batch, compared
        with the quantised graph, and profiled. Raises ``Refused`` where the simulated numbers are others."""
        with private_folder(Path(tempfile.gettempdir()), "simulate") as folder:
            (quantised,) = self._infer(folder, (batch,))
            count, log = simulated(replace(self._job, folder=folder), self._made, self._cell, quantised)
        line = (
            f"0 differ of {count} elements of the compiled network, simulated by its tools on {batch.ids[0]}; {NO_TIME}"
        )
        figures: dict[str, Figure] = {"elements": count, "differing": 0, "n": 1, "batch": 1}
        return Answer(verdict=Verdict.PASS, line=line, figures=figures, log=log)

    def _infer(self, folder: Path, window: Sequence[Batch]) -> list[list[NDArray[Any]]]:
        """What the quantised graph gives for each batch, one array an output, as the tool writes them."""
        spec, plan, job = self._model.inputs[0], self._job.plan, replace(self._job, folder=folder)
        inputs, outputs, graphs = (folder / name for name in (INPUTS, OUTPUTS, QUANTISED))
        inputs.mkdir(mode=0o750)
        outputs.mkdir(mode=0o750)
        # Whole but for the dump: a graph may keep its weights in files beside it.
        shutil.copytree(self._made.file(QUANTISED), graphs, ignore=shutil.ignore_patterns("dump"))
        for number, batch in enumerate(window):
            value = batch.inputs[spec.name]
            if value.shape != spec.shape(1):
                raise Refused(
                    f"{self._cell.id}: a batch of shape {list(value.shape)}, the quantised graph takes "
                    f"{list(spec.shape(1))} and no other"
                )
            np.save(inputs / f"{number}.npy", value)
        own = folder / PLUG_IN
        own.write_text(plug_in(plan.function, inputs, len(window), outputs))
        model = str(graphs / f"{plan.name}_quantize.onnx")
        with logged(job, "infer"):
            if job.host.generation == "json":
                told = configuration.infer(plan, model, len(window), str(folder), str(own))
                done = job.configured("infer", "quant", told)
            else:
                done = job.start("infer", script.infer(job.host.tools, plan, model, len(window), str(own)))
            check_inferred(done.lines, done.code, len(window))
            specs = list(enumerate(self._model.outputs))
            return [[read_output(outputs, n, k, spec) for k, spec in specs] for n in range(len(window))]


def read_output(folder: Path, number: int, k: int, spec: TensorSpec) -> NDArray[Any]:
    """The output ``k`` of an input as the plug-in kept it. Raises ``Refused`` where it is missing, damaged, of another
    shape, or no finite number."""
    path = folder / f"{number}_{k}.npy"
    try:
        value: NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        count = len(list(folder.glob("*.npy")))
        raise Refused(
            f"no output {path.name} ({spec.name}) among {count} files; the tool said that it inferred"
        ) from None
    except (ValueError, EOFError, OSError) as error:
        raise Refused(f"{path.name} ({spec.name}): not a whole .npy file: {error}") from error
    if value.shape != spec.shape(1) or value.dtype.kind not in "fiu":
        raise Refused(
            f"{path.name} ({spec.name}): {value.dtype.name} {list(value.shape)}, expected {list(spec.shape(1))}"
        )
    if not np.isfinite(value).all():
        raise Refused(f"{path.name} ({spec.name}): holds numbers that are NaN or infinite")
    return value


def scaled(value: NDArray[Any], spec: TensorSpec, plan: Plan) -> NDArray[Any]:
    """An output as the model declares it: as it is where it was asked for in floats, else times its scale.

    Raises ``Refused`` for whole numbers whose scale nobody declared, and for numbers that should be whole and are not.
    """
    if plan.output_float:
        return value.astype(spec.dtype)
    # The manual: without -od they are fixed-point numbers, in the type of floats.
    if not np.array_equal(value, np.rint(value)):
        raise Refused(
            f"{spec.name}: expected whole numbers, since the recipe does not ask for floats (output_float), found "
            f"{value.ravel()[np.argmax(value.ravel() != np.rint(value.ravel()))]:g}"
        )
    if not plan.output_scale:
        raise Refused(
            f"{spec.name}: whole numbers up to {np.abs(value).max():g}, to be multiplied by a scale that the tools "
            "show to people alone (top_scale); declare it as output_scale, or ask for floats with output_float (-od)"
        )
    return (value * plan.output_scale).astype(spec.dtype)


@contextmanager
def logged(job: Job, name: str) -> Iterator[None]:
    """What is raised says where the log is."""
    try:
        yield
    except Outcome as outcome:
        log = job.logs / f"{name}.log"
        raise type(outcome)(f"{outcome}; log {log}", log=log) from None
