"""Logits and classes become the classes of a picture's own pixels, or what is neither is refused and named."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.agree import NEVER_UNDECIDED, null_outputs
from harness.backends import Outputs
from harness.evaluate import check_outputs
from harness.metrics.segmentation import ALL, CITYSCAPES
from harness.postprocess import segmentation
from harness.postprocess.segmentation import argmax, compare, decode
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Refused

SIDES = st.integers(1, 9)
# Few values, so that there are ties.
LOGITS = st.tuples(SIDES, SIDES).flatmap(
    lambda size: arrays(np.float32, (ALL, *size), elements=st.sampled_from((-2.0, 0.0, 0.5, 3.0)))
)
MAPS = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, size, elements=st.integers(0, ALL - 1)))
KINDS = (np.uint8, np.int8, np.int32, np.int64, np.float16, np.float32, np.float64)


def one_hot(classes: np.ndarray) -> np.ndarray:
    """Logits that decide each pixel by 1."""
    return np.moveaxis(np.eye(ALL)[classes.astype(np.int64)], -1, -3)


class TestBestClass:
    @given(LOGITS)
    def test_it_is_that_of_the_largest_logit_and_of_equal_ones_the_first(self, logits):
        found = decode(logits, logits.shape[1:])
        assert found.dtype == np.uint8
        assert np.array_equal(found, logits.argmax(axis=0))

    @given(LOGITS)
    def test_many_pictures_have_classes_as_a_graph_gives_them(self, logits):
        many = np.stack([logits, -logits])
        found = argmax(many)
        assert found.dtype == np.int64
        assert np.array_equal(found, many.argmax(axis=1))

    def test_of_a_picture_of_many_rows_none_is_left_out(self):
        logits = np.random.default_rng(5).normal(size=(ALL, 3 * segmentation.ROWS + 1, 3)).astype(np.float32)
        assert np.array_equal(decode(logits, logits.shape[1:]), logits.argmax(axis=0))


class TestClasses:
    @given(MAPS, st.sampled_from(KINDS))
    def test_whole_numbers_of_any_kind_are_classes(self, classes, kind):
        found = decode(classes.astype(kind), classes.shape)
        assert found.dtype == np.uint8
        assert np.array_equal(found, classes)

    @given(
        MAPS, st.sampled_from((-1, ALL, 255, 256, 256 + 3, -256, 2**31 - 1)), st.sampled_from((np.int64, np.float32))
    )
    def test_what_is_no_class_is_refused_by_its_value(self, classes, wrong, kind):
        value = classes.astype(kind)
        value[-1, -1] = wrong
        expected = rf"the output holds {value[-1, -1]:g} and 0 more values of {value.size} that are no class"
        with pytest.raises(Refused, match=expected.replace("+", r"\+")):
            decode(value, classes.shape)

    @pytest.mark.parametrize(("wrong", "named"), [(3.5, "3.5"), (np.nan, "nan"), (np.inf, "inf"), (-0.25, "-0.25")])
    def test_numbers_that_are_not_whole_are_refused(self, wrong, named):
        with pytest.raises(Refused, match=f"the output holds {named} and 5 more values of 6"):
            decode(np.full((2, 3), wrong), (2, 3))

    @pytest.mark.parametrize("shape", [(20, 2, 3), (2, 3, ALL), (1, ALL, 2, 3), (6,)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(Refused, match=r"expected \[19, H, W\] or \[H, W\]"):
            decode(np.zeros(shape, np.float32), (2, 3))


class TestSizes:
    @given(MAPS, SIDES, SIDES)
    def test_each_pixel_is_that_below_its_centre(self, classes, height, width):
        found = decode(classes, (height, width))
        old = classes.shape
        for row in range(height):
            for column in range(width):
                at = int((row + 0.5) * old[0] / height), int((column + 0.5) * old[1] / width)
                assert found[row, column] == classes[at]

    @given(MAPS, st.integers(1, 4))
    def test_a_whole_factor_repeats_pixels_as_others_do(self, classes, factor):
        size = tuple(side * factor for side in classes.shape)
        found = decode(classes, size)
        assert np.array_equal(found, classes.repeat(factor, 0).repeat(factor, 1))
        assert np.array_equal(found, cv2.resize(classes, size[::-1], interpolation=cv2.INTER_NEAREST))

    @given(LOGITS, SIDES, SIDES)
    def test_logits_are_decided_before_they_are_resized(self, logits, height, width):
        before = decode(logits.argmax(axis=0), (height, width))
        assert np.array_equal(decode(logits, (height, width)), before)


class TestAnotherAxis:
    """A graph that takes the best of rows or columns, and not of classes."""

    @pytest.mark.parametrize("axis", [2, 3])
    def test_it_is_refused_by_its_shape(self, toy, axis):
        spec = TensorSpec(name="classes", axes=(BATCH, 8, 16), dtype="int64")
        logits = np.random.default_rng(2).normal(size=(1, ALL, 8, 16))
        model = toy(outputs=(spec,))
        check_outputs(Outputs(("a",), {"classes": logits.argmax(axis=1)}), ("a",), model)
        with pytest.raises(Refused, match=r"classes has shape \[1, 19, .*\], expected \[1, 8, 16\]"):
            check_outputs(Outputs(("a",), {"classes": logits.argmax(axis=axis)}), ("a",), model)

    def test_where_the_shape_is_the_same_the_metric_sees_it(self):
        """19 rows and columns: nothing but the truth tells it."""
        truth = np.random.default_rng(2).integers(0, ALL, (ALL, ALL), np.uint8)
        logits = one_hot(truth)
        found = [
            CITYSCAPES.value(CITYSCAPES.count(decode(classes, truth.shape), truth))["miou"]
            for classes in (logits.argmax(axis=0), logits.argmax(axis=1))
        ]
        assert (found[0], found[1] < 0.1) == (1, True)


def slow(expected, actual, bound):
    """n, compared and equal of logits, pixel by pixel."""
    n = compared = equal = 0
    for left, right in zip(expected, actual, strict=True):
        for row in range(left.shape[1]):
            for column in range(left.shape[2]):
                first, second = sorted(left[:, row, column].tolist())[:-3:-1]
                n += 1
                if first - second > 2 * bound:
                    compared += 1
                    equal += left[:, row, column].argmax() == right[:, row, column].argmax()
    return n, compared, equal


class TestCompare:
    @given(LOGITS, st.sampled_from((NEVER_UNDECIDED, 0.0, 0.25, 1.0, 1.5)), st.randoms(use_true_random=False))
    def test_pixels_count_that_are_decided_beyond_twice_the_bound(self, logits, bound, random):
        expected = np.stack([logits, logits[::-1]]).astype(np.float64)
        rng = np.random.default_rng(random.randrange(2**32))
        actual = expected + rng.normal(size=expected.shape) * rng.choice([0.1, 1, 3])
        found = compare(expected, actual, bound)
        assert (found.n, found.compared, found.equal) == slow(expected, actual, bound)
        assert found.unit == "pixels"
        assert found.shown["pixels_equal"] == (expected.argmax(axis=1) == actual.argmax(axis=1)).mean()
        assert bound != NEVER_UNDECIDED or found.compared == found.n

    @given(LOGITS, st.sampled_from((0.125, 0.5, 1.5)), st.integers(0, 2**32 - 1))
    def test_nothing_within_the_bound_turns_a_pixel_that_is_compared(self, logits, bound, seed):
        off = np.random.default_rng(seed).uniform(-bound, bound, logits.shape)
        found = compare(logits[None].astype(np.float64), logits[None] + off, bound)
        assert found.equal == found.compared

    @given(MAPS, st.integers(0, 2**32 - 1), st.sampled_from((np.int64, np.float64)))
    def test_of_classes_every_pixel_counts(self, classes, seed, kind):
        rng = np.random.default_rng(seed)
        other = np.where(rng.random(classes.shape) < 0.3, rng.integers(0, ALL, classes.shape), classes)
        found = compare(classes[None].astype(kind), other[None].astype(kind), 0.0)
        same = int((classes == other).sum())
        assert (found.n, found.compared, found.equal) == (classes.size, classes.size, same)
        assert found.shown["pixels_equal"] == same / classes.size

    @given(MAPS, st.integers(0, 2**32 - 1))
    def test_miou_is_that_of_the_metric_over_classes_that_occur(self, classes, seed):
        rng = np.random.default_rng(seed)
        other = np.where(rng.random(classes.shape) < 0.3, rng.integers(0, ALL, classes.shape), classes).astype(np.uint8)
        expected = CITYSCAPES.value(CITYSCAPES.count(other, classes))["miou_present"]
        for left, right in ((classes, other), (one_hot(classes), one_hot(other))):
            assert compare(left[None], right[None], 0.0).shown["miou"] == pytest.approx(expected)

    def test_all_pictures_count_together(self):
        maps = np.random.default_rng(4).integers(0, 3, (4, 6, 5))
        other = maps.copy()
        other[2, 0] = 3
        found = compare(maps, other, 0.0)
        assert (found.n, found.equal) == (120, 115)
        assert found.shown["miou"] == pytest.approx(
            CITYSCAPES.value(
                CITYSCAPES.count(other.reshape(24, 5).astype(np.uint8), maps.reshape(24, 5).astype(np.uint8))
            )["miou_present"]
        )

    def test_values_that_are_no_classes_are_equal_only_to_themselves(self):
        strange, other = np.full((1, 2, 3), 20), np.full((1, 2, 3), 30)
        assert (compare(strange, other, 0.0).equal, compare(strange, strange, 0.0).equal) == (0, 6)
        assert compare(strange, other, 0.0).shown["miou"] == 0

    @pytest.mark.parametrize("maps", [True, False])
    def test_outputs_that_must_not_pass_keep_few_pixels(self, maps):
        """Also those that are no classes at all, such as a constant between two."""
        classes = np.random.default_rng(6).integers(1, ALL, (3, 16, 12))
        expected = classes.astype(np.float64) if maps else one_hot(classes) * 4.0
        for name, null in null_outputs(expected):
            found = compare(expected, null, NEVER_UNDECIDED)
            assert (name, found.equal / found.compared < 0.2, found.shown["miou"] < 0.2) == (name, True, True)
