"""Packed folders hold what tools read and nothing else, go on where they were interrupted, and never mix two packs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.__main__ import main
from harness.commands import progress
from harness.datasets import DataError, Sample
from harness.evaluate import Task
from harness.files.pack import pack
from harness.files.packed import MANIFEST, read_packed
from harness.model import Model
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Refused
from tests.folders import PLAN, Listed, declare_few, listing, six, task_of

DTYPES = ("float32", "float64", "int64", "uint8")


@pytest.fixture
def task(toy: Callable[..., Model]) -> Task:
    return task_of(toy())


class TestFolder:
    @given(data=st.data())
    def test_any_samples_lie_there_number_for_number_with_their_truths(self, data, toy, tmp_path_factory):
        dtype = data.draw(st.sampled_from(DTYPES))
        shape = data.draw(st.sampled_from([(2,), (1, 3, 2), ()]))
        elements = arrays.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False)
        values = data.draw(st.lists(arrays.arrays(dtype, shape, elements=elements), min_size=1, max_size=6))
        truths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=5)
        samples = [Sample(f"set/{at}", value.tobytes(), data.draw(truths)) for at, value in enumerate(values)]
        model = toy(inputs=(TensorSpec(name="x", axes=(BATCH, *shape), dtype=dtype),))
        folder = tmp_path_factory.mktemp("packed") / "new"
        plan = replace(PLAN, n=len(samples))
        assert list(pack(Listed(samples), task_of(model, dtype), plan, folder)) == list(range(1, len(samples) + 1))
        for number, value in enumerate(values):
            found = np.fromfile(folder / "inputs" / f"img_{number}.bin", dtype).reshape(shape)
            np.testing.assert_array_equal(found, value)
        assert len(list((folder / "inputs").iterdir())) == len(samples)
        packed = read_packed(folder, model.layout)
        assert packed.plan == plan
        assert [(sample.id, sample.truth) for sample in packed.samples] == [(one.id, one.truth) for one in samples]

    def test_labels_name_the_files_and_the_inputs_have_a_folder_for_themselves(self, task, tmp_path):
        list(pack(Listed(six()), task, replace(PLAN, n=2), tmp_path))
        assert (tmp_path / "labels.txt").read_text() == "img_0.bin\t\nimg_1.bin\ttruth\t1\n"
        assert sorted(listing(tmp_path)) == ["inputs/img_0.bin", "inputs/img_1.bin", "labels.txt", "pack.json"]
        manifest = json.loads((tmp_path / MANIFEST).read_text())
        assert manifest["samples"] == ["set/0", "set/1"]
        assert manifest["n"] == 2

    @pytest.mark.parametrize("truth", ["two\nlines", "two\rlines"])
    def test_a_truth_that_no_line_holds_is_named_by_its_sample(self, task, tmp_path, truth):
        samples = [*six()[:1], replace(six()[1], truth=truth)]
        with pytest.raises(DataError, match=r"set/1: its truth .* holds a line break"):
            list(pack(Listed(samples), task, replace(PLAN, n=2), tmp_path))

    @pytest.mark.parametrize(
        ("feed", "told"),
        [
            (lambda content, shape: np.zeros(2), r"set/0: prepared as float64 \[2\], the input x takes float32 \[2\]"),
            (lambda content, shape: np.zeros((1, 2), np.float32), r"prepared as float32 \[1, 2\]"),
        ],
    )
    def test_what_the_model_does_not_take_is_refused_before_it_is_written(self, task, tmp_path, feed, told):
        with pytest.raises(Refused, match=told):
            list(pack(Listed(six()), replace(task, feed=feed), PLAN, tmp_path))
        assert list((tmp_path / "inputs").iterdir()) == []

    def test_a_data_set_that_gives_less_than_it_announced_is_refused_and_the_folder_is_not_whole(self, task, tmp_path):
        with pytest.raises(DataError, match="gives 5 samples, announced were 6"):
            list(pack(Listed(six()[:5]), task, PLAN, tmp_path))
        with pytest.raises(DataError, match="not packed to its end"):
            read_packed(tmp_path, task.model.layout)


class TestGoingOn:
    @pytest.mark.parametrize("stopped", [0, 1, 3, 6])
    @pytest.mark.parametrize("cut", [0, 3], ids=["between files", "within a file"])
    def test_a_killed_pack_goes_on_to_the_same_folder(self, task, tmp_path, stopped, cut):
        list(pack(Listed(six()), task, PLAN, tmp_path / "whole"))
        killed = tmp_path / "killed"
        steps = pack(Listed(six()), task, PLAN, killed)
        list(islice(steps, stopped))
        steps.close()
        assert not (killed / "labels.txt").exists()
        if stopped and cut:
            path = killed / "inputs" / f"img_{stopped - 1}.bin"
            path.write_bytes(path.read_bytes()[:cut])
        times = {path.name: path.stat().st_mtime_ns for path in killed.glob("inputs/*")}
        list(pack(Listed(six()), task, PLAN, killed))
        assert listing(killed) == listing(tmp_path / "whole")
        kept = max(0, stopped - bool(cut))
        assert all(
            (killed / "inputs" / f"img_{at}.bin").stat().st_mtime_ns == times[f"img_{at}.bin"] for at in range(kept)
        )

    def test_one_that_was_killed_before_its_first_file_goes_on(self, task, tmp_path):
        (tmp_path / f".{MANIFEST}.partial").write_text("{")
        list(pack(Listed(six()), task, PLAN, tmp_path))
        assert len(read_packed(tmp_path, task.model.layout).samples) == 6

    @pytest.mark.parametrize(
        "change",
        [
            {"n": 5},
            {"reference": "bundled"},
            {"data": "other"},
            {"declared": "digest"},
            {"own": False},
            {"layout": "other files"},
        ],
    )
    def test_another_plan_never_goes_into_a_begun_folder(self, task, tmp_path, change):
        list(islice(pack(Listed(six()), task, PLAN, tmp_path), 2))
        ((name, value),) = change.items()
        told = re.escape(f"packed from something else ({name} {getattr(PLAN, name)}, now {value}); choose a new")
        with pytest.raises(FileExistsError, match=told):
            list(pack(Listed(six()), task, replace(PLAN, **change), tmp_path))

    @pytest.mark.parametrize("changed", [0, 2])
    def test_samples_that_are_prepared_otherwise_now_never_go_into_a_begun_folder(self, task, tmp_path, changed):
        list(islice(pack(Listed(six()), task, PLAN, tmp_path), 3))
        before = listing(tmp_path)
        samples = [*six()[:changed], *six(salt=0.5)[changed : changed + 1], *six()[changed + 1 :]]
        told = rf"img_{changed}.bin: begun with other code or data, set/{changed} is prepared otherwise now"
        with pytest.raises(FileExistsError, match=told):
            list(pack(Listed(samples), task, PLAN, tmp_path))
        assert listing(tmp_path) == before

    def test_an_input_that_changed_since_it_was_packed_is_not_taken_for_whole(self, task, tmp_path):
        list(pack(Listed(six()), task, PLAN, tmp_path))
        other = (tmp_path / "inputs" / "img_4.bin").read_bytes()
        (tmp_path / "inputs" / "img_3.bin").write_bytes(other)
        with pytest.raises(FileExistsError, match=r"img_3.bin: holds not what was packed for set/3; choose a new"):
            list(pack(Listed(six()), task, PLAN, tmp_path))

    def test_a_whole_folder_is_packed_again_to_the_same(self, task, tmp_path):
        list(pack(Listed(six()), task, PLAN, tmp_path))
        before = listing(tmp_path)
        (tmp_path / "inputs" / "img_2.bin").unlink()
        list(pack(Listed(six()), task, PLAN, tmp_path))
        assert listing(tmp_path) == before

    def test_a_folder_of_an_earlier_version_is_left_alone(self, task, tmp_path):
        earlier = json.dumps({"kind": "prepared samples, by python -m harness pack; version 1", "n": 6})
        (tmp_path / MANIFEST).write_text(earlier)
        with pytest.raises(FileExistsError, match=r"not of the kind .*version 4'; choose a new or an empty folder"):
            list(pack(Listed(six()), task, PLAN, tmp_path))
        assert listing(tmp_path) == {MANIFEST: earlier.encode()}

    def test_a_folder_with_anything_else_is_left_alone(self, task, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(FileExistsError, match=r"not empty, it holds thesis.txt; choose a new or an empty folder"):
            list(pack(Listed(six()), task, PLAN, tmp_path))
        assert listing(tmp_path) == {"thesis.txt": b"years of work"}

    def test_a_file_that_is_none_of_its_inputs_is_named(self, task, tmp_path):
        list(islice(pack(Listed(six()), task, PLAN, tmp_path), 2))
        (tmp_path / "inputs" / "img_6.bin").write_bytes(b"")
        with pytest.raises(FileExistsError, match=r"holds img_6.bin, which is none of its files"):
            list(pack(Listed(six()), task, PLAN, tmp_path))


class TestCommand:
    @pytest.fixture
    def few(self, tmp_path: Path, words: list[Sample]) -> list[str]:
        return declare_few(tmp_path, words)

    def packed(self, folder: Path) -> dict:
        return json.loads((folder / MANIFEST).read_text())

    def test_it_packs_the_first_reference_whose_data_is_here_and_says_what_to_do_next(self, few, tmp_path, capsys):
        assert main(["pack", "few", f"--out={tmp_path / 'out'}", *few]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "few official: 8 of 8 samples of few"
        assert lines[1] == f"packed 8 files of float32 [1, 32, 100] into {tmp_path / 'out' / 'inputs'}, 0.1 MB"
        assert "writes test_1_0 and so on" in lines[2]
        assert lines[3] == f"then: python -m harness score few --data={tmp_path / 'out'} --outputs=OUT"
        assert self.packed(tmp_path / "out")["own"] is True

    def test_the_inputs_are_what_a_run_feeds(self, few, tmp_path, crnn, words):
        assert main(["pack", "few", f"--out={tmp_path / 'out'}", "--samples=3", *few]) == 0
        for number, word in enumerate(words[:3], 1):
            found = (tmp_path / "out" / "inputs" / f"test_{number}.bin").read_bytes()
            assert found == Task.of(crnn).prepare(word).value.tobytes()

    def test_long_work_says_on_standard_error_how_far_it_is(self, few, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(progress, "EVERY", 1e-9)
        assert main(["pack", "few", f"--out={tmp_path / 'out'}", *few]) == 0
        printed = capsys.readouterr()
        assert re.search(r"packing: 4 of 8, \d+/s, about \d+ s left\n", printed.err)
        assert "packing" not in printed.out

    def test_the_same_samples_elsewhere_are_the_references_own_by_their_name_only(self, few, tmp_path):
        known = tmp_path / "assets" / "few_lmdb"
        assert main(["pack", "few", f"--out={tmp_path / 'own'}", f"--data={known}", few[0]]) == 0
        other = known.rename(tmp_path / "my_words")
        assert main(["pack", "few", f"--out={tmp_path / 'other'}", f"--data={other}", few[0]]) == 0
        own, foreign = self.packed(tmp_path / "own"), self.packed(tmp_path / "other")
        assert (own["own"], own["data"], own["samples"][0]) == (True, "few", "few/000000001")
        assert (foreign["own"], foreign["data"], foreign["samples"][0]) == (False, "my_words", "my_words/000000001")

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--reference=seeded"], "few seeded: declares no data; references with data: official, bundled"),
            (["--reference=oficial"], "did you mean 'official'"),
            (["--data=/no/such/place"], "/no/such/place: no such data set"),
            (["--data=HERE/models"], "models: no reader takes it; official .LmdbWords.: .*holds no data.mdb; "),
        ],
    )
    def test_what_cannot_be_packed_is_told_with_1(self, few, tmp_path, capsys, options, told):
        options = [option.replace("HERE", str(tmp_path)) for option in options]
        assert main(["pack", "few", f"--out={tmp_path / 'out'}", *options, *few]) == 1
        assert re.search(told, capsys.readouterr().err)
        assert not (tmp_path / "out").exists()

    def test_samples_that_are_packed_already_are_not_packed_again(self, few, tmp_path, capsys):
        assert main(["pack", "few", f"--out={tmp_path / 'out'}", *few]) == 0
        assert main(["pack", "few", f"--out={tmp_path / 'again'}", f"--data={tmp_path / 'out'}", *few]) == 1
        assert "these samples are packed already" in capsys.readouterr().err

    @pytest.mark.parametrize("count", ["0", "-1", "many", "1.5"])
    def test_a_wrong_number_of_samples_is_wrong_usage(self, few, tmp_path, capsys, count):
        with pytest.raises(SystemExit, match="2"):
            main(["pack", "few", f"--out={tmp_path / 'out'}", f"--samples={count}", *few])
        assert "expected 1 or more" in capsys.readouterr().err

    def test_official_samples_that_are_prepared_already_are_packed_as_they_are(self, shared, tmp_path):
        given = [f"--out={tmp_path / 'out'}", f"--assets={shared / 'assets'}", f"--store={tmp_path / 'store'}"]
        assert main(["pack", "ppocr_cls", *given]) == 0
        manifest = self.packed(tmp_path / "out")
        assert (manifest["reference"], manifest["n"], manifest["own"]) == ("official", 30, True)
        assert (tmp_path / "out" / "inputs" / "img_29.bin").stat().st_size == 3 * 48 * 192 * 4
