"""Whole batches in a file, as guide 002 packs them: pictures and labels side by side, whole and checked."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.datasets import DataError
from harness.declaration import DeclarationError
from harness.files.labels import PackedLabel
from harness.files.pack import pack
from harness.files.packed import MANIFEST, read_packed
from harness.layout import FileLayout
from harness.model import Model
from harness.sizes import BATCH, TensorSpec
from tests.folders import Listed, listing
from tests.street_files import (
    LAYOUT,
    SIZE,
    Streets,
    cut,
    exchanged,
    plan_of,
    streets_model,
    task_of,
    write_streets,
)


@pytest.fixture
def model(toy: Callable[..., Model]) -> Model:
    """Of batches of four."""
    return streets_model(toy, 4)


@pytest.fixture
def streets(tmp_path: Path) -> Streets:
    """Six of them."""
    return Streets(write_streets(tmp_path / "streets", 6), "few")


@pytest.fixture
def packed(model: Model, streets: Streets, tmp_path: Path) -> Path:
    """The six in two files, of which the last has two to fill it up."""
    assert list(pack(streets, task_of(model), plan_of(model, 6), tmp_path / "packed")) == [1, 2, 3, 4, 5, 6]
    return tmp_path / "packed"


class TestPack:
    def test_files_are_those_of_the_guides_script(self, packed, streets):
        assert sorted(listing(packed)) == [
            *("imgs/image_bin0.bin", "imgs/image_bin1.bin", "labels/label_bin0.bin", "labels/label_bin1.bin"),
            "pack.json",
        ]
        samples = list(streets.samples())
        for number, places in enumerate([(0, 1, 2, 3), (4, 5, 5, 5)]):
            pictures = np.fromfile(packed / f"imgs/image_bin{number}.bin", "<f4").reshape(4, 3, *SIZE)
            labels = np.fromfile(packed / f"labels/label_bin{number}.bin", "<i4").reshape(4, *SIZE)
            for row, place in enumerate(places):
                assert pictures[row].tobytes() == samples[place].content
                np.testing.assert_array_equal(labels[row], samples[place].label.pixels())

    @given(n=st.integers(1, 13), batch=st.integers(1, 5))
    @settings(max_examples=20)
    def test_any_number_of_samples_is_read_back_with_labels_that_are_read_when_asked(
        self, toy, tmp_path_factory, n, batch
    ):
        folder, model = tmp_path_factory.mktemp("trip"), streets_model(toy, batch)
        streets, plan = Streets(write_streets(folder / "streets", n), "few"), plan_of(model, n)
        list(pack(streets, task_of(model), plan, folder / "packed"))
        shutil.rmtree(folder / "packed" / "imgs")  # which may be gone
        found = read_packed(folder / "packed", model.layout)
        assert (found.plan, plan.files * batch - plan.padded) == (plan, n)
        for one, sample in zip(found.samples, streets.samples(), strict=True):
            assert (one.id, one.truth, one.size, one.content) == (sample.id, sample.truth, SIZE, b"")
            np.testing.assert_array_equal(one.label.pixels(), sample.label.pixels())
            assert one.label.pixels().dtype == np.uint8

    def test_labels_have_the_sizes_of_their_pictures_also_where_these_differ(self, model, streets, tmp_path):
        sizes = [(4, 6), (8, 12), (2, 3), (4, 6), (5, 5), (8, 12)]
        samples = []
        for number, (sample, size) in enumerate(zip(streets.samples(), sizes, strict=True)):
            label = SimpleNamespace(pixels=lambda size=size, number=number: np.full(size, number, np.uint8))
            samples.append(replace(sample, size=size, label=label))
        list(pack(Listed(samples), task_of(model), plan_of(model, 6), tmp_path / "new"))
        for number, sample in enumerate(read_packed(tmp_path / "new", model.layout).samples):
            assert (sample.label.pixels() == number).all()
            assert sample.label.pixels().shape == sizes[number]

    @pytest.mark.parametrize("suffix", [".bin", ".npy"])
    def test_a_batch_of_large_pictures_is_never_held_as_a_whole(self, toy, tmp_path, suffix):
        size, batch = (256, 512), 8
        streets = Streets(write_streets(tmp_path / "streets", batch, size), "few")
        model = streets_model(toy, batch, size, layout=replace(LAYOUT, input=f"image_bin{{i}}{suffix}"))
        steps = pack(streets, task_of(model), plan_of(model, batch), tmp_path / "packed")
        next(steps)
        tracemalloc.start()
        list(steps)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        picture = 3 * 256 * 512 * 4
        # Their contents are held, which are encoded pictures elsewhere.
        assert peak < 3 * picture
        whole = np.load if suffix == ".npy" else lambda path: np.fromfile(path, "<f4").reshape(batch, 3, *size)
        assert whole(tmp_path / "packed" / f"imgs/image_bin0{suffix}").shape == (batch, 3, *size)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"label": None}, r"few/1: has a text for a label, expected a class for each pixel"),
            ({"size": (6, 4)}, r"few/1: its label is \[4, 6\], expected \(6, 4\), as its picture"),
            (
                {"label": SimpleNamespace(pixels=lambda: np.full(SIZE, 33, np.uint8))},
                r"few/1: 24 pixels that are no trainId, the first 33; expected 0 to 18, or 255",
            ),
        ],
    )
    def test_a_sample_whose_label_cannot_be_packed_is_named(self, model, streets, tmp_path, change, told):
        samples = list(streets.samples())
        samples[1] = replace(samples[1], **change)
        with pytest.raises(DataError, match=told):
            list(pack(Listed(samples), task_of(model), plan_of(model, 6), tmp_path / "new"))

    def test_labels_of_pixels_fit_into_no_line(self, toy, streets, tmp_path):
        model = streets_model(toy, 4, layout=FileLayout())
        with pytest.raises(DataError, match=r"few/0: a class for each pixel fits into no line; declare a file of"):
            list(pack(streets, task_of(model), plan_of(model, 6), tmp_path / "new"))

    def test_a_batch_that_is_no_first_axis_is_in_no_file(self, toy, streets, tmp_path):
        inputs = (TensorSpec(name="x", axes=(3, BATCH, *SIZE), dtype="float32"),)
        model = streets_model(toy, 4, inputs=inputs)
        with pytest.raises(DeclarationError, match="x: its batch axis must be the first"):
            list(pack(streets, task_of(model), plan_of(model, 6), tmp_path / "new"))

    def test_a_data_set_that_ends_early_leaves_no_file_that_is_filled_up(self, model, streets, tmp_path):
        with pytest.raises(DataError, match="few: gives 5 samples, announced were 6"):
            list(pack(Listed(list(streets.samples())[:5]), task_of(model), plan_of(model, 6), tmp_path / "new"))
        assert sorted(path.name for path in (tmp_path / "new").rglob("*.bin")) == ["image_bin0.bin", "label_bin0.bin"]


class TestGoingOn:
    @pytest.mark.parametrize("stopped", [0, 1, 3, 4, 5, 6])
    @pytest.mark.parametrize("cut", [0, 5], ids=["between files", "within a file"])
    def test_a_killed_pack_goes_on_to_the_same_folder(self, model, streets, packed, *, stopped, cut):
        killed = packed.parent / "killed"
        steps = pack(streets, task_of(model), plan_of(model, 6), killed)
        list(islice(steps, stopped))
        steps.close()
        pictures = sorted(killed.glob("imgs/*"))
        if pictures and cut:
            pictures[-1].write_bytes(pictures[-1].read_bytes()[:-cut])
        whole = [path for path in pictures if path.stat().st_size == 4 * 3 * 24 * 4]
        before = {path: path.stat().st_mtime_ns for path in whole}
        list(pack(streets, task_of(model), plan_of(model, 6), killed))
        assert listing(killed) == listing(packed)
        assert {path: path.stat().st_mtime_ns for path in whole} == before

    def test_inputs_without_their_labels_are_written_again(self, model, streets, packed):
        before = listing(packed)
        (packed / "labels/label_bin0.bin").unlink()
        list(pack(streets, task_of(model), plan_of(model, 6), packed))
        assert listing(packed) == before

    @pytest.mark.parametrize("name", ["imgs/image_bin0.bin", "labels/label_bin1.bin"])
    def test_what_would_be_written_otherwise_now_is_not_gone_on_with(self, model, streets, packed, name):
        manifest = json.loads((packed / MANIFEST).read_text())
        begun = {key: manifest[key] for key in manifest if key not in ("samples", "inputs", "labels")}
        (packed / MANIFEST).write_text(json.dumps(begun))
        content = bytearray((packed / name).read_bytes())
        content[1] ^= 1
        (packed / name).write_bytes(content)
        whose = "few/0 to few/3" if "0" in name else "few/4 to few/5"
        with pytest.raises(FileExistsError, match=rf"{name}: begun with other code or data, {whose} is prepared other"):
            list(pack(streets, task_of(model), plan_of(model, 6), packed))

    @pytest.mark.parametrize("name", ["imgs/image_bin1.bin", "labels/label_bin1.bin"])
    def test_a_file_between_that_changed_since_it_was_packed_is_not_taken_for_whole(self, toy, tmp_path, name):
        streets, model = Streets(write_streets(tmp_path / "many", 10), "few"), streets_model(toy, 4)
        list(pack(streets, task_of(model), plan_of(model, 10), tmp_path / "new"))
        shutil.copyfile(tmp_path / "new" / name.replace("1", "0"), tmp_path / "new" / name)
        with pytest.raises(FileExistsError, match=rf"{name}: holds not what was packed for few/4 to few/7; choose"):
            list(pack(streets, task_of(model), plan_of(model, 10), tmp_path / "new"))

    @pytest.mark.parametrize("name", ["imgs/image_bin2.bin", "labels/notes.txt"])
    def test_a_file_that_is_none_of_its_own_is_named(self, model, streets, packed, name):
        (packed / name).write_bytes(b"")
        with pytest.raises(FileExistsError, match=rf"holds {Path(name).name}, which is none of its files; choose"):
            list(pack(streets, task_of(model), plan_of(model, 6), packed))

    @pytest.mark.parametrize("change", [{"batch": 2}, {"dropped": 2}])
    def test_another_batch_never_goes_into_a_begun_folder(self, model, streets, packed, change):
        ((name, value),) = change.items()
        with pytest.raises(FileExistsError, match=rf"packed from something else \({name} \d, now {value}\); choose"):
            list(pack(streets, task_of(model), replace(plan_of(model, 6), **change), packed))


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "a label changed": (
        lambda folder: (folder / "labels/label_bin1.bin").write_bytes(bytes(4 * 24 * 4)),
        "label_bin1.bin: holds not what was packed for few/4 to few/5; pack again into a new folder$",
    ),
    "labels exchanged": (
        exchanged("labels/label_bin0.bin", "labels/label_bin1.bin"),
        "label_bin0.bin: holds not what was packed for few/0 to few/3 but what was packed for few/4 to few/5; pack",
    ),
    "a label cut": (cut("labels/label_bin1.bin"), "label_bin1.bin: holds not what was packed for few/4 to few/5; "),
    "a label gone": (
        lambda folder: (folder / "labels/label_bin0.bin").unlink(),
        "label_bin0.bin: not there, packed for few/0 to few/3; pack again into a new folder$",
    ),
    "inputs exchanged": (
        exchanged("imgs/image_bin0.bin", "imgs/image_bin1.bin"),
        "image_bin0.bin: holds not what was packed for few/0 to few/3 but what was packed for few/4 to few/5; pack",
    ),
    "an input cut": (cut("imgs/image_bin1.bin"), "image_bin1.bin: holds not what was packed for few/4 to few/5; pack"),
    "a digest less": (
        lambda folder: rewrite(folder / MANIFEST, lambda said: said["labels"].pop()),
        r"sizes, inputs, labels are \[6, 6, 6, 2, 1\] long, expected \[6, 6, 6, 2, 2\]; pack again",
    ),
    "fewer samples": (
        lambda folder: rewrite(folder / MANIFEST, lambda said: said.update(n=4)),
        r"are \[6, 6, 6, 2, 2\] long, expected \[4, 4, 4, 1, 1\]; pack again",
    ),
    "an earlier kind": (
        lambda folder: rewrite(folder / MANIFEST, lambda said: said.update(kind=said["kind"].replace("4", "3"))),
        "not of the kind",
    ),
    "another layout": (
        lambda folder: rewrite(folder / MANIFEST, lambda said: said.update(layout=FileLayout().told)),
        r"packed as img_.*; one a file in inputs; the declaration now says image_bin\{i\}.bin from 0, "
        r"labels/label_bin\{i\}.bin of int32; a batch a file in imgs; pack again",
    ),
}


def rewrite(path: Path, change: Callable[[dict], object]) -> None:
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))


class TestSpoiltPacks:
    @pytest.mark.parametrize("name", SPOILT)
    def test_a_pack_that_is_not_what_it_was_is_named_by_file_and_samples(self, model, packed, name):
        spoil, told = SPOILT[name]
        read_packed(packed, model.layout)
        spoil(packed)
        with pytest.raises(DataError, match=told):
            read_packed(packed, model.layout)

    @pytest.mark.parametrize("value", [-1, 19, 254, 256, 2**31 - 1])
    def test_a_value_that_is_no_class_is_named_by_its_file_when_it_is_read(self, tmp_path, value):
        path = tmp_path / "label_bin3.bin"
        np.array([[0, 18], [255, value]], "<i4").tofile(path)
        assert PackedLabel(path, 0, (1, 2)).pixels().tolist() == [[0, 18]]
        told = rf"label_bin3.bin: 1 pixels that are no trainId, the first {value}; expected 0 to 18, or 255"
        with pytest.raises(DataError, match=told):
            PackedLabel(path, 0, (2, 2)).pixels()

    def test_a_file_that_ends_or_goes_away_meanwhile_is_named(self, tmp_path):
        path = tmp_path / "label_bin3.bin"
        np.zeros(7, "<i4").tofile(path)
        with pytest.raises(DataError, match=r"label_bin3.bin: 12 bytes from 16 on, expected int32 \[2, 2\]; pack"):
            PackedLabel(path, 16, (2, 2)).pixels()
        with pytest.raises(DataError, match=r"gone.bin: cannot be read: No such file"):
            PackedLabel(tmp_path / "gone.bin", 0, (2, 2)).pixels()


class TestLayout:
    @pytest.mark.parametrize(
        ("field", "told"),
        [
            ({"batched": True}, "FileLayout.labels: 'labels.txt' has a line an input, but an input is a batch"),
            ({"labels": "inputs/label_{i}.bin"}, "lies in 'inputs', where tools take every file for an input"),
            ({"labels": "inputs/labels.txt"}, "lies in 'inputs', where tools take every file for an input"),
            ({"labels": "label_{i}.bin"}, "'label_{i}.bin', expected a folder for them, and their name"),
            ({"labels": "a/b/label_{i}.bin"}, "expected a folder for them, and their name"),
        ],
    )
    def test_files_that_could_not_be_told_apart_are_declared_by_none(self, field, told):
        with pytest.raises(DeclarationError) as refused:
            FileLayout(**field)
        assert told in str(refused.value)
