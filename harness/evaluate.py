"""The stream: data set -> preprocess -> session -> postprocess -> counts, in bounded memory.

A decoding thread works ahead of the session by a few batches; sample ids travel all the way, and every sample that
goes in comes out with exactly one outcome, or the stream says which batch was not answered as promised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backends import Batch, Outputs, Session
from harness.datasets import DataError, Sample
from harness.metrics import Metric
from harness.model import Model
from harness.registry import resolve
from harness.verdict import Refused

AHEAD = 3
"""Batches in flight: one in the session, two decoded before it asks."""


@dataclass(frozen=True)
class Task:
    """How a model is fed and scored."""

    model: Model
    feed: Callable[[bytes], NDArray[Any]]
    decode: Callable[[NDArray[Any]], str]
    metric: Metric

    @classmethod
    def of(cls, model: Model) -> Task:
        """The task that a declaration names."""
        return cls(model, resolve(model.feed), resolve(model.decode), resolve(model.metric)())

    def prepare(self, sample: Sample) -> NDArray[Any]:
        """One item of the input. Raises ``DataError`` naming the sample that cannot be decoded."""
        try:
            return self.feed(sample.content)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(
                f"{sample.id}: its picture cannot be decoded: {error}; {len(sample.content)} bytes"
            ) from error


@dataclass(frozen=True)
class Scored:
    """One sample's outcome: what was answered, what is true, and its additive counts."""

    id: str
    predicted: str
    truth: str
    counts: tuple[float, ...]


def evaluate(session: Session, samples: Iterable[Sample], task: Task, batch: int) -> Iterator[Scored]:
    """One outcome a sample, in order. Raises ``Refused`` where outputs are not those that the model declares."""
    truths: deque[Sequence[Sample]] = deque()
    output = task.model.outputs[0]
    with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
        batches = _batches(samples, task, batch, pool, truths)
        for outputs in answered(session, batches, task.model):
            values = np.moveaxis(outputs.values[output.name], output.batch_axis, 0)
            for sample, value in zip(truths.popleft(), values, strict=True):
                predicted = task.decode(value)
                yield Scored(sample.id, predicted, sample.truth, task.metric.count(predicted, sample.truth))


def answered(session: Session, batches: Iterable[Batch], model: Model, precision: str = "fp32") -> Iterator[Outputs]:
    """What the session answers, each batch checked: its ids, names, shapes, dtypes, and that numbers are finite."""
    asked: deque[tuple[str, ...]] = deque()

    def noted() -> Iterator[Batch]:
        for batch in batches:
            asked.append(batch.ids)
            yield batch

    for outputs in session.map(noted()):
        if not asked:
            raise Refused("the session answered more batches than it was given")
        check_outputs(outputs, asked.popleft(), model, precision)
        yield outputs
    if asked:
        raise Refused(f"the session left {len(asked)} batches unanswered, the first is that of {asked[0][0]}")


def check_outputs(outputs: Outputs, ids: tuple[str, ...], model: Model, precision: str = "fp32") -> None:
    """Raises ``Refused`` naming the batch and the first thing that is not as declared; ``fp64`` alone gives doubles."""
    where = f"batch of {len(ids)} from {ids[0]}"
    if outputs.ids != ids:
        raise Refused(
            f"{where}: answered for another batch, {len(outputs.ids)} from {(outputs.ids or ('nothing',))[0]}"
        )
    for spec in model.outputs:
        if spec.name not in outputs.values:
            raise Refused(f"{where}: no output {spec.name!r}, found {', '.join(outputs.values)}")
        value = outputs.values[spec.name]
        if value.shape != spec.shape(len(ids)):
            raise Refused(f"{where}: {spec.name} has shape {list(value.shape)}, expected {list(spec.shape(len(ids)))}")
        dtype = "float64" if precision == "fp64" and spec.dtype == "float32" else spec.dtype
        if value.dtype.name != dtype:
            raise Refused(f"{where}: {spec.name} is {value.dtype.name}, expected {dtype}")
        if not np.isfinite(value).all():
            bad = int(value.size - np.isfinite(value).sum())
            raise Refused(f"{where}: {spec.name} holds {bad} of {value.size} numbers that are NaN or infinite")


def stack(task: Task, samples: Sequence[Sample], size: int) -> list[Batch]:
    """Samples as batches of ``size``; the last may be short."""
    return [
        _pack(task, group, [task.prepare(sample) for sample in group])
        for group in (samples[start : start + size] for start in range(0, len(samples), size))
    ]


def _batches(
    samples: Iterable[Sample], task: Task, size: int, pool: ThreadPoolExecutor, truths: deque[Sequence[Sample]]
) -> Iterator[Batch]:
    source = iter(samples)
    waiting: deque[tuple[list[Sample], Future[list[NDArray[Any]]]]] = deque()
    while True:
        while len(waiting) < AHEAD and (group := list(islice(source, size))):
            waiting.append((group, pool.submit(lambda taken: [task.prepare(sample) for sample in taken], group)))
        if not waiting:
            return
        group, prepared = waiting.popleft()
        truths.append(group)
        yield _pack(task, group, prepared.result())


def _pack(task: Task, samples: Sequence[Sample], items: list[NDArray[Any]]) -> Batch:
    spec = task.model.inputs[0]
    return Batch(tuple(sample.id for sample in samples), {spec.name: np.stack(items, axis=spec.batch_axis)})
