"""A packed folder is read back as it was packed, and whatever changed in it since is named."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from harness.datasets import DataError
from harness.evaluate import Task
from harness.files.pack import pack
from harness.files.packed import MANIFEST, read_packed
from harness.model import Model
from tests.folders import PLAN, Listed, six, task_of


@pytest.fixture
def task(toy: Callable[..., Model]) -> Task:
    return task_of(toy())


DAMAGED = {
    "another truth": (
        "labels.txt",
        lambda text: text.replace("truth\t3", "truth\t4"),
        r"labels.txt:4: says 'img_3.bin\\ttruth\\t4', packed for set/3 was 'img_3.bin\\ttruth\\t3'; pack again",
    ),
    "a line less": ("labels.txt", lambda text: text.rpartition("img_5")[0], "5 lines, expected 6"),
    "a line more": ("labels.txt", lambda text: f"{text}img_6.bin\tx\n", "7 lines, expected 6"),
    "another name": (
        "labels.txt",
        lambda text: text.replace("img_1", "img_7"),
        r"txt:2: says 'img_7.bin\\t.* was 'img_1",
    ),
    "lines exchanged": (
        "labels.txt",
        lambda text: "".join(sorted(text.splitlines(keepends=True), reverse=True)),
        r"labels.txt:1: says 'img_5.bin\\ttruth\\t5', packed for set/0 was 'img_0.bin\\t'",
    ),
    "ends of another system": (
        "labels.txt",
        lambda text: text.replace("\n", "\r\n"),
        r"txt:1: says 'img_0.bin\\t\\r', ",
    ),
    "no text": ("labels.txt", lambda text: "\udcff", "no readable labels file: 'utf-8' codec"),
    "an earlier kind": (MANIFEST, lambda text: text.replace("version 4", "version 3"), "not of the kind"),
    "another layout": (
        MANIFEST,
        lambda text: text.replace("labels.txt of name", "label.txt of name"),
        "packed as img_{i}.bin from 0, label.txt of name, .*; the declaration now says img_{i}.bin from 0, labels.txt",
    ),
    "a truth less": (MANIFEST, lambda text: text.replace('  "truth\\t5"', ""), "not of the kind"),
    "an input less": (
        MANIFEST,
        lambda text: re.sub(r',\s+"[0-9a-f]{64}"\s+\]', "]", text),
        r"sizes, inputs, labels are \[6, 6, 6, 5, 0\] long, expected \[6, 6, 6, 6, 0\]; pack again",
    ),
    "no JSON": (MANIFEST, lambda text: text[:90], "not of the kind"),
    "no end": (MANIFEST, lambda text: text.replace('"samples"', '"sample"'), "not packed to its end"),
    "ids exchanged": (
        MANIFEST,
        lambda text: text.replace("set/4", "set/9"),
        "its samples are not those packed: digest",
    ),
    "another truth beside": (
        MANIFEST,
        lambda text: text.replace("truth\\t3", "truth\\t4"),
        "its samples are not those",
    ),
}


class TestReadingBack:
    @pytest.mark.parametrize("name", DAMAGED)
    def test_a_folder_that_is_not_as_it_was_packed_is_named(self, task, tmp_path, name):
        file, change, told = DAMAGED[name]
        list(pack(Listed(six()), task, PLAN, tmp_path))
        (tmp_path / file).write_text(change((tmp_path / file).read_text()), errors="surrogateescape", newline="")
        with pytest.raises(DataError, match=told):
            read_packed(tmp_path, task.model.layout)

    def test_a_folder_without_labels_is_named(self, task, tmp_path):
        list(pack(Listed(six()), task, PLAN, tmp_path))
        (tmp_path / "labels.txt").unlink()
        with pytest.raises(DataError, match="no readable labels file"):
            read_packed(tmp_path, task.model.layout)

    def test_the_inputs_may_be_gone(self, task, tmp_path):
        list(pack(Listed(six()), task, PLAN, tmp_path))
        for path in (tmp_path / "inputs").iterdir():
            path.unlink()
        assert len(read_packed(tmp_path, task.model.layout).samples) == 6
