"""One item of an output, from the bytes of a file: raw numbers, NumPy's format, or text."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from harness.files.pack import described, item_bytes
from harness.sizes import TensorSpec

NPY_LENGTHS = {1: slice(8, 10), 2: slice(8, 12)}
"""Where a file of each version says how long its header is."""

SIZE = "of another size"
TYPE = "of another type"
SHAPE = "of another shape"
FORMAT = "not readable in its format"
NUMBER = "with something that is no number"


class Misfit(ValueError):
    """A file does not hold the item: the kind of fault, and a text with what was found and expected."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def from_bin(content: bytes, spec: TensorSpec) -> NDArray[Any]:
    """Raw little-endian numbers in C order. Nothing but their size tells whether they are the item's."""
    if len(content) != item_bytes(spec):
        raise Misfit(SIZE, f"has {len(content)} bytes, expected {item_bytes(spec)} for {described(spec)}")
    return np.frombuffer(content, np.dtype(spec.dtype).newbyteorder("<")).reshape(spec.item)


def from_npy(content: bytes, spec: TensorSpec) -> NDArray[Any]:
    """NumPy's format, never a pickle; the batch axis may be there, with one item."""
    try:
        start = _npy_start(content)
        found, shape, dtype, order = _npy_header(content[:start])
    except Exception as error:  # of many kinds: it is Python's own parser that reads a header
        raise Misfit(FORMAT, f"is no whole file in NumPy's format: {error}") from error
    if found != spec.dtype:
        raise Misfit(TYPE, f"is {found} {list(shape)}, expected {described(spec)}")
    if shape not in (spec.item, spec.shape(1)):
        raise Misfit(SHAPE, f"is {found} {list(shape)}, expected {described(spec)}")
    if len(content) - start != item_bytes(spec):
        text = f"has {len(content) - start} bytes behind its header, expected {item_bytes(spec)} for {described(spec)}"
        raise Misfit(SIZE, text)
    return np.frombuffer(content, dtype, offset=start).reshape(spec.item, order=order)


def from_txt(content: bytes, spec: TensorSpec) -> NDArray[Any]:
    """Numbers between white space, as msame and ais_bench print them; only as exact as their printed digits.

    A whole number may stand where a float is expected, as C++ prints 1.0, but not the other way round.
    """
    dtype = np.dtype(spec.dtype)
    parse: Callable[[bytes], float] = float if dtype.kind == "f" else int
    tokens = content.split()
    # Python reads 1_000 as a number, no tool means it.
    wrong = next((token for token in tokens if b"_" in token), None) if b"_" in content else None
    try:
        numbers = [] if wrong else [parse(token) for token in tokens]
    except ValueError:
        wrong = next(token for token in tokens if not _parses(parse, token))
    if wrong is not None:
        shown = wrong[:20].decode("ascii", "replace")
        raise Misfit(NUMBER, f"holds {shown!r}, which is no {spec.dtype}")
    if len(numbers) != prod(spec.item):
        raise Misfit(SIZE, f"has {len(numbers)} numbers, expected {described(spec)}")
    try:
        with np.errstate(over="ignore"):  # becomes infinite, and is refused for that
            return np.array(numbers, dtype).reshape(spec.item)
    except OverflowError as error:
        raise Misfit(NUMBER, f"holds a number that is no {spec.dtype}: {error}") from error


READERS: Mapping[str, Callable[[bytes, TensorSpec], NDArray[Any]]] = {
    ".bin": from_bin,
    ".npy": from_npy,
    ".txt": from_txt,
}


def _parses(parse: Callable[[bytes], float], token: bytes) -> bool:
    try:
        parse(token)
    except ValueError:
        return False
    return True


def _npy_start(content: bytes) -> int:
    """Where the numbers start."""
    major, _ = npy_format.read_magic(io.BytesIO(content[:8]))
    if major not in NPY_LENGTHS:
        raise ValueError(f"version {major}, which only structured types need")
    place = NPY_LENGTHS[major]
    return place.stop + int.from_bytes(content[place], "little")


@lru_cache(maxsize=16)
def _npy_header(header: bytes) -> tuple[str, tuple[int, ...], np.dtype[Any], Literal["C", "F"]]:
    """Type, shape, byte order and order. The files of a folder have one header in common, and parsing it costs most."""
    file = io.BytesIO(header)
    major, _ = npy_format.read_magic(file)
    read = npy_format.read_array_header_1_0 if major == 1 else npy_format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return dtype.name, shape, dtype, "F" if fortran else "C"
