"""The vendor's samples are read with their ids and truths, and a file that holds none is told with its batch."""

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.datasets import DataError, Sample
from harness.datasets.vendor_samples import DirectionSamples, RecognitionSamples, read_batches, write_batches
from harness.preprocess.stored import as_stored

ITEM = (3, 48, 192)
CLASSES = st.lists(st.lists(st.integers(0, 1), max_size=3), min_size=1, max_size=4).filter(any)
TENSORS = st.sampled_from(["float32", "float64", "int64", "uint8", "bool"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)


@pytest.fixture
def saved(tmp_path) -> Callable[[Any], Path]:
    """Saves what Paddle would save, and returns the path."""

    def save(content: object) -> Path:
        path = tmp_path / "toy.pd"
        path.write_bytes(pickle.dumps(content, 4))
        return path

    return save


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    """A file that every example of a hypothesis writes anew."""
    return tmp_path_factory.mktemp("vendor") / "toy.pd"


def batch(*classes: int) -> list[np.ndarray]:
    """A batch of pictures, each full of its own number, and their classes."""
    pictures = np.arange(len(classes), dtype=np.float32)[:, None, None, None] * np.ones(ITEM, np.float32)
    return [pictures, np.array(classes, np.int64)]


def read(path: Path, start: int = 0) -> list[Sample]:
    return list(DirectionSamples(path).samples(start))


class TestPublished:
    @pytest.fixture
    def path(self, shared) -> Path:
        """The vendor's file."""
        return shared / "assets" / "knight" / "cls_b1.pd"

    def test_the_vendors_file_holds_thirty_samples(self, path):
        reader = DirectionSamples(path)
        found = list(reader.samples())
        assert len(reader) == len(found) == 30
        assert [sample.id for sample in found] == [f"cls_b1/{number:04d}" for number in range(30)]
        assert {len(sample.content) for sample in found} == {4 * 3 * 48 * 192}
        assert len({sample.content for sample in found}) == 30

    def test_truths_and_contents_are_those_of_the_file_taken_apart_without_the_reader(self, path):
        tensors = [array for _, array in chain(*read_batches_plainly(path))]
        found = read(path)
        assert [sample.truth for sample in found] == [("0", "180")[int(number)] for (number,) in tensors[1::2]]
        assert Counter(sample.truth for sample in found) == {"0": 15, "180": 15}
        assert [sample.content for sample in found] == [array.tobytes() for array in tensors[0::2]]

    def test_what_is_fed_are_normalised_pictures(self, path):
        for sample in read(path):
            fed = as_stored(sample.content, ITEM)
            assert (fed.shape, fed.dtype) == (ITEM, np.float32)
            assert -1 <= fed.min() < fed.max() <= 1
            levels = fed.astype(np.float64) * 127.5 + 127.5
            padding = ~fed.any(axis=(0, 1))
            assert np.abs(levels - np.rint(levels))[:, :, ~padding].max() < 1e-4
            assert padding.tolist() == sorted(padding.tolist())

    def test_writing_what_was_read_gives_the_same_samples(self, path, tmp_path):
        write_batches(tmp_path / "cls_b1.pd", read_batches(path))
        assert read(tmp_path / "cls_b1.pd") == read(path)
        names = [name for batch in pickle.loads((tmp_path / "cls_b1.pd").read_bytes()) for name, _ in batch]  # noqa: S301
        assert names == [f"eager_in_tmp_{number}" for number in range(60)]

    def test_the_samples_of_recognition_are_told_to_be_none_of_direction(self, shared):
        path = shared / "assets" / "knight" / "rec_b1_10.pd"
        with pytest.raises(DataError, match=rf"^{path}: batch 0: 5 tensors, expected pictures and classes"):
            DirectionSamples(path)


def read_batches_plainly(path: Path) -> list[Any]:
    """The batches by Python's own reader: the file was looked at, and is the one that was looked at."""
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == "f59433a3f6b85c104ae5e1f9d425897f3c05dabac0fdc393bac5a07e17203534"
    return pickle.loads(content)  # noqa: S301


class TestBatches:
    @given(st.lists(st.lists(TENSORS, min_size=1, max_size=3), min_size=1, max_size=4))
    def test_batches_come_back_bit_for_bit(self, scratch, batches):
        write_batches(scratch, batches)
        found = read_batches(scratch)
        assert [len(tensors) for tensors in found] == [len(tensors) for tensors in batches]
        for one, other in zip(chain(*found), chain(*batches), strict=True):
            assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda tensors: tensors,
            tuple,
            lambda tensors: [("name", tensor) for tensor in tensors],
            lambda tensors: tuple(("name", tensor) for tensor in tensors),
            lambda tensors: [tensors[0], ("name", tensors[1])],
        ],
        ids=["bare", "tuple", "named", "named tuple", "mixed"],
    )
    def test_tensors_are_read_bare_or_named(self, saved, wrap):
        (found,) = read_batches(saved([wrap(batch(0, 1))]))
        assert [tensor.shape for tensor in found] == [(2, *ITEM), (2,)]

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ([], "expected a list of batches, found list of 0"),
            ({}, "expected a list of batches, found dict of 0"),
            ({"weight": np.ones(2)}, "expected a list of batches, found dict of 1"),
            ((batch(0),), "expected a list of batches, found tuple of 1"),
            (np.ones(3), r"expected a list of batches, found an array \[3\]"),
            (np.array(5.0), r"expected a list of batches, found an array \[\]"),
            (None, "expected a list of batches, found NoneType"),
            (7, "expected a list of batches, found int"),
            ([batch(0), []], "batch 1: expected a list of tensors, found list of 0"),
            ([batch(0), None], "batch 1: expected a list of tensors, found NoneType"),
            ([np.ones(3)], r"batch 0: expected a list of tensors, found an array \[3\]"),
            ([[np.ones(3), 5]], "batch 0: entry 1 is int, expected a tensor"),
            ([[("a", "b")]], "batch 0: entry 0 is str of 1, expected a tensor"),
            ([[("a", np.ones(1), 3)]], "batch 0: entry 0 is tuple of 3, expected a tensor"),
            ([[[np.ones(1)]]], "batch 0: entry 0 is list of 1, expected a tensor"),
        ],
    )
    def test_what_is_no_batch_of_tensors_is_told(self, saved, content, told):
        path = saved(content)
        with pytest.raises(DataError, match=rf"^{path}: {told}"):
            read_batches(path)

    @pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x80\x04cos\nsystem\n."], ids=repr)
    def test_a_file_that_is_refused_is_a_damaged_data_set(self, tmp_path, content):
        (tmp_path / "toy.pd").write_bytes(content)
        with pytest.raises(DataError, match=r"toy\.pd: (truncated|refused, .*os\.system)"):
            read_batches(tmp_path / "toy.pd")

    @pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()], ids=["missing", "a folder"])
    def test_a_file_that_cannot_be_read_is_a_damaged_data_set(self, tmp_path, make):
        make(tmp_path / "toy.pd")
        with pytest.raises(DataError, match=r"toy\.pd: cannot be read: \w+"):
            DirectionSamples(tmp_path / "toy.pd")


class TestSamples:
    @given(CLASSES)
    def test_ids_count_over_all_batches_and_truths_are_degrees(self, scratch, classes):
        write_batches(scratch, [batch(*each) for each in classes])
        reader = DirectionSamples(scratch, "words")
        truths = [("0", "180")[number] for each in classes for number in each]
        values = [place for each in classes for place in range(len(each))]
        found = list(reader.samples())
        assert len(reader) == len(truths)
        assert [(sample.id, sample.truth) for sample in found] == [
            (f"words/{number:04d}", truth) for number, truth in enumerate(truths)
        ]
        assert [as_stored(sample.content, ITEM)[2, 47, 191] for sample in found] == values

    @given(st.integers(0, 7))
    def test_reading_starts_at_any_number_with_the_same_ids(self, scratch, start):
        write_batches(scratch, [batch(0, 1, 1), batch(1), batch(0)])
        assert read(scratch, start) == read(scratch)[start:]

    def test_without_a_name_ids_carry_the_files(self, saved):
        assert [sample.id for sample in read(saved([batch(1)]))] == ["toy/0000"]

    def test_numbers_in_another_byte_order_are_the_same_numbers(self, saved):
        pictures, classes = batch(0, 1)
        there = read(saved([[pictures.astype(">f4"), classes.astype(">i8")]]))
        assert there == read(saved([[pictures, classes]]))

    def test_a_closed_reader_has_nothing_open(self, saved):
        path = saved([batch(1)])
        reader = DirectionSamples(path)
        path.unlink()
        assert len(list(reader.samples())) == 1
        reader.close()

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda pictures, classes: [pictures], "1 tensors, expected pictures and classes"),
            (lambda pictures, classes: [pictures, classes, classes], "3 tensors, expected pictures and classes"),
            (
                lambda pictures, classes: [classes, pictures],
                r"int64\[2\] and float32\[2, 3, 48, 192\], expected float32",
            ),
            (lambda pictures, classes: [pictures.astype(np.float64), classes], r"float64\[2, 3, 48, 192\] and int64"),
            (lambda pictures, classes: [pictures.astype(np.uint8), classes], r"uint8\[2, 3, 48, 192\] and int64"),
            (lambda pictures, classes: [pictures[0], classes], r"float32\[3, 48, 192\] and int64\[2\]"),
            (lambda pictures, classes: [pictures[0, 0, 0, :1].reshape(()), classes], r"float32\[\] and int64\[2\]"),
            (lambda pictures, classes: [pictures[..., :100], classes], r"float32\[2, 3, 48, 100\] and"),
            (lambda pictures, classes: [pictures.transpose(0, 2, 3, 1), classes], r"float32\[2, 48, 192, 3\] and"),
            (lambda pictures, classes: [pictures.transpose(0, 1, 3, 2), classes], r"float32\[2, 3, 192, 48\] and"),
            (lambda pictures, classes: [pictures, classes[:1]], r"float32\[2, 3, 48, 192\] and int64\[1\]"),
            (lambda pictures, classes: [pictures, classes[:, None]], r".* and int64\[2, 1\], expected .* int64 \[n\]"),
            (
                lambda pictures, classes: [pictures, classes.astype(np.float32)],
                r".* and float32\[2\], expected .* int64",
            ),
            (lambda pictures, classes: [pictures, classes.astype(bool)], r".* and bool\[2\], expected .* int64"),
            (
                lambda pictures, classes: [pictures, classes.astype(complex)],
                r".* and complex128\[2\], expected .* int64",
            ),
            (lambda pictures, classes: [pictures, classes + 1], "class 2, expected 0 or 1"),
            (lambda pictures, classes: [pictures, -classes], "class -1, expected 0 or 1"),
        ],
    )
    def test_what_are_no_samples_is_told_with_the_batch(self, saved, change, told):
        path = saved([batch(0), change(*batch(0, 1))])
        with pytest.raises(DataError, match=rf"^{path}: batch 1: {told}"):
            DirectionSamples(path)

    def test_batches_without_samples_are_told(self, saved):
        path = saved([batch(), batch()])
        with pytest.raises(DataError, match=rf"^{path}: its batches hold no sample; nothing can be measured on it"):
            DirectionSamples(path)


WORD_ITEM = (3, 48, 320)
TEXTS = st.text(st.characters(min_codepoint=ord(" "), max_codepoint=ord("~")), min_size=1, max_size=25)


def word_batch(*texts: str) -> list[np.ndarray]:
    """A batch of the recogniser's samples: pictures full of their own number, and labels as the vendor encodes them."""
    characters = [chr(code) for code in (*range(0x30, 0x7F), *range(0x21, 0x30))] + [" ", " "]
    classes = {character: index for index, character in enumerate(characters, 1)}
    labels = np.zeros((len(texts), 25), np.int64)
    for row, text in zip(labels, texts, strict=True):
        row[: len(text)] = [classes[character] for character in text]
    pictures = np.arange(len(texts), dtype=np.float32)[:, None, None, None] * np.ones(WORD_ITEM, np.float32)
    lengths = np.array([len(text) for text in texts], np.int64)
    return [pictures, labels, np.full_like(labels, 98), lengths, np.full(len(texts), 0.5)]


class TestWords:
    def test_the_vendors_file_holds_the_first_ten_words_of_its_set(self, shared):
        path = shared / "assets" / "knight" / "rec_b1_10.pd"
        reader = RecognitionSamples(path, "words")
        found = list(reader.samples())
        truths = ["JOINT", "yourself", "154", "197", "727", "198", "20029", "Free", "from", "PAIN"]
        assert [(sample.id, sample.truth) for sample in found] == [
            (f"words/{number:04d}", truth) for number, truth in enumerate(truths)
        ]
        assert len(reader) == 10
        assert [sample.content for sample in found] == [tensors[0].tobytes() for tensors in read_batches(path)]
        for sample in found:
            fed = as_stored(sample.content, WORD_ITEM)
            assert (fed.shape, fed.dtype) == (WORD_ITEM, np.float32)
            assert -1 <= fed.min() < fed.max() <= 1

    def test_the_share_of_the_width_is_where_the_vendors_padding_begins(self, shared):
        for pictures, _, _, _, shares in read_batches(shared / "assets" / "knight" / "rec_b1_10.pd"):
            drawn = pictures[0].any(axis=(0, 1))
            assert drawn.sum() == drawn.nonzero()[0].max() + 1 == round(320 * shares[0])

    @given(st.lists(st.lists(TEXTS, max_size=2), min_size=1, max_size=3).filter(any))
    def test_truths_are_the_labels_with_case_and_repeats(self, scratch, texts):
        write_batches(scratch, [word_batch(*each) for each in texts])
        found = list(RecognitionSamples(scratch).samples())
        assert [sample.truth for sample in found] == list(chain(*texts))
        assert [sample.id for sample in found] == [f"toy/{number:04d}" for number in range(len(found))]
        values = [place for each in texts for place in range(len(each))]
        assert [as_stored(sample.content, WORD_ITEM)[2, 47, 319] for sample in found] == values

    def test_both_spaces_of_the_alphabet_are_read_as_one(self, saved):
        tensors = word_batch("a b", "a b")
        assert tensors[1][:, 1].tolist() == [96, 96]
        tensors[1][0, 1] = 95
        assert [sample.truth for sample in RecognitionSamples(saved([tensors])).samples()] == ["a b", "a b"]

    @pytest.mark.parametrize(
        ("place", "row", "length", "told"),
        [
            (0, [1, 2], 0, "item 0: a label of length 0, expected 1 to 25"),
            (1, [1, 2], 26, "item 1: a label of length 26, expected 1 to 25"),
            (1, [1, 2], -1, "item 1: a label of length -1, expected 1 to 25"),
            (0, [1, 97], 2, "item 0: 97 in a label of length 2, expected 1 to 96"),
            (0, [1, -1], 2, "item 0: -1 in a label of length 2, expected 1 to 96"),
            (1, [1, 2], 3, "item 1: 0 in a label of length 3, expected 1 to 96"),
            (1, [1, 0, 2], 3, "item 1: 0 in a label of length 3, expected 1 to 96"),
            (1, [1, 2, 3], 2, "item 1: a label of length 2 goes on after it, expected 0 as padding"),
            (0, [1, 2, *[0] * 22, 3], 2, "item 0: a label of length 2 goes on after it, expected 0 as padding"),
        ],
    )
    def test_a_label_that_is_not_as_long_as_is_said_is_told_with_its_item(self, saved, place, row, length, told):
        tensors = word_batch("ab", "cd")
        tensors[1][place] = [*row, *[0] * (25 - len(row))]
        tensors[3][place] = length
        path = saved([word_batch("a"), tensors])
        with pytest.raises(DataError, match=rf"^{path}: batch 1: {told}"):
            RecognitionSamples(path)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (
                lambda tensors: tensors[:4],
                "4 tensors, expected pictures, CTC labels, SAR labels, lengths and shares of the width",
            ),
            (
                lambda tensors: [tensors[0][..., :192], *tensors[1:]],
                r"float32\[2, 3, 48, 192\], int64\[2, 25\], int64\[2, 25\], int64\[2\] and float64\[2\], expected "
                r"float32 \[n, 3, 48, 320\], int64 \[n, 25\], int64 \[n, 25\], int64 \[n\] and float64 \[n\]",
            ),
            (lambda tensors: [*tensors[:2], tensors[2][:, :24], *tensors[3:]], r".* int64\[2, 24\], int64\[2\] and"),
            (lambda tensors: [*tensors[:3], tensors[3][:1], tensors[4]], r".* int64\[1\] and float64\[2\], expected"),
            (lambda tensors: [*tensors[:4], tensors[4].astype(np.float32)], r".* and float32\[2\], expected"),
            (lambda tensors: [tensors[1], tensors[0], *tensors[2:]], r"int64\[2, 25\], float32\[2, 3, 48, 320\], "),
        ],
    )
    def test_what_are_no_samples_is_told_with_the_batch(self, saved, change, told):
        path = saved([word_batch("a"), change(word_batch("ab", "cd"))])
        with pytest.raises(DataError, match=rf"^{path}: batch 1: {told}"):
            RecognitionSamples(path)

    def test_the_samples_of_direction_are_told_to_be_none_of_recognition(self, shared):
        path = shared / "assets" / "knight" / "cls_b1.pd"
        with pytest.raises(DataError, match=rf"^{path}: batch 0: 2 tensors, expected pictures, CTC labels, SAR labels"):
            RecognitionSamples(path)


class TestStored:
    @given(
        hnp.array_shapes(min_dims=1, max_dims=4, max_side=5).flatmap(
            lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(width=32))
        )
    )
    def test_numbers_are_fed_bit_for_bit(self, tensor):
        found = as_stored(tensor.tobytes(), tensor.shape)
        assert (found.shape, found.dtype) == (tensor.shape, np.float32)
        assert found.tobytes() == tensor.tobytes()

    @given(st.integers(0, 200))
    def test_another_number_of_bytes_is_an_error_that_says_which(self, length):
        if length == 96:
            assert as_stored(bytes(length), (2, 3, 4)).size == 24
        else:
            with pytest.raises(ValueError, match=r"expected 96 bytes for float32 \[2, 3, 4\]"):
                as_stored(bytes(length), (2, 3, 4))
