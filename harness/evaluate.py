"""The stream: data set -> preprocess -> session -> postprocess -> counts, in bounded memory.

One thread reads and prepares ahead of the session by a few batches, another scores behind it; sample ids travel all the
way, and every sample that goes in comes out with exactly one outcome, or the stream says which batch was not answered
as promised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, tee
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backends import Batch, Outputs, Session
from harness.datasets import DataError, Sample
from harness.metrics import Metric
from harness.model import Model
from harness.reference import Reference
from harness.registry import resolve
from harness.verdict import Refused

AHEAD, BEHIND = 3, 2
"""Batches in flight before their answer, one of them in the session, and between answer and outcome."""


@dataclass(frozen=True)
class Prepared:
    """One item of the input, and the id of the sample that it was made from."""

    id: str
    value: NDArray[Any]


@dataclass(frozen=True)
class Task:
    """How the samples of a data set are fed to a model and scored."""

    model: Model
    feed: Callable[[bytes, tuple[int, ...]], NDArray[Any]]
    decode: Callable[..., Any]
    metric: Metric

    @classmethod
    def of(cls, model: Model, reference: Reference | None = None) -> Task:
        """The task that a declaration names, of a model whose sizes are bound; a reference may say itself how its
        samples are fed, and its outputs decoded."""
        data = reference.data if reference is not None else None
        feed = data.feed if data is not None and data.feed else model.feed
        decode = reference.decode if reference is not None and reference.decode else model.decode
        return cls(model, resolve(feed), resolve(decode), resolve(model.metric))

    def prepare(self, sample: Sample) -> Prepared:
        """One item of the input. Raises ``DataError`` naming the sample that cannot be decoded."""
        try:
            return Prepared(sample.id, self.feed(sample.content, self.model.inputs[0].item))
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{sample.id}: cannot be prepared: {error}; {len(sample.content)} bytes") from error

    def score(self, samples: Sequence[Sample], outputs: Outputs) -> Iterator[Scored]:
        """The outcome of each sample of one checked batch."""
        output = self.model.outputs[0]
        values = np.moveaxis(outputs.values[output.name], output.batch_axis, 0)
        for sample, value in zip(samples, values, strict=True):
            # Places in a picture are told in its own size, which the output does not know.
            try:
                predicted = self.decode(value, sample.size) if self.model.places else self.decode(value)
                truth = sample.label.pixels() if sample.label is not None else sample.truth
                counts = self.metric.count(predicted, truth)
            except Refused as refused:
                raise Refused(f"{sample.id}: {refused}") from None
            yield Scored(sample.id, predicted, truth, counts, value)


@dataclass(frozen=True)
class Scored:
    """One sample's outcome: what was answered, what is true, its additive counts, and the output itself.

    Answers and truths are texts; of segmentation uint8 [H, W], the class of each pixel.
    """

    id: str
    predicted: Any
    truth: Any
    counts: tuple[float, ...]
    output: NDArray[Any] = field(compare=False, repr=False)


def evaluate(
    session: Session, samples: Iterable[Sample], task: Task, batch: int, precision: str = "fp32"
) -> Iterator[Scored]:
    """One outcome a sample, in order. Raises ``Refused`` where outputs are not those that the model declares."""
    return (outcome for (outcome,) in side_by_side([session], samples, task, batch, precision))


def side_by_side(
    sessions: Sequence[Session], samples: Iterable[Sample], task: Task, batch: int, precision: str = "fp32"
) -> Iterator[tuple[Scored, ...]]:
    """One outcome of each session a sample, in order: all answer the same batches, and each is prepared once.

    As many batches are held as one session may take before another answers. Raises as ``evaluate``.
    """
    waiting: deque[Sequence[Sample]] = deque()
    scored: deque[Future[list[tuple[Scored, ...]]]] = deque()
    with ThreadPoolExecutor(1, "prepare") as before, ThreadPoolExecutor(1, "score") as behind:
        copies = tee(_batches(samples, task, batch, before, waiting), len(sessions))
        arms = [answered(*each, task.model, precision) for each in zip(sessions, copies, strict=True)]
        try:
            for outputs in zip(*arms, strict=True):
                scored.append(behind.submit(_scored, task, waiting.popleft(), outputs))
                if len(scored) == BEHIND:
                    yield from scored.popleft().result()
        except Exception:
            # What was answered before is not lost.
            for group in scored:
                yield from group.result()
            raise
        for group in scored:
            yield from group.result()


def _scored(task: Task, samples: Sequence[Sample], arms: Sequence[Outputs]) -> list[tuple[Scored, ...]]:
    return list(zip(*(task.score(samples, outputs) for outputs in arms), strict=True))


def answered(session: Session, batches: Iterable[Batch], model: Model, precision: str = "fp32") -> Iterator[Outputs]:
    """What the session answers, each batch checked: its ids, names, shapes, dtypes, and that numbers are finite."""
    asked: deque[tuple[str, ...]] = deque()

    def noted() -> Iterator[Batch]:
        for batch in batches:
            asked.append(batch.ids)
            yield batch

    given = noted()
    for outputs in session.map(given):
        if not asked:
            raise Refused("the session answered more batches than it was given")
        check_outputs(outputs, asked.popleft(), model, precision)
        yield outputs
    # One that stops early may not have taken the next batch.
    next(given, None)
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


def stack(items: Sequence[Prepared], model: Model, size: int) -> list[Batch]:
    """Items as batches of ``size``; the last may be short."""
    return [stacked(items[start : start + size], model) for start in range(0, len(items), size)]


def stacked(items: Sequence[Prepared], model: Model) -> Batch:
    """Items as one batch."""
    spec = model.inputs[0]
    values = np.stack([item.value for item in items], axis=spec.batch_axis)
    return Batch(tuple(item.id for item in items), {spec.name: values})


def _batches(
    samples: Iterable[Sample], task: Task, size: int, pool: ThreadPoolExecutor, waiting: deque[Sequence[Sample]]
) -> Iterator[Batch]:
    source = iter(samples)

    def made() -> tuple[list[Sample], Batch | None]:
        group = list(islice(source, size))
        return group, stacked([task.prepare(sample) for sample in group], task.model) if group else None

    ahead = deque(pool.submit(made) for _ in range(AHEAD - 1))
    while True:
        group, batch = ahead.popleft().result()
        if batch is None:
            return
        ahead.append(pool.submit(made))
        waiting.append(group)
        yield batch
