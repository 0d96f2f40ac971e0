"""Word accuracy and edit distance are what the guides' scripts count, sample by sample and summed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from harness.judge import Mean, Share
from harness.metrics.recognition import FOLDED, LOWER_CASED, STRICT, Words, folded
from harness.postprocess.recognition import LOWER

ANY = st.text(st.characters(codec="utf-8"), max_size=12)
SPELT = st.text(LOWER, max_size=12)
PAIRS = st.lists(st.tuples(ANY, ANY), min_size=1, max_size=30)
METRICS = pytest.mark.parametrize("metric", [LOWER_CASED, FOLDED, STRICT], ids=lambda metric: metric.truth.__name__)


def summed(metric: Words, pairs: list[tuple[str, str]]) -> list[float]:
    return [sum(column) for column in zip(*(metric.count(*pair) for pair in pairs), strict=True)]


def plain_distance(left: str, right: str) -> int:
    """Levenshtein's distance by its definition."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


class TestCounting:
    @METRICS
    @given(pairs=PAIRS)
    def test_counts_add_up(self, metric, pairs):
        sums = dict(zip(metric.columns, summed(metric, pairs), strict=True))
        assert sums["n"] == len(pairs)
        assert sums["hits"] == sum(left == metric.truth(right) for left, right in pairs) or metric.ignore_space
        assert 0 <= sums["hits"] <= len(pairs)
        assert sums["folded_hits"] == sum(folded(left) == folded(right) for left, right in pairs)

    @METRICS
    @given(predicted=ANY, truth=ANY)
    def test_a_hit_is_at_distance_zero_and_nothing_else_is(self, metric, predicted, truth):
        hit, one, distance, _, _ = metric.count(predicted, truth)
        assert one == 1
        assert (distance == 0) == bool(hit)

    @given(ANY, ANY)
    def test_the_distance_is_levenshteins_over_the_longer_length(self, predicted, truth):
        distance = STRICT.count(predicted, truth)[2]
        longer = max(len(predicted), len(truth))
        assert distance == pytest.approx(plain_distance(predicted, truth) / longer if longer else 0.0)
        assert distance == Levenshtein.normalized_distance(predicted, truth)

    @pytest.mark.parametrize(
        ("predicted", "truth", "distance"), [("", "", 0.0), ("", "abc", 1.0), ("kitten", "sitting", 3 / 7)]
    )
    def test_golden_distances(self, predicted, truth, distance):
        assert STRICT.count(predicted, truth)[2] == pytest.approx(distance)


class TestRules:
    @pytest.mark.parametrize(
        ("predicted", "truth", "lower_cased", "as_folded", "strict"),
        [
            ("available", "available", 1, 1, 1),
            ("available", "AVAILable", 1, 1, 0),
            ("availabl", "available", 0, 0, 0),
            ("", "", 1, 1, 1),
            ("", "a", 0, 0, 0),
            ("03092009", "03/09/2009", 0, 1, 0),
            ("caf", "Café", 0, 1, 0),
            ("a b", "ab", 0, 1, 0),
            ("ab", "a b", 0, 1, 0),
            ("It's", "It's", 0, 0, 1),
        ],
    )
    def test_what_is_a_hit(self, predicted, truth, lower_cased, as_folded, strict):
        found = [metric.count(predicted, truth)[0] for metric in (LOWER_CASED, FOLDED, STRICT)]
        assert found == [lower_cased, as_folded, strict]

    @given(SPELT, ANY)
    def test_a_label_that_crnn_cannot_spell_counts_and_is_never_hit(self, predicted, truth):
        hit, one, _, _, unspellable = LOWER_CASED.count(predicted, truth)
        assert one == 1
        assert not (hit and unspellable)
        assert unspellable == (not set(truth.lower()) <= set(LOWER))

    @given(ANY)
    def test_folding_keeps_letters_and_digits_alone_and_is_idempotent(self, text):
        assert set(folded(text)) <= set(LOWER)
        assert folded(folded(text)) == folded(text)


class TestValues:
    @given(PAIRS)
    def test_the_guides_script_divides_by_n_and_paddles_by_a_little_more(self, pairs):
        hits, n, distance, folded_hits, _ = summed(STRICT, pairs)
        assert LOWER_CASED.value((hits, n, distance, folded_hits, 0))["acc"] == hits / n
        assert STRICT.value((hits, n, distance, folded_hits, 0)) == {
            "acc": hits / (n + 1e-5),
            "norm_edit_dis": 1 - distance / (n + 1e-5),
            "acc_folded": folded_hits / (n + 1e-5),
        }

    def test_the_guides_figures_come_out_of_their_counts(self):
        assert LOWER_CASED.value((2377, 3000, 0, 0, 0))["acc"] == pytest.approx(0.7923, abs=5e-5)
        assert FOLDED.value((10232, 12067, 0, 0, 0))["acc"] == 0.847932376855944

    def test_nothing_at_all_is_zero_right_and_no_distance_as_upstream(self):
        assert STRICT.value((0, 0, 0, 0, 0)) == {"acc": 0, "norm_edit_dis": 1, "acc_folded": 0}

    @given(PAIRS)
    def test_each_value_is_judged_by_its_own_counts(self, pairs):
        counts = dict(zip(STRICT.columns, summed(STRICT, pairs), strict=True))
        values = STRICT.value(list(counts.values()))
        for name, measure in STRICT.measures.items():
            found = measure.of(counts, complete=True)
            assert found.value == pytest.approx(values[name], abs=1.1e-5)
            assert isinstance(found, Mean if name == "norm_edit_dis" else Share)
