"""Readers of data sets: each yields samples one at a time, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.verdict import Broken

if TYPE_CHECKING:  # manifests of samples are read without arrays
    import numpy as np
    from numpy.typing import NDArray


def part_of(name: str) -> str:
    """The set that a sample is of: an id begins with it, up to a slash."""
    return name.partition("/")[0]


class LabelMap(Protocol):
    """The class of each pixel of a picture, read when it is asked for: those of a whole set are gigabytes."""

    def pixels(self) -> NDArray[np.uint8]:
        """Classes as H x W, 255 where none counts. Raises ``DataError`` naming the file that cannot be read."""
        ...


@dataclass(frozen=True)
class Sample:
    """One sample: an id that is stable across runs, its content, and its truth.

    The content is bytes as they are stored: an encoded picture, or the raw numbers of a tensor prepared by others.
    ``size`` is height and width of the picture, in pixels, where the truth tells places in it. Where the truth is a
    class for each pixel, ``label`` is it, and ``truth`` says which file that lies in, below the data set's folder.
    """

    id: str
    content: bytes
    truth: str
    size: tuple[int, int] | None = None
    label: LabelMap | None = None


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
