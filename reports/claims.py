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
        if claim.is_size:
            return f"{text} {claim.unit}{f' on {claim.device}' if claim.device else ''}"
        if not claim.is_time:
            return text
        batch = f" at batch {claim.batch}" if claim.batch else ""
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
    """The claims that an accuracy answer measures: of its own model, reference and precision, on values that it has."""
    return [
        each.claim
        for each in claims
        if not each.claim.is_time
        and not each.claim.is_size
        and (each.model, each.reference) == (answer.model, answer.key.reference)
        and each.claim.precision == answer.precision
        and answer.number(figure_of(each.claim)) is not None
    ]


def figure_of(claim: Claim) -> str:
    """The name under which an accuracy answer records what a claim is about."""
    return f"{claim.part}: {claim.metric}" if claim.part else claim.metric


def is_judged(record: Record, claim: Published) -> bool:
    """Whether an accuracy answer on all of the claim's own samples passed or failed it, or *build* one on a size.

    A claim on a time is judged on the device that it names only, by whoever measures there: no answer of a record says
    that it is, so it never counts as judged.
    """
    if claim.claim.is_size and not claim.claim.device:
        return any(
            (answer.key.question, answer.model, answer.form, answer.key.reference)
            == ("build", claim.model, claim.claim.form, claim.reference)
            and answer.verdict in (Verdict.PASS, Verdict.FAIL)
            for answer in record.answers.values()
        )
    return any(
        answer.key.question == "accuracy"
        and answer.verdict in (Verdict.PASS, Verdict.FAIL)
        and _is_of_all(answer, claim.claim)
        and claim.claim in accuracy_claims([claim], answer)
        for answer in record.answers.values()
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
