"""Pictures of streets with the class of each pixel, in the layout of Cityscapes.

``leftImg8bit/<split>/<city>/<stem>_leftImg8bit.png`` with ``gtFine/<split>/<city>/<stem>_gtFine_labelTrainIds.png``,
which the data set's own tools make of the ``labelIds`` that it comes with. Where there are none at all, the latter are
mapped here. PaddleSeg pairs two sorted lists, and one file too many shifts all after it; here names are what pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.cityscapes import CLASSES, IGNORED, TRAIN_IDS
from harness.datasets import DataError, Sample
from harness.datasets.icdar2015 import picture_size
from harness.verdict import Absent, Verdict

PICTURES, TRUTHS = "leftImg8bit", "gtFine"
PICTURE = "_leftImg8bit.png"
TRAINED, RAW = "labelTrainIds", "labelIds"
"""The two kinds of labels: of the evaluated classes alone, and of all that were annotated."""
LABEL_IDS = 34
COUNTED = {TRAINED: len(CLASSES), RAW: LABEL_IDS}
"""How many values from 0 there are by kind; beside them there is 255."""
NAMED = 4
"""Files that an error names at most."""

Key = tuple[str, str, str]
"""City, stem and split, in the order of the samples."""


class AbsentSplit(DataError, Absent):
    """A split that was asked for is not among those that lie there."""

    verdict = Verdict.SKIPPED


@dataclass(frozen=True)
class StoredLabels:
    """The classes in a file of labels, read when they are asked for."""

    path: Path
    kind: str

    def pixels(self) -> NDArray[np.uint8]:
        """TrainIds as H x W, 255 where none counts; raises ``DataError`` naming the file and what is wrong in it."""
        with _opened(self.path) as picture:
            try:
                stored = np.asarray(picture)
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(f"{self.path}: cannot be decoded: {error}; get the file anew") from error
        held = np.flatnonzero(np.bincount(stored.ravel(), minlength=256))
        if others := [int(value) for value in held if value != IGNORED and value >= COUNTED[self.kind]]:
            raise DataError(
                f"{self.path}: holds {', '.join(map(str, others))}, expected {self.kind} 0 to {COUNTED[self.kind] - 1} "
                f"and {IGNORED}; {_remedy(others)}"
            )
        return stored if self.kind == TRAINED else mapped(stored)

    def size(self) -> tuple[int, int]:
        """Height and width, from the file's header."""
        with _opened(self.path) as picture:
            return picture.height, picture.width


class Cityscapes:
    """A folder in the layout of Cityscapes, or one ``split`` of it. Sample ids are ``<name>/<city>/<stem>``, in order
    of city and stem, wherever the folder lies.

    Raises ``DataError`` where a picture has no labels or labels no picture, naming them, and ``AbsentSplit`` where the
    split is not there.
    """

    def __init__(self, folder: Path, name: str = "", split: str | None = None) -> None:
        self._folder = folder
        self._name = name or folder.name
        splits = _splits(folder, split)
        pictures = _found(folder / PICTURES, splits, PICTURE)
        labels = {kind: _found(folder / TRUTHS, splits, ending(kind)) for kind in (TRAINED, RAW)}
        self._kind = TRAINED if labels[TRAINED] else RAW
        self._keys = _paired(folder, pictures, labels[self._kind], self._kind)

    def __len__(self) -> int:
        return len(self._keys)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every picture from number ``start`` on, in order; one that cannot be read, or whose labels have another size,
        raises ``DataError`` naming it."""
        return map(self.sample, range(start, len(self._keys)))

    def sample(self, number: int) -> Sample:
        """The picture of a number, from 0, with its size; its labels are read when they are asked for."""
        city, stem, split = self._keys[number]
        path = self._folder / PICTURES / split / city / f"{stem}{PICTURE}"
        truth = Path(TRUTHS, split, city, f"{stem}{ending(self._kind)}")
        label = StoredLabels(self._folder / truth, self._kind)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error
        size, told = picture_size(content, str(path)), label.size()
        if size != told:
            raise DataError(
                f"{path} is {_sides(size)}, and {label.path} {_sides(told)}, as height x width; expected one size, "
                "so get both anew from one release of the data set"
            )
        return Sample(f"{self._name}/{city}/{stem}", content, truth.as_posix(), size, label)

    def facts(self) -> Mapping[str, int | str]:
        """Which labels were read."""
        return {"labels": self._kind}

    def close(self) -> None:
        """Nothing is held open."""


def mapped(label_ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The trainIds of labelIds, in the same shape; what is not evaluated is 255."""
    table = np.full(256, IGNORED, dtype=np.uint8)
    table[list(TRAIN_IDS)] = list(TRAIN_IDS.values())
    found: NDArray[np.uint8] = table[label_ids]
    return found


def ending(kind: str) -> str:
    """What follows the stem in the name of a file of labels."""
    return f"_{TRUTHS}_{kind}.png"


def write_streets(folder: Path, streets: Iterable[tuple[Path, bytes, bytes]]) -> int:
    """Writes pictures and labels of trainIds, both as PNG, in this layout into an existing folder; returns how many.

    Each has its split, city and stem as a path. Raises ``FileExistsError`` for a second one of a path.
    """
    count = 0
    for path, picture, labels in streets:
        for content, root, ends in ((picture, PICTURES, PICTURE), (labels, TRUTHS, ending(TRAINED))):
            written = folder / root / path.parent / f"{path.name}{ends}"
            written.parent.mkdir(parents=True, exist_ok=True)
            with written.open("xb") as file:
                file.write(content)
        count += 1
    return count


def _splits(folder: Path, wanted: str | None) -> list[str]:
    """The splits that are meant."""
    found = sorted({path.name for root in (PICTURES, TRUTHS) for path in _within(folder / root) if path.is_dir()})
    if wanted is None:
        return found
    if wanted not in found:
        raise AbsentSplit(
            f"{folder}: no split {wanted!r}, there are {', '.join(found) or 'none'}; put its pictures into "
            f"{PICTURES}/{wanted}/<city> and its labels into {TRUTHS}/{wanted}/<city>"
        )
    return [wanted]


def _within(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"{folder}: {error.strerror}; expected {PICTURES} and {TRUTHS} of Cityscapes, side by side"
        ) from error


def _found(root: Path, splits: Iterable[str], ends: str) -> set[Key]:
    """What lies below a root under names that end so."""
    found = (path for split in splits for path in (root / split).glob(f"*/*{ends}"))
    return {(path.parent.name, path.name.removesuffix(ends), path.parent.parent.name) for path in found}


def _paired(folder: Path, pictures: set[Key], labels: set[Key], kind: str) -> list[Key]:
    """The keys that pictures and labels have in common, which have to be all."""
    if not pictures and not labels:
        raise DataError(f"{folder}: no picture; expected {PICTURES}/<split>/<city>/<stem>{PICTURE}")
    lone = ((pictures - labels, PICTURE, ending(kind)), (labels - pictures, ending(kind), PICTURE))
    told = [f"{_named(keys, has)} without <stem>{lacks}" for keys, has, lacks in lone if keys]
    if told:
        raise DataError(
            f"{folder}: {'; '.join(told)}; the set is read by its {kind}, so give every picture such a file, and every "
            "such file its picture, or take both away"
        )
    keys = sorted(pictures)
    if twice := [(one, other) for one, other in pairwise(keys) if one[:2] == other[:2]]:
        (city, stem, one), (_, _, other) = twice[0]
        raise DataError(
            f"{folder}: {city}/{stem} lies in {one} and in {other}; ids would not be unique, so name one split"
        )
    return keys


def _named(keys: set[Key], ends: str) -> str:
    """How many there are, and the first of them."""
    first = [f"{split}/{city}/{stem}{ends}" for city, stem, split in sorted(keys)[:NAMED]]
    more = ", ..." if len(keys) > NAMED else ""
    return f"{len(keys)} x {', '.join(first)}{more}"


def _opened(path: Path) -> Image.Image:
    """A file of labels with its header read; they are one byte a pixel."""
    try:
        picture = Image.open(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: no picture that Pillow can open: {error}; get the file anew") from error
    if picture.mode != "L":
        picture.close()
        raise DataError(
            f"{path}: pixels of mode {picture.mode}, expected L, one byte of grey each: colours and instances lie in "
            f"other files of {TRUTHS}, and only labels are read"
        )
    return picture


def _remedy(others: list[int]) -> str:
    if max(others) < LABEL_IDS:
        return f"these look like {RAW}: make {TRAINED} of them, or name the file {ending(RAW)}"
    return "get the file anew"


def _sides(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
