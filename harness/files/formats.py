"""The items of an output, from a file: raw numbers, NumPy's format, or text.

A file holds one item, or a batch of them. They are read one after the other, so that a batch of large pictures is never
held as a whole.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from harness.files.pack import described, item_bytes
from harness.files.text_numbers import NoNumber, chunks, numbers
from harness.sizes import BATCH, TensorSpec

NPY_LENGTHS = {1: slice(8, 10), 2: slice(8, 12)}
"""Where a file of each version says how long its header is."""
WHOLE = 1 << 23
"""Below it, a whole number other than 0 has as int32 the bits of no whole float32."""

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


def read_items(path: str | os.PathLike[str], spec: TensorSpec, count: int = 1) -> Iterator[NDArray[Any]]:
    """The items of a file that holds ``count``, in order, as numbers of the type that they have there.

    Raises ``Misfit`` where it does not hold them, which may show behind the last of them, and ``OSError``.
    """
    read = READERS[suffix_of(os.fspath(path))]
    with open(path, "rb") as file:  # noqa: PTH123  # pathlib takes longer than a small file does
        if count > 1 and spec.batch_axis:
            # Its items do not lie one after the other.
            whole = replace(spec, axes=(BATCH, *spec.shape(count)))
            for block in read(file, whole, 1):
                yield from np.moveaxis(block, spec.batch_axis, 0)
        else:
            yield from read(file, spec, count)


def suffix_of(name: str) -> str:
    """``.bin``, in lower case; pathlib takes longer for this than reading a small file does."""
    return f".{name.rpartition('.')[2].lower()}"


def sizes_of(spec: TensorSpec, count: int) -> tuple[int, ...]:
    """The sizes in bytes that a raw file of ``count`` items may have, the declared one first.

    A graph gives classes as int64, devices also as int32, or as float32 as the vendor's page of OCRNet says.
    """
    size = count * item_bytes(spec)
    return (size, size // 2) if spec.dtype == "int64" else (size,)


def other_size(size: int, spec: TensorSpec, count: int) -> str:
    """That a raw file is not of a size that it may have."""
    expected = " or ".join(map(str, sizes_of(spec, count)))
    return f"has {size} bytes, expected {expected} for {described(spec, count)}"


def as_declared(value: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """An item as the declared type. Raises ``Misfit`` where that does not hold its numbers."""
    if value.dtype == spec.dtype:
        return value
    if value.dtype.name == spec.dtype:  # in the other order of bytes
        return value.astype(spec.dtype)
    with np.errstate(invalid="ignore"):  # what is no number is none afterwards
        converted = value.astype(spec.dtype)
    if (converted != value).any():
        wrong = value[converted != value][0]
        raise Misfit(TYPE, f"holds {wrong} as {value.dtype.name}, which is no {spec.dtype}")
    return converted


def from_bin(file: BinaryIO, spec: TensorSpec, count: int = 1) -> Iterator[NDArray[Any]]:
    """Raw little-endian numbers in C order. Nothing but their size tells whether they are the item's."""
    size, (declared, *others) = file.seek(0, io.SEEK_END), sizes_of(spec, count)
    file.seek(0)
    if size not in (declared, *others):
        raise Misfit(SIZE, other_size(size, spec, count))
    dtype, shape = np.dtype(spec.dtype).newbyteorder("<"), spec.item
    for _ in range(count):
        content = file.read(size // count)
        value = np.frombuffer(content, dtype) if size == declared else _four_bytes(content, spec)
        yield value.reshape(shape)


def from_npy(file: BinaryIO, spec: TensorSpec, count: int = 1) -> Iterator[NDArray[Any]]:
    """NumPy's format, never a pickle; the batch axis may be left out where it is one, and where whole numbers are
    declared, an axis of one may follow it, and other types hold them."""
    try:
        header = file.read(NPY_LENGTHS[2].stop)
        start = _npy_start(header)
        header += file.read(max(0, start - len(header)))
        found, shape, dtype, order = _npy_header(header[:start])
    except Exception as error:  # of many kinds: it is Python's own parser that reads a header
        raise Misfit(FORMAT, f"is no whole file in NumPy's format: {error}") from error
    told, expected = f"{found} {list(shape)}", described(spec, count)
    whole = not spec.dtype.startswith("float")
    if found != spec.dtype and not (whole and dtype.kind in "iuf"):
        raise Misfit(TYPE, f"is {told}, expected {expected}")
    shapes = [spec.shape(count), *([spec.item] if count == 1 else []), *([(count, 1, *spec.item)] if whole else [])]
    if shape not in shapes:
        raise Misfit(SHAPE, f"is {told}, expected {expected}")
    if order == "F" and count > 1:
        raise Misfit(FORMAT, f"is {told} in Fortran's order, expected items one after the other")
    size = prod(shape) * dtype.itemsize
    rest = file.seek(0, io.SEEK_END) - start
    if rest != size:
        raise Misfit(SIZE, f"has {rest} bytes behind its header, expected {size} for {expected}")
    file.seek(start)
    for _ in range(count):
        yield np.frombuffer(file.read(size // count), dtype).reshape(spec.item, order=order)


def from_txt(file: BinaryIO, spec: TensorSpec, count: int = 1) -> Iterator[NDArray[Any]]:
    """Numbers between white space, as msame and ais_bench print them; only as exact as their printed digits.

    A whole number may stand where a float is expected, as C++ prints 1.0, but not the other way round.
    """
    size = prod(spec.item)
    item, total = np.empty(size, spec.dtype), 0
    try:
        for text in chunks(file):
            rest = numbers(text, spec.dtype)
            while rest.size:
                if total and total % size == 0 and total < count * size:
                    yield item.reshape(spec.item)
                    item = np.empty(size, spec.dtype)
                place = total % size
                taken = rest[: size - place]
                if total < count * size:
                    item[place : place + taken.size] = taken
                total += taken.size
                rest = rest[taken.size :]
    except NoNumber as error:
        raise Misfit(NUMBER, str(error)) from error
    if total != count * size:
        raise Misfit(SIZE, f"has {total} numbers, expected {described(spec, count)}")
    # The last one only once nothing follows it.
    yield item.reshape(spec.item)


READERS: Mapping[str, Callable[[BinaryIO, TensorSpec, int], Iterator[NDArray[Any]]]] = {
    ".bin": from_bin,
    ".npy": from_npy,
    ".txt": from_txt,
}


def _four_bytes(content: bytes, spec: TensorSpec) -> NDArray[Any]:
    """Whole numbers of 4 bytes, as int32 or as float32, by which of them they can be. Raises ``Misfit`` for what is
    neither, and for the half of what is declared."""
    as_int = np.frombuffer(content, "<i4")
    if ((as_int > -WHOLE) & (as_int < WHOLE)).all():
        if as_int.any() and not as_int[1::2].any():
            # The upper halves of small numbers.
            raise Misfit(SIZE, f"holds numbers of 8 bytes, half as many as expected for {described(spec)}")
        return as_int
    as_float = np.frombuffer(content, "<f4")
    with np.errstate(invalid="ignore"):  # what is no number is none that is rounded either
        if (as_float == np.rint(as_float)).all():
            return as_float
    raise Misfit(TYPE, f"holds numbers of 4 bytes, neither int32 nor whole float32, expected {described(spec)}")


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
