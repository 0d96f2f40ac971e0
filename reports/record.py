"""Finds the record of a run and reads it: typed, keyed by (subject, question, reference), or an error that says what
to do. A record that cannot be trusted as a whole is refused as a whole."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.provenance import stands_in
from harness.registry import PROJECT
from harness.run import RECORD, SCHEMA
from harness.verdict import Verdict
from reports.order import natural_order

RESULTS = PROJECT / "results"
LATEST = re.compile(r"latest(?:~(\d+))?")
TEXTS = ("subject", "model", "form", "precision", "question", "reference", "weights", "verdict", "line", "provenance")
OPTIONAL = ("cell", "backend", "point")


class RecordError(Exception):
    """A run or its record is not there or not readable; the text says what was found and what to do."""


class Key(NamedTuple):
    """What an answer is the answer to. Figures of one reference are never those of another, so it is in the key."""

    subject: str
    question: str
    reference: str

    @property
    def order(self) -> list[list[tuple[bool, int, str]]]:
        """What keys are sorted by: batch 8 before batch 16."""
        return [natural_order(part) for part in self]

    def __str__(self) -> str:
        return f"{self.question} {self.subject} ({self.reference})"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One answer of a record. ``figures`` holds what its question measured, under the names of the record."""

    key: Key
    verdict: Verdict
    line: str
    model: str
    form: str
    backend: str | None
    precision: str
    point: str | None
    weights: str
    provenance: str
    figures: Mapping[str, object]

    def number(self, name: str) -> float | None:
        """A figure that is a finite number, or nothing."""
        found = self.figures.get(name)
        numeric = isinstance(found, int | float) and not isinstance(found, bool)
        return float(found) if numeric and math.isfinite(found) else None  # type: ignore[arg-type]

    def count(self, name: str) -> int | None:
        """A figure that is a whole number, or nothing."""
        found = self.figures.get(name)
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def text(self, name: str) -> str | None:
        """A figure that is a text, or nothing."""
        found = self.figures.get(name)
        return found if isinstance(found, str) else None


@dataclass(frozen=True, kw_only=True)
class Record:
    """A run as it was recorded. ``provenance`` holds what each of its phases ran on, by digest."""

    path: Path
    run: str
    written: str
    provenance: Mapping[str, Mapping[str, str]]
    answers: Mapping[Key, Recorded]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.path.parent

    @property
    def stands_in(self) -> bool:
        """Whether any phase ran with tools that only play a vendor's: then no figure is of a device."""
        return any(stands_in(found) for found in self.provenance.values())

    def values(self, name: str) -> tuple[str, ...]:
        """The distinct values of one name of the provenance over all phases, sorted; empty where it was not kept."""
        return tuple(sorted({found[name] for found in self.provenance.values() if name in found}))


def answers_to(record: Record, question: str) -> list[Recorded]:
    """The answers to one question, by subject and reference."""
    return [answer for answer in record.answers.values() if answer.key.question == question]


def find(run: str, results: Path = RESULTS) -> Path:
    """The path of a record: of a run folder, of a ``record.json``, or of the last run (``latest``) or the N-th before
    it (``latest~N``) in ``results``, where folders with a record count, in the order of their names."""
    if wanted := LATEST.fullmatch(run):
        back = int(wanted[1] or 0)
        runs = recorded_runs(results)
        if back >= len(runs):
            raise RecordError(
                f"{run}: {results} holds {len(runs)} run{'' if len(runs) == 1 else 's'} with a {RECORD}, "
                f"{back + 1} needed; make one with pytest, or name another folder with --results=DIR"
            )
        return runs[-1 - back] / RECORD
    path = Path(run).expanduser()
    if path.is_file():
        return path
    if (path / RECORD).is_file():
        return path / RECORD
    if (path / "fragments").is_dir():
        raise RecordError(
            f"{path}: holds answers, but no {RECORD}: its pytest run did not end; end it with pytest --run={path}"
        )
    missing = f"holds no {RECORD}" if path.is_dir() else "no such run"
    raise RecordError(f"{path}: {missing}; give a run folder, its {RECORD}, latest or latest~N (looks in {results})")


def recorded_runs(results: Path) -> list[Path]:
    """The run folders in ``results`` that hold a record, in the order of their names."""
    return sorted(path.parent for path in results.glob(f"*/{RECORD}") if path.is_file())


def read(path: Path) -> Record:
    """The record in a file. Raises ``RecordError`` where it is cut short, of another schema, or not a record."""
    content = _content(path)
    if content.get("schema") != SCHEMA:
        raise RecordError(
            f"{path}: schema {content.get('schema')!r} found, {SCHEMA} supported; read it with the commit of the suite "
            f"that wrote it{_commits(content)}, or run the suite again"
        )
    answers = content.get("answers")
    provenance = content.get("provenance")
    if not isinstance(answers, list) or not isinstance(provenance, dict):
        raise RecordError(f"{path}: no list of answers or no provenance: not a record of this suite; {_again(path)}")
    by_key: dict[Key, Recorded] = {}
    for number, fields in enumerate(answers):
        answer = _answer(fields, f"{path}: answers[{number}]")
        if answer.key in by_key:
            raise RecordError(f"{path}: answers[{number}]: {answer.key} is answered twice; {_again(path)}")
        by_key[answer.key] = answer
    return Record(
        path=path,
        run=str(content.get("run", path.parent.name)),
        written=str(content.get("written", "unknown")),
        provenance={
            digest: {str(name): str(value) for name, value in found.items()}
            for digest, found in sorted(provenance.items())
            if isinstance(found, dict)
        },
        answers={key: by_key[key] for key in sorted(by_key, key=lambda key: key.order)},
    )


def _content(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise RecordError(
            f"{path}: cut short or damaged: {error.msg} at line {error.lineno}, column {error.colno}; {_again(path)}"
        ) from error
    except ValueError as error:
        raise RecordError(f"{path}: damaged: {error}; {_again(path)}") from error
    if not isinstance(content, dict):
        raise RecordError(f"{path}: holds a {type(content).__name__}, not a record; {_again(path)}")
    return content


def _answer(fields: object, where: str) -> Recorded:
    if not isinstance(fields, dict):
        raise RecordError(f"{where}: a {type(fields).__name__}, expected an answer with named fields")
    for name in TEXTS:
        if not isinstance(fields.get(name), str):
            raise RecordError(f"{where}.{name}: {fields.get(name)!r}, expected a text")
    for name in OPTIONAL:
        if not isinstance(fields.get(name), str | None):
            raise RecordError(f"{where}.{name}: {fields[name]!r}, expected a text or nothing")
    try:
        verdict = Verdict(fields["verdict"])
    except ValueError as error:
        raise RecordError(f"{where}.verdict: {error}; known: {', '.join(Verdict)}") from error
    return Recorded(
        key=Key(fields["subject"], fields["question"], fields["reference"]),
        verdict=verdict,
        figures={name: value for name, value in fields.items() if name not in (*TEXTS, *OPTIONAL)},
        line=fields["line"],
        model=fields["model"],
        form=fields["form"],
        backend=fields.get("backend"),
        precision=fields["precision"],
        point=fields.get("point"),
        weights=fields["weights"],
        provenance=fields["provenance"],
    )


def _commits(content: Mapping[str, object]) -> str:
    provenance = content.get("provenance")
    found = provenance.values() if isinstance(provenance, dict) else ()
    commits = sorted({str(each["commit"]) for each in found if isinstance(each, dict) and "commit" in each})
    return f" ({', '.join(commits)})" if commits else ""


def _again(path: Path) -> str:
    return f"restore it, or write it again from its fragments with pytest --run={path.parent}"
