"""Pictures of streets to inputs of segmentation networks, as PaddleSeg does for Cityscapes (``Normalize``): RGB.

The configuration that guide 002 names validates at the picture's own size, so at that size nothing is scaled.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from harness.preprocess.text_line import decode_bgr

MIDDLE = np.float32(0.5)
"""Mean and deviation of every channel, of values in [0, 1]."""
CENTRED: NDArray[np.float32] = (np.arange(256, dtype=np.float32) / np.float32(255) - MIDDLE) / MIDDLE
"""What becomes of each byte: the published formula in float32, so that looking it up is bit-equal."""


def centred(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An encoded picture (PNG, JPEG) as 3 x height x width float32, RGB in [-1, 1], stretched to that size where it has
    another.

    Scaled as bytes: by area where no side grows, else bilinearly. Raises ``ValueError`` where the shape is another or
    OpenCV cannot decode the picture.
    """
    channels, height, width = shape
    if channels != 3 or min(height, width) < 1:
        found = "x".join(str(side) for side in shape)
        raise ValueError(f"a street's input is 3 x height x width, found {found}; declare it in this order")
    picture: Any = decode_bgr(content)
    if picture.shape[:2] != (height, width):
        smaller = height <= picture.shape[0] and width <= picture.shape[1]
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    prepared = np.empty((3, height, width), dtype=np.float32)
    # Fresh memory costs more than the arithmetic: one plane serves all channels, and results go where they stay.
    plane = np.empty((height, width), dtype=np.uint8)
    for channel, bgr in enumerate((2, 1, 0)):
        cv2.extractChannel(picture, bgr, dst=plane)
        cv2.LUT(plane, CENTRED, dst=prepared[channel])
    return prepared
