"""What lies below a folder: walked once, asked often."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

SHADOWS = "__MACOSX"
"""A folder of this name, which macOS adds to archives, repeats the names of all others, and has nothing of theirs."""


class Listing:
    """All files and folders below a folder, as they were when it was made.

    A folder is visited once: links to folders are followed where nothing else leads there. What cannot be read is left
    out, and named in ``unread``; shadows are left out.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unread: list[Path] = []
        self._above: dict[str, list[str]] = defaultdict(list)
        for above, name in self._walk():
            self._above[name].append(above)

    def matches(self, pattern: str) -> list[Path]:
        """The paths that match a glob relative to the folder, sorted; ``**`` stands for any number of folders."""
        *above, last = pattern.split("/")
        names = [name for name in self._above if fnmatchcase(name, last)] if is_wild(last) else [last]
        return sorted(
            self.folder / folders / name
            for name in names
            for folders in self._above.get(name, ())
            if _fits(folders.split("/") if folders else [], above)
        )

    def _walk(self) -> Iterator[tuple[str, str]]:
        """The folder, relative, and the name of everything below."""
        visited: set[tuple[int, int]] = set()
        waiting, links = deque([""]), deque[str]()
        while waiting or links:
            # Links last: the path that somebody sees is the one without them.
            above = waiting.popleft() if waiting else links.popleft()
            try:
                found = (self.folder / above).stat()
                if (found.st_dev, found.st_ino) in visited:
                    continue
                visited.add((found.st_dev, found.st_ino))
                with os.scandir(self.folder / above) as entries:
                    for entry in entries:
                        if entry.name == SHADOWS:
                            continue
                        yield above, entry.name
                        if _is_folder(entry):
                            below = f"{above}/{entry.name}" if above else entry.name
                            (links if entry.is_symlink() else waiting).append(below)
            except OSError:
                self.unread.append(self.folder / above)


def is_wild(name: str) -> bool:
    """Whether a component of a glob can match more than itself."""
    return any(character in name for character in "*?[")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[count:], pattern[1:]) for count in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])
