"""Metrics as additive counts: one pass, bounded memory, and two runs can be compared sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from harness.judge import Measure


class Metric(Protocol):
    """What a sample counts, and what the sums mean. The first column is the hit that flips are counted by, one is
    ``n``; ``measures`` says of each value how it is judged."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def measures(self) -> Mapping[str, Measure]: ...

    def count(self, predicted: Any, truth: Any) -> tuple[float, ...]:
        """The counts of one sample, one number a column: of two texts, or of two class maps H x W."""
        ...

    def faults(self, counts: Sequence[float]) -> float:
        """How wrong one sample was answered, by its counts; 0 where it was not."""
        ...

    def value(self, sums: Sequence[float]) -> Mapping[str, float]:
        """The metrics that the summed counts give, by name."""
        ...


@runtime_checkable
class Matching(Protocol):
    """A metric that matches what is answered with places in a picture."""

    def matched(self, predicted: Any, truth: Any) -> frozenset[int]:
        """Which places of a picture are matched, by number."""
        ...
