"""Metrics as additive counts: one pass, bounded memory, and two runs can be compared sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Metric(Protocol):
    """What a sample counts, and what the sums mean. The first column is the hit that flips are counted by; ``shares``
    names the values that are the share of hits, up to an epsilon that keeps an empty set from dividing by zero."""

    name: str
    columns: tuple[str, ...]
    shares: tuple[str, ...]

    def count(self, predicted: str, truth: str) -> tuple[float, ...]:
        """The counts of one sample, one number a column."""
        ...

    def value(self, sums: Sequence[float]) -> Mapping[str, float]:
        """The metrics that the summed counts give, by name."""
        ...
