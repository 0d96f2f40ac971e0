"""Reads what ``paddle.save`` wrote (``.pdparams``, ``.pd``) without running what is in it.

Such a file is a pickle, of protocol 2 to 4, of containers, texts, numbers and numpy arrays of numbers. Nothing else is
let in: every other name that the pickle asks for is refused before it is looked up, and what it tells numpy to make of
an array is looked at first, for numpy believes lengths, offsets and flags.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.verdict import Refused


def read_saved(path: Path) -> Any:
    """What the file holds. Raises ``Refused`` for one that is truncated, is no pickle, or names code to run."""
    content = path.read_bytes()
    if not content.startswith(pickle.PROTO) or not content.endswith(pickle.STOP):
        raise Refused(f"{path}: truncated, or nothing that Paddle saved: {len(content)} bytes, no whole pickle")
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except _Forbidden as error:
        raise Refused(f"{path}: refused, it is not plain arrays: it asks for {error}; nothing in it was run") from error
    except Exception as error:  # a damaged pickle fails in as many ways as it has bytes
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise Refused(f"{path}: truncated, or nothing that Paddle saved: {reason}") from error


class _Forbidden(Exception):
    """A name that no file of arrays needs."""


def _ndarray(*_: Any) -> None:
    """Stands for the class: called, it would reserve memory that the file does not hold, or make arrays of objects."""
    raise _Forbidden("an array without its content")


def _empty(kind: Any, shape: tuple[int, ...], code: bytes) -> NDArray[Any]:
    """What numpy's pickles begin an array with; its state, of another shape, follows."""
    if kind is not _ndarray or shape != (0,):
        raise _Forbidden(f"an array of shape {shape} without its content")
    return np.empty(shape, _dtype(code.decode()))


def _dtype(code: str, *_: bool) -> np.dtype[Any]:
    """A type of numbers; a copy, because the pickle may set its byte order."""
    dtype = np.dtype(code, False, True)
    if dtype.kind not in "biufc":
        raise _Forbidden(f"an array of {'objects' if dtype.hasobject else 'other things than numbers'} ({code})")
    return dtype


def _encoded(text: str = "", encoding: str = "latin1") -> bytes:
    """Protocol 2 has no bytes: they are texts to encode."""
    if encoding != "latin1":
        raise _Forbidden(f"the encoding {encoding!r}")
    return text.encode(encoding)


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty,
    ("numpy._core.multiarray", "_reconstruct"): _empty,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    ("builtins", "tuple"): tuple,
    ("__builtin__", "tuple"): tuple,
    ("__builtin__", "bytes"): _encoded,
    ("_codecs", "encode"): _encoded,
    ("collections", "OrderedDict"): OrderedDict,
}


class _Unpickler(pickle._Unpickler):
    """Python's unpickler in Python: the one in C reserves what a file claims, and shows nobody the state it sets."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Forbidden(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise _Forbidden(f"the object {pid!r} outside the file")

    def get_extension(self, code: int) -> None:
        """Refused: one that this process has used before would be taken from a cache, whatever it is."""
        raise _Forbidden(f"the registered extension {code}")

    def _build(self) -> None:
        base: Any = super()
        target, state = self.stack[-2:]
        if not _plain(target, state):
            raise _Forbidden(f"a state of {type(target).__name__} that arrays of numbers do not have")
        base.load_build()

    def _buffer(self) -> None:
        raise _Forbidden("a buffer, which protocols up to 4 do not have")

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: _build,
        pickle.BYTEARRAY8[0]: _buffer,
        pickle.NEXT_BUFFER[0]: _buffer,
    }


def _plain(target: Any, state: Any) -> bool:
    """Whether numpy may set the state: of a type its byte order alone, of an array the bytes of its numbers."""
    if isinstance(target, np.dtype):
        version, order, *rest = state
        return version == 3 and order in ("<", ">", "|", "=") and rest == [None, None, None, -1, -1, 0]
    return isinstance(target, np.ndarray) and isinstance(state[4], bytes)
