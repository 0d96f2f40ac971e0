"""A quantised form is judged by what it loses against float on the same samples, and a worse one fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.assets import Assets
from harness.backends import Outputs
from harness.boxes import Box, Region, write_boxes, write_truth
from harness.claim import Claim
from harness.datasets import DataError, Sample
from harness.datasets.held_out import HeldOut
from harness.evaluate import Scored
from harness.metrics.classification import CLASS_ACCURACY
from harness.metrics.detection import ICDAR_IOU
from harness.metrics.recognition import STRICT, Words
from harness.model import Model
from harness.questions.loss import Sides, check_left_out, claimed, judge
from harness.reference import Reference
from harness.store import Store
from harness.verdict import Answer, Verdict
from harness.workbench import Wanted
from tests.quantised import BOUND, CALIBRATED, SAMPLES, QuantisedBench, asked, dead, directions, turning
from tests.saboteurs import Late, for_another_batch
from tests.test_saboteurs import settle

LEFT = SAMPLES - CALIBRATED


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def model() -> Model:
    return directions()


def bench_of(folder: Path, **wanted: object) -> QuantisedBench:
    return QuantisedBench(Store(folder / "store"), Assets(), folder / "scratch", wanted=Wanted(**wanted))


@pytest.fixture
def bench(folder: Path) -> QuantisedBench:
    return bench_of(folder)


def outcomes(answer: Answer) -> list[dict[str, object]]:
    assert answer.outcomes is not None
    return [json.loads(line) for line in answer.outcomes.read_text().splitlines()]


def turned_sides(both_ways: int, n: int) -> Sides:
    """Half of n samples are right in float; of these so many are lost, and as many of the others gained."""
    sides = Sides(CLASS_ACCURACY)
    right = [number < n // 2 for number in range(n)]
    quantised = [was != (number % (n // 2) < both_ways) for number, was in enumerate(right)]
    sides.rows = tuple([(float(hit), 1.0) for hit in arm] for arm in (right, quantised))
    sides.n, sides.changed = n, 2 * both_ways
    return sides


class TestVerdict:
    def test_an_equal_form_passes_on_many_samples(self, bench: QuantisedBench, model: Model) -> None:
        answer = settle(bench, asked(model))
        assert answer.verdict is Verdict.PASS, answer.line
        hits = answer.figures["hits"]
        assert answer.line.startswith(
            f"int8_minmax against quantisable: {hits}/{LEFT} and {hits}/{LEFT}, lost 0, gained 0, 0 answers changed; "
            f"loss 0.0000, at most 0.0263 with 95%, bound {BOUND:.4f}; McNemar p 1; calibrated on "
        )
        assert f"{CALIBRATED} of {SAMPLES} of few_words by seed 0, n={LEFT}; " in answer.line
        assert answer.line.endswith("published of the vendor's quantiser: acc 0.1; claimed in fp32: acc 0.998")

    def test_it_is_inconclusive_on_few_and_says_how_many_would_tell(self, folder: Path, model: Model) -> None:
        answer = settle(bench_of(folder, samples=30), asked(model))
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert "; 30 samples cannot tell, about 88 like these would; " in answer.line
        assert (answer.figures["n"], answer.figures["samples_to_tell"]) == (30, 88)
        assert settle(bench_of(folder, samples=88), asked(model)).verdict is Verdict.PASS

    @pytest.mark.parametrize("spoil", [turning(0.1), dead, Late()], ids=["a tenth turned", "dead", "late"])
    def test_a_form_that_answers_wrong_fails(
        self, spoil: Callable[[Outputs], Outputs], bench: QuantisedBench, model: Model
    ) -> None:
        bench.spoil = spoil
        answer = settle(bench, asked(model))
        assert answer.verdict is Verdict.FAIL
        assert "; even at least 0." in answer.line
        assert answer.figures["loss_lower"] > BOUND
        assert answer.figures["loss"] == pytest.approx((answer.figures["lost"] - answer.figures["gained"]) / LEFT)
        assert answer.figures["mcnemar_p"] < 0.05

    def test_one_that_gains_what_it_loses_fails_by_the_answers_that_stay(self) -> None:
        sides = turned_sides(both_ways=40, n=200)
        answer = judge(sides, "a against b", 0.15, "calibrated", equal=0.9)
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["loss"] == 0
        assert "60.0% of answers stay the same, expected 90.0% at least; calibrated" in answer.line
        assert judge(sides, "a against b", 0.15, "calibrated", equal=0.65).verdict is Verdict.PASS

    def test_few_samples_refute_no_form_that_loses_little(self, folder: Path, model: Model) -> None:
        bench = bench_of(folder, samples=30)
        bench.spoil = turning(0.1)
        assert settle(bench, asked(model)).verdict is Verdict.INCONCLUSIVE

    def test_one_that_answers_for_other_samples_is_named(self, bench: QuantisedBench, model: Model) -> None:
        bench.spoil = for_another_batch
        answer = settle(bench, asked(model))
        assert answer.verdict is Verdict.FAIL
        assert "answered for another batch" in answer.line


class TestSamples:
    def test_those_that_were_calibrated_on_are_left_out(self, bench: QuantisedBench, model: Model) -> None:
        answer = settle(bench, asked(model))
        reference = model.reference("bundled")
        chosen = bench.calibrated(model, reference, asked(model).form)
        judged = {line["id"] for line in outcomes(answer)}
        assert len(chosen.ids) == CALIBRATED
        assert len(judged) == answer.figures["n"] == LEFT
        assert not judged & set(chosen.ids)
        assert (answer.figures["whole"], answer.figures["complete"]) == (True, False)
        assert (answer.figures["calibration_n"], answer.figures["calibration_seed"]) == (CALIBRATED, 0)

    def test_another_seed_leaves_others_out(self, bench: QuantisedBench, model: Model) -> None:
        found = [{line["id"] for line in outcomes(settle(bench, asked(each)))} for each in (model, directions(seed=1))]
        assert len(found[0]) == len(found[1])
        assert found[0] != found[1]

    def test_the_guides_way_judges_all_and_says_so(self, folder: Path, model: Model) -> None:
        answer = settle(bench_of(folder, first=True), asked(model))
        assert (answer.figures["n"], answer.figures["complete"], answer.figures["calibration_seed"]) == (
            SAMPLES,
            True,
            None,
        )
        assert f"calibrated on the first {CALIBRATED} of {SAMPLES} of few_words, which are judged too" in answer.line

    def test_both_forms_are_fed_the_same_bytes_once(
        self, folder: Path, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from harness.evaluate import Task

        prepared: list[str] = []
        prepare = Task.prepare
        monkeypatch.setattr(
            Task, "prepare", lambda task, sample: (prepared.append(sample.id), prepare(task, sample))[1]
        )
        bench = bench_of(folder, samples=40)
        settle(bench, asked(model))
        single, quantised = bench.arms
        assert single.fed == quantised.fed
        assert list(single.fed) == prepared
        assert len(prepared) == 40

    def test_nothing_that_is_left_is_no_verdict(self) -> None:
        answer = judge(Sides(STRICT), "a against b", 0.01, "calibrated on all")
        assert (answer.verdict, answer.line) == (
            Verdict.INCONCLUSIVE,
            "a against b: no sample is left to judge; calibrated on all",
        )

    def test_ids_that_were_not_met_are_named(self) -> None:
        check_left_out({"a/1"}, {"a/1"}, "words")
        with pytest.raises(DataError, match="words: 2 of the 3 samples calibrated on are not in it, the first is a/1"):
            check_left_out({"a/1", "a/2", "a/3"}, {"a/3", "a/4"}, "words")


class TestOutcomes:
    def test_they_hold_both_answers(self, folder: Path, model: Model) -> None:
        bench = bench_of(folder, samples=50)
        bench.spoil = turning(0.2)
        answer = settle(bench, asked(model))
        lines = outcomes(answer)
        changed = [line for line in lines if line["predicted"] != line["float"]["predicted"]]
        assert len(changed) == answer.figures["answers_changed"] > 0
        assert sum(line["hit"] for line in lines) == answer.figures["hits"]
        assert sum(line["float"]["hit"] for line in lines) == answer.figures["float_hits"]
        assert sum(line["float"]["hit"] and not line["hit"] for line in lines) == answer.figures["lost"]


class TestHeldOut:
    def test_what_is_left_is_numbered_anew(self) -> None:
        class Reader:
            def __len__(self) -> int:
                return 6

            def samples(self, start: int = 0) -> Iterator[Sample]:
                return (Sample(f"w{number}", b"", "") for number in range(start, len(self)))

            def facts(self) -> dict[str, int | str]:
                return {"seen": 6}

            def close(self) -> None:
                pass

        held_out = HeldOut(Reader(), frozenset({"w0", "w3"}))
        left = [sample.id for sample in held_out.samples()]
        assert left == ["w1", "w2", "w4", "w5"]
        assert (len(held_out), held_out.met, held_out.facts()) == (4, {"w0", "w3"}, {"seen": 6})
        for start in range(6):
            assert [sample.id for sample in held_out.samples(start)] == left[start:]


PLACES = [[(20 * place, 0), (20 * place + 15, 0), (20 * place + 15, 10), (20 * place, 10)] for place in range(4)]


def scene(name: str, found: tuple[int, ...]) -> Scored:
    """A picture with four places of text, and what was answered: those of these numbers."""
    truth = write_truth([Region(points=tuple(points), text="a") for points in PLACES])
    predicted = write_boxes([Box(points=tuple(PLACES[place]), score=0.9) for place in found])
    return Scored(name, predicted, truth, ICDAR_IOU.count(predicted, truth), np.empty(0))


def scenes(tmp_path: Path, count: int, quantised: Callable[[int], tuple[int, ...]]) -> Sides:
    """Pictures whose first three places float finds, and ``quantised`` those that it says."""
    sides = Sides(ICDAR_IOU)
    pairs = [(scene(f"p{number}", (0, 1, 2)), scene(f"p{number}", quantised(number))) for number in range(count)]
    assert [scored.id for scored in sides.watch(pairs, tmp_path / "o.jsonl")] == [f"p{n}" for n in range(count)]
    return sides


class TestPictures:
    def test_matched_places_are_counted_one_by_one(self, tmp_path: Path) -> None:
        sides = scenes(tmp_path, 40, lambda number: (0, 1, 3) if number < 10 else (0, 1) if number < 15 else (0, 1, 2))
        assert sides.matched == [105, 15, 10]
        answer = judge(sides, "int8 against float", 0.01, "calibrated on 20 of 40 of scenes")
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert answer.line.startswith(
            "int8 against float: hmean 0.8364 and 0.8571, 5 pictures changed, places matched by both 105, by this one "
            "alone 10, by the other alone 15; loss 0.0208, at most 0.0"
        )
        assert "40 samples cannot tell, about " in answer.line
        assert (answer.figures["matched_both"], answer.figures["matched_float"]) == (105, 15)

    def test_equal_answers_to_forty_pictures_are_inconclusive_and_to_five_hundred_pass(self, tmp_path: Path) -> None:
        few, many = (scenes(tmp_path, count, lambda _: (0, 1, 2)) for count in (40, 500))
        assert judge(few, "a against b", 0.01, "calibrated").verdict is Verdict.INCONCLUSIVE
        assert judge(many, "a against b", 0.01, "calibrated").verdict is Verdict.PASS

    def test_a_form_that_finds_nothing_fails(self, tmp_path: Path) -> None:
        answer = judge(scenes(tmp_path, 40, lambda _: ()), "a against b", 0.01, "calibrated")
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["loss"] == pytest.approx(6 / 7)

    def test_of_fewer_than_twenty_nothing_is_said(self, tmp_path: Path) -> None:
        answer = judge(scenes(tmp_path, 19, lambda _: ()), "a against b", 0.01, "calibrated")
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert "; 19 samples cannot tell; calibrated" in answer.line


class TestSets:
    def test_those_that_are_not_pooled_are_written_and_not_judged(self, tmp_path: Path) -> None:
        def word(name: str, predicted: str) -> Scored:
            return Scored(name, predicted, "a", STRICT.count(predicted, "a"), np.empty(0))

        sides = Sides(STRICT, ("x",))
        pairs = [(word("x/1", "a"), word("x/1", "b")), (word("y/1", "a"), word("y/1", "b"))]
        assert len(list(sides.watch(pairs, tmp_path / "o.jsonl"))) == sides.read == 2
        assert (sides.n, sides.changed, sides.lost().lost) == (1, 1, 1)

    def test_a_value_that_is_neither_a_share_nor_over_pictures_is_refused(self) -> None:
        from harness.declaration import DeclarationError

        with pytest.raises(DeclarationError, match="norm_edit_dis: no share of right answers"):
            Sides(Words("norm_edit_dis: version 1", str)).lost()


class TestClaims:
    def test_those_of_the_vendor_are_listed_and_named_as_its(self) -> None:
        claims = tuple(
            Claim(metric="hmean", printed=printed, source="a guide", precisions=precisions)
            for printed, precisions in (("0.411", ("fp32",)), ("0.415", ("int8",)), ("0.409", ("fp16",)))
        )
        assert list(claimed(Reference(name="seeded", initialise="a:b", claims=claims))) == [
            "published of the vendor's quantiser: hmean 0.415",
            "claimed in fp32: hmean 0.411",
        ]
