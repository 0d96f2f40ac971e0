"""Accuracy compared sample by sample: which samples were right in A and wrong in B, and the reverse."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.judge import Measure, OverPictures
from harness.paired import mcnemar
from reports.classes import Change, changes
from reports.drift import Drift, drift
from reports.measures import named, sets
from reports.pairs import NoOutcomes, NotComparable, Pair
from reports.record import Key, Record, Recorded

SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was answered to one sample, what is true, and whether that is a hit; what it counts, where that is kept; and
    of a quantised form what its float one answered."""

    predicted: str
    truth: str
    hit: bool
    counts: Mapping[str, float] | None = None
    single: Outcome | None = None


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Samples that changed sides, in the order of their ids, and the hits of n on both sides. ``drift`` is that of a
    value which is pooled, of boxes or pixels and not of samples; ``classes`` of pixels those whose IoU fell, the most
    first."""

    key: Key
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    hits: tuple[int, int]
    n: int
    drift: Drift | None = None
    classes: tuple[Change, ...] = ()

    @property
    def p(self) -> float:
        """The exact two-sided McNemar p."""
        return mcnemar(len(self.lost), len(self.gained))

    @property
    def worse(self) -> bool:
        """More lost than gained, and not by chance; of a pooled value, that it fell, and not by chance."""
        if self.drift is not None:
            return self.drift.worse
        return len(self.lost) > len(self.gained) and self.p < SIGNIFICANT

    @property
    def same(self) -> bool:
        """Whether no sample is answered better or worse than before."""
        return not self.lost and not self.gained and not (self.drift and self.drift.changed)

    @property
    def told(self) -> str:
        """In one line, with what ``worse`` is decided by."""
        moved = f"lost {len(self.lost)} samples, gained {len(self.gained)}"
        return f"{self.drift}; {moved}" if self.drift else f"{moved}, p = {self.p:.4g}"


def flips(a: Record, b: Record, pair: Pair, measure: Measure | None = None) -> Flips:
    """The flips of a pair of accuracy answers, whose metric's value is made by ``measure``.

    Raises ``NotComparable`` where weights, metric or samples differ, or where the value is made of counts in a way that
    is not known, and ``NoOutcomes`` where outcomes or their counts are missing: then the difference of two shares says
    less than it seems to.
    """
    pair.require_same("weights", pair.before.weights, pair.after.weights)
    pair.require_same("metric", pair.before.text("metric"), pair.after.text("metric"))
    before, after = outcomes(a, pair.before, "A"), outcomes(b, pair.after, "B")
    if before.keys() != after.keys():
        only_a, only_b = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
        raise NotComparable(f"sample ids: {_ids(only_a)} only in A, {_ids(only_b)} only in B")
    changed = sorted(name for name in before if before[name].truth != after[name].truth)
    if changed:
        raise NotComparable(f"truth of samples: {_ids(changed)} differ")
    return Flips(
        key=pair.key,
        lost=tuple(sorted(name for name in before if before[name].hit and not after[name].hit)),
        gained=tuple(sorted(name for name in before if after[name].hit and not before[name].hit)),
        hits=(_hits(before), _hits(after)),
        n=len(before),
        drift=_drift(pair, measure, before, after),
        classes=tuple(change for change in changes(pair.before, pair.after) if change.difference < 0),
    )


def outcomes(record: Record, answer: Recorded, side: str) -> dict[str, Outcome]:
    """The outcomes of an answer by sample id. Raises ``NoOutcomes`` where they are not there, not readable, or
    not those of the answer's figures."""
    name = answer.text("outcomes")
    if name is None:
        raise NoOutcomes(f"outcomes: {side} recorded none")
    path = record.folder / "outcomes" / name
    if "/" in name or "\\" in name or not path.is_file():
        raise NoOutcomes(f"outcomes: {side} has no file outcomes/{name} in its run folder")
    found: dict[str, Outcome] = {}
    try:
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                fields = json.loads(line)
                if fields["id"] in found:
                    raise NoOutcomes(f"outcomes: {side} holds the sample {fields['id']} twice")
                found[fields["id"]] = _outcome(fields, str(fields["truth"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoOutcomes(
            f"outcomes: {side} cannot be read, outcomes/{name} line {len(found) + 1}: {type(error).__name__}: {error}"
        ) from error
    # Sets that are not pooled have outcomes too, and do not count in the answer's own figures.
    hits, n = (answer.count(f"outcomes_{count}") or answer.count(count) for count in ("hits", "n"))
    if (_hits(found), len(found)) != (hits, n):
        raise NoOutcomes(
            f"outcomes: {side} holds {_hits(found)} hits of {len(found)} in outcomes/{name}, "
            f"its record says {hits} of {n}"
        )
    return found


def _outcome(fields: Mapping[str, Any], truth: str) -> Outcome:
    """What a line says of one sample, and of its float answer. Raises as ``_counts``, and ``KeyError``."""
    return Outcome(
        predicted=str(fields["predicted"]),
        truth=truth,
        hit=fields["hit"] is True,
        counts=_counts(fields.get("counts")),
        single=_outcome(fields["float"], truth) if "float" in fields else None,
    )


def _counts(found: object) -> dict[str, float] | None:
    """What a line counts, if it does. Raises ``ValueError`` for what is no count."""
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ValueError(f"counts {found!r}, expected numbers by name")
    for name, count in found.items():
        if not isinstance(count, int | float) or isinstance(count, bool) or not 0 <= count < math.inf:
            raise ValueError(f"counts {name} {count!r}, expected a number from 0")
    return found


def _drift(
    pair: Pair, measure: Measure | None, before: Mapping[str, Outcome], after: Mapping[str, Outcome]
) -> Drift | None:
    """The drift of a pair's value, where pictures have it together. Raises as ``flips`` says."""
    if measure is None and any(outcome.counts for outcome in (*before.values(), *after.values())):
        raise NotComparable(
            f"metric: how {named(pair.after)} is made of its counts is not declared here; --models=DIR reads further "
            "declarations"
        )
    if not isinstance(measure, OverPictures):
        return None
    ids, sides = sorted(before), []
    for side, answer, found in (("A", pair.before, before), ("B", pair.after, after)):
        counts = [found[name].counts or {} for name in ids]
        for column in dict.fromkeys(("n", *measure.summed)):
            if missing := [name for name, each in zip(ids, counts, strict=True) if column not in each]:
                raise NoOutcomes(f"outcomes: {side} holds no {column} of {_ids(missing)} samples")
            counted, recorded = sum(each[column] for each in counts), _recorded(answer, column)
            if counted != recorded:
                raise NoOutcomes(f"outcomes: {side} holds {column} {counted:g}, its record says {_shown(recorded)}")
        sides.append(counts)
    return drift(named(pair.after), measure, *sides)


def _recorded(answer: Recorded, column: str) -> float | None:
    """The sum of a count over all outcomes of an answer, of sets that are not pooled too."""
    if answer.count("outcomes_n") is None:
        return answer.number(column)
    return sum(answer.number(f"{part}: {column}") or 0 for part in sets(answer))


def _shown(count: float | None) -> str:
    return "nothing" if count is None else f"{count:g}"


def _hits(found: Mapping[str, Outcome]) -> int:
    return sum(outcome.hit for outcome in found.values())


def _ids(names: list[str]) -> str:
    """How many, and the first of them."""
    return f"{len(names)} ({names[0]}{', ...' if len(names) > 1 else ''})" if names else "0"
