"""Pictures with places of text in the layout of ICDAR 2015, as DB keeps it.

``test_images/``, ``test_gts/gt_<stem>.txt`` with a line a place, ``x1,y1,x2,y2,x3,y3,x4,y4,text``, and
``test_list.txt`` with the names of the pictures. Whatever follows the eighth comma is the text. Upstream takes what
follows the last comma, which differs only for a text with commas; ``###`` is the only text that is ever looked at.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from PIL import ExifTags, Image

from harness.boxes import Region, read_truth, write_truth
from harness.datasets import DataError, Sample

LIST, PICTURES, TRUTHS = "test_list.txt", "test_images", "test_gts"
SUFFIXES = (".jpg", ".jpeg", ".png")
"""Of pictures, where no list names them."""
PLACE = re.compile(r"\s*" + r"\s*,\s*".join([r"([+-]?[0-9]{1,7})"] * 8) + r"\s*,(.*)", re.DOTALL)
EXPECTED = "expected eight whole numbers and a text, with commas between"
TURNED = (5, 6, 7, 8)
"""Orientations of EXIF that exchange height and width."""


class Icdar2015:
    """A folder of pictures with places of text. Sample ids are ``<name>/<file name>``, wherever the folder lies.

    Pictures come in the order of the list; without one they are all of the folder, ``img_2`` before ``img_10``. Raises
    ``DataError`` where there is none, or a line of the list names no file of the folder.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        self._folder = folder
        self._name = name or folder.name
        self._pictures = _listed(folder / LIST) if (folder / LIST).exists() else _found(folder / PICTURES)

    def __len__(self) -> int:
        return len(self._pictures)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every picture from number ``start`` on, in order; one that is missing or has no places told raises
        ``DataError`` naming it."""
        return map(self.sample, range(start, len(self._pictures)))

    def sample(self, number: int) -> Sample:
        """The picture of a number, from 0, with its size and the places in it."""
        picture = self._pictures[number]
        content = _read(self._folder / PICTURES / picture, f"{picture!r} of {self._folder / LIST}")
        size = picture_size(content, str(self._folder / PICTURES / picture))
        return Sample(f"{self._name}/{picture}", content, self._truth(picture), size)

    def facts(self) -> Mapping[str, int | str]:
        """How many files of places belong to no picture of the list, where there are such."""
        told = {_truth_name(picture) for picture in self._pictures}
        others = [path for path in (self._folder / TRUTHS).glob("gt_*.txt") if path.name not in told]
        return {"ground truths of no listed picture": len(others)} if others else {}

    def close(self) -> None:
        """Nothing is held open."""

    def _truth(self, picture: str) -> str:
        path = self._folder / TRUTHS / _truth_name(picture)
        lines = _lines(path, _read(path, f"the places of {picture!r}"))
        return write_truth([_region(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()])


def picture_size(content: bytes, where: str) -> tuple[int, int]:
    """Height and width of an encoded picture as OpenCV decodes it, read from its header alone.

    OpenCV turns a picture as its EXIF orientation asks. Raises ``DataError`` where Pillow knows no such picture.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            turned = picture.getexif().get(ExifTags.Base.Orientation) in TURNED
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: no picture that Pillow can open: {error}; get the file anew") from error
    return (width, height) if turned else (height, width)


def write_scenes(folder: Path, scenes: Iterable[tuple[str, bytes, str]]) -> int:
    """Writes pictures (file name, encoded picture, truth) in this layout into an existing folder; returns how many.

    Raises ``ValueError`` for a text that ends its line, and ``FileExistsError`` for a second picture of a stem.
    """
    (folder / PICTURES).mkdir()
    (folder / TRUTHS).mkdir()
    count = 0
    with (folder / LIST).open("w", encoding="utf-8", newline="\n") as names:
        for name, content, truth in scenes:
            lines = [_line(region) for region in read_truth(truth)]
            with (folder / TRUTHS / _truth_name(name)).open("x", encoding="utf-8", newline="") as file:
                file.writelines(lines)
            (folder / PICTURES / name).write_bytes(content)
            names.write(f"{name}\n")
            count += 1
    return count


def _line(region: Region) -> str:
    if "\n" in region.text or region.text.endswith("\r"):
        raise ValueError(f"{region.text!r}: a text that ends its line would be read as another")
    return ",".join(str(number) for point in region.points for number in point) + f",{region.text}\n"


def _truth_name(picture: str) -> str:
    return f"gt_{Path(picture).stem}.txt"


def _listed(path: Path) -> list[str]:
    """The names on a list, each once."""
    names = [line.strip() for line in _lines(path, _read(path, "the list of pictures"))]
    pictures = [name for name in names if name]
    for number, name in enumerate(names, 1):
        if name and (Path(name).name != name or name == ".." or "\0" in name):
            raise DataError(f"{path}:{number}: {name!r} is no name of a file; expected one of {PICTURES} a line")
    if twice := [name for name, times in Counter(pictures).items() if times > 1]:
        raise DataError(f"{path}: lists {twice[0]!r} twice; ids are names, so each picture has one line")
    if not pictures:
        raise DataError(f"{path}: lists no picture; nothing can be measured on it")
    return pictures


def _found(folder: Path) -> list[str]:
    """The names of a folder's pictures, numbers in them in the order of their values."""
    try:
        found = [path.name for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror}, and no {LIST} beside it; expected {PICTURES}, {TRUTHS}"
        ) from error
    if not found:
        raise DataError(f"{folder}: holds no picture ({', '.join(SUFFIXES)}), and no {LIST} lies beside it")
    return sorted(found, key=lambda name: [(int(part), "") if part.isdecimal() else (0, part) for part in _parts(name)])


def _parts(name: str) -> list[str]:
    """The text before the first number, the number, the text after it, and so on."""
    return re.split(r"([0-9]+)", name)


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {what}, but {error.strerror}") from error


def _lines(path: Path, content: bytes) -> list[str]:
    """The lines of a file, which end at line feeds alone: a text may hold what else Unicode calls the end of one."""
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {error}; expected UTF-8") from error


def _region(line: str, where: str) -> Region:
    found = PLACE.fullmatch(line)
    if not found:
        raise DataError(f"{where}: {line[:60]!r}; {EXPECTED}")
    *numbers, text = found.groups()
    a, b, c, d, e, f, g, h = map(int, numbers)
    return Region(((a, b), (c, d), (e, f), (g, h)), text)
