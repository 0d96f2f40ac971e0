"""The clock ``end-to-end``: from stored pictures to answers, with what each stage takes of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harness.backends import Batch, Outputs, Session
from harness.datasets import Sample
from harness.evaluate import Task, evaluate
from harness.measure import Measurement, TimingPlan
from harness.verdict import Broken, Figure

STAGES = ("read", "prepare", "infer", "answer")
LEAST, MOST, SECONDS = 4, 64, 4.0
"""Of pictures: as many as inference alone takes that long for, between the two."""


@dataclass(frozen=True)
class EndToEnd:
    """So many pictures in so many seconds; ``spent`` is the time of each stage, which overlap."""

    pictures: int
    seconds: float
    spent: dict[str, float]

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.pictures / self.seconds

    def figures(self, alone: float) -> dict[str, Figure]:
        """For the record; ``alone`` is how many pictures a second inference takes on its own."""
        total = sum(self.spent.values())
        return {
            "end_to_end": self.rate,
            "end_to_end_n": self.pictures,
            "end_to_end_share": self.rate / alone,
            **{f"stage_{name}": seconds / total for name, seconds in self.spent.items()},
        }

    def told(self, alone: float) -> str:
        """In one line."""
        total = sum(self.spent.values())
        stages = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in self.spent.items())
        return f"end-to-end {self.rate:.2f}/s, {self.rate / alone:.2f} of inference alone ({stages}; n={self.pictures})"


def pictures_for(seconds: float, batch: int) -> int:
    """How many pictures to take where a batch takes so many seconds: whole batches."""
    wanted = min(MOST, max(LEAST, int(SECONDS / max(seconds, 1e-9)) * batch))
    return -(-wanted // batch) * batch


def end_to_end(session: Session, samples: Iterable[Sample], task: Task, batch: int) -> EndToEnd:
    """Answers every sample through the stream that accuracy uses, and says how long that took.

    Raises ``Broken`` where nothing was answered.
    """
    spent = dict.fromkeys(STAGES, 0.0)
    timed = replace(task, feed=_Timed(task.feed, spent, "prepare"), decode=_Timed(task.decode, spent, "answer"))
    began = time.perf_counter()
    count = sum(1 for _ in evaluate(_Watched(session, spent), _read(samples, spent), timed, batch))
    seconds = time.perf_counter() - began
    if not count or not seconds > 0:
        raise Broken(f"{count} pictures answered in {seconds} s: the clock end-to-end measured nothing")
    return EndToEnd(count, seconds, spent)


@dataclass(frozen=True)
class _Timed:
    """A function whose time is added to a stage."""

    function: Any
    spent: dict[str, float]
    stage: str

    def __call__(self, *given: Any) -> Any:
        began = time.perf_counter()
        try:
            return self.function(*given)
        finally:
            self.spent[self.stage] += time.perf_counter() - began


@dataclass
class _Watched:
    """A session whose time is added to ``infer``, but for what it waits for batches."""

    session: Session
    spent: dict[str, float]
    waited: float = field(default=0.0)

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        answers = iter(self.session.map(self._handed(batches)))
        while True:
            began, self.waited = time.perf_counter(), 0.0
            try:
                outputs = next(answers)
            except StopIteration:
                return
            self.spent["infer"] += time.perf_counter() - began - self.waited
            yield outputs

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        return self.session.measure(batch, plan)

    def _handed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        source = iter(batches)
        while True:
            began = time.perf_counter()
            try:
                batch = next(source)
            except StopIteration:
                return
            self.waited += time.perf_counter() - began
            yield batch


def _read(samples: Iterable[Sample], spent: dict[str, float]) -> Iterator[Sample]:
    source = iter(samples)
    while True:
        began = time.perf_counter()
        try:
            sample = next(source)
        except StopIteration:
            return
        spent["read"] += time.perf_counter() - began
        yield sample
