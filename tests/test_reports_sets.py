"""Figures of sets, of precisions and of sizes stand beside the claims that are about them, and beside no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cells import Scope
from harness.claim import Claim
from harness.domains import asks
from harness.model import Model
from harness.reference import Reference
from harness.run import Run
from harness.verdict import Verdict
from reports.record import Record, RecordError, find, read
from reports.render import render
from tests.records import PROVENANCE, claimed, made, of_toy, rows_of
from tests.test_judging import answer, claim, reference, stream

ACC_OF = {"a": claim("1.0", hits=2, n=2, part="a"), "b": claim("0.5", hits=1, n=2, part="b")}
POOLED = claim("0.75", hits=3, n=4)


@pytest.fixture
def declare(toy) -> Callable[[Reference], dict[str, Model]]:
    """Toy with this official reference, its words scored with case."""
    metric = "harness.metrics.recognition:STRICT"
    return lambda official: {"toy": toy(references=(official, *toy().references), metric=metric)}


@pytest.fixture
def recorded(declare, tmp_path: Path) -> Callable[..., Record]:
    """The record of a run that judged these sets by this reference, as the suite writes it."""

    def write(of: Reference, *, whole: bool = True, **sets: list[bool]) -> Record:
        models = declare(of)
        found = asks("accuracy", models, Scope(found=frozenset({("toy", "official")})))
        run = Run(tmp_path / "run", PROVENANCE)
        judged = replace(answer(of, stream(**sets), whole=whole), outcomes=None)
        run.add(next(ask for ask in found if ask.reference == "official"), "official sha256:0", judged, 0.1)
        return read(find(str(run.record().parent)))

    return write


def accuracy_rows(text: str) -> list[list[str]]:
    """The rows of the accuracy table: metric, counts, value, interval, claim, floor and verdict."""
    return [row[2:] for row in rows_of(text, "Accuracy")]


class TestSets:
    @pytest.fixture
    def shown(self, declare, recorded) -> Callable[..., str]:
        return lambda of, **given: render(recorded(of, **given), declare(of))

    def test_every_claim_stands_beside_the_figures_of_its_own_set(self, shown):
        text = shown(reference(*ACC_OF.values(), POOLED), a=[True, True], b=[True, False])
        assert accuracy_rows(text) == [
            ["a acc", "2/2", "1.0000", "0.1581..1.0000", "1.0 (2/2)", "1.0000", "pass"],
            ["b acc", "1/2", "0.5000", "0.0126..0.9874", "0.5 (1/2)", "0.5000", "pass"],
            ["acc", "3/4", "0.7500", "0.1941..0.9937", "0.75 (3/4)", "0.7500", "pass"],
        ]
        assert "judged 3 of 3 claims" in text

    def test_sets_without_a_claim_are_shown_too_and_those_outside_the_pool(self, shown):
        of = reference(POOLED, n=4, pooled=("a", "b"))
        text = shown(of, a=[True, True], b=[True, False], other=[False] * 3)
        assert [row[:3] + row[4:] for row in accuracy_rows(text)] == [
            ["acc", "3/4", "0.7500", "0.75 (3/4)", "0.7500", "pass"],
            ["a acc", "2/2", "1.0000", "-", "-", "pass"],
            ["b acc", "1/2", "0.5000", "-", "-", "pass"],
            ["other acc", "0/3", "0.0000", "-", "-", "pass"],
        ]

    def test_a_pool_of_which_nothing_was_read_has_no_figure(self, shown):
        of = reference(POOLED, pooled=("a", "b"))
        text = shown(of, other=[True] * 3)
        assert [row[:3] for row in accuracy_rows(text)] == [
            ["acc", "n=0 (a part)", "-"],
            ["other acc", "3/3", "1.0000"],
        ]
        assert "judged 0 of 1 claims; not judged: toy official acc 0.75" in text

    def test_a_claim_on_the_only_set_that_was_read_stands_beside_it(self, shown):
        text = shown(reference(ACC_OF["a"], n=2), a=[True, True])
        assert [row[0] for row in accuracy_rows(text)] == ["a acc"]
        assert "judged 1 of 1 claims" in text

    def test_other_values_of_a_set_are_shown_with_their_own_counts(self, shown):
        of = reference(
            ACC_OF["b"],
            claim("0.75", metric="norm_edit_dis"),
            claim("0.5", hits=1, n=2, metric="acc_folded", part="b"),
        )
        rows = accuracy_rows(shown(of, a=[True, True], b=[True, False]))
        assert [row[:3] for row in rows[:3]] == [
            ["b acc", "1/2", "0.5000"],
            ["norm_edit_dis", "n=4", "0.8750"],
            ["b acc_folded", "1/2", "0.5000"],
        ]

    def test_a_set_that_falls_short_fails_its_own_claim(self, shown):
        text = shown(reference(*ACC_OF.values()), a=[True, False], b=[True, False])
        assert [row[6] for row in accuracy_rows(text)] == ["FAIL", "FAIL"]
        assert "judged 2 of 2 claims" in text

    def test_some_samples_of_a_set_judge_no_claim_on_it(self, shown):
        text = shown(reference(*ACC_OF.values()), a=[True, True], b=[True, False], whole=False)
        assert [row[1] for row in accuracy_rows(text)] == ["2/2 (a part)", "1/2 (a part)"]
        assert "judged 0 of 2 claims; not judged: toy official a acc 1.0; toy official b acc 0.5" in text

    def test_a_set_of_another_size_than_claimed_is_not_judged_though_the_answer_fails(self, shown):
        of = reference(claim("1.0", hits=3, n=3, part="a"), ACC_OF["b"])
        text = shown(of, a=[True, True], b=[False, False])
        assert [row[1] for row in accuracy_rows(text)] == ["2/2 (a part)", "0/2"]
        assert "judged 1 of 2 claims; not judged: toy official a acc 1.0" in text

    def test_a_claim_on_a_set_that_was_not_read_is_named_as_not_judged(self, shown):
        text = shown(reference(claim("1.0", hits=1, n=1, part="SVT")), a=[True] * 4)
        assert [row[0] for row in accuracy_rows(text)] == ["acc", "a acc"]
        assert "judged 0 of 1 claims; not judged: toy official SVT acc 1.0" in text

    def test_a_claim_on_a_set_that_was_changed_since_is_said(self, recorded, declare):
        record = recorded(reference(*ACC_OF.values()), a=[True, True], b=[True, False])
        now = reference(ACC_OF["a"], claim("1.0", hits=2, n=2, part="b"))
        assert [row[6] for row in accuracy_rows(render(record, declare(now)))] == ["pass (as declared now: FAIL)"] * 2

    @pytest.mark.parametrize("counts", [{"a: hits": 3}, {"a: hits": None}, {"a: n": 0}, {"a: n": None}])
    def test_counts_of_a_set_that_are_no_share_are_refused(self, declare, tmp_path, counts):
        figures = {"a: hits": 2, "a: n": 2, "a: acc": 1.0, "whole": True}
        record = made(tmp_path / "a", [claimed(**{**figures, **counts})])
        with pytest.raises(RecordError, match=r"hits .* of n .* is no share"):
            render(record, declare(reference(ACC_OF["a"], POOLED)))


class TestGoldens:
    """What goldens refute no claim saves: they have no part in what is declared now."""

    @pytest.mark.parametrize(
        ("worst", "verdict", "shown"),
        [(0.5, "fail", "FAIL"), (None, "fail", "FAIL"), (0.125, "pass", "pass")],
        ids=["over", "no number", "within"],
    )
    def test_an_answer_whose_outputs_are_off_fails_today_as_it_did(self, declare, tmp_path, worst, verdict, shown):
        figures = {"golden_max_abs": worst, "golden_bound": 0.25, "verdict": verdict}
        record = made(tmp_path / "a", [claimed(n=4, hits=3, acc=0.75, **figures)])
        assert accuracy_rows(render(record, declare(reference(POOLED))))[0][6] == shown


class TestPrecisions:
    CLAIMS = (claim("0.75", hits=3, n=4), claim("0.5", hits=2, n=4, precisions=("int16",)))

    @pytest.mark.parametrize(
        ("precision", "limit", "left"), [("fp32", "0.75 (3/4)", "acc 0.5"), ("int16", "0.5 (2/4)", "acc 0.75")]
    )
    def test_a_claim_is_measured_by_forms_of_its_precision_alone(self, declare, tmp_path, precision, limit, left):
        record = made(tmp_path / "a", [claimed(n=4, hits=3, acc=0.75, precision=precision)])
        text = render(record, declare(reference(*self.CLAIMS)))
        assert [row[4] for row in accuracy_rows(text)] == [limit]
        assert f"judged 1 of 2 claims; not judged: toy official {left}" in text

    def test_forms_of_no_claimed_precision_stand_alone(self, declare, tmp_path):
        record = made(tmp_path / "a", [claimed(n=4, hits=3, acc=0.75, precision="fp64")])
        text = render(record, declare(reference(*self.CLAIMS)))
        assert [row[4] for row in accuracy_rows(text)] == ["-"]
        assert "judged 0 of 2 claims" in text


class TestSizes:
    SIZE = Claim(metric="size", printed="34", unit="MB", form="onnx", source="a guide")
    ON_DEVICE = replace(SIZE, printed="17", device="Ascend310")

    def text(self, declare, tmp_path, *claims: Claim, **said: object) -> str:
        build = of_toy("build", subject="toy.onnx", reference="official", backend=None, point=None, size=33, **said)
        return render(made(tmp_path / "a", [build]), declare(reference(*claims)))

    @pytest.mark.parametrize(
        ("verdict", "judged"),
        [(Verdict.PASS, 1), (Verdict.FAIL, 1), (Verdict.SKIPPED, 0), (Verdict.BROKEN, 0), (Verdict.INCONCLUSIVE, 0)],
    )
    def test_a_size_is_judged_where_its_form_was_built(self, declare, tmp_path, verdict, judged):
        text = self.text(declare, tmp_path, self.SIZE, verdict=verdict.value)
        assert f"judged {judged} of 1 claims" in text
        assert ("not judged: toy official size 34 MB" in text) == (not judged)

    @pytest.mark.parametrize("other", [{"form": "network"}, {"reference": "seeded"}, {"question": "agreement"}])
    def test_answers_to_something_else_judge_no_size(self, declare, tmp_path, other):
        build = {**of_toy("build", subject="toy.onnx", reference="official", backend=None, point=None), **other}
        text = render(made(tmp_path / "a", [build]), declare(reference(self.SIZE)))
        assert "judged 0 of 1 claims; not judged: toy official size 34 MB" in text

    def test_a_size_on_a_device_is_listed_with_it_and_never_judged(self, declare, tmp_path):
        text = self.text(declare, tmp_path, self.SIZE, self.ON_DEVICE)
        assert "judged 1 of 2 claims; not judged: toy official size 17 MB on Ascend310" in text

    def test_a_size_is_no_accuracy(self, declare, tmp_path):
        record = made(tmp_path / "a", [claimed(n=4, hits=3, acc=0.75, size=33.0)])
        rows = accuracy_rows(render(record, declare(reference(POOLED, self.SIZE))))
        assert [row[0] for row in rows] == ["acc"]
