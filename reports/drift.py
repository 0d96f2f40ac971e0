"""How far a value that is pooled over pictures moves from A to B, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.judge import LEAST_PICTURES, Ratio

RESAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95
"""Of the bootstrap: the same two runs give the same interval."""

Counts = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The value ``name`` of the same n pictures in A and B, of which ``changed`` count otherwise.

    ``interval`` is the two-sided 95% interval of B - A, by a bootstrap over pictures that draws each with what it
    counts in both: boxes of one picture are no independent samples. Of fewer than ``LEAST_PICTURES`` it is all that is
    possible.
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


def drift(name: str, ratio: Ratio, before: Sequence[Counts], after: Sequence[Counts]) -> Drift:
    """The drift of a ratio, from what each picture counts in A and in B, in one order of pictures."""
    sides = np.hstack([_sides(ratio, before), _sides(ratio, after)])
    first, last = _values(sides.sum(axis=0, keepdims=True))
    return Drift(
        name=name,
        values=(float(first[0]), float(last[0])),
        interval=_interval(sides),
        changed=int((sides[:, :2] != sides[:, 2:]).any(axis=1).sum()),
        n=len(sides),
    )


def _sides(ratio: Ratio, pictures: Sequence[Counts]) -> NDArray[np.float64]:
    """What each picture counts above and below, n x 2."""
    return np.array([[sum(each[name] for name in side) for side in (ratio.top, ratio.bottom)] for each in pictures])


def _values(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values in A and in B of sums, k x 4; 0 where nothing is below."""
    first, last = (
        np.divide(top, bottom, out=np.zeros(len(sums)), where=bottom > 0)
        for top, bottom in (sums[:, :2].T, sums[:, 2:].T)
    )
    return first, last


def _interval(sides: NDArray[np.float64]) -> tuple[float, float]:
    n, draw = len(sides), np.random.default_rng(SEED)
    if n < LEAST_PICTURES:
        return -1.0, 1.0
    drawn = (np.bincount(draw.integers(n, size=n), minlength=n) for _ in range(RESAMPLES))
    first, last = _values(np.array([counts @ sides for counts in drawn]))
    low, high = np.quantile(last - first, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return float(low), float(high)
