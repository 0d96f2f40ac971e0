"""From logits or classes of pixels to the classes of a picture, and the comparison of two such outputs.

Sources: ``paddleseg/core/infer.py`` of PaddleSeg 2.1, whose export ends with ``argmax(axis=1)`` over logits or without.
The vendor's files hold these classes as text or, as its table says, as float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.agree import Decoded
from harness.cityscapes import CLASSES, IGNORED
from harness.iou import areas, confusion, ratios
from harness.verdict import Refused

ALL = len(CLASSES)
ROWS = 32
"""Rows of a picture that are looked at together: with their scores they stay in a processor's cache."""


def decode(value: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The class of each pixel of a picture of ``size``, uint8 [height, width]: the nearest one where sizes differ.

    ``value`` is logits [19, H, W] or classes [H, W], whole numbers of any dtype. Raises ``Refused`` for anything else.
    """
    found = _best(value) if value.ndim == 3 else _classes(value)
    if found.shape == size:
        return found
    # The pixel whose area holds the centre of the new one.
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, found.shape, strict=True))
    nearest: NDArray[np.uint8] = found[rows][:, columns]
    return nearest


def argmax(logits: NDArray[Any]) -> NDArray[np.int64]:
    """The classes of n pictures, int64 [n, H, W], of logits [n, 19, H, W]; of equal logits the first, as in ONNX."""
    return np.stack([_best(scores) for scores in logits]).astype(np.int64)


def compare(expected: NDArray[Any], actual: NDArray[Any], bound: float) -> Decoded:
    """Compares classes of pixels, n pictures of logits [n, 19, H, W] or of classes [n, H, W].

    A pixel is decided where its best logit leads by more than twice the bound: nothing within the bound can turn it.
    Between classes there is no bound, and every pixel is. ``pixels_equal`` is the share of all that are equal, decided
    or not, and ``miou`` the mean IoU of ``actual`` against ``expected``, of the classes that occur.
    """
    n = compared = equal = same = 0
    pairs = np.zeros((IGNORED + 1, IGNORED + 1), np.int64)
    for left, right in zip(expected, actual, strict=True):
        if left.ndim == 3:
            before, after, decided = _best(left), _best(right), _leads(left) > 2 * bound
            stays = before == after
        else:
            before, after, decided = _known(left), _known(right), np.ones(left.shape, np.bool_)
            stays = left == right
        n += stays.size
        same += int(stays.sum())
        compared += int(decided.sum())
        equal += int((stays & decided).sum())
        pairs += confusion(after, before)
    iou, occurs = ratios(areas(pairs, ALL))
    shown = {"pixels_equal": same / n, "miou": float(iou[occurs].mean()) if occurs.any() else 0.0}
    return Decoded(n=n, compared=compared, equal=equal, unit="pixels", shown=shown)


def _best(scores: NDArray[Any]) -> NDArray[np.uint8]:
    """The class with the largest of 19 x H x W scores, of equal ones the first. Raises ``Refused`` for others."""
    if len(scores) != ALL:
        raise Refused(f"the output of a picture has shape {list(scores.shape)}, expected [{ALL}, H, W] or [H, W]")
    found = np.zeros(scores.shape[1:], np.uint8)
    for top in range(0, len(found), ROWS):
        classes, best = found[top : top + ROWS], scores[0, top : top + ROWS].copy()
        for number in range(1, ALL):
            candidate = scores[number, top : top + ROWS]
            # A later class has the larger number: six times as fast as NumPy's own argmax along the first axis.
            np.maximum(classes, (candidate > best).view(np.uint8) * np.uint8(number), out=classes)
            np.maximum(best, candidate, out=best)
    return found


def _leads(scores: NDArray[Any]) -> NDArray[Any]:
    """By how much the best of 19 x H x W scores leads the second."""
    found = np.empty(scores.shape[1:], scores.dtype)
    for top in range(0, len(found), ROWS):
        best = scores[0, top : top + ROWS].copy()
        second = np.full_like(best, -np.inf)
        for candidate in scores[1:, top : top + ROWS]:
            np.maximum(second, np.minimum(best, candidate), out=second)
            np.maximum(best, candidate, out=best)
        found[top : top + ROWS] = best - second
    return found


def _classes(value: NDArray[Any]) -> NDArray[np.uint8]:
    """A map of classes in bytes. Raises ``Refused`` for another number of axes, and naming a value that is no class."""
    if value.ndim != 2:
        raise Refused(f"the output of a picture has shape {list(value.shape)}, expected [{ALL}, H, W] or [H, W]")
    found = _known(value)
    if (strange := found == IGNORED).any():
        raise Refused(
            f"the output holds {value[strange][0]:g} and {int(strange.sum()) - 1} more values of {value.size} that are "
            f"no class, expected whole numbers from 0 to {ALL - 1}"
        )
    return found


def _known(value: NDArray[Any]) -> NDArray[np.uint8]:
    """A map of classes in bytes, 255 where it holds what is no class."""
    # Compared before it is cast: what bytes do not hold would become some class.
    known = (value >= 0) & (value < ALL)
    found = np.where(known, value, IGNORED).astype(np.uint8)
    return np.where(found == value, found, np.uint8(IGNORED))
