"""Verdicts, the answers that carry them, and the errors that become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Verdict(StrEnum):
    """What an answer says. In pytest pass is passed, fail and broken are failed, the others skipped with the reason."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"
    INCONCLUSIVE = "inconclusive"
    BROKEN = "broken"


Figure = str | int | float | bool | None | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One question's answer. ``line`` says measured, expected, bound and n in one line; ``figures`` go to the record
    under their own names; ``outcomes`` is a file of per-sample outcomes, kept beside the record by its digest; ``log``
    is what a tool printed on the way, ``pictures`` are drawings of the worst samples, which the run keeps too."""

    verdict: Verdict
    line: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    outcomes: Path | None = None
    log: Path | None = None
    pictures: tuple[Path, ...] = ()


class Outcome(Exception):
    """An error that is itself an answer: it carries the verdict that the question gets, and the log of the tool that
    it comes from, where there is one."""

    verdict = Verdict.BROKEN

    def __init__(self, text: str, *, log: Path | None = None) -> None:
        super().__init__(text)
        self.log = log


class Absent(Outcome):
    """Something that the question needs is not here: says what, where it was looked for, and how to get it."""

    verdict = Verdict.SKIPPED


class Broken(Outcome):
    """The environment failed, not the model: a full disk, a damaged data set, a tool that cannot start."""


class Refused(Outcome):
    """What the model was made from, or became, is not what its declaration promises."""

    verdict = Verdict.FAIL
