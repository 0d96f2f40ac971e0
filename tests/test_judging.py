"""Outcomes are summed set by set, pooled over the declared ones, and judged by the claims that are about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.claim import Claim
from harness.declaration import DeclarationError
from harness.evaluate import Scored
from harness.judging import Judging, noted, tally
from harness.metrics.classification import CLASS_ACCURACY
from harness.metrics.recognition import STRICT
from harness.reference import Asset, DataSet, Reference
from harness.registry import load_models
from harness.verdict import Answer, Verdict

FOLDER = Asset(name="sets", patterns=("sets",), licence="none", source="the test")
NOWHERE = Path("outcomes.jsonl")
SETS = st.dictionaries(st.sampled_from("abcd"), st.lists(st.booleans(), min_size=1, max_size=8), min_size=1)


def claim(printed: str, **said: object) -> Claim:
    return Claim(**{"metric": "acc", "printed": printed, "source": "the test", **said})


def reference(*claims: Claim, n: int = 4, pooled: tuple[str, ...] = ()) -> Reference:
    data = DataSet(name="sets", reader="toy:reader", asset=FOLDER, n=n, pooled=pooled)
    return Reference(name="official", weights=(FOLDER,), data=data, claims=claims)


def outcome(name: str, hit: bool, truth: str = "abcd") -> Scored:
    predicted = truth if hit else "abXX"
    return Scored(name, predicted, truth, STRICT.count(predicted, truth), np.zeros(1))


def stream(**sets: list[bool]) -> list[Scored]:
    return [outcome(f"{name}/{number}", hit) for name, hits in sets.items() for number, hit in enumerate(hits)]


def answer(of: Reference, scored: list[Scored], *, whole: bool = True, precision: str = "fp32") -> Answer:
    return Judging(of, STRICT, whole=whole, precision=precision).answer(iter(scored), NOWHERE)


class TestSets:
    @given(SETS)
    def test_every_outcome_counts_once_in_its_set(self, sets):
        parts = tally(stream(**sets), STRICT)
        assert {name: [sums[:2] for sums in rows] for name, rows in parts.items()} == {
            name: [(sum(hits), len(hits))] for name, hits in sets.items()
        }

    @given(SETS)
    def test_pooled_figures_are_the_sums_of_the_sets(self, sets):
        every = [hit for hits in sets.values() for hit in hits]
        found = answer(reference(claim("0.5"), n=len(every)), stream(**sets))
        assert (found.figures["hits"], found.figures["n"]) == (sum(every), len(every))
        assert found.figures["complete"] is True
        for name, hits in sets.items():
            assert len(sets) == 1 or found.figures[f"{name}: hits"] == sum(hits)
        assert ("by set: " in found.line) == (len(sets) > 1)

    def test_sets_that_are_not_pooled_are_shown_and_not_counted(self):
        of = reference(claim("0.75", hits=3, n=4), pooled=("a", "b"))
        found = answer(of, stream(a=[True, True], b=[True, False], other=[False] * 5))
        assert found.verdict is Verdict.PASS
        assert (found.figures["hits"], found.figures["n"]) == (3, 4)
        assert (found.figures["other: hits"], found.figures["other: n"]) == (0, 5)
        assert "by set: a 2/2, b 1/2, other 0/5 (not pooled)" in found.line

    def test_of_none_of_the_pooled_sets_nothing_is_claimed(self):
        found = answer(reference(claim("0.75"), pooled=("a", "b")), stream(other=[True] * 3))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "acc 0.75: no sample of a, b was read; by set: other 3/3 (not pooled)" in found.line
        assert "acc" not in found.figures

    def test_a_pool_that_misses_a_set_is_incomplete(self):
        found = answer(reference(claim("0.75"), n=4, pooled=("a", "b")), stream(a=[True, True]))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.figures["complete"] is False


class TestClaims:
    @pytest.mark.parametrize(("hits", "verdict"), [(2, Verdict.PASS), (1, Verdict.FAIL)])
    def test_a_claim_on_one_set_is_judged_by_that_set(self, hits, verdict):
        of = reference(claim("1.0", hits=2, n=2, part="a"))
        found = answer(of, stream(a=[True] * hits + [False] * (2 - hits), b=[hits == 1] * 2))
        assert found.verdict is verdict
        assert f"a acc {hits / 2:.4f} ({hits}/2, " in found.line

    def test_a_set_of_another_size_than_claimed_cannot_tell(self):
        found = answer(reference(claim("1.0", hits=3, n=3, part="a")), stream(a=[True] * 2, b=[True] * 2))
        assert found.verdict is Verdict.INCONCLUSIVE

    def test_a_claim_on_a_set_that_was_not_read_is_inconclusive_with_its_name(self):
        found = answer(reference(claim("1.0", hits=1, n=1, part="SVT")), stream(a=[True] * 4))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "acc 1.0: no sample of SVT was read" in found.line

    @pytest.mark.parametrize(("printed", "verdict"), [("0.87", Verdict.PASS), ("0.88", Verdict.FAIL)])
    def test_an_edit_distance_is_judged_by_its_own_value(self, printed, verdict):
        # Two of four letters wrong in one of four words: 1 - 0.5 / 4 = 0.875.
        of = reference(claim("0.75", hits=3, n=4), claim(printed, metric="norm_edit_dis"))
        found = answer(of, stream(a=[True, True, True, False]))
        assert found.verdict is verdict
        assert found.figures["norm_edit_dis"] == pytest.approx(0.875, abs=1e-5)
        assert f"norm_edit_dis 0.8750 (n=4, 95% 0.1959..1.0000), claim {printed}, " in found.line

    @pytest.mark.parametrize(("precision", "judged"), [("fp32", "0.5"), ("int16", "0.25")])
    def test_a_claim_is_about_forms_of_its_precision(self, precision, judged):
        of = reference(claim("0.5"), claim("0.25", precisions=("int16",)))
        line = answer(of, stream(a=[True] * 4), precision=precision).line
        assert f"claim {judged}, " in line
        assert line.count("claim ") == 1

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_a_claim_may_be_about_several_precisions(self, precision):
        found = answer(reference(claim("0.8", precisions=("fp32", "fp16"))), stream(a=[True] * 4), precision=precision)
        assert found.verdict is Verdict.PASS
        assert "in fp32" not in found.line

    def test_beside_what_another_precision_gives_stands_what_single_precision_gave(self):
        of = reference(
            claim("0.75", hits=3, n=4), claim("0.5", precisions=("fp16",)), claim("0.9", precisions=("int8",))
        )
        found = answer(of, stream(a=[True, True, False, False]), precision="fp16")
        assert found.verdict is Verdict.PASS
        assert found.line.startswith("acc 0.5000 (2/4, ")
        assert found.line.endswith("claim 0.5, floor 0.5000; in fp32 acc 0.75 (3/4) is claimed")
        single = answer(of, stream(a=[True] * 4))
        assert "is claimed" not in single.line

    def test_where_only_single_precision_is_claimed_nothing_is_judged(self):
        found = answer(reference(claim("0.75", part="a")), stream(a=[True, False]), precision="fp16")
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.line.startswith(
            "1/2: the reference official claims no figure to judge in fp16; in fp32 a acc 0.75 "
        )

    @pytest.mark.parametrize(("precision", "compared"), [("fp32", True), ("fp16", False)])
    def test_golden_outputs_are_those_of_single_precision(self, precision, compared):
        of = load_models()["ppocr_cls"].reference("official")
        judging = Judging(of, CLASS_ACCURACY, whole=True, precision=precision)
        scored = Scored("cls_b1/0000", "0", "0", (1.0, 1.0), np.zeros(2))
        assert ("goldens: " in judging.answer(iter([scored]), NOWHERE).line) is compared

    def test_times_and_sizes_are_not_judged_here(self):
        time = claim("3", metric="latency", unit="ms", clock="device", batch=1)
        found = answer(reference(time, claim("34", metric="size", unit="MB", form="onnx")), stream(a=[True] * 4))
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "4/4: the reference official claims no figure to judge in" in found.line

    def test_a_value_that_the_metric_does_not_give_is_a_wrong_declaration(self):
        with pytest.raises(DeclarationError, match=r"claim on hmean: .* acc, norm_edit_dis, acc_folded"):
            answer(reference(claim("0.5", metric="hmean")), stream(a=[True]))

    @pytest.mark.parametrize("whole", [True, False])
    def test_a_part_of_the_data_is_never_complete(self, whole):
        found = answer(reference(claim("1.0", hits=4, n=4)), stream(a=[True] * 4), whole=whole)
        assert found.verdict is (Verdict.PASS if whole else Verdict.INCONCLUSIVE)
        assert (found.figures["whole"], found.figures["complete"]) == (whole, whole)


def test_what_a_data_set_is_known_for_stands_in_line_and_figures() -> None:
    found = answer(reference(claim("1.0", hits=4, n=4)), stream(a=[True] * 4))
    told = noted(found, {"pictures of IC03_860 in IC03_867": 860})
    assert told.line.endswith("; pictures of IC03_860 in IC03_867: 860")
    assert told.figures["pictures of IC03_860 in IC03_867"] == 860
    assert noted(found, {}) == found


def test_a_claim_on_a_part_needs_no_data_of_its_size() -> None:
    with pytest.raises(DeclarationError, match="is on n=3, its data has 4 samples"):
        reference(claim("1.0", hits=3, n=3))
    assert replace(reference(claim("1.0", hits=3, n=3, part="a"))).claims[0].part == "a"
