"""Histograms and extremes of tensors: the same whatever the order and the split of what they count."""

from __future__ import annotations

from functools import reduce
from operator import methodcaller

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from harness.quantize import histogram as module
from harness.quantize.histogram import BINS, LEAST, Histogram
from harness.quantize.tensor_statistics import TensorStatistics, statistics_of

NUMBERS = st.one_of(st.floats(width=32, allow_nan=False, allow_infinity=False), st.floats(-2, 2, width=32))
ARRAYS = arrays(np.float32, st.integers(1, 30), elements=NUMBERS)
PARTS = st.lists(ARRAYS, min_size=1, max_size=5)


def same(one: TensorStatistics, other: TensorStatistics) -> bool:
    return (
        (one.lowest, one.highest, one.values.exponent) == (other.lowest, other.highest, other.values.exponent)
        and one.values.bins.dtype == other.values.bins.dtype
        and np.array_equal(one.values.bins, other.values.bins)
    )


def merged(parts: list[NDArray]) -> TensorStatistics:
    return reduce(lambda before, part: before.merged(statistics_of(part)), parts[1:], statistics_of(parts[0]))


@given(PARTS, st.randoms(use_true_random=False))
def test_the_order_and_the_split_of_samples_change_no_bit(parts: list[NDArray], random) -> None:
    whole = statistics_of(np.concatenate(parts))
    assert same(merged(parts), whole)
    random.shuffle(parts)
    assert same(merged(parts), whole)
    cut = random.randrange(len(parts)) + 1
    groups = [merged(group) for group in (parts[:cut], parts[cut:]) if group]
    assert same(groups[0].merged(groups[-1]) if len(groups) == 2 else groups[0], whole)


@given(PARTS)
def test_every_value_is_counted_once_and_in_the_bin_it_lies_in(parts: list[NDArray]) -> None:
    values = np.concatenate(parts)
    found = merged(parts)
    assert found.values.count == values.size
    assert (found.lowest, found.highest) == (values.min(), values.max())
    # In double precision, where the division by a power of two is exact too.
    places = np.floor(np.abs(values.astype(np.float64)) / found.values.width).astype(int)
    assert np.array_equal(found.values.bins, np.bincount(places, minlength=BINS))


@given(ARRAYS)
def test_the_range_is_the_smallest_power_of_two_above_the_largest_value(values: NDArray) -> None:
    found = statistics_of(values)
    assert found.largest == np.abs(values).max()
    assert found.largest < 2.0**found.values.exponent
    assert found.values.exponent == LEAST or found.largest >= 2.0 ** (found.values.exponent - 1)
    if found.values.exponent > LEAST:
        assert found.values.used > BINS // 2, "at least half of the bins are used"


@given(ARRAYS, st.integers(0, 2 * 12))
def test_growing_adds_neighbours_and_loses_nothing(values: NDArray, steps: int) -> None:
    found = statistics_of(values).values
    grown = found.grown(found.exponent + steps)
    assert grown.count == found.count
    assert grown.width == found.width * 2**steps
    once = reduce(lambda before, _: before.grown(before.exponent + 1), range(steps), found)
    assert np.array_equal(grown.bins, once.bins)


def test_a_largest_value_that_is_a_power_of_two_lies_inside() -> None:
    """Put into the last bin below its power it would come out elsewhere after growing."""
    early = merged([np.float32([1.0]), np.float32([5.0])])
    late = merged([np.float32([5.0]), np.float32([1.0])])
    assert same(early, late)
    assert statistics_of(np.float32([1.0])).values.bins[BINS // 2] == 1


def test_values_of_many_blocks_are_counted_like_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(0, 3, (7, 11, 13)).astype(np.float32)
    whole = statistics_of(values)
    monkeypatch.setattr(module, "BLOCK", 10)
    assert same(statistics_of(values), whole)
    assert same(statistics_of(values.transpose(2, 0, 1)), whole)


def test_memory_is_that_of_the_bins_whatever_is_counted() -> None:
    held = merged([np.full(9, 10.0**power, np.float32) for power in range(-30, 38, 4)]).values
    assert isinstance(held, Histogram)
    assert held.bins.nbytes == BINS * 8


def test_zeros_alone_have_a_histogram_too() -> None:
    found = statistics_of(np.zeros((2, 3), np.float32))
    assert (found.constant, found.largest, found.values.count, found.values.used) == (True, 0.0, 6, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_and_counted(bad: float) -> None:
    values = np.ones((4, 5), np.float32)
    values[1, 2] = values[3, 0] = bad
    with pytest.raises(ValueError, match="2 of 20 numbers are NaN or infinite"):
        statistics_of(values)


def test_neither_statistics_nor_histograms_are_changed_by_merging() -> None:
    one, other = statistics_of(np.float32([1, 2])), statistics_of(np.float32([700]))
    before = one.values.bins.copy()
    list(map(methodcaller("merged", other), [one, one]))
    assert np.array_equal(one.values.bins, before)
