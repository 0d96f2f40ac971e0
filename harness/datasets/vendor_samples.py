"""The sample files of TS-Knight's guides (``.pd``): batches of tensors that are preprocessed already.

A file is what ``paddle.save`` makes of a list of batches; a batch is a list of tensors, bare or with a name each. For
the direction classifier these are float32 (n, 3, 48, 192) and int64 (n,), the class.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.checkpoints.paddle_pickle import read_saved
from harness.datasets import DataError, Sample
from harness.postprocess.direction import LABELS
from harness.verdict import Refused

PROTOCOL = 4
"""Of pickles that Paddle writes."""
PICTURE = (3, 48, 192)
"""Another shape of as many numbers would be read as if it were this one."""


def read_batches(path: Path) -> list[list[NDArray[Any]]]:
    """The tensors of each batch. Raises ``DataError`` naming the batch that is none."""
    try:
        batches = read_saved(path)
    except Refused as error:
        raise DataError(str(error)) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not isinstance(batches, list) or not batches:
        raise DataError(f"{path}: expected a list of batches, found {_shown(batches)}")
    return [_tensors(batch, f"{path}: batch {number}") for number, batch in enumerate(batches)]


def write_batches(path: Path, batches: Sequence[Sequence[NDArray[Any]]]) -> None:
    """Writes batches of tensors as such a file, named as Paddle names them."""
    numbered = iter(range(sum(map(len, batches))))
    named = [[(f"eager_in_tmp_{next(numbered)}", np.asarray(tensor)) for tensor in batch] for batch in batches]
    path.write_bytes(pickle.dumps(named, PROTOCOL))


class DirectionSamples:
    """The direction classifier's samples; ids are ``<name>/<number>`` from 0, truths ``0`` and ``180``.

    A sample's content is one item's float32 numbers. Raises ``DataError`` where the file does not hold such samples.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self._name = name or path.stem
        self._items: list[tuple[NDArray[Any], str]] = []
        for number, tensors in enumerate(read_batches(path)):
            self._items += _directions(tensors, f"{path}: batch {number}")
        if not self._items:
            raise DataError(f"{path}: its batches hold no sample; nothing can be measured on it")

    def __len__(self) -> int:
        return len(self._items)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every sample from number ``start`` on."""
        for number, (item, truth) in enumerate(self._items[start:], start):
            yield Sample(f"{self._name}/{number:04d}", item.tobytes(), truth)

    def close(self) -> None:
        """Nothing is held open."""


def _directions(tensors: list[NDArray[Any]], where: str) -> Iterator[tuple[NDArray[Any], str]]:
    if len(tensors) != 2:
        raise DataError(f"{where}: {len(tensors)} tensors, expected pictures and classes")
    pictures, classes = tensors
    expected = (np.dtype(np.float32), PICTURE, np.dtype(np.int64), pictures.shape[:1])
    if (pictures.dtype, pictures.shape[1:], classes.dtype, classes.shape) != expected:
        raise DataError(
            f"{where}: {pictures.dtype}{list(pictures.shape)} and {classes.dtype}{list(classes.shape)}, expected "
            f"float32 [n, {', '.join(map(str, PICTURE))}] and int64 [n]"
        )
    for item, number in zip(pictures, classes.tolist(), strict=True):
        if number not in range(len(LABELS)):
            raise DataError(f"{where}: class {number}, expected 0 or 1")
        yield item, LABELS[number]


def _tensors(batch: Any, where: str) -> list[NDArray[Any]]:
    if not isinstance(batch, list | tuple) or not batch:
        raise DataError(f"{where}: expected a list of tensors, found {_shown(batch)}")
    tensors = [entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry for entry in batch]
    for place, tensor in enumerate(tensors):
        if not isinstance(tensor, np.ndarray):
            raise DataError(f"{where}: entry {place} is {_shown(tensor)}, expected a tensor")
    return tensors


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {list(value.shape)}"
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__
