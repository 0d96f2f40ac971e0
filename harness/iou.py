"""Intersection over union (IoU) of classes: areas counted in pixels, summed over pictures, and the mean of ratios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.judge import OverPictures, Pooled, half_width

AREAS = ("intersection", "predicted", "labelled")
"""Of a class: pixels that both have, that were answered, that are true."""
EXACT = 2**24
"""A histogram of more pixels than this is not exact in float32."""


def confusion(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many pixels of each value in ``truth`` have each value in ``predicted``, 256 x 256; both maps are H x W."""
    # A quarter of a second to load, which a report does not need.
    import cv2

    rows = max(1, EXACT // truth.shape[1])
    ranges = [0, 256, 0, 256]
    pairs = np.zeros((256, 256), np.int64)
    for top in range(0, len(truth), rows):
        maps = [truth[top : top + rows], predicted[top : top + rows]]
        pairs += cv2.calcHist(maps, [0, 1], None, [256, 256], ranges).astype(np.int64)
    return pairs


def areas(pairs: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """``AREAS`` x classes of a confusion; pixels whose truth is no class count nowhere."""
    counted = pairs[:classes]
    found: NDArray[np.int64] = np.stack([counted.diagonal(), counted[:, :classes].sum(axis=0), counted.sum(axis=1)])
    return found


def ratios(found: NDArray[np.float64] | NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The IoU of each class, and whether it occurs, each ... x classes; areas are ... x ``AREAS`` x classes.

    A class that is neither answered nor true does not occur, and has 0.
    """
    intersection, predicted, labelled = np.moveaxis(found, -2, 0)
    union = predicted + labelled - intersection
    occurs = union > 0
    return np.divide(intersection, union, out=np.zeros(union.shape), where=occurs), occurs


@dataclass(frozen=True)
class OverClasses(Pooled):
    """A mean of ``classes`` ratios over n pictures: their sum by how many count. ``labelled`` of the classes are true
    somewhere in these pictures; of the others nothing is known."""

    classes: int
    labelled: int

    @property
    def counted(self) -> str:
        """``17 of 19 classes over n=40``."""
        return f"{self.labelled} of {self.classes} classes over n={self.n}"

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The two-sided interval of the mean behind these pictures (jackknife, Student's t), in which a class that no
        label shows may have any IoU; of fewer than ``LEAST_PICTURES`` all that is possible.

        Else pictures without trains would refute the figure of a set with trains.
        """
        half = half_width(self.spread, self.n, confidence)
        if half is None:
            return 0.0, 1.0
        low, high = self.top - half * self.bottom, self.top + half * self.bottom + self.classes - self.labelled
        return max(0.0, low / self.classes), min(1.0, high / self.classes)


@dataclass(frozen=True)
class MeanIou(OverPictures):
    """The mean IoU of classes, each of the areas of all pictures together.

    A class that does not occur counts as 0; with ``present`` it does not count. Sums do not tell how pictures vary:
    ``spread`` is the name under which ``variance`` stands beside them.
    """

    classes: tuple[str, ...]
    spread: str
    present: bool = False

    @property
    def summed(self) -> tuple[str, ...]:
        """``intersection_road`` and so on: every area of every class."""
        return tuple(f"{area}_{name}" for area in AREAS for name in self.classes)

    @property
    def columns(self) -> tuple[str, ...]:
        """The areas, and the variance."""
        return (*self.summed, self.spread)

    def values(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean for each row of sums, k x ``summed``."""
        top, bottom = self._sides(sums)
        return np.divide(top, bottom, out=np.zeros(len(sums)), where=bottom > 0)

    def of(self, counts: Mapping[str, float], *, complete: bool) -> OverClasses:
        """The mean of these sums."""
        sums = np.array([[counts[name] for name in self.summed]])
        (top,), (bottom,) = self._sides(sums)
        labelled = int((sums.reshape(len(AREAS), -1)[-1] > 0).sum())
        spread = max(0.0, counts[self.spread])
        return OverClasses(float(top), float(bottom), int(counts["n"]), complete, spread, len(self.classes), labelled)

    def variance(self, pictures: Mapping[str, NDArray[np.float64]]) -> float:
        """The jackknife's variance of the mean, of what each picture counts by column.

        Not a linearised one: for that a class that one picture alone shows does not vary at all.
        """
        rows = np.stack([pictures[name] for name in self.summed], axis=1)
        n = len(rows)
        without = self.values(rows.sum(axis=0) - rows)
        return float((n - 1) / n * ((without - without.mean()) ** 2).sum())

    def _sides(self, sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The sum of the ratios and how many count, for each row of sums."""
        found, occurs = ratios(sums.reshape(len(sums), len(AREAS), -1))
        count = occurs.sum(axis=-1) if self.present else np.full(len(sums), len(self.classes))
        return found.sum(axis=-1), count.astype(np.float64)
