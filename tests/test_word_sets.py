"""Sets of words are read one after the other, each sample under its own id, and one that is damaged is named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import psutil
import pytest

from harness.datasets import DataError
from harness.datasets.lmdb_words import LmdbWords, write_words
from harness.datasets.picture_list import PictureList, write_pictures
from harness.datasets.word_sets import AbsentSet, WordSets, open_words
from harness.verdict import Absent, Verdict
from tests.word_folders import Labels, build, read


class TestReading:
    def test_both_layouts_at_any_depth_are_read_in_the_order_of_their_paths(self, tmp_path):
        build(tmp_path, {"b": ["b1", "b2"], "a/deep/z": ["z1"], "B": ["B1"]})
        build(tmp_path, {"a/y": ["y1", "y2"], "c": ["c1"]}, write_pictures)
        found = [(sample.id, sample.truth, sample.content.decode()) for sample in read(tmp_path)]
        assert found == [
            ("B/000000001", "B1", "picture 1 of B"),
            ("z/000000001", "z1", "picture 1 of a/deep/z"),
            ("y/pictures/000000.png", "y1", "picture 1 of a/y"),
            ("y/pictures/000001.png", "y2", "picture 2 of a/y"),
            ("b/000000001", "b1", "picture 1 of b"),
            ("b/000000002", "b2", "picture 2 of b"),
            ("c/pictures/000000.png", "c1", "picture 1 of c"),
        ]
        for start in range(8):
            assert [sample.id for sample in read(tmp_path, start)] == [name for name, _, _ in found][start:]

    def test_a_folder_that_is_a_set_itself_is_one(self, tmp_path, monkeypatch):
        folder = build(tmp_path, {"IC03_100": ["a", "b"]}) / "IC03_100"
        monkeypatch.chdir(folder)
        for given_as in (folder, Path(), folder / "..", Path("..")):
            assert [sample.id for sample in read(given_as)] == ["IC03_100/000000001", "IC03_100/000000002"]

    def test_links_are_followed_once_and_loops_end(self, tmp_path):
        build(tmp_path / "elsewhere", {"SVT": ["a"]})
        folder = build(tmp_path / "evaluation", {"IC03": ["b"]})
        (folder / "linked").symlink_to(tmp_path / "elsewhere" / "SVT")
        (folder / "loop").symlink_to(folder)
        (folder / "again").symlink_to("IC03")
        assert [sample.id for sample in read(folder)] == ["IC03/000000001", "linked/000000001"]

    def test_two_iterations_at_once_do_not_disturb_each_other(self, tmp_path):
        sets = {"A": ["a1", "!"], "B": ["b1", "?"], "C": ["c1", "c2"]}
        reader = WordSets(build(tmp_path, sets), labels="replace")
        alone = list(reader.samples())
        pairs = list(zip(reader.samples(), reader.samples(3), strict=False))
        assert pairs == list(zip(alone, alone[3:], strict=False))
        reader.close()

    def test_one_file_is_open_at_a_time_and_none_before_and_after(self, tmp_path):
        def opened() -> list[str]:
            files = {Path(file.path) for file in psutil.Process().open_files()}
            return sorted(path.parent.name for path in files if path.is_relative_to(tmp_path))

        reader = WordSets(build(tmp_path, {"A": ["a"], "B": ["b", "!"], "C": ["c"]}), labels="replace")
        assert opened() == []
        seen = [opened() for _ in islice(reader.samples(), 2)]
        assert seen == [["A"], ["B"]]
        reader.close()
        assert opened() == []

    @pytest.mark.parametrize("policy", ["keep", "skip", "replace"])
    def test_real_sets_are_read_whole(self, shared, policy):
        folder = shared / "assets" / "data_lmdb_release" / "evaluation"
        found = read(folder, labels=policy, only="IIIT5k_400,IC03_100")
        alone = [sample for name in ("IC03_100", "IIIT5k_400") for sample in LmdbWords(folder / name).samples()]
        assert (len(found), found) == (500, alone)


class TestChoosing:
    SETS: Mapping[str, Labels] = {"IC15_2077": ["a", "b"], "IIIT5k_400": ["c"], "deep/IC03_100": ["d"]}

    @pytest.mark.parametrize(
        ("only", "given_are"),
        [
            ("IC15_2077", ["IC15_2077/000000001", "IC15_2077/000000002"]),
            ("IIIT5k_400, IC03_100", ["IIIT5k_400/000000001", "IC03_100/000000001"]),
            ("IC03_100,IIIT5k_400,IC03_100", ["IIIT5k_400/000000001", "IC03_100/000000001"]),
        ],
    )
    def test_only_the_sets_that_are_named_are_read(self, tmp_path, only, given_are):
        folder = build(tmp_path, self.SETS)
        (folder / "other").mkdir()
        (folder / "other" / "data.mdb").write_bytes(b"damaged")
        assert [sample.id for sample in read(folder, only=only)] == given_are

    def test_a_set_that_is_not_there_is_a_skip_that_says_which_are(self, tmp_path):
        folder = build(tmp_path, self.SETS)
        told = (
            rf"^words: {folder}: no set SVT and no set CUTE80 below it, there are IC15_2077, IIIT5k_400, IC03_100; put "
            r"a folder of that name there, an LMDB .*data\.mdb.*labels\.txt"
        )
        with pytest.raises(AbsentSet, match=told) as absent:
            WordSets(folder, "words", only="SVT,IC15_2077,CUTE80")
        assert isinstance(absent.value, DataError)
        assert isinstance(absent.value, Absent)
        assert absent.value.verdict is Verdict.SKIPPED

    def test_a_replacement_comes_from_the_sets_that_are_named(self, tmp_path):
        folder = build(tmp_path, {"A": ["!"] * 10 + ["a"], "B": ["b"] * 90})
        found = read(folder, labels="replace", only="A")
        assert {sample.id.partition("<")[2] for sample in found} == {"A/000000011", ""}

    def test_two_sets_of_one_name_are_both_named_unless_they_are_not_meant(self, tmp_path):
        folder = build(tmp_path, {"old/SVT": ["a"], "new/SVT": ["b"], "IC03": ["c"]})
        told = rf"two sets are named SVT, {folder}/new/SVT and {folder}/old/SVT; ids would not be unique"
        for only in ("", "SVT"):
            with pytest.raises(DataError, match=told):
                WordSets(folder, only=only)
        assert [sample.id for sample in read(folder, only="IC03")] == ["IC03/000000001"]


class TestDamage:
    def test_a_folder_without_sets_says_what_was_looked_for(self, tmp_path):
        (tmp_path / "SVT").mkdir()
        (tmp_path / "SVT" / "lock.mdb").write_bytes(b"")
        told = r"no set of words below it, looked at any depth for an LMDB .*data\.mdb.* or pictures .*labels\.txt"
        with pytest.raises(DataError, match=rf"^words: {tmp_path}: {told}"):
            WordSets(tmp_path, "words")

    @pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_bytes(b"PK")], ids=["none", "a file"])
    def test_what_is_no_folder_is_told(self, tmp_path, make):
        make(tmp_path / "evaluation")
        with pytest.raises(DataError, match=r"evaluation: no such folder; expected one with sets of words below it"):
            WordSets(tmp_path / "evaluation")

    def test_a_folder_that_cannot_be_read_is_told(self, tmp_path, monkeypatch):
        def scan(path: Path) -> object:
            if path.name == "SVT":
                raise PermissionError(13, "Permission denied")
            return os_scandir(path)

        os_scandir = os.scandir
        monkeypatch.setattr("harness.assets.listing.os.scandir", scan)
        folder = build(tmp_path, {"SVT": ["a"], "IC03": ["b"]})
        reader = WordSets(folder)
        assert [sample.truth for sample in reader.samples()] == ["b"]
        assert reader.facts() == {"folders that could not be read": f"{folder}/SVT"}
        reader.close()
        with pytest.raises(DataError, match=rf"no set SVT below it, there are IC03; could not read {folder}/SVT; put"):
            WordSets(folder, only="SVT")

    @pytest.mark.parametrize("policy", ["keep", "skip", "replace"])
    @pytest.mark.parametrize(
        ("file", "content", "told"),
        [
            ("data.mdb", b"<html>404</html>", r"IC13_857/data\.mdb: not a readable LMDB, damaged or truncated"),
            ("data.mdb", b"", r"IC13_857/data\.mdb: not a readable LMDB"),
            ("labels.txt", b"", r"IC13_857/labels\.txt: lists no picture"),
            ("labels.txt", b"a.png\n", r"IC13_857/labels\.txt:1: 'a\.png' has no tab"),
        ],
    )
    def test_one_that_is_damaged_among_good_ones_is_named(self, tmp_path, policy, file, content, told):
        folder = build(tmp_path, {"IC03_860": ["a"], "IC13_857": [], "SVT": ["b"]}, write_words)
        (folder / "IC13_857" / "data.mdb").unlink()
        (folder / "IC13_857" / file).write_bytes(content)
        for _ in range(2):
            with pytest.raises(DataError, match=told):
                WordSets(folder, labels=policy)
        assert [sample.truth for sample in read(folder, only="IC03_860,SVT")] == ["a", "b"]

    def test_an_empty_one_among_good_ones_is_named(self, tmp_path):
        with pytest.raises(DataError, match=r"IC13_857: the data set is empty .num-samples 0."):
            WordSets(build(tmp_path, {"IC03_860": ["a"], "IC13_857": []}))

    def test_a_picture_that_is_missing_is_told_when_its_turn_comes(self, tmp_path):
        build(tmp_path, {"A": ["a"]})
        build(tmp_path, {"B": ["b1", "b2"]}, write_pictures)
        (tmp_path / "B" / "pictures" / "000001.png").unlink()
        samples = WordSets(tmp_path).samples()
        assert [next(samples).truth for _ in range(2)] == ["a", "b1"]
        with pytest.raises(DataError, match=r"B/pictures/000001\.png: named in .*B/labels\.txt, but No such file"):
            next(samples)


class TestOneSet:
    def test_whichever_layout_lies_there_is_read(self, tmp_path):
        build(tmp_path, {"A": ["a"]})
        build(tmp_path, {"B": ["b"]}, write_pictures)
        opened = [open_words(tmp_path / name, "words") for name in "AB"]
        assert [type(words) for words in opened] == [LmdbWords, PictureList]
        assert [next(words.samples()).id for words in opened] == ["words/000000001", "words/pictures/000000.png"]
        for words in opened:
            words.close()

    def test_an_lmdb_comes_before_a_list_beside_it(self, tmp_path):
        build(tmp_path, {"A": ["a"]})
        (tmp_path / "A" / "labels.txt").write_text("a.png\tother\n")
        words = open_words(tmp_path / "A")
        assert [sample.truth for sample in words.samples()] == ["a"]
        words.close()

    @pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch], ids=["none", "empty", "a file"])
    def test_what_is_neither_is_told(self, tmp_path, make):
        make(tmp_path / "A")
        with pytest.raises(DataError, match=r"A: holds no data\.mdb and no labels\.txt; expected an LMDB"):
            open_words(tmp_path / "A")
