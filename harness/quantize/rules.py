"""Rules that make the range of a tensor of what it held.

A rule finds a threshold of absolute values; the range is what lies within it, and always holds zero, which stands for
itself exactly in every quantised tensor. The outputs of a graph are never cut off: what decodes them has thresholds of
its own, and a detector whose map is cut by ``kl`` finds nothing at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.declaration import DeclarationError
from harness.quantisation import Rule
from harness.quantize.histogram import Histogram
from harness.quantize.tensor_statistics import TensorStatistics

LEVELS = 256
"""Groups that ``kl`` divides absolute values into: as many as 8 bits tell apart. Half of them, which is what one sign
of a symmetric tensor gets, keep fewer answers of the networks that this was measured on."""
STRIDE = 8
"""Bins between two thresholds that ``kl`` tries."""
FEW = 8
"""Values a bin, below which a histogram is noise to ``kl``: class scores, and the vectors that gates are made of."""

SPIKE = 0.01
"""The share of all values over which ``kl`` takes a bin for one number that is met again and again, such as what a
network makes of padding: it is many times that of the highest bin of a smooth distribution."""


@dataclass(frozen=True)
class RangeRule:
    """A rule, the share in per cent that ``percentile`` keeps, and the bits that the range is for."""

    rule: Rule
    percentile: float = 99.999
    bits: Literal[8, 16] = 8

    def __post_init__(self) -> None:
        if self.rule == "kl" and self.bits != 8:
            raise DeclarationError(
                f"rule kl at {self.bits} bits: it compares {LEVELS} levels with the distribution, and finer ones than "
                "its bins tell nothing; expected minmax, mse or percentile"
            )


def ranges_of(
    statistics: Mapping[str, TensorStatistics], how: RangeRule, outputs: Collection[str]
) -> dict[str, tuple[float, float]]:
    """The lowest and the highest number of each tensor that are told apart; ``outputs`` are those of the graph."""
    return {
        name: within(held, held.largest if name in outputs else threshold(held, how))
        for name, held in statistics.items()
    }


def within(held: TensorStatistics, limit: float) -> tuple[float, float]:
    """The range of a tensor whose absolute values are cut off at a limit; it holds zero."""
    return min(max(held.lowest, -limit), 0.0), max(min(held.highest, limit), 0.0)


def threshold(held: TensorStatistics, how: RangeRule) -> float:
    """The absolute value that a rule cuts a tensor off at; its largest one where nothing is cut."""
    match how.rule:
        case "minmax":
            return held.largest
        case "kl":
            return min(least_divergence(held.values), held.largest)
        case "mse":
            return min(least_error(held, 2**how.bits), held.largest)
        case "percentile":
            return min(quantile(held.values, how.percentile), held.largest)


def quantile(values: Histogram, percent: float) -> float:
    """The upper edge of the bin below which that share of absolute values lies."""
    summed = np.cumsum(values.bins)
    # Not the product with percent / 100, which 100 would not leave whole.
    place = int(np.searchsorted(summed, ceil(values.count * percent / 100)))
    return (place + 1) * values.width


def least_error(held: TensorStatistics, levels: int) -> float:
    """The upper edge of the bin at which cutting off loses least squared error: that of rounding to ``levels`` of the
    range, a twelfth of a step squared, of what lies within, and that of being cut off, of what lies outside."""
    bins = held.values.bins[: held.values.used].astype(np.float64)
    if bins.size == 0:
        return held.largest
    middles = (np.arange(bins.size) + 0.5) * held.values.width
    edges = (np.arange(bins.size) + 1) * held.values.width
    steps = (np.clip(held.highest, 0, edges) - np.clip(held.lowest, -edges, 0)) / (levels - 1)
    outside, first, second = (_above(bins * middles**power) for power in range(3))
    cut = second - 2 * edges * first + edges**2 * outside
    return float(edges[np.argmin(steps**2 / 12 * np.cumsum(bins) + cut)])


def least_divergence(values: Histogram) -> float:
    """The upper edge of the bin at which cutting off, and dividing what is left into ``LEVELS`` groups of equal width,
    keeps most of the distribution, by its Kullback-Leibler divergence; what is cut off counts in the last bin left.

    Zeros do not count: to a search that sees those of Relu every other value is an exception. A spike counts where it
    is cut off, and not where it is kept: one level tells it, but as a shape within a group it draws the threshold to
    where groups are narrow. Nothing is cut off where there are fewer than ``FEW`` values a bin.
    """
    used = values.used
    if used <= LEVELS or values.count < FEW * used:
        return used * values.width
    bins = values.bins[:used].astype(np.float64)
    bins[0] = bins[1]
    around = np.pad(bins, 1, mode="reflect")
    shape = np.where(bins > SPIKE * bins.sum(), (around[:-2] + around[2:]) / 2, bins)
    # From the largest one down: it is taken where others are as good.
    ends = np.arange(used, LEVELS - 1, -STRIDE)
    return int(ends[np.argmin(divergences(shape, _above(bins)[ends - 1], ends))]) * values.width


def divergences(bins: NDArray[np.float64], outside: NDArray[np.float64], ends: NDArray[np.intp]) -> NDArray[np.float64]:
    """The divergence of a histogram from what ``LEVELS`` groups leave of it, for each number of bins that are kept, and
    what is cut off then.

    Within a group every bin that holds something gets the group's mean, so that sums up to the edges of groups are all
    that is needed. A last group that holds nothing but what is cut off counts as one value: at none, one value far out
    would keep all of the range. Infinite where nothing is kept.
    """
    from scipy.special import xlogy

    mass, held, own = (_below(part) for part in (bins, (bins > 0).astype(np.float64), xlogy(bins, bins)))
    last, total = bins[ends - 1], mass[ends] + outside
    edges = ends[:, None] * np.arange(LEVELS + 1) // LEVELS
    masses, counts = np.diff(mass[edges]), np.diff(held[edges])
    counts[:, -1] += (last == 0) & (outside > 0)
    masses[:, -1] += (masses[:, -1] == 0) & (outside > 0)
    means = np.divide(masses, counts, out=np.zeros_like(masses), where=counts > 0)
    told = own[ends] - xlogy(last, last) + xlogy(last + outside, last + outside)
    coded = xlogy(masses, means).sum(axis=1) + xlogy(outside, means[:, -1])
    found = np.full(ends.shape, np.inf)
    kept = mass[ends] > 0
    found[kept] = ((told - coded)[kept] / total[kept]) - np.log(total[kept]) + np.log(masses.sum(axis=1)[kept])
    return found


def _below(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of the bins below each edge, that of none first."""
    return np.concatenate(([0.0], np.cumsum(bins)))


def _above(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of the bins above the upper edge of each."""
    return np.concatenate((np.cumsum(bins[::-1])[::-1][1:], [0.0]))
