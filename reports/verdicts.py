"""Verdicts of a record, counted: what needs attention, what was skipped and why, and the matrix of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.domains import QUESTIONS
from harness.model import Model
from harness.verdict import Verdict
from reports.groups import Group, grouped
from reports.record import Key, Recorded

SEVERITY = (Verdict.FAIL, Verdict.BROKEN, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.SKIPPED)
"""What needs attention first."""
ATTENTION = SEVERITY[:3]
"""What needs attention at all; a skip only says that something is absent."""


def shown(verdict: Verdict) -> str:
    """The verdict's word, in capitals where it needs attention."""
    return verdict.value.upper() if verdict in ATTENTION else verdict.value


def counted(verdicts: Iterable[Verdict]) -> list[tuple[Verdict, int]]:
    """Every verdict that occurs and how often, pass first and then what is worst."""
    found = Counter(verdicts)
    order = (Verdict.PASS, *(verdict for verdict in SEVERITY if verdict is not Verdict.PASS))
    return [(verdict, found[verdict]) for verdict in order if found[verdict]]


def tally(verdicts: Iterable[Verdict]) -> str:
    """``5 pass, 1 FAIL``."""
    return ", ".join(f"{count} {shown(verdict)}" for verdict, count in counted(verdicts))


def summary(answers: Sequence[Recorded]) -> str:
    """``66 answers: 64 pass, 2 skipped``."""
    return f"{len(answers)} answers: {tally(answer.verdict for answer in answers) or 'nothing was asked'}"


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Answers with the same verdict and the same line."""

    verdict: Verdict
    line: str
    keys: tuple[Key, ...]

    @property
    def names(self) -> str:
        """The answer's name, or how many there are of each question and reference and which is the first."""
        if len(self.keys) == 1:
            return str(self.keys[0])
        kinds = Counter(f"{key.question} {key.reference}" for key in self.keys)
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        return f"{len(self.keys)} answers ({counts}), first {self.keys[0].subject}"


def attention(answers: Iterable[Recorded]) -> list[Cause]:
    """The causes of every answer that is neither pass nor skipped, the worst verdict first."""
    return sorted(_causes(answers, ATTENTION), key=lambda cause: SEVERITY.index(cause.verdict))


def skips(answers: Iterable[Recorded]) -> list[Cause]:
    """The distinct reasons of skipped answers, what skipped most first."""
    return sorted(_causes(answers, (Verdict.SKIPPED,)), key=lambda cause: (-len(cause.keys), cause.line))


def _causes(answers: Iterable[Recorded], wanted: Sequence[Verdict]) -> list[Cause]:
    found: dict[tuple[Verdict, str], list[Key]] = {}
    for answer in answers:
        if answer.verdict in wanted:
            found.setdefault((answer.verdict, answer.line), []).append(answer.key)
    return [Cause(verdict=verdict, line=line, keys=tuple(keys)) for (verdict, line), keys in found.items()]


class Tally(NamedTuple):
    """The verdicts of one reference in a cell of the matrix."""

    reference: str
    counts: list[tuple[Verdict, int]]

    @property
    def worst(self) -> Verdict:
        """The verdict that needs attention most."""
        return min((verdict for verdict, _ in self.counts), key=SEVERITY.index)

    def __str__(self) -> str:
        return f"{self.reference} {', '.join(f'{count} {shown(verdict)}' for verdict, count in self.counts)}"


class Row(NamedTuple):
    """A row of the matrix: a form and backend, its answers, and its tallies, a list for each question."""

    group: Group
    answers: list[Recorded]
    cells: list[list[Tally]]


class Matrix(NamedTuple):
    """A row for each form and backend, a column a question, and in each cell the verdicts of each reference."""

    questions: list[str]
    rows: list[Row]


def matrix(answers: Iterable[Recorded], models: Mapping[str, Model]) -> Matrix:
    """The matrix of all answers; every answer is in exactly one of its rows."""
    groups = _with_builds(grouped(answers, models))
    asked = {answer.key.question for found in groups.values() for answer in found}
    questions = [*QUESTIONS, *sorted(asked - set(QUESTIONS))]
    rows = [
        Row(group, found, [_tallies(answer for answer in found if answer.key.question == name) for name in questions])
        for group, found in groups.items()
    ]
    return Matrix(questions, rows)


def _with_builds(groups: dict[Group, list[Recorded]]) -> dict[Group, list[Recorded]]:
    """Answers on a form itself join the row of the backend that runs it, where there is exactly one."""
    merged = dict(groups)
    for form in [group for group in groups if not group.backend]:
        runs = [group for group in groups if group.backend and group.form_name == form.form_name]
        if len(runs) == 1:
            merged[runs[0]] = merged.pop(form) + merged[runs[0]]
    return merged


def _tallies(answers: Iterable[Recorded]) -> list[Tally]:
    found: dict[str, list[Verdict]] = {}
    for answer in answers:
        found.setdefault(answer.key.reference, []).append(answer.verdict)
    return [Tally(reference, counted(found[reference])) for reference in sorted(found)]
