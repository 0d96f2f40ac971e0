"""Whether a measured value meets a claim: one-sided, on the claim's own samples, and with n in mind."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.claim import Claim
from harness.verdict import Verdict


class Measured(Protocol):
    """A value over n samples; ``complete`` where these are all of the claim's own."""

    @property
    def n(self) -> int: ...
    @property
    def complete(self) -> bool: ...
    @property
    def value(self) -> float: ...
    @property
    def counted(self) -> str:
        """What the value is of, as a text."""
        ...

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The two-sided interval of the value behind these samples."""
        ...


@dataclass(frozen=True)
class Share:
    """hits of n samples; the interval is exact (Clopper-Pearson)."""

    hits: int
    n: int
    complete: bool

    @property
    def value(self) -> float:
        """hits / n."""
        return self.hits / self.n

    @property
    def counted(self) -> str:
        """``2377/3000``."""
        return f"{self.hits}/{self.n}"

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The exact two-sided (Clopper-Pearson) interval of the share behind these hits."""
        from scipy.stats import binomtest

        found = binomtest(self.hits, self.n).proportion_ci(confidence, method="exact")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Mean:
    """The mean of n numbers in [0, 1]; the interval is Hoeffding's, wide, and true whatever their distribution."""

    total: float
    n: int
    complete: bool

    @property
    def value(self) -> float:
        """total / n."""
        return self.total / self.n

    @property
    def counted(self) -> str:
        """``n=3000``."""
        return f"n={self.n}"

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Hoeffding's two-sided interval of the mean behind these numbers."""
        half = math.sqrt(math.log(2 / (1 - confidence)) / (2 * self.n))
        return max(0.0, self.value - half), min(1.0, self.value + half)


@dataclass(frozen=True)
class Pooled:
    """One sum over n pictures divided by another, such as boxes found by boxes that are there.

    ``spread`` is the variance of that ratio, as pictures vary: boxes of one picture are no independent samples.
    """

    top: float
    bottom: float
    n: int
    complete: bool
    spread: float

    @property
    def value(self) -> float:
        """top / bottom, 0 where nothing is below."""
        return self.top / self.bottom if self.bottom else 0.0

    @property
    def counted(self) -> str:
        """``120/296 over n=40``."""
        return f"{self.top:.0f}/{self.bottom:.0f} over n={self.n}"

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The two-sided interval of the ratio behind these pictures (linearised, Student's t); of fewer than
        ``LEAST_PICTURES`` all that is possible."""
        half = half_width(self.spread, self.n, confidence)
        if half is None or not self.bottom:
            return 0.0, 1.0
        return max(0.0, self.value - half), min(1.0, self.value + half)


LEAST_PICTURES = 20
"""The variance that so few pictures show is no measure of how they vary."""


def half_width(variance: float, n: int, confidence: float) -> float | None:
    """Half of a two-sided interval (Student's t); nothing of fewer than ``LEAST_PICTURES``."""
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, n - 1)) * math.sqrt(variance) if n >= LEAST_PICTURES else None


class Measure(Protocol):
    """How a value of a metric is made of its summed counts, of which ``n`` is one."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The counts that it is made of."""
        ...

    def of(self, counts: Mapping[str, float], *, complete: bool) -> Share | Mean | Pooled:
        """The value of these counts."""
        ...


@dataclass(frozen=True)
class Hits:
    """The share of samples that a column counts."""

    column: str = "hits"

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    def of(self, counts: Mapping[str, float], *, complete: bool) -> Share:
        """The share of n."""
        return Share(int(counts[self.column]), int(counts["n"]), complete)


@dataclass(frozen=True)
class Similarity:
    """One less the mean of the distances, each in [0, 1], that a column sums."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    def of(self, counts: Mapping[str, float], *, complete: bool) -> Mean:
        """The mean over n."""
        n = int(counts["n"])
        return Mean(n - counts[self.column], n, complete)


class OverPictures(ABC):
    """A value that pictures have together: made of what they sum, not a mean of what each has."""

    @property
    @abstractmethod
    def summed(self) -> tuple[str, ...]:
        """The sums that decide the value; ``columns`` also has what tells how it varies."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The counts that it is made of."""

    @abstractmethod
    def values(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The value for each row of sums, k x ``summed``; 0 where nothing is below."""

    @abstractmethod
    def of(self, counts: Mapping[str, float], *, complete: bool) -> Pooled:
        """The value of these counts."""


@dataclass(frozen=True)
class Ratio(OverPictures):
    """The sum of the ``top`` columns over all samples divided by that of the ``bottom`` columns; a column named twice
    counts twice. A metric with such values also counts ``products`` of these columns, which tell how samples vary."""

    top: tuple[str, ...]
    bottom: tuple[str, ...]

    @property
    def summed(self) -> tuple[str, ...]:
        """Every column above and below, once, in alphabetical order."""
        return tuple(sorted({*self.top, *self.bottom}))

    @property
    def columns(self) -> tuple[str, ...]:
        """These, and their products."""
        return (*self.summed, *products(self.summed))

    def values(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The ratio for each row of sums, k x ``summed``."""
        top, bottom = (
            sums[:, [self.summed.index(name) for name in side]].sum(axis=1) for side in (self.top, self.bottom)
        )
        found: NDArray[np.float64] = np.divide(top, bottom, out=np.zeros(len(sums)), where=bottom > 0)
        return found

    def of(self, counts: Mapping[str, float], *, complete: bool) -> Pooled:
        """The ratio of the sums, and its variance, linearised: that of top - ratio * bottom a sample."""
        top, bottom = (sum(counts[name] for name in side) for side in (self.top, self.bottom))
        n, ratio = int(counts["n"]), top / bottom if bottom else 0.0
        squares = (
            _moment(counts, self.top, self.top)
            - 2 * ratio * _moment(counts, self.top, self.bottom)
            + ratio**2 * _moment(counts, self.bottom, self.bottom)
        )
        spread = max(0.0, squares) * n / (n - 1) / bottom**2 if n > 1 and bottom else 0.0
        return Pooled(top, bottom, n, complete, spread)


def products(columns: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns that count products of two of these, squares included."""
    return tuple(f"{a}*{b}" for a, b in combinations_with_replacement(sorted(columns), 2))


def moments(counts: Mapping[str, float]) -> tuple[float, ...]:
    """What a sample with these counts adds to ``products`` of their names."""
    return tuple(counts[a] * counts[b] for a, b in combinations_with_replacement(sorted(counts), 2))


def _moment(counts: Mapping[str, float], left: Sequence[str], right: Sequence[str]) -> float:
    return sum(counts["*".join(sorted(pair))] for pair in product(left, right))


def upper_bound(measured: Measured, confidence: float = 0.95) -> float:
    """The one-sided upper bound: the value behind these samples is below it with this confidence."""
    return measured.interval(2 * confidence - 1)[1]


def judge(claim: Claim, measured: Measured) -> tuple[Verdict, str]:
    """The verdict on a claim, and a line with measured, expected, bound and n.

    On the claim's own complete samples the floor decides, however small n is. On a part of them a value is
    ``inconclusive``, unless the one-sided 95% bound already lies below the floor: then it fails.
    """
    low, high = measured.interval()
    hits = f" ({claim.hits}/{claim.n})" if claim.hits is not None else ""
    part = f"{claim.part} " if claim.part else ""
    line = (
        f"{part}{claim.metric} {measured.value:.4f} ({measured.counted}, 95% {low:.4f}..{high:.4f}), "
        f"claim {claim.printed}{claim.unit}{hits}, floor {claim.floor:.4f}"
    )
    if measured.complete:
        return (Verdict.PASS if measured.value >= claim.floor else Verdict.FAIL), line
    if (upper := upper_bound(measured)) < claim.floor:
        return Verdict.FAIL, f"{line}; even the upper 95% bound {upper:.4f} lies below the floor"
    wanted = f"all {claim.n}" if claim.n else "all of the claim's"
    return Verdict.INCONCLUSIVE, f"{line}; {measured.n} samples cannot tell, {wanted} samples would"
