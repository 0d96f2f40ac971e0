"""Runs an offline model by ais_bench or msame: over a window of files, or timed on its own.

One start of the tool serves a whole window. What it printed, what it wrote and how it ended must agree before anything
is read; the files are then checked one by one by whoever reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np

from harness.ascend import ais_bench, msame
from harness.ascend.ais_bench import Generation
from harness.ascend.ais_bench_summary import Summary, read_summary
from harness.ascend.drive.host import Place
from harness.cells import Cell
from harness.files.formats import Misfit, read_items
from harness.files.windows import Window
from harness.process import Finished, run
from harness.recipe import Recipe
from harness.sizes import TensorSpec
from harness.verdict import Broken, Outcome, Refused

START = 300.0
"""Seconds for a tool to start and load a model; toolkits import half of Python first."""
EACH = 10.0
"""Seconds for one execution, a hundred times what the slowest model of the guides takes."""
MOST_LOOPS = 100
"""msame takes no more."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """An offline model on a device: the cell that it answers for, what it was ``compiled`` with, and the log of what
    runs it."""

    om: Path
    compiled: Mapping[str, str]
    cell: Cell
    recipe: Recipe
    place: Place
    log: Path

    @property
    def shapes(self) -> list[str]:
        """What a tool must be told of a model for a range of shapes: those of its inputs, and the bytes of outputs."""
        if not self.recipe.dynamic:
            return []
        model, batch = self.cell.sized, self.cell.point.batch
        inputs = ";".join(f"{spec.name}:{','.join(map(str, spec.shape(batch)))}" for spec in model.inputs)
        sizes = ",".join(str(_bytes(spec, batch)) for spec in model.outputs)
        return ["--dymShape", inputs, "--outputSize", sizes]

    def start(self, options: list[str], folder: Path, executions: int) -> Finished:
        """The tool, run to its end in ``folder`` with these options."""
        host = self.place.host
        argv: list[str | Path] = [
            *host.runner,
            "--model",
            self.om,
            "--device",
            str(self.place.number),
            *self.shapes,
            *options,
        ]
        limit = START + EACH * executions
        return run(argv, folder=folder, log=self.log, timeout=limit, environment=host.environment)


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds of single executions on the device, without copies, and how many were left out as warm-up."""

    seconds: tuple[float, ...]
    warm_up: int


class Runner(Protocol):
    """A tool that runs offline models."""

    def infer(self, job: Job, window: Window) -> Path:
        """The folder of the outputs of a window, whose items are a multiple of the batch."""
        ...

    def time(self, job: Job, folder: Path) -> Times:
        """The times of pure inference, on inputs of the tool's own."""
        ...


class AisBench:
    """``python3 -m ais_bench``, from 2022-11 on."""

    def infer(self, job: Job, window: Window) -> Path:
        """One file an item: the tool makes batches of them, and splits the outputs along the model's batch axis."""
        axis = job.cell.sized.outputs[0].batch_axis
        options = ["--input", str(window.inputs), "--output", str(window.folder), "--output_dirname", "outputs"]
        options += ["--outfmt", job.recipe.outputs.upper(), "--output_batchsize_axis", str(axis)]
        runs = window.items // window.batch
        done = job.start(options, window.folder, runs)
        with _logged(job):
            ran = ais_bench.check_run(job.log.read_bytes(), done.code)
            if (ran.files_per_batch, ran.runs) != (window.batch, runs):
                found = f"{ran.runs} of {ran.files_per_batch}"
                raise Broken(f"ais_bench: expected {runs} runs of {window.batch} files, found {found}")
            _summary(window.folder / "outputs", runs)
        return window.folder / "outputs"

    def time(self, job: Job, folder: Path) -> Times:
        """Pure inference on zeros, as the guides time it; every execution is listed in the summary."""
        loop = job.recipe.loop
        options = ["--loop", str(loop), "--batchsize", str(job.cell.point.batch)]
        options += ["--output", str(folder), "--output_dirname", "timing"]
        done = job.start(options, folder, loop)
        with _logged(job):
            ran = ais_bench.check_run(job.log.read_bytes(), done.code)
            report = _summary(folder / "timing", loop, job.cell.point.batch).report
            if report.overlapping or not report.samples:
                raise Broken("ais_bench: expected the time of every execution, found none that stands alone")
            if report.throughput != ran.reports[0].throughput:
                raise Broken(
                    f"ais_bench: prints a throughput of {ran.reports[0].throughput!r}, its summary has "
                    f"{report.throughput!r}"
                )
        return Times(seconds=tuple(sample / 1e3 for sample in report.samples), warm_up=ran.warm_up or 0)


class Msame:
    """``msame``, which runs one file at a time: so a file holds a whole batch."""

    def infer(self, job: Job, window: Window) -> Path:
        """Items are stacked to files of a batch, and the outputs cut into items again."""
        batches, written = window.folder / "batches", window.folder / "written"
        for folder in (batches, written):
            folder.mkdir(mode=0o750)
        groups = list(_stack(job, window, batches))
        options = ["--input", str(batches), "--output", str(written), "--outfmt", job.recipe.outputs.upper()]
        done = job.start(options, window.folder, len(groups))
        with _logged(job):
            ran = msame.check_run(job.log.read_bytes(), done.code)
            found = Path(ran.outputs or "").resolve()
            # Taken from what it prints, as the name cannot be known; but never from elsewhere.
            if ran.outputs is None or not found.is_relative_to(written.resolve()) or not found.is_dir():
                raise Broken(f"msame: expected a folder of outputs below {written}, it prints {ran.outputs!r}")
            outputs = window.folder / "outputs"
            outputs.mkdir(mode=0o750)
            for name, items in groups:
                _split(job, found, name, [(outputs, item) for item in items])
        return outputs

    def time(self, job: Job, folder: Path) -> Times:
        """Pure inference on zeros. It does not warm up, so the first execution is left out."""
        loop = min(job.recipe.loop + 1, MOST_LOOPS)
        done = job.start([*_zeros(job, folder), "--output", str(folder), "--loop", str(loop)], folder, loop)
        with _logged(job):
            ran = msame.check_run(job.log.read_bytes(), done.code)
            if len(ran.samples) != loop:
                raise Broken(f"msame: expected {loop} times, one a loop, found {len(ran.samples)}")
        return Times(seconds=tuple(sample / 1e3 for sample in ran.warm), warm_up=1)


def runner_of(place: Place) -> Runner:
    """The runner that a place's host has."""
    return Msame() if place.host.features is None else AisBench()


@contextmanager
def _logged(job: Job) -> Iterator[None]:
    """What is raised says where the log is."""
    try:
        yield
    except Outcome as outcome:
        raise type(outcome)(f"{outcome}; log {job.log}", log=job.log) from None


def _summary(outputs: Path, executions: int, batch: float | None = None) -> Summary:
    """The summary beside a folder of outputs. Raises ``Broken`` where there is none, or its figures do not agree."""
    path = Path(ais_bench.summary_path(str(outputs), Generation.G2))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Broken(f"ais_bench: expected its summary {path.name}, found none: {error.strerror}") from error
    return read_summary(content, batch=batch, executions=executions)


def _bytes(spec: TensorSpec, batch: int) -> int:
    """The size of a batch in bytes."""
    return prod(spec.shape(batch)) * np.dtype(spec.dtype).itemsize


def _zeros(job: Job, folder: Path) -> list[str]:
    """The option that names files of zeros, one an input: msame makes none of its own for a range of shapes."""
    if not job.recipe.dynamic:
        return []
    files = [folder / f"zeros_{k}.bin" for k, _ in enumerate(job.cell.sized.inputs)]
    for file, spec in zip(files, job.cell.sized.inputs, strict=True):
        file.write_bytes(bytes(_bytes(spec, job.cell.point.batch)))
    return ["--input", ",".join(map(str, files))]


def _stack(job: Job, window: Window, batches: Path) -> Iterator[tuple[str, list[str]]]:
    """Writes raw files of a batch each; their names, and the names of the items in them, without suffix."""
    spec = job.cell.sized.inputs[0]
    files = sorted(window.inputs.iterdir())
    for start in range(0, len(files), window.batch):
        group = files[start : start + window.batch]
        stacked = np.stack([item for file in group for item in read_items(file, spec)], axis=spec.batch_axis)
        name = f"{group[0].stem}.bin"
        (batches / name).write_bytes(stacked.tobytes())
        yield name, [file.stem for file in group]


def _split(job: Job, found: Path, name: str, items: list[tuple[Path, str]]) -> None:
    """Cuts the outputs of a batch into raw files of an item, whose numbers keep the type that they were written in.

    Raises ``Refused`` where one is missing or does not hold the batch.
    """
    for k, spec in enumerate(job.cell.sized.outputs):
        path = found / msame.output_name(name, k, job.recipe.outputs)
        if not path.is_file():
            raise Refused(f"msame: no output {path.name} for the batch {name}; it leaves out what fails")
        try:
            for (outputs, item), value in zip(items, read_items(path, spec, len(items)), strict=True):
                (outputs / msame.output_name(item, k)).write_bytes(value.tobytes())
        except Misfit as misfit:
            raise Refused(f"msame: {path.name} {misfit}") from misfit
