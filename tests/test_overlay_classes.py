"""What was answered, what is true, what is wrong and what counts not at all can be told apart in a picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.cityscapes import CLASSES, IGNORED, PALETTE
from harness.overlay import classes as module
from harness.overlay.classes import CAPTION, CELL, PAINTED, PANEL, ROW, WRONG, overlay
from harness.overlay.sheet import LONGEST

GREY = 100
ROAD, TREES, SKY, CAR = 0, 8, 10, 13


def encoded(height: int = 100, width: int = 200, colour: tuple[int, int, int] = (GREY,) * 3) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def drawn(predicted: np.ndarray, truth: np.ndarray, content: bytes | None = None) -> np.ndarray:
    """The overlay's pixels, height x width x RGB."""
    made = overlay(content or encoded(*truth.shape), predicted, truth)
    with Image.open(io.BytesIO(made)) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture.convert("RGB")).astype(int)


def halves(left: int, right: int) -> np.ndarray:
    """A map of 100 x 200."""
    return np.repeat(np.array([[left, right]], np.uint8), 100, axis=1).repeat(100, axis=0).reshape(100, 200)


def panel(pixels: np.ndarray, number: int) -> np.ndarray:
    """One of the four panels, of a picture twice as wide as high."""
    top = number // 2 * (PANEL // 2 + CAPTION) + CAPTION
    return pixels[top : top + PANEL // 2, number % 2 * PANEL :][:, :PANEL]


def legend(pixels: np.ndarray) -> np.ndarray:
    return pixels[2 * (PANEL // 2 + CAPTION) :]


def middle(part: np.ndarray, half: int) -> np.ndarray:
    """The mean colour of the left or right half of a panel, away from its edges."""
    return part[40:-40, half * PANEL // 2 + 40 : (half + 1) * PANEL // 2 - 40].mean(axis=(0, 1))


def is_close(colour: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(colour - wanted).max() < 8)


def over(value: int) -> np.ndarray:
    """A class's colour as it looks over the picture."""
    return PAINTED * np.array(PALETTE[value]) + (1 - PAINTED) * GREY


def shown_in_legend(pixels: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return (np.abs(legend(pixels) - np.array(colour)).max(axis=-1) < 10).sum() > 100


class TestPanels:
    def test_answer_and_truth_have_the_colours_of_their_classes_where_these_lie(self):
        pixels = drawn(halves(ROAD, SKY), halves(ROAD, CAR))
        for number, maps in enumerate(((ROAD, SKY), (ROAD, CAR))):
            for half, value in enumerate(maps):
                assert is_close(middle(panel(pixels, number), half), over(value)), (number, half)

    def test_what_is_wrong_is_loud_and_what_is_right_is_faint(self):
        faults = panel(drawn(halves(ROAD, SKY), halves(ROAD, CAR)), 2)
        assert middle(faults, 0).max() < 40
        assert is_close(middle(faults, 1), 0.85 * np.array(WRONG) + 0.15 * GREY)

    def test_what_is_ignored_is_striped_and_never_wrong(self):
        pixels = drawn(halves(ROAD, SKY), halves(ROAD, IGNORED))
        for number in (1, 2):
            part = panel(pixels, number)[40:-40, PANEL // 2 + 40 : -40]
            # Grey, and of two kinds.
            assert np.ptp(part.mean(axis=(0, 1))) < 6
            assert part.std() > 30
        assert is_close(middle(panel(pixels, 0), 1), over(SKY))

    def test_classes_are_not_mixed_where_they_meet(self):
        maps = np.repeat(np.array([[ROAD, CAR]], np.uint8), 10, axis=1).repeat(10, axis=0)
        pixels = panel(drawn(maps, maps), 0)
        apart = [np.abs(pixels - over(value)).max(axis=-1) for value in (ROAD, CAR)]
        assert (np.minimum(*apart) > 25).mean() < 0.02

    def test_the_picture_lies_beside_them_in_its_own_colours(self):
        content = encoded(colour=(200, 120, 40))
        assert is_close(middle(panel(drawn(halves(ROAD, SKY), halves(ROAD, SKY), content), 3), 0), (200, 120, 40))

    def test_the_share_of_wrong_pixels_is_told_of_those_that_count(self, monkeypatch):
        assert module._share(25, 2000) == "wrong: 1.25% of 2,000 pixels"
        assert module._share(0, 0) == "no pixel counts"
        few, many = (drawn(halves(ROAD, value), halves(ROAD, CAR)) for value in (CAR, SKY))
        top = PANEL // 2 + CAPTION
        caption = slice(top + 2, top + CAPTION - 2)
        assert (few[caption, :PANEL] > 150).any()
        assert not np.array_equal(few[caption, :PANEL] > 150, many[caption, :PANEL] > 150)
        told = []
        monkeypatch.setattr(module, "_share", lambda *counts: told.append(counts) or "")
        drawn(halves(SKY, SKY), halves(ROAD, IGNORED))
        assert told == [(10_000, 10_000)]


class TestLegend:
    def test_it_has_the_classes_of_either_and_no_other(self):
        pixels = drawn(halves(ROAD, SKY), halves(ROAD, TREES))
        for value in range(len(CLASSES)):
            assert shown_in_legend(pixels, PALETTE[value]) == (value in (ROAD, SKY, TREES)), CLASSES[value]
        assert shown_in_legend(pixels, WRONG)

    def test_a_full_one_fits_below_the_longest_side(self):
        maps = np.resize(np.array([*range(19), IGNORED], np.uint8), (100, 200))
        predicted = np.where(maps == IGNORED, 0, maps).astype(np.uint8)
        pixels = drawn(predicted, maps)
        assert pixels.shape == (2 * (PANEL // 2 + CAPTION) + 3 * ROW, 2 * PANEL, 3)
        assert all(shown_in_legend(pixels, colour) for colour in PALETTE)

    @settings(max_examples=15)
    @given(st.integers(1, 300), st.integers(1, 300))
    def test_pictures_of_any_shape_are_drawn_within_the_longest_side(self, height, width):
        maps = np.resize(np.array([*range(19), IGNORED], np.uint8), (height, width))
        pixels = drawn(np.zeros_like(maps), maps)
        assert max(pixels.shape) <= LONGEST
        assert pixels.shape[1] >= 2 * CELL

    def test_a_large_one_is_shrunk(self):
        maps = np.zeros((1024, 2048), np.uint8)
        assert drawn(maps, maps).shape == (2 * (PANEL // 2 + CAPTION) + ROW, 2 * PANEL, 3)


class TestRefusals:
    def test_sizes_that_differ_are_told(self):
        maps = np.zeros((100, 200), np.uint8)
        with pytest.raises(ValueError, match=r"answer is 50x100, the truth 100x200, the picture 100x200, as height x"):
            overlay(encoded(), maps[::2, ::2], maps)
        with pytest.raises(ValueError, match=r"answer is 100x200, the truth 100x200, the picture 200x100"):
            overlay(encoded(200, 100), maps, maps)
        with pytest.raises(ValueError, match=r"answer is 100x200, the truth 200x100, the picture 100x200"):
            overlay(encoded(), maps, maps.T)

    @pytest.mark.parametrize(("which", "value", "told"), [(0, 19, "answer"), (0, 255, "answer"), (1, 19, "truth")])
    def test_a_value_that_is_no_class_is_told(self, which, value, told):
        maps = [np.zeros((10, 20), np.uint8), np.zeros((10, 20), np.uint8)]
        maps[which][3, 4] = value
        with pytest.raises(
            ValueError, match=rf"the {told} holds {value}, which is no class; expected trainIds 0 to 18"
        ):
            overlay(encoded(10, 20), *maps)

    def test_what_is_no_picture_is_told(self):
        with pytest.raises(ValueError, match="OpenCV"):
            overlay(b"", np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8))


def test_saboteur_exchanged_panels_are_seen(monkeypatch):
    monkeypatch.setattr(module, "_sheet", lambda panels, held: sheet([panels[1], panels[0], *panels[2:]], held))
    with pytest.raises(AssertionError):
        TestPanels().test_answer_and_truth_have_the_colours_of_their_classes_where_these_lie()


def test_saboteur_ignored_pixels_in_a_colour_of_a_class_are_seen(monkeypatch):
    monkeypatch.setattr(module, "STRIPES", (153, 153))
    with pytest.raises(AssertionError):
        TestPanels().test_what_is_ignored_is_striped_and_never_wrong()


sheet = module._sheet
