"""A session on an Ascend device: many batches through one start of a tool, and times with the device to itself."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from math import prod
from pathlib import Path

import numpy as np

from harness.ascend.drive.occupancy import check_idle, occupied
from harness.ascend.drive.runner import Job, Runner
from harness.backends import Batch, Outputs
from harness.files.windows import Window, map_files
from harness.measure import Measurement, TimingPlan
from harness.process import private_folder
from harness.sizes import TensorSpec

WINDOW_BYTES = 256 << 20
"""Inputs and outputs that lie on disk at once; msame needs as much again for its files of whole batches."""
WINDOW_BATCHES = 256


class AscendSession:
    """An offline model on one device. Batches are filled up to the point's, so that the tool never pads: a model of a
    fixed batch takes no other, and what a tool pads with, it counts and drops in its own way."""

    def __init__(self, job: Job, runner: Runner) -> None:
        self._job = job
        self._runner = runner
        self._model = job.cell.sized
        self._batch = job.cell.point.batch

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        """Answers every batch, in order, by a start of the tool for each window of them."""
        asked: deque[tuple[str, ...]] = deque()

        def filled() -> Iterator[Batch]:
            for batch in batches:
                asked.append(batch.ids)
                yield self._filled(batch)

        parent = Path(tempfile.gettempdir())
        for outputs in map_files(filled(), self._model, self._run, parent=parent, window=self._window()):
            yield self._cut(outputs, asked.popleft())

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        """Times pure inference as often as the guide loops, with the device to itself; clock ``device``.

        Raises ``Broken`` where the device is busy or not healthy, before or after.
        """
        place = self._job.place
        with occupied(place.number, "alone"):
            check_idle(place, "before")
            with private_folder(Path(tempfile.gettempdir()), "timing") as folder:
                times = self._runner.time(self._job, folder)
            check_idle(place, "after")
        return Measurement(
            clock="device",
            wall=times.seconds,
            warm_up=times.warm_up,
            device=place.named,
            compiled=self._job.compiled,
        )

    def _run(self, window: Window) -> Path:
        with occupied(self._job.place.number, "shared"):
            return self._runner.infer(self._job, window)

    def _window(self) -> int:
        """As many batches as ``WINDOW_BYTES`` hold."""
        specs = (*self._model.inputs, *self._model.outputs)
        each = sum(prod(spec.shape(self._batch)) * np.dtype(spec.dtype).itemsize for spec in specs)
        return max(1, min(WINDOW_BATCHES, WINDOW_BYTES // each))

    def _filled(self, batch: Batch) -> Batch:
        """The batch with its last item repeated up to the point's."""
        missing = self._batch - len(batch.ids)
        if missing <= 0:
            return batch
        ids = (*batch.ids, *(f"{batch.ids[-1]} (filled up {number})" for number in range(missing)))
        inputs = {}
        for spec in self._model.inputs:
            value = batch.inputs[spec.name]
            last = np.take(value, [-1], axis=spec.batch_axis)
            inputs[spec.name] = np.concatenate([value, *repeat(last, missing)], axis=spec.batch_axis)
        return Batch(ids, inputs)

    def _cut(self, outputs: Outputs, ids: tuple[str, ...]) -> Outputs:
        """The answers of the items that were asked."""
        return Outputs(ids, {spec.name: _first(outputs, spec, len(ids)) for spec in self._model.outputs})


def _first(outputs: Outputs, spec: TensorSpec, count: int) -> np.ndarray:
    return np.take(outputs.values[spec.name], np.arange(count), axis=spec.batch_axis)
