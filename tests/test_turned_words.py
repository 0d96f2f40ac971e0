"""Words are given upright and turned, each once, with the same pixels; what cannot be turned is named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.datasets import DataError
from harness.datasets.lmdb_words import write_words
from harness.datasets.turned_words import TurnedWords, turned
from harness.datasets.word_sets import AbsentSet
from harness.postprocess.direction import LABELS
from harness.preprocess.text_line import decode_bgr

SHARED = Path(__file__).parents[2] / "shared" / "assets" / "data_lmdb_release" / "evaluation"


def encoded(pixels: NDArray[np.uint8], suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def noise(seed: int, rows: int = 5, columns: int = 9) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(rows, columns, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, seeds in (("A", (0, 1)), ("B", (2,)), ("C", (3, 4, 5))):
        (tmp_path / name).mkdir()
        write_words(tmp_path / name, [(encoded(noise(seed)), f"word{seed}") for seed in seeds])
    return tmp_path


class TestReading:
    def test_every_word_is_given_upright_and_turned(self, folder: Path) -> None:
        reader = TurnedWords(folder, "words", only="A,B")
        found = list(reader.samples())
        assert len(reader) == len(found) == 6
        assert [(sample.id, sample.truth) for sample in found] == [
            (f"{word}:{label}", label) for word in ("A/000000001", "A/000000002", "B/000000001") for label in LABELS
        ]
        for seed, (upright, upside_down) in enumerate(zip(found[::2], found[1::2], strict=True)):
            assert upright.content == encoded(noise(seed))
            assert np.array_equal(decode_bgr(upside_down.content), noise(seed)[::-1, ::-1])
        assert reader.facts() == {}
        reader.close()

    def test_it_is_read_from_any_number_on(self, folder: Path) -> None:
        reader = TurnedWords(folder)
        every = list(reader.samples())
        for start in range(len(every) + 2):
            assert list(reader.samples(start)) == every[start:]
        reader.close()

    def test_a_set_that_is_not_there_is_named(self, folder: Path) -> None:
        with pytest.raises(AbsentSet, match=r"words: .* no set D"):
            TurnedWords(folder, "words", only="A,D")

    def test_a_picture_that_cannot_be_turned_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "A").mkdir()
        write_words(tmp_path / "A", [(b"no picture", "word")])
        samples = TurnedWords(tmp_path).samples()
        assert next(samples).content == b"no picture"
        with pytest.raises(DataError, match="A/000000001: cannot be turned"):
            next(samples)


class TestTurning:
    @given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 40), st.sampled_from((".png", ".jpg")))
    def test_only_the_direction_differs(self, seed: int, rows: int, columns: int, suffix: str) -> None:
        """Of a JPEG too: it is decoded once, and never encoded with loss again."""
        given_as = encoded(noise(seed, rows, columns), suffix)
        once = turned(given_as, "a")
        assert np.array_equal(decode_bgr(once), decode_bgr(given_as)[::-1, ::-1])
        assert np.array_equal(decode_bgr(turned(once, "a")), decode_bgr(given_as))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real words here")
class TestRealWords:
    def test_they_are_a_thousand_under_ids_of_their_own(self) -> None:
        reader = TurnedWords(SHARED, only="IIIT5k_400,IC03_100")
        found = [(sample.id, sample.truth) for sample in reader.samples()]
        reader.close()
        assert len(reader) == len(dict(found)) == 1000
        assert sum(truth == "180" for _, truth in found) == 500
        assert found[0] == ("IC03_100/000000001:0", "0")
