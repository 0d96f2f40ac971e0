"""Turned words are a function of seed and index alone, and each kind shows the fault that it was drawn for."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from harness.datasets.picture_list import PictureList
from harness.datasets.rendered import turned
from harness.datasets.rendered.pictures import render
from harness.datasets.rendered.turned import (
    DIRECTED,
    KINDS,
    LEAST_DIRECTED,
    LONGEST,
    MOST_NOISE,
    draw_turned,
    turned_words,
)
from harness.datasets.rendered.words import CHARACTERS, PixelDigest, encode_png
from harness.step import StepInput

APART = 40
"""Grey levels that lie between paper and ink at least, without noise."""
EACH = tuple(dict.fromkeys(KINDS))
SEEDS = st.integers(0, 2**31)
INDICES = st.integers(0, 100_000)
DIGEST = """
from harness.datasets.rendered.turned import turned_words
from harness.datasets.rendered.words import PixelDigest

found = PixelDigest()
for picture, label in turned_words(5, 6):
    found.add(picture, label)
print(found.hexdigest())
"""


class Directed:
    """A generator whose first draw is made, and then replaced: the direction."""

    def __init__(self, rng: np.random.Generator, direction: int) -> None:
        self._rng = rng
        self._first: list[int] = [direction]

    def integers(self, *arguments: Any, **named: Any) -> Any:
        drawn = self._rng.integers(*arguments, **named)
        return self._first.pop() if self._first else drawn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rng, name)


@pytest.fixture
def both_ways(monkeypatch) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Draws one sample upright and turned, without noise: planes of red, green and blue as integers."""
    monkeypatch.setattr(turned, "MOST_NOISE", 0)
    generator = np.random.default_rng

    def draw(seed: int, index: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
        found = []
        for direction, label in enumerate(("0", "180")):
            with monkeypatch.context() as patched:
                patched.setattr(np.random, "default_rng", lambda key, way=direction: Directed(generator(key), way))
                picture, told = draw_turned(seed, index, (kind,))
            assert told == label
            found.append(np.asarray(picture).astype(int))
        return found[0], found[1]

    return draw


def digest(drawn: list[tuple[Image.Image, str]]) -> str:
    found = PixelDigest()
    for picture, label in drawn:
        found.add(picture, label)
    return found.hexdigest()


def planes(seed: int, index: int, kind: str) -> np.ndarray:
    return np.asarray(draw_turned(seed, index, (kind,))[0]).astype(int)


class TestDrawing:
    @settings(max_examples=10)
    @given(SEEDS, st.lists(INDICES, min_size=2, max_size=3, unique=True), st.sampled_from(EACH))
    def test_a_sample_does_not_depend_on_what_was_drawn_before(self, seed, indices, kind):
        forwards = {index: digest([draw_turned(seed, index, (kind,))]) for index in indices}
        backwards = {index: digest([draw_turned(seed, index, (kind,))]) for index in reversed(indices)}
        assert forwards == backwards

    @given(SEEDS, INDICES)
    def test_a_sample_is_a_colour_picture_of_a_line_with_a_published_label(self, seed, index):
        picture, label = draw_turned(seed, index)
        assert (picture.mode, label in ("0", "180")) == ("RGB", True)
        assert 15 <= picture.height <= 90
        assert 20 <= picture.width <= 500

    def test_seeds_and_indices_give_different_samples(self):
        assert len({digest([draw_turned(seed, index)]) for seed in range(4) for index in range(4)}) == 16

    def test_labels_and_kinds_are_balanced_and_independent(self, monkeypatch):
        # The words are not what is looked at, and take nearly all the time.
        monkeypatch.setattr(turned, "_word", lambda rng, *, turned: np.full((4, 4), 255, np.int32))
        found = Counter()
        for index in range(1000):
            picture, label = draw_turned(2, index)
            found[label, np.asarray(picture)[:, -1].any()] += 1
        assert sum(found.values()) == 1000
        assert 450 < found["0", True] + found["0", False] < 550
        # The last column of a negative is black.
        share = 1000 * KINDS.count("negative") / len(KINDS)
        assert 0.38 * share < found["0", False] < 0.62 * share
        assert 0.38 * share < found["180", False] < 0.62 * share

    def test_the_samples_of_a_set_are_those_of_its_indices(self):
        assert digest(list(turned_words(3, 4))) == digest([draw_turned(3, index) for index in range(4)])

    def test_another_process_draws_the_same(self, python):
        told, errors = python(DIGEST).communicate(timeout=120)
        assert told.strip() == digest(list(turned_words(5, 6))), errors

    def test_words_are_short_and_show_which_way_is_up(self, monkeypatch):
        spelt = []
        draw = turned.font_mask
        monkeypatch.setattr(turned, "font_mask", lambda text, *rest: spelt.append(text) or draw(text, *rest))
        for index in range(40):
            draw_turned(9, index)
        assert len(spelt) == 80
        assert all(len(text) <= LONGEST and set(text.lower()) <= set(CHARACTERS) for text in spelt)
        assert all(sum(character in DIRECTED for character in text) >= LEAST_DIRECTED for text in spelt)

    def test_no_directed_character_is_another_one_when_it_is_turned(self):
        alike = set()
        for characters in (CHARACTERS, CHARACTERS.upper()):
            glyphs = {character: glyph(character) for character in characters}
            for character, drawn in glyphs.items():
                half_turned = drawn.transpose(Image.Transpose.ROTATE_180)
                if any(overlap(half_turned, other) > 0.87 for other in glyphs.values()):
                    alike.add(character)
        assert alike >= set("nuoxzN0")
        assert not alike & DIRECTED

    def test_characters_that_are_their_own_half_turn_do_not_count(self):
        assert not set("nuosxzpqbdHINOSXZ0869") & DIRECTED


def glyph(character: str) -> Image.Image:
    font = ImageFont.load_default(64)
    drawn = Image.new("L", (120, 120))
    ImageDraw.Draw(drawn).text((30, 20), character, fill=255, font=font)
    return drawn.crop(drawn.getbbox())


def overlap(one: Image.Image, other: Image.Image) -> float:
    """Intersection over union of two glyphs in one box; 0 where their aspects differ much."""
    if not 0.7 < (one.width / one.height) / (other.width / other.height) < 1.4:
        return 0.0
    left, right = (np.asarray(drawn.resize((32, 48)), dtype=float) for drawn in (one, other))
    return float(np.minimum(left, right).sum() / np.maximum(left, right).sum())


class TestKinds:
    @pytest.mark.parametrize("index", range(6))
    def test_a_turned_word_is_the_half_turned_upright_picture(self, both_ways, index):
        upright, half_turned = both_ways(4, index, "plain")
        assert np.array_equal(half_turned, upright[::-1, ::-1])
        assert not np.array_equal(half_turned, upright)

    @pytest.mark.parametrize("index", range(3))
    def test_with_colours_the_word_is_in_the_blue_plane_and_another_one_in_the_red(self, both_ways, index):
        upright, half_turned = both_ways(4, index, "colours")
        plain = both_ways(4, index, "plain")
        for found, alone in zip((upright, half_turned), plain, strict=True):
            assert np.array_equal(found[:, :, 2], alone[:, :, 2])
            assert len(np.unique(found[:, :, 1])) == 1
            assert found[:, :, 0].min() <= found[:, :, 1].min() - APART
            assert np.abs(found[:, :, 0] - found[:, :, 2]).max() >= APART
        assert np.array_equal(half_turned[:, :, 2], upright[::-1, ::-1, 2])
        # The other word is turned the other way; scaling it rounds.
        assert np.abs(half_turned[:, :, 0] - upright[::-1, ::-1, 0]).max() <= 2

    @pytest.mark.parametrize("index", range(3))
    def test_with_inks_the_dark_word_counts_and_in_a_negative_the_light_one(self, both_ways, index):
        plain, _ = both_ways(4, index, "plain")
        inks, _ = both_ways(4, index, "inks")
        negative, _ = both_ways(4, index, "negative")
        words = negative[:, : plain.shape[1]]
        paper, dark = int(np.median(plain)), int(plain.min())
        light = 2 * paper - dark
        ink = plain == dark
        assert APART <= paper - dark <= min(paper, 255 - paper)
        assert ink.any()
        # Where the ink does not cover quite, a little of the other word shows through.
        assert np.abs(inks[ink] - dark).max() <= 3
        assert np.abs(words[ink] - light).max() <= 3
        for found in (inks, words):
            assert found.min() <= paper - 0.7 * (paper - dark)
            assert found.max() >= paper + 0.7 * (paper - dark)

    @settings(max_examples=15)
    @given(SEEDS, INDICES)
    def test_a_negative_alone_has_a_black_margin_on_its_right(self, seed, index):
        found = planes(seed, index, "negative")
        margin = (~found.any(axis=(0, 2)))[::-1].argmin()
        assert 0.3 * found.shape[0] - 1 <= margin < 1.5 * found.shape[0]
        assert found[:, :-margin].any(axis=(0, 2)).all()
        for kind in set(EACH) - {"negative"}:
            assert planes(seed, index, kind).any(axis=(0, 2)).all()

    @settings(max_examples=15)
    @given(SEEDS, INDICES)
    def test_planes_of_a_plain_picture_differ_by_noise_alone(self, seed, index):
        found = planes(seed, index, "plain")
        assert (found.max(axis=2) - found.min(axis=2)).max() <= 2 * MOST_NOISE

    @settings(max_examples=15)
    @given(SEEDS, INDICES, st.sampled_from(["plain", "colours"]))
    def test_ink_and_paper_stand_apart(self, seed, index, kind):
        blue = planes(seed, index, kind)[:, :, 2]
        assert 100 <= np.median(blue) <= 160
        assert np.median(blue) - blue.min() >= 0.75 * APART


class TestStep:
    def test_the_rendered_folder_holds_the_samples_and_their_digest(self, tmp_path):
        facts = render.build(StepInput(params={"seed": 5, "count": 4}), tmp_path)
        drawn = list(turned_words(5, 4))
        assert facts == {"n": 4, "pixels": digest(drawn)}
        found = list(PictureList(tmp_path).samples())
        assert [sample.truth for sample in found] == [label for _, label in drawn]
        assert [sample.content for sample in found] == [encode_png(picture) for picture, _ in drawn]
        with Image.open(io.BytesIO(found[0].content)) as decoded:
            assert decoded.tobytes() == drawn[0][0].tobytes()

    def test_another_seed_or_count_gives_another_digest(self, tmp_path):
        found = set()
        for seed, count in ((5, 2), (6, 2), (5, 3)):
            out = tmp_path / f"{seed}-{count}"
            out.mkdir()
            found.add(render.build(StepInput(params={"seed": seed, "count": count}), out)["pixels"])
        assert len(found) == 3
