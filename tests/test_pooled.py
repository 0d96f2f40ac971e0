"""Ratios of sums over pictures: their value, the interval of pictures that vary, and what such a claim is judged by."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claim import Claim
from harness.judge import LEAST_PICTURES, Pooled, Ratio, judge, products, upper_bound
from harness.verdict import Verdict

HMEAN = Ratio(("matched", "matched"), ("truths", "detections"))
COLUMNS = ("matched", "truths", "detections")
PICTURE = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)).map(
    lambda found: (min(found), found[1], found[2])
)
CLAIM = Claim(metric="hmean", printed="0.411", source="the test")


def counted(pictures) -> dict[str, float]:
    """The summed counts of pictures, as a metric with ratios counts them."""
    rows = [dict(zip(COLUMNS, picture, strict=True)) for picture in pictures]
    sums = {name: float(sum(row[name] for row in rows)) for name in COLUMNS}
    for name in products(COLUMNS):
        left, _, right = name.partition("*")
        sums[name] = float(sum(row[left] * row[right] for row in rows))
    return {**sums, "n": len(rows)}


def of(pictures, *, complete: bool = True) -> Pooled:
    return HMEAN.of(counted(pictures), complete=complete)


class TestValue:
    @given(st.lists(PICTURE, min_size=1, max_size=40))
    def test_it_is_the_ratio_of_the_sums(self, pictures):
        matched, truths, detections = np.sum(pictures, axis=0)
        expected = 2 * matched / (truths + detections) if truths + detections else 0.0
        assert of(pictures).value == pytest.approx(expected)

    def test_it_is_counted_in_words(self):
        assert of([(2, 3, 4), (1, 1, 1)]).counted == "6/9 over n=2"


class TestSpread:
    @given(st.lists(PICTURE, min_size=2, max_size=40))
    def test_the_variance_is_that_of_the_linearised_ratio(self, pictures):
        found = of(pictures)
        rows = np.array(pictures, float)
        top, bottom = 2 * rows[:, 0], rows[:, 1] + rows[:, 2]
        if not bottom.sum():
            assert found.spread == 0
            return
        residuals = top - found.value * bottom
        expected = (residuals**2).sum() * len(rows) / (len(rows) - 1) / bottom.sum() ** 2
        assert found.spread == pytest.approx(expected, abs=1e-9)

    def test_it_agrees_with_a_bootstrap_over_pictures(self):
        rng = np.random.default_rng(7)
        truths, detections = rng.integers(1, 9, 200), rng.integers(1, 9, 200)
        matched = rng.binomial(np.minimum(truths, detections), 0.5)
        rows = np.stack([matched, truths, detections], axis=1)
        drawn = rows[rng.integers(0, 200, (2000, 200))].sum(axis=1)
        low, high = np.quantile(2 * drawn[:, 0] / (drawn[:, 1] + drawn[:, 2]), [0.025, 0.975])
        assert of(rows.tolist()).interval() == pytest.approx((low, high), abs=0.004)

    @given(st.lists(PICTURE, min_size=LEAST_PICTURES, max_size=40))
    def test_the_interval_holds_the_value_and_stays_in_its_range(self, pictures):
        low, high = of(pictures).interval()
        assert 0 <= low <= of(pictures).value <= high <= 1

    @given(st.lists(PICTURE, min_size=1, max_size=LEAST_PICTURES - 1))
    def test_few_pictures_tell_nothing(self, pictures):
        assert of(pictures).interval() == (0.0, 1.0)


class TestVerdicts:
    def test_all_pictures_are_judged_by_the_floor(self):
        pictures = [(1, 3, 1)] * 50
        assert judge(CLAIM, of(pictures))[0] is Verdict.PASS
        assert judge(CLAIM, of([*pictures, *[(0, 3, 3)] * 50]))[0] is Verdict.FAIL

    def test_a_part_is_inconclusive_unless_its_bound_lies_below_the_floor(self):
        near = of([(1, 3, 2), (0, 2, 1), (2, 3, 3), (0, 1, 2)] * 10, complete=False)
        assert near.value < 0.411 < upper_bound(near)
        assert judge(CLAIM, near)[0] is Verdict.INCONCLUSIVE
        far = of([(0, 3, 2), (1, 5, 5)] * 20, complete=False)
        assert upper_bound(far) < 0.411
        assert judge(CLAIM, far)[0] is Verdict.FAIL
        assert judge(CLAIM, replace(far, n=LEAST_PICTURES - 1))[0] is Verdict.INCONCLUSIVE
