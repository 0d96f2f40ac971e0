"""The layout of ICDAR 2015 is read as it lies about: order, texts, sizes, and what is wrong is told with its place."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.boxes import Region, read_truth, write_truth
from harness.datasets import DataError, Sample
from harness.datasets.icdar2015 import Icdar2015, picture_size, write_scenes
from harness.preprocess.text_line import decode_bgr

POINTS = st.tuples(*[st.tuples(*[st.integers(-20, 2000)] * 2)] * 4)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=12).filter(
    lambda text: not text.endswith("\r")
)
TRUTHS = st.lists(st.builds(Region, POINTS, TEXTS | st.sampled_from(["###", "a,b", ",", " a "])), max_size=4)
PLACE = "10,20,30,20,30,28,10,28"
QUAD = ((10, 20), (30, 20), (30, 28), (10, 28))


def encoded(width: int, height: int, kind: str = "PNG", orientation: int = 0) -> bytes:
    """A picture whose upper left quarter alone is white, with an EXIF orientation where one is given."""
    made = np.zeros((height, width, 3), np.uint8)
    made[: height // 2, : width // 2] = 255
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(made).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.fixture
def laid(tmp_path) -> Callable[..., Path]:
    """Writes a data set: bytes by path below it."""

    def write(files: dict[str, bytes]) -> Path:
        folder = tmp_path / "toy_icdar"
        for name in ("test_images", "test_gts"):
            (folder / name).mkdir(parents=True)
        for path, content in files.items():
            (folder / path).write_bytes(content)
        return folder

    return write


def one(lines: bytes) -> dict[str, bytes]:
    return {"test_images/img_1.png": encoded(8, 6), "test_gts/gt_img_1.txt": lines, "test_list.txt": b"img_1.png\n"}


def truths(folder: Path) -> list[list[Region]]:
    return [read_truth(sample.truth) for sample in Icdar2015(folder).samples()]


class TestReading:
    @given(st.lists(TRUTHS, min_size=1, max_size=3))
    def test_scenes_come_back_as_they_were_written(self, tmp_path_factory, scenes):
        folder = tmp_path_factory.mktemp("scenes")
        written = [
            (f"img_{number}.png", encoded(4 + number, 3), write_truth(each)) for number, each in enumerate(scenes, 1)
        ]
        assert write_scenes(folder, iter(written)) == len(scenes)
        reader = Icdar2015(folder, "toy")
        assert len(reader) == len(scenes)
        assert list(reader.samples()) == [
            Sample(f"toy/{name}", content, truth, (3, 4 + number))
            for number, (name, content, truth) in enumerate(written, 1)
        ]
        assert list(reader.samples(1)) == list(reader.samples())[1:]
        assert reader.facts() == {}

    @pytest.mark.parametrize(
        ("line", "text"),
        [
            ("GENAXIS", "GENAXIS"),
            ("###", "###"),
            ("a, b,c", "a, b,c"),
            ("1,000", "1,000"),
            ("", ""),
            (" two words ", " two words "),
            ("ä\u2028\x85", "ä\u2028\x85"),
        ],
    )
    def test_the_text_is_all_after_the_eighth_comma(self, laid, line, text):
        assert truths(laid(one(f"{PLACE},{line}\n".encode()))) == [[Region(QUAD, text)]]

    @pytest.mark.parametrize(
        "line", ["10, 20,30 ,20,30,28,10,28", " 10,20,30,20,30,28,10,28", "+10,20,030,20,30,28,10,28"]
    )
    def test_blanks_and_signs_of_numbers_do_not_matter(self, laid, line):
        assert truths(laid(one(f"{line},a\n".encode()))) == [[Region(QUAD, "a")]]

    @pytest.mark.parametrize(
        "content",
        [
            f"{PLACE},a\n{PLACE},###\n",
            f"{PLACE},a\n{PLACE},###",
            f"\ufeff{PLACE},a\n{PLACE},###\n",
            f"\ufeff{PLACE},a\r\n{PLACE},###\r\n",
            f"{PLACE},a\r\n{PLACE},###",
            f"\n{PLACE},a\n  \n\r\n{PLACE},###\n\n",
        ],
        ids=["plain", "no last line end", "BOM", "BOM and CRLF", "CRLF", "blank lines"],
    )
    def test_how_a_file_was_written_does_not_matter(self, laid, content):
        assert truths(laid(one(content.encode()))) == [[Region(QUAD, "a"), Region(QUAD, "###")]]

    def test_a_picture_without_a_place_has_an_empty_truth(self, laid):
        assert truths(laid(one(b""))) == [[]]

    @pytest.mark.parametrize("content", [b"b.png\na.png\n", b"\xef\xbb\xbfb.png\r\na.png", b"\n b.png \n\na.png\n\n"])
    def test_the_list_says_which_pictures_and_in_what_order(self, laid, content):
        folder = laid(
            {f"test_images/{name}.png": encoded(4, 3) for name in "abc"}
            | {f"test_gts/gt_{name}.txt": b"" for name in "abcd"}
            | {"test_list.txt": content}
        )
        reader = Icdar2015(folder)
        assert [sample.id for sample in reader.samples()] == ["toy_icdar/b.png", "toy_icdar/a.png"]
        assert reader.facts() == {"ground truths of no listed picture": 2}

    def test_without_a_list_pictures_come_in_the_order_of_their_numbers(self, laid):
        names = ["img_1.jpg", "img_2.JPG", "img_02b.png", "img_10.jpeg", "other.png"]
        folder = laid(
            {f"test_images/{name}": encoded(4, 3) for name in reversed(names)}
            | {f"test_gts/gt_{Path(name).stem}.txt": b"" for name in names}
            | {"test_images/Thumbs.db": b"", "test_images/7.txt": b""}
        )
        assert [sample.id.partition("/")[2] for sample in Icdar2015(folder).samples()] == names

    def test_the_published_pictures_are_read(self, shared):
        reader = Icdar2015(shared / "assets" / "icdar2015")
        samples = list(reader.samples())
        assert [sample.id for sample in samples] == [f"icdar2015/img_{number}.jpg" for number in range(1, 41)]
        assert {sample.size for sample in samples} == {(720, 1280)}
        places = [region for sample in samples for region in read_truth(sample.truth)]
        assert (len(places), sum(not region.ignored for region in places)) == (549, 178)


class TestSize:
    @pytest.mark.parametrize("orientation", range(9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_it_is_that_of_the_picture_as_opencv_turns_it(self, kind, orientation):
        content = encoded(48, 32, kind, orientation)
        assert picture_size(content, "a") == decode_bgr(content).shape[:2]

    def test_a_turned_picture_has_its_sides_exchanged(self):
        assert picture_size(encoded(48, 32, "JPEG", 6), "a") == (48, 32)

    def test_only_the_header_is_read(self):
        whole = encoded(480, 320, "JPEG")
        assert picture_size(whole[:700], "a") == (320, 480)

    @pytest.mark.parametrize("content", [b"", b"no picture", encoded(8, 6)[:20]], ids=["empty", "text", "cut short"])
    def test_what_is_no_picture_is_told(self, laid, content):
        folder = laid(one(b"") | {"test_images/img_1.png": content})
        with pytest.raises(DataError, match=r"img_1\.png: no picture that Pillow can open: .*; get the file anew"):
            next(Icdar2015(folder).samples())


class TestDamage:
    @pytest.mark.parametrize(
        "line",
        [
            "no place",
            "10,20,30,20,30,28,10",
            PLACE,
            f"{PLACE[:-2]}x,a",
            "10.5,20,30,20,30,28,10,28,a",
            "1_0,20,30,20,30,28,10,28,a",
            "10,20,30,20,30,28,10,12345678,a",
            "\u0661\u0660,20,30,20,30,28,10,28,a",
            "10 20 30 20 30 28 10 28 a",
        ],
    )
    def test_a_line_that_tells_no_place_is_told_with_its_number(self, laid, line):
        folder = laid(one(f"{PLACE},a\n\n{line}\n".encode()))
        with pytest.raises(DataError, match=r"test_gts/gt_img_1\.txt:3: '.*'; expected eight whole numbers and a text"):
            truths(folder)

    def test_a_file_that_is_not_utf_8_is_told(self, laid):
        with pytest.raises(DataError, match=r"gt_img_1\.txt: 'utf-8' .*; expected UTF-8"):
            truths(laid(one(f"{PLACE},\xe4\n".encode("latin-1"))))

    @pytest.mark.parametrize(
        ("missing", "told"),
        [
            ("test_images/img_1.png", r"test_images/img_1\.png: 'img_1\.png' of .*test_list\.txt, but No such file"),
            ("test_gts/gt_img_1.txt", r"test_gts/gt_img_1\.txt: the places of 'img_1\.png', but No such file"),
        ],
    )
    def test_a_file_that_is_missing_is_named(self, laid, missing, told):
        files = one(b"")
        del files[missing]
        with pytest.raises(DataError, match=told):
            truths(laid(files))

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "lists no picture; nothing can be measured on it"),
            (b"\n \n", "lists no picture"),
            (b"a.png\nb.png\na.png\n", r"lists 'a\.png' twice; ids are names"),
            (b"a.png\n\n../b.png\n", r"test_list\.txt:3: '\.\./b\.png' is no name of a file"),
            (b"/etc/passwd\n", "'/etc/passwd' is no name of a file"),
            (b"..\n", r"'\.\.' is no name of a file"),
            (b"a\0.png\n", r"'a\\x00\.png' is no name of a file"),
            (b"\xff.png\n", r"test_list\.txt: 'utf-8' .*; expected UTF-8"),
        ],
    )
    def test_a_list_that_names_no_pictures_is_told(self, laid, content, told):
        with pytest.raises(DataError, match=told):
            Icdar2015(laid(one(b"") | {"test_list.txt": content}))

    def test_a_folder_that_is_no_such_data_set_is_told(self, tmp_path, laid):
        with pytest.raises(DataError, match=r"No such file.*, and no test_list\.txt beside it; expected test_images"):
            Icdar2015(tmp_path)
        with pytest.raises(DataError, match=r"holds no picture \(\.jpg, \.jpeg, \.png\)"):
            Icdar2015(laid({}))

    @pytest.mark.parametrize("text", ["a\nb", "a\r"])
    def test_a_text_that_ends_its_line_is_not_written(self, tmp_path, text):
        with pytest.raises(ValueError, match="a text that ends its line would be read as another"):
            write_scenes(tmp_path, [("a.png", b"", write_truth([Region(QUAD, text)]))])

    def test_two_pictures_of_a_stem_are_not_written(self, tmp_path):
        with pytest.raises(FileExistsError, match=r"gt_a\.txt"):
            write_scenes(tmp_path, [("a.png", b"", "[]"), ("a.jpg", b"", "[]")])
