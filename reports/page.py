"""One record as a page of its own: everything that the record says, and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.model import Model
from harness.verdict import Verdict
from reports import (
    accuracy,
    agreement,
    arms,
    charts,
    classes,
    end_to_end,
    keep_float,
    layers,
    losses,
    memory,
    operators_table,
    throughput,
)
from reports.anchors import Anchors
from reports.claims import Published, not_judged, published, undeclared
from reports.licences import licences
from reports.pictures import drawn
from reports.provenance import STOOD_IN, facts, phases, weights
from reports.record import Key, Record, Recorded
from reports.text import plain, shortened
from reports.verdicts import Cause, Row, attention, counted, matrix, shown, skips, tally

SECTIONS = {
    "attention": "Needs attention",
    "verdicts": "Verdicts",
    "accuracy": "Accuracy",
    "pictures": "Pictures",
    "agreement": "Agreement",
    "device": "Device precision",
    "throughput": "Throughput",
    "provenance": "Provenance",
    "licences": "Licences",
    "answers": "Every answer",
}
LARGEST, COST = 1_850_000, 520
"""Bytes of a page of some thousands of answers without its pictures, and what one takes of it beside its line."""
LEAST, MOST = 80, 2000
"""Bytes of a line, whatever that leaves. What is cut is whole in the record."""
MOST_STRIPS = 200
"""How many rows of accuracy are drawn; all of them are in the table."""


MOST_NOTES = 3
"""How many notes stand below a line."""


class Link(NamedTuple):
    """A place in the page and its name."""

    anchor: str
    text: str


class Item(NamedTuple):
    """A cause with the answers that it is the cause of. ``notes`` say since when they are not green, and where the
    logs of tools are."""

    anchor: str
    cause: Cause
    line: str
    links: list[Link]
    notes: list[str]


class Told(NamedTuple):
    """An answer in the list of all. ``anchor`` is empty where the answer's place is elsewhere, which ``at`` names;
    ``cause`` is where its line stands, where others share it."""

    answer: Recorded
    anchor: str
    at: str
    cause: str
    line: str


class Part(NamedTuple):
    """The answers of one row of the matrix, by subject."""

    anchor: str
    row: Row
    subjects: list[tuple[Link, list[Told]]]


class Speeds(NamedTuple):
    """The throughput of one model."""

    title: Link
    points: list[str]
    series: list[tuple[throughput.Series, dict[str, throughput.Speed]]]
    chart: charts.Chart | None


def page(record: Record, models: Mapping[str, Model]) -> str:
    """The page on a record; claims, licences and the order of rows come from the declarations in ``models``."""
    view = _View(record, models)
    pictures = [(Link(view.place(key), str(key)), found) for key, found in drawn(record).items()]
    template = _environment().get_template("page.html.j2")
    return template.render(
        record=record,
        models=models,
        sections={name: title for name, title in SECTIONS.items() if name != "pictures" or pictures},
        pictures=pictures,
        **view.verdicts(),
        **view.figures(),
        **view.origins(),
    )


class _View:
    """What the template shows, in the order in which it shows it."""

    def __init__(self, record: Record, models: Mapping[str, Model]) -> None:
        self.record = record
        self.models = models
        self.answers = list(record.answers.values())
        self.claims: list[Published] = published(record, models)
        self.accuracy = accuracy.measured(record, self.claims, models)
        self.anchors = Anchors((*SECTIONS, "top", "contents"))
        for key in record.answers:
            self.place(key)
        self.matrix = matrix(self.answers, models)
        for row in self.matrix.rows:
            for answer in row.answers:
                self.subject(row, answer.key.subject)
        attended, skipped = attention(self.answers), skips(self.answers)
        # What needs attention or an action may take half of what is left; then what passed.
        left = LARGEST - COST * len(self.answers)
        self.room = _room(left // 2, len(attended) + len(skipped))
        passed = sum(answer.verdict is Verdict.PASS for answer in self.answers)
        self.passed_room = _room(left - self.room * (len(attended) + len(skipped)), passed)
        self.attention = [self._item("attention", number, cause) for number, cause in enumerate(attended, 1)]
        self.skipped = [self._item("skipped", number, cause) for number, cause in enumerate(skipped, 1)]

    def place(self, key: Key) -> str:
        """The id of an answer's place: ``accuracy-crnn-ort-fp32-bs8-bundled``."""
        return self.anchors.of("answer", key.question, key.subject, key.reference)

    def subject(self, row: Row, name: str) -> str:
        """The id of a subject's place: ``crnn-ort-fp32-bs8``."""
        return self.anchors.of(f"subject of {row.group}", name)

    def _item(self, kind: str, number: int, cause: Cause) -> Item:
        links = [Link(self.place(key), str(key)) for key in cause.keys]
        found = [self.record.answers[key] for key in cause.keys]
        logs = [f"log {log}" for answer in found if (log := answer.text("log"))]
        notes = list(dict.fromkeys([*filter(None, (answer.text("since") for answer in found)), *logs]))
        notes = [fitted(note, self.room) for note in notes[:MOST_NOTES]] + ["..."] * (len(notes) > MOST_NOTES)
        return Item(self.anchors.of(kind, f"{kind}-{number}"), cause, fitted(cause.line, self.room), links, notes)

    def verdicts(self) -> dict[str, object]:
        """What needs attention, and the matrix with the answers behind each row."""
        parts = self._parts(self.matrix.rows)
        left = not_judged(self.record, self.claims)
        return {
            "counts": counted(answer.verdict for answer in self.answers),
            "total": len(self.answers),
            "attention": self.attention,
            "skipped": self.skipped,
            "notes": [*([STOOD_IN] if self.record.stands_in else []), *undeclared(self.answers, self.models)],
            "claims": [(claim, claim not in left) for claim in self.claims],
            "questions": self.matrix.questions,
            "by_model": [
                (self.anchors.of("model", f"model-{name}"), name, list(each))
                for name, each in groupby(parts, key=lambda part: part.row.group.model)
            ],
            "parts": parts,
        }

    def _parts(self, rows: Sequence[Row]) -> list[Part]:
        causes = {key: item.anchor for item in (*self.attention, *self.skipped) for key in item.cause.keys}
        drawn = {row.answer.key for row in self.accuracy}
        return [
            Part(self.anchors.of("row", f"row-{row.group}"), row, list(self._subjects(row, causes, drawn)))
            for row in rows
        ]

    def _subjects(self, row: Row, causes: Mapping[Key, str], drawn: set[Key]) -> Iterator[tuple[Link, list[Told]]]:
        answers = sorted(row.answers, key=lambda answer: answer.key.order)
        for subject, found in groupby(answers, key=lambda answer: answer.key.subject):
            told = []
            for answer in found:
                at, cause = self.place(answer.key), causes.get(answer.key, "")
                line = "" if cause else fitted(answer.line, self.passed_room)
                told.append(Told(answer, "" if answer.key in drawn else at, at, cause, line))
            yield Link(self.subject(row, subject), subject), told

    def figures(self) -> dict[str, object]:
        """Accuracy, agreement, what a device's precision costs, and throughput."""
        edges = agreement.edges(self.record, self.models)
        first: dict[Key, accuracy.Measured] = {}
        for row in self.accuracy:
            first.setdefault(row.answer.key, row)
        drawn = [*charts.strips(self.accuracy[:MOST_STRIPS]), *[None] * len(self.accuracy[MOST_STRIPS:])]
        return {
            "accuracy": [
                (row, strip, self.place(row.answer.key) if first[row.answer.key] is row else "")
                for row, strip in zip(self.accuracy, drawn, strict=True)
            ],
            "metrics": accuracy.metrics(self.accuracy),
            "accuracy_header": accuracy.HEADER,
            "losses": [
                (found, losses.flipped(self.record, found))
                for found in losses.losses(self.record, self.claims, self.models)
            ],
            "losses_header": losses.HEADER,
            **keep_float.shown_on_page(self.record, self.models),
            "classes": classes.tables(self.record, self.models),
            "classes_header": classes.HEADER,
            "edges": edges,
            "references": agreement.references(edges),
            "agreement_header": agreement.HEADER,
            "layers": layers.compared(self.record, self.models),
            "layers_header": layers.HEADER,
            "layers_ranked": layers.RANKED,
            "arms": arms.arms(self.record, self.models),
            "arms_header": arms.HEADER,
            "speeds": self._speeds(),
            "throughput_header": throughput.HEADER,
            "end_to_end": end_to_end.rows(self.record, self.models),
            "end_to_end_header": end_to_end.HEADER,
            "memory": memory.rows(self.record, self.models),
            "memory_header": memory.HEADER,
            "operators": operators_table.tables(self.record, self.models),
            "operators_header": operators_table.HEADER,
        }

    def _speeds(self) -> list[Speeds]:
        found: dict[str, list[tuple[throughput.Series, dict[str, throughput.Speed]]]] = {}
        for series, cells in throughput.speeds(self.record, self.claims, self.models).items():
            found.setdefault(series.model, []).append((series, cells))
        return [
            Speeds(
                Link(self.anchors.of("speeds", f"throughput-{model}"), model),
                throughput.points(cells for _, cells in series),
                series,
                charts.chart(series),
            )
            for model, series in found.items()
        ]

    def origins(self) -> dict[str, object]:
        """What the figures depend on, and whose it is."""
        found = phases(self.record)
        return {
            "phases": found,
            "facts": facts(found),
            "weights": weights(self.record),
            "licences": licences(self.record, self.models),
        }


def _room(left: int, lines: int) -> int:
    """The bytes of each of so many lines."""
    return max(LEAST, min(MOST, left // max(lines, 1)))


def fitted(line: str, room: int) -> str:
    """The line, cut where it would take more than ``room`` bytes of a page."""
    line, taken = plain(line), 0
    for place, character in enumerate(line):
        taken += len(str(escape(character)).encode())
        if taken > room:
            return shortened(line, place)
    return line


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    found.filters |= {"shown": shown, "tally": tally}
    return found


def _clean(value: object) -> object:
    """Whatever a template shows, on one line and of bounded length."""
    return value if isinstance(value, Markup | int | float) else shortened(plain(str(value)), MOST)
