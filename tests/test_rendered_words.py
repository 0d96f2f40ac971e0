"""Rendered words are a function of seed and index alone, and their digest notices any change."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.datasets.lmdb_words import LmdbWords
from harness.datasets.rendered.lmdb import render
from harness.datasets.rendered.words import (
    CHARACTERS,
    LEAST_CONTRAST,
    LENGTHS,
    PixelDigest,
    draw_word,
    encode_png,
    words,
)
from harness.step import StepInput

SEEDS = st.integers(0, 2**31)
INDICES = st.integers(0, 100_000)


@pytest.fixture(scope="module")
def declared(crnn) -> list[tuple[Image.Image, str]]:
    """The words of CRNN's bundled reference."""
    params = crnn.reference("bundled").data.params
    return list(words(params["seed"], params["count"]))


def digest(drawn: list[tuple[Image.Image, str]]) -> str:
    found = PixelDigest()
    for picture, label in drawn:
        found.add(picture, label)
    return found.hexdigest()


class TestDrawing:
    @given(SEEDS, st.lists(INDICES, min_size=2, max_size=4, unique=True))
    def test_a_word_does_not_depend_on_what_was_drawn_before(self, seed, indices):
        forwards = {index: draw_word(seed, index) for index in indices}
        backwards = {index: draw_word(seed, index) for index in reversed(indices)}
        assert all(forwards[index][1] == backwards[index][1] for index in indices)
        assert all(forwards[index][0].tobytes() == backwards[index][0].tobytes() for index in indices)

    @given(SEEDS, INDICES)
    def test_a_label_has_three_to_eight_characters_in_one_case(self, seed, index):
        label = draw_word(seed, index)[1]
        assert LENGTHS == (3, 8)
        assert 3 <= len(label) <= 8
        assert set(label.lower()) <= set(CHARACTERS)
        assert label in (label.lower(), label.upper())

    @given(SEEDS, INDICES)
    def test_ink_and_paper_stand_apart(self, seed, index):
        grey = np.asarray(draw_word(seed, index)[0]).astype(int)
        # Noise of up to 14 levels each way only adds to the span; blur takes little from the middle of a stroke.
        assert grey.max() - grey.min() >= LEAST_CONTRAST * 0.75

    def test_seeds_and_indices_give_different_words(self):
        drawn = {draw_word(seed, index)[0].tobytes() for seed in range(5) for index in range(5)}
        assert len(drawn) == 25

    def test_the_words_of_a_set_are_those_of_its_indices(self):
        assert digest(list(words(3, 5))) == digest([draw_word(3, index) for index in range(5)])

    def test_the_declared_set_spells_every_character_in_both_cases(self, declared):
        labels = [label for _, label in declared]
        assert set("".join(labels)) == {*CHARACTERS, *CHARACTERS.upper()}
        lengths = Counter(map(len, labels))
        assert sorted(lengths) == [3, 4, 5, 6, 7, 8]
        assert min(lengths.values()) > len(labels) / 20

    def test_light_on_dark_and_dark_on_light_both_occur(self, declared):
        greys = [np.asarray(picture) for picture, _ in declared[:50]]
        dark_paper = [np.median(grey) < (int(grey.max()) + int(grey.min())) / 2 for grey in greys]
        assert 10 < sum(dark_paper) < 40

    def test_a_png_gives_the_pixels_back(self, declared):
        picture = declared[0][0]
        with Image.open(io.BytesIO(encode_png(picture))) as decoded:
            assert (decoded.mode, decoded.size) == ("L", picture.size)
            assert decoded.tobytes() == picture.tobytes()


class TestDigest:
    def test_the_declared_digest_is_that_of_the_declared_words(self, declared, crnn):
        data = crnn.reference("bundled").data
        assert len(declared) == data.n
        assert digest(declared) == data.digest

    @pytest.mark.parametrize(
        "change",
        [
            lambda picture, label: (picture, label.swapcase()),
            lambda picture, label: (picture.point(lambda level: 255 - level), label),
            lambda picture, label: (picture.transpose(Image.Transpose.ROTATE_90), label),
            lambda picture, label: (Image.frombytes("L", picture.size[::-1], picture.tobytes()), label),
        ],
        ids=["label", "pixels", "turned", "same bytes in another shape"],
    )
    def test_a_changed_word_changes_the_digest(self, change):
        picture, label = draw_word(2, 0)
        assert digest([change(picture, label)]) != digest([(picture, label)])

    def test_one_pixel_by_one_level_changes_the_digest(self):
        picture, label = draw_word(2, 0)
        before = digest([(picture, label)])
        picture.putpixel((3, 4), picture.getpixel((3, 4)) ^ 1)
        assert digest([(picture, label)]) != before

    def test_the_order_of_words_counts(self):
        drawn = list(words(2, 3))
        assert digest(drawn) != digest(drawn[::-1])

    def test_the_encoder_of_the_pictures_does_not_count(self):
        picture, label = draw_word(2, 0)
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG", compress_level=0)
        assert digest([(Image.open(buffer), label)]) == digest([(picture, label)])


class TestStep:
    def test_the_rendered_lmdb_holds_the_words_and_their_digest(self, tmp_path):
        facts = render.build(StepInput(params={"seed": 5, "count": 4}), tmp_path)
        drawn = list(words(5, 4))
        assert facts == {"n": 4, "pixels": digest(drawn)}
        reader = LmdbWords(tmp_path)
        assert [sample.truth for sample in reader.samples()] == [label for _, label in drawn]
        assert [sample.content for sample in reader.samples()] == [encode_png(picture) for picture, _ in drawn]
        reader.close()

    def test_another_seed_gives_another_digest(self, tmp_path):
        found = set()
        for seed in (5, 6):
            (tmp_path / str(seed)).mkdir()
            found.add(render.build(StepInput(params={"seed": seed, "count": 2}), tmp_path / str(seed))["pixels"])
        assert len(found) == 2
