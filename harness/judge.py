"""Whether a measured value meets a claim: one-sided, on the claim's own samples, and with n in mind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

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
class Measure:
    """How a value of a metric is made of its counts: the ``share`` of samples that a column counts, or one less the
    mean of the distances that it sums."""

    column: str
    share: bool = True

    def of(self, counts: Mapping[str, float], *, complete: bool) -> Share | Mean:
        """The value of these counts, of which ``n`` is one."""
        n = int(counts["n"])
        if self.share:
            return Share(int(counts[self.column]), n, complete)
        return Mean(n - counts[self.column], n, complete)


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
        f"claim {claim.printed}{hits}, floor {claim.floor:.4f}"
    )
    if measured.complete:
        return (Verdict.PASS if measured.value >= claim.floor else Verdict.FAIL), line
    if (upper := upper_bound(measured)) < claim.floor:
        return Verdict.FAIL, f"{line}; even the upper 95% bound {upper:.4f} lies below the floor"
    wanted = f"all {claim.n}" if claim.n else "all of the claim's"
    return Verdict.INCONCLUSIVE, f"{line}; {measured.n} samples cannot tell, {wanted} samples would"
