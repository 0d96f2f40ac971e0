"""Pictures to CRNN's input, as guide 001 prepares them (``parse_testdata.py``)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHAPE = (1, 32, 100)


def preprocess(encoded: bytes, shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    """An encoded picture (PNG, JPEG) as 1 x height x width float32 in [-1, 1]; 1 x 32 x 100 was published.

    Grey by Pillow's ``L``, then Pillow's bicubic without keeping the aspect ratio: OpenCV's bicubic differs by up to
    36 grey levels, so it is no substitute. Raises ``OSError`` or ``ValueError`` where Pillow cannot decode the bytes.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            return normalise(picture, shape)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def normalise(picture: Image.Image, shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    """A decoded picture as 1 x height x width float32 in [-1, 1]."""
    _, height, width = shape
    grey: Any = picture.convert("L").resize((width, height), Image.Resampling.BICUBIC)
    scaled = np.asarray(grey, dtype=np.float32) / np.float32(255)
    return ((scaled - np.float32(0.5)) / np.float32(0.5))[np.newaxis]
