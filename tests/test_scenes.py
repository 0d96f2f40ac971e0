"""Rendered scenes are a function of seed and index, and hold what their truth says and nothing else like it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from shapely import Polygon

from harness.boxes import IGNORED, Region, read_truth, write_truth
from harness.datasets.icdar2015 import Icdar2015
from harness.datasets.rendered import scenes as module
from harness.datasets.rendered.icdar import render
from harness.datasets.rendered.scenes import APART, BOLD, DARKER, ROOM, SIZE, TRUE, draw_scene, scenes
from harness.datasets.rendered.words import CHARACTERS, LENGTHS, PixelDigest, encode_png, font
from harness.registry import PROJECT, load_models
from harness.step import StepInput

SEEDS = st.integers(0, 2**31)
INDICES = st.integers(0, 100_000)
INKS = {
    "cold": lambda red, green, blue: (blue > 200) & (blue - red > 105),
    "dark": lambda red, green, blue: (red < 160) & (red - blue > 80),
    "pale": lambda red, green, blue: (green > 170) & (red - blue < 100),
}
DIGEST = """
from harness.boxes import write_truth
from harness.datasets.rendered.scenes import scenes
from harness.datasets.rendered.words import PixelDigest

found = PixelDigest()
for picture, regions in scenes(5, 3):
    found.add(picture, write_truth(regions))
print(found.hexdigest())
"""

Scene = tuple[Image.Image, Sequence[Region]]


@pytest.fixture(scope="module")
def some() -> list[Scene]:
    return list(scenes(4, 24))


@pytest.fixture
def only(monkeypatch):
    """Draws scenes whose words after the first are of one kind."""

    def draw(kind: str, count: int) -> list[Scene]:
        monkeypatch.setattr(module, "WORDS", (kind,))
        return list(scenes(6, count))

    return draw


def digest(drawn: Sequence[Scene]) -> str:
    found = PixelDigest()
    for picture, regions in drawn:
        found.add(picture, write_truth(regions))
    return found.hexdigest()


def warm(picture: Image.Image) -> np.ndarray:
    """Which pixels hold the ink of text, rows x columns."""
    planes = np.asarray(picture).astype(int)
    return (planes[..., 0] > 200) & (planes[..., 0] - planes[..., 2] > 105)


def inside(regions: Sequence[Region]) -> np.ndarray:
    """Which pixels lie in a region, rows x columns."""
    mask = Image.new("1", SIZE)
    for region in regions:
        ImageDraw.Draw(mask).polygon(region.points, fill=1)
    return np.asarray(mask)


class TestDrawing:
    @settings(max_examples=8)
    @given(SEEDS, st.lists(INDICES, min_size=2, max_size=3, unique=True))
    def test_a_scene_does_not_depend_on_what_was_drawn_before(self, seed, indices):
        forwards = {index: digest([draw_scene(seed, index)]) for index in indices}
        backwards = {index: digest([draw_scene(seed, index)]) for index in reversed(indices)}
        assert forwards == backwards

    def test_another_process_draws_the_same(self):
        told = subprocess.run([sys.executable, "-c", DIGEST], cwd=PROJECT, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == digest(list(scenes(5, 3)))

    def test_seeds_and_indices_give_different_scenes(self):
        assert len({digest([draw_scene(seed, index)]) for seed in range(3) for index in range(3)}) == 9

    def test_the_scenes_of_a_set_are_those_of_its_indices(self):
        assert digest(list(scenes(3, 3))) == digest([draw_scene(3, index) for index in range(3)])

    @settings(max_examples=12)
    @given(SEEDS, INDICES)
    def test_words_go_clockwise_from_their_upper_left_corner_inside_the_picture(self, seed, index):
        picture, regions = draw_scene(seed, index)
        assert (picture.mode, picture.size) == ("RGB", SIZE)
        assert regions
        for region in regions:
            points = np.array(region.points)
            assert points.dtype.kind == "i"
            assert (points >= 0).all()
            assert (points < SIZE).all()
            (right, down), (back, _) = points[1] - points[0], points[3] - points[2]
            assert right > abs(down)
            assert back < 0
            edges = np.roll(points, -1, axis=0) - points
            (x, y), (x_next, y_next) = edges.T, np.roll(edges, -1, axis=0).T
            assert (x * y_next > y * x_next).all()

    @settings(max_examples=12)
    @given(SEEDS, INDICES)
    def test_words_stay_apart_and_are_rectangles_up_to_rounding(self, seed, index):
        polygons = [Polygon(region.points) for region in draw_scene(seed, index)[1]]
        for one, other in combinations(polygons, 2):
            assert one.distance(other) >= APART - 2
        for polygon in polygons:
            assert polygon.area > 0.9 * polygon.minimum_rotated_rectangle.area

    @settings(max_examples=6)
    @given(SEEDS, INDICES)
    def test_a_truth_says_what_is_written_or_that_nobody_cares(self, seed, index):
        _, regions = draw_scene(seed, index)
        assert not regions[0].ignored
        assert read_truth(write_truth(regions)) == list(regions)
        for region in regions:
            assert region.ignored or (3 <= len(region.text) <= 8 and set(region.text.lower()) <= set(CHARACTERS))

    def test_the_largest_word_fits_however_it_is_turned(self):
        face = font(module.FONT_SIZES[-1])
        left, _, right, _ = face.getbbox(max(CHARACTERS.upper(), key=face.getlength) * LENGTHS[1], stroke_width=BOLD)
        _, top, _, bottom = face.getbbox(CHARACTERS + CHARACTERS.upper(), stroke_width=BOLD)
        word = Image.new("L", (int(right - left) + 2 * ROOM, int(bottom - top) + 2 * ROOM))
        for degrees in range(-module.TURN_DEGREES, module.TURN_DEGREES + 1):
            turned = word.rotate(degrees, expand=True)
            assert turned.width < SIZE[0]
            assert turned.height < SIZE[1]


class TestInk:
    def test_ink_of_text_is_where_the_truth_says_and_nowhere_else(self, some):
        """Half a pixel of rounding, and one of the filter's width, on each side."""
        for picture, regions in some:
            around = cv2.dilate(inside(regions).astype(np.uint8), np.ones((5, 5), np.uint8))
            assert not (warm(picture) & (around == 0)).any()

    def test_a_quadrilateral_lies_close_around_its_ink(self, some):
        for picture, regions in some:
            for region in regions:
                if region.ignored:
                    continue
                corners = np.array(region.points, float)
                rows, columns = (warm(picture) & inside([region])).nonzero()
                ink = np.stack([columns, rows], axis=1) - corners[0]
                for side in (corners[1] - corners[0], corners[3] - corners[0]):
                    length = np.linalg.norm(side)
                    along = ink @ side / length
                    assert along.min() < ROOM + 7
                    assert along.max() > length - ROOM - 8

    @pytest.mark.parametrize("kind", INKS)
    def test_a_decoy_is_drawn_and_in_no_truth(self, only, kind):
        for picture, regions in only(kind, 3):
            assert [region.ignored for region in regions] == [False]
            red, green, blue = np.asarray(picture).astype(int).transpose(2, 0, 1)
            assert (INKS[kind](red, green, blue) & ~inside(regions)).sum() > 300

    def test_these_are_all_decoys(self):
        assert set(INKS) == set(module.WORDS) - set(TRUE)

    def test_exchanged_channels_make_text_of_cold_decoys_and_none_of_text(self, only):
        for picture, regions in only("cold", 3):
            exchanged = warm(Image.fromarray(np.asarray(picture)[..., ::-1].copy()))
            assert exchanged.sum() > 300
            assert not (exchanged & inside(regions)).any()

    def test_a_missing_mean_makes_text_of_dark_decoys(self, only):
        for picture, regions in only("dark", 3):
            brighter = warm(Image.fromarray(cv2.add(np.asarray(picture), (DARKER,) * 3)))
            assert (brighter & ~inside(regions)).sum() > 300

    def test_struck_words_hold_ink_of_text_and_faded_ones_do_not(self, only):
        for kind, inked in (("struck", True), ("faded", False)):
            for picture, regions in only(kind, 2):
                ignored = [region for region in regions if region.ignored]
                assert [region.text for region in regions[1:]] == [IGNORED] * len(ignored)
                assert all((warm(picture) & inside([region])).any() == inked for region in ignored)

    def test_every_kind_comes_often(self, some):
        told = [region.ignored for _, regions in some for region in regions]
        assert 3.5 * len(some) < told.count(False) < 6 * len(some)
        assert 0.15 < sum(told) / len(told) < 0.4


class TestStep:
    def test_the_declared_set_is_drawn_here_as_it_was_when_it_was_declared(self):
        declared = [load_models()[name].reference("bundled").data for name in ("db", "db_deform", "ppocr_det")]
        assert {(data.params["seed"], data.n, data.digest) for data in declared} == {
            (2, 100, digest(list(scenes(2, 100))))
        }

    def test_the_rendered_folder_holds_the_scenes_and_their_digest(self, tmp_path):
        facts = render.build(StepInput(params={"seed": 5, "count": 3}), tmp_path)
        drawn = list(scenes(5, 3))
        assert facts == {"n": 3, "pixels": digest(drawn)}
        reader = Icdar2015(tmp_path)
        samples = list(reader.samples())
        assert [sample.truth for sample in samples] == [write_truth(regions) for _, regions in drawn]
        assert [sample.content for sample in samples] == [encode_png(picture) for picture, _ in drawn]
        assert {sample.size for sample in samples} == {SIZE[::-1]}

    def test_another_seed_or_count_gives_another_digest(self, tmp_path):
        found = set()
        for number, params in enumerate(({"seed": 5, "count": 2}, {"seed": 6, "count": 2}, {"seed": 5, "count": 1})):
            (tmp_path / str(number)).mkdir()
            found.add(render.build(StepInput(params=params), tmp_path / str(number))["pixels"])
        assert len(found) == 3
