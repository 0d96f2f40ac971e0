"""What was found, what is there and what is ignored can be told apart in a picture for people."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from harness.boxes import Box, Region, write_boxes, write_truth
from harness.overlay import boxes as module
from harness.overlay.boxes import FOUND, IGNORED, LEGEND, TRUTH, Stroke, overlay
from harness.overlay.sheet import LONGEST


def square(left: int, top: int, side: int = 60):
    return ((left, top), (left + side, top), (left + side, top + side), (left, top + side))


def encoded(width: int = 400, height: int = 200, level: int = 90) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (level,) * 3).save(file, "PNG")
    return file.getvalue()


def drawn(found=(), places=(), ignored=(), content: bytes | None = None) -> np.ndarray:
    """The overlay's pixels, height x width x RGB."""
    truth = write_truth([*(Region(each, "a") for each in places), *(Region(each, "###") for each in ignored)])
    made = overlay(content or encoded(), write_boxes([Box(each, 0.87) for each in found]), truth)
    with Image.open(io.BytesIO(made)) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture.convert("RGB")).astype(int)


def coloured(pixels: np.ndarray, stroke: Stroke) -> np.ndarray:
    """Where a stroke's colour is, as far as a JPEG keeps it."""
    return np.abs(pixels - np.array(ImageColor.getrgb(stroke.colour))).max(axis=-1) < 70


def around(left: int, top: int, side: int = 60) -> tuple[slice, slice]:
    return slice(top - 4, top + side + 5), slice(left - 4, left + side + 5)


class TestDrawing:
    def test_each_kind_has_its_colour_where_it_lies(self):
        pixels = drawn([square(20, 40)], [square(150, 40)], [square(280, 40)])
        for stroke, left in ((FOUND, 20), (TRUTH, 150), (IGNORED, 280)):
            for other in (FOUND, TRUTH, IGNORED):
                seen = coloured(pixels[around(left, 40)], other).sum()
                assert seen > 100 if other is stroke else seen < 5, (stroke.name, other.name)

    def test_only_the_truth_has_no_gaps(self):
        pixels = drawn([square(20, 40)], [square(150, 40)], [square(280, 40)])
        shares = {
            stroke.name: coloured(pixels[38:43, left + 4 : left + 56], stroke).any(axis=0).mean()
            for stroke, left in ((FOUND, 20), (TRUTH, 150), (IGNORED, 280))
        }
        assert shares["truth"] == 1
        assert 0.4 < shares["found"] < 0.9
        assert 0.2 < shares["ignored"] < 0.8

    def test_what_was_found_is_seen_on_a_truth_of_the_same_place(self):
        pixels = drawn([square(150, 40)], [square(150, 40)])
        assert coloured(pixels[around(150, 40)], FOUND).sum() > 60
        assert coloured(pixels[around(150, 40)], TRUTH).sum() > 60

    def test_scores_are_written_beside_their_boxes(self):
        beside = (slice(60, 80), slice(86, 120))
        assert coloured(drawn([square(20, 40)])[beside], FOUND).sum() > 10
        assert not coloured(drawn(places=[square(20, 40)])[beside], TRUTH).any()

    def test_the_legend_lies_below_and_counts(self):
        empty, some = drawn(), drawn([square(20, 40)])
        assert empty.shape == (200 + LEGEND, 400, 3)
        assert np.abs(empty[:196] - 90).max() < 12
        for stroke in (FOUND, TRUTH, IGNORED):
            assert coloured(empty[200:], stroke).sum() > 10
        assert np.abs(empty[204:] - some[204:]).max() > 100

    def test_a_box_that_reaches_outside_is_cut_off_and_leaves_the_legend(self):
        pixels = drawn([((-50, -50), (350, -50), (350, 500), (-50, 500))])
        assert coloured(pixels[:195, 340:360], FOUND).sum() > 100
        assert np.array_equal(coloured(pixels[206:], FOUND), coloured(drawn([square(20, 40)])[206:], FOUND))

    def test_a_long_picture_is_shrunk_and_boxes_with_it(self):
        pixels = drawn(places=[square(2000, 200, 120)], content=encoded(2560, 600))
        assert pixels.shape == (300 + LEGEND, LONGEST, 3)
        assert coloured(pixels[around(1000, 100)], TRUTH).sum() > 100

    @pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000)])
    def test_pictures_of_any_shape_are_drawn(self, size):
        assert drawn([square(0, 0)], [square(0, 0, 0)], content=encoded(*size)).shape[2] == 3


class TestRefusals:
    def test_what_cannot_be_read_is_told(self):
        with pytest.raises(ValueError, match="OpenCV"):
            overlay(b"", "[]", "[]")
        with pytest.raises(ValueError, match="expected a list of points and score"):
            overlay(encoded(), "", "[]")
        with pytest.raises(ValueError, match="expected a list of transcription and points"):
            overlay(encoded(), "[]", "")


def test_saboteur_kinds_of_one_colour_are_seen(monkeypatch):
    monkeypatch.setattr(module, "FOUND", Stroke("found", TRUTH.colour, 2, 8, 6))
    with pytest.raises(AssertionError, match="found"):
        TestDrawing().test_each_kind_has_its_colour_where_it_lies()
