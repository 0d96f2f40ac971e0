"""Who drives and walks in a street, at ``x`` metres to the right and ``z`` ahead, each told by its form.

A tram is told by its rails and its length, a truck by having no windows in its flank, a rider by what is ridden.
"""

from __future__ import annotations

from itertools import pairwise
from math import copysign

from harness.datasets.rendered.street_view import DARK, LABEL, PAINT, Colour, View, darker

GLASS, TYRE, SKIN, METAL = (52, 64, 80), (24, 24, 26), (206, 160, 132), (132, 134, 138)
REAR, HEAD, PALE = (200, 34, 30), (240, 236, 214), (214, 212, 204)
CLOTHES = (*PAINT, (110, 44, 92), (210, 120, 50), (60, 110, 150))
RIDING = ((40, 44, 60), (60, 56, 50), (34, 34, 36))
WALKING = (*RIDING, (120, 104, 84))
HAIR = ((40, 30, 24), (96, 70, 44), (170, 150, 120))


def _box(
    view: View, place: tuple[float, float], size: tuple[float, float, float], colour: Colour, label: int
) -> float | None:
    """A body's rear and the flank that is seen; returns where the flank lies, and none where there is none."""
    (x, z), (width, height, length) = place, size
    low = 0.25
    side = x - width / 2 if x > width / 2 else x + width / 2 if x < -width / 2 else None
    if side is not None:
        view.flank(side, (low, z), (height, z + length), darker(colour, 0.72), label)
    view.front((x - width / 2, low), (x + width / 2, height), z, colour, label)
    return side


def _wheels(view: View, x: float, z: float, width: float, label: int) -> None:
    for edge in (-1, 1):
        centre = x + edge * (width / 2 - 0.2)
        view.front((centre - 0.14, 0), (centre + 0.14, 0.35), z, TYRE, label)


def _shadow(view: View, x: float, z: float, width: float, length: float) -> None:
    half = width / 2 + 0.15
    view.ground((x - half, x + half), (z - 0.15, z + length), (40, 41, 44), None)


def car(view: View, x: float, z: float) -> None:
    """A low body with a narrower cabin."""
    label, colour = LABEL["car"], view.among(PAINT)
    _shadow(view, x, z, 1.8, 4)
    side = _box(view, (x, z), (1.8, 0.95, 4.2), colour, label)
    _wheels(view, x, z, 1.8, label)
    if side is not None:
        for ahead in (0.8, 3.2):
            view.disc((side, 0.33, z + ahead), (0.1 + 0.2 * abs(x) / z, 0.33), TYRE, label)
        top = side + copysign(0.15, side)
        corners = ((side, 0.95, z + 0.2), (top, 1.5, z + 0.8), (top, 1.5, z + 2.6), (side, 0.95, z + 3.4))
        view.shape(corners, GLASS, label)
    cabin = ((x - 0.85, 0.95, z), (x - 0.62, 1.52, z), (x + 0.62, 1.52, z), (x + 0.85, 0.95, z))
    view.shape(cabin, colour, label)
    pane = ((x - 0.68, 0.98, z), (x - 0.5, 1.42, z), (x + 0.5, 1.42, z), (x + 0.68, 0.98, z))
    view.shape(pane, GLASS)
    lamps = REAR if view.rng.random() < 0.6 else HEAD
    for edge in (-0.72, 0.72):
        view.front((x + edge - 0.16, 0.6), (x + edge + 0.16, 0.82), z, lamps, None)
    view.front((x - 0.26, 0.42), (x + 0.26, 0.55), z, (226, 226, 220), None)


def truck(view: View, x: float, z: float) -> None:
    """A plain high box on wheels; where it comes, a cab in front of the box."""
    label, colour = LABEL["truck"], view.among(PAINT)
    height = view.between(3.0, 3.7)
    _shadow(view, x, z, 2.5, 7)
    if view.rng.random() < 0.5:
        side = _box(view, (x, z + 2), (2.5, height, 6), colour, label)
        cab = view.among(PAINT)
        _box(view, (x, z), (2.3, 2.6, 1.8), cab, label)
        view.front((x - 1.0, 1.5), (x + 1.0, 2.35), z, GLASS, None)
        view.front((x - 0.7, 0.6), (x + 0.7, 1.1), z, DARK, None)
        lamps = HEAD
    else:
        side = _box(view, (x, z), (2.5, height, 7.5), colour, label)
        view.front((x - 1.25, 0.25), (x + 1.25, 0.85), z, DARK, None)
        view.line((x, 0.85, z), (x, height, z), 0.08, darker(colour, 0.5))
        for edge in (-0.6, 0.6):
            view.line((x + edge, 0.85, z), (x + edge, height, z), 0.04, darker(colour, 0.6))
        lamps = REAR
    for edge in (-1.0, 1.0):
        view.front((x + edge - 0.16, 0.55), (x + edge + 0.16, 0.75), z, lamps, None)
    _wheels(view, x, z, 2.5, label)
    if side is not None:
        view.flank(side, (0.25, z + 2), (0.9, z + 7), DARK, None)


def bus(view: View, x: float, z: float) -> None:
    """One colour, a row of wide panes along the flank, a large one at the end with a sign above it."""
    label, colour = LABEL["bus"], view.among(PAINT)
    _shadow(view, x, z, 2.5, 11)
    side = _box(view, (x, z), (2.5, 3.1, 11), colour, label)
    if side is not None:
        for number in range(6):
            view.flank(side, (1.3, z + 0.5 + 1.75 * number), (2.4, z + 1.9 + 1.75 * number), GLASS, None)
    view.front((x - 1.1, 1.2), (x + 1.1, 2.45), z, GLASS, None)
    view.front((x - 0.8, 2.6), (x + 0.8, 2.95), z, DARK, None)
    view.front((x - 0.6, 2.68), (x + 0.3, 2.87), z, (250, 170, 60), None)
    for edge in (-1.0, 1.0):
        view.front((x + edge - 0.14, 0.5), (x + edge + 0.14, 0.85), z, REAR, None)
    _wheels(view, x, z, 2.5, label)


def train(view: View, x: float, z: float) -> None:
    """A tram: long, on rails, white above its windows and coloured below, narrower at the top."""
    label, colour = LABEL["train"], view.among(PAINT)
    length = 28.0
    for rail in (-0.72, 0.72):
        view.line((x + rail, 0, 2.2), (x + rail, 0, z), 0.05, (150, 146, 140))
    side = _box(view, (x, z), (2.4, 3.5, length), colour, label)
    if side is not None:
        view.flank(side, (1.2, z), (3.5, z + length), darker(PALE, 0.8), None)
        for number in range(8):
            view.flank(side, (1.4, z + 0.6 + 3.4 * number), (2.5, z + 3.4 + 3.4 * number), GLASS, None)
    nose = ((x - 1.2, 2.2, z), (x - 0.8, 3.5, z), (x + 0.8, 3.5, z), (x + 1.2, 2.2, z))
    view.front((x - 1.2, 1.2), (x + 1.2, 2.2), z, PALE, None)
    view.shape(nose, PALE)
    pane = ((x - 1.0, 1.4, z), (x - 0.85, 2.6, z), (x + 0.85, 2.6, z), (x + 1.0, 1.4, z))
    view.shape(pane, GLASS)
    view.disc((x, 0.75, z), (0.2, 0.2), HEAD)
    view.front((x - 1.2, 0.0), (x + 1.2, 0.3), z, DARK, label)
    view.line((x, 3.5, z + 1), (x - 0.5, 4.6, z + 1), 0.05, DARK)


def cycle(view: View, x: float, z: float, *, motor: bool, ridden: bool) -> None:
    """A bicycle or a motorcycle, seen from the side or from behind, with or without a rider."""
    if view.rng.random() < 0.55:
        _cycle_side(view, x, z, motor)
    else:
        _cycle_rear(view, x, z, motor)
    if ridden:
        _rider(view, x, z)


def _cycle_side(view: View, x: float, z: float, motor: bool) -> None:
    label = LABEL["motorcycle" if motor else "bicycle"]
    colour, facing = view.among(PAINT), 1 if view.rng.random() < 0.5 else -1
    wheel, apart = (0.36, 0.72) if motor else (0.37, 0.58)
    for edge in (-1, 1):
        centre = x + edge * apart, wheel, z
        view.disc(centre, (wheel, wheel), TYRE if motor else None, label)
        if motor:
            view.disc(centre, (0.16, 0.16), METAL)
        else:
            view.ring(centre, (wheel, wheel), 0.07, TYRE)
    if motor:
        body = ((-0.95, 0.85), (-0.6, 0.4), (0.45, 0.35), (0.75, 0.85), (0.5, 1.15), (0.1, 0.95))
        view.shape([(x + dx * facing, dy, z) for dx, dy in body], colour, label)
        view.line((x - 0.5 * facing, 0.35, z), (x + 0.3 * facing, 0.4, z), 0.22, DARK, label)
        view.line((x - 0.85 * facing, 0.9, z), (x + 0.05 * facing, 0.92, z), 0.14, DARK, label)
    else:
        frame = ((-0.58, 0.37), (-0.2, 0.9), (0.4, 0.9), (-0.05, 0.35), (-0.2, 0.9), (0.4, 0.9), (0.58, 0.37))
        points = [(x + dx * facing, dy, z) for dx, dy in frame]
        view.shape(points[:4], None, label)
        for start, end in pairwise(points):
            view.line(start, end, 0.07, colour, label)
        view.line((x + 0.3 * facing, 1.05, z), (x + 0.5 * facing, 1.05, z), 0.08, DARK, label)


def _cycle_rear(view: View, x: float, z: float, motor: bool) -> None:
    label = LABEL["motorcycle" if motor else "bicycle"]
    if motor:
        view.front((x - 0.17, 0), (x + 0.17, 0.7), z, TYRE, label)
        back = ((x - 0.5, 0.4, z), (x - 0.36, 1.0, z), (x + 0.36, 1.0, z), (x + 0.5, 0.4, z))
        view.shape(back, view.among(PAINT), label)
        view.front((x - 0.15, 0.72), (x + 0.15, 0.88), z, REAR, None)
        view.line((x - 0.45, 1.08, z), (x + 0.45, 1.08, z), 0.12, DARK, label)
    else:
        view.front((x - 0.06, 0), (x + 0.06, 0.72), z, TYRE, label)
        view.line((x, 0.7, z), (x, 1.0, z), 0.14, view.among(PAINT), label)
        view.line((x - 0.32, 1.02, z), (x + 0.32, 1.02, z), 0.09, DARK, label)


def _rider(view: View, x: float, z: float) -> None:
    """Sits over the wheels: knees bent, a helmet."""
    label = LABEL["rider"]
    cloth, legs = view.among(CLOTHES), view.among(RIDING)
    for edge in (-1, 1):
        view.line((x + edge * 0.16, 0.95, z), (x + edge * 0.3, 0.6, z), 0.22, legs, label)
        view.line((x + edge * 0.3, 0.62, z), (x + edge * 0.18, 0.25, z), 0.18, legs, label)
    torso = ((x - 0.24, 0.85, z), (x - 0.36, 1.5, z), (x + 0.36, 1.5, z), (x + 0.24, 0.85, z))
    view.shape(torso, cloth, label)
    for edge in (-1, 1):
        view.line((x + edge * 0.34, 1.45, z), (x + edge * 0.46, 1.08, z), 0.15, darker(cloth, 0.85), label)
    view.disc((x, 1.68, z), (0.16, 0.18), SKIN, label)
    top = [(x + dx, 1.7 + dy, z) for dx, dy in ((0.2, 0), (0.14, 0.14), (0, 0.2), (-0.14, 0.14), (-0.2, 0))]
    view.shape(top, view.among(CLOTHES), label)


def person(view: View, x: float, z: float) -> None:
    """Stands on two straight legs, bareheaded."""
    label = LABEL["person"]
    tall = view.between(0.92, 1.1)
    cloth, legs = view.among(CLOTHES), view.among(WALKING)
    stride = view.between(0.1, 0.28)
    for edge in (-1, 1):
        view.line((x + edge * 0.11, 0.9 * tall, z), (x + edge * stride, 0, z), 0.22, legs, label)
    view.front((x - 0.27, 0.8 * tall), (x + 0.27, 1.46 * tall), z, cloth, label)
    for edge in (-1, 1):
        arm = (x + edge * 0.31, 1.42 * tall, z), (x + edge * 0.36, 0.82 * tall, z)
        view.line(*arm, 0.14, darker(cloth, 0.85), label)
    view.disc((x, 1.63 * tall, z), (0.16, 0.19), SKIN, label)
    view.disc((x, 1.74 * tall, z), (0.17, 0.1), view.among(HAIR), label)
