"""Since when a question is not green: the last run beside this one in which it passed, and what differs since.

Runs are the folders of one results folder, the newest the last by name. The run itself is one of them: a pass that it
held, and that a later phase replaced by a failure, counts. Answers that were given with stand-ins for a vendor's tools
are no history of those given without, nor the reverse.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from harness.provenance import VOLATILE, stands_in
from harness.registry import PROJECT
from harness.verdict import Verdict

FRAGMENTS, PROVENANCE = "fragments", "provenance"
"""The folders of a run that are read here."""
LOOK_BACK = 100
"""How many earlier answers are read: months of nightly runs, in a tenth of a second."""
SHOWN = 6
"""How many differences the line names."""
LONGEST = 48
"""Letters of each value in the line."""


@dataclass(frozen=True)
class Green:
    """The last pass of a question: in which run, when, on which provenance (by digest) and with which weights."""

    run: str
    answered: str | None
    provenance: str | None
    weights: str | None


@dataclass(frozen=True)
class Since:
    """Since when a question is not green, in words, and its last pass where there was one."""

    line: str
    green: Green | None = None

    def fields(self) -> dict[str, str | None]:
        """What the record keeps of it."""
        green = asdict(self.green) if self.green else {}
        return {"since": self.line} | {f"green_{field.name}": green.get(field.name) for field in fields(Green)}


def since(results: Path, name: str, now: Mapping[str, str], weights: str) -> Since:
    """Looks for the last pass among the fragments called ``name`` of all runs in ``results``.

    ``now`` and ``weights`` are what the answer of today was given with. Files that cannot be read as answers are passed
    over, whoever wrote them. At most ``LOOK_BACK`` answers are read.
    """
    where = from_project(results)
    read = others = 0
    for run in _runs(results):
        found = read_json(run / FRAGMENTS / name)
        if not isinstance(found.get("verdict"), str):
            continue
        read += 1
        # A pass that it kept from an earlier phase is of its own kind: it was found here.
        if stands_in(_ran_on(run, found.get("provenance"))) != stands_in(now):
            others += 1
        elif green := _green(run.name, found):
            return Since(_said(green, results, now, weights), green)
        if read == LOOK_BACK:
            return Since(f"never green in its last {LOOK_BACK} answers in {where}{_left_out(others, now)}")
    if read == others:
        return Since(f"no earlier run in {where} asked it{_left_out(others, now)}")
    asked = f"asked there {read - others} time{'' if read - others == 1 else 's'} before"
    return Since(f"never green in {where}, {asked}{_left_out(others, now)}")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """``name old -> new`` for each part of a provenance that differs; of long values only the words that do."""
    names = [name for name in {**now, **before} if name not in VOLATILE and before.get(name) != now.get(name)]
    return [f"{_short(name)} {_words(before.get(name), now.get(name))}" for name in names]


def read_json(path: Path) -> dict[str, Any]:
    """The named fields in a file, or none where it is missing, cut short, or holds something else."""
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def from_project(path: Path) -> Path:
    """The path as it is typed in the project's folder."""
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


def _runs(results: Path) -> Iterator[Path]:
    """The folders in ``results``, the last name first. Links are left out: what they name is there itself."""
    try:
        with os.scandir(results) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in sorted(names, reverse=True):
        yield results / name


def _green(run: str, found: Mapping[str, Any]) -> Green | None:
    """The pass that a run gave, or gave before a later phase of it failed."""
    if found["verdict"] == Verdict.PASS.value:
        kept = found
    elif found.get("green_run") == run:
        kept = {name: found.get(f"green_{name}") for name in ("answered", "provenance", "weights")}
    else:
        return None
    texts = (kept.get(name) for name in ("answered", "provenance", "weights"))
    return Green(run, *(text if isinstance(text, str) else None for text in texts))


def _ran_on(run: Path, digest: object) -> dict[str, Any]:
    return read_json(run / PROVENANCE / f"{digest}.json")


def _left_out(others: int, now: Mapping[str, str]) -> str:
    """What a line says of answers that are no history of this one."""
    given = "without the stand-ins of now" if stands_in(now) else "with stand-ins for a vendor's tools"
    return f"; left out: {others} given {given}" if others else ""


def _said(green: Green, results: Path, now: Mapping[str, str], weights: str) -> str:
    before = _ran_on(results / green.run, green.provenance)
    # A process that died, or an error before the weights were read, knows only the reference's name.
    known = green.weights and "sha256:" in weights
    changed = differences({"weights": green.weights}, {"weights": weights}) if known else []
    changed += differences(before, now) if before else ["what else is unknown: what it ran on was not kept"]
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    text = f"since then {', '.join(changed[:SHOWN])}{more}" if changed else "on the same commit, libraries and machine"
    when = f" ({green.answered})" if green.answered else ""
    return f"last green in {green.run}{when}, {text}"


def _words(before: object, now: object) -> str:
    """``old -> new``, without the words that both have."""
    old, new = ("absent" if value is None else str(value) for value in (before, now))
    lost, gained = ([word for word in a.split() if word not in b.split()] for a, b in ((old, new), (new, old)))
    if not lost and not gained:
        return f"{_short(old)} -> {_short(new)}"
    return f"{_short(' '.join(lost) or 'none')} -> {_short(' '.join(gained) or 'none')}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
