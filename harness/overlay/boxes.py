"""Places in a picture: what was found drawn over it, beside what is there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from harness.boxes import Quad, read_boxes, read_truth
from harness.overlay.sheet import FONT, LONGEST, encoded, opened

LEGEND = 26
"""Rows below the picture, so that the legend covers none of it."""
SMALL = ImageFont.load_default(10)

Corner = tuple[float, float]


@dataclass(frozen=True)
class Stroke:
    """How places of a kind are drawn: told apart by colour (also by those who see few), by width and by gaps."""

    name: str
    colour: str
    width: int
    dash: float
    gap: float


IGNORED = Stroke("ignored", "#d0d0d0", 2, 3, 5)
TRUTH = Stroke("truth", "#00e0ff", 3, math.inf, 0)
FOUND = Stroke("found", "#ffb000", 2, 8, 6)


def overlay(content: bytes, predicted: str, truth: str) -> bytes:
    """A JPEG of a picture with boxes found (with their scores), places told and ignored ones, and a legend below.

    ``predicted`` and ``truth`` are lines as ``harness.boxes`` writes them. The picture is at most ``LONGEST`` pixels
    long. Raises ``ValueError`` where the picture or a line cannot be read.
    """
    picture, scale = _shrunk(opened(content))
    regions, boxes = read_truth(truth), read_boxes(predicted)
    # What was found comes last: it is what one looks for.
    drawn: list[tuple[Stroke, Sequence[tuple[Quad, str]]]] = [
        (IGNORED, [(region.points, "") for region in regions if region.ignored]),
        (TRUTH, [(region.points, "") for region in regions if not region.ignored]),
        (FOUND, [(box.points, f"{box.score:.2f}") for box in boxes]),
    ]
    canvas = Image.new("RGB", (picture.width, picture.height + LEGEND), "black")
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)
    for stroke, places in drawn:
        for points, label in places:
            corners = [(x * scale, y * scale) for x, y in points]
            _outline(draw, corners, stroke)
            # Beside it: above and below there often is another line of text.
            beside = max(corners)[0] + 3, sum(y for _, y in corners) / 4
            draw.text(beside, label, stroke.colour, SMALL, anchor="lm", stroke_width=1, stroke_fill="black")
    draw.rectangle((0, picture.height, *canvas.size), "black")
    _legend(draw, picture.height, [(stroke, len(places)) for stroke, places in drawn])
    return encoded(canvas)


def _shrunk(image: Image.Image) -> tuple[Image.Image, float]:
    """The picture, at most ``LONGEST`` long, and what its sides were multiplied by."""
    scale = min(1.0, LONGEST / max(image.size))
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale)))), scale


def _outline(draw: ImageDraw.ImageDraw, corners: Sequence[Corner], stroke: Stroke) -> None:
    for start, end in pairwise([*corners, corners[0]]):
        for piece in _pieces(start, end, stroke):
            # Dark below, so that it is seen on any ground.
            draw.line(piece, "black", stroke.width + 2)
            draw.line(piece, stroke.colour, stroke.width)


def _pieces(start: Corner, end: Corner, stroke: Stroke) -> Iterator[tuple[Corner, Corner]]:
    """The dashes between two corners."""
    length = math.dist(start, end)
    begin = 0.0
    while begin < length:
        until = min(begin + stroke.dash, length)
        yield _between(start, end, begin / length), _between(start, end, until / length)
        begin = until + stroke.gap


def _between(start: Corner, end: Corner, share: float) -> Corner:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _legend(draw: ImageDraw.ImageDraw, top: int, kinds: Sequence[tuple[Stroke, int]]) -> None:
    """A sample of each stroke, its name, and how many there are."""
    left, middle = 8.0, top + LEGEND / 2
    for stroke, count in kinds:
        for piece in _pieces((left, middle), (left + 28, middle), stroke):
            draw.line(piece, stroke.colour, stroke.width)
        text = f"{stroke.name} {count}"
        draw.text((left + 34, middle), text, "white", FONT, anchor="lm")
        left += 34 + draw.textlength(text, FONT) + 18
