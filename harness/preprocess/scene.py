"""Pictures of scenes to inputs of text detectors, and the sizes that the published rules give them.

``stretch_normalised`` is PaddleOCR's way for PP-OCRv3 (``DetResizeForTest`` with ``image_shape``, ``NormalizeImage``),
``stretch_centred`` that of guide 003 for DB (``db_preprocess.py``). Both work on BGR as OpenCV reads it: the published
constants are named for RGB, and are applied in this order all the same.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from harness.preprocess.text_line import decode_bgr

STRIDE = 32
"""Of the deepest layer of both networks: other sizes fail where layers are added."""
SHORT_SIDE = 736
"""Below it a picture is enlarged: ``limit_side_len`` where PaddleOCR's configuration names none."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of PP-OCRv3, of values in [0, 1]."""
DB_MEAN = (122.67891434, 116.66876762, 104.00698793)
"""Of DB, of bytes; its code calls it RGB_MEAN."""
BYTES: NDArray[np.float32] = np.arange(256, dtype=np.float32)
NORMALISED = [
    (BYTES * np.float32(1 / 255) - np.float32(mean)) / np.float32(deviation)
    for mean, deviation in zip(MEAN, DEVIATION, strict=True)
]
"""What becomes of each byte, by channel: the published formula in float32, so that looking it up is bit-equal."""


def stretch_normalised(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An encoded picture (PNG, JPEG) as 3 x height x width float32, BGR, stretched bilinearly, then normalised.

    Scaled as bytes. Raises ``ValueError`` where a side is no multiple of 32 or OpenCV cannot decode it.
    """
    height, width = _sides(shape)
    scaled: Any = cv2.resize(decode_bgr(content), (width, height), interpolation=cv2.INTER_LINEAR)
    prepared = np.empty((3, height, width), dtype=np.float32)
    # Fresh memory costs more than the arithmetic: one plane serves all channels, and results go where they stay.
    plane = np.empty((height, width), dtype=np.uint8)
    for channel, table in enumerate(NORMALISED):
        cv2.extractChannel(scaled, channel, dst=plane)
        cv2.LUT(plane, table, dst=prepared[channel])
    return prepared


def stretch_centred(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An encoded picture (PNG, JPEG) as 3 x height x width float32, BGR, stretched bilinearly, less the mean, over 255.

    Scaled as float32, so nothing is rounded to bytes after. Raises ``ValueError`` where a side is no multiple of 32 or
    OpenCV cannot decode it.
    """
    height, width = _sides(shape)
    picture = decode_bgr(content)
    prepared = np.empty((3, height, width), dtype=np.float32)
    plane = np.empty(picture.shape[:2], dtype=np.float32)
    for channel, mean in enumerate(DB_MEAN):
        plane[:] = picture[..., channel]
        cv2.resize(plane, (width, height), dst=prepared[channel], interpolation=cv2.INTER_LINEAR)
        # In float64 and back, as the published code subtracts.
        prepared[channel] -= np.float64(mean)
        prepared[channel] /= np.float32(255)
    return prepared


def limit_side(height: int, width: int) -> tuple[int, int]:
    """The size that PaddleOCR's general rule gives a picture: the short side at least 736, each the nearest multiple
    of 32."""
    ratio = max(1.0, SHORT_SIDE / min(height, width))
    return _nearest(int(height * ratio)), _nearest(int(width * ratio))


def up_to_32(height: int, width: int) -> tuple[int, int]:
    """The size that guide 003 gives a picture: each side the next multiple of 32."""
    return math.ceil(height / STRIDE) * STRIDE, math.ceil(width / STRIDE) * STRIDE


def _nearest(side: int) -> int:
    """The nearest multiple of 32, at least 32; of a side just between two the even one, as Python rounds."""
    return max(STRIDE, round(side / STRIDE) * STRIDE)


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    channels, height, width = shape
    if channels != 3 or height <= 0 or width <= 0 or height % STRIDE or width % STRIDE:
        raise ValueError(
            f"a detector's input is 3 x height x width, both multiples of {STRIDE}, found {channels}x{height}x{width}; "
            f"the nearest is 3x{_nearest(height)}x{_nearest(width)}"
        )
    return height, width
