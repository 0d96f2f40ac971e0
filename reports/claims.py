"""Claims of the models in a record, and which of them the record judges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.claim import Claim
from harness.model import Model
from harness.verdict import Verdict
from reports.record import Record, Recorded


@dataclass(frozen=True, kw_only=True)
class Published:
    """A claim with the model and the reference that it belongs to."""

    model: str
    reference: str
    claim: Claim

    def __str__(self) -> str:
        claim = self.claim
        part = f"{claim.part} " if claim.part else ""
        text = f"{self.model} {self.reference} {part}{claim.metric} {claim.printed}"
        if claim.is_size or claim.is_likeness:
            return f"{' '.join([text, *filter(None, (claim.unit, claim.device and f'on {claim.device}'))])}"
        if not claim.is_time:
            return f"{text}{claim.unit}"
        batch = f" at batch {claim.batch}" if claim.batch else ""
        batch += f" of {claim.size}" if claim.size else ""
        return f"{text} {claim.unit}{batch} (clock {claim.clock}{f' on {claim.device}' if claim.device else ''})"


def published(record: Record, models: Mapping[str, Model]) -> list[Published]:
    """Every claim of every declared model that the record has answers of, in the order of the declarations."""
    asked = {answer.model for answer in record.answers.values()}
    return [
        Published(model=model.name, reference=reference.name, claim=claim)
        for model in models.values()
        if model.name in asked
        for reference in model.references
        for claim in reference.claims
    ]


def accuracy_claims(claims: list[Published], answer: Recorded) -> list[Claim]:
    """The claims that an accuracy answer measures: of its own model, reference and precision, on values that it has.
    One that was judged by its loss against float measures none: those in its precision are of a vendor's quantiser."""
    if answer.number("loss_bound") is not None:
        return []
    return [
        each.claim
        for each in claims
        if not (each.claim.is_time or each.claim.is_size or each.claim.is_likeness)
        and (each.model, each.reference) == (answer.model, answer.key.reference)
        and answer.precision in each.claim.precisions
        and answer.number(figure_of(each.claim)) is not None
    ]


def figure_of(claim: Claim) -> str:
    """The name under which an accuracy answer records what a claim is about."""
    return f"{claim.part}: {claim.metric}" if claim.part else claim.metric


def is_judged(record: Record, claim: Published) -> bool:
    """Whether an answer of the record passed or failed a claim: *build* one on a size here, *throughput* one on a time,
    on the very chip and clock and at the point that it names, *agreement* one on likeness to a device, and *accuracy*
    the others, on all of their own samples.
    """
    return any(
        answer.verdict in (Verdict.PASS, Verdict.FAIL)
        and (answer.model, answer.key.reference) == (claim.model, claim.reference)
        and _judges(answer, claim)
        for answer in record.answers.values()
    )


def _judges(answer: Recorded, claim: Published) -> bool:
    stated = claim.claim
    if stated.is_time:
        return answer.key.question == "throughput" and _is_timed_as(answer, stated)
    if stated.is_size:
        return answer.key.question == "build" and not stated.device and answer.form == stated.form
    if stated.is_likeness:
        return answer.key.question == "agreement" and answer.figures.get("likeness_judged") is True
    of_claim = stated in accuracy_claims([claim], answer)
    return answer.key.question == "accuracy" and of_claim and _is_of_all(answer, stated)


def _is_timed_as(answer: Recorded, claim: Claim) -> bool:
    """Whether an answer compared its time with claims, and is on this one's clock, chip and batch."""
    return (
        answer.figures.get("claims_judged") is True
        and claim.point is not None
        and (answer.text("clock"), answer.text("device") or "") == (claim.clock, claim.device)
        and answer.point == claim.point
    )


def _is_of_all(answer: Recorded, claim: Claim) -> bool:
    """Whether an answer is on all samples that a claim is on."""
    if not claim.part:
        return answer.figures.get("complete") is True
    return answer.figures.get("whole") is True and answer.count(f"{claim.part}: n") == claim.n


def judged_line(record: Record, claims: list[Published]) -> str:
    """``judged 1 of 2 claims``, and the names of those that were not."""
    left = not_judged(record, claims)
    line = f"judged {len(claims) - len(left)} of {len(claims)} claims"
    return f"{line}; not judged: {'; '.join(map(str, left))}" if left else line


def not_judged(record: Record, claims: list[Published]) -> list[Published]:
    """The claims that the record neither confirms nor refutes."""
    return [claim for claim in claims if not is_judged(record, claim)]


def undeclared(answers: Iterable[Recorded], models: Mapping[str, Model]) -> list[str]:
    """A line on the models that have answers and no declaration, where there are such."""
    names = sorted({answer.model for answer in answers} - set(models))
    line = f"not declared here, so without claims: {', '.join(names)}; --models=DIR reads further declarations"
    return [line] if names else []
