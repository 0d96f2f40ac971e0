"""Probability maps of DB to boxes, and the comparison of two such maps.

The quadrilaterals of ``DBPostProcess`` (PaddleOCR 2.5, ``ppocr/postprocess/db_postprocess.py``) and of
``SegDetectorRepresenter`` (DB, ``structure/representers/seg_detector_representer.py``). The two compute the same: they
differ in the defaults (unclip ratio 2.0 and 1000 candidates; 1.5, fixed, and 100), and DB leaves the candidates that it
refuses in its list, as boxes of zeros with score 0, which its measurer drops.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyclipper
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from shapely import Polygon

from harness.agree import Decoded
from harness.boxes import Box, Quad, write_boxes

MIN_SIDE = 3
"""Of a candidate, in pixels of the map; a box, once it is grown, has 2 more."""
TOLERANCE = 2.0
"""Pixels of the map by which the corners of a box may move where a change is declared."""


@dataclass(frozen=True)
class Candidate:
    """An outline on a map (points x 1 x 2), the least rectangle around it (4 x 2 corners), and the map's mean in it."""

    outline: NDArray[np.int32]
    corners: NDArray[np.float32]
    score: float


@dataclass(frozen=True)
class DbPostprocess:
    """Text where the map is over ``threshold``, kept where its mean inside the box is at least ``box_threshold``.

    The network finds text shrunk, so that neighbours stay apart: each box grows by area x ``unclip_ratio`` / perimeter
    on every side. Only the first ``max_candidates`` outlines of a map are looked at.
    """

    threshold: float
    box_threshold: float
    unclip_ratio: float
    max_candidates: int = 1000

    def boxes(self, probabilities: NDArray[Any], size: tuple[int, int]) -> list[Box]:
        """The boxes of a map (1 x height x width), in whole pixels of a picture of that size (height, width).

        Corners go round from the upper left one, boxes come in the order of their outlines, from the bottom up.
        """
        grid = _grid(probabilities)
        boxes = []
        for candidate in filter(self._keeps, self._candidates(grid, self.threshold)):
            corners, side = _rectangle(_grown(candidate.corners, self.unclip_ratio))
            if side >= MIN_SIDE + 2:
                boxes.append(Box(_scaled(corners, grid.shape, size), candidate.score))
        return boxes

    def decode(self, probabilities: NDArray[Any], size: tuple[int, int]) -> str:
        """The boxes of a map as the text that ``harness.boxes.read_boxes`` reads."""
        return write_boxes(self.boxes(probabilities, size))

    def compare(self, expected: NDArray[Any], actual: NDArray[Any], bound: float) -> Decoded:
        """Compares the boxes of n x 1 x height x width maps, in pixels of the map, counting maps that are decided.

        A map is decided where the threshold may move by the bound either way and the hull of every outline that makes a
        box stays as it is, no candidate has a score within the bound of the box threshold, and there is a box, or no
        value within the bound of the threshold. Boxes are equal where they are the same in the same order. With a bound
        below 0 every map counts, and boxes are equal where each has one of the other map of its own, no corner more
        than ``TOLERANCE`` away. What is shown beside is the smallest ``mask_iou``.
        """
        items = [item for item, one in enumerate(expected) if bound < 0 or self._decided(_grid(one), bound)]
        same = _paired if bound < 0 else operator.eq
        pairs = zip(self._all(expected[items]), self._all(actual[items]), strict=True)
        shown = {"mask_iou": float(self.mask_iou(expected, actual).min())}
        return Decoded(n=len(expected), compared=len(items), equal=sum(same(*pair) for pair in pairs), shown=shown)

    def mask_iou(self, expected: NDArray[Any], actual: NDArray[Any]) -> NDArray[np.float64]:
        """Of each of n x 1 x height x width maps, how far what lies over the threshold is the same: intersection over
        union, 1 where nothing does in either."""
        left, right = (maps.reshape(len(maps), -1).astype(np.float32) > self.threshold for maps in (expected, actual))
        both, either = (left & right).sum(axis=1), (left | right).sum(axis=1)
        shares: NDArray[np.float64] = np.where(either > 0, both / np.maximum(either, 1), 1.0)
        return shares

    def _all(self, maps: NDArray[Any]) -> list[list[Quad]]:
        """The corners of every map's boxes, in pixels of the map."""
        height, width = maps.shape[-2:]
        return [[box.points for box in self.boxes(probabilities, (height, width))] for probabilities in maps]

    def _decided(self, grid: NDArray[np.float32], bound: float) -> bool:
        """Whether nothing within the bound can make other boxes of a map."""
        levels = [self._candidates(grid, self.threshold + step) for step in (0.0, -bound, bound)]
        if any(abs(each.score - self.box_threshold) <= bound for level in levels for each in level):
            return False
        # Boxes that are the same at both ends need not be between: corners are cut off to whole pixels on the way, and
        # rectangles of other hulls differ by float noise. Of one hull they are the same.
        hulls = [[cv2.convexHull(each.outline).tolist() for each in level if self._keeps(each)] for level in levels]
        if hulls[1] != hulls[0] or hulls[2] != hulls[0]:
            return False
        return bool(hulls[0]) or not bool((np.abs(grid - self.threshold) <= bound).any())

    def _candidates(self, grid: NDArray[np.float32], threshold: float) -> list[Candidate]:
        """What lies over a threshold and is not too small."""
        outlines, _ = cv2.findContours((grid > threshold).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        candidates = []
        for outline in outlines[: self.max_candidates]:
            corners, side = _rectangle(outline)
            if side >= MIN_SIDE:
                candidates.append(Candidate(np.asarray(outline, np.int32), corners, _mean_inside(grid, corners)))
        return candidates

    def _keeps(self, candidate: Candidate) -> bool:
        return candidate.score >= self.box_threshold


PPOCR = DbPostprocess(0.3, 0.6, 1.5)
"""``ch_PP-OCRv3_det_student.yml``, PaddleOCR 2.5."""
ICDAR15 = DbPostprocess(0.3, 0.6, 1.5)
"""DB's, as its README evaluates ``ic15_resnet50``: box threshold 0.6, where the code alone has 0.7."""
BUNDLED = DbPostprocess(0.3, 0.5, 1.5)
"""Of the bundled reference: a small network, trained briefly, is less sure."""


def _grid(probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """Height x width of a 1 x height x width map, in float32: the sources compare thresholds in it."""
    grid: NDArray[np.float32] = np.ascontiguousarray(probabilities[0], dtype=np.float32)
    return grid


def _rectangle(outline: NDArray[Any]) -> tuple[NDArray[np.float32], float]:
    """Corners of the least rectangle around points, 4 x 2 (x, y), and its shorter side.

    They go round from the upper one of the two leftmost; of equal x OpenCV's order decides, as upstream.
    """
    rectangle = cv2.minAreaRect(outline)
    points: Any = cv2.boxPoints(rectangle)
    leftmost = points[np.argsort(points[:, 0], kind="stable")]
    upper, lower = (0, 1) if leftmost[1, 1] > leftmost[0, 1] else (1, 0)
    right, below = (2, 3) if leftmost[3, 1] > leftmost[2, 1] else (3, 2)
    return leftmost[[upper, right, below, lower]], min(rectangle[1])


def _mean_inside(grid: NDArray[np.float32], corners: NDArray[np.float32]) -> float:
    """The mean of a map over the pixels of a rectangle, corners cut off to whole pixels (``fast`` upstream)."""
    height, width = grid.shape
    limits = (width - 1, height - 1)
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, limits)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, limits)
    inside = np.zeros((bottom - top + 1, right - left + 1), dtype=np.uint8)
    moved = (corners - np.array([left, top], dtype=np.float32)).astype(np.int32)
    cv2.fillPoly(inside, [moved], 1)
    return float(cv2.mean(grid[top : bottom + 1, left : right + 1], inside)[0])


def _grown(corners: NDArray[np.float32], ratio: float) -> NDArray[np.int32]:
    """The outline of a rectangle grown by area x ratio / perimeter, corners rounded, in whole pixels."""
    polygon = Polygon(corners)
    offset = pyclipper.PyclipperOffset()
    offset.AddPath(corners.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    return np.array(offset.Execute(polygon.area * ratio / polygon.length)[0], dtype=np.int32)


def _scaled(corners: NDArray[np.float32], shape: tuple[int, ...], size: tuple[int, int]) -> Quad:
    """Corners on a map as whole pixels of a picture, none outside."""
    # Sizes are height first, corners x first.
    (height, width), limits = shape, np.array(size[::-1])
    moved = np.clip(np.round(corners / np.array([width, height]) * limits), 0, limits).astype(int).tolist()
    first, second, third, fourth = ((x, y) for x, y in moved)
    return first, second, third, fourth


def _paired(expected: list[Quad], actual: list[Quad]) -> bool:
    """Whether each box has one of the others of its own, no corner more than ``TOLERANCE`` away along x or y."""
    if len(expected) != len(actual) or not expected:
        return len(expected) == len(actual)
    left, right = (np.array(boxes, dtype=np.int32) for boxes in (expected, actual))
    # Which corner is the first turns where a rectangle stands upright.
    turns = [np.abs(left[:, None] - np.roll(right, turn, axis=1)).max(axis=(2, 3)) for turn in range(4)]
    apart = np.min(turns, axis=0) > TOLERANCE
    return not apart[linear_sum_assignment(apart)].any()
