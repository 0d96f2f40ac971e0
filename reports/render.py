"""One record as Markdown that fits a screen: what needs attention first, then verdicts, then figures."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model import Model
from reports.claims import judged_line, published, undeclared
from reports.figures import (
    accuracy_table,
    agreement_table,
    class_tables,
    device_table,
    end_to_end_table,
    keep_float_table,
    layer_table,
    loss_table,
    memory_table,
    operator_table,
    throughput_table,
)
from reports.markdown import bullet, escape, table
from reports.provenance import STOOD_IN, phases, weights
from reports.record import Record, Recorded
from reports.text import NONE
from reports.verdicts import attention, matrix, shown, skips, summary

SCREEN = 60
"""Lines of a report on one model, with a device."""
LEAST, MOST = 3, 25
"""How many lines that need attention are shown: what the screen has left, within these."""
REASONS = 6
"""How many distinct reasons of skipped answers are shown."""


def render(record: Record, models: Mapping[str, Model]) -> str:
    """The report on a record; claims and the order of rows come from the declarations in ``models``."""
    answers = list(record.answers.values())
    claims = published(record, models)
    skipped = _skipped(answers)
    head = [
        f"# Conformance run {escape(record.run)}",
        bullet(f"{summary(answers)}; {judged_line(record, claims)}"),
        *([bullet(STOOD_IN)] if record.stands_in else []),
        *map(bullet, undeclared(answers, models)),
        *_provenance(record),
    ]
    sections = [
        _matrix(answers, models) + [""] * bool(skipped) + skipped,
        accuracy_table(record, claims, models),
        loss_table(record, claims, models),
        keep_float_table(record, models),
        class_tables(record, models),
        agreement_table(record, models),
        layer_table(record, models),
        device_table(record, models),
        throughput_table(record, claims, models),
        end_to_end_table(record, models),
        memory_table(record, models),
        operator_table(record, models),
    ]
    body = [line for section in sections if section for line in ("", *section)]
    room = SCREEN * len({answer.model for answer in answers}) - len(head) - len(body)
    return "\n".join([*head, *_attention(answers, room), *body]) + "\n"


def _provenance(record: Record) -> list[str]:
    """What the figures depend on: a bullet for all of the run, and one for each phase of it."""
    commit, cpu, threads = (" / ".join(record.values(name)) or "not recorded" for name in ("commit", "cpu", "threads"))
    facts = f"commit {commit}, written {record.written}, {cpu}, threads {threads}"
    lines = [bullet(f"{facts}, weights {'; '.join(weights(record)) or 'none used'}")]
    for phase in phases(record):
        rest = [
            f"{name.removeprefix('lib.')} {value}"
            # Libraries last: there are many, and a bullet has an end.
            for name, value in sorted(phase.facts.items(), key=lambda fact: fact[0].startswith("lib."))
            if name not in ("commit", "cpu", "threads") and value != "absent"
        ]
        lines.append(bullet(f"{phase.answers} answers on {phase.digest}: {', '.join(rest)}"))
    return lines


def _attention(answers: list[Recorded], room: int) -> list[str]:
    """Every answer that is neither pass nor skipped; answers with the same line share a bullet."""
    lines = [bullet(f"{shown(cause.verdict)} {cause.names}: {cause.line}") for cause in attention(answers)]
    if not lines:
        return []
    most = max(LEAST, min(room - 2, MOST))
    if len(lines) > most:
        # The line that says how many more there are needs one of the lines.
        hidden = len(lines) - max(LEAST, most - 1)
        lines = [*lines[:-hidden], bullet(f"and {hidden} more, in the record")]
    return ["", "**Needs attention**", *lines]


def _skipped(answers: list[Recorded]) -> list[str]:
    """A bullet for each distinct reason."""
    causes = skips(answers)
    lines = [bullet(f"skipped {cause.names}: {cause.line}") for cause in causes[:REASONS]]
    if hidden := causes[REASONS:]:
        more = sum(len(cause.keys) for cause in hidden)
        lines.append(bullet(f"skipped {more} for {len(hidden)} more reasons, in the record"))
    return lines


def _matrix(answers: list[Recorded], models: Mapping[str, Model]) -> list[str]:
    """A row for each form and backend, a column a question, and in each cell the verdicts of each reference."""
    found = matrix(answers, models)
    rows = [(str(row.group), *("; ".join(map(str, cell)) or NONE for cell in row.cells)) for row in found.rows]
    return table(("Verdicts", *found.questions), rows) if rows else []
