"""Times from stored pictures to answers as rows, beside what inference alone takes."""

from __future__ import annotations

from collections.abc import Mapping

from harness.end_to_end import STAGES
from harness.model import Model
from harness.verdict import Verdict
from reports.groups import grouped
from reports.record import Record, Recorded, answers_to
from reports.text import NONE
from reports.verdicts import shown

HEADER = ("weights", "point", "pictures/s", "of inference alone", *STAGES, "n")
"""The stages' shares of their own sum; they overlap."""


def rows(record: Record, models: Mapping[str, Model]) -> list[tuple[str, ...]]:
    """A row for each throughput answer that has such a time: the group, and the cells below ``HEADER``."""
    answers = [answer for answer in answers_to(record, "throughput") if answer.number("end_to_end") is not None]
    return [(str(group), *_cells(each)) for group, found in grouped(answers, models).items() for each in found]


def _cells(answer: Recorded) -> tuple[str, ...]:
    rate, share, n = answer.number("end_to_end"), answer.number("end_to_end_share"), answer.count("end_to_end_n")
    return (
        answer.weights,
        answer.point or NONE,
        f"{rate:.2f}" + ("" if answer.verdict is Verdict.PASS else f" {shown(answer.verdict)}"),
        NONE if share is None else f"{share:.2f}",
        *(_percent(answer.number(f"stage_{name}")) for name in STAGES),
        NONE if n is None else str(n),
    )


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{share:.0%}"
