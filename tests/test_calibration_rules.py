"""Rules of ranges: against slow ones that are written out, and against the ways in which each goes wrong."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import entropy

from harness.declaration import DeclarationError
from harness.quantize import rules
from harness.quantize.histogram import BINS, Histogram
from harness.quantize.rules import FEW, LEVELS, RangeRule, divergences, least_error, ranges_of, threshold
from harness.quantize.tensor_statistics import TensorStatistics, statistics_of

RULES = [RangeRule("minmax"), RangeRule("kl"), RangeRule("mse"), RangeRule("percentile", percentile=99)]
SIXTEEN = [replace(rule, bits=16) for rule in RULES if rule.rule != "kl"]
ARRAYS = arrays(np.float32, st.integers(1, 200), elements=st.floats(-1e6, 1e6, width=32))


def drawn(count: int = 60_000, outlier: float | None = None, zeros: int = 0, seed: int = 3) -> TensorStatistics:
    """What a Relu gives: the positive half of a normal distribution, and perhaps one number far out, and zeros."""
    values = np.abs(np.random.default_rng(seed).normal(0, 1, count)).astype(np.float32)
    return statistics_of(
        np.concatenate([values, np.float32([outlier] if outlier else []), np.zeros(zeros, np.float32)])
    )


@pytest.mark.parametrize("how", [*RULES, *SIXTEEN], ids=str)
@given(values=ARRAYS)
def test_a_range_holds_zero_and_nothing_that_was_not_there(how: RangeRule, values: NDArray) -> None:
    held = statistics_of(values)
    lowest, highest = ranges_of({"t": held}, how, outputs=())["t"]
    assert min(held.lowest, 0) <= lowest <= 0 <= highest <= max(held.highest, 0)
    assert 0 <= threshold(held, how) <= held.largest
    assert (lowest, highest) == (
        min(0, max(held.lowest, -threshold(held, how))),
        max(0, min(held.highest, threshold(held, how))),
    )


@given(ARRAYS)
def test_minmax_is_all_of_it_and_so_are_all_per_cent(values: NDArray) -> None:
    held = statistics_of(values)
    expected = (min(held.lowest, 0), max(held.highest, 0))
    for how in (RangeRule("minmax"), RangeRule("percentile", percentile=100), RangeRule("minmax", bits=16)):
        assert ranges_of({"t": held}, how, ())["t"] == expected


@given(ARRAYS, st.floats(0.001, 100), st.floats(0.001, 100))
def test_a_larger_share_never_gives_a_smaller_range(values: NDArray, one: float, other: float) -> None:
    held, (less, more) = statistics_of(values), sorted((one, other))
    found = [threshold(held, RangeRule("percentile", percentile=share)) for share in (less, more)]
    assert found[0] <= found[1]
    for share, limit in zip((less, more), found, strict=True):
        assert (np.abs(values) <= limit).mean() >= share / 100 - 1e-9


@pytest.mark.parametrize("how", RULES, ids=str)
def test_the_outputs_of_a_graph_are_never_cut_off(how: RangeRule) -> None:
    held = drawn(outlier=50.0)
    found = ranges_of({"inner": held, "y": held}, how, outputs={"y"})
    assert found["y"] == (0.0, 50.0)
    assert (found["inner"] == found["y"]) == (how.rule == "minmax"), "an output is what makes the difference"


def test_signs_are_cut_off_on_their_own_sides() -> None:
    """What HardSwish gives: little below zero, much above it."""
    held = statistics_of(np.concatenate([np.linspace(-0.3, 4, 40_000), [90]]).astype(np.float32))
    lowest, highest = ranges_of({"t": held}, RangeRule("percentile", percentile=99.9), ())["t"]
    assert lowest == np.float32(-0.3)
    assert 3.9 < highest < 4.1


# --- Kullback and Leibler


def slowly(bins: NDArray, outside: float, end: int) -> float:
    """The divergence at one threshold, as it is defined."""
    kept = bins[:end].copy()
    told = kept.copy()
    told[-1] += outside
    edges = [end * group // LEVELS for group in range(LEVELS + 1)]
    coded = np.zeros(end)
    for start, stop in pairwise(edges):
        held = told[start:stop] > 0
        if held.any():
            # What is cut off alone in the last group is met by one value.
            coded[start:stop][held] = (kept[start:stop].sum() or 1) / held.sum()
    return float(entropy(told, coded))


@given(arrays(np.int64, st.integers(LEVELS + 1, 700), elements=st.sampled_from([0, 0, 1, 2, 7, 500])), st.data())
def test_divergences_are_those_of_the_definition(bins: NDArray, data: st.DataObject) -> None:
    assume(bins.sum() > 0)
    ends = data.draw(st.lists(st.integers(LEVELS, bins.size), min_size=1, max_size=4))
    # As if spikes had been taken out of what is kept: more may be cut off than is left.
    outside = [float(bins[end:].sum() * 3) for end in ends]
    found = divergences(bins.astype(np.float64), np.array(outside), np.array(ends))
    for end, cut, divergence in zip(ends, outside, found, strict=True):
        # Nothing that is kept meets everything that is cut off: no divergence, but no threshold either.
        expected = slowly(bins.astype(np.float64), cut, end) if bins[:end].any() else np.inf
        assert divergence == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_an_outlier_is_cut_off_and_the_rest_kept() -> None:
    """Calibration that keeps all by another name, such as ONNX Runtime's with its one candidate, gives 100."""
    assert 3 < threshold(drawn(outlier=100.0), RangeRule("kl")) < 15


@pytest.mark.parametrize("zeros", [1000, 1_000_000])
def test_zeros_do_not_move_the_threshold(zeros: int) -> None:
    without = threshold(drawn(outlier=8.0), RangeRule("kl"))
    assert threshold(drawn(outlier=8.0, zeros=zeros), RangeRule("kl")) == without


def test_counted_zeros_would_move_it() -> None:
    """The saboteur of the test above: what the search sees when the bin at zero is left as it is."""
    held = drawn(outlier=8.0, zeros=1_000_000)
    bins = held.values.bins[: held.values.used].astype(np.float64)
    assert searched(bins) * held.values.width < 0.8 * threshold(held, RangeRule("kl"))


def searched(bins: NDArray) -> int:
    """The threshold, in bins, of a search that takes them as they are."""
    ends = np.arange(bins.size, LEVELS - 1, -1)
    outside = np.array([bins[end:].sum() for end in ends])
    return int(ends[np.argmin(divergences(bins, outside, ends))])


def test_one_number_met_again_and_again_does_not_draw_the_threshold_to_it() -> None:
    """What a network makes of padding: every eighth value is the same. Whatever is cut off could hide in its bin."""
    values = np.abs(np.random.default_rng(4).laplace(0, 1, 400_000)).astype(np.float32)
    smooth, padded = statistics_of(values), statistics_of(np.concatenate([values, np.full(50_000, 1.7, np.float32)]))
    assert threshold(padded, RangeRule("kl")) == pytest.approx(threshold(smooth, RangeRule("kl")), rel=0.2)
    bins = padded.values.bins[: padded.values.used].astype(np.float64)
    assert searched(bins) * padded.values.width < 0.5 * threshold(padded, RangeRule("kl")), "the saboteur: as they are"


def test_zeros_do_not_hide_a_number_met_again_and_again() -> None:
    values = np.abs(np.random.default_rng(4).laplace(0, 1, 80_000)).astype(np.float32)
    padded = np.concatenate([values, np.full(9_000, 1.7, np.float32)])
    without = threshold(statistics_of(padded), RangeRule("kl"))
    assert threshold(statistics_of(np.pad(padded, (0, 1_000_000))), RangeRule("kl")) == without


def test_one_number_far_out_is_not_cut_off_when_it_is_met_again_and_again() -> None:
    values = np.abs(np.random.default_rng(4).normal(0, 1, 400_000)).astype(np.float32)
    held = statistics_of(np.concatenate([values, np.full(50_000, 6.0, np.float32)]))
    assert threshold(held, RangeRule("kl")) == 6.0


def test_of_few_values_nothing_is_cut_off() -> None:
    held = drawn(count=FEW * BINS // 2 - 100, outlier=8.0)
    assert held.values.count < FEW * held.values.used
    assert threshold(held, RangeRule("kl")) == held.largest
    assert threshold(drawn(outlier=8.0), RangeRule("kl")) < 8.0


def test_levels_that_its_bins_do_not_tell_apart_are_refused() -> None:
    with pytest.raises(DeclarationError, match="kl at 16 bits"):
        RangeRule("kl", bits=16)


@pytest.mark.parametrize("how", [*RULES, *SIXTEEN], ids=str)
def test_a_tensor_of_zeros_has_an_empty_range(how: RangeRule) -> None:
    assert ranges_of({"t": statistics_of(np.zeros(50_000, np.float32))}, how, ()) == {"t": (0.0, 0.0)}


@pytest.mark.parametrize("how", [*RULES, *SIXTEEN], ids=str)
def test_a_constant_tensor_keeps_its_number(how: RangeRule) -> None:
    for number in (3.0, -3.0, 4.0, 1e-30):
        found = ranges_of({"t": statistics_of(np.full(90_000, number, np.float32))}, how, ())["t"]
        assert found == pytest.approx((min(number, 0), max(number, 0)), rel=1e-3)


# --- least squares


def error(held: TensorStatistics, limit: float, levels: int) -> float:
    """What cutting off at a limit costs, bin by bin."""
    lowest, highest = rules.within(held, limit)
    step = (highest - lowest) / (levels - 1)
    middles = (np.arange(BINS) + 0.5) * held.values.width
    costs = np.where(middles < limit, step**2 / 12, (middles - limit) ** 2)
    return float((costs * held.values.bins).sum())


@pytest.mark.parametrize("levels", [256, 65536])
@given(values=arrays(np.float32, st.integers(1, 200), elements=st.floats(-100, 100, width=32)))
def test_least_error_beats_every_other_bin(levels: int, values: NDArray) -> None:
    held = statistics_of(values)
    limit = least_error(held, levels)
    costs = [error(held, (bin_ + 1) * held.values.width, levels) for bin_ in range(0, held.values.used, 64)]
    around = [error(held, limit + by * held.values.width, levels) for by in (-1, 1) if limit + by > 0]
    assert error(held, limit, levels) <= min([*costs, *around]) * (1 + 1e-6) + 1e-12


def test_least_error_cuts_more_of_fewer_bits() -> None:
    held = drawn(outlier=8.0)
    assert threshold(held, RangeRule("mse")) < threshold(held, RangeRule("mse", bits=16))


def test_rules_differ_where_there_is_a_long_tail() -> None:
    values = np.random.default_rng(1).laplace(0, 1, 200_000).astype(np.float32)
    held = statistics_of(values)
    found = [threshold(held, how) for how in RULES]
    assert len(set(found)) == len(RULES)
    assert max(found) == held.largest


def test_a_histogram_of_nothing_is_cut_nowhere() -> None:
    empty = TensorStatistics(0.0, 0.0, Histogram(0, np.zeros(BINS, np.int64)))
    assert [threshold(empty, how) for how in RULES] == [0.0] * len(RULES)
