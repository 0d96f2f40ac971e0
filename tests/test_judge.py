"""A figure is judged one-sided, on the claim's own samples, and a part of them decides only what it can."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from harness.claim import Claim
from harness.judge import Hits, Mean, Share, Similarity, judge, upper_bound
from harness.verdict import Verdict

CLAIM = Claim(metric="acc", printed="0.8479", hits=10232, n=12067, source="a guide")
SHARES = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def verdict(hits: int, n: int, complete: bool, claim: Claim = CLAIM) -> Verdict:
    return judge(claim, Share(hits, n, complete))[0]


class TestComplete:
    @pytest.mark.parametrize(
        ("hits", "expected"), [(10231, Verdict.FAIL), (10232, Verdict.PASS), (10233, Verdict.PASS)]
    )
    def test_the_floor_decides_to_the_sample(self, hits, expected):
        assert verdict(hits, 12067, complete=True) == expected

    @given(SHARES)
    def test_the_floor_decides_however_few_the_samples_are(self, counts):
        hits, n = counts
        assert verdict(hits, n, complete=True) == (Verdict.PASS if hits / n >= CLAIM.floor else Verdict.FAIL)

    @given(SHARES, st.integers(1, 6))
    def test_the_hits_of_the_claim_itself_pass_however_its_figure_was_rounded(self, counts, digits):
        hits, n = counts
        for scaled in (hits * 10**digits // n, (2 * hits * 10**digits + n) // (2 * n)):
            printed = f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
            claim = Claim(metric="acc", printed=printed, hits=hits, n=n, source="a guide")
            assert verdict(hits, n, complete=True, claim=claim) == Verdict.PASS

    def test_the_vendors_truncated_figure_holds_on_its_thirty_samples_and_not_one_hit_lower(self):
        claim = Claim(metric="acc", printed="0.699", hits=21, n=30, epsilon=1e-5, source="a guide")
        assert verdict(21, 30, complete=True, claim=claim) == Verdict.PASS
        assert verdict(20, 30, complete=True, claim=claim) == Verdict.FAIL

    @pytest.mark.parametrize(("hits", "expected"), [(79, Verdict.FAIL), (80, Verdict.PASS), (81, Verdict.PASS)])
    def test_a_claim_without_counts_holds_at_exactly_its_figure(self, hits, expected):
        claim = Claim(metric="acc", printed="0.80", source="a guide")
        assert verdict(hits, 100, complete=True, claim=claim) == expected

    def test_an_allowance_lowers_the_floor_and_no_more(self):
        claim = Claim(metric="acc", printed="0.80", source="a guide", allow=0.05, because="the device rounds")
        assert verdict(76, 100, complete=True, claim=claim) == Verdict.PASS
        assert verdict(74, 100, complete=True, claim=claim) == Verdict.FAIL


class TestPart:
    @given(SHARES)
    def test_a_part_never_passes(self, counts):
        assert verdict(*counts, complete=False) in (Verdict.INCONCLUSIVE, Verdict.FAIL)

    @given(SHARES)
    def test_a_part_fails_only_where_its_upper_bound_lies_below_the_floor(self, counts):
        hits, n = counts
        upper = 1.0 if hits == n else float(beta.ppf(0.95, hits + 1, n - hits))
        expected = Verdict.FAIL if upper < CLAIM.floor else Verdict.INCONCLUSIVE
        assert verdict(hits, n, complete=False) == expected

    def test_the_bound_is_the_one_sided_one(self):
        # Of 10 samples without a hit the exact one-sided bound is 1 - 0.05 ** (1 / 10); the two-sided one is 0.308.
        assert upper_bound(Share(0, 10, complete=False)) == pytest.approx(1 - 0.05**0.1)
        assert Share(0, 10, complete=False).interval()[1] == pytest.approx(1 - 0.025**0.1)

    def test_a_few_samples_below_the_floor_cannot_tell_and_the_line_says_how_many_would(self):
        found, line = judge(CLAIM, Share(8, 10, complete=False))
        assert found == Verdict.INCONCLUSIVE
        assert "10 samples cannot tell, all 12067 samples would" in line

    def test_a_part_that_cannot_be_chance_fails_and_says_by_what(self):
        found, line = judge(CLAIM, Share(500, 1000, complete=False))
        assert found == Verdict.FAIL
        assert "even the upper 95% bound 0.5265 lies below the floor" in line


class TestBoth:
    @given(st.integers(1, 500), st.booleans())
    def test_all_hits_are_never_a_failure(self, n, complete):
        assert verdict(n, n, complete) != Verdict.FAIL

    @given(st.integers(2, 300), st.booleans(), st.data())
    def test_more_hits_never_turn_into_a_failure(self, n, complete, data):
        hits = data.draw(st.integers(0, n - 1))
        if verdict(hits, n, complete) != Verdict.FAIL:
            assert verdict(hits + 1, n, complete) != Verdict.FAIL

    @given(SHARES, st.booleans())
    def test_the_line_says_measured_expected_bound_and_n(self, counts, complete):
        hits, n = counts
        line = judge(CLAIM, Share(hits, n, complete))[1]
        assert f"acc {hits / n:.4f} ({hits}/{n}, 95% " in line
        assert "claim 0.8479 (10232/12067), floor 0.8479" in line

    @given(SHARES)
    def test_the_interval_holds_the_share(self, counts):
        share = Share(*counts, complete=True)
        low, high = share.interval()
        assert 0 <= low <= share.value <= high <= 1
        assert low < upper_bound(share) <= high


DISTANCE = Claim(metric="norm_edit_dis", printed="0.9322", source="the test")
NUMBERS = st.lists(st.floats(0, 1), min_size=1, max_size=50)


class TestMeans:
    @given(NUMBERS)
    def test_the_interval_holds_the_mean_and_stays_in_its_range(self, numbers):
        mean = Mean(sum(numbers), len(numbers), complete=True)
        low, high = mean.interval()
        assert 0 <= low <= min(mean.value, 1) <= high + 1e-12 <= 1 + 1e-12

    @pytest.mark.parametrize("n", [10, 100, 1000])
    def test_hoeffdings_bound_is_the_published_one(self, n):
        # P(mean - true >= t) <= exp(-2 n t^2): at 5%, t = sqrt(ln 20 / 2 n).
        assert upper_bound(Mean(0.0, n, complete=False)) == pytest.approx(np.sqrt(np.log(20) / (2 * n)))

    @given(NUMBERS, st.data())
    def test_a_whole_set_is_judged_by_the_floor_alone(self, numbers, data):
        total = sum(numbers)
        found, line = judge(DISTANCE, Mean(total, len(numbers), complete=True))
        assert found is (Verdict.PASS if total / len(numbers) >= 0.9322 else Verdict.FAIL)
        assert f"norm_edit_dis {total / len(numbers):.4f} (n={len(numbers)}, 95% " in line

    def test_a_part_fails_only_beyond_its_bound(self):
        assert judge(DISTANCE, Mean(60.0, 100, complete=False))[0] is Verdict.FAIL
        assert judge(DISTANCE, Mean(90.0, 100, complete=False))[0] is Verdict.INCONCLUSIVE
        assert judge(DISTANCE, Mean(100.0, 100, complete=False))[0] is Verdict.INCONCLUSIVE

    @given(NUMBERS)
    def test_a_measure_makes_a_mean_of_similarities_from_summed_distances(self, numbers):
        counts = {"hits": 1, "n": len(numbers), "distance": sum(numbers)}
        found = Similarity("distance").of(counts, complete=True)
        assert found.value == pytest.approx(1 - sum(numbers) / len(numbers))
        assert Hits().of(counts, complete=False) == Share(1, len(numbers), False)

    def test_a_claim_in_per_cent_is_judged_as_a_share_and_told_as_printed(self):
        claim = Claim(metric="acc", printed="80.67", unit="%", source="the test")
        found, line = judge(claim, Share(8067, 10000, complete=True))
        assert found is Verdict.PASS
        assert line.endswith(", claim 80.67%, floor 0.8067")
        assert judge(claim, Share(8066, 10000, complete=True))[0] is Verdict.FAIL

    def test_a_claim_on_one_part_says_which(self):
        claim = Claim(metric="acc", printed="0.5", hits=1, n=2, part="SVT", source="the test")
        assert judge(claim, Share(1, 2, complete=True))[1].startswith("SVT acc 0.5000 (1/2, ")
