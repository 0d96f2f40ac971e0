"""A histogram that comes out the same, bit for bit, whatever the order and the split of what it counts.

It counts absolute values in ``BINS`` bins of equal width from 0 up to a power of two. Where a value does not fit, the
power grows and neighbouring bins are added, two by two: every edge of the coarser bins is one of the finer ones. Memory
is constant, and at worst half of the bins lie above the largest value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 4096
LEAST = -64
"""The least power of two: what is smaller than a bin of it, 1e-23, counts as zero."""
BLOCK = 1 << 16
"""Values that are counted at once: their numbers of bins stay in a processor's cache."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many absolute values lie in each of ``BINS`` bins, int64, between 0 and ``2 ** exponent``, the upper edge not
    included."""

    exponent: int
    bins: NDArray[np.int64]

    @property
    def width(self) -> float:
        """Of one bin; exact."""
        return 2.0**self.exponent / BINS

    @property
    def count(self) -> int:
        """The number of values."""
        return int(self.bins.sum())

    @property
    def used(self) -> int:
        """How many bins there are up to the last one that holds a value."""
        held = np.flatnonzero(self.bins)
        return int(held[-1]) + 1 if held.size else 0

    def grown(self, exponent: int) -> Histogram:
        """The same values up to a larger power of two."""
        steps = exponent - self.exponent
        if steps == 0:
            return self
        bins = np.zeros(BINS, np.int64)
        group = min(1 << min(steps, BINS), BINS)
        bins[: BINS // group] = self.bins.reshape(-1, group).sum(axis=1)
        return Histogram(exponent, bins)

    def merged(self, other: Histogram) -> Histogram:
        """The values of both."""
        exponent = max(self.exponent, other.exponent)
        return Histogram(exponent, self.grown(exponent).bins + other.grown(exponent).bins)


def histogram(values: NDArray[np.float32], largest: float) -> Histogram:
    """The histogram of finite float32 values of any shape, of which ``largest`` is the largest absolute one."""
    # frexp gives m * 2**e with m below 1, so that the largest lies under the edge.
    exponent = max(int(np.frexp(largest)[1]), LEAST) if largest else LEAST
    scale = np.float32(BINS * 2.0**-exponent)
    bins = np.zeros(BINS, np.int64)
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        # A power of two scales exactly, and casting cuts off: the bin is exact.
        places = np.abs(flat[start : start + BLOCK] * scale).astype(np.intp)
        bins += np.bincount(places, minlength=BINS)
    return Histogram(exponent, bins)
