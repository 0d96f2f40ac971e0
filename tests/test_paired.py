"""How sure the difference of two ways to answer the same samples is, by published examples, by theory and by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.judge import LEAST_PICTURES, Ratio
from harness.paired import PairedHits, PairedPictures, bootstrap, mcnemar

RECALL = Ratio(("matched",), ("truths",))
Z = 1.6448536269514722
"""Of a one-sided bound of 95%."""


@st.composite
def tables(draw: st.DrawFn) -> PairedHits:
    """Any outcome of up to 300 pairs, from those where nothing changed to those where all did."""
    lost, gained, both, neither = (draw(st.integers(0, most)) for most in (60, 60, 90, 90))
    return PairedHits(lost + both, lost, gained, max(1, lost + gained + both + neither))


class TestTango:
    @pytest.mark.parametrize(
        ("lost", "gained", "n", "confidence", "interval"),
        [
            # T. Tango, Statistics in Medicine 17 (1998), 6.1: soft contact lenses.
            (0, 1, 44, 0.90, (-0.096, 0.037)),
            # Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014): airway reactivity of children.
            (1, 7, 21, 0.95, (-0.517, -0.026)),
            # The test cases of the R packages ratesci and PropCIs.
            (9, 3, 32, 0.95, (-0.027, 0.390)),
            (28, 25, 618, 0.90, (-0.0148, 0.0247)),
        ],
    )
    def test_it_gives_what_was_published(
        self, lost: int, gained: int, n: int, confidence: float, interval: tuple[float, float]
    ) -> None:
        digits = 4 if n == 618 else 3
        found = PairedHits(lost, lost, gained, n).interval(confidence)
        assert tuple(round(end, digits) for end in found) == interval

    @given(tables(), st.floats(0.5, 0.999))
    @example(PairedHits(0, 0, 0, 500), 0.9)
    @example(PairedHits(44, 44, 0, 44), 0.9)
    @example(PairedHits(0, 0, 44, 44), 0.9)
    @example(PairedHits(1, 1, 0, 1), 0.9)
    def test_both_ends_solve_the_quartic_that_needs_no_iteration(self, pair: PairedHits, confidence: float) -> None:
        """Its coefficients: Yang, Sun and Hardin, Statistics in Medicine 32 (2013)."""
        from scipy.stats import norm

        low, high = pair.interval(confidence)
        assert -1 <= low <= pair.loss <= high <= 1
        g, n, d = norm.ppf((1 + confidence) / 2) ** 2, pair.n, pair.lost - pair.gained
        changed = pair.lost + pair.gained
        quartic = [
            n**2 * (n / g + 1) ** 2,
            -n * d * (n / g + 1) * (4 * n / g + 1),
            2 * n * d**2 * (3 * n / g + 2) / g - n**2 * (changed / g + 1),
            n * d * (2 * changed / g + 1) - d**3 * (4 * n / g + 1) / g,
            d**2 * (d**2 / g - changed) / g,
        ]
        for end in (low, high):
            assert np.polyval(quartic, end) == pytest.approx(0, abs=1e-7 * np.abs(quartic).max())

    @given(tables())
    def test_swapping_the_ways_mirrors_it(self, pair: PairedHits) -> None:
        low, high = pair.interval(0.9)
        other = PairedHits(pair.hits - pair.lost + pair.gained, pair.gained, pair.lost, pair.n).interval(0.9)
        assert other == pytest.approx((-high, -low), abs=1e-9)

    @pytest.mark.parametrize("n", [30, 500, 10**6])
    def test_nothing_that_changed_says_what_so_many_samples_may_not_have_shown(self, n: int) -> None:
        low, high = PairedHits(n // 2, 0, 0, n).interval(0.9)
        assert high == pytest.approx(Z**2 / (n + Z**2))
        assert low == pytest.approx(-high)

    @pytest.mark.parametrize(("lost", "gained", "n"), [(0.05, 0.03, 300), (0.10, 0.02, 200), (0.02, 0.02, 1000)])
    def test_the_upper_bound_is_above_the_loss_as_often_as_it_says(self, lost: float, gained: float, n: int) -> None:
        draw = np.random.default_rng(1)
        drawn = draw.multinomial(n, [lost, gained, 1 - lost - gained], size=1500)
        below = [PairedHits(n, int(b), int(c), n).interval(0.9)[1] < lost - gained for b, c, _ in drawn]
        assert 0.03 < np.mean(below) < 0.07

    @given(tables(), st.floats(0.005, 0.3))
    def test_so_many_samples_as_it_asks_for_tell(self, pair: PairedHits, bound: float) -> None:
        """Tried with as many times the counts, where these are whole numbers."""
        low, high = pair.interval(0.9)
        enough = pair.enough(bound, 0.9)
        if enough is None:
            assert pair.loss == pytest.approx(bound)
            return
        told = high <= bound or low > bound
        assert (enough <= pair.n) is told or enough == pytest.approx(pair.n, rel=1e-6)
        times = math.ceil(enough / pair.n) + 1
        more = PairedHits(*(times * count for count in (pair.hits, pair.lost, pair.gained, pair.n)))
        low, high = more.interval(0.9)
        assert high <= bound or low > bound

    def test_a_loss_on_the_bound_is_told_by_no_number_of_samples(self) -> None:
        assert PairedHits(50, 10, 0, 100).enough(0.1, 0.9) is None


class TestMcNemar:
    @pytest.mark.parametrize(("lost", "gained", "p"), [(0, 0, 1.0), (6, 0, 2 / 64), (8, 2, 2 * (1 + 10 + 45) / 1024)])
    def test_p_is_the_binomial_tail_twice(self, lost: int, gained: int, p: float) -> None:
        assert mcnemar(lost, gained) == pytest.approx(p, rel=1e-12)
        assert PairedHits(lost, lost, gained, 99).p == mcnemar(gained, lost)


def pictures(matched: list[tuple[int, int]], truths: int = 4) -> PairedPictures:
    """Pictures of so many places each, by how many are matched both ways."""
    before, after = ([{"matched": pair[way], "truths": truths} for pair in matched] for way in (0, 1))
    return PairedPictures.of(RECALL, before, after)


class TestPictures:
    def test_values_and_loss_are_of_all_pictures_together(self) -> None:
        pair = pictures([(4, 3), (0, 0), (2, 3), (4, 1)])
        assert (pair.values, pair.n, pair.changed) == ((10 / 16, 7 / 16), 4, 3)
        assert pair.loss == pytest.approx(3 / 16)

    def test_of_few_pictures_all_is_possible(self) -> None:
        pair = pictures([(4, 4)] * (LEAST_PICTURES - 1))
        assert pair.interval(0.9) == (-1.0, 1.0)
        assert pair.enough(0.01, 0.9) is None

    def test_pictures_that_did_not_change_are_no_proof_of_all_others(self) -> None:
        """A bootstrap of equal sides has no width at all."""
        few, many = (pictures([(4, 4), (2, 2)] * (n // 2)) for n in (40, 500))
        assert bootstrap(few.measure, few.sides, 0.9) == (0.0, 0.0)
        assert few.interval(0.9) == (0.0, pytest.approx(0.75 * Z**2 / (40 + Z**2)))
        assert many.interval(0.9)[1] < 0.005
        assert few.interval(0.9)[1] > 0.04

    def test_it_is_the_same_for_the_same_outcomes_and_mirrored_for_swapped_ones(self) -> None:
        draw = np.random.default_rng(0)
        drawn = [(int(a), int(b)) for a, b in draw.integers((1, 0), (5, 4), size=(60, 2))]
        pair = pictures(drawn)
        assert pair.interval(0.9) == pair.interval(0.9)
        low, high = bootstrap(RECALL, pair.sides, 0.9)
        assert bootstrap(RECALL, pair.sides[::-1], 0.9) == pytest.approx((-high, -low))
        assert high < 0
        assert pair.interval(0.9) == (-high, -low)

    def test_the_upper_bound_is_above_the_loss_as_often_as_it_says(self) -> None:
        draw, below = np.random.default_rng(2), 0
        for _ in range(60):
            before = draw.binomial(4, 0.7, size=60)
            after = draw.binomial(before, 0.9)
            below += pictures(list(zip(before.tolist(), after.tolist(), strict=True))).interval(0.9)[1] < 0.07
        assert 1 <= below <= 8

    def test_so_many_as_it_asks_for_tell(self) -> None:
        drawn = [(4, 3)] * 3 + [(3, 4)] * 2 + [(3, 3)] * 35
        pair = pictures(drawn)
        assert pair.interval(0.9)[1] > 0.03 > pair.loss
        enough = pair.enough(0.03, 0.9)
        assert enough is not None
        assert enough > 40
        more = pictures(drawn * math.ceil(enough / 40))
        assert more.interval(0.9)[1] <= 0.031
