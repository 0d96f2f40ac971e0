"""The run folder: one fragment an answer, shared by workers, phases and restarted runs, and the record made of them.

``fragments/`` holds an answer each, written under a temporary name and renamed; ``outcomes/`` per-sample outcomes by
their digest; ``pictures/`` drawings of the worst samples; ``logs/`` what tools said; ``provenance/`` what each phase
ran on. ``record.json`` is written from all of them, as often as a phase ends, and is one flat object an answer. Whoever
reads a file and writes by what it says excludes the others by a lock, so whole runs may share a folder.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cells import Ask
from harness.history import FRAGMENTS, PROVENANCE, Since, from_project, read_json, since
from harness.provenance import INTEGERS, digest
from harness.store import file_digest
from harness.verdict import Answer, Verdict

SCHEMA = 1
RECORD = "record.json"
RED = (Verdict.FAIL, Verdict.BROKEN)
"""Verdicts that end a test with a failure line."""
OPTIONAL = {"outcomes", "log", "pictures", *Since("").fields()}
"""Fields that only some fragments have."""


def new_name() -> str:
    """``<utc>-<id>``: sorts by time, and two runs that start in one second differ."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


class Run:
    """A folder of answers. ``provenance`` is that of the process that adds them."""

    def __init__(self, folder: Path, provenance: Mapping[str, str]) -> None:
        self.folder = folder
        self.provenance = provenance
        self.damaged: list[Path] = []
        """What the last ``record`` could not read, and left out."""
        self._digest = digest(provenance)

    def add(self, ask: Ask, weights: str, answer: Answer, seconds: float) -> str:
        """Keeps an answer. Returns what else a failure line says: since when it is not green, and where the log is.

        A newer answer to the same question replaces an older one. Being skipped replaces an answer only where that
        was given by other software: a phase that does not ask a question does not undo the phase that did, but an
        answer of another commit is none of this one.
        """
        path = self._path(ask)
        fragment = self._fragment(ask, weights, answer, seconds)
        if clash := (fragment.keys() | OPTIONAL) & answer.figures.keys():
            raise ValueError(f"{path.stem}: figures named like fields of the record: {', '.join(sorted(clash))}")
        fragment |= answer.figures
        said = []
        if answer.verdict in RED:
            found = since(self.folder.parent, path.name, self.provenance, weights)
            fragment |= found.fields()
            said.append(found.line)
        with self._lock():
            if answer.verdict is Verdict.SKIPPED and self._stands(read_json(path)):
                return ""
            if answer.outcomes is not None:
                fragment["outcomes"] = self._keep(answer.outcomes)
            if answer.pictures:
                names = [self._copy(each, "pictures", f"{path.stem}-{each.name}") for each in answer.pictures]
                fragment["pictures"] = names
            if answer.log is not None:
                fragment["log"] = self._copy(answer.log, "logs", f"{path.stem}{answer.log.suffix or '.log'}")
                said.append(f"log {from_project(self.folder / fragment['log'])}")
            if not self._provenance(self._digest).exists():
                write_json(self._provenance(self._digest), dict(self.provenance))
            write_json(path, fragment)
        return "; ".join(said)

    def passed(self, ask: Ask, weights: str) -> bool:
        """Whether a process of the same provenance answered this question with a pass, with these weights."""
        found = read_json(self._path(ask))
        same = (found.get("provenance"), found.get("weights")) == (self._digest, weights)
        return same and found.get("verdict") == Verdict.PASS.value

    def record(self) -> Path:
        """Writes ``record.json`` from every fragment of the folder and returns its path."""
        with self._lock():
            # The lock covers reading too: the record that is written last is the one that was read last.
            self.damaged = []
            record = {
                "schema": SCHEMA,
                "run": self.folder.name,
                "written": _now(),
                "provenance": {path.stem: found for path, found in self._all(PROVENANCE)},
                "answers": [found for _, found in self._all(FRAGMENTS)],
            }
            write_json(self.folder / RECORD, record)
        return self.folder / RECORD

    def _fragment(self, ask: Ask, weights: str, answer: Answer, seconds: float) -> dict[str, Any]:
        # What was compiled for a device does not run on this machine's kernels.
        integers = INTEGERS if ask.form.quantisation and ask.cell and ask.cell.backend == "ort" else ()
        return {
            "cell": ask.cell.id if ask.cell else None,
            "subject": ask.subject,
            "model": ask.model.name,
            "form": ask.form.name,
            "backend": ask.cell.backend if ask.cell else None,
            "precision": ask.cell.precision if ask.cell else ask.form.precision,
            "point": ask.cell.point.id if ask.cell else None,
            "question": ask.question,
            "reference": ask.reference,
            "weights": weights,
            "verdict": answer.verdict.value,
            "line": answer.line,
            "answered": _now(),
            "seconds": round(seconds, 3),
            "threads": int(self.provenance["threads"]),
            "provenance": self._digest,
            **{name: self.provenance.get(name) for name in integers},
        }

    def _path(self, ask: Ask) -> Path:
        return self.folder / FRAGMENTS / f"{ask.question}--{ask.subject}--{ask.reference}.json"

    def _provenance(self, name: object) -> Path:
        return self.folder / PROVENANCE / f"{name}.json"

    def _stands(self, older: Mapping[str, Any]) -> bool:
        """Whether an older answer outlives being skipped now: machine and threads may differ, in a fleet or between
        phases, but not commit, Python and libraries."""
        if older.get("verdict") in (None, Verdict.SKIPPED.value):
            return False
        return _software(read_json(self._provenance(older.get("provenance")))) == _software(self.provenance)

    def _all(self, folder: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Every file of a folder that can be read, by name; the others are noted as damaged."""
        for path in sorted((self.folder / folder).glob("*.json")):
            if found := read_json(path):
                yield path, found
            else:
                self.damaged.append(path)

    def _keep(self, outcomes: Path) -> str:
        name = f"{file_digest(outcomes)[:16]}.jsonl"
        (self.folder / "outcomes").mkdir(parents=True, exist_ok=True)
        outcomes.replace(self.folder / "outcomes" / name)
        return name

    def _copy(self, file: Path, folder: str, name: str) -> str:
        """A file's path in the run folder; where it cannot be copied, the path where it lies: no answer is lost."""
        try:
            with _whole(self.folder / folder / name) as temporary:
                shutil.copyfile(file, temporary)
        except OSError:
            return str(file)
        return f"{folder}/{name}"

    def _lock(self) -> AbstractContextManager[object]:
        """Excludes every other process and thread that shares the folder, until leaving."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a file whole or not at all. Raises ``TypeError`` for what is not JSON."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with _whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``, which it becomes on leaving; nothing stays of it where that fails. Its name is
    drawn: on hosts and in containers that share the folder, process ids are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _software(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in provenance.items() if name in ("commit", "python") or name.startswith("lib.")
    }


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
