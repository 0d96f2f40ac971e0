"""Accuracy answers as rows: what was measured, beside the claim on the same weights and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from harness.claim import Claim
from harness.declaration import DeclarationError
from harness.judge import Mean, Measure, Share, judge
from harness.model import Model
from harness.registry import resolve
from harness.verdict import Verdict
from reports.claims import Published, accuracy_claims, figure_of
from reports.groups import grouped
from reports.record import Record, Recorded, RecordError, answers_to
from reports.text import NONE
from reports.verdicts import SEVERITY, shown

HITS = Measure("hits")
HEADER = ("reference", "metric", "hits/n", "value", "95%", "claim", "floor", "verdict")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One accuracy answer and one claim that it measures, where there is one.

    ``share`` is missing where the metric is neither a share nor a mean of samples (hmean, mIoU): then there is no
    interval, and the recorded verdict is not judged again. ``today`` is the verdict by the claims as they are declared
    now.
    """

    answer: Recorded
    metric: str
    value: float | None
    share: Share | Mean | None
    claim: Claim | None
    today: Verdict

    @property
    def interval(self) -> tuple[float, float] | None:
        """The exact 95% interval of the share."""
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
        for row in _rows(answer, accuracy_claims(claims, answer), _measures(models.get(answer.model)))
    ]


def metrics(rows: Sequence[Measured]) -> str:
    """The metrics of the rows, with their rules."""
    return "; ".join(sorted({row.answer.text("metric") or "metric not named" for row in rows}))


@cache
def _interval(share: Share | Mean) -> tuple[float, float]:
    """The interval, found once: it takes tens of milliseconds, and many batches have the same hits."""
    return share.interval()


@cache
def _today(claim: Claim, share: Share | Mean) -> Verdict:
    return judge(claim, share)[0]


def _rows(answer: Recorded, claims: Sequence[Claim], measures: Mapping[str, Measure]) -> list[Measured]:
    """A row for each claim, or for the answer itself without one, and one for each set that no claim is about."""
    shares = [_share(answer, measures.get(claim.metric, HITS), claim.part, claim.n) for claim in claims]
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
    name = (answer.text("metric") or NONE).partition(":")[0]
    for part in ["", *sets(answer)]:
        if not any(claim.part == part for claim in claims) and (part or not claims):
            named = f"{part}: {name}" if part else name
            # Of the pooled sets there may have been none to read: then nothing is the share of nothing.
            nothing = not part and answer.count("n") == 0 and answer.number(named) is None
            share = None if nothing else _share(answer, HITS, part, answer.count(f"{part}: n"))
            value = share.value if share and answer.number(named) is None else answer.number(named)
            metric = f"{part} {name}" if part else name
            rows.append(Measured(answer=answer, metric=metric, value=value, share=share, claim=None, today=today))
    return rows


def sets(answer: Recorded) -> list[str]:
    """The sets of samples that an answer counted one by one."""
    return [name.removesuffix(": n") for name in answer.figures if name.endswith(": n")]


def _goldens(answer: Recorded) -> list[Verdict]:
    """A fail where outputs were further from the golden ones than allowed, which no change of a claim undoes."""
    bound, worst = answer.number("golden_bound"), answer.number("golden_max_abs")
    return [] if bound is None or (worst is not None and worst <= bound) else [Verdict.FAIL]


def _measures(model: Model | None) -> Mapping[str, Measure]:
    """How the values of a model's metric are made of its counts; nothing is known of a model that is not declared, or
    whose metric is not here."""
    try:
        return {} if model is None else dict(resolve(model.metric).measures)
    except DeclarationError:
        return {}


def _share(answer: Recorded, measure: Measure, part: str, n_of_part: int | None) -> Share | Mean | None:
    """What an accuracy answer measured, in all or of a part that is whole with so many samples; nothing where its
    metric has no such counts. Raises ``RecordError`` where they are impossible."""
    prefix = f"{part}: " if part else ""
    if prefix + measure.column not in answer.figures:
        return None
    found, n = answer.number(prefix + measure.column), answer.count(f"{prefix}n")
    if found is None or n is None or not 0 <= found <= n or n == 0:
        raise RecordError(
            f"{answer.key}: {measure.column} {found} of n {n} is no share; the record was changed after it was written"
        )
    complete = answer.figures.get("complete") is True
    if part:
        complete = answer.figures.get("whole") is True and n == n_of_part
    return measure.of({measure.column: found, "n": n}, complete=complete)


def _printed(claim: Claim) -> str:
    return claim.printed if claim.hits is None else f"{claim.printed} ({claim.hits}/{claim.n})"
