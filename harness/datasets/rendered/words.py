"""Words drawn from a seed: the pictures and labels of the bundled references.

Every word is a pure function of (seed, index): 3 to 8 characters of 0-9a-z, drawn in lower or in upper case with the
font that Pillow carries, slightly turned and sheared, blurred, noisy, at times of low contrast. Labels keep the case
of the picture, as the text-recognition benchmarks do. Arithmetic on pixels is in integers, so that the same Pillow
gives the same bytes on any machine; a digest of the pixels tells when a new Pillow does not.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from functools import lru_cache
from math import radians, sin, tan

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

REVISION = 1
CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTHS = (3, 8)
FONT_SIZES = (22, 28, 34, 40)
TURN_DEGREES = 6.0
SHEAR_DEGREES = 8.0
LEAST_CONTRAST = 64
MOST_NOISE = 10


def draw_word(seed: int, index: int) -> tuple[Image.Image, str]:
    """Word ``index`` of the set ``seed``: a grey picture of its natural size (about 20 to 60 rows) and its label."""
    rng = np.random.default_rng((seed, index))
    label = spell(rng)
    mask = font_mask(label, FONT_SIZES[rng.integers(len(FONT_SIZES))], rng)
    mask = distort(mask, rng)
    if rng.random() < 0.5:
        mask = mask.filter(ImageFilter.GaussianBlur(float(rng.integers(2, 9)) / 10))
    return _shade(mask, rng), label


def words(seed: int, count: int) -> Iterator[tuple[Image.Image, str]]:
    """The first ``count`` words of the set ``seed``, in order, one at a time."""
    return (draw_word(seed, index) for index in range(count))


def encode_png(picture: Image.Image) -> bytes:
    """The picture as PNG bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


class PixelDigest:
    """A running sha256 over sizes, pixels and labels: equal when every word is equal, whatever the PNG encoder."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, picture: Image.Image, label: str) -> None:
        """Takes one word into the digest; order matters."""
        self._hash.update(f"{picture.width}x{picture.height} {label}\n".encode())
        self._hash.update(picture.tobytes())

    def hexdigest(self) -> str:
        """The digest of all words added so far."""
        return self._hash.hexdigest()


def spell(rng: np.random.Generator) -> str:
    length = int(rng.integers(LENGTHS[0], LENGTHS[1] + 1))
    text = "".join(CHARACTERS[i] for i in rng.integers(len(CHARACTERS), size=length))
    return text.upper() if rng.random() < 0.5 else text


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font that Pillow carries."""
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise RuntimeError(
            "Pillow was built without FreeType, so it cannot draw its own scalable font: install a wheel"
        )
    return found


def font_mask(label: str, size: int, rng: np.random.Generator) -> Image.Image:
    face = font(size)
    left, top, right, bottom = (int(edge) for edge in face.getbbox(label))
    margin_x, margin_y = (int(m) for m in rng.integers(2, 7, size=2))
    mask = Image.new("L", (right - left + 2 * margin_x, bottom - top + 2 * margin_y))
    ImageDraw.Draw(mask).text((margin_x - left, margin_y - top), label, fill=255, font=face)
    return mask


def distort(mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turns and shears about the centre, on a canvas grown so that no letter is cut off."""
    turn = radians(float(rng.integers(-100, 101)) / 100 * TURN_DEGREES)
    shear = tan(radians(float(rng.integers(-100, 101)) / 100 * SHEAR_DEGREES))
    grow_y = int(abs(sin(turn)) * mask.width) + 2
    grow_x = int(abs(shear) * mask.height) + 2
    width, height = mask.width + grow_x, mask.height + grow_y
    # The transform maps a target pixel to its source: x' = x - shear * y, y' = y - turn * x, about both centres.
    centre_x, centre_y = width / 2, height / 2
    offset_x = mask.width / 2 - centre_x + shear * centre_y
    offset_y = mask.height / 2 - centre_y + turn * centre_x
    affine = (1.0, -shear, offset_x, -turn, 1.0, offset_y)
    return mask.transform((width, height), Image.Transform.AFFINE, affine, resample=Image.Resampling.BICUBIC)


def _shade(mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Ink on paper in two grey levels at least ``LEAST_CONTRAST`` apart, with noise."""
    dark = int(rng.integers(256 - LEAST_CONTRAST))
    light = int(rng.integers(dark + LEAST_CONTRAST, 256))
    ink, paper = (dark, light) if rng.random() < 0.5 else (light, dark)
    cover = np.asarray(mask, dtype=np.int32)
    grey = paper + (ink - paper) * cover // 255
    noise = int(rng.integers(MOST_NOISE + 1))
    # Two uniform draws: a triangle, near enough to a bell, and exact in integers.
    grey += rng.integers(-noise, noise + 1, size=(2, *grey.shape)).sum(axis=0) // 2
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
