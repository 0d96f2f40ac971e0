"""One record as Markdown that fits a screen: what needs attention first, then verdicts, then figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from harness.cells import QUESTIONS
from harness.model import Model
from harness.verdict import Verdict
from reports.claims import judged_line, published
from reports.figures import NONE, SEVERITY, accuracy_table, agreement_table, shown
from reports.groups import Group, grouped
from reports.markdown import bullet, escape, table
from reports.pairs import answered
from reports.record import Key, Record, Recorded
from reports.throughput import throughput_table

SCREEN = 40
"""Lines of a report on one model."""
LEAST, MOST = 3, 25
"""How many lines that need attention are shown: what the screen has left, within these."""
REASONS = 6
"""How many distinct reasons of skipped answers are shown."""


def render(record: Record, models: Mapping[str, Model]) -> str:
    """The report on a record; claims and the order of rows come from the declarations in ``models``."""
    answers = list(record.answers.values())
    claims = published(record, models)
    head = [
        f"# Conformance run {escape(record.run)}",
        bullet(f"{_counts(answers)}; {judged_line(record, claims)}"),
        *_undeclared(answers, models),
        *_provenance(record, answers),
    ]
    sections = [
        _matrix(answers, models) + [""] * bool(_skipped(answers)) + _skipped(answers),
        accuracy_table(record, claims, models),
        agreement_table(record, models),
        throughput_table(record, claims, models),
    ]
    body = [line for section in sections if section for line in ("", *section)]
    room = SCREEN * len({answer.model for answer in answers}) - len(head) - len(body)
    return "\n".join([*head, *_attention(answers, room), *body]) + "\n"


def _provenance(record: Record, answers: list[Recorded]) -> list[str]:
    """What the figures depend on: a bullet for all of the run, and one for each phase of it."""
    commit, cpu, threads = (" / ".join(record.values(name)) or "not recorded" for name in ("commit", "cpu", "threads"))
    weights = sorted({f"{answer.model} {answer.weights}" for answer in answers if answered(answer)})
    facts = f"commit {commit}, written {record.written}, {cpu}, threads {threads}"
    lines = [bullet(f"{facts}, weights {'; '.join(weights) or 'none used'}")]
    asked = Counter(answer.provenance for answer in answers)
    for digest, found in record.provenance.items():
        rest = [
            f"{name.removeprefix('lib.')} {value}"
            for name, value in found.items()
            if name not in ("commit", "cpu", "threads") and value != "absent"
        ]
        lines.append(bullet(f"{asked[digest]} answers on {digest}: {', '.join(rest)}"))
    return lines


def _counts(answers: list[Recorded]) -> str:
    return f"{len(answers)} answers: {_tally(answer.verdict for answer in answers) or 'nothing was asked'}"


def _tally(verdicts: Iterable[Verdict]) -> str:
    """``5 pass, 1 FAIL``: every verdict that occurs, pass first and then what is worst."""
    found = Counter(verdicts)
    order = (Verdict.PASS, *(verdict for verdict in SEVERITY if verdict is not Verdict.PASS))
    return ", ".join(f"{found[verdict]} {shown(verdict)}" for verdict in order if found[verdict])


def _undeclared(answers: list[Recorded], models: Mapping[str, Model]) -> list[str]:
    names = sorted({answer.model for answer in answers} - set(models))
    if not names:
        return []
    return [
        bullet(f"not declared here, so without claims: {', '.join(names)}; --models=DIR reads further declarations")
    ]


def _attention(answers: list[Recorded], room: int) -> list[str]:
    """Every answer that is neither pass nor skipped; answers with the same line share a bullet."""
    wanted = [verdict for verdict in SEVERITY if verdict not in (Verdict.PASS, Verdict.SKIPPED)]
    lines = [
        bullet(f"{shown(verdict)} {_names(keys)}: {line}")
        for verdict in wanted
        for line, keys in _by_line(answers, verdict).items()
    ]
    if not lines:
        return []
    most = max(LEAST, min(room - 2, MOST))
    if len(lines) > most:
        # The line that says how many more there are needs one of the lines.
        hidden = len(lines) - max(LEAST, most - 1)
        lines = [*lines[:-hidden], bullet(f"and {hidden} more, in the record")]
    return ["", "**Needs attention**", *lines]


def _by_line(answers: list[Recorded], verdict: Verdict) -> dict[str, list[Key]]:
    found: dict[str, list[Key]] = {}
    for answer in answers:
        if answer.verdict is verdict:
            found.setdefault(answer.line, []).append(answer.key)
    return found


def _names(keys: list[Key]) -> str:
    """The answer's name, or how many there are of each question and reference and which is the first."""
    if len(keys) == 1:
        return str(keys[0])
    kinds = Counter(f"{key.question} {key.reference}" for key in keys)
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{len(keys)} answers ({counted}), first {keys[0].subject}"


def _skipped(answers: list[Recorded]) -> list[str]:
    """A bullet for each distinct reason."""
    reasons = _by_line(answers, Verdict.SKIPPED)
    ordered = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    lines = [bullet(f"skipped {_names(keys)}: {line}") for line, keys in ordered]
    if len(lines) > REASONS:
        hidden = [keys for _, keys in ordered[REASONS:]]
        more = f"skipped {sum(map(len, hidden))} for {len(hidden)} more reasons, in the record"
        lines = [*lines[:REASONS], bullet(more)]
    return lines


def _matrix(answers: list[Recorded], models: Mapping[str, Model]) -> list[str]:
    """A row for each form and backend, a column a question, and in each cell the verdicts of each reference."""
    if not answers:
        return []
    questions = [*QUESTIONS, *sorted({answer.key.question for answer in answers} - set(QUESTIONS))]
    rows = []
    for group, found in _with_builds(grouped(answers, models)).items():
        cells = [_cell([answer for answer in found if answer.key.question == question]) for question in questions]
        rows.append((str(group), *cells))
    return table(("Verdicts", *questions), rows)


def _with_builds(groups: dict[Group, list[Recorded]]) -> dict[Group, list[Recorded]]:
    """Answers on a form itself join the row of the backend that runs it, where there is exactly one."""
    merged = dict(groups)
    for form in [group for group in groups if not group.backend]:
        runs = [group for group in groups if group.backend and group.form_name == form.form_name]
        if len(runs) == 1:
            merged[runs[0]] = merged.pop(form) + merged[runs[0]]
    return merged


def _cell(answers: list[Recorded]) -> str:
    references = sorted({answer.key.reference for answer in answers})
    return "; ".join(f"{reference} {_of(answers, reference)}" for reference in references) or NONE


def _of(answers: list[Recorded], reference: str) -> str:
    return _tally(answer.verdict for answer in answers if answer.key.reference == reference)
