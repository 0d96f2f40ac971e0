"""Accuracy answers as rows: what was measured, beside the claim on the same weights and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from harness.claim import Claim
from harness.judge import Share, judge
from harness.model import Model
from harness.verdict import Verdict
from reports.claims import Published, accuracy_claims
from reports.groups import grouped
from reports.record import Record, Recorded, RecordError, answers_to
from reports.text import NONE
from reports.verdicts import SEVERITY, shown

HEADER = ("reference", "metric", "hits/n", "value", "95%", "claim", "floor", "verdict")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One accuracy answer and one claim that it measures, where there is one.

    ``share`` is missing where the metric is no share of samples (hmean, mIoU): then there is no interval, and the
    recorded verdict is not judged again. ``today`` is the verdict by the claims as they are declared now.
    """

    answer: Recorded
    metric: str
    value: float | None
    share: Share | None
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
            self.metric,
            self._counted(),
            NONE if self.value is None else f"{self.value:.4f}",
            NONE if interval is None else "{:.4f}..{:.4f}".format(*interval),
            *limits,
            self._verdict(),
        )

    def _counted(self) -> str:
        part = "" if self.answer.figures.get("complete") is True else " (a part)"
        return f"{self.share.hits}/{self.share.n}{part}" if self.share else f"n={self.answer.count('n')}{part}"

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
    return [row for answer in answers for row in _rows(answer, accuracy_claims(claims, answer))]


def metrics(rows: Sequence[Measured]) -> str:
    """The metrics of the rows, with their rules."""
    return "; ".join(sorted({row.answer.text("metric") or "metric not named" for row in rows}))


@cache
def _interval(share: Share) -> tuple[float, float]:
    """The interval, found once: it takes tens of milliseconds, and many batches have the same hits."""
    return share.interval()


@cache
def _today(claims: tuple[Claim, ...], share: Share) -> Verdict:
    return min((judge(claim, share)[0] for claim in claims), key=SEVERITY.index)


def _rows(answer: Recorded, claims: Sequence[Claim]) -> list[Measured]:
    share = _share(answer)
    if not claims:
        name = (answer.text("metric") or NONE).partition(":")[0]
        value = share.value if share and answer.number(name) is None else answer.number(name)
        return [Measured(answer=answer, metric=name, value=value, share=share, claim=None, today=answer.verdict)]
    today = answer.verdict
    if share is not None:
        today = _today(tuple(claims), share)
    return [
        Measured(
            answer=answer,
            metric=claim.metric,
            value=answer.number(claim.metric),
            share=share,
            claim=claim,
            today=today,
        )
        for claim in claims
    ]


def _share(answer: Recorded) -> Share | None:
    """The hits and n of an accuracy answer, or nothing where its metric counts no hits. Raises ``RecordError`` where
    they are no share."""
    if "hits" not in answer.figures:
        return None
    hits, n = answer.count("hits"), answer.count("n")
    if hits is None or n is None or not 0 <= hits <= n or n == 0:
        raise RecordError(
            f"{answer.key}: hits {hits} of n {n} is no share; the record was changed after it was written"
        )
    return Share(hits=hits, n=n, complete=answer.figures.get("complete") is True)


def _printed(claim: Claim) -> str:
    return claim.printed if claim.hits is None else f"{claim.printed} ({claim.hits}/{claim.n})"
