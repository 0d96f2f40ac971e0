"""What it brings to leave the tensors that cost most float: answers over their number, as a table and as a curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.model import Model
from reports.charts import Tick
from reports.groups import grouped
from reports.measures import named
from reports.record import Record, Recorded, answers_to
from reports.text import NONE
from reports.verdicts import shown

HEADER = ("reference", "n")
ENDS = ("all float", "single precision", "of the added error repaired", "the tensors that cost most", "verdict")
ALL = "all"
LEFT, STEP, TOP, PLOT, BETWEEN, BELOW = 60, 64, 24, 90, 34, 30
"""Of a drawing: before the first point, between two, above a panel, its height, between panels and below them."""
MOST = 16
"""Points that are drawn; all of them are in the table."""
NAMED = 3
"""Tensors that a row names."""


class Panel(NamedTuple):
    """One line of a drawing: its path, each point's place and text, and where single precision lies."""

    name: str
    at: float
    path: str
    points: list[tuple[float, float, str]]
    level: float


class Drawing(NamedTuple):
    """Accuracy above, changed answers below, over the number of tensors that are left float."""

    title: str
    width: float
    height: float
    panels: list[Panel]
    ticks: list[Tick]


class Curve(NamedTuple):
    """An answer's figures over the number of tensors left float: its last point leaves all of them float."""

    answer: Recorded
    name: str
    kept: tuple[float, ...]
    flips: tuple[float, ...]
    values: tuple[float, ...]
    single: float

    @property
    def labels(self) -> list[str]:
        """``0``, ``1``, ``2``, ``4``."""
        return [f"{kept:.0f}" for kept in self.kept]

    def cells(self, counts: Sequence[str]) -> tuple[str, ...]:
        """Below ``HEADER``, a column for each count, and ``ENDS``: answers that change, and the value."""
        cells = [f"{flips:.0f}, {value:.4f}" for flips, value in zip(self.flips, self.values, strict=True)]
        found = dict(zip(self.labels, cells, strict=False))
        repaired, random = self.answer.number("repaired"), self.answer.number("at_random")
        told = NONE if repaired is None or random is None else f"{repaired:.1%} (as many at random {random:.1%})"
        worst = (self.answer.text(f"worst_{place}") for place in range(1, NAMED + 1))
        return (
            self.answer.key.reference,
            str(self.answer.count("n")),
            *(found.get(count, NONE) for count in counts),
            cells[-1],
            f"{self.single:.4f}",
            told,
            ", ".join(filter(None, worst)) or NONE,
            shown(self.answer.verdict),
        )


def curves(record: Record, models: Mapping[str, Model]) -> list[Curve]:
    """A curve for each form that was asked with tensors left float, in the order of the declarations."""
    found = grouped(answers_to(record, "keep_float"), models).values()
    return [curve for answers in found for answer in answers if (curve := _curve(answer)) is not None]


def counts_of(found: Sequence[Curve]) -> list[str]:
    """The numbers of tensors of all curves, ascending."""
    return [f"{kept:.0f}" for kept in sorted({kept for curve in found for kept in curve.kept})]


def shown_on_page(record: Record, models: Mapping[str, Model]) -> dict[str, object]:
    """What the page's template shows: each curve with its drawing and its cells, and the names of these."""
    found = curves(record, models)
    counts = counts_of(found)
    return {
        "curves": [(curve, drawing(curve), curve.cells(counts)) for curve in found],
        "curves_header": (*HEADER, *counts, *ENDS),
    }


def drawing(curve: Curve) -> Drawing:
    """Where the lines of a curve lie, in pixels, true to scale from the least to the most of each; a point for each
    number of tensors, whatever lies between."""
    shown_points = [*range(len(curve.kept))[:MOST], len(curve.kept)]
    labels = [*curve.labels[:MOST], ALL]
    lines = ((curve.name, curve.values, curve.single, ".4f"), ("answers changed", curve.flips, 0.0, ".0f"))
    panels = []
    for place, (name, numbers, level, digits) in enumerate(lines):
        top = TOP + place * (PLOT + BETWEEN)
        panels.append(_panel(name, [numbers[each] for each in shown_points], level, top, digits))
    height = TOP + 2 * PLOT + BETWEEN + BELOW
    ticks = [Tick(LEFT + STEP * place, label) for place, label in enumerate(labels)]
    title = f"{curve.answer.key.subject} ({curve.answer.key.reference}), n={curve.answer.count('n')}"
    return Drawing(title, float(LEFT + STEP * len(labels)), float(height), panels, ticks)


def _panel(name: str, numbers: Sequence[float], level: float, top: float, digits: str) -> Panel:
    least, most = min(*numbers, level), max(*numbers, level)

    def at(number: float) -> float:
        # Halves first: the distance of two huge figures may be none.
        share = 0.5 if most == least else (number / 2 - least / 2) / (most / 2 - least / 2)
        return round(top + PLOT * (1 - share), 1)

    points = [
        (float(LEFT + STEP * place), at(number), f"{number:{digits}}"[:12]) for place, number in enumerate(numbers)
    ]
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y, _ in points)
    return Panel(name, top, path, points, at(level))


def _curve(answer: Recorded) -> Curve | None:
    """Nothing where figures are missing, or are not those of one curve."""
    kept, flips, values = (_numbers(answer, name) for name in ("kept_float", "flips", "values"))
    ends = [answer.number(name) for name in ("all_flips", "all_value", "float_value")]
    if not kept or not len(kept) == len(flips) == len(values) or None in ends:
        return None
    all_flips, all_value, single = (end or 0.0 for end in ends)
    return Curve(answer, named(answer) or NONE, kept, (*flips, all_flips), (*values, all_value), single)


def _numbers(answer: Recorded, name: str) -> tuple[float, ...]:
    """Figures that are a list of finite numbers, or nothing."""
    found = answer.figures.get(name)
    if not isinstance(found, list | tuple):
        return ()
    numeric = [each for each in found if isinstance(each, int | float) and not isinstance(each, bool)]
    finite = tuple(float(each) for each in numeric if math.isfinite(each))
    return finite if len(finite) == len(found) else ()
