"""Tensors that somebody else prepared, fed as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def as_stored(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The float32 numbers of one item. Raises ``ValueError`` where they are not as many as ``shape`` needs."""
    expected = int(np.prod(shape)) * np.dtype(np.float32).itemsize
    if len(content) != expected:
        raise ValueError(f"expected {expected} bytes for float32 {list(shape)}")
    return np.frombuffer(content, np.float32).reshape(shape)
