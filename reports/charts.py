"""Where the parts of a drawing lie, in pixels; the page's template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from reports.accuracy import Measured
from reports.text import shortened
from reports.throughput import Series, Speed, points
from reports.verdicts import ATTENTION

WIDTH, MARGIN = 200, 6
"""Of a strip."""
NARROWEST = 0.005
"""The least step of a strip's axis, as a part of its largest figure."""
BAR, GAP, LEFT, PLOT, BAND = 28, 16, 40, 140, 30
"""Of a chart: a bar, between points, before the first one, the height of the axis, and what lies above it."""
LETTER, LONGEST = 6.5, 30
"""The width of a letter below a bar, and how many stand there."""
MOST_SERIES, MOST_POINTS = 12, 24
"""How many series and points a chart shows; all of them are in the table below it."""
BEYOND = 2.0
"""A published value above this multiple of the largest measured one is drawn leaving the axis: true to scale it would
flatten everything that was measured."""


HUGE = 1e300
"""No axis ends beyond it: a damaged figure must not keep the page from being made."""


class Strip(NamedTuple):
    """An accuracy on its axis: where each figure lies, and what the ends of the axis say."""

    low: float | None
    high: float | None
    value: float
    claim: float | None
    floor: float | None
    ends: tuple[str, str]


def strips(rows: Sequence[Measured]) -> list[Strip | None]:
    """A strip for each row that has a value; rows of one model and metric share their axis."""
    axes: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        axes.setdefault((row.answer.model, row.metric), []).extend(_figures(row))
    return [_strip(row, axes[row.answer.model, row.metric]) for row in rows]


def _figures(row: Measured) -> list[float]:
    found = [] if row.value is None else [row.value]
    found += row.interval or ()
    return list(map(_drawn, found + ([row.claim.value, row.claim.floor] if row.claim else [])))


def _drawn(value: float) -> float:
    return min(max(value, -HUGE), HUGE)


def _strip(row: Measured, figures: Sequence[float]) -> Strip | None:
    if row.value is None:
        return None
    least, most = min(figures), max(figures)
    step = _step(max((most - least) / 4, NARROWEST * max(abs(least), abs(most), 1.0)))
    first, last = math.floor(least / step) * step, math.ceil(most / step) * step
    if first == last:
        first, last = first - step, last + step
    # Floats just beyond a share's ends must not let the axis pass them.
    if least >= 0 and most <= 1:
        first, last = max(first, 0.0), min(last, 1.0)

    def at(value: float) -> float:
        return round(MARGIN + (_drawn(value) - first) / (last - first) * (WIDTH - 2 * MARGIN), 1)

    low, high = (at(end) for end in row.interval) if row.interval else (None, None)
    claim, floor = (at(row.claim.value), at(row.claim.floor)) if row.claim else (None, None)
    return Strip(low, high, at(row.value), claim, floor, (f"{first:.4g}", f"{last:.4g}"))


class Bar(NamedTuple):
    """A figure of a series at a point. ``beyond`` where it leaves the axis."""

    x: float
    y: float
    height: float
    number: int
    text: str
    label: str
    published: bool
    beyond: bool
    attention: bool


class Tick(NamedTuple):
    """A value of an axis and where it lies."""

    at: float
    text: str


class Chart(NamedTuple):
    """Bars by point, numbered by series. ``left_out`` counts the series and the points that it does not show."""

    width: float
    base: float
    bars: list[Bar]
    values: list[Tick]
    points: list[Tick]
    left_out: tuple[int, int]


def chart(found: Sequence[tuple[Series, dict[str, Speed]]]) -> Chart | None:
    """The bars of one model's series, numbered from 1 in their order; nothing where nothing was measured. A published
    value in another unit is left to the table."""
    units = {series.unit for series, _ in found if not series.published}
    kept = [
        _Numbered(number, series, cells)
        for number, (series, cells) in enumerate(found, 1)
        if series.unit in units and (number <= MOST_SERIES or series.published)
    ]
    step, axis = _axis(kept)
    if not axis:
        return None
    bars, ticks, x = [], [], float(LEFT + GAP / 2)
    shown = points(each.cells for each in kept)
    for point in shown[:MOST_POINTS]:
        here = [each for each in kept if point in each.cells]
        label = shortened(point, LONGEST)
        width = max(BAR * len(here), LETTER * len(label))
        ticks.append(Tick(x + width / 2, label))
        start = x + (width - BAR * len(here)) / 2
        bars += [_bar(start + BAR * index, axis, each, each.cells[point]) for index, each in enumerate(here)]
        x += width + GAP
    values = [index * step for index in range(round(axis / step) + 1)]
    marks = [Tick(_y(value, axis), _brief(value)) for value in values]
    left_out = len(found) - len(kept), len(shown[MOST_POINTS:])
    return Chart(x, float(BAND + PLOT), bars, marks, ticks, left_out)


class _Numbered(NamedTuple):
    number: int
    series: Series
    cells: dict[str, Speed]


def _axis(kept: Sequence[_Numbered]) -> tuple[float, float]:
    """The step and the top of an axis from 0, or zeros where nothing was measured."""
    values = {kind: [0.0] for kind in (False, True)}
    for each in kept:
        values[each.series.published] += [_value(speed) for speed in each.cells.values()]
    largest = max(values[False])
    if not largest:
        return 0.0, 0.0
    top = max(largest, *(value for value in values[True] if value <= BEYOND * largest))
    step = _step(top / 3)
    return step, math.ceil(top / step) * step


def _value(speed: Speed) -> float:
    value = _drawn(speed.value or 0.0)
    return value if value > 1 / HUGE else 0.0


def _y(value: float, axis: float) -> float:
    return round(BAND + PLOT * (1 - value / axis), 1)


def _bar(x: float, axis: float, of: _Numbered, speed: Speed) -> Bar:
    beyond = _value(speed) > axis
    y = BAND - 8.0 if beyond else _y(_value(speed), axis)
    return Bar(
        x=x,
        y=y,
        height=round(BAND + PLOT - y, 1),
        number=of.number,
        text=_brief(_value(speed)),
        label=f"{of.series.label}: {speed.text} {of.series.unit}, {of.series.clock}",
        published=of.series.published,
        beyond=beyond,
        attention=speed.verdict in ATTENTION,
    )


def _step(least: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _brief(value: float) -> str:
    """Three digits: ``83.8``, ``4.4k``."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"
