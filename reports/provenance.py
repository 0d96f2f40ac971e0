"""What a record's figures depend on: one set of facts a phase, and the weights that were used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from harness.provenance import VOLATILE
from reports.pairs import answered
from reports.record import Record

STOOD_IN = "made with stand-in tools: no figure is of a device"
"""What the head of a report says of such a record."""


class Phase(NamedTuple):
    """What one part of a run ran on, and how many answers it gave."""

    digest: str
    answers: int
    facts: Mapping[str, str]


class Fact(NamedTuple):
    """One name of the provenance with its value in each phase; nothing where the phase did not keep it."""

    name: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the phases do not agree on it, though nothing had to change it."""
        return self.name not in VOLATILE and len(set(self.values)) > 1


def phases(record: Record) -> list[Phase]:
    """The phases of a run, by digest."""
    asked = Counter(answer.provenance for answer in record.answers.values())
    return [Phase(digest, asked[digest], found) for digest, found in record.provenance.items()]


def facts(found: list[Phase]) -> list[Fact]:
    """Every name that a phase kept, in the order in which they were kept."""
    names = dict.fromkeys(name for phase in found for name in phase.facts)
    return [Fact(name, tuple(phase.facts.get(name) for phase in found)) for name in names]


def weights(record: Record) -> list[str]:
    """The weights that answers were really given with, by model."""
    return sorted({f"{answer.model} {answer.weights}" for answer in record.answers.values() if answered(answer)})
