"""A folder of pictures with a list of labels is read line by line, and a line that is none is told with its number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.datasets import DataError, Sample
from harness.datasets.picture_list import PictureList, write_pictures

LABELS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=20).filter(
    lambda label: not label.endswith("\r")
)
PICTURES = st.lists(st.tuples(st.binary(max_size=300), LABELS), min_size=1, max_size=6)
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="/\\"), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))


@pytest.fixture
def folder(tmp_path) -> Path:
    """An empty folder named as a data set."""
    made = tmp_path / "toy_list"
    made.mkdir()
    return made


@pytest.fixture
def listed(folder) -> Callable[[bytes], Path]:
    """Writes a list, and pictures ``a.png``, ``b.png`` and ``c.png`` that hold their own names."""

    def write(content: bytes) -> Path:
        (folder / "labels.txt").write_bytes(content)
        for name in "abc":
            (folder / f"{name}.png").write_bytes(name.encode())
        return folder

    return write


def read(folder: Path, start: int = 0) -> list[Sample]:
    reader = PictureList(folder)
    found = list(reader.samples(start))
    reader.close()
    return found


class TestReading:
    @given(PICTURES)
    def test_pictures_come_back_byte_for_byte_and_in_order(self, tmp_path_factory, pictures):
        folder = tmp_path_factory.mktemp("pictures")
        assert write_pictures(folder, iter(pictures)) == len(pictures)
        found = read(folder)
        assert [(sample.content, sample.truth) for sample in found] == pictures
        assert [sample.id for sample in found] == [
            f"{folder.name}/pictures/{number:06d}.png" for number in range(len(pictures))
        ]

    @given(st.integers(0, 7))
    def test_reading_starts_at_any_number_with_the_same_ids(self, tmp_path_factory, start):
        folder = tmp_path_factory.mktemp("pictures")
        write_pictures(folder, [(b"%d" % number, str(number)) for number in range(5)])
        assert read(folder, start) == read(folder)[start:]

    @given(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    def test_names_of_any_script_are_read(self, tmp_path_factory, names):
        folder = tmp_path_factory.mktemp("pictures")
        (folder / "labels.txt").write_text("".join(f"x_{name}\t{name}\n" for name in names), encoding="utf-8")
        for name in names:
            (folder / f"x_{name}").write_bytes(name.encode())
        assert [(sample.id, sample.truth, sample.content.decode()) for sample in read(folder)] == [
            (f"{folder.name}/x_{name}", name, name) for name in names
        ]

    @pytest.mark.parametrize(
        "content",
        [
            b"a.png\t0\nb.png\t180\n",
            b"a.png\t0\nb.png\t180",
            b"\xef\xbb\xbfa.png\t0\nb.png\t180\n",
            b"a.png\t0\r\nb.png\t180\r\n",
            b"\xef\xbb\xbfa.png\t0\r\nb.png\t180",
            b"\n\na.png\t0\n  \n\t\nb.png\t180\n\n\r\n",
        ],
        ids=["plain", "no last line end", "BOM", "CRLF", "BOM and CRLF", "blank lines"],
    )
    def test_how_a_list_was_written_does_not_matter(self, listed, content):
        reader = PictureList(listed(content))
        assert len(reader) == 2
        assert list(reader.samples()) == [Sample("toy_list/a.png", b"a", "0"), Sample("toy_list/b.png", b"b", "180")]

    def test_a_label_keeps_its_tabs_and_blanks(self, listed):
        found = read(listed("a.png\t two\twords \nb.png\t\nc.png\ta\u2028b\x85\x0bc\rd\n".encode()))
        assert [sample.truth for sample in found] == [" two\twords ", "", "a\u2028b\x85\x0bc\rd"]

    def test_ids_carry_the_name_that_was_given(self, listed):
        folder = listed(b"a.png\t0\n")
        assert next(PictureList(folder, "words").samples()).id == "words/a.png"

    def test_pictures_of_one_name_in_two_folders_are_two(self, folder):
        for name in ("x", "y"):
            (folder / name).mkdir()
            (folder / name / "1.png").write_bytes(name.encode())
        (folder / "labels.txt").write_bytes(b"y/1.png\t0\n./x/1.png\t180\n")
        assert [(sample.id, sample.content) for sample in read(folder)] == [
            ("toy_list/y/1.png", b"y"),
            ("toy_list/./x/1.png", b"x"),
        ]

    def test_the_length_is_known_before_a_picture_is_read(self, folder):
        (folder / "labels.txt").write_bytes(b"a.png\t0\nb.png\t180\n")
        assert len(PictureList(folder)) == 2


class TestDamage:
    @pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\t\n"], ids=repr)
    def test_a_list_of_nothing_is_told(self, listed, content):
        with pytest.raises(DataError, match=r"toy_list/labels\.txt: lists no picture; nothing can be measured on it"):
            PictureList(listed(content))

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            (b"a.png 0", r"'a\.png 0' has no tab; expected PATH<tab>LABEL"),
            (b"x" * 500, "'x{60}' has no tab"),
            (b"\t0", "'' is not a path below the folder"),
            (b"/etc/passwd\t0", "'/etc/passwd' is not a path below the folder"),
            (b"../a.png\t0", r"'\.\./a\.png' is not a path below the folder"),
            (b"x/../../a.png\t0", r"'x/\.\./\.\./a\.png' is not a path below the folder"),
            (b"..\t0", r"'\.\.' is not a path below the folder"),
            (b"//x\t0", "'//x' is not a path below the folder"),
            (b"a.png\0\t0", r"'a\.png\\x00' is not a path below the folder"),
        ],
    )
    def test_a_line_that_names_no_picture_is_told_with_its_number(self, listed, line, told):
        with pytest.raises(DataError, match=rf"toy_list/labels\.txt:3: {told}"):
            PictureList(listed(b"a.png\t0\n\n" + line + b"\n"))

    def test_a_picture_that_is_listed_twice_is_told(self, listed):
        with pytest.raises(DataError, match=r"toy_list/labels\.txt: lists 'a\.png' twice; ids are paths"):
            PictureList(listed(b"a.png\t0\nb.png\t0\na.png\t180\n"))

    @pytest.mark.parametrize("content", [b"a.png\t\xff\n", "a.png\t0\n".encode("utf-16"), b"a.png\t0\nb\xe9.png\t0\n"])
    def test_a_list_that_is_not_utf_8_is_told(self, listed, content):
        with pytest.raises(DataError, match=r"labels\.txt: no readable list of labels: 'utf-8' .*expected PATH<tab>LA"):
            PictureList(listed(content))

    def test_a_missing_list_folder_or_file_for_a_folder_is_told(self, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_bytes(b"a.png\t0\n")
        (tmp_path / "list").mkdir()
        (tmp_path / "list" / "labels.txt").mkdir()
        for name in ("empty", "file", "none", "list"):
            with pytest.raises(DataError, match=rf"{name}/labels\.txt: no readable list of labels: .*Errno"):
                PictureList(tmp_path / name)

    @pytest.mark.parametrize(
        ("name", "why"),
        [("d.png", "No such file"), ("sub", "Is a directory"), (".", "Is a directory"), ("n" * 300, "")],
    )
    def test_a_picture_that_cannot_be_read_is_told_when_its_turn_comes(self, listed, name, why):
        folder = listed(f"a.png\t0\n{name}\t180\nb.png\t0\n".encode())
        (folder / "sub").mkdir()
        samples = PictureList(folder).samples()
        assert next(samples).id == "toy_list/a.png"
        with pytest.raises(DataError, match=rf"toy_list.*: named in .*toy_list/labels\.txt, but {why}"):
            next(samples)


class TestWriting:
    def test_a_list_is_lines_of_path_tab_and_label(self, folder):
        assert write_pictures(folder, [(b"x", "0"), (b"y", "caf\u00e9")]) == 2
        assert (folder / "labels.txt").read_bytes() == b"pictures/000000.png\t0\npictures/000001.png\tcaf\xc3\xa9\n"
        assert (folder / "pictures" / "000001.png").read_bytes() == b"y"

    @pytest.mark.parametrize("label", ["a\nb", "\n", "a\r", "a\r\nb.png\t0"])
    def test_a_label_that_ends_its_line_is_not_written(self, folder, label):
        with pytest.raises(ValueError, match="a label that ends its line would be read as another"):
            write_pictures(folder, [(b"x", "0"), (b"y", label)])
        assert [sample.truth for sample in read(folder)] == ["0"]
