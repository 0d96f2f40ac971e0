"""Pictures of text lines to network inputs: the recognisers and the direction classifier.

``preprocess`` is PaddleOCR's way for RARE, PP-OCRv3 and its direction classifier: ``resize_norm_img`` of version 2.5
(``ppocr/data/imaug/rec_img_aug.py``) with ``padding=True``. ``stretch_grey`` is guide 001's way for CRNN
(``parse_testdata.py``).
"""

from __future__ import annotations

import io
import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def preprocess(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An encoded picture (PNG, JPEG) as 3 x height x width float32 in [-1, 1], BGR.

    Raises ``ValueError`` where OpenCV cannot decode the bytes.
    """
    return arrange(decode_bgr(encoded), shape)


def arrange(picture: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A decoded BGR picture, scaled to ``shape`` with its aspect kept, normalised, and padded on the right.

    The padding is 0 *after* normalising, which is mid grey and not black.
    """
    _, height, width = shape
    resized = resize(picture, height, width)
    prepared = np.zeros(shape, dtype=np.float32)
    prepared[:, :, : resized.shape[1]] = normalise(resized)
    return prepared


def resize(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The picture at ``height``, as wide as its aspect asks (rounded up), at most ``width``; bilinear."""
    rows, columns = picture.shape[:2]
    wanted = min(width, math.ceil(height * columns / float(rows)))
    found: Any = cv2.resize(picture, (wanted, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(found, dtype=np.uint8)


def normalise(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """height x width x 3 bytes as 3 x height x width float32 in [-1, 1]."""
    scaled = picture.astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    return (scaled - np.float32(0.5)) / np.float32(0.5)


def decode_bgr(encoded: bytes) -> NDArray[np.uint8]:
    """An encoded picture as height x width x 3, BGR: the channel order that PaddleOCR never changes."""
    try:
        picture: Any = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot decode it: {error.err or error}") from error
    if picture is None:
        raise ValueError("OpenCV knows no such format of pictures, or it is cut short")
    return np.asarray(picture, dtype=np.uint8)


def stretch_grey(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An encoded picture (PNG, JPEG) as 1 x height x width float32 in [-1, 1], its aspect not kept.

    Grey by Pillow's ``L``, then Pillow's bicubic: OpenCV's differs by up to 36 grey levels, so it is no substitute.
    Raises ``OSError`` or ``ValueError`` where Pillow cannot decode the bytes.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            return normalise_grey(picture, shape)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def normalise_grey(picture: Image.Image, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A decoded picture as 1 x height x width float32 in [-1, 1]."""
    _, height, width = shape
    grey: Any = picture.convert("L").resize((width, height), Image.Resampling.BICUBIC)
    scaled = np.asarray(grey, dtype=np.float32) / np.float32(255)
    return ((scaled - np.float32(0.5)) / np.float32(0.5))[np.newaxis]
