"""The mean IoU of classes over pictures: its value, how it varies with pictures, and how a claim on it is judged."""

from __future__ import annotations

import json
from weakref import ref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.cityscapes import CLASSES
from harness.claim import Claim
from harness.iou import AREAS, MeanIou
from harness.judge import LEAST_PICTURES, judge, upper_bound
from harness.judging import Judging, as_text, tally, write_outcomes
from harness.metrics.segmentation import CITYSCAPES
from harness.verdict import Verdict
from tests.segmented import judged, official, scene, streets

NAMES = ("a", "b", "c", "d")
MIOU = MeanIou(NAMES, "spread")
PRESENT = MeanIou(NAMES, "spread", present=True)
CLAIM = Claim(metric="miou", printed="22.00", unit="%", source="the test")
PICTURES = st.integers(1, 30).flatmap(
    # Intersection, and what is predicted and labelled beyond it; rare, so that some classes do not occur.
    lambda n: arrays(np.int64, (n, 3, 4), elements=st.sampled_from((0, 0, 0, 1, 5)), fill=st.nothing())
)


def areas(drawn: np.ndarray) -> np.ndarray:
    """Areas of pictures, n x ``AREAS`` x classes."""
    both, more, missed = np.moveaxis(drawn, 1, 0)
    return np.stack([both, both + more, both + missed], axis=1).astype(np.float64)


def columns(found: np.ndarray) -> dict[str, np.ndarray]:
    return {name: found[:, at // 4, at % 4] for at, name in enumerate(MIOU.summed)}


def of(found: np.ndarray, measure: MeanIou = MIOU, *, complete: bool = False):
    """What is measured of areas of pictures."""
    counts = {name: float(each.sum()) for name, each in columns(found).items()}
    return measure.of({**counts, "n": len(found), "spread": measure.variance(columns(found))}, complete=complete)


def plain(found: np.ndarray, *, present: bool) -> float:
    """The mean, class by class."""
    both, predicted, labelled = found.sum(axis=0)
    each = [i / (p + l - i) for i, p, l in zip(both, predicted, labelled, strict=True) if p + l - i]  # noqa: E741
    return sum(each) / ((len(each) or 1) if present else len(NAMES))


class TestValue:
    @given(PICTURES)
    def test_it_is_the_mean_of_ratios_of_sums(self, drawn):
        found = areas(drawn)
        assert of(found).value == pytest.approx(plain(found, present=False))
        assert of(found, PRESENT).value == pytest.approx(plain(found, present=True))
        rows = np.stack([found.sum(axis=0).ravel(), np.zeros(12)])
        assert MIOU.values(rows) == pytest.approx([plain(found, present=False), 0])
        assert PRESENT.values(rows) == pytest.approx([plain(found, present=True), 0])

    def test_it_is_counted_in_words(self):
        found = areas(np.ones((2, 3, 4), np.int64))
        found[:, :, 3] = 0
        assert of(found).counted == "3 of 4 classes over n=2"

    def test_its_columns_are_those_of_the_metric(self):
        for name in ("miou", "miou_present"):
            measure = CITYSCAPES.measures[name]
            assert set(measure.summed) < set(CITYSCAPES.columns)
            assert set(measure.columns) - set(measure.summed) == {f"{name}_spread"}
        assert MeanIou(CLASSES, "x").summed[::19] == tuple(f"{area}_road" for area in AREAS)


class TestSpread:
    @given(PICTURES, st.booleans())
    def test_it_is_the_jackknifes(self, drawn, present):
        found = areas(drawn)
        n = len(found)
        without = [plain(np.delete(found, at, axis=0), present=present) for at in range(n)]
        expected = (n - 1) / n * sum((value - np.mean(without)) ** 2 for value in without)
        measure = PRESENT if present else MIOU
        assert measure.variance(columns(found)) == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("measure", [MIOU, PRESENT])
    def test_it_agrees_with_a_bootstrap_over_pictures(self, measure):
        rng = np.random.default_rng(7)
        labelled = rng.integers(50, 900, (200, 4)) * (rng.random((200, 4)) < (1, 0.9, 0.5, 0.3))
        both = rng.binomial(labelled, rng.uniform(0.3, 1, (200, 4)))
        predicted = both + rng.binomial(200, 0.2, (200, 4))
        found = np.stack([both, predicted, labelled], axis=1).astype(np.float64)
        drawn = found[rng.integers(0, 200, (2000, 200))].sum(axis=1).reshape(2000, -1)
        low, high = np.quantile(measure.values(drawn), [0.025, 0.975])
        assert of(found, measure).interval() == pytest.approx((low, high), abs=0.1 * (high - low))

    @given(PICTURES.filter(lambda drawn: len(drawn) >= LEAST_PICTURES))
    def test_the_interval_holds_the_value_and_stays_in_its_range(self, drawn):
        for measure in (MIOU, PRESENT):
            found = of(areas(drawn), measure)
            low, high = found.interval()
            assert 0 <= low <= found.value + 1e-12
            assert found.value - 1e-12 <= high <= 1

    @given(PICTURES.filter(lambda drawn: len(drawn) < LEAST_PICTURES))
    def test_few_pictures_tell_nothing(self, drawn):
        assert of(areas(drawn)).interval() == of(areas(drawn), PRESENT).interval() == (0.0, 1.0)

    def test_a_class_that_no_label_shows_may_have_any_iou(self):
        """Of classes alike 3/4 each: where one of four is not there, they may be 3/4 * 3/4 up to 3/4 * 3/4 + 1/4."""
        found = areas(np.tile(np.array([[3], [0], [1]]), (40, 1, 4)))
        found[:, :, 3] = 0
        for measure, value in ((MIOU, 0.5625), (PRESENT, 0.75)):
            assert of(found, measure).value == value
            assert of(found, measure).interval() == pytest.approx((0.5625, 0.8125))
        found[0, 1, 3] = 1  # answered, and true nowhere
        assert of(found).interval()[1] == pytest.approx(0.8125)

    def test_a_part_without_some_classes_does_not_refute_the_figure_of_the_whole(self):
        """Each of four classes is answered 9 times in 10; a part shows three of them."""
        claim = Claim(metric="miou", printed="0.80", source="the test")
        found = areas(np.tile(np.array([[9], [0], [1]]), (200, 1, 4)))
        found[:150, :, 3] = 0
        assert judge(claim, of(found, complete=True))[0] is Verdict.PASS
        part = of(found[:150])
        assert (part.value, upper_bound(part)) == pytest.approx((0.675, 0.925))
        assert judge(claim, part)[0] is Verdict.INCONCLUSIVE
        found[:150, 0] //= 2
        assert judge(claim, of(found[:150]))[0] is Verdict.FAIL


class TestVerdicts:
    def judged(self, tmp_path, *claims, scored=None, **said):
        scored = streets() if scored is None else scored
        return judged(scored, official(*claims, n=30), tmp_path / "outcomes.jsonl", **said)

    @pytest.mark.parametrize(("printed", "verdict"), [("22.00", Verdict.PASS), ("29.00", Verdict.FAIL)])
    def test_all_pictures_are_judged_by_the_floor(self, tmp_path, printed, verdict):
        found = self.judged(tmp_path, Claim(metric="miou", printed=printed, unit="%", source="the test"))
        assert found.verdict is verdict
        value, (low, high) = found.figures["miou"], MIOU_OF(found).interval()
        assert found.line == (
            f"miou {value:.4f} (6 of 19 classes over n=30, 95% {low:.4f}..{high:.4f}), claim {printed}%, "
            f"floor {float(printed) / 100:.4f}"
        )

    def test_a_batch_that_was_dropped_decides_nothing(self, tmp_path):
        found = self.judged(tmp_path, CLAIM, scored=streets(30)[:28])
        assert (found.verdict, found.figures["n"], found.figures["complete"]) == (Verdict.INCONCLUSIVE, 28, False)
        assert "28 samples cannot tell" in found.line

    def test_a_part_fails_where_even_its_bound_lies_below_the_floor(self, tmp_path):
        every = Claim(metric="miou_present", printed="99.00", unit="%", source="the test")
        scored = streets(classes=19)
        assert self.judged(tmp_path, every, scored=scored, whole=False).verdict is Verdict.FAIL
        assert self.judged(tmp_path, every, scored=scored[:19], whole=False).verdict is Verdict.INCONCLUSIVE

    def test_a_line_stays_a_line_whatever_is_counted(self, tmp_path):
        found = self.judged(tmp_path, CLAIM, Claim(metric="accuracy", printed="0.8", source="the test"))
        assert len(found.line) < 250
        assert "labelled" not in found.line

    def test_without_a_claim_the_line_says_the_value(self, tmp_path):
        found = self.judged(tmp_path, CLAIM, precision="fp16")
        assert found.line.startswith(f"miou {found.figures['miou']:.4f} over n=30: the reference official claims no")
        assert found.line.endswith("in fp32 miou 22.00% is claimed")

    def test_sets_have_values_of_their_own(self, tmp_path):
        parts = {"a": streets(25, seed=1), "b": streets(5, wrong={2: 0.9}, seed=2)}
        named = [
            scene(each.id.replace("streets", part), each.predicted, each.truth)
            for part, of in parts.items()
            for each in of
        ]
        found = self.judged(tmp_path, CLAIM, scored=named)
        own = {part: self.judged(tmp_path, CLAIM, scored=of).figures for part, of in parts.items()}
        for part, figures in own.items():
            for name in ("miou", "miou_spread", "miou_present_spread", "labelled_wall", "kappa"):
                assert found.figures[f"{part}: {name}"] == figures[name]
        a, b = (f"{part} miou {own[part]['miou']:.4f} over n={n}" for part, n in (("a", 25), ("b", 5)))
        assert found.line.endswith(f"by set: {a}, {b}")

    def test_of_nothing_nothing_is_claimed(self, tmp_path):
        found = self.judged(tmp_path, CLAIM, scored=[])
        assert (found.verdict, found.figures["n"], "miou" in found.figures) == (Verdict.INCONCLUSIVE, 0, False)
        assert "miou 22.00%: no sample of" in found.line


def MIOU_OF(answer):  # noqa: N802
    """What was measured, made anew of an answer's figures."""
    return CITYSCAPES.measures["miou"].of(json.loads(json.dumps(dict(answer.figures))), complete=True)


class TestRecorded:
    def test_an_interval_can_be_made_anew_of_a_record(self, tmp_path):
        scored = streets()
        found = judged(scored, official(CLAIM), tmp_path / "outcomes.jsonl")
        rows = np.array([each.counts for each in scored], np.float64)
        pictures = dict(zip(CITYSCAPES.columns, rows.T, strict=True))
        for name in ("miou", "miou_present"):
            assert found.figures[f"{name}_spread"] == CITYSCAPES.measures[name].variance(pictures)
        assert MIOU_OF(found).value == found.figures["miou"]

    def test_counts_stay_whole_numbers(self, tmp_path):
        figures = judged(streets(), official(CLAIM), tmp_path / "outcomes.jsonl").figures
        assert {type(figures[column]) for column in CITYSCAPES.columns} == {int}
        assert isinstance(figures["miou_spread"], float)

    def test_an_outcome_says_maps_by_size_and_digest_and_every_count(self, tmp_path):
        (picture,) = streets(1)
        path = tmp_path / "outcomes.jsonl"
        assert list(write_outcomes([picture], path, CITYSCAPES)) == [picture]
        line = json.loads(path.read_text())
        assert list(line) == ["id", "predicted", "truth", "hit", "counts"]
        assert line["counts"] == dict(zip(CITYSCAPES.columns, picture.counts, strict=True))
        assert (line["predicted"], line["truth"]) == (as_text(picture.predicted), as_text(picture.truth))
        assert line["predicted"].startswith("32x32 sha256:")
        assert len(line["predicted"]) == len("32x32 sha256:0123456789abcdef")

    def test_a_digest_is_that_of_pixels_and_size(self):
        told = np.arange(6, dtype=np.uint8).reshape(2, 3)
        other = told.copy()
        other[1, 2] = 0
        views = [told, told[:, ::-1][:, ::-1], told.copy(order="F")]
        assert {as_text(each) for each in views} == {as_text(told)}
        assert len({as_text(each) for each in (told, other, told.reshape(3, 2))}) == 3
        assert as_text("a word") == "a word"

    def test_rows_are_kept_only_where_a_value_varies_with_them(self, tmp_path):
        scored = streets(5)
        assert [len(rows) for rows in tally(scored, CITYSCAPES).values()] == [5]

        class Summed:
            columns = CITYSCAPES.columns
            measures = {"accuracy": CITYSCAPES.measures["accuracy"]}  # noqa: RUF012

        (rows,) = tally(scored, Summed()).values()
        assert rows == [tuple(np.sum([each.counts for each in scored], axis=0))]


def test_no_map_is_kept(tmp_path):
    """Five hundred would be gigabytes."""
    told: list[ref] = []

    def stream():
        for seed in range(40):
            (picture,) = streets(1, seed=seed)
            told.append(ref(picture.predicted))
            yield picture
            assert not any(found() is not None for found in told[:-2])

    Judging(official(CLAIM, n=40), CITYSCAPES, whole=True).answer(stream(), tmp_path / "outcomes.jsonl")
    assert len(told) == 40
