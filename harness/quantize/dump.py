"""Dumped layers, as the tool of guide 004 lays them out: ``float/0001:x/batch_0.npy``, ``quant/0001:x/batch_0.npy``.

A folder a layer, its number of four digits from 1 in the order of the tool's own graph, a colon, and the tensor; later
tools put the operator before the tensor (``0001:Input_x``). Numbers of two dumps need not agree, for a quantiser fuses,
so layers are matched by tensor. A slash in a name is written ``%2F`` and a per cent sign ``%25``, which is read back;
nothing else is changed. A colon cannot be part of a file's name on Windows: such dumps live on other systems.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.quantize.layers import Layer, Place
from harness.verdict import Absent, Broken, Refused

FLOAT, QUANT = "float", "quant"
LAYER = re.compile(r"([0-9]{4,}):(.+)", re.DOTALL)
BATCH = re.compile(r"batch_([0-9]+)\.npy")
OPERATOR = re.compile(r"[A-Z][A-Za-z0-9]*_")
"""What later tools put before the tensor; no operator has an underscore in its name."""
TAKES_COLON = os.name != "nt"


@dataclass(frozen=True)
class Dumped:
    """The folder of a layer: its number, the name behind it, and the file of each batch by its number."""

    number: int
    name: str
    batches: dict[int, Path]

    @property
    def bare(self) -> str:
        """The name without what may be an operator before it."""
        return OPERATOR.sub("", self.name, count=1) or self.name

    def __str__(self) -> str:
        return f"{self.number:04}:{self.name}"


@dataclass(frozen=True)
class Matched:
    """The layers of two dumps: pairs in the order of the first, and those that only one of them has."""

    pairs: tuple[tuple[Dumped, Dumped], ...]
    only_left: tuple[Dumped, ...]
    only_right: tuple[Dumped, ...]


def encoded(tensor: str) -> str:
    """A tensor's name as part of a folder's."""
    return tensor.replace("%", "%25").replace("/", "%2F")


def decoded(name: str) -> str:
    """The tensor whose encoded name this is."""
    return name.replace("%2F", "/").replace("%25", "%")


def write_layer(folder: Path, place: Place, batch: int, values: NDArray[Any]) -> None:
    """Keeps the numbers of a layer for a batch. Raises ``Broken`` where folders cannot be named so."""
    if not TAKES_COLON:
        raise Broken(f"{folder}: a layer's folder has a colon in its name, which Windows does not take; dump elsewhere")
    into = folder / f"{place.number:04}:{encoded(place.tensor)}"
    into.mkdir(parents=True, exist_ok=True)
    np.save(into / f"batch_{batch}.npy", values, allow_pickle=False)


def read_dump(folder: Path) -> tuple[Dumped, ...]:
    """The layers of a dump by number. Raises ``Absent`` where there is none, ``Refused`` naming what is no layer."""
    if not folder.is_dir():
        raise Absent(f"{folder}: no such folder; expected the layers of a dump, such as DUMP/{FLOAT}")
    # Plain files beside the layers are notes of people and tools.
    layers = tuple(_dumped(each) for each in sorted(folder.iterdir()) if each.is_dir())
    if not layers:
        raise Absent(f"{folder}: no layer in it, expected folders such as 0001:x; dump again, or name another folder")
    return tuple(sorted(layers, key=lambda layer: layer.number))


def _dumped(folder: Path) -> Dumped:
    named = LAYER.fullmatch(folder.name)
    if named is None:
        raise Refused(
            f"{folder}: no layer of a dump, expected a name such as 0001:x; of a dump of both networks, name the "
            f"folders {FLOAT} and {QUANT} in it"
        )
    batches: dict[int, Path] = {}
    for path in folder.iterdir():
        batch = BATCH.fullmatch(path.name)
        if batch is None:
            raise Refused(f"{path}: no batch of a layer, expected batch_0.npy and so on, and nothing else")
        batches[int(batch[1])] = path
    if not batches:
        raise Refused(f"{folder}: the layer is empty, expected batch_0.npy and so on; dump again")
    return Dumped(int(named[1]), decoded(named[2]), dict(sorted(batches.items())))


def matched(left: Iterable[Dumped], right: Iterable[Dumped]) -> Matched:
    """Layers by tensor: of the same name, then those where one tool puts an operator before it. Of several of one name
    the first goes with the first, and so on."""
    found: list[tuple[Dumped, Dumped]] = []
    one, other = list(left), list(right)
    for of_left, of_right in ((_name, _name), (_name, _bare), (_bare, _name)):
        pairs = list(_paired(one, other, of_left, of_right))
        found += pairs
        one = [each for each in one if not any(each is pair[0] for pair in pairs)]
        other = [each for each in other if not any(each is pair[1] for pair in pairs)]
    found.sort(key=lambda pair: pair[0].number)
    return Matched(tuple(found), tuple(one), tuple(other))


def _name(layer: Dumped) -> str:
    return layer.name


def _bare(layer: Dumped) -> str:
    return layer.bare


def _paired(
    left: Iterable[Dumped], right: Iterable[Dumped], of_left: Callable[[Dumped], str], of_right: Callable[[Dumped], str]
) -> Iterator[tuple[Dumped, Dumped]]:
    waiting: dict[str, deque[Dumped]] = defaultdict(deque)
    for layer in right:
        waiting[of_right(layer)].append(layer)
    for layer in left:
        if waiting[of_left(layer)]:
            yield layer, waiting[of_left(layer)].popleft()


def compared(left: Dumped, right: Dumped) -> Layer:
    """A layer of two dumps, batch by batch. Raises ``Refused`` naming it where they have other batches, or the arrays
    of a batch are cut, no floats, empty, or of another shape."""
    if left.batches.keys() != right.batches.keys():
        missing = min(left.batches.keys() ^ right.batches.keys())
        raise Refused(
            f"layer {left}: {len(left.batches)} batches against {len(right.batches)}, batch_{missing}.npy is in one of "
            "the dumps alone; dump both networks on the same samples"
        )
    layer = Layer(Place(left.number, left.name))
    for batch, path in left.batches.items():
        f, q = _array(path), _array(right.batches[batch])
        if f.shape != q.shape:
            raise Refused(
                f"layer {left}: batch_{batch} is {list(f.shape)} against {list(q.shape)}; expected the same shape of "
                "both; dump both networks on the same samples, in one order of axes"
            )
        layer.add(f"batch_{batch}", f, q)
    return layer


def _array(path: Path) -> NDArray[Any]:
    """What a file holds, mapped and not read at once; never unpickled."""
    try:
        found = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # of many kinds: it is Python's own parser that reads a header
        raise Refused(f"{path}: no whole array in NumPy's format: {error}; dump again") from error
    if found.dtype.kind != "f":
        raise Refused(
            f"{path}: holds {found.dtype}, expected floats; where the tool dumps integers, have it dequantise them"
        )
    if not found.size:
        raise Refused(f"{path}: its shape {list(found.shape)} holds no number; dump again")
    if (rest := path.stat().st_size - found.offset - found.nbytes) != 0:
        raise Refused(f"{path}: {rest} bytes behind its {found.size} numbers, expected none; dump again")
    return found
