"""Latency compared by the ratio of medians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.verdict import Verdict
from reports.pairs import NotComparable, Pair
from reports.record import Key, Recorded

MEDIANS: dict[Literal["cpu", "wall"], str] = {"cpu": "latency_cpu_median", "wall": "latency_median"}
"""CPU time first: neighbours' load stretches it less than wall time."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """The median seconds of one call in A and B, both by the same clock on the same kind of device."""

    key: Key
    clock: str
    time: Literal["cpu", "wall"]
    before: float
    after: float

    @property
    def value(self) -> float:
        """B / A: above 1 is slower."""
        return self.after / self.before


def ratio(pair: Pair) -> Ratio:
    """The ratio of a pair of throughput answers, of CPU time where both have it, else of wall time. Raises
    ``NotComparable`` where weights, clock or chip differ, or one gives a mean and the other samples."""
    pair.require_same("weights", pair.before.weights, pair.after.weights)
    pair.require_same("clock", clock_of(pair.before), clock_of(pair.after))
    pair.require_same("kind of figure", _kind(pair.before), _kind(pair.after))
    for time, name in MEDIANS.items():
        before, after = pair.before.number(name), pair.after.number(name)
        if before and after:
            clock = clock_of(pair.before) or ""
            return Ratio(key=pair.key, clock=clock, time=time, before=before, after=after)
    raise NotComparable("latency: no median above zero that both have")


def clock_of(answer: Recorded) -> str | None:
    """The clock of a throughput answer, and the chip where it is not this machine's processor: ``device on X``."""
    clock, device = answer.text("clock"), answer.text("device")
    return f"{clock} on {device}" if clock and device else clock


def is_time(answer: Recorded) -> bool:
    """Whether the times of a throughput answer mean something: it passed, or it is only slower than was claimed."""
    slow = answer.verdict is Verdict.FAIL and answer.figures.get("claims_judged") is True
    return slow or answer.verdict is Verdict.PASS


def _kind(answer: Recorded) -> str:
    return "samples" if answer.figures.get("mean_of") is None else "a mean of calls"
