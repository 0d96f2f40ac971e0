"""The LMDB layout of the text-recognition benchmarks is read key by key, and damage is told with file and key."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.datasets import DataError, Sample
from harness.datasets.lmdb_words import LmdbWords, write_words

LABELS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WORDS = st.lists(st.tuples(st.binary(max_size=5000), LABELS), min_size=1, max_size=8)
TEN = [(b"picture %d" % number, f"Label{number}") for number in range(1, 11)]
READ = """
import sys
from pathlib import Path
from harness.datasets import DataError
from harness.datasets.lmdb_words import LmdbWords

try:
    print("read", len(list(LmdbWords(Path(sys.argv[1])).samples())))
except DataError as error:
    print("DataError", error)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder named as a data set."""
    made = tmp_path / "toy_lmdb"
    made.mkdir()
    return made


def put(folder: Path, **pairs: bytes | None) -> None:
    """Changes keys of an LMDB, spelt with ``_`` for ``-``; None deletes one."""
    with lmdb.open(str(folder), map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for name, value in pairs.items():
            key = name.replace("_", "-").encode()
            _ = transaction.delete(key) if value is None else transaction.put(key, value)


def read(folder: Path, start: int = 0) -> list[Sample]:
    """All samples, the reader closed again."""
    reader = LmdbWords(folder)
    try:
        return list(reader.samples(start))
    finally:
        reader.close()


class TestReading:
    @given(WORDS)
    def test_words_come_back_byte_for_byte_and_in_order(self, tmp_path_factory, words):
        folder = tmp_path_factory.mktemp("words")
        assert write_words(folder, iter(words)) == len(words)
        found = read(folder)
        assert [(sample.content, sample.truth) for sample in found] == words
        assert [sample.id for sample in found] == [f"{folder.name}/{number + 1:09d}" for number in range(len(words))]

    @given(st.integers(0, 12))
    def test_reading_starts_at_any_number_with_the_same_ids(self, tmp_path_factory, start):
        folder = tmp_path_factory.mktemp("words")
        write_words(folder, TEN)
        assert read(folder, start) == read(folder)[start:]

    def test_more_words_than_one_transaction_takes_are_all_there(self, folder):
        assert write_words(folder, ((b"%d" % number, str(number)) for number in range(2003))) == 2003
        found = read(folder)
        assert [sample.truth for sample in found] == [str(number) for number in range(2003)]
        assert all(sample.content.decode() == sample.truth for sample in found)

    def test_the_length_is_known_before_anything_is_read(self, folder):
        write_words(folder, TEN)
        reader = LmdbWords(folder)
        assert len(reader) == 10
        assert next(reader.samples()).truth == "Label1"
        reader.close()

    def test_a_folder_that_is_open_already_is_not_called_damaged(self, folder):
        write_words(folder, TEN)
        one = LmdbWords(folder)
        try:
            assert read(folder) == list(one.samples())
        except DataError as error:
            told = str(error)
            assert "damaged" not in told, told
        finally:
            one.close()

    def test_reading_leaves_the_folder_as_it_was(self, folder):
        write_words(folder, TEN)
        before = (folder / "data.mdb").read_bytes()
        read(folder)
        assert [path.name for path in folder.iterdir()] == ["data.mdb"]
        assert (folder / "data.mdb").read_bytes() == before

    @pytest.mark.parametrize(("name", "count"), [("IIIT5k_400", 400), ("IC03_100", 100)])
    def test_real_benchmark_folders_are_read_whole(self, shared, name, count):
        found = read(shared / "assets" / "data_lmdb_release" / "evaluation" / name)
        assert len(found) == count
        assert all(sample.content[:2] == b"\xff\xd8" or sample.content[1:4] == b"PNG" for sample in found)
        assert any(sample.truth != sample.truth.lower() for sample in found)


class TestDamage:
    @pytest.mark.parametrize(
        ("damage", "told"),
        [
            ({"num_samples": None}, "'num-samples' is missing; expected the layout"),
            ({"num_samples": b"0"}, r"the data set is empty \(num-samples 0\)"),
            ({"num_samples": b"-1"}, r"the data set is empty \(num-samples -1\)"),
            ({"num_samples": b"ten"}, "num-samples is b'ten', not a number"),
            ({"num_samples": b""}, "num-samples is b'', not a number"),
            ({"num_samples": b"\xff"}, "num-samples is .*, not a number"),
            ({"image_000000007": None}, "'image-000000007' is missing"),
            ({"label_000000007": None}, "'label-000000007' is missing"),
            ({"num_samples": b"11"}, "'label-000000011' is missing"),
            ({"label_000000007": b"caf\xe9"}, r"label-000000007 is not UTF-8: b'caf\\xe9'"),
        ],
    )
    def test_what_is_missing_or_wrong_is_named_with_its_folder(self, folder, damage, told):
        write_words(folder, TEN)
        put(folder, **damage)
        for _ in range(2):
            with pytest.raises(DataError, match=f"toy_lmdb: .*{told}"):
                read(folder)

    def test_what_lies_before_a_missing_key_is_still_read(self, folder):
        write_words(folder, TEN)
        put(folder, image_000000007=None)
        reader = LmdbWords(folder)
        samples = reader.samples()
        assert [next(samples).truth for _ in range(6)] == [f"Label{number}" for number in range(1, 7)]
        with pytest.raises(DataError, match="image-000000007"):
            next(samples)
        reader.close()

    def test_a_set_that_was_refused_does_not_stay_open(self, folder):
        write_words(folder, TEN)
        put(folder, num_samples=b"ten")
        with pytest.raises(DataError) as kept:
            LmdbWords(folder)
        put(folder, num_samples=b"10")
        assert len(read(folder)) == 10
        assert "not a number" in str(kept.value)

    @pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.rmdir()], ids=["file", "folder"])
    def test_a_missing_file_or_folder_is_named(self, folder, make):
        make(folder)
        with pytest.raises(DataError, match=r"toy_lmdb: holds no data\.mdb; expected the layout"):
            LmdbWords(folder)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(4096), b"<html>" * 2000], ids=len)
    def test_a_file_of_another_kind_is_told_to_be_no_lmdb(self, folder, content):
        (folder / "data.mdb").write_bytes(content)
        with pytest.raises(DataError, match=r"toy_lmdb/data\.mdb: not a readable LMDB"):
            LmdbWords(folder)

    @pytest.mark.parametrize("pages", [0.5, 1, 1.5, 2, 2.5, 3, 5, -1, -0.5])
    def test_a_truncated_file_is_told_and_does_not_end_the_process(self, folder, python, pages):
        write_words(folder, [(bytes(6000), f"Label{number}") for number in range(10)])
        whole = (folder / "data.mdb").read_bytes()
        (folder / "data.mdb").write_bytes(whole[: int(pages * 4096)])
        process = python(READ, folder)
        told = process.communicate(timeout=60)[0]
        assert process.returncode == 0
        assert told.startswith(f"DataError {folder}")
