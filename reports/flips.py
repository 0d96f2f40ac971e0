"""Accuracy compared sample by sample: which samples were right in A and wrong in B, and the reverse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from reports.pairs import NoOutcomes, NotComparable, Pair
from reports.record import Key, Record, Recorded

SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was answered to one sample, what is true, and whether that is a hit."""

    predicted: str
    truth: str
    hit: bool


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Samples that changed sides, in the order of their ids, and the hits of n on both sides."""

    key: Key
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    hits: tuple[int, int]
    n: int

    @property
    def p(self) -> float:
        """The exact two-sided McNemar p: how likely a split at least this uneven is if neither is better."""
        from scipy.stats import binomtest

        changed = len(self.lost) + len(self.gained)
        return float(binomtest(len(self.lost), changed).pvalue) if changed else 1.0

    @property
    def worse(self) -> bool:
        """More lost than gained, and not by chance."""
        return len(self.lost) > len(self.gained) and self.p < SIGNIFICANT


def flips(a: Record, b: Record, pair: Pair) -> Flips:
    """The flips of a pair of accuracy answers. Raises ``NotComparable`` where weights, metric or samples differ, and
    ``NoOutcomes`` where outcomes are missing: then the difference of two shares says less than it seems to."""
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
                found[fields["id"]] = Outcome(
                    predicted=str(fields["predicted"]), truth=str(fields["truth"]), hit=fields["hit"] is True
                )
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


def _hits(found: Mapping[str, Outcome]) -> int:
    return sum(outcome.hit for outcome in found.values())


def _ids(names: list[str]) -> str:
    """How many, and the first of them."""
    return f"{len(names)} ({names[0]}{', ...' if len(names) > 1 else ''})" if names else "0"
