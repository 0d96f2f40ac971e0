"""The throughput table: what was measured, and beside it, marked as such, what was published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness.model import Model
from harness.verdict import Verdict
from reports.claims import THROUGHPUT, Published
from reports.figures import NONE, answers_to, shown
from reports.groups import Group, grouped
from reports.markdown import table
from reports.order import natural_order
from reports.record import Record, Recorded


class _Row(NamedTuple):
    """Figures that may stand beside each other: of one form, on one backend, with the same weights and clock."""

    label: str
    weights: str
    clock: str
    unit: str


def throughput_table(record: Record, claims: list[Published], models: Mapping[str, Model]) -> list[str]:
    """A row for each form, backend, weights and clock, a column for each point, in samples a second from the median
    latency; then a row for each published value. No line where nothing was measured."""
    rows: dict[_Row, dict[str, str]] = {}
    answers = [answer for answer in answers_to(record, THROUGHPUT) if answer.number("latency_median")]
    for group, found in grouped(answers, models).items():
        for answer in found:
            rows.setdefault(_measured(group, answer, models), {})[answer.point or NONE] = _speed(answer)
    if not rows:
        return []
    for claim in claims:
        if claim.claim.metric == THROUGHPUT:
            point = f"bs{claim.claim.batch}" if claim.claim.batch else "unstated point"
            rows.setdefault(_published(claim), {})[point] = claim.claim.printed
    points = sorted({point for cells in rows.values() for point in cells}, key=natural_order)
    lines = [(*row, *(cells.get(point, NONE) for point in points)) for row, cells in rows.items()]
    return table(("Throughput", "weights", "clock", "unit", *points), lines)


def _measured(group: Group, answer: Recorded, models: Mapping[str, Model]) -> _Row:
    clock = answer.text("clock") or "not named"
    if (calls := answer.count("mean_of")) is not None:
        clock += f", mean of {calls}"
    return _Row(str(group), answer.weights, clock, _unit(models.get(group.model)))


def _unit(model: Model | None) -> str:
    if model is None:
        return "samples/s"
    return "words/s" if model.family == "recognition" else "pictures/s"


def _speed(answer: Recorded) -> str:
    """Samples a second; with the verdict where it is not pass."""
    speed = answer.number("throughput")
    text = NONE if speed is None else f"{speed:.1f}"
    return text if answer.verdict is Verdict.PASS else f"{text} {shown(answer.verdict)}"


def _published(claim: Published) -> _Row:
    """A published value is listed, not judged: this record was not measured on the device that it names."""
    device = f" on {claim.claim.device}" if claim.claim.device else ""
    unit = claim.claim.unit or "samples/s"
    return _Row(f"{claim.model}, published, not judged", claim.reference, f"{claim.claim.clock}{device}", unit)
