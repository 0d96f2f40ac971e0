"""The layout of Cityscapes is read by names, its labels as trainIds, and what is wrong is told with its file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from harness.cityscapes import IGNORED, TRAIN_IDS
from harness.datasets import DataError
from harness.datasets import cityscapes as module
from harness.datasets.cityscapes import AbsentSplit, Cityscapes, StoredLabels, mapped, write_streets
from harness.verdict import Absent, Verdict

NAMES = st.text("ab_h.L8", min_size=1, max_size=6).filter(lambda name: name.strip("."))
PLACES = st.sets(st.tuples(NAMES, NAMES), min_size=1, max_size=6)
LABEL_IDS = arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5)))
TRAINED, RAW = "gtFine/val/a/a_1_gtFine_labelTrainIds.png", "gtFine/val/a/a_1_gtFine_labelIds.png"
PICTURE = "leftImg8bit/val/a/a_1_leftImg8bit.png"


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def picture(height: int = 4, width: int = 6, level: int = 0) -> bytes:
    return png(np.full((height, width, 3), level, np.uint8))


def labels(height: int = 4, width: int = 6, value: int = 0) -> bytes:
    return png(np.full((height, width), value, np.uint8))


@pytest.fixture
def laid(tmp_path) -> Callable[..., Path]:
    """Writes a data set: bytes by path below it."""

    def write(files: dict[str, bytes]) -> Path:
        folder = tmp_path / "streets"
        folder.mkdir()
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return folder

    return write


def one(stored: bytes, path: str = TRAINED) -> dict[str, bytes]:
    return {PICTURE: picture(), path: stored}


def some(*stems: str, split: str = "val", kind: str = "labelTrainIds") -> dict[str, bytes]:
    """Pictures with their labels, of city ``a``."""
    pictures = {f"leftImg8bit/{split}/a/{stem}_leftImg8bit.png": picture() for stem in stems}
    return pictures | {f"gtFine/{split}/a/{stem}_gtFine_{kind}.png": labels() for stem in stems}


def ids(folder: Path, **options: str) -> list[str]:
    return [sample.id.partition("/")[2] for sample in Cityscapes(folder, **options).samples()]


def first(folder: Path) -> np.ndarray:
    """The classes of the first picture."""
    return next(Cityscapes(folder).samples()).label.pixels()


class TestPairs:
    @settings(max_examples=25)
    @given(PLACES)
    def test_each_picture_has_the_labels_of_its_name(self, tmp_path_factory, places):
        folder = tmp_path_factory.mktemp("streets")
        numbered = {f"{city}/{stem}": number for number, (city, stem) in enumerate(sorted(places))}
        written = [
            (Path("val", name), picture(level=number), labels(value=number)) for name, number in numbered.items()
        ]
        assert write_streets(folder, reversed(written)) == len(places)
        reader = Cityscapes(folder, "toy")
        samples = list(reader.samples())
        assert len(reader) == len(places)
        assert [sample.id for sample in samples] == [f"toy/{name}" for name in numbered]
        assert [sample.content for sample in samples] == [content for _, content, _ in written]
        assert [int(sample.label.pixels()[0, 0]) for sample in samples] == list(numbered.values())
        assert list(reader.samples(1)) == samples[1:]

    def test_saboteur_two_sorted_lists_pair_others(self, laid):
        """``_h`` comes before ``_leftImg8bit`` and after ``_gtFine``: PaddleSeg's way exchanges the two."""
        folder = laid(some("a_1", "a_1_h"))
        sorted_lists = [
            [path.name.partition(ends)[0] for path in sorted(folder.glob(f"{root}/*/*/*"))]
            for root, ends in (("leftImg8bit", "_leftImg8bit"), ("gtFine", "_gtFine"))
        ]
        assert sorted_lists[0] != sorted_lists[1]
        assert [(sample.id, Path(sample.truth).name) for sample in Cityscapes(folder).samples()] == [
            ("streets/a/a_1", "a_1_gtFine_labelTrainIds.png"),
            ("streets/a/a_1_h", "a_1_h_gtFine_labelTrainIds.png"),
        ]

    @pytest.mark.parametrize(
        ("gone", "told"),
        [
            ("gtFine", r"streets: 1 x val/a/a_2_leftImg8bit\.png without <stem>_gtFine_labelTrainIds\.png; the set is"),
            ("leftImg8bit", r"streets: 1 x val/a/a_2_gtFine_labelTrainIds\.png without <stem>_leftImg8bit\.png; the"),
        ],
    )
    def test_a_file_without_its_partner_is_named(self, laid, gone, told):
        files = {
            path: content for path, content in some("a_1", "a_2", "a_3").items() if f"{gone}/val/a/a_2" not in path
        }
        with pytest.raises(DataError, match=told):
            Cityscapes(laid(files))

    def test_partners_that_only_almost_have_one_name_are_both_named(self, laid):
        files = some("a_1") | {
            "leftImg8bit/val/a/a_02_leftImg8bit.png": b"",
            "gtFine/val/a/a_2_gtFine_labelTrainIds.png": b"",
        }
        with pytest.raises(DataError, match=r"1 x val/a/a_02_left.* without .*; 1 x val/a/a_2_gtFine.* without"):
            Cityscapes(laid(files))

    def test_of_many_the_first_are_named_and_all_are_counted(self, laid):
        files = some("a_0") | {f"leftImg8bit/val/a/a_{number}_leftImg8bit.png": b"" for number in range(1, 8)}
        with pytest.raises(DataError, match=r"7 x val/a/a_1_left.*a_4_leftImg8bit\.png, \.\.\. without"):
            Cityscapes(laid(files))

    def test_what_else_lies_there_is_no_sample(self, laid):
        files = some("a_1") | {
            "gtFine/val/a/a_1_gtFine_color.png": b"",
            "gtFine/val/a/a_1_gtFine_instanceIds.png": b"",
            "gtFine/val/a/a_1_gtFine_polygons.json": b"",
            "leftImg8bit/val/a/Thumbs.db": b"",
            "leftImg8bit/val/.DS_Store": b"",
            "README": b"",
        }
        assert ids(laid(files)) == ["a/a_1"]


class TestSplits:
    def test_all_are_read_in_one_order_or_one_of_them(self, laid):
        folder = laid(some("a_1", "a_3", split="val") | some("a_2", split="train"))
        assert ids(folder) == ["a/a_1", "a/a_2", "a/a_3"]
        assert ids(folder, split="val") == ["a/a_1", "a/a_3"]
        assert [sample.truth for sample in Cityscapes(folder, split="train").samples()] == [
            "gtFine/train/a/a_2_gtFine_labelTrainIds.png"
        ]

    def test_one_that_is_not_there_is_absent_and_says_which_are(self, laid):
        folder = laid(some("a_1", split="train") | {"leftImg8bit/README": b"", "gtFine/README": b""})
        with pytest.raises(
            AbsentSplit, match=r"streets: no split 'val', there are train; put its pictures into"
        ) as told:
            Cityscapes(folder, split="val")
        assert isinstance(told.value, Absent)
        assert told.value.verdict is Verdict.SKIPPED

    def test_the_others_need_no_partners(self, laid):
        folder = laid(some("a_1") | {"leftImg8bit/test/b/b_1_leftImg8bit.png": b""})
        assert ids(folder, split="val") == ["a/a_1"]
        with pytest.raises(DataError, match=r"test/b/b_1_leftImg8bit\.png without"):
            Cityscapes(folder)

    def test_a_picture_in_two_of_them_is_told(self, laid):
        with pytest.raises(DataError, match=r"a/a_1 lies in train and in val; ids would not be unique"):
            Cityscapes(laid(some("a_1") | some("a_1", split="train")))

    @pytest.mark.parametrize(
        ("files", "told"),
        [
            ({}, r"leftImg8bit: No such file.*; expected leftImg8bit and gtFine of Cityscapes, side by side"),
            ({PICTURE: b""}, r"gtFine: No such file"),
            ({TRAINED: b""}, r"leftImg8bit: No such file"),
            (
                {"leftImg8bit/val/README": b"", "gtFine/val/README": b""},
                r"streets: no picture; expected leftImg8bit/<split>/<city>/<stem>_leftImg8bit\.png",
            ),
        ],
        ids=["nothing", "no labels", "no pictures", "empty"],
    )
    def test_a_folder_that_is_no_such_data_set_is_told(self, laid, files, told):
        with pytest.raises(DataError, match=told) as error:
            Cityscapes(laid(files), split="val")
        assert not isinstance(error.value, Absent)


class TestLabels:
    @given(LABEL_IDS)
    def test_label_ids_become_train_ids_and_all_others_are_ignored(self, stored):
        wanted = [[TRAIN_IDS.get(int(value), IGNORED) for value in row] for row in stored]
        found = mapped(stored)
        assert found.dtype == np.uint8
        assert found.tolist() == wanted

    @pytest.mark.parametrize(("path", "kind"), [(TRAINED, "labelTrainIds"), (RAW, "labelIds")])
    def test_which_labels_are_there_decides_and_is_told(self, laid, path, kind):
        stored = np.array([[7, 8, 11, 0, 255, 13]] * 4, np.uint8)
        reader = Cityscapes(laid(one(png(stored), path)))
        assert reader.facts() == {"labels": kind}
        (sample,) = reader.samples()
        assert (sample.truth, sample.size) == (path, (4, 6))
        wanted = stored if path == TRAINED else [[0, 1, 2, 255, 255, 4]] * 4
        assert np.array_equal(sample.label.pixels(), wanted)

    def test_train_ids_are_read_where_both_are_there(self, laid):
        folder = laid(one(labels(value=3)) | {RAW: labels(value=7)})
        assert Cityscapes(folder).facts() == {"labels": "labelTrainIds"}
        assert (first(folder) == 3).all()

    def test_a_set_has_one_kind_of_labels(self, laid):
        with pytest.raises(DataError, match=r"a_2_leftImg8bit\.png without .*; the set is read by its labelTrainIds"):
            Cityscapes(laid(some("a_1") | some("a_2", kind="labelIds")))

    def test_saboteur_label_ids_taken_for_train_ids_are_told(self, laid):
        stored = np.array([[7, 8, 11, 23, 26, 0]] * 4, np.uint8)
        with pytest.raises(
            DataError,
            match=r"labelTrainIds\.png: holds 23, 26, expected labelTrainIds 0 to 18 and 255; these look like "
            r"labelIds: make labelTrainIds of them, or name the file _gtFine_labelIds\.png",
        ):
            first(laid(one(png(stored))))

    @pytest.mark.parametrize(("path", "value"), [(TRAINED, 254), (TRAINED, 34), (RAW, 34), (RAW, 128)])
    def test_a_value_that_is_no_label_is_told(self, laid, path, value):
        with pytest.raises(DataError, match=rf"holds {value}, expected label.* and 255; get the file anew"):
            first(laid(one(labels(value=value), path)))

    @given(arrays(np.uint8, (3, 4)))
    def test_a_file_is_taken_if_and_only_if_all_its_values_are_labels(self, tmp_path_factory, stored):
        path = tmp_path_factory.mktemp("labels") / "a.png"
        path.write_bytes(png(stored))
        for kind, count in (("labelTrainIds", 19), ("labelIds", 34)):
            if set(stored.ravel().tolist()) <= {*range(count), 255}:
                assert StoredLabels(path, kind).pixels().shape == (3, 4)
            else:
                with pytest.raises(DataError, match="holds"):
                    StoredLabels(path, kind).pixels()

    @pytest.mark.parametrize(
        ("stored", "mode"),
        [(picture(), "RGB"), (png(np.zeros((4, 6), np.uint16)), "I;16"), (png(np.zeros((4, 6), bool)), "1")],
        ids=["colours", "instances", "bits"],
    )
    def test_a_file_that_is_not_one_byte_a_pixel_is_told(self, laid, stored, mode):
        with pytest.raises(
            DataError, match=rf"labelTrainIds\.png: pixels of mode {mode}, expected L, one byte of grey"
        ):
            list(Cityscapes(laid(one(stored))).samples())

    def test_a_palette_is_no_grey(self, laid):
        file = io.BytesIO()
        Image.fromarray(np.zeros((4, 6), np.uint8)).convert("P").save(file, "PNG")
        with pytest.raises(DataError, match="pixels of mode P, expected L"):
            list(Cityscapes(laid(one(file.getvalue()))).samples())

    def test_they_are_decoded_when_they_are_asked_for_and_not_before(self, laid):
        whole = png(np.random.default_rng(1).integers(0, 19, (400, 600), np.uint8))
        folder = laid({PICTURE: picture(400, 600), TRAINED: whole[: len(whole) // 2]})
        (sample,) = Cityscapes(folder).samples()
        with pytest.raises(DataError, match=r"labelTrainIds\.png: cannot be decoded: .*; get the file anew"):
            sample.label.pixels()

    def test_the_table_is_that_of_the_published_tools(self):
        assert mapped(np.array([7, 8, 33, 0, 9, 34, 255], np.uint8)).tolist() == [0, 1, 18, 255, 255, 255, 255]


class TestPictures:
    def test_sizes_that_differ_are_both_named(self, laid):
        with pytest.raises(
            DataError, match=r"a_1_leftImg8bit\.png is 4x6, and .*labelTrainIds\.png 4x7, as height x width"
        ):
            list(Cityscapes(laid(one(labels(4, 7)))).samples())

    def test_saboteur_exchanged_height_and_width_are_seen(self, laid):
        with pytest.raises(DataError, match=r"is 4x6, and .* 6x4"):
            list(Cityscapes(laid(one(labels(6, 4)))).samples())

    @pytest.mark.parametrize("path", [PICTURE, TRAINED])
    @pytest.mark.parametrize("content", [b"", b"no picture", picture()[:20]], ids=["empty", "text", "cut short"])
    def test_what_is_no_picture_is_told(self, laid, path, content):
        folder = laid(one(labels()) | {path: content})
        with pytest.raises(
            DataError, match=rf"{Path(path).name}: no picture that Pillow can open: .*; get the file anew"
        ):
            list(Cityscapes(folder).samples())

    def test_one_that_went_away_is_named(self, laid):
        folder = laid(one(labels()))
        reader = Cityscapes(folder)
        (folder / PICTURE).unlink()
        with pytest.raises(DataError, match=r"a_1_leftImg8bit\.png: No such file"):
            list(reader.samples())

    def test_two_of_a_name_are_not_written(self, tmp_path):
        with pytest.raises(FileExistsError, match=r"a_1_leftImg8bit\.png"):
            write_streets(tmp_path, [(Path("val/a/a_1"), b"", b"")] * 2)


def test_the_published_pictures_are_read(shared):
    reader = Cityscapes(shared / "assets" / "cityscapes")
    samples = list(reader.samples())
    assert [sample.id for sample in samples] == [
        f"cityscapes/stuttgart/stuttgart_0000{number}_000019" for number in (21, 72)
    ]
    assert {sample.size for sample in samples} == {(1024, 2048)}
    held = [set(np.unique(sample.label.pixels()).tolist()) for sample in samples]
    assert held == [{0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 18, 255}, {0, 1, 2, 5, 6, 7, 8, 10, 11, 12, 13, 14, 17, 18, 255}]
    with pytest.raises(AbsentSplit, match="no split 'val', there are train"):
        Cityscapes(shared / "assets" / "cityscapes", split="val")


def test_saboteur_a_mapping_that_is_not_applied_is_seen(monkeypatch, laid):
    monkeypatch.setattr(module, "mapped", lambda label_ids: label_ids)
    with pytest.raises(AssertionError):
        TestLabels().test_which_labels_are_there_decides_and_is_told(laid, RAW, "labelIds")
