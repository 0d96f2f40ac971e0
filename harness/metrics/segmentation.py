"""Classes of pixels, counted as PaddleSeg counts them.

Source: ``paddleseg/utils/metrics.py`` of PaddleSeg 2.1 (``calculate_area``, ``mean_iou``, ``accuracy``, ``kappa``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.cityscapes import CLASSES, IGNORED
from harness.datasets import DataError
from harness.iou import AREAS, MeanIou, areas, confusion, ratios
from harness.judge import Ratio, moments, products
from harness.verdict import Refused

ALL = len(CLASSES)
PIXELS = ("correct", "counted")


class PixelClasses:
    """Areas of the 19 classes over all pictures together; pixels that are labelled 255 count nowhere, whatever was
    answered there.

    Of a picture ``counted`` pixels have a label, ``correct`` of them are answered right, and ``hits`` says that all
    are. ``intersection_<class>``, ``predicted_<class>`` and ``labelled_<class>`` are areas in pixels.

    ``miou`` is the plain mean of all 19 IoU: a class that is neither answered nor true counts as 0. ``miou_present`` is
    the mean of those that occur, ``accuracy`` correct / counted, ``kappa`` Cohen's, 0 where chance alone is always
    right. Of each class that occurs there are ``iou_<class>`` and ``precision_<class>``: intersection / predicted, 0
    where nothing is predicted, which the source calls its accuracy.
    """

    name = "miou: mean IoU of 19 classes, absent ones as 0, 255 ignored, areas pooled; version 1"
    measures = MappingProxyType(
        {
            "miou": MeanIou(CLASSES, "miou_spread"),
            "miou_present": MeanIou(CLASSES, "miou_present_spread", present=True),
            "accuracy": Ratio(("correct",), ("counted",)),
        }
    )
    columns = ("hits", "n", *PIXELS, *products(PIXELS), *measures["miou"].summed)

    def count(self, predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[float, ...]:
        """The counts of one picture: trainIds as uint8 [H, W], in ``truth`` also 255.

        Raises ``Refused`` for an answer of another shape or with what is no class, ``DataError`` for a label with what
        is none, and ``ValueError`` for what is no map of bytes.
        """
        if not predicted.dtype == truth.dtype == np.uint8 or truth.ndim != 2:
            sides = " and ".join(f"{side.dtype} {list(side.shape)}" for side in (predicted, truth))
            raise ValueError(f"expected two maps of uint8 [H, W], found {sides}; decode the answer first")
        if predicted.shape != truth.shape:
            turned = "; height and width are exchanged" if predicted.shape == truth.shape[::-1] else ""
            raise Refused(f"the answer has {list(predicted.shape)} pixels, its label {list(truth.shape)}{turned}")
        pairs = confusion(predicted, truth)
        _check(pairs)
        found = areas(pairs, ALL)
        correct, _, counted = found.sum(axis=1).tolist()
        squares = moments(dict(zip(PIXELS, (correct, counted), strict=True)))
        return (int(correct == counted), 1, correct, counted, *squares, *found.ravel().tolist())

    def faults(self, counts: Sequence[float]) -> float:
        """The pixels that are answered wrong."""
        _, _, correct, counted = counts[:4]
        return counted - correct

    def value(self, sums: Sequence[float]) -> Mapping[str, float]:
        """``miou``, ``miou_present``, ``accuracy``, ``kappa``, and IoU and precision of each class that occurs."""
        counts = dict(zip(self.columns, sums, strict=True))
        found = {
            name: float(measure.values(np.array([[counts[column] for column in measure.summed]]))[0])
            for name, measure in self.measures.items()
        }
        table = np.array([counts[column] for column in self.measures["miou"].summed]).reshape(len(AREAS), ALL)
        iou, occurs = ratios(table)
        intersection, predicted, _ = table
        precision = np.divide(intersection, predicted, out=np.zeros(ALL), where=predicted > 0)
        found["kappa"] = _kappa(table)
        for place in np.flatnonzero(occurs):
            found[f"iou_{CLASSES[place]}"] = float(iou[place])
            found[f"precision_{CLASSES[place]}"] = float(precision[place])
        return found


CITYSCAPES = PixelClasses()


def _check(pairs: NDArray[np.int64]) -> None:
    """Raises ``DataError`` where a label holds a value that is none, ``Refused`` where the answer does."""
    labels, answers = (np.flatnonzero(pairs.sum(axis=axis)) for axis in (1, 0))
    if strange := [int(value) for value in labels if value >= ALL and value != IGNORED]:
        raise DataError(
            f"a label holds {_listed(strange)}, expected trainIds, 0 to {ALL - 1} and {IGNORED}; are these labelIds?"
        )
    if strange := [int(value) for value in answers if value >= ALL]:
        raise Refused(f"the answer holds {_listed(strange)}, expected classes, 0 to {ALL - 1}")


def _listed(values: Sequence[int]) -> str:
    """The first few."""
    return ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")


def _kappa(table: NDArray[np.float64]) -> float:
    """Cohen's kappa of ``AREAS`` x classes; in floats, as products of such areas pass 64 bits."""
    intersection, predicted, labelled = table
    counted = labelled.sum()
    if not counted:
        return 0.0
    observed = intersection.sum() / counted
    chance = (predicted / counted * (labelled / counted)).sum()
    return float((observed - chance) / (1 - chance)) if chance < 1 else 0.0
