"""Scenes with words in them: the pictures and truths of the bundled detectors.

A scene is a pure function of (seed, index): turned words on an uneven ground. So that hmean can see the faults of
preprocessing and of the metric, ink decides. A word in warm, bright ink is text. The same ink with red and blue
exchanged, the same ink without its mean, and an ink that is less warm make decoys, which are in no truth: a network
that is fed RGB for BGR, or pictures that miss their mean, finds those. Of the words that nobody cares about (``###``)
a network finds the struck out ones and misses the faded ones: whoever counts either loses.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, radians, sin

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from harness.boxes import IGNORED, Quad, Region
from harness.datasets.rendered.words import font, spell

REVISION = 1
SIZE = (480, 320)
"""Width and height."""
FONT_SIZES = (22, 26, 32, 38, 46)
BOLD = 1
"""Pixels added around the strokes: thinner ones blend with the ground, and ink has to tell."""
ROOM = 2
"""Pixels between the ink of a word and its quadrilateral."""
APART = 5
"""Pixels around a word that no other one comes into."""
TURN_DEGREES = 30
TRIES = 12
"""Places tried for a word; without one it is left out."""
WORDS = ("text",) * 5 + ("cold", "dark", "pale", "struck", "faded")
"""Drawn with equal chance, after one word of text."""
TRUE = ("text", "struck", "faded")
COUNT = (6, 13)
"""Words of a scene, from and below."""

BRIGHT = (225, 256)
WARM, LESS_WARM = (130, 171), (30, 86)
"""How far red lies above blue."""
DARKER = 110
"""Grey levels, about the mean that a network's feed takes away."""
FADED = 64
"""Of 255 parts of ink."""
GROUND = (30, 120)
SLOPES, TEXTURE = (6, 4), (96, 64)
"""Columns and rows of grey levels that are stretched over the scene."""
ROUGH = 12
SHAPES = (2, 7)
TINT = 10
MOST_NOISE = 8


def draw_scene(seed: int, index: int) -> tuple[Image.Image, tuple[Region, ...]]:
    """Scene ``index`` of the set ``seed``: an RGB picture of 480 x 320, and its truth in the order of drawing.

    Points are whole pixels, clockwise from where the word's first letter has its upper left corner.
    """
    rng = np.random.default_rng((seed, index))
    picture = _ground(rng)
    taken = Image.new("1", SIZE)
    regions = []
    for number in range(int(rng.integers(*COUNT))):
        kind = WORDS[int(rng.integers(len(WORDS)))] if number else "text"
        text = spell(rng)
        cover, colour = _cover(text, kind, rng), _colour(kind, rng)
        degrees = int(rng.integers(-TURN_DEGREES, TURN_DEGREES + 1))
        turned = cover.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
        corner = _free(taken, turned.size, (cover.size, degrees), rng)
        if corner is None:
            continue
        picture.paste(colour, corner, turned)
        points = _corners(corner, turned.size, cover.size, degrees)
        ImageDraw.Draw(taken).polygon(points, fill=1)
        if kind in TRUE:
            regions.append(Region(points, text if kind == "text" else IGNORED))
    return _noisy(picture, rng), tuple(regions)


def scenes(seed: int, count: int) -> Iterator[tuple[Image.Image, tuple[Region, ...]]]:
    """The first ``count`` scenes of the set ``seed``, in order, one at a time."""
    return (draw_scene(seed, index) for index in range(count))


def _ground(rng: np.random.Generator) -> Image.Image:
    """A slope of grey with a texture, a tint and some shapes, without noise."""
    slope = rng.integers(*GROUND, size=SLOPES[::-1]).astype(np.uint8)
    rough = rng.integers(128 - ROUGH, 128 + ROUGH + 1, size=TEXTURE[::-1]).astype(np.uint8)
    grey, texture = (
        np.asarray(Image.fromarray(each).resize(SIZE, Image.Resampling.BICUBIC), dtype=np.int16)
        for each in (slope, rough)
    )
    tints = rng.integers(-TINT, TINT + 1, size=3, dtype=np.int16)
    planes = np.clip((grey + texture - 128)[:, :, None] + tints, 0, 255).astype(np.uint8)
    picture = Image.fromarray(planes)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(*SHAPES))):
        left, top, width, height = (int(each) for each in rng.integers((0, 0, 10, 10), (*SIZE, 160, 120)))
        level = int(rng.integers(*GROUND))
        fill = tuple(level + int(tint) for tint in tints)
        if rng.random() < 0.5:
            draw.rectangle((left, top, left + width, top + height), fill=fill)
        else:
            draw.line((left, top, left + width, top - height), fill=fill, width=int(rng.integers(2, 12)))
    return picture


def _cover(text: str, kind: str, rng: np.random.Generator) -> Image.Image:
    """A word's ink upright, 0 to 255, with ``ROOM`` around it."""
    face = font(FONT_SIZES[int(rng.integers(len(FONT_SIZES)))])
    left, top, right, bottom = (int(edge) for edge in face.getbbox(text, stroke_width=BOLD))
    cover = Image.new("L", (right - left + 2 * ROOM, bottom - top + 2 * ROOM))
    draw = ImageDraw.Draw(cover)
    ink = FADED if kind == "faded" else 255
    draw.text((ROOM - left, ROOM - top), text, fill=ink, font=face, stroke_width=BOLD)
    if kind == "struck":
        middle = cover.height // 2
        draw.line((ROOM, middle, cover.width - ROOM, middle), fill=ink, width=cover.height // 6)
    return cover.filter(ImageFilter.GaussianBlur(float(rng.integers(2, 8)) / 10)) if rng.random() < 0.5 else cover


def _colour(kind: str, rng: np.random.Generator) -> tuple[int, int, int]:
    red = int(rng.integers(*BRIGHT))
    blue = red - int(rng.integers(*(LESS_WARM if kind == "pale" else WARM)))
    green = (red + blue) // 2 + int(rng.integers(-TINT, TINT + 1))
    if kind == "cold":
        return blue, green, red
    less = DARKER if kind == "dark" else 0
    return red - less, green - less, max(0, blue - less)


def _free(
    taken: Image.Image, size: tuple[int, int], word: tuple[tuple[int, int], int], rng: np.random.Generator
) -> tuple[int, int] | None:
    """The upper left corner of a place for a turned word, ``APART`` from all others; none where none was found."""
    (width, height), degrees = word
    wanted = Image.new("1", (size[0] + 2 * APART, size[1] + 2 * APART))
    around = _corners((APART, APART), size, (width + 2 * APART, height + 2 * APART), degrees)
    ImageDraw.Draw(wanted).polygon(around, fill=1)
    for _ in range(TRIES):
        x, y = int(rng.integers(SIZE[0] - size[0])), int(rng.integers(SIZE[1] - size[1]))
        there = taken.crop((x - APART, y - APART, x + size[0] + APART, y + size[1] + APART))
        if not ImageChops.logical_and(wanted, there).getbbox():
            return x, y
    return None


def _corners(corner: tuple[int, int], turned: tuple[int, int], size: tuple[int, int], degrees: int) -> Quad:
    """The corners of a turned word of ``size``, whose canvas ``turned`` lies at ``corner``."""
    x, y = corner[0] + turned[0] / 2, corner[1] + turned[1] / 2
    right, down = size[0] / 2, size[1] / 2
    across, along = cos(radians(degrees)), sin(radians(degrees))
    upper_left, upper_right, lower_right, lower_left = (
        (round(x + dx * across + dy * along), round(y - dx * along + dy * across))
        for dx, dy in ((-right, -down), (right, -down), (right, down), (-right, down))
    )
    return upper_left, upper_right, lower_right, lower_left


def _noisy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    noise = int(rng.integers(MOST_NOISE + 1))
    planes = np.asarray(picture, dtype=np.int16)
    planes = planes + rng.integers(-noise, noise + 1, size=planes.shape, dtype=np.int16)
    return Image.fromarray(np.clip(planes, 0, 255).astype(np.uint8))
