"""Classes of pixels are counted as PaddleSeg counts them: pooled areas, 255 left out, an absent class as 0."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from harness import iou
from harness.cityscapes import CLASSES, IGNORED
from harness.datasets import DataError
from harness.iou import AREAS
from harness.metrics.segmentation import ALL, CITYSCAPES
from harness.verdict import Refused

# Few classes, so that maps overlap.
SOME = st.sampled_from((0, 1, 2, 11, 18))
SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7))


def maps(values):
    return SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=values))


@st.composite
def pictures(draw, values=SOME):
    shape = draw(SHAPES)
    return tuple(draw(arrays(np.uint8, shape, elements=each)) for each in (values, st.one_of(values, st.just(IGNORED))))


def plain(found) -> dict[str, list[int]]:
    """Areas of classes over pictures, pixel by pixel."""
    sums = {area: [0] * ALL for area in AREAS}
    for predicted, truth in found:
        for answer, label in zip(predicted.ravel().tolist(), truth.ravel().tolist(), strict=True):
            if label != IGNORED:
                sums["predicted"][answer] += 1
                sums["labelled"][label] += 1
                sums["intersection"][label] += answer == label
    return sums


def paddle(sums) -> dict[str, Fraction]:
    """The published formulas, exact."""
    both, predicted, labelled = (sums[area] for area in AREAS)
    every = [
        (Fraction(i, p + l - i) if p + l - i else None, Fraction(i, p) if p else Fraction(0))
        for i, p, l in zip(both, predicted, labelled, strict=True)  # noqa: E741
    ]
    present = [value for value, _ in every if value is not None]
    total = sum(labelled)
    found = {f"iou_{name}": each[0] for name, each in zip(CLASSES, every, strict=True) if each[0] is not None}
    found |= {f"precision_{name}": each[1] for name, each in zip(CLASSES, every, strict=True) if each[0] is not None}
    found["miou"] = sum(present, Fraction(0)) / ALL
    found["miou_present"] = sum(present, Fraction(0)) / len(present) if present else Fraction(0)
    found["accuracy"] = Fraction(sum(both), total) if total else Fraction(0)
    chance = Fraction(sum(p * l for p, l in zip(predicted, labelled, strict=True)), total**2 or 1)  # noqa: E741
    found["kappa"] = (found["accuracy"] - chance) / (1 - chance) if total and chance < 1 else Fraction(0)
    return found


def counted(predicted, truth) -> dict[str, float]:
    return dict(zip(CITYSCAPES.columns, CITYSCAPES.count(predicted, truth), strict=True))


def values(found) -> dict[str, float]:
    """The metric's values over pictures."""
    return dict(CITYSCAPES.value(np.sum([CITYSCAPES.count(*each) for each in found], axis=0).tolist()))


class TestCounts:
    @given(pictures())
    def test_areas_are_those_counted_pixel_by_pixel(self, picture):
        found = counted(*picture)
        expected = plain([picture])
        for area in AREAS:
            assert [found[f"{area}_{name}"] for name in CLASSES] == expected[area]
        assert found["n"] == 1
        assert found["correct"] == sum(expected["intersection"])
        assert found["counted"] == sum(expected["labelled"]) == sum(expected["predicted"])
        assert found["correct*counted"] == found["correct"] * found["counted"]
        assert (found["correct*correct"], found["counted*counted"]) == (found["correct"] ** 2, found["counted"] ** 2)

    @given(pictures())
    def test_a_hit_is_a_picture_without_a_wrong_pixel_and_faults_are_wrong_pixels(self, picture):
        counts = CITYSCAPES.count(*picture)
        wrong = Counter(zip(*(each.ravel().tolist() for each in picture), strict=True))
        faults = sum(often for (answer, label), often in wrong.items() if label not in (answer, IGNORED))
        assert CITYSCAPES.faults(counts) == faults
        assert counts[0] == (faults == 0)

    @given(pictures(), st.randoms(use_true_random=False))
    def test_what_is_answered_where_nothing_is_labelled_counts_nowhere(self, picture, random):
        predicted, truth = picture
        other = np.where(truth == IGNORED, np.uint8(random.randrange(ALL)), predicted)
        assert CITYSCAPES.count(other, truth) == CITYSCAPES.count(predicted, truth)

    def test_counts_are_whole_numbers_that_json_holds(self):
        assert {type(count) for count in CITYSCAPES.count(*[np.zeros((2, 3), np.uint8)] * 2)} == {int}

    def test_a_picture_of_more_pixels_than_a_float_counts_is_counted_exactly(self, monkeypatch):
        rng = np.random.default_rng(3)
        picture = rng.integers(0, ALL, (2, 50, 40), np.uint8)
        whole = CITYSCAPES.count(*picture)
        monkeypatch.setattr(iou, "EXACT", 130)
        assert CITYSCAPES.count(*picture) == whole

    def test_maps_need_not_lie_in_order_in_memory(self):
        predicted, truth = np.random.default_rng(3).integers(0, ALL, (2, 50, 40), np.uint8)
        turned = CITYSCAPES.count(predicted[::-1].T, truth[::-1].T)
        assert turned == CITYSCAPES.count(predicted, truth)


class TestValues:
    @given(st.lists(pictures(), min_size=1, max_size=4))
    def test_they_are_the_published_formulas_of_the_areas_of_all_pictures(self, found):
        expected = paddle(plain(found))
        assert values(found) == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-12)

    def test_of_nothing_they_are_0(self):
        found = CITYSCAPES.value([0] * len(CITYSCAPES.columns))
        assert found == {"miou": 0, "miou_present": 0, "accuracy": 0, "kappa": 0}

    def test_every_value_that_a_claim_may_be_on_is_given(self):
        assert set(CITYSCAPES.measures) < set(values([(np.zeros((2, 2), np.uint8),) * 2]))

    @given(st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 2**31)), min_size=ALL, max_size=ALL))
    def test_kappa_of_a_set_of_thousands_of_large_pictures_is_that_of_exact_numbers(self, drawn):
        """Areas of 2**31 pixels: their products pass 64 bits when they are added up."""
        sums = dict.fromkeys(CITYSCAPES.columns, 0)
        areas = {area: [0] * ALL for area in AREAS}
        for place, (right, wrong) in enumerate(drawn):
            # What is told wrong is told to be the next class.
            areas["intersection"][place] += right
            areas["labelled"][place] += right + wrong
            areas["predicted"][place] += right
            areas["predicted"][(place + 1) % ALL] += wrong
        sums |= {f"{area}_{name}": number for area in AREAS for name, number in zip(CLASSES, areas[area], strict=True)}
        sums |= {"correct": sum(areas["intersection"]), "counted": sum(areas["labelled"])}
        expected = {name: float(value) for name, value in paddle(areas).items()}
        assert dict(CITYSCAPES.value(list(sums.values()))) == pytest.approx(expected, rel=1e-9, abs=1e-12)

    def test_where_chance_is_always_right_kappa_is_0(self):
        assert values([(np.full((3, 3), 4, np.uint8),) * 2])["kappa"] == 0

    @given(maps(SOME))
    def test_a_map_is_wholly_itself(self, truth):
        found = values([(truth, truth)])
        present = len(np.unique(truth))
        assert (found["miou_present"], found["accuracy"]) == (1, 1)
        assert found["miou"] == pytest.approx(present / ALL)
        assert {name for name in found if name.startswith("iou_")} == {f"iou_{CLASSES[at]}" for at in np.unique(truth)}


class TestRefused:
    def test_another_shape(self):
        with pytest.raises(Refused, match=r"the answer has \[4, 6\] pixels, its label \[2, 3\]$"):
            CITYSCAPES.count(np.zeros((4, 6), np.uint8), np.zeros((2, 3), np.uint8))

    def test_height_and_width_exchanged(self):
        with pytest.raises(Refused, match=r"\[3, 2\] pixels, its label \[2, 3\]; height and width are exchanged"):
            CITYSCAPES.count(np.zeros((3, 2), np.uint8), np.zeros((2, 3), np.uint8))

    @pytest.mark.parametrize("value", [19, 33, 254, IGNORED])
    def test_an_answer_that_is_no_class_also_where_nothing_is_labelled(self, value):
        with pytest.raises(Refused, match=f"the answer holds {value}, expected classes, 0 to 18"):
            CITYSCAPES.count(np.full((2, 3), value, np.uint8), np.full((2, 3), IGNORED, np.uint8))

    @given(st.integers(ALL, IGNORED - 1))
    def test_a_label_that_is_no_train_id(self, value):
        truth = np.array([[0, 255, value]], np.uint8)
        with pytest.raises(DataError, match=f"a label holds {value}, expected trainIds, 0 to 18 and 255; are these"):
            CITYSCAPES.count(np.zeros_like(truth), truth)

    def test_many_strange_values_are_not_all_listed(self):
        with pytest.raises(DataError, match=r"holds 19, 20, 21, 22, 23, \.\.\., expected"):
            CITYSCAPES.count(np.zeros((5, 6), np.uint8), np.arange(30, dtype=np.uint8).reshape(5, 6))

    @pytest.mark.parametrize("wrong", [np.zeros((2, 3)), np.zeros((2, 3), np.int64), np.zeros((1, 2, 3), np.uint8)])
    def test_what_is_no_map_of_bytes(self, wrong):
        with pytest.raises(ValueError, match="expected two maps of uint8"):
            CITYSCAPES.count(wrong, np.zeros(wrong.shape, wrong.dtype))
        with pytest.raises(ValueError, match="expected two maps of uint8"):
            CITYSCAPES.count(np.zeros((2, 3), np.uint8), wrong)


@pytest.fixture(scope="module")
def street():
    """A square scene of bands and boxes in 14 classes, a few of its pixels without a label, and a good answer to it."""
    rng = np.random.default_rng(11)
    truth = np.repeat(np.repeat(rng.integers(0, 14, (8, 8), np.uint8), 8, axis=0), 8, axis=1)
    truth[rng.random(truth.shape) < 0.05] = IGNORED
    answer = np.where(truth == IGNORED, np.roll(truth, 3, axis=1), truth)
    answer = np.where(rng.random(truth.shape) < 0.1, rng.integers(0, 14, truth.shape, np.uint8), answer)
    return np.where(answer == IGNORED, 0, answer).astype(np.uint8), truth


class TestSaboteurs:
    """What goes wrong on the way is seen by a value, or refused."""

    def test_the_scene_itself_is_answered_well(self, street):
        found = values([street])
        assert (found["miou_present"] > 0.75, found["accuracy"] > 0.85) == (True, True)

    def test_a_square_map_that_is_turned(self, street):
        predicted, truth = street
        assert values([(np.ascontiguousarray(predicted.T), truth)])["miou_present"] < 0.2

    def test_classes_that_are_shifted(self, street):
        predicted, truth = street
        assert values([((predicted + 1) % ALL, truth)])["miou_present"] < 0.1

    def test_pixels_without_a_label_that_are_counted(self, street):
        predicted, truth = street
        as_if = np.where(truth == IGNORED, 18, truth).astype(np.uint8)
        assert values([(predicted, as_if)])["accuracy"] < values([street])["accuracy"] - 0.03

    def test_absent_classes_are_told_apart_on_a_single_scene(self, street):
        found = values([street])
        assert found["miou"] == pytest.approx(found["miou_present"] * 14 / ALL)
        assert "iou_train" not in found

    def test_pictures_that_are_left_out_show_in_n(self, street):
        columns = [CITYSCAPES.count(*street)] * 3
        assert np.sum(columns[:2], axis=0)[1] == 2 != len(columns)


def test_real_labels_are_counted(shared):
    labels = sorted((shared / "assets" / "cityscapes").glob("gtFine/*/*/*_gtFine_labelTrainIds.png"))
    if not labels:
        pytest.skip("no labels of Cityscapes")
    truth = np.asarray(Image.open(labels[0]))
    right = np.where(truth == IGNORED, 0, truth).astype(np.uint8)
    found = counted(right, truth)
    assert found["hits"] == 1
    assert found["counted"] == int((truth != IGNORED).sum())
    assert values([(right, truth)])["miou_present"] == 1
