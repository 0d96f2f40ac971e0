"""Throughput answers as rows: what was measured, and beside it, marked as such, what was published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from harness.claim import Claim
from harness.model import Model
from harness.verdict import Verdict
from reports.claims import Published, is_judged
from reports.groups import Group, grouped
from reports.latency import clock_of
from reports.order import natural_order
from reports.record import Record, Recorded, answers_to
from reports.text import NONE
from reports.verdicts import shown

HEADER = ("weights", "clock", "unit")


class Series(NamedTuple):
    """Figures that may stand beside each other: of one form, on one backend, with the same weights and clock.

    The label of a published value says whether the record judges it; another clock or chip says nothing about it.
    """

    label: str
    weights: str
    clock: str
    unit: str
    model: str
    published: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """The label, and the cells below ``HEADER``."""
        return self.label, self.weights, self.clock, self.unit


class Speed(NamedTuple):
    """Samples a second, as shown, and the number behind it. ``verdict`` is that of the answer; a published value has
    none."""

    text: str
    value: float | None
    verdict: Verdict | None


Speeds = dict[Series, dict[str, Speed]]
"""By series and point."""


def speeds(record: Record, claims: list[Published], models: Mapping[str, Model]) -> Speeds:
    """A row for each form, backend, weights and clock, in samples a second from the median latency; then a row for
    each published value. Nothing where nothing was measured."""
    found: Speeds = {}
    answers = [answer for answer in answers_to(record, "throughput") if answer.number("latency_median")]
    for group, measured in grouped(answers, models).items():
        for answer in measured:
            found.setdefault(_measured(group, answer, models), {})[answer.point or NONE] = _speed(answer)
    if not found:
        return {}
    for claim in claims:
        if claim.claim.is_time:
            point = claim.claim.point or "unstated point"
            series = _published(claim, _unit(models.get(claim.model)), judged=is_judged(record, claim))
            cells, speed = found.setdefault(series, {}), _printed(claim.claim)
            # Two published figures of one point stand beside each other; neither hides the other.
            cells[point] = speed._replace(text=f"{cells[point].text}; {speed.text}") if point in cells else speed
    return found


def points(found: Iterable[Mapping[str, Speed]]) -> list[str]:
    """Every point that any series has a figure at, in the order of their sizes."""
    return sorted({point for cells in found for point in cells}, key=natural_order)


def _measured(group: Group, answer: Recorded, models: Mapping[str, Model]) -> Series:
    clock = clock_of(answer) or "not named"
    if (calls := answer.count("mean_of")) is not None:
        clock += f", mean of {calls}"
    return Series(str(group), answer.weights, clock, _unit(models.get(group.model)), group.model, published=False)


def _unit(model: Model | None) -> str:
    if model is None:
        return "samples/s"
    return "words/s" if model.family == "recognition" else "pictures/s"


def _speed(answer: Recorded) -> Speed:
    """Samples a second; with the verdict where it is not pass."""
    speed = answer.number("throughput")
    text = NONE if speed is None else f"{speed:.1f}"
    text = text if answer.verdict is Verdict.PASS else f"{text} {shown(answer.verdict)}"
    return Speed(text, speed, answer.verdict)


def _published(claim: Published, unit: str, *, judged: bool) -> Series:
    device = f" on {claim.claim.device}" if claim.claim.device else ""
    return Series(
        label=f"{claim.model}, published, {'judged' if judged else 'not judged'}",
        weights=claim.reference,
        clock=f"{claim.claim.clock}{device}",
        unit=unit if claim.claim.metric == "latency" else claim.claim.unit or "samples/s",
        model=claim.model,
        published=True,
    )


def _printed(claim: Claim) -> Speed:
    """A published figure as printed; a latency as the samples a second that it means, with what was printed. The time
    of a set of unstated size is no speed, nor is the ratio of two, nor a failure."""
    if claim.metric in ("total", "speedup"):
        return Speed(f"{claim.printed} {claim.unit}{' in all' if claim.metric == 'total' else ''}", None, None)
    if claim.fails:
        return Speed(f"{claim.printed} (fails: {claim.fails})", None, None)
    text = f"{claim.value:.1f} ({claim.printed} {claim.unit})" if claim.metric == "latency" else claim.printed
    return Speed(text, claim.value, None)
