"""Verdicts that differ between two records, and answers that only one of them has."""

from __future__ import annotations

from dataclasses import dataclass

from harness.verdict import Verdict
from reports.pairs import answered
from reports.record import Key, Record, Recorded

RANK = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2, Verdict.BROKEN: 3}
"""From best to worst: a broken answer says least."""
RED = (Verdict.FAIL, Verdict.BROKEN)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One question that A and B do not answer alike. ``kind`` says how, ``worse`` whether that ends with 1."""

    key: Key
    before: Recorded | None
    after: Recorded | None
    kind: str
    worse: bool
    unmatched: bool = False
    """Whether the other record asks the same of the same subject under another reference: nothing to compare with."""


def changes(a: Record, b: Record) -> list[Change]:
    """Every change, by subject. An answer that vanished is worse: what is not asked any more cannot fail."""
    found = [_change(key, a, b) for key in sorted({*a.answers, *b.answers}, key=lambda key: key.order)]
    return [change for change in found if change is not None]


def _change(key: Key, a: Record, b: Record) -> Change | None:
    before, after = a.answers.get(key), b.answers.get(key)
    if before is not None and after is not None and before.verdict is after.verdict:
        return None
    red = after is not None and after.verdict in RED
    if (before is None and _elsewhere(key, a, b)) or (after is None and _elsewhere(key, b, a)):
        return Change(key=key, before=before, after=after, kind="another reference", worse=red, unmatched=True)
    kind, worse = _kind(before, after)
    return Change(key=key, before=before, after=after, kind=kind, worse=worse or (red and not answered(before)))


def _kind(before: Recorded | None, after: Recorded | None) -> tuple[str, bool]:
    if before is None:
        return "new", False
    if after is None:
        return "vanished", True
    if not answered(after):
        return "not answered any more", True
    if not answered(before):
        return "answered now", False
    worse = RANK[after.verdict] > RANK[before.verdict]
    return ("worse" if worse else "better"), worse


def _elsewhere(key: Key, missing: Record, present: Record) -> bool:
    """Whether ``missing``, which has no such answer, answers the question under a reference that ``present`` lacks."""
    return any(
        (other.subject, other.question) == (key.subject, key.question) and other not in present.answers
        for other, answer in missing.answers.items()
        if answered(answer)
    )
