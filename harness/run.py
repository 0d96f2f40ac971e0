"""The run folder: one fragment an answer, shared by workers, phases and restarted runs, and the record made of them.

``fragments/`` holds an answer each, written under a temporary name and renamed; ``outcomes/`` per-sample outcomes by
their digest; ``provenance/`` what each phase ran on. ``record.json`` is written from all of them, as often as a phase
ends, and is one flat object an answer.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cells import Ask
from harness.provenance import digest
from harness.store import file_digest
from harness.verdict import Answer, Verdict

SCHEMA = 1
RECORD = "record.json"


def new_name() -> str:
    """``<utc>-<id>``: sorts by time, and two runs that start in one second differ."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


class Run:
    """A folder of answers. ``provenance`` is that of the process that adds them."""

    def __init__(self, folder: Path, provenance: Mapping[str, str]) -> None:
        self.folder = folder
        self.provenance = provenance
        self._digest = digest(provenance)

    def add(self, ask: Ask, weights: str, answer: Answer, seconds: float) -> None:
        """Keeps an answer. A newer answer to the same question replaces an older one, but being skipped replaces
        nothing: a phase that does not ask a question does not undo the phase that did."""
        path = self._path(ask)
        if answer.verdict is Verdict.SKIPPED and path.exists():
            return
        fragment: dict[str, object] = {
            "cell": ask.cell.id if ask.cell else None,
            "subject": ask.subject,
            "model": ask.model.name,
            "form": ask.form.name,
            "backend": ask.cell.backend if ask.cell else None,
            "precision": ask.form.precision,
            "point": ask.cell.point.id if ask.cell else None,
            "question": ask.question,
            "reference": ask.reference,
            "weights": weights,
            "verdict": answer.verdict.value,
            "line": answer.line,
            "seconds": round(seconds, 3),
            "threads": int(self.provenance["threads"]),
            "provenance": self._digest,
        }
        if clash := fragment.keys() & answer.figures.keys():
            raise ValueError(f"{path.stem}: figures named like fields of the record: {', '.join(sorted(clash))}")
        fragment |= answer.figures
        if answer.outcomes is not None:
            fragment["outcomes"] = self._keep(answer.outcomes)
        write_json(self.folder / "provenance" / f"{self._digest}.json", dict(self.provenance))
        write_json(path, fragment)

    def passed(self, ask: Ask) -> bool:
        """Whether a process of the same provenance answered this question with a pass."""
        path = self._path(ask)
        found = _read(path) if path.exists() else {}
        return found.get("verdict") == Verdict.PASS.value and found.get("provenance") == self._digest

    def record(self) -> Path:
        """Writes ``record.json`` from every fragment of the folder and returns its path."""
        fragments = [_read(path) for path in sorted((self.folder / "fragments").glob("*.json"))]
        provenances = {path.stem: _read(path) for path in sorted((self.folder / "provenance").glob("*.json"))}
        record = {
            "schema": SCHEMA,
            "run": self.folder.name,
            "written": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "provenance": provenances,
            "answers": fragments,
        }
        write_json(self.folder / RECORD, record)
        return self.folder / RECORD

    def _path(self, ask: Ask) -> Path:
        return self.folder / "fragments" / f"{ask.question}--{ask.subject}--{ask.reference}.json"

    def _keep(self, outcomes: Path) -> str:
        name = f"{file_digest(outcomes)[:16]}.jsonl"
        (self.folder / "outcomes").mkdir(parents=True, exist_ok=True)
        outcomes.replace(self.folder / "outcomes" / name)
        return name


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a file whole or not at all. Raises ``TypeError`` for what is not JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    temporary.replace(path)


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
