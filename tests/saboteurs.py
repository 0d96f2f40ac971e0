"""Broken inputs, graphs and sessions: each must be caught, and named, by the question that exists for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from harness.backends import Batch, Outputs, Session
from harness.cells import Cell
from harness.form import Form
from harness.measure import Clocks, Measurement, TimingPlan, time_calls
from harness.model import Model
from harness.postprocess.recognition import LOWER, LOWER_CTC
from harness.preprocess.text_line import stretch_grey
from harness.reference import Reference
from harness.sizes import Point
from harness.store import Artefact
from harness.workbench import Workbench

Spoil = Callable[[Outputs], Outputs]


class SpoiltSession:
    """A session whose every output passes through ``spoil``, and whose clocks can be others."""

    def __init__(self, session: Session, spoil: Spoil, clocks: Clocks | None = None) -> None:
        self._session = session
        self._spoil = spoil
        self._clocks = clocks

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        return (self._spoil(outputs) for outputs in self._session.map(batches))

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        if self._clocks is None:
            return self._session.measure(batch, plan)
        return time_calls(lambda: list(self._session.map([batch])), plan, self._clocks)


class SabotagedBench(Workbench):
    """A workbench that spoils what the backend ``ort`` is given or gives; everything else is real."""

    def __init__(self, honest: Workbench, scratch: Path) -> None:
        super().__init__(honest.store, honest.assets, scratch, compute=honest.compute)
        self.wrap: Callable[[Session], Session] = lambda session: session
        self.edit: Callable[[onnx.ModelProto], None] | None = None

    @contextmanager
    def open(self, cell: Cell, reference: Reference) -> Iterator[Session]:
        with super().open(cell, reference) as session:
            yield self.wrap(session) if cell.backend == "ort" else session

    def form(self, model: Model, reference: Reference, form: Form, point: Point | None = None) -> Artefact:
        made = super().form(model, reference, form, point)
        if self.edit is None or form.name != model.main:
            return made
        folder = self.kept(made.digest)
        shutil.copytree(made.folder, folder, dirs_exist_ok=True)
        graph = onnx.load(folder / "model.onnx")
        self.edit(graph)
        onnx.save(graph, folder / "model.onnx")
        return Artefact(made.name, folder, made.key, "sabotaged", made.facts, made.because, made.size)


def unnormalised(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Pixels as 0 to 1: the subtraction and the division left out."""
    return stretch_grey(encoded, shape) * np.float32(0.5) + np.float32(0.5)


def decode_shifted(scores: NDArray[Any]) -> str:
    """The alphabet off by one character."""
    return "".join(LOWER[(LOWER.index(character) + 1) % len(LOWER)] for character in LOWER_CTC.decode(scores))


def every_value(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Spoil:
    """Changes each output array, and keeps its dtype."""

    def spoil(outputs: Outputs) -> Outputs:
        changed = {name: change(value).astype(value.dtype) for name, value in outputs.values.items()}
        return Outputs(outputs.ids, changed)

    return spoil


def batch_transposed(value: NDArray[Any]) -> NDArray[Any]:
    """Memory laid out batch first, read as steps first."""
    return np.ascontiguousarray(value.swapaxes(0, 1)).reshape(value.shape)


def rounded_to_half(value: NDArray[Any]) -> NDArray[Any]:
    """What a device in half precision gives, behind a float32 interface."""
    return value.astype(np.float16)


def with_a_nan(value: NDArray[Any]) -> NDArray[Any]:
    """One number of the output is not one."""
    spoilt = value.copy()
    spoilt.flat[value.size // 2] = np.nan
    return spoilt


def without_last_item(outputs: Outputs) -> Outputs:
    """The last item of every batch is missing."""
    return Outputs(outputs.ids, {name: value[:, :-1] for name, value in outputs.values.items()})


class Stale:
    """Answers a batch of a shape that it saw before with what it answered then."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, ...], Outputs] = {}

    def __call__(self, outputs: Outputs) -> Outputs:
        shape = next(iter(outputs.values.values())).shape
        cached = self._seen.setdefault(shape, outputs)
        return Outputs(outputs.ids, cached.values)


class Late:
    """Answers each batch with the numbers of the one before, where the shapes allow it."""

    def __init__(self) -> None:
        self._before: Outputs | None = None

    def __call__(self, outputs: Outputs) -> Outputs:
        before, self._before = self._before or outputs, outputs
        same = all(before.values[name].shape == value.shape for name, value in outputs.values.items())
        return Outputs(outputs.ids, before.values if same else outputs.values)


class Drifting:
    """Each answer a little off the one before: within any bound, but the same question never has the same answer."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, outputs: Outputs) -> Outputs:
        self._calls += 1
        return every_value(lambda value: value + np.float32(2e-6) * self._calls)(outputs)


def in_doubles(outputs: Outputs) -> Outputs:
    """The right numbers in another dtype than the declared one."""
    return Outputs(outputs.ids, {name: value.astype(np.float64) for name, value in outputs.values.items()})


def for_another_batch(outputs: Outputs) -> Outputs:
    """Right numbers under the ids of another batch."""
    return Outputs(tuple(f"{name}-other" for name in outputs.ids), outputs.values)


def drop_recurrent_bias(model: onnx.ModelProto) -> None:
    """The recurrent half of every LSTM's bias set to zero: cosine hardly sees it."""
    lstms = {node.input[3] for node in model.graph.node if node.op_type == "LSTM"}
    for tensor in model.graph.initializer:
        if tensor.name in lstms:
            bias = numpy_helper.to_array(tensor).copy()
            bias[:, bias.shape[1] // 2 :] = 0
            tensor.CopyFrom(numpy_helper.from_array(bias, tensor.name))


def raise_opset(model: onnx.ModelProto) -> None:
    """Another opset than the declared one."""
    model.opset_import[0].version = 12


def fix_batch(model: onnx.ModelProto) -> None:
    """The dynamic batch axis bound to one."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def rename_output(model: onnx.ModelProto) -> None:
    """The output under another name than the guide's."""
    for node in model.graph.node:
        node.output[:] = ["logits" if name == "output1" else name for name in node.output]
    model.graph.output[0].name = "logits"


class SleepingClock:
    """Wall time that runs far ahead of CPU time, as in a session that sleeps; both tick at every reading."""

    def __init__(self, tick: float) -> None:
        self._now = 0.0
        self._tick = tick

    def __call__(self) -> float:
        self._now += self._tick
        return self._now


SLEEPING = Clocks(wall=SleepingClock(0.05), cpu=SleepingClock(0.001))
STOPPED = Clocks(wall=lambda: 0.0, cpu=lambda: 0.0)
