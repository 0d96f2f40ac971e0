"""Words drawn upright or turned by 180 degrees: the pictures and labels of the bundled direction classifier.

A sample is a pure function of (seed, index). So that accuracy can see the faults of preprocessing, most pictures hold a
second word, turned the other way, that must not be read. It lies in another plane of colour (a network that is fed RGB
for BGR reads it), or in light ink instead of dark (a negated picture swaps the two); and a black margin on the right
marks a negative, in which the light word counts (padding with black instead of grey makes any picture one). Labels are
``0`` and ``180``, as published.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from harness.datasets.rendered.words import distort, font_mask, spell
from harness.postprocess.direction import LABELS

REVISION = 1

DIRECTED = set("347ABCDEFGJKLPQRTYacefghjkrty")
"""Characters that a half turn makes into none of the alphabet; ``n`` and ``u``, ``6`` and ``9``, ``o`` are not."""
LEAST_DIRECTED = 2
FONT_SIZES = (24, 32, 40)
LONGEST = 6
PAPER = (110, 146)
CONTRAST = (50, 110)
"""Of dark ink and of light ink alike, in grey levels from the paper."""
MOST_NOISE = 8
MARGIN = (30, 150)
"""Width of a negative's margin in percent of the picture's height."""
KINDS = (*("plain", "colours", "inks") * 3, "negative")
"""Drawn with equal chance, so negatives are a tenth."""


def draw_turned(seed: int, index: int, kinds: tuple[str, ...] = KINDS) -> tuple[Image.Image, str]:
    """Sample ``index`` of the set ``seed``: an RGB picture of its natural size and its label, ``0`` or ``180``.

    ``kinds`` are drawn with equal chance; lessons have more of the harder ones.
    """
    rng = np.random.default_rng((seed, index))
    direction = int(rng.integers(2))
    word = _word(rng, turned=bool(direction))
    other = _fitted(_word(rng, turned=not direction), word.shape)
    paper, contrast = int(rng.integers(*PAPER)), int(rng.integers(*CONTRAST))
    dark, light = paper - contrast, paper + contrast
    planes = np.full((3, *word.shape), paper, dtype=np.int32)
    kind = kinds[int(rng.integers(len(kinds)))]
    if kind == "plain":
        planes += (dark - paper) * word // 255
    elif kind == "colours":  # the word in the blue plane, the other one in the red, neither in the green
        planes[2] += (dark - paper) * word // 255
        planes[0] += (dark - paper) * other // 255
    else:  # the word in dark ink over the other one in light ink; in a negative the other way round
        above, below = (dark, light) if kind == "inks" else (light, dark)
        planes += (below - paper) * other // 255
        planes += (above - planes) * word // 255
    noise = int(rng.integers(MOST_NOISE + 1))
    planes += rng.integers(-noise, noise + 1, size=planes.shape)
    if kind == "negative":
        margin = np.zeros((3, word.shape[0], int(rng.integers(*MARGIN) * word.shape[0] // 100)), dtype=np.int32)
        planes = np.concatenate([planes, margin], axis=2)
    pixels = np.clip(planes, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(pixels)), LABELS[direction]


def turned_words(seed: int, count: int) -> Iterator[tuple[Image.Image, str]]:
    """The first ``count`` samples of the set ``seed``, in order, one at a time."""
    return (draw_turned(seed, index) for index in range(count))


def _word(rng: np.random.Generator, *, turned: bool) -> NDArray[np.int32]:
    """The cover of a word's ink, 0 to 255; at least two of its characters show which way is up."""
    while True:
        text = spell(rng)[:LONGEST]
        if sum(character in DIRECTED for character in text) >= LEAST_DIRECTED:
            break
    mask = distort(font_mask(text, FONT_SIZES[rng.integers(len(FONT_SIZES))], rng), rng)
    if rng.random() < 0.5:
        mask = mask.filter(ImageFilter.GaussianBlur(float(rng.integers(2, 9)) / 10))
    if turned:
        mask = mask.transpose(Image.Transpose.ROTATE_180)
    return np.asarray(mask, dtype=np.int32)


def _fitted(cover: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """A cover scaled to another word's size."""
    rows, columns = shape
    picture = Image.fromarray(cover.astype(np.uint8)).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.int32)
