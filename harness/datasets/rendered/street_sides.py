"""What stands along a street, each told by its form: houses by windows, walls by courses, fences by their bars.

Along the street a thing lies at ``x`` metres to the right, from ``near`` to ``far`` ahead of the camera.
"""

from __future__ import annotations

from harness.cityscapes import IGNORED
from harness.datasets.rendered.street_view import DARK, LABEL, LEAVES, NEAR, PAINT, PLASTER, View, darker

PANES = ((56, 66, 82), (36, 40, 50), (96, 108, 122))
POSTS = ((132, 134, 138), (84, 88, 92), (168, 168, 164))
BARS = ((46, 52, 50), (176, 176, 172), (112, 84, 60), (70, 92, 76))


def building(view: View, x: float, near: float, far: float) -> None:
    """Floors of windows over a darker foot."""
    height, colour = view.between(6, 16), view.among(PLASTER)
    label = LABEL["building"]
    view.flank(x, (0, near), (height, far), colour, label)
    view.flank(x, (0, near), (0.8, far), darker(colour, 0.8), None)
    glass = view.among(PANES)
    step, tall = view.between(2.2, 3.6), view.between(1.2, 1.9)
    deep = step * view.between(0.4, 0.65)
    z = near + 0.6
    while z + deep < far and z < 42:
        if z + deep > NEAR + 0.5:
            y = 1.3
            while y + tall < height and (y - 1.7) / z < 0.4:
                view.flank(x, (y, max(z, NEAR)), (y + tall, z + deep), glass, None)
                y += 3.0
        z += step


def wall(view: View, x: float, near: float, far: float) -> None:
    """A low one, with a coping and courses."""
    height, colour = view.between(1.9, 3.0), view.among(PLASTER)
    view.flank(x, (0, near), (height, far), colour, LABEL["wall"])
    for course in range(1, int(height / 0.45)):
        view.line((x, course * 0.45, near), (x, course * 0.45, far), 0.02, darker(colour, 0.72))
    view.flank(x, (height - 0.2, near), (height, far), darker(colour, 0.62), None)


def fence(view: View, x: float, near: float, far: float) -> None:
    """Bars and two rails; what lies behind is seen between them."""
    height = view.between(1.6, 2.4)
    colour = view.among(BARS)
    view.flank(x, (0, near), (height, far), None, LABEL["fence"])
    for y in (0.25, height - 0.15):
        view.line((x, y, near), (x, y, far), 0.06, colour)
    z = near
    while z < min(far, 45):
        # So wide that the network can see them: two pixels at least.
        deep = max(0.15, z * z / (85 * abs(x)))
        if z > NEAR:
            view.flank(x, (0, z), (height, min(far, z + deep)), colour, None)
        z += 1.7 * deep


def hedge(view: View, x: float, near: float, far: float) -> None:
    """A low bank of leaves with an uneven top."""
    height, colour = view.between(1.6, 3.2), view.among(LEAVES)
    label = LABEL["vegetation"]
    view.flank(x, (0, near), (height, far), colour, label)
    z = max(near, NEAR)
    while z < min(far, 40):
        size = view.between(0.4, 0.8)
        view.disc((x, height, z), (size, size), darker(colour, view.between(0.8, 1.15)), label)
        z += max(0.8, z * 0.12)


def tree(view: View, x: float, z: float) -> None:
    """A trunk below a crown of blobs."""
    label, colour = LABEL["vegetation"], view.among(LEAVES)
    height = view.between(4.5, 7.5)
    view.line((x, 0, z), (x, height * 0.6, z), 0.35, (74, 60, 48), label)
    for _ in range(9):
        size = view.between(0.7, 1.5)
        centre = x + view.between(-1.4, 1.4), height * view.between(0.55, 1.05), z
        view.disc(centre, (size, size * 0.85), darker(colour, view.between(0.7, 1.2)), label)


def pole(view: View, x: float, z: float, towards: float) -> None:
    """A post with nothing, a lamp, signs or lights on it, which reach ``towards`` the road."""
    label = LABEL["pole"]
    height, colour = view.between(3.4, 5.6), view.among(POSTS)
    kind = int(view.rng.integers(6))
    if kind == 0:
        height *= 1.5
        view.line((x, height, z), (x + towards * 1.6, height, z), 0.2, colour, label)
    view.front((x - 0.17, 0), (x + 0.17, height), z, colour, label)
    if kind in (1, 2):
        _lights(view, x, height, z)
    elif kind in (3, 4, 5):
        _sign(view, x, height, z)


def _lights(view: View, x: float, height: float, z: float) -> None:
    label = LABEL["traffic_light"]
    low = height - 1.5
    view.front((x - 0.36, low), (x + 0.36, height), z, (26, 28, 26), label)
    lit = int(view.rng.integers(3))
    for number, colour in enumerate(((40, 200, 120), (240, 180, 40), (236, 50, 40))):
        view.disc((x, low + 0.3 + 0.45 * number, z), (0.18, 0.18), colour if number == lit else (60, 62, 58))


def _sign(view: View, x: float, height: float, z: float) -> None:
    label = LABEL["traffic_sign"]
    form, size, y = int(view.rng.integers(4)), view.between(0.42, 0.6), height - 0.5
    red, white, blue = (196, 36, 36), (228, 228, 222), (36, 72, 168)
    if form == 0:
        view.disc((x, y, z), (size, size), red, label)
        view.disc((x, y, z), (size * 0.65, size * 0.65), white)
    elif form == 1:
        for part, colour, own in ((1.2, red, label), (0.7, white, None)):
            corners = [(x + dx * size * part, y + dy * size * part, z) for dx, dy in ((-1, -0.7), (1, -0.7), (0, 1))]
            view.shape(corners, colour, own)
    elif form == 2:
        view.front((x - size, y - size), (x + size, y + size), z, blue, label)
        view.front((x - size / 2, y - size / 2), (x + size / 2, y + size / 2), z, white, None)
    else:
        view.front((x - 0.9, y - 0.55), (x + 0.9, y + 0.4), z, (226, 190, 40), label)
        view.front((x - 0.7, y - 0.2), (x + 0.5, y), z, DARK, None)


def litter_bin(view: View, x: float, z: float) -> None:
    """A box that is no class."""
    colour = view.among(PAINT)
    view.front((x - 0.5, 0), (x + 0.5, 1.1), z, colour, IGNORED)
    view.front((x - 0.55, 1.0), (x + 0.55, 1.2), z, DARK, None)
