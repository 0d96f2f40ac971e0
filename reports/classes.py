"""Classes of pixels one by one: how well the answers on the same pictures tell each, and which lost most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.iou import AREAS, ratios
from harness.model import Model
from reports.groups import grouped
from reports.record import Record, Recorded, RecordError, answers_to

HEADER = ("class", "of labelled pixels")
ABSENT = "absent"
"""Of a class that is neither answered nor true in these pictures, or of which no pixel is labelled."""

Areas = dict[str, NDArray[np.float64]]
"""``AREAS`` of each class by its name."""


class Table(NamedTuple):
    """The classes that answers of one model under one reference tell, on the same labels: below ``HEADER`` and a column
    for each subject a row for each class. A cell says IoU and, in brackets, precision."""

    title: str
    subjects: list[str]
    rows: list[tuple[str, ...]]


class Change(NamedTuple):
    """The IoU of a class in A and in B."""

    name: str
    before: float
    after: float

    @property
    def difference(self) -> float:
        """B - A: below 0 is worse."""
        return self.after - self.before

    def __str__(self) -> str:
        """``rider 0.6112 -> 0.4801 (-0.1311)``."""
        return f"{self.name} {self.before:.4f} -> {self.after:.4f} ({self.difference:+.4f})"


def tables(record: Record, models: Mapping[str, Model]) -> list[Table]:
    """The tables of all accuracy answers that count areas of classes. Raises ``RecordError`` where areas are
    impossible."""
    found: dict[tuple[str, tuple[tuple[str, float], ...]], list[tuple[str, Areas]]] = {}
    for each in grouped(answers_to(record, "accuracy"), models).values():
        for answer in each:
            if areas := areas_of(answer):
                title = f"Classes of {answer.model} ({answer.key.reference}), n={answer.count('n')}"
                labelled = tuple((name, float(area[-1])) for name, area in areas.items())
                found.setdefault((title, labelled), []).append((answer.key.subject, areas))
    return [
        Table(title, [subject for subject, _ in answers], _rows([areas for _, areas in answers]))
        for (title, _), answers in found.items()
    ]


def changes(before: Recorded, after: Recorded) -> tuple[Change, ...]:
    """The IoU of each class that occurs in A or in B, what fell most first; none where areas were not counted."""
    sides = [areas_of(answer) for answer in (before, after)]
    found = []
    for name in sides[0].keys() & sides[1].keys():
        (old, new), occurs = ratios(np.stack([side[name] for side in sides])[..., np.newaxis])
        if occurs.any():
            found.append(Change(name, float(old[0]), float(new[0])))
    return tuple(sorted(found, key=lambda change: (change.difference, change.name)))


def areas_of(answer: Recorded) -> Areas:
    """``AREAS`` of each class that an answer counts, by its name. Raises ``RecordError`` where they are impossible."""
    first = f"{AREAS[0]}_"
    names = [figure.removeprefix(first) for figure in answer.figures if figure.startswith(first)]
    found = {}
    for name in names:
        figures = [f"{area}_{name}" for area in AREAS]
        if not all(figure in answer.figures for figure in figures):
            continue
        numbers = [answer.number(figure) for figure in figures]
        areas = np.array([np.nan if number is None else number for number in numbers])
        if not 0 <= areas[0] <= areas[1:].min():
            shown = ", ".join(f"{figure} {number}" for figure, number in zip(figures, numbers, strict=True))
            raise RecordError(
                f"{answer.key}: {shown} are no areas of one class; the record was changed after it was written"
            )
        found[name] = areas
    return found


def _rows(answers: list[Areas]) -> list[tuple[str, ...]]:
    """A row for each class of answers on the same labels."""
    counted = sum(area[-1] for area in answers[0].values())
    return [
        (name, f"{area[-1] / counted:.3%}" if area[-1] else ABSENT, *(_cell(found[name]) for found in answers))
        for name, area in answers[0].items()
    ]


def _cell(areas: NDArray[np.float64]) -> str:
    """``0.7712 (0.9034)``."""
    (iou,), (occurs,) = ratios(areas[:, np.newaxis])
    intersection, predicted, _ = areas
    return f"{iou:.4f} ({intersection / predicted if predicted else 0.0:.4f})" if occurs else ABSENT
