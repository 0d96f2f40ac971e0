"""Readers of data sets: each yields samples one at a time, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from harness.verdict import Broken


def part_of(name: str) -> str:
    """The set that a sample is of: an id begins with it, up to a slash."""
    return name.partition("/")[0]


@dataclass(frozen=True)
class Sample:
    """One sample: an id that is stable across runs, its content, and its truth.

    The content is bytes as they are stored: an encoded picture, or the raw numbers of a tensor prepared by others.
    ``size`` is height and width of the picture, in pixels, where the truth tells places in it.
    """

    id: str
    content: bytes
    truth: str
    size: tuple[int, int] | None = None


class DataError(Broken):
    """A data set is not what its layout promises; the text names the file and the key."""


class DataSetReader(Protocol):
    """An opened data set."""

    def __len__(self) -> int: ...

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every sample from number ``start`` on, in order, read one at a time."""
        ...

    def facts(self) -> Mapping[str, int | str]:
        """What a report should say of the samples read so far, beyond their number; often nothing."""
        ...

    def close(self) -> None:
        """Gives its files back."""
        ...
