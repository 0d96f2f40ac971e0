"""Streets in perspective with the class of each pixel: the pictures and truths of the bundled segmentation network.

A street is a pure function of (seed, index). Everything that drives has the same colours, walls those of houses,
grass those of leaves, so that form and place decide; what has no class (the own bonnet, bins, places to park) is 255.
Paint is not smoothed at edges: the labels are those of the very pixels that have the ink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.cityscapes import IGNORED
from harness.datasets.rendered.street_sides import building, fence, hedge, litter_bin, pole, tree, wall
from harness.datasets.rendered.street_traffic import bus, car, cycle, person, train, truck
from harness.datasets.rendered.street_view import LABEL, LEAVES, PLASTER, SIZE, Colour, View, light

FAR = 70.0
"""Metres to the end of the street."""
ALONG = (building, building, building, wall, fence, hedge, wall, fence, fence, None, None)
"""What the street's edge is made of, with equal chance; none is an open place."""
DRIVES = (car, car, car, car, truck, bus, truck, bus)
GRASS = (*LEAVES, (134, 120, 76))
BONNETS = ((36, 38, 42), (110, 112, 116))
TRAM, MARKED, PARKING, BONNET = 0.45, 0.7, 0.3, 0.5
"""Chances of a street to have them."""
STRIP, TREE, BIN, MOTOR, RIDDEN = 0.5, 0.15, 0.35, 0.55, 0.55
"""Chances of a side to have a strip of grass and a bin, of a post to be a tree, of two wheels."""
ROUGH = {"vegetation": 34, "terrain": 20, "building": 9, "wall": 12, "road": 7, "sidewalk": 9, "sky": 2}
"""Grey levels by class; others have ``SMOOTH``."""
SMOOTH = 5

Painted = tuple[float, Callable[[], None]]
"""How far ahead a thing is, and what paints it."""
Sides = tuple[float, float]
"""Metres to the right, of the left and of the right side."""


def draw_street(seed: int, index: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Street ``index`` of the set ``seed``: an RGB picture of 256 x 128, and trainIds (128, 256) with 255."""
    rng = np.random.default_rng((seed, index))
    grey = int(rng.integers(176, 216))
    view = View(rng, int(rng.integers(46, 62)), int(rng.integers(96, 161)), (grey - 8, grey, grey + 8))
    kerbs = -view.between(3.6, 5.6), view.between(3.6, 5.6)
    edges = kerbs[0] - view.between(3.5, 7.0), kerbs[1] + view.between(3.5, 7.0)
    _sky(view)
    _ground(view, kerbs, edges)
    things = [*_along(view, edges), *_beside(view, kerbs, edges), *_driving(view, kerbs)]
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    if rng.random() < BONNET:
        _bonnet(view)
    rough = [SMOOTH] * 256
    for name, levels in ROUGH.items():
        rough[LABEL[name]] = levels
    return light(view.picture, view.labels, rough, rng), np.array(view.labels)


def streets(seed: int, count: int) -> Iterator[tuple[Image.Image, NDArray[np.uint8]]]:
    """The first ``count`` streets of the set ``seed``, in order, one at a time."""
    return (draw_street(seed, index) for index in range(count))


def _sky(view: View) -> None:
    """A slope from blue to haze, and what closes the street."""
    width, horizon = SIZE[0], view.horizon
    top = int(view.rng.integers(84, 140))
    blue: Colour = (top, top + 34, min(255, top + 80))
    for row in range(0, horizon + 2, 2):
        r, g, b = (round(up + (down - up) * row / horizon) for up, down in zip(blue, view.haze, strict=True))
        view.pixels(_block(0, row, width, row + 1), (r, g, b), LABEL["sky"])
    left = 0
    while left < width:
        wide, high = int(view.rng.integers(16, 60)), int(view.rng.integers(2, 16))
        name, colours = ("building", PLASTER) if view.rng.random() < 0.5 else ("vegetation", LEAVES)
        colour = view.shade(view.among(colours), FAR)
        view.pixels(_block(left, horizon - high, left + wide, horizon + 3), colour, LABEL[name])
        left += wide


def _ground(view: View, kerbs: Sides, edges: Sides) -> None:
    """Grass, sidewalks on it, and the road between kerbs."""
    level = int(view.rng.integers(84, 112))
    view.pixels(_block(0, view.horizon + 3, *SIZE), view.among(GRASS), LABEL["terrain"])
    for kerb, edge in zip(kerbs, edges, strict=True):
        # A strip of grass is left between the walk and what stands along it.
        walk = kerb + (edge - kerb) * 0.45 if view.rng.random() < STRIP else edge
        view.ground((kerb, walk), (2, FAR), (level + 52, level + 40, level + 34), LABEL["sidewalk"])
        z = 3.0
        while z < 26:
            view.line((kerb, 0, z), (walk, 0, z), 0.02, (level + 22, level + 14, level + 8))
            z *= 1.18
    view.ground(kerbs, (2, FAR), (level - 4, level, level + 6), LABEL["road"])
    for kerb in kerbs:
        view.line((kerb, 0, 2.2), (kerb, 0, FAR), 0.12, (level + 70, level + 66, level + 62))
    if view.rng.random() < MARKED:
        z = 3 + view.between(0, 3)
        while z < 45:
            view.ground((-0.09, 0.09), (z, z + 2.5), (218, 218, 212), None)
            z += 6
    if view.rng.random() < PARKING:
        kerb = kerbs[int(view.rng.integers(2))]
        z = view.between(5, 12)
        view.ground((kerb, kerb * 0.62), (z, z + 6), (level + 24, level + 6, level + 2), IGNORED)


def _along(view: View, edges: Sides) -> Iterator[Painted]:
    """What stands along both edges, from the camera to the street's end, and trees behind it."""
    for edge in edges:
        near = 1.8
        while near < FAR:
            far = min(FAR, near + view.between(5, 12) * (1 + near / 20))
            paint = ALONG[int(view.rng.integers(len(ALONG)))]
            if paint is not None:
                yield (near + far) / 2, partial(paint, view, edge, near, far)
            if paint is not building and view.rng.random() < 0.5:
                behind = edge * view.between(1.2, 2.0)
                yield far, partial(tree, view, behind, view.between(max(near, 5), far + 4))
            near = far


def _beside(view: View, kerbs: Sides, edges: Sides) -> Iterator[Painted]:
    """Posts, trees, bins and people on the sidewalks."""
    for kerb, edge in zip(kerbs, edges, strict=True):
        wide = edge - kerb
        z = view.between(6, 10)
        while z < 26:
            x = kerb + wide * 0.18
            if view.rng.random() < TREE:
                yield z, partial(tree, view, x, z)
            else:
                yield z, partial(pole, view, x, z, 1 if kerb < 0 else -1)
            z += view.between(4, 10)
        for _ in range(int(view.rng.integers(1, 3))):
            z = view.between(7, 13)
            yield z, partial(person, view, kerb * view.between(1.1, 1.6), z)
        if view.rng.random() < BIN:
            z = view.between(6, 16)
            yield z, partial(litter_bin, view, kerb + wide * 0.75, z)


def _driving(view: View, kerbs: Sides) -> Iterator[Painted]:
    """Two lanes of what drives, at times with a tram, and two wheels by the kerbs."""
    tram = int(view.rng.integers(2)) if view.rng.random() < TRAM else None
    for lane, kerb in enumerate(kerbs):
        x = kerb * 0.48
        z = view.between(7, 16)
        if lane == tram:
            yield z, partial(train, view, x, z)
            continue
        while z < 40:
            paint = DRIVES[int(view.rng.integers(len(DRIVES)))]
            yield z, partial(paint, view, x + view.between(-0.4, 0.4), z)
            z += view.between(11, 22)
    for kerb in kerbs:
        for _ in range(int(view.rng.integers(1, 3))):
            z, motor = view.between(5.5, 11), bool(view.rng.random() < MOTOR)
            x = kerb * view.between(0.65, 0.98)
            yield z, partial(cycle, view, x, z, motor=motor, ridden=bool(view.rng.random() < RIDDEN))


def _bonnet(view: View) -> None:
    """The own car's, which no class is."""
    (width, height), half = SIZE, SIZE[0] / 2
    high = int(view.rng.integers(6, 15))
    rim = [(x, height - high + round(high * ((x - half) / half) ** 2 * 0.7)) for x in range(0, width + 1, 16)]
    view.pixels((*rim, (width, height), (0, height)), view.among(BONNETS), IGNORED)


def _block(left: int, top: int, right: int, bottom: int) -> tuple[tuple[int, int], ...]:
    """The corners of an upright rectangle of pixels, its edges within."""
    return (left, top), (right, top), (right, bottom), (left, bottom)
