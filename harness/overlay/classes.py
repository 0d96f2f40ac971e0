"""The class of each pixel: what was answered, what is true and where they differ, each over the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from harness.cityscapes import CLASSES, IGNORED, PALETTE
from harness.overlay.sheet import FONT, encoded, opened

PANEL = 560
"""Pixels of a panel's long side: with captions and a full legend a sheet stays within ``LONGEST``."""
CELL = 256
"""Pixels across that a panel has at least, so that its caption fits."""
CAPTION = 20
"""Rows above a panel."""
COLUMN, ROW = 128, 20
"""Of the legend."""
STRIPES, STRIPE = (70, 190), 4
"""Of what is not counted, since classes are grey too: two greys in turn, and how many pixels each is wide."""
WRONG = (255, 0, 140)
PAINTED, LOUD, FAINT = 0.6, 0.85, 0.75
"""Parts of colour over the picture in grey: of a class, of what is wrong, and elsewhere of black or stripes."""

Colours = NDArray[np.float32]
"""Rows x columns x RGB."""


def overlay(content: bytes, predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> bytes:
    """A JPEG with four panels over a legend: the answer, the truth, what is wrong, and the picture as it is.

    ``predicted`` and ``truth`` are trainIds as height x width of the picture, 255 in the truth where none counts.
    Raises ``ValueError`` where the three sizes differ, a value is no class, or the picture cannot be read.
    """
    picture = opened(content)
    _check(picture, predicted, truth)
    counted = truth != IGNORED
    wrong = counted & (predicted != truth)
    scale = PANEL / max(picture.size)
    shown = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    answer, told, missed = (_stretched(each, shown.size) for each in (predicted, truth, wrong))
    panels = (
        ("answer", _over(shown, _colours(answer), PAINTED)),
        ("truth", _over(shown, _colours(told), PAINTED)),
        (_share(int(wrong.sum()), int(counted.sum())), _faults(shown, missed == 1, told == IGNORED)),
        ("picture", shown),
    )
    return encoded(_sheet(panels, np.union1d(predicted, truth).tolist()))


def _check(picture: Image.Image, predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    size = picture.height, picture.width
    if not predicted.shape == truth.shape == size:
        raise ValueError(
            f"the answer is {_sides(predicted.shape)}, the truth {_sides(truth.shape)}, the picture {_sides(size)}, as "
            "height x width; expected one size, so bring the answer to that of the picture"
        )
    for what, values, more in (("answer", predicted, ()), ("truth", truth, (IGNORED,))):
        if others := np.setdiff1d(values, [*range(len(CLASSES)), *more]).tolist():
            raise ValueError(
                f"the {what} holds {others[0]}, which is no class; expected trainIds 0 to {len(CLASSES) - 1}"
            )


def _stretched(values: NDArray[np.uint8] | NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Values brought to a size, none of them mixed."""
    return np.asarray(Image.fromarray(values.astype(np.uint8)).resize(size, Image.Resampling.NEAREST))


def _colours(classes: NDArray[np.uint8]) -> Colours:
    """The palette's, and stripes where no class counts."""
    table = np.zeros((256, 3), dtype=np.float32)
    table[: len(PALETTE)] = PALETTE
    return np.where((classes == IGNORED)[..., None], _stripes(classes.shape), table[classes])


def _stripes(shape: tuple[int, ...]) -> Colours:
    """From lower left to upper right."""
    rows, columns = np.indices(shape)
    found: Colours = np.array(STRIPES, dtype=np.float32)[(rows + columns) // STRIPE % 2][..., None]
    return found


def _faults(shown: Image.Image, wrong: NDArray[np.bool_], ignored: NDArray[np.bool_]) -> Image.Image:
    """What is wrong, loud over a faint picture."""
    colours = np.where(
        ignored[..., None], _stripes(ignored.shape), np.array(WRONG, dtype=np.float32) * wrong[..., None]
    )
    return _over(shown, colours, np.where(wrong[..., None], LOUD, FAINT))


def _over(shown: Image.Image, colours: Colours, part: float | NDArray[np.float64]) -> Image.Image:
    """Colours blended over the picture in grey."""
    grey = np.asarray(shown.convert("L"))[..., None]
    return Image.fromarray(np.rint(grey * (1 - part) + colours * part).astype(np.uint8))


def _sheet(panels: Sequence[tuple[str, Image.Image]], classes: Sequence[int]) -> Image.Image:
    """Two rows of two panels, each with its caption above, and the legend below."""
    width, height = panels[0][1].size
    across, down = max(width, CELL), height + CAPTION
    columns = 2 * across // COLUMN
    entries = [(CLASSES[each], _swatch(each)) for each in classes if each != IGNORED]
    entries += [("ignored", _swatch(IGNORED))] * (IGNORED in classes)
    entries += [("wrong", Image.new("RGB", (16, 12), WRONG))]
    canvas = Image.new("RGB", (2 * across, 2 * down + ROW * math.ceil(len(entries) / columns)), "black")
    draw = ImageDraw.Draw(canvas)
    for number, (caption, panel) in enumerate(panels):
        left, top = number % 2 * across, number // 2 * down
        draw.text((left + 4, top + CAPTION / 2), caption, "white", FONT, anchor="lm")
        canvas.paste(panel, (left, top + CAPTION))
    for number, (name, swatch) in enumerate(entries):
        left, top = number % columns * COLUMN + 4, 2 * down + number // columns * ROW + 4
        draw.rectangle((left, top, left + 17, top + 13), "white")
        canvas.paste(swatch, (left + 1, top + 1))
        draw.text((left + 23, top + ROW / 2 - 4), name, "white", FONT, anchor="lm")
    return canvas


def _swatch(value: int) -> Image.Image:
    """A little of a class's colour."""
    return Image.fromarray(_colours(np.full((12, 16), value, dtype=np.uint8)).astype(np.uint8))


def _share(wrong: int, counted: int) -> str:
    return f"wrong: {wrong / counted:.2%} of {counted:,} pixels" if counted else "no pixel counts"


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
