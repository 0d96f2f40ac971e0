"""The sample files of TS-Knight's guides (``.pd``): batches of tensors that are preprocessed already.

A file is what ``paddle.save`` makes of a list of batches; a batch is a list of tensors, bare or with a name each. For
the direction classifier these are float32 (n, 3, 48, 192) and int64 (n,), the class; for the recogniser float32
(n, 3, 48, 320), the label in int64 (n, 25) for each of its two heads, its length in int64 (n,), and in float64 (n,) how
much of the width the word takes.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.checkpoints.paddle_pickle import read_saved
from harness.datasets import DataError, Sample
from harness.postprocess.direction import LABELS
from harness.postprocess.recognition import ENGLISH_CTC
from harness.verdict import Refused

Truths = Callable[[Sequence[NDArray[Any]], str], Iterator[str]]
PROTOCOL = 4
"""Of pickles that Paddle writes."""


@dataclass(frozen=True)
class Part:
    """One of the tensors that a batch holds: what it is, its type, and the shape of one item."""

    name: str
    dtype: str
    item: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(map(str, ('n', *self.item)))}]"


DIRECTION = (Part("pictures", "float32", (3, 48, 192)), Part("classes", "int64"))
WIDTH = 25
"""Of a label: the recogniser's ``max_text_length``."""
RECOGNITION = (
    Part("pictures", "float32", (3, 48, 320)),
    Part("CTC labels", "int64", (WIDTH,)),
    Part("SAR labels", "int64", (WIDTH,)),
    Part("lengths", "int64"),
    Part("shares of the width", "float64"),
)


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


class StoredSamples:
    """The samples of such a file; ids are ``<name>/<number>`` from 0, counted over all batches.

    A sample's content is one item's float32 numbers, of the first of the ``parts`` of a batch; ``truths`` gives the
    truth of each item by the others. Raises ``DataError`` naming the batch that does not hold such samples.
    """

    def __init__(self, path: Path, name: str, parts: Sequence[Part], truths: Truths) -> None:
        self._name = name or path.stem
        self._items: list[tuple[NDArray[Any], str]] = []
        for number, tensors in enumerate(read_batches(path)):
            where = f"{path}: batch {number}"
            _check(tensors, parts, where)
            self._items += zip(tensors[0], truths(tensors[1:], where), strict=True)
        if not self._items:
            raise DataError(f"{path}: its batches hold no sample; nothing can be measured on it")

    def __len__(self) -> int:
        return len(self._items)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every sample from number ``start`` on."""
        for number, (item, truth) in enumerate(self._items[start:], start):
            yield Sample(f"{self._name}/{number:04d}", item.tobytes(), truth)

    def facts(self) -> Mapping[str, int | str]:
        """Nothing beyond the samples themselves."""
        return {}

    def close(self) -> None:
        """Nothing is held open."""


class DirectionSamples(StoredSamples):
    """The direction classifier's samples; truths are ``0`` and ``180``."""

    def __init__(self, path: Path, name: str = "") -> None:
        super().__init__(path, name, DIRECTION, _directions)


class RecognitionSamples(StoredSamples):
    """The recogniser's samples; truths are words, as its CTC head is taught them.

    The label of the head that only training has is not looked at, nor is the share of the width.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        super().__init__(path, name, RECOGNITION, _words)


def _directions(tensors: Sequence[NDArray[Any]], where: str) -> Iterator[str]:
    for number in tensors[0].tolist():
        if number not in range(len(LABELS)):
            raise DataError(f"{where}: class {number}, expected 0 or 1")
        yield LABELS[number]


def _words(tensors: Sequence[NDArray[Any]], where: str) -> Iterator[str]:
    labels, _, lengths, _ = tensors
    last = ENGLISH_CTC.classes - 1
    for place, (label, length) in enumerate(zip(labels.tolist(), lengths.tolist(), strict=True)):
        item = f"{where}: item {place}"
        if length not in range(1, WIDTH + 1):
            raise DataError(f"{item}: a label of length {length}, expected 1 to {WIDTH}")
        strange = [index for index in label[:length] if index not in range(1, last + 1)]
        if strange:
            raise DataError(f"{item}: {strange[0]} in a label of length {length}, expected 1 to {last}")
        if any(label[length:]):
            raise DataError(f"{item}: a label of length {length} goes on after it, expected 0 as padding")
        # Repeats are merged in outputs, never in labels.
        yield "".join(ENGLISH_CTC.alphabet[index - ENGLISH_CTC.before] for index in label[:length])


def _check(tensors: Sequence[NDArray[Any]], parts: Sequence[Part], where: str) -> None:
    """Raises unless types and shapes are right: another shape of as many numbers would be read as if it were."""
    if len(tensors) != len(parts):
        raise DataError(f"{where}: {len(tensors)} tensors, expected {_joined([part.name for part in parts])}")
    count = tensors[0].shape[:1]
    expected = [(np.dtype(part.dtype), count + part.item) for part in parts]
    if not count or [(tensor.dtype, tensor.shape) for tensor in tensors] != expected:
        found = _joined([f"{tensor.dtype}{list(tensor.shape)}" for tensor in tensors])
        raise DataError(f"{where}: {found}, expected {_joined(parts)}")


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


def _joined(entries: Sequence[object]) -> str:
    *first, last = map(str, entries)
    return f"{', '.join(first)} and {last}" if first else last
