"""What two ways of answering the same samples differ by, and how sure that is: each sample is its own control."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.judge import LEAST_PICTURES, OverPictures

RESAMPLES, SEED = 2000, 0
"""Of the bootstrap: the same outcomes give the same interval."""

Counts = Mapping[str, float]


class Lost(Protocol):
    """By how much a value fell from one way to the other, over the same n samples."""

    @property
    def values(self) -> tuple[float, float]:
        """The value of the first way, and of the other."""
        ...

    @property
    def n(self) -> int: ...

    @property
    def loss(self) -> float:
        """The first less the other: above 0 is worse."""
        ...

    def interval(self, confidence: float) -> tuple[float, float]:
        """The two-sided interval of the loss behind these samples."""
        ...

    def enough(self, bound: float, confidence: float) -> int | None:
        """How many samples would tell on which side of a bound the loss lies, if all vary as these do; nothing where
        it lies on the bound, or these do not tell."""
        ...


@dataclass(frozen=True)
class PairedHits:
    """Answers that are right or wrong: ``hits`` of n the first way, ``lost`` of them wrong the other way, and
    ``gained`` others right.

    The interval is Tango's: that of the score test, with the unknown share of lost samples at its most likely value
    for each loss. It is valid where nothing was lost or gained, and says then what n samples may not have shown.
    T. Tango, Statistics in Medicine 17 (1998), 891-908.
    """

    hits: int
    lost: int
    gained: int
    n: int

    @property
    def values(self) -> tuple[float, float]:
        """Both shares."""
        return self.hits / self.n, (self.hits - self.lost + self.gained) / self.n

    @property
    def loss(self) -> float:
        """(lost - gained) / n."""
        return (self.lost - self.gained) / self.n

    @property
    def p(self) -> float:
        """The exact two-sided McNemar p."""
        return mcnemar(self.lost, self.gained)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Tango's score interval."""
        z = _quantile(confidence)
        return -_upper(self.gained, self.lost, self.n, z), _upper(self.lost, self.gained, self.n, z)

    def enough(self, bound: float, confidence: float) -> int | None:
        """With these shares of lost and gained samples; the score grows as the root of n."""
        distance = self.lost - self.gained - self.n * bound
        if not distance:
            return None
        variance = self.n * _variance(self.lost, self.gained, self.n, bound)
        return math.ceil(self.n * _quantile(confidence) ** 2 * variance / distance**2)


@dataclass(frozen=True, eq=False)
class PairedPictures:
    """A value that pictures have together: ``sides`` is what each picture adds to the sums of ``measure`` both ways,
    2 x n x columns.

    The interval is that of a bootstrap over pictures, and its upper end no less than what pictures unlike these may
    cost: where none of n pictures changed, a share of them up to z^2 / (n + z^2) still may, and lose all. Of fewer than
    ``LEAST_PICTURES`` it is all that is possible.
    """

    measure: OverPictures
    sides: NDArray[np.float64]

    @classmethod
    def of(cls, measure: OverPictures, before: Sequence[Counts], after: Sequence[Counts]) -> PairedPictures:
        """From what each picture counts both ways, in one order of pictures."""
        return cls(measure, np.stack([counted(measure, before), counted(measure, after)]))

    @property
    def n(self) -> int:
        """Pictures."""
        return int(self.sides.shape[1])

    @property
    def values(self) -> tuple[float, float]:
        """The value of all pictures both ways."""
        first, last = (float(self.measure.values(side.sum(axis=0, keepdims=True))[0]) for side in self.sides)
        return first, last

    @property
    def loss(self) -> float:
        """The first less the other."""
        first, last = self.values
        return first - last

    @property
    def changed(self) -> int:
        """How many pictures count otherwise."""
        return int((self.sides[0] != self.sides[1]).any(axis=1).sum())

    def interval(self, confidence: float) -> tuple[float, float]:
        """Of the loss, by ``bootstrap``, and no less above than what was not seen."""
        low, high = bootstrap(self.measure, self.sides, confidence)
        z = _quantile(confidence)
        unseen = z**2 / (self.n + z**2) * self.values[0]
        return -high, max(-low, unseen)

    def enough(self, bound: float, confidence: float) -> int | None:
        """With an interval that narrows as the root of n."""
        loss, (low, high) = self.loss, self.interval(confidence)
        if self.n < LEAST_PICTURES or loss == bound:
            return None
        half = high - loss if loss < bound else loss - low
        return math.ceil(self.n * (half / (bound - loss)) ** 2)


def mcnemar(lost: int, gained: int) -> float:
    """The exact two-sided McNemar p: how likely a split at least this uneven is if neither way is better."""
    from scipy.stats import binomtest

    changed = lost + gained
    return float(binomtest(lost, changed).pvalue) if changed else 1.0


def counted(measure: OverPictures, pictures: Sequence[Counts]) -> NDArray[np.float64]:
    """What each picture adds to the sums, n x columns."""
    return np.array([[each[name] for name in measure.summed] for each in pictures], np.float64)


def bootstrap(measure: OverPictures, sides: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """The two-sided interval of the second side less the first, 2 x n x columns: pictures are drawn each with what it
    counts on both, for boxes or pixels of one picture are no independent samples. Of fewer than ``LEAST_PICTURES`` it
    is all that is possible."""
    n, draw = sides.shape[1], np.random.default_rng(SEED)
    if n < LEAST_PICTURES:
        return -1.0, 1.0
    drawn = (np.bincount(draw.integers(n, size=n), minlength=n) for _ in range(RESAMPLES))
    sums = np.array([counts @ sides for counts in drawn])
    first, last = measure.values(sums[:, 0]), measure.values(sums[:, 1])
    low, high = np.quantile(last - first, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)


def _quantile(confidence: float) -> float:
    """The normal quantile of a two-sided interval."""
    from scipy.stats import norm

    return float(norm.ppf((1 + confidence) / 2))


def _upper(lost: int, gained: int, n: int, z: float) -> float:
    """The largest loss that the score test does not reject."""
    from scipy.optimize import brentq

    loss = (lost - gained) / n
    if not lost and gained in (0, n):
        # Without variance the test's equation also holds at the loss itself.
        return loss + z**2 / (n + z**2)

    def short(bound: float) -> float:
        return lost - gained - n * bound + z * math.sqrt(n * _variance(lost, gained, n, bound))

    return float(brentq(short, loss, 1.0, xtol=1e-12))


def _variance(lost: int, gained: int, n: int, loss: float) -> float:
    """The variance of a sample's loss where the loss is ``loss``, and the share of gained samples most likely."""
    linear = (2 * n - lost + gained) * loss - lost - gained
    root = math.sqrt(max(0.0, linear**2 + 8 * n * gained * loss * (1 - loss)))
    share = (root - linear) / (4 * n)
    return max(0.0, 2 * share + loss * (1 - loss))
