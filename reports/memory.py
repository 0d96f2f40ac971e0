"""The most memory that sessions held, by point, beside what their points allow."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model import Model
from reports.groups import grouped
from reports.order import natural_order
from reports.record import Record, Recorded, answers_to
from reports.text import NONE

HEADER = ("weights",)


def rows(record: Record, models: Mapping[str, Model]) -> tuple[list[str], list[tuple[str, ...]]]:
    """The points, in the order of their sizes, and a row for each form, backend and weights with a cell a point."""
    answers = [answer for answer in answers_to(record, "throughput") if answer.number("memory") is not None]
    points = sorted({answer.point or NONE for answer in answers}, key=natural_order)
    found: dict[tuple[str, str], dict[str, str]] = {}
    for group, each in grouped(answers, models).items():
        for answer in each:
            found.setdefault((str(group), answer.weights), {})[answer.point or NONE] = _cell(answer)
    return points, [(*row, *(cells.get(point, NONE) for point in points)) for row, cells in found.items()]


def _cell(answer: Recorded) -> str:
    """``412``; ``412 of 600`` where so much is allowed, ``OVER`` before what is more."""
    held, bound = answer.number("memory") or 0.0, answer.number("memory_bound")
    if bound is None:
        return f"{held:.0f}"
    return f"{'OVER ' if held > bound else ''}{held:.0f} of {bound:.0f}"
