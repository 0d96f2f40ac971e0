"""Curved words are a function of seed and index alone, and what lessons are told of them is where it is drawn."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.datasets.lmdb_words import LmdbWords
from harness.datasets.rendered.curved import (
    CASED,
    DASH,
    FULL,
    LINES,
    CurvedWord,
    Manner,
    curved_words,
    draw_curved,
)
from harness.datasets.rendered.lmdb import render_curved, render_lines
from harness.datasets.rendered.words import CHARACTERS, PixelDigest, encode_png
from harness.registry import load_models
from harness.step import StepInput

SEEDS = st.integers(0, 2**31)
INDICES = st.integers(0, 100_000)
MANNERS = st.sampled_from([FULL, LINES])
SHAPES = ("flat", "tilted", "arc", "perspective")


def planes(word: CurvedWord) -> np.ndarray:
    return np.asarray(word.picture).astype(int)


def plain(*shapes: str) -> Manner:
    """Dark words of these shapes without marks."""
    return replace(FULL, shapes=shapes, marks=("none",), dark=True)


class TestDrawing:
    @given(SEEDS, INDICES, MANNERS)
    def test_a_word_is_a_function_of_seed_and_index(self, seed, index, manner):
        first, again = draw_curved(seed, index, manner), draw_curved(seed, index, manner)
        assert first.picture.tobytes() == again.picture.tobytes()
        assert (first.label, first.glyphs) == (again.label, again.glyphs)
        assert (first.edges == again.edges).all()

    @given(SEEDS, INDICES, MANNERS)
    def test_labels_are_of_the_alphabet_and_as_long_as_said(self, seed, index, manner):
        label = draw_curved(seed, index, manner).label
        assert manner.lengths[0] <= len(label) <= manner.lengths[1]
        assert set(label) <= set(CASED if manner.cased else CHARACTERS + CHARACTERS.upper())
        assert manner.cased or label in (label.lower(), label.upper())

    @given(SEEDS, INDICES, MANNERS)
    def test_edges_lie_inside_the_picture_from_left_to_right_and_do_not_cross(self, seed, index, manner):
        word = draw_curved(seed, index, manner)
        x, y = word.edges.reshape(2, 10, 2).transpose(2, 0, 1)
        assert (np.diff(x, axis=1) > 0).all()
        assert (x[0] == x[1]).all()
        assert (y[0] < y[1]).all()
        assert x.min() >= 0
        assert x.max() <= word.picture.width
        assert y.min() >= 0
        assert y.max() <= word.picture.height

    @given(SEEDS, INDICES, MANNERS)
    def test_glyphs_are_the_label_and_follow_each_other(self, seed, index, manner):
        word = draw_curved(seed, index, manner)
        assert "".join(glyph for glyph, _, _ in word.glyphs if glyph != DASH) == word.label
        assert all(begin < end for _, begin, end in word.glyphs)
        assert all(left[2] == right[1] for left, right in zip(word.glyphs, word.glyphs[1:], strict=False))

    @pytest.mark.parametrize("shape", SHAPES)
    def test_ink_lies_between_the_edges(self, shape):
        for index in range(20):
            word = draw_curved(5, index, plain(shape))
            picture = planes(word)
            inked = np.abs(picture - np.median(picture, axis=(0, 1))).sum(axis=2) > 90
            rows, columns = inked.nonzero()
            assert len(rows) > 50
            x, upper, lower = word.edges[:10, 0], word.edges[:10, 1], word.edges[10:, 1]
            assert (rows + 1 >= np.interp(columns, x, upper)).all()
            assert (rows - 1 <= np.interp(columns, x, lower)).all()

    @pytest.mark.parametrize(("shape", "bent"), [("flat", False), ("arc", True), ("tilted", True)])
    def test_edges_bend_where_the_shape_says_so(self, shape, bent):
        words = [draw_curved(6, index, plain(shape)) for index in range(20)]
        spread = [np.ptp(word.edges[:10, 1]) for word in words]
        assert min(spread) > 2 if bent else max(spread) < 1e-9


class TestMarks:
    @given(SEEDS, INDICES)
    def test_a_ghost_is_in_the_red_plane_and_the_word_in_the_blue(self, seed, index):
        """The green plane holds neither, up to noise."""
        word = draw_curved(seed, index, replace(FULL, marks=("ghost",)))
        red, green, blue = planes(word).transpose(2, 0, 1)
        assert np.ptp(green) <= 2 * 8
        assert np.ptp(red) > 30
        assert np.ptp(blue) > 30
        assert (np.abs(red - np.median(red)) - np.abs(blue - np.median(blue)) > 25).any()

    @given(SEEDS, INDICES)
    def test_a_dash_is_drawn_inside_the_word_and_is_no_part_of_the_label(self, seed, index):
        word = draw_curved(seed, index, replace(FULL, marks=("dash",)))
        drawn = "".join(glyph for glyph, _, _ in word.glyphs)
        assert drawn.replace(DASH, "") == word.label
        assert 0 < drawn.index(DASH) < len(drawn) - 1

    def test_the_full_manner_has_all_marks_and_shapes(self):
        words = [draw_curved(2, index) for index in range(300)]
        dashes = sum(any(glyph == DASH for glyph, _, _ in word.glyphs) for word in words)
        assert 0.1 < dashes / len(words) < 0.3


class TestSets:
    @pytest.mark.parametrize(
        ("model", "step", "manner"), [("rare", render_curved, FULL), ("ppocr_rec", render_lines, LINES)]
    )
    def test_the_declared_set_is_drawn_here_as_it_was_when_it_was_declared(self, model, step, manner, tmp_path):
        data = load_models()[model].reference("bundled").data
        facts = step.build(StepInput(params=data.params), tmp_path)
        assert facts == {"n": data.n, "pixels": data.digest}
        reader = LmdbWords(tmp_path, data.name)
        for sample, index in zip(reader.samples(), range(20), strict=False):
            word = draw_curved(data.params["seed"], index, manner)
            assert sample.truth == word.label
            assert Image.open(io.BytesIO(sample.content)).tobytes() == word.picture.tobytes()
        reader.close()

    def test_words_come_in_order(self):
        digests = []
        for words in (curved_words(3, 5), ((word.picture, word.label) for word in map(of_three, range(5)))):
            digest = PixelDigest()
            for picture, label in words:
                digest.add(picture, label)
            digests.append(digest.hexdigest())
        assert digests[0] == digests[1]

    def test_pictures_survive_encoding(self):
        picture = draw_curved(3, 0).picture
        assert Image.open(io.BytesIO(encode_png(picture))).tobytes() == picture.tobytes()


def of_three(index: int) -> CurvedWord:
    return draw_curved(3, index)
