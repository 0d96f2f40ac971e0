"""Answers of two records to the same question, and when their figures cannot be put side by side."""

from __future__ import annotations

from dataclasses import dataclass

from harness.verdict import Verdict
from reports.record import Key, Record, Recorded


class NotComparable(Exception):
    """Two answers whose figures are not figures of the same thing; the text says what differs, with both values."""


class NoOutcomes(NotComparable):
    """An answer whose outcomes are not there, not readable, or not those of its figures."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What A and B answered to the same question about the same subject under the same reference."""

    key: Key
    before: Recorded
    after: Recorded

    def require_same(self, what: str, before: str | None, after: str | None) -> None:
        """Raises ``NotComparable`` where the two values differ or one of them was not recorded."""
        if before != after or before is None:
            raise NotComparable(f"{what}: A {before or 'not recorded'}, B {after or 'not recorded'}")


def pairs(a: Record, b: Record, question: str) -> list[Pair]:
    """The pairs of answers to one question, by subject and reference."""
    return [
        Pair(key=key, before=before, after=b.answers[key])
        for key, before in a.answers.items()
        if key.question == question and key in b.answers
    ]


def answered(answer: Recorded | None) -> bool:
    """Whether the question was asked and not skipped."""
    return answer is not None and answer.verdict is not Verdict.SKIPPED
