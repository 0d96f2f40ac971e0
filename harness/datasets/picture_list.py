"""Pictures in a folder with a list of labels, as PaddleOCR keeps them: a line a picture, its path, a tab, its label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from harness.datasets import DataError, Sample

LIST = "labels.txt"


class PictureList:
    """A folder of pictures with ``labels.txt``. Sample ids are ``<name>/<path>``, the same wherever the folder lies.

    Raises ``DataError`` where there is no such list, it is empty, or a line of it names no picture of the folder.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        self._folder = folder
        self._name = name or folder.name
        path = folder / LIST
        try:
            # Lines end at line feeds alone: a label may hold what else Unicode calls the end of a line.
            lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: no readable list of labels: {error}; expected PATH<tab>LABEL a line") from error
        self._entries = [_entry(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
        twice = [path for path, times in Counter(path for path, _ in self._entries).items() if times > 1]
        if twice:
            raise DataError(f"{path}: lists {twice[0]!r} twice; ids are paths, so each picture has one line")
        if not self._entries:
            raise DataError(f"{path}: lists no picture; nothing can be measured on it")

    def __len__(self) -> int:
        return len(self._entries)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every picture from number ``start`` on, in the order of the list; a missing one raises ``DataError``."""
        return map(self.sample, range(start, len(self._entries)))

    def sample(self, number: int) -> Sample:
        """The picture of a line, the first is number 0, blank ones do not count."""
        relative, label = self._entries[number]
        path = self._folder / relative
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: named in {self._folder / LIST}, but {error.strerror}") from error
        return Sample(f"{self._name}/{relative}", content, label)

    def truths(self) -> Iterator[str]:
        """The label of every picture, in order; no picture is read."""
        return (label for _, label in self._entries)

    def facts(self) -> Mapping[str, int | str]:
        """Nothing beyond the pictures themselves."""
        return {}

    def close(self) -> None:
        """Nothing is held open."""


def write_pictures(folder: Path, pictures: Iterable[tuple[bytes, str]]) -> int:
    """Writes encoded pictures and their list into an existing folder; returns how many.

    Raises ``ValueError`` for a label that ends its line.
    """
    count = 0
    (folder / "pictures").mkdir()
    with (folder / LIST).open("w", encoding="utf-8") as labels:
        for content, label in pictures:
            if "\n" in label or label.endswith("\r"):
                raise ValueError(f"{label!r}: a label that ends its line would be read as another")
            relative = f"pictures/{count:06d}.png"
            (folder / relative).write_bytes(content)
            labels.write(f"{relative}\t{label}\n")
            count += 1
    return count


def _entry(line: str, where: str) -> tuple[str, str]:
    relative, tab, label = line.partition("\t")
    path = PurePosixPath(relative)
    if not tab:
        raise DataError(f"{where}: {line[:60]!r} has no tab; expected PATH<tab>LABEL")
    if not relative or path.is_absolute() or ".." in path.parts or "\0" in relative:
        raise DataError(f"{where}: {relative!r} is not a path below the folder")
    return relative, label
