"""What quantising costs: float and quantised answers to the same samples side by side, and what vendors publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.model import Model
from reports.claims import Published
from reports.flips import Outcome, outcomes
from reports.groups import grouped
from reports.measures import named
from reports.pairs import NoOutcomes
from reports.record import Record, Recorded, answers_to
from reports.text import NONE
from reports.verdicts import shown

HEADER = (
    "reference",
    "metric",
    "float",
    "quantised",
    "flips",
    "loss, at most (95%)",
    "bound",
    "McNemar p",
    "calibrated on",
    "published of the vendor's quantiser",
    "verdict",
)
QUANTISED = ("int8", "int16")
MOST = 12
"""Flips that are shown of one answer, as many lost as gained where there are; all of them are among its outcomes."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """An accuracy answer that was judged by its loss, and the claims on what a vendor's quantiser makes of the same
    weights: nothing here is judged by them."""

    answer: Recorded
    published: tuple[Published, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """The row below ``HEADER``, after the subject."""
        answer = self.answer
        p = answer.number("mcnemar_p")
        samples = f"{answer.count('calibration_n')} of {answer.text('calibration_set')}"
        first = answer.count("calibration_seed") is None
        return (
            answer.key.reference,
            named(answer) or NONE,
            self._arm("float_"),
            self._arm(""),
            self._flips(),
            f"{_four(answer.number('loss'))}, {_four(answer.number('loss_upper'))}",
            _four(answer.number("loss_bound")),
            NONE if p is None else f"{p:.2g}",
            f"the first {samples}, judged too" if first else samples,
            "; ".join(_claimed(each) for each in self.published) or NONE,
            shown(answer.verdict),
        )

    def _arm(self, prefix: str) -> str:
        """``403/500``, or of a value that pictures have together ``0.4122 (n=40)``."""
        hits, n = self.answer.count(f"{prefix}hits"), self.answer.count("n")
        if self.answer.number("mcnemar_p") is not None and hits is not None:
            return f"{hits}/{n}"
        return f"{_four(self.answer.number(prefix + named(self.answer)))} (n={n})"

    def _flips(self) -> str:
        count = self.answer.count
        lost, gained = count("lost"), count("gained")
        if lost is not None and gained is not None:
            return f"lost {lost}, gained {gained}, {count('answers_changed')} answers changed"
        found = [] if count("pictures_changed") is None else [f"{count('pictures_changed')} pictures"]
        if count("matched_both") is not None:
            alone = f"{count('matched_float')} by float alone, {count('matched_quantised')} by quantised alone"
            found.append(f"places matched by both {count('matched_both')}, {alone}")
        return ", ".join(found) or NONE


def losses(record: Record, claims: list[Published], models: Mapping[str, Model]) -> list[Loss]:
    """A row for each accuracy answer that was judged by its loss, forms in the order of the declarations."""
    found = grouped(answers_to(record, "accuracy"), models)
    return [
        Loss(answer=answer, published=tuple(each for each in claims if _is_of(each, answer)))
        for group in found.values()
        for answer in group
        if answer.number("loss_bound") is not None
    ]


def flipped(record: Record, loss: Loss) -> list[str]:
    """The first samples that one of both forms answers right and the other wrong, or of pictures those that count
    otherwise, a line each; none where outcomes are not there."""
    try:
        found = outcomes(record, loss.answer, "the record")
    except NoOutcomes:
        return []
    lost = [_line(name, each) for name, each in found.items() if each.single and each.single.hit and not each.hit]
    gained = [_line(name, each) for name, each in found.items() if each.single and each.hit and not each.single.hit]
    other = [
        _line(name, each)
        for name, each in found.items()
        if each.single and each.single.hit == each.hit and each.single.counts != each.counts
    ]
    taken = [*lost[: MOST - min(len(gained), MOST // 2)]]
    taken += gained[: MOST - len(taken)]
    return taken + other[: MOST - len(taken)]


def _line(name: str, outcome: Outcome) -> str:
    """``w12: float 'cafe', quantised 'cale', true 'cafe'``; of counts those that differ: ``p3: matched 4 -> 3``."""
    single = outcome.single
    if single is None or outcome.counts is None or single.counts is None:
        before = single.predicted if single else NONE
        return f"{name}: float {before!r}, quantised {outcome.predicted!r}, true {outcome.truth!r}"
    changes = [
        f"{column} {single.counts.get(column, 0):g} -> {count:g}"
        for column, count in outcome.counts.items()
        if single.counts.get(column, 0) != count and "*" not in column and column != "hits"
    ]
    return f"{name}: {', '.join(changes[:3])}"


def _is_of(claim: Published, answer: Recorded) -> bool:
    """Whether a claim is on the accuracy of a quantised form of the answer's weights."""
    stated = claim.claim
    elsewhere = stated.is_time or stated.is_size or stated.is_likeness or stated.fails
    own = (claim.model, claim.reference) == (answer.model, answer.key.reference)
    return own and not elsewhere and any(precision in QUANTISED for precision in stated.precisions)


def _claimed(published: Published) -> str:
    """``acc 0.649 (int16)``."""
    claim = published.claim
    part = f"{claim.part} " if claim.part else ""
    precisions = ", ".join(precision for precision in claim.precisions if precision in QUANTISED)
    return f"{part}{claim.metric} {claim.printed}{claim.unit} ({precisions})"


def _four(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"
