"""Drawings of the samples that were answered worst, for a page that needs nothing else.

What a record names is not trusted: files are read in the run folder only, and shown only where they are JPEGs.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reports.record import Key, Record, Recorded, answers_to

ROOM = 1_000_000
"""Bytes of a page that all pictures may take."""
JPEG = b"\xff\xd8\xff"
MOST = 6
"""Pictures of one answer; the question draws no more."""


class NotShown(Exception):
    """A picture that is not in the page; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The drawing of one sample, ``rank`` 1 the worst. ``data`` is the file in base64; where it is empty, ``reason``
    says why, and ``path`` where to look."""

    rank: int
    sample: str
    path: str
    data: str = ""
    reason: str = ""


def drawn(record: Record) -> dict[Key, list[Picture]]:
    """The pictures of each accuracy answer that has any, the worst first. Room goes to the worst of each answer first,
    then to the next of each; a file that does not fit leaves its room to smaller ones."""
    named = {answer.key: _named(answer) for answer in answers_to(record, "accuracy")}
    found: dict[Key, list[Picture]] = {key: [] for key, names in named.items() if names}
    left = ROOM
    for rank in range(1, MOST + 1):
        for key, pictures in found.items():
            if rank <= len(named[key]):
                pictures.append(_picture(record.folder, key, rank, named[key][rank - 1], left))
                left -= len(pictures[-1].data)
    return found


def _named(answer: Recorded) -> list[str]:
    found = answer.figures.get("pictures")
    return [name for name in found if isinstance(name, str)][:MOST] if isinstance(found, list) else []


def _picture(folder: Path, key: Key, rank: int, name: str, left: int) -> Picture:
    sample = _sample(key, name)
    try:
        return Picture(rank=rank, sample=sample, path=name, data=_data(folder, name, left))
    except NotShown as error:
        return Picture(rank=rank, sample=sample, path=name, reason=str(error))


def _sample(key: Key, name: str) -> str:
    """The sample's id, as far as a file's name holds it: ``img_12`` of ``<question>--...-1-img_12.jpg``."""
    stem = PurePosixPath(name).stem.removeprefix(f"{key.question}--{key.subject}--{key.reference}-")
    return re.sub(r"^\d+-", "", stem)


def _data(folder: Path, name: str, left: int) -> str:
    """The file in base64. Raises ``NotShown`` for one that lies elsewhere, does not fit or is no JPEG."""
    try:
        path, parts = (folder / name).resolve(), Path(name).parts
        if Path(name).is_absolute() or ".." in parts or not path.is_relative_to(folder.resolve()):
            raise NotShown("not in the run folder")
        if not path.is_file():
            raise NotShown("no such file")
        if _encoded(size := path.stat().st_size) > left:
            raise NotShown(f"{size / 1000:.0f} kB, more than the page has room for")
        with path.open("rb") as file:
            content = file.read(size)
    # A loop of links is a RuntimeError to ``resolve``.
    except (OSError, RuntimeError, ValueError) as error:
        raise NotShown(f"cannot be read: {type(error).__name__}") from error
    if not content.startswith(JPEG):
        raise NotShown("no JPEG")
    return b64encode(content).decode("ascii")


def _encoded(size: int) -> int:
    """How many letters so many bytes are in base64."""
    return -(-size // 3) * 4
