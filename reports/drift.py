"""How far a value that is pooled over pictures moves from A to B, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.judge import LEAST_PICTURES, OverPictures

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
"""Of the bootstrap: the same two runs give the same interval."""

Counts = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The value ``name`` of the same n pictures in A and B, of which ``changed`` count otherwise.

    ``interval`` is the two-sided 95% interval of B - A, by a bootstrap over pictures that draws each with what it
    counts in both: boxes or pixels of one picture are no independent samples. Of fewer than ``LEAST_PICTURES`` it is
    all that is possible.
    """

    name: str
    values: tuple[float, float]
    interval: tuple[float, float]
    changed: int
    n: int

    @property
    def difference(self) -> float:
        """B - A: below 0 is worse."""
        return self.values[1] - self.values[0]

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.interval[1] < 0

    def __str__(self) -> str:
        """``hmean 0.8108 -> 0.7952, -0.0156 (95% -0.0210..-0.0101, n=500)``."""
        before, after = self.values
        low, high = self.interval
        moved = f"{self.name} {before:.4f} -> {after:.4f}, {self.difference:+.4f}"
        return f"{moved} (95% {low:+.4f}..{high:+.4f}, n={self.n})"


def drift(name: str, measure: OverPictures, before: Sequence[Counts], after: Sequence[Counts]) -> Drift:
    """The drift of a value, from what each picture counts in A and in B, in one order of pictures."""
    sides = np.stack([_counted(measure, before), _counted(measure, after)])
    first, last = (measure.values(side.sum(axis=0, keepdims=True)) for side in sides)
    return Drift(
        name=name,
        values=(float(first[0]), float(last[0])),
        interval=_interval(measure, sides),
        changed=int((sides[0] != sides[1]).any(axis=1).sum()),
        n=len(before),
    )


def _counted(measure: OverPictures, pictures: Sequence[Counts]) -> NDArray[np.float64]:
    """What each picture adds to the sums, n x columns."""
    return np.array([[each[name] for name in measure.summed] for each in pictures], np.float64)


def _interval(measure: OverPictures, sides: NDArray[np.float64]) -> tuple[float, float]:
    """The interval of the difference of two sides, 2 x n x columns."""
    n, draw = sides.shape[1], np.random.default_rng(SEED)
    if n < LEAST_PICTURES:
        return -1.0, 1.0
    drawn = (np.bincount(draw.integers(n, size=n), minlength=n) for _ in range(RESAMPLES))
    sums = np.array([counts @ sides for counts in drawn])
    first, last = measure.values(sums[:, 0]), measure.values(sums[:, 1])
    low, high = np.quantile(last - first, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return float(low), float(high)
