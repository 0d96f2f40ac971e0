"""Words on curved and tilted lines, in colour: the pictures and labels of the bundled rectifying recogniser.

A sample is a pure function of (seed, index): 3 to 6 characters of 0-9a-z in lower or upper case, whose upper and lower
edge run straight, tilted, along an arc, or apart from each other. So that accuracy can see the faults of decoding and
of preprocessing, some words carry a mark. A *ghost* is another word in the red plane behind the one in the blue plane
(a network that is fed RGB for BGR reads it). A *dash* is drawn between two characters and is no part of the label: the
network learns to say ``eos`` there, which a decoder must drop and go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from harness.datasets.rendered.words import CHARACTERS, font

REVISION = 1

Shape = Literal["flat", "tilted", "arc", "perspective"]
Mark = Literal["none", "ghost", "dash"]
FONT_SIZES = (26, 30, 34, 38)
ROOM = 3
"""Pixels between the glyphs and the edges that the fiducials lie on."""
BORDER = (1, 8)
"""Pixels around the edges, from and below."""
STRIP = 4
"""Width in pixels of the strips that a word is warped in."""
TILT = (0.15, 0.45)
"""How far a tilted word rises over its length, in parts of its height, doubled for words of two heights and more."""
RISE = (0.3, 0.8)
NARROWER = (0.2, 0.5)
"""How far an end, or the middle, is off in parts of the word's height."""
CONTRAST = (70, 150)
TINT = 20
MOST_NOISE = 8
DASH = "-"
CASED = CHARACTERS + CHARACTERS[10:].upper()


@dataclass(frozen=True)
class Manner:
    """How words are drawn: each choice with equal chance. Lessons begin with easier manners.

    ``dark`` ink is on lighter paper always. ``cased`` words mix both cases, and stand on a line as high as the whole
    alphabet, without which ``c`` and ``C`` look the same; other words are of one case, and fill the height.
    """

    lengths: tuple[int, int]
    shapes: tuple[Shape, ...]
    marks: tuple[Mark, ...]
    dark: bool = False
    cased: bool = False


FULL = Manner(
    lengths=(3, 6),
    shapes=("flat",) * 4 + ("tilted",) * 5 + ("arc",) * 6 + ("perspective",) * 5,
    marks=("none",) * 11 + ("ghost",) * 5 + ("dash",) * 4,
)
LINES = Manner(
    lengths=(3, 6),
    shapes=("flat",) * 3 + ("tilted", "perspective"),
    marks=("none",) * 3 + ("ghost",),
    cased=True,
)


@dataclass(frozen=True)
class CurvedWord:
    """One sample, and what lessons know of it beyond its label.

    ``edges`` are 20 x 2 points as (x, y) in pixels of the picture, 10 along the upper edge, 10 along the lower one.
    ``glyphs`` are the drawn characters with where each begins and ends, in parts of the length of the edges.
    """

    picture: Image.Image
    label: str
    edges: NDArray[np.float64]
    glyphs: tuple[tuple[str, float, float], ...]


def draw_curved(seed: int, index: int, manner: Manner = FULL) -> CurvedWord:
    """Sample ``index`` of the set ``seed``: an RGB picture of its natural size."""
    rng = np.random.default_rng((seed, index))
    shape = manner.shapes[int(rng.integers(len(manner.shapes)))]
    mark = manner.marks[int(rng.integers(len(manner.marks)))]
    label = _spell(rng, manner)
    drawn = label
    if mark == "dash":
        place = int(rng.integers(1, len(label)))
        drawn = label[:place] + DASH + label[place:]
    flat, glyphs = _flat(drawn, FONT_SIZES[int(rng.integers(len(FONT_SIZES)))], manner)
    edges = _edges(shape, flat.width, flat.height, rng)
    cover = _warped(flat, edges)
    if rng.random() < 0.5:
        cover = cover.filter(ImageFilter.GaussianBlur(float(rng.integers(2, 8)) / 10))
    ghost = None
    if mark == "ghost":
        other, _ = _flat(_spell(rng, manner), FONT_SIZES[0], manner)
        ghost = _warped(other.resize(flat.size, Image.Resampling.BILINEAR), edges)
    picture = _coloured(cover, ghost, rng, dark=manner.dark)
    places = np.linspace(0, flat.width, 10)
    points = np.concatenate(
        [np.stack([places + edges.left, np.interp(places, edges.x, y)], axis=1) for y in (edges.upper, edges.lower)]
    )
    return CurvedWord(picture, label, points, glyphs)


def curved_words(seed: int, count: int, manner: Manner = FULL) -> Iterator[tuple[Image.Image, str]]:
    """The first ``count`` samples of the set ``seed``, in order, one at a time."""
    words = (draw_curved(seed, index, manner) for index in range(count))
    return ((word.picture, word.label) for word in words)


@dataclass(frozen=True)
class _Edges:
    """Heights of the upper and lower edge at places ``x`` along a flat word, on a canvas of ``size``."""

    x: NDArray[np.float64]
    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    left: int
    size: tuple[int, int]


def _spell(rng: np.random.Generator, manner: Manner) -> str:
    length = int(rng.integers(manner.lengths[0], manner.lengths[1] + 1))
    characters = CASED if manner.cased else CHARACTERS
    text = "".join(characters[i] for i in rng.integers(len(characters), size=length))
    return text.upper() if not manner.cased and rng.random() < 0.5 else text


def _flat(text: str, size: int, manner: Manner) -> tuple[Image.Image, tuple[tuple[str, float, float], ...]]:
    """A word's cover on a straight line with ``ROOM`` around it, and where its glyphs lie."""
    face = font(size)
    left, top, right, bottom = (int(edge) for edge in face.getbbox(text))
    if manner.cased:
        _, top, _, bottom = (int(edge) for edge in face.getbbox(CASED))
    width = right - left + 2 * ROOM
    mask = Image.new("L", (width, bottom - top + 2 * ROOM))
    ImageDraw.Draw(mask).text((ROOM - left, ROOM - top), text, fill=255, font=face)
    ends = [(face.getlength(text[:count]) - left + ROOM) / width for count in range(len(text) + 1)]
    return mask, tuple(zip(text, ends, ends[1:], strict=False))


def _edges(shape: Shape, width: int, height: int, rng: np.random.Generator) -> _Edges:
    """Where the edges of a word of such a shape run."""
    along = np.append(np.arange(0, width, STRIP), width).astype(np.float64)
    part = along / width
    way = 1.0 if rng.random() < 0.5 else -1.0
    amount = float(rng.integers(0, 101)) / 100
    middle, tall = np.zeros_like(part), np.ones_like(part)
    if shape == "tilted":
        middle = way * _between(TILT, amount) * min(2.0, width / height) * (part - 0.5)
    elif shape == "arc":
        middle = way * _between(RISE, amount) * (2 * part - 1) ** 2
    elif shape == "perspective":
        tall = 1 - _between(NARROWER, amount) * (part if way > 0 else 1 - part)
    upper, lower = (middle - tall / 2) * height, (middle + tall / 2) * height
    borders = [int(border) for border in rng.integers(*BORDER, size=4)]
    highest, lowest = float(upper.min()), float(lower.max())
    size = (width + borders[0] + borders[1], int(np.ceil(lowest - highest)) + borders[2] + borders[3])
    return _Edges(along, upper - highest + borders[2], lower - highest + borders[2], borders[0], size)


def _between(limits: tuple[float, float], amount: float) -> float:
    """A number within limits, from one in [0, 1]."""
    return limits[0] + (limits[1] - limits[0]) * amount


def _warped(flat: Image.Image, edges: _Edges) -> Image.Image:
    """A flat word with its edges bent: every strip is a quadrilateral of the flat word."""
    width, height = edges.size
    mesh = []
    for index in range(len(edges.x) - 1):
        corners: list[float] = []
        for end, rows in ((index, (0, height)), (index + 1, (height, 0))):
            tall = edges.lower[end] - edges.upper[end]
            for row in rows:
                corners += [float(edges.x[end]), float((row - edges.upper[end]) / tall * flat.height)]
        box = (int(edges.x[index]) + edges.left, 0, int(edges.x[index + 1]) + edges.left, height)
        mesh.append((box, tuple(corners)))
    bent = Image.new("L", (width, height))
    bent.paste(flat.transform((width, height), Image.Transform.MESH, mesh, resample=Image.Resampling.BILINEAR))
    return bent


def _coloured(cover: Image.Image, ghost: Image.Image | None, rng: np.random.Generator, *, dark: bool) -> Image.Image:
    """Ink on paper with a tint and noise; with a ghost the word in the blue plane alone and the ghost in the red."""
    ink_is_dark = dark or rng.random() < 0.5
    contrast = int(rng.integers(*CONTRAST))
    paper = int(rng.integers(contrast + TINT, 256 - TINT)) if ink_is_dark else int(rng.integers(TINT, 236 - contrast))
    ink = paper - contrast if ink_is_dark else paper + contrast
    letters = np.asarray(cover, dtype=np.int32)
    planes = np.empty((3, *letters.shape), dtype=np.int32)
    others = letters if ghost is None else np.asarray(ghost, dtype=np.int32)
    green = letters if ghost is None else np.zeros_like(letters)
    for plane, inked in enumerate((others, green, letters)):
        tints = rng.integers(-TINT, TINT + 1, size=2)
        below, above = paper + int(tints[0]), ink + int(tints[1])
        planes[plane] = below + (above - below) * inked // 255
    noise = int(rng.integers(MOST_NOISE + 1))
    planes += rng.integers(-noise, noise + 1, size=planes.shape)
    pixels = np.clip(planes, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(pixels))
