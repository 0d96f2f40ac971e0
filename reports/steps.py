"""From one accuracy answer of a record to another one of the same record, on the same weights and samples."""

from __future__ import annotations

from dataclasses import dataclass

from harness.judge import Measure, OverPictures
from reports.flips import Flips, flips
from reports.measures import named
from reports.pairs import NoOutcomes, NotComparable, Pair
from reports.record import Record, Recorded

ALIKE = ("weights", "metric", "samples")


@dataclass(frozen=True, kw_only=True)
class Step:
    """What changes between two answers. ``hits`` is the change of right answers, ``value`` that of the metric's value,
    each missing where the metric has none, ``hits`` also where the value is no share of them; ``flips`` names the
    samples where outcomes tell. ``unlike`` says what keeps the two from being compared; then nothing else is known."""

    hits: int | None = None
    value: float | None = None
    flips: Flips | None = None
    unlike: str = ""

    def __str__(self) -> str:
        """``-2 hits; lost 3, gained 1``."""
        if self.unlike:
            return self.unlike
        changes = [] if self.hits is None else [f"{self.hits:+d} hits"]
        if self.hits is None and self.value is not None:
            changes = [f"{self.value:+.4f}"]
        return "; ".join([*changes, *([_flipped(self.flips)] if self.flips else [])])

    def told(self, name: str) -> str:
        """What the step ``name`` does, no more than is known: it loses answers only where chance does not explain what
        it turns."""
        if self.unlike:
            return f"{name} is not told: {self.unlike}"
        if self.flips is None:
            change = "leaves the figure as it was" if not (self.hits or self.value) else f"changes it by {self}"
            return f"{name} {change}, sample by sample unknown"
        if self.flips.same:
            return f"{name} turns no answer"
        done = "loses answers" if self.flips.worse else "turns answers, no loss beyond chance"
        proof = str(self.flips.drift) if self.flips.drift else f"p = {self.flips.p:.2g}"
        return f"{name} {done}: {_flipped(self.flips)}, {proof}"


def step(
    record: Record, before: Recorded | None, after: Recorded | None, measure: Measure | None = None
) -> Step | None:
    """The step between two answers that have figures, else nothing; ``measure`` makes their metric's value."""
    if before is None or after is None or before.count("n") is None or after.count("n") is None:
        return None
    sides = [(answer.weights, answer.text("metric"), answer.count("n")) for answer in (before, after)]
    unlike = [name for name, one, other in zip(ALIKE, *sides, strict=True) if one != other]
    if unlike:
        return Step(unlike=f"other {' and '.join(unlike)}")
    try:
        found = flips(record, record, Pair(key=after.key, before=before, after=after), measure)
    except NoOutcomes:
        # The figures still differ, or do not.
        found = None
    except NotComparable:
        return Step(unlike="other samples")
    old, new = (None if isinstance(measure, OverPictures) else answer.count("hits") for answer in (before, after))
    first, last = value(before), value(after)
    return Step(
        hits=None if old is None or new is None else new - old,
        value=None if first is None or last is None else last - first,
        flips=found,
    )


def counted(answer: Recorded, measure: Measure | None = None) -> str:
    """``488/500``; ``n=500`` where the metric has no hits, or its value is no share of them. Of some samples only it
    says so."""
    hits, n = None if isinstance(measure, OverPictures) else answer.count("hits"), answer.count("n")
    text = f"n={n}" if hits is None else f"{hits}/{n}"
    return text if answer.figures.get("complete") is True else f"{text} (a part)"


def value(answer: Recorded) -> float | None:
    """The figure that the answer's metric is named for."""
    return answer.number(named(answer))


def _flipped(found: Flips) -> str:
    return f"lost {len(found.lost)}, gained {len(found.gained)}"
