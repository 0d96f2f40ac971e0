"""Accuracy of classifiers, as PaddleOCR counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from harness.judge import Hits

EPSILON = 1e-5
"""Added to n by ``ClsMetric`` (``ppocr/metrics/cls_metric.py``), so that 21 of 30 is 0.69999977."""


class ClassAccuracy:
    """PaddleOCR's classification accuracy: hits / (n + 1e-5). A perfect result is therefore never exactly 1."""

    name = "acc: equal class, hits / (n + 1e-5); version 1"
    columns = ("hits", "n")
    measures = MappingProxyType({"acc": Hits()})

    def count(self, predicted: str, truth: str) -> tuple[float, ...]:
        """Whether it is a hit, and one."""
        return (int(predicted == truth), 1)

    def faults(self, counts: Sequence[float]) -> float:
        """1 for a miss."""
        return 1 - counts[0]

    def value(self, sums: Sequence[float]) -> Mapping[str, float]:
        """``acc``."""
        return {"acc": sums[0] / (sums[1] + EPSILON)}


CLASS_ACCURACY = ClassAccuracy()
