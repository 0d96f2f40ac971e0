"""Numbers between white space, as tools print them, chunk by chunk, at about the speed at which words are counted.

A class for each pixel is two million small whole numbers a picture. A chunk of whole numbers is read by NumPy, digit by
digit, and all else by Python, whose numbers these are: of floats, NumPy's own conversions are no faster than it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

CHUNK = 1 << 16
"""Bytes that are read at once. What becomes of them fits into a processor's cache; and no number is as long."""
BLANK = b" \t\n\r\v\f"
"""White space as bytes are split at it."""
DIGITS = 18
"""Any number of so many digits is an int64."""


class NoNumber(ValueError):
    """A text holds something that is no number of a type; the message begins with ``holds``."""


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file in pieces that end between two numbers. Raises ``NoNumber`` where one has no end."""
    rest = b""
    while read := file.read(CHUNK):
        text = rest + read
        end = max(text.rfind(blank) for blank in BLANK) + 1
        rest = text[end:]
        if len(rest) > CHUNK:
            raise NoNumber(f"holds {_shown(rest)} and more than {CHUNK} bytes without white space")
        if end:
            yield text[:end]
    if rest:
        yield rest


def numbers(text: bytes, dtype: str) -> NDArray[Any]:
    """The numbers of a text as a type. Whole numbers may stand where floats are expected, not the other way round.

    Raises ``NoNumber`` for what Python reads as none, for 1_000, which it does read and no tool means, and for what the
    type does not hold; a float that is too large becomes infinite.
    """
    value = _whole(text, np.dtype(dtype).kind == "f")
    if value is None:
        return _any(text, dtype)
    converted = value.astype(dtype, copy=False)
    if converted.dtype.kind != "f" and converted.itemsize < 8 and (converted != value).any():
        return _any(text, dtype)  # which says what is wrong
    return converted


def _whole(text: bytes, floats: bool) -> NDArray[Any] | None:
    """The numbers of a text, as doubles where floats are asked; nothing where it holds anything but whole numbers of
    at most ``DIGITS`` digits."""
    if b"." in text:
        return None
    # In front of the first number there is room for its sign, and for as many digits as are looked for.
    codes = np.frombuffer(b" " * (DIGITS + 1) + text + b" ", np.uint8)
    digit = codes - np.uint8(ord("0"))
    is_digit = digit < 10
    is_blank = (codes == ord(" ")) | (codes - np.uint8(ord("\t")) < 5)
    negative = None
    if others := codes.size - np.count_nonzero(is_digit | is_blank):
        before = np.flatnonzero(is_digit[1:] > is_digit[:-1])
        negative = codes.take(before) == ord("-")
        signed = (negative | (codes.take(before) == ord("+"))) & is_blank.take(before - 1)
        if np.count_nonzero(signed) != others:
            return None
    value = _digits(digit, is_digit)
    if value is not None and (floats or negative is not None):
        value = value.astype(np.float64 if floats else np.int64)
        if negative is not None:
            # A float of zero keeps its sign.
            np.negative(value, out=value, where=negative)
    return value


def _digits(digit: NDArray[np.uint8], is_digit: NDArray[np.bool_]) -> NDArray[Any] | None:
    """The numbers of which these are the digits, in the smallest type at hand; nothing where one has too many."""
    last = np.flatnonzero(is_digit[:-1] > is_digit[1:])
    value = digit.take(last)
    reaches = is_digit.copy()
    for place in range(1, DIGITS + 1):
        # Whether a digit has so many before it.
        reaches[place:] &= is_digit[:-place]
        if not reaches.any():
            return value
        higher = np.zeros_like(digit)
        np.multiply(digit[:-place], reaches[place:], out=higher[place:])
        # Two digits are a byte.
        value = value + higher.take(last) * (np.uint8(10) if place == 1 else np.int64(10**place))
    return None


def _any(text: bytes, dtype: str) -> NDArray[Any]:
    """The numbers of any text that holds nothing else, one by one."""
    parse: Callable[[bytes], float] = float if np.dtype(dtype).kind == "f" else int
    tokens = text.split()
    try:
        found = [parse(token) for token in tokens] if b"_" not in text else None
    except ValueError:
        found = None
    if found is None:
        wrong = next(token for token in tokens if not _is_number(token, parse))
        raise NoNumber(f"holds {_shown(wrong)}, which is no {dtype}")
    try:
        with np.errstate(over="ignore"):  # becomes infinite, which is for others to refuse
            return np.array(found, dtype)
    except OverflowError as error:
        raise NoNumber(f"holds a number that is no {dtype}: {error}") from error


def _is_number(token: bytes, parse: Callable[[bytes], float]) -> bool:
    try:
        parse(token)
    except ValueError:
        return False
    return b"_" not in token


def _shown(token: bytes) -> str:
    return repr(token[:20].decode("ascii", "replace"))
