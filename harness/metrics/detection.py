"""Text found in pictures, counted as ICDAR's evaluator counts it.

``DetectionIoUEvaluator`` of PaddleOCR 2.5 (``ppocr/metrics/eval_det_iou.py``) and of DB
(``concern/icdar2015_eval/detection/iou.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import shapely
from numpy.typing import NDArray

from harness.boxes import Box, Region, read_boxes, read_truth
from harness.judge import Ratio, moments, products

LEAST_IOU = 0.5
"""A match overlaps by more: exactly half is none."""
IGNORED_SHARE = 0.5
"""A detection that lies in an ignored place by more than this share of its own area counts for nothing."""
COUNTED = ("matched", "truths", "detections")


class DetectionIou:
    """Boxes that match a place of text, over all pictures together.

    ``matched`` of a picture's ``truths``, those that are not ignored, and ``detections``, those that lie in no ignored
    place, match one to one: each truth in turn takes the first detection in turn that is free and overlaps enough;
    neither scores nor a better overlap matter. Polygons that are not valid (crossing, without area) are left out on
    both sides. ``hits`` are the pictures of which every truth is matched and no detection is left.

    ``box_precision`` is matched / detections, ``box_recall`` matched / truths (a record's ``precision`` is that of
    numbers), ``hmean`` their harmonic mean; 0 where nothing is below, as upstream.
    """

    name = "hmean: polygons over IoU 0.5, one to one in turn, pooled; version 1"
    columns = ("hits", "n", *COUNTED, *products(COUNTED))
    measures = MappingProxyType(
        {
            "box_precision": Ratio(("matched",), ("detections",)),
            "box_recall": Ratio(("matched",), ("truths",)),
            "hmean": Ratio(("matched", "matched"), ("truths", "detections")),
        }
    )

    def count(self, predicted: str, truth: str) -> tuple[float, ...]:
        """The counts of one picture: an answer that ``write_boxes`` wrote, and a truth that ``write_truth`` did."""
        cared, found = _counted(predicted, truth)
        counted = {"matched": _matches(cared, found), "truths": len(cared), "detections": len(found)}
        return (int(len(set(counted.values())) == 1), 1, *counted.values(), *moments(counted))

    def matched(self, predicted: str, truth: str) -> frozenset[int]:
        """Which places of text are matched, by their number among those of the picture that count."""
        return frozenset(_partners(*_counted(predicted, truth)))

    def faults(self, counts: Sequence[float]) -> float:
        """The places and boxes that are left without a partner."""
        _, _, matched, truths, detections = counts[:5]
        return truths + detections - 2 * matched

    def value(self, sums: Sequence[float]) -> Mapping[str, float]:
        """``box_precision``, ``box_recall`` and ``hmean``."""
        counts = dict(zip(self.columns, sums, strict=True))
        return {name: ratio.of(counts, complete=True).value for name, ratio in self.measures.items()}


ICDAR_IOU = DetectionIou()


def _counted(predicted: str, truth: str) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """The places of text and the detections of a picture that count."""
    regions, boxes = read_truth(truth), read_boxes(predicted)
    cared = _valid([region for region in regions if not region.ignored])
    found = _valid(boxes)
    return cared, found[~_inside(found, _valid([region for region in regions if region.ignored]))]


def _valid(places: Sequence[Region | Box]) -> NDArray[np.object_]:
    """The valid polygons among places, in order."""
    polygons: NDArray[np.object_] = shapely.polygons(np.array([place.points for place in places]).reshape(-1, 4, 2))
    valid: NDArray[np.object_] = polygons[shapely.is_valid(polygons)]
    return valid


def _inside(found: NDArray[np.object_], ignored: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Which detections lie in an ignored place by more than ``IGNORED_SHARE``."""
    rows, columns = _near(found, ignored)
    shares = shapely.area(shapely.intersection(found[rows], ignored[columns])) / shapely.area(found[rows])
    inside = np.zeros(len(found), dtype=np.bool_)
    inside[rows[shares > IGNORED_SHARE]] = True
    return inside


def _matches(truths: NDArray[np.object_], found: NDArray[np.object_]) -> int:
    """How many truths have a detection of their own."""
    return len(_partners(truths, found))


def _partners(truths: NDArray[np.object_], found: NDArray[np.object_]) -> dict[int, int]:
    """The detection of each truth that has one of its own."""
    rows, columns = _near(truths, found)
    pairs = truths[rows], found[columns]
    over = shapely.area(shapely.intersection(*pairs)) / shapely.area(shapely.union(*pairs)) > LEAST_IOU
    taken: dict[int, int] = {}
    for truth, detection in zip(rows[over].tolist(), columns[over].tolist(), strict=True):
        if truth not in taken and detection not in taken.values():
            taken[truth] = detection
    return taken


def _near(left: NDArray[np.object_], right: NDArray[np.object_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pairs, in order, whose bounding boxes touch: the others share nothing, and cost nothing."""
    a, b = shapely.bounds(left)[:, np.newaxis], shapely.bounds(right)[np.newaxis]
    apart = (a[..., :2] > b[..., 2:]) | (b[..., :2] > a[..., 2:])
    rows, columns = np.nonzero(~apart.any(axis=-1))
    return rows, columns
