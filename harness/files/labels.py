"""Files of labels: the class of each pixel of a picture, or of each picture of a batch, as raw little-endian int32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.cityscapes import CLASSES, IGNORED
from harness.datasets import DataError, Sample

STORED = np.dtype("<i4")


@dataclass(frozen=True)
class PackedLabel:
    """The label of one picture: a part of a file from a byte on, height x width."""

    path: Path
    offset: int
    shape: tuple[int, int]

    def pixels(self) -> NDArray[np.uint8]:
        """TrainIds as H x W, and 255. Raises ``DataError`` naming the file that does not hold them."""
        count = prod(self.shape)
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(count * STORED.itemsize)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}; pack again") from error
        if len(content) != count * STORED.itemsize:
            found = f"{len(content)} bytes from {self.offset} on"
            raise DataError(f"{self.path}: {found}, expected int32 {list(self.shape)}; pack again")
        return _checked(np.frombuffer(content, STORED).reshape(self.shape), str(self.path)).astype(np.uint8)


def stored_label(sample: Sample) -> NDArray[Any]:
    """The label of a sample as a file holds it. Raises ``DataError`` where it has none, or one of another size than
    its picture's."""
    if sample.label is None:
        raise DataError(f"{sample.id}: has a text for a label, expected a class for each pixel")
    pixels = sample.label.pixels()
    if pixels.shape != sample.size:
        raise DataError(f"{sample.id}: its label is {list(pixels.shape)}, expected {sample.size}, as its picture")
    return _checked(pixels, sample.id).astype(STORED)


def with_labels(samples: Sequence[Sample], paths: Sequence[Path], batch: int) -> Iterator[Sample]:
    """The samples, each with its part of these files as its label."""
    for number, path in enumerate(paths):
        offset = 0
        for sample in samples[number * batch : (number + 1) * batch]:
            yield replace(sample, label=PackedLabel(path, offset, _size(sample)))
            offset += _bytes(sample)


def _size(sample: Sample) -> tuple[int, int]:
    if sample.size is None:
        raise DataError(f"{sample.id}: expected height and width of its picture, found none; pack again")
    return sample.size


def _bytes(sample: Sample) -> int:
    return prod(_size(sample)) * STORED.itemsize


def _checked(pixels: NDArray[Any], whose: str) -> NDArray[Any]:
    """The pixels. Raises ``DataError`` where one is no class that is trained."""
    strange = pixels[((pixels < 0) | (pixels >= len(CLASSES))) & (pixels != IGNORED)]
    if strange.size:
        told = f"{strange.size} pixels that are no trainId, the first {strange[0]}"
        raise DataError(f"{whose}: {told}; expected 0 to {len(CLASSES) - 1}, or {IGNORED}")
    return pixels
