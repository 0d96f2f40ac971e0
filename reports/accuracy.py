"""Accuracy answers as rows: what was measured, beside the claim on the same weights and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from harness.claim import Claim
from harness.judge import Hits, Mean, Measure, OverPictures, Pooled, Share, judge
from harness.model import Model
from harness.verdict import Verdict
from reports.claims import Published, accuracy_claims, figure_of
from reports.groups import grouped
from reports.measures import measures, named, sets
from reports.record import Record, Recorded, RecordError, answers_to
from reports.text import NONE
from reports.verdicts import SEVERITY, shown

HITS = Hits()
NEAR = 1e-4
"""A share of hits is as near to the value of its metric, which may add a little to n."""
MOST_NAMED = 9
"""How many counts are named where they are impossible."""
HEADER = ("reference", "metric", "hits/n", "value", "95%", "claim", "floor", "verdict")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One accuracy answer and one claim that it measures, where there is one.

    ``share`` is missing where it is not known how the value is made of counts: then there is no interval, and the
    recorded verdict is not judged again. ``today`` is the verdict by the claims as they are declared now.
    """

    answer: Recorded
    metric: str
    value: float | None
    share: Share | Mean | Pooled | None
    claim: Claim | None
    today: Verdict

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the share."""
        return _interval(self.share) if self.share else None

    @property
    def worst(self) -> Verdict:
        """The recorded verdict or today's, whichever needs attention more."""
        return min(self.answer.verdict, self.today, key=SEVERITY.index)

    @property
    def cells(self) -> tuple[str, ...]:
        """The row below ``HEADER``, after the subject."""
        claim = self.claim
        limits = (NONE, NONE) if claim is None else (_printed(claim), f"{claim.floor:.4f}")
        interval = self.interval
        return (
            self.answer.key.reference,
            f"{claim.part} {self.metric}" if claim is not None and claim.part else self.metric,
            self._counted(),
            NONE if self.value is None else f"{self.value:.4f}",
            NONE if interval is None else "{:.4f}..{:.4f}".format(*interval),
            *limits,
            self._verdict(),
        )

    def _counted(self) -> str:
        complete = self.share.complete if self.share else self.answer.figures.get("complete") is True
        counted = self.share.counted if self.share else f"n={self.answer.count('n')}"
        return counted if complete else f"{counted} (a part)"

    def _verdict(self) -> str:
        """The recorded verdict, and today's where the declaration was changed since and gives another: claims are
        read from the declaration, not from the record."""
        changed = "" if self.today is self.answer.verdict else f" (as declared now: {shown(self.today)})"
        return shown(self.answer.verdict) + changed


def measured(record: Record, claims: list[Published], models: Mapping[str, Model]) -> list[Measured]:
    """A row for each accuracy answer with figures and each claim that it measures. Raises ``RecordError`` where the
    figures of one are impossible."""
    groups = grouped(answers_to(record, "accuracy"), models)
    answers = [answer for group in groups.values() for answer in group if answer.count("n") is not None]
    return [
        row
        for answer in answers
        for row in _rows(answer, accuracy_claims(claims, answer), measures(models.get(answer.model)))
    ]


def metrics(rows: Sequence[Measured]) -> str:
    """The metrics of the rows, with their rules."""
    return "; ".join(sorted({row.answer.text("metric") or "metric not named" for row in rows}))


@cache
def _interval(share: Share | Mean | Pooled) -> tuple[float, float]:
    """The interval, found once: it takes tens of milliseconds, and many batches have the same hits."""
    return share.interval()


@cache
def _today(claim: Claim, share: Share | Mean | Pooled) -> Verdict:
    return judge(claim, share)[0]


def _rows(answer: Recorded, claims: Sequence[Claim], known: Mapping[str, Measure]) -> list[Measured]:
    """A row for each claim, and for what no claim is about: see ``_unclaimed``."""
    shares = [_share(answer, known, claim.metric, claim.part, claim.n) for claim in claims]
    judged = [_today(claim, share) for claim, share in zip(claims, shares, strict=True) if share is not None]
    today = min([*judged, *_goldens(answer)], key=SEVERITY.index) if judged else answer.verdict
    rows = [
        Measured(
            answer=answer,
            metric=claim.metric,
            value=answer.number(figure_of(claim)),
            share=share,
            claim=claim,
            today=today,
        )
        for claim, share in zip(claims, shares, strict=True)
    ]
    for part, name in _unclaimed(answer, claims, known):
        figure = answer.number(f"{part}: {name}" if part else name)
        # Of the pooled sets there may have been none to read: then nothing is the share of nothing.
        nothing = not part and answer.count("n") == 0 and figure is None
        share = None if nothing else _share(answer, known, name, part, answer.count(f"{part}: n"))
        value = share.value if share and figure is None else figure
        metric = f"{part} {name}" if part else name
        rows.append(Measured(answer=answer, metric=metric, value=value, share=share, claim=None, today=today))
    return rows


def _unclaimed(answer: Recorded, claims: Sequence[Claim], known: Mapping[str, Measure]) -> list[tuple[str, str]]:
    """Parts and values that stand in rows without a claim: the metric's own where there is no claim at all, those that
    pictures have together beside it, which say little alone, and the metric's own of each set that no claim is about.
    """
    own = named(answer) or NONE
    pooled = dict.fromkeys([] if claims else [own])
    claimed = {claim.metric for claim in claims if not claim.part}
    for name, measure in known.items():
        counted = all(column in answer.figures for column in measure.columns)
        if isinstance(measure, OverPictures) and counted and name not in claimed:
            pooled[name] = None
    parts = [part for part in sets(answer) if not any(claim.part == part for claim in claims)]
    return [*(("", name) for name in pooled), *((part, own) for part in parts)]


def _goldens(answer: Recorded) -> list[Verdict]:
    """A fail where outputs were further from the golden ones than allowed, which no change of a claim undoes."""
    bound, worst = answer.number("golden_bound"), answer.number("golden_max_abs")
    return [] if bound is None or (worst is not None and worst <= bound) else [Verdict.FAIL]


def _share(
    answer: Recorded, known: Mapping[str, Measure], name: str, part: str, n_of_part: int | None
) -> Share | Mean | Pooled | None:
    """What an accuracy answer measured, in all or of a part that is whole with so many samples; nothing where its
    metric has no such counts. A value that is not known is one of hits, if that is what they give. Raises
    ``RecordError`` where counts are impossible."""
    prefix = f"{part}: " if part else ""
    measure = known.get(name, HITS)
    if any(prefix + column not in answer.figures for column in measure.columns):
        return None
    counts = {column: answer.number(prefix + column) for column in measure.columns}
    n = answer.count(f"{prefix}n")
    sound = {column: found for column, found in counts.items() if found is not None and found >= 0}
    made = measure.of({**sound, "n": n}, complete=False) if n and len(sound) == len(counts) else None
    if made is None or not 0 <= made.value <= 1:
        wrong = {column: found for column, found in counts.items() if column not in sound} or counts
        shown = ", ".join(f"{column} {found}" for column, found in list(wrong.items())[:MOST_NAMED])
        raise RecordError(f"{answer.key}: {shown} of n {n} is no share; the record was changed after it was written")
    complete = answer.figures.get("complete") is True
    if part:
        complete = answer.figures.get("whole") is True and n == n_of_part
    value = answer.number(prefix + name)
    guessed = name not in known and value is not None and abs(made.value - value) > NEAR
    return None if guessed else replace(made, complete=complete)


def _printed(claim: Claim) -> str:
    printed = f"{claim.printed}{claim.unit}"
    return printed if claim.hits is None else f"{printed} ({claim.hits}/{claim.n})"
