"""What drawings for people have in common: how a picture is opened, their size, letters and format."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFont

from harness.preprocess.text_line import decode_bgr

LONGEST = 1280
"""Pixels of the long side, at most."""
QUALITY = 85
FONT = ImageFont.load_default(14)


def opened(content: bytes) -> Image.Image:
    """The picture in RGB, turned as its EXIF asks; raises ``ValueError`` where it cannot be read."""
    return Image.fromarray(np.ascontiguousarray(decode_bgr(content)[..., ::-1]))


def encoded(canvas: Image.Image) -> bytes:
    """The drawing as a JPEG."""
    file = io.BytesIO()
    # Colour at full resolution: strokes are thin, and told apart by it.
    canvas.save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()
