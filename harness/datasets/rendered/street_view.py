"""A camera over a street: places in metres to pixels, and paint that goes on a picture and on its labels at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from harness.cityscapes import CLASSES

SIZE = (256, 128)
"""Width and height."""
FOCAL = 190
"""Pixels."""
EYE = 1.7
"""Metres above the road."""
NEAR = 1.6
"""Metres: nothing nearer is painted, so that no pixel lies far outside."""
FAR_AWAY = 110
"""Metres after which as much haze as thing is seen."""

LABEL = {name: number for number, name in enumerate(CLASSES)}

Colour = tuple[int, int, int]
Point = tuple[int, int]
Place = tuple[float, float, float]
"""Metres to the right of the camera, above the road, and ahead."""

DARK: Colour = (38, 40, 44)
LEAVES: tuple[Colour, ...] = ((74, 104, 52), (58, 92, 48), (92, 112, 60), (104, 96, 48))
PLASTER: tuple[Colour, ...] = (
    (164, 148, 128),
    (142, 120, 104),
    (150, 98, 80),
    (176, 168, 154),
    (120, 112, 108),
    (168, 136, 96),
)
"""Of houses and of walls."""
PAINT: tuple[Colour, ...] = (
    (36, 40, 48),
    (196, 198, 200),
    (128, 132, 138),
    (150, 32, 30),
    (34, 62, 118),
    (44, 84, 66),
    (178, 150, 60),
    (98, 66, 50),
)
"""Of everything that drives, so that colour does not say what it is."""


@dataclass
class View:
    """A picture and its labels while they are painted, from the back to the front, as ``rng`` decides."""

    rng: np.random.Generator
    horizon: int
    vanishing: int
    haze: Colour
    picture: Image.Image = field(default_factory=lambda: Image.new("RGB", SIZE))
    labels: Image.Image = field(default_factory=lambda: Image.new("L", SIZE))

    def __post_init__(self) -> None:
        self._ink = ImageDraw.Draw(self.picture)
        self._class = ImageDraw.Draw(self.labels)

    def between(self, low: float, high: float) -> float:
        """A number of two decimals."""
        return float(self.rng.integers(round(low * 100), round(high * 100))) / 100

    def among(self, colours: Sequence[Colour]) -> Colour:
        """One of the colours, a little lighter or darker."""
        red, green, blue = colours[int(self.rng.integers(len(colours)))]
        more = int(self.rng.integers(-14, 15))
        return max(0, red + more), max(0, green + more), max(0, blue + more)

    def at(self, place: Place) -> Point:
        """The pixel of a place."""
        x, y, z = place
        scale = FOCAL / max(z, NEAR)
        return round(self.vanishing + x * scale), round(self.horizon + (EYE - y) * scale)

    def shade(self, colour: Colour, ahead: float) -> Colour:
        """A colour as it looks through the haze."""
        part = min(0.8, ahead / (ahead + FAR_AWAY))
        (red, green, blue), haze = colour, self.haze
        return (
            round(red + (haze[0] - red) * part),
            round(green + (haze[1] - green) * part),
            round(blue + (haze[2] - blue) * part),
        )

    def pixels(self, points: Sequence[Point], colour: Colour | None, label: int | None = None) -> None:
        """Fills a polygon of pixels; without a colour only its labels, without a label only its ink."""
        if colour is not None:
            self._ink.polygon(points, colour)
        if label is not None:
            self._class.polygon(points, label)

    def shape(self, places: Iterable[Place], colour: Colour | None, label: int | None = None) -> None:
        """Fills a polygon of places, as hazy as its last."""
        every = list(places)
        self.pixels([self.at(each) for each in every], colour and self.shade(colour, every[-1][2]), label)

    def front(
        self, low: tuple[float, float], high: tuple[float, float], z: float, colour: Colour | None, label: int | None
    ) -> None:
        """Fills an upright rectangle that faces the camera, from one corner (x, y) to the other."""
        (x0, y0), (x1, y1) = low, high
        self.shape(((x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)), colour, label)

    def flank(
        self, x: float, low: tuple[float, float], high: tuple[float, float], colour: Colour | None, label: int | None
    ) -> None:
        """Fills an upright rectangle along the street, from one corner (y, z) to the other."""
        (y0, z0), (y1, z1) = low, high
        self.shape(((x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)), colour, label)

    def ground(
        self, across: tuple[float, float], along: tuple[float, float], colour: Colour | None, label: int | None
    ) -> None:
        """Fills a strip of the ground, from left to right and from near to far."""
        (left, right), (near, far) = across, along
        self.shape(((left, 0, near), (right, 0, near), (right, 0, far), (left, 0, far)), colour, label)

    def disc(self, centre: Place, radii: tuple[float, float], colour: Colour | None, label: int | None = None) -> None:
        """Fills an ellipse of radii in metres, across and up."""
        box = self._box(centre, radii)
        if colour is not None:
            self._ink.ellipse(box, self.shade(colour, centre[2]))
        if label is not None:
            self._class.ellipse(box, label)

    def ring(self, centre: Place, radii: tuple[float, float], width: float, colour: Colour) -> None:
        """Draws the rim of an ellipse, without a label."""
        wide = max(1, round(width * FOCAL / centre[2]))
        self._ink.ellipse(self._box(centre, radii), outline=self.shade(colour, centre[2]), width=wide)

    def line(self, start: Place, end: Place, width: float, colour: Colour, label: int | None = None) -> None:
        """Draws a line of a width in metres, as its nearer end has it."""
        near = min(start[2], end[2])
        wide = max(1, round(width * FOCAL / max(near, NEAR)))
        points = [self.at(start), self.at(end)]
        self._ink.line(points, self.shade(colour, near), wide)
        if label is not None:
            self._class.line(points, label, wide)

    def _box(self, centre: Place, radii: tuple[float, float]) -> tuple[int, int, int, int]:
        x, y, z = centre
        left, top = self.at((x - radii[0], y + radii[1], z))
        right, bottom = self.at((x + radii[0], y - radii[1], z))
        return left, top, max(left, right), max(top, bottom)


def darker(colour: Colour, part: float) -> Colour:
    """The colour times a part, which may be above 1."""
    red, green, blue = (min(255, round(each * part)) for each in colour)
    return red, green, blue


def light(picture: Image.Image, labels: Image.Image, rough: Sequence[int], rng: np.random.Generator) -> Image.Image:
    """The picture under a light of its own, with the roughness that each class has, and noise.

    ``rough`` is in grey levels by label, 256 of them. In integers, so that it is the same on any machine.
    """
    width, height = picture.size
    lift, steps = int(rng.integers(-8, 17)), np.arange(256)
    gains = rng.integers(205, 300) + rng.integers(-14, 15, size=3)
    tables = [np.clip(steps * gain // 256 + lift, 0, 255).tolist() for gain in gains]
    lit = np.asarray(picture.point([level for table in tables for level in table])).astype(np.int16)
    grain = rng.integers(-64, 65, size=(height, width), dtype=np.int8).astype(np.int16)
    coarse = rng.integers(64, 193, size=(height // 3, width // 3), dtype=np.uint8)
    blotches = np.asarray(Image.fromarray(coarse).resize(picture.size, Image.Resampling.BILINEAR), dtype=np.int16)
    amplitude = np.array(rough, dtype=np.int16)[np.asarray(labels)]
    lit += ((grain + 2 * (blotches - 128)) * amplitude >> 7)[..., None]
    noise = int(rng.integers(1, 8))
    lit += rng.integers(-noise, noise + 1, size=lit.shape, dtype=np.int8)
    return Image.fromarray(np.clip(lit, 0, 255, out=lit).astype(np.uint8))
