"""Two records compared: verdicts, samples, latency and provenance, and one exit code for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.model import Model
from harness.provenance import VOLATILE
from reports.changes import RED, Change, changes
from reports.flips import Flips, flips
from reports.latency import Ratio, is_time, ratio
from reports.measures import measure_of
from reports.pairs import NotComparable, answered, pairs
from reports.record import Key, Record, RecordError

SAME, WORSE, INCOMPARABLE = 0, 1, 2
NONE_DECLARED: Mapping[str, Model] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """A pair of answers that was not compared, and why."""

    key: Key
    reason: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One name of the provenance with its values in A and B; several where a run had phases."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that differs from A to B. ``limit`` is the latency ratio above which B got worse.

    Without a limit ratios are shown and not judged: two runs apart in time differ by a third on a shared machine.
    """

    a: Record
    b: Record
    limit: float | None
    changes: tuple[Change, ...]
    accuracy: tuple[Flips, ...]
    latency: tuple[Ratio, ...]
    unlike: tuple[Unlike, ...]
    provenance: tuple[Difference, ...]

    @property
    def common(self) -> int:
        """How many questions both answered, skipped ones left out."""
        return sum(answered(answer) and answered(self.b.answers.get(key)) for key, answer in self.a.answers.items())

    @property
    def still_red(self) -> tuple[Key, ...]:
        """What fails or is broken in B and was no better in A: red, though nothing got worse."""
        worse = {change.key for change in self.changes if change.worse}
        return tuple(key for key, found in self.b.answers.items() if found.verdict in RED and key not in worse)

    @property
    def worse(self) -> tuple[str, ...]:
        """What got worse, a line each."""
        slower = [found for found in self.latency if self.limit is not None and found.value > self.limit]
        return (
            *(f"{change.key}: {verdicts(change)}" for change in self.changes if change.worse),
            *(f"{found.key}: {found.told}" for found in self.accuracy if found.worse),
            *(f"{found.key}: {found.value:.3f} times the {found.time} time" for found in slower),
        )

    @property
    def exit_code(self) -> int:
        """1 where something got worse; else 2 where something that both measured could not be compared, or they have
        no answer in common: a comparison that compared nothing is not a green one; else 0."""
        if self.worse:
            return WORSE
        return INCOMPARABLE if self.unlike or not self.common else SAME


def compare(
    a: Record, b: Record, limit: float | None = None, models: Mapping[str, Model] = NONE_DECLARED
) -> Comparison:
    """Compares B with A, the earlier one. Figures are compared where they are figures of the same thing; how values
    are made of counts, the declarations in ``models`` say. Raises ``RecordError`` where one of them alone was made with
    stand-ins: what differs is then the tools, not the model."""
    _require_alike(a, b)
    found = changes(a, b)
    accuracy, latency, unlike = [], [], [_other_reference(change) for change in found if change.unmatched]
    for pair in pairs(a, b, "accuracy"):
        measured = [answer.count("n") is not None for answer in (pair.before, pair.after)]
        # Where only one side has figures, a change of verdict says so already; the same verdict would hide it.
        if all(measured) or (any(measured) and pair.before.verdict is pair.after.verdict):
            try:
                accuracy.append(flips(a, b, pair, measure_of(pair.after, models)))
            except NotComparable as error:
                unlike.append(Unlike(key=pair.key, reason=str(error)))
    for pair in pairs(a, b, "throughput"):
        # Times that mean nothing are shown as a verdict.
        if is_time(pair.before) and is_time(pair.after):
            try:
                latency.append(ratio(pair))
            except NotComparable as error:
                unlike.append(Unlike(key=pair.key, reason=str(error)))
    return Comparison(
        a=a,
        b=b,
        limit=limit,
        changes=tuple(found),
        accuracy=tuple(accuracy),
        latency=tuple(latency),
        unlike=tuple(sorted(unlike, key=lambda each: each.key.order)),
        provenance=differences(a, b),
    )


def _require_alike(a: Record, b: Record) -> None:
    if a.stands_in != b.stands_in:
        sides = {record.stands_in: f"{name} ({record.run})" for name, record in (("A", a), ("B", b))}
        raise RecordError(
            f"{sides[True]} was made with stand-in tools, {sides[False]} was not: what differs between them is no "
            "change of a device or a model; compare each with a run of its own kind"
        )


def verdicts(change: Change) -> str:
    """``pass -> fail``."""
    before, after = (found.verdict.value if found else "not asked" for found in (change.before, change.after))
    return f"{before} -> {after}"


def differences(a: Record, b: Record) -> tuple[Difference, ...]:
    """Every name of the provenance whose values differ, what changes from minute to minute left out."""
    names = {name for record in (a, b) for found in record.provenance.values() for name in found}
    return tuple(
        Difference(name=name, before=_joined(a, name), after=_joined(b, name))
        for name in sorted(names - set(VOLATILE))
        if a.values(name) != b.values(name)
    )


def _joined(record: Record, name: str) -> str:
    return " / ".join(record.values(name)) or "not recorded"


def _other_reference(change: Change) -> Unlike:
    side, other = ("A", "B") if change.after is None else ("B", "A")
    return Unlike(key=change.key, reason=f"reference: only in {side}, {other} answers under another one")
