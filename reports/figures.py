"""The figures of a record as tables: as measured, each under its own reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.claim import Claim
from harness.judge import Share, judge
from harness.model import Model
from harness.verdict import Verdict
from reports.claims import Published, accuracy_claims
from reports.groups import Group, grouped
from reports.markdown import table
from reports.record import Record, Recorded, RecordError

NONE = "-"
SEVERITY = (Verdict.FAIL, Verdict.BROKEN, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.SKIPPED)
"""What needs attention first."""


def shown(verdict: Verdict) -> str:
    """The verdict's word, in capitals where it needs attention."""
    return verdict.value if verdict in (Verdict.PASS, Verdict.SKIPPED) else verdict.value.upper()


def answers_to(record: Record, question: str) -> list[Recorded]:
    """The answers to one question, by subject and reference."""
    return [answer for answer in record.answers.values() if answer.key.question == question]


def accuracy_table(record: Record, claims: list[Published], models: Mapping[str, Model]) -> list[str]:
    """A row for each accuracy answer with figures and each claim that it measures; no line where there is none."""
    groups = grouped(answers_to(record, "accuracy"), models)
    answers = [answer for group in groups.values() for answer in group if answer.count("n") is not None]
    if not answers:
        return []
    metrics = sorted({answer.text("metric") or "metric not named" for answer in answers})
    header = ("reference", "metric", "hits/n", "value", "95%", "claim", "floor", "verdict")
    rows = [row for answer in answers for row in _accuracy_rows(answer, accuracy_claims(claims, answer))]
    return table((f"Accuracy ({'; '.join(metrics)})", *header), rows)


def share_of(answer: Recorded) -> Share:
    """The hits and n of an accuracy answer. Raises ``RecordError`` where they are no share."""
    hits, n = answer.count("hits"), answer.count("n")
    if hits is None or n is None or not 0 <= hits <= n or n == 0:
        raise RecordError(
            f"{answer.key}: hits {hits} of n {n} is no share; the record was changed after it was written"
        )
    return Share(hits=hits, n=n, complete=answer.figures.get("complete") is True)


def _accuracy_rows(answer: Recorded, claims: Sequence[Claim]) -> list[tuple[str, ...]]:
    share = share_of(answer)
    low, high = share.interval()
    counted = f"{share.hits}/{share.n}{'' if share.complete else ' (a part)'}"
    interval = f"{low:.4f}..{high:.4f}"
    start = (answer.key.subject, answer.key.reference)
    if not claims:
        metric = (answer.text("metric") or NONE).partition(":")[0]
        return [(*start, metric, counted, f"{share.value:.4f}", interval, NONE, NONE, shown(answer.verdict))]
    verdict = _verdict_now(answer, claims, share)
    return [
        (
            *(*start, claim.metric, counted, f"{answer.number(claim.metric):.4f}", interval),
            *(_printed(claim), f"{claim.floor:.4f}", verdict),
        )
        for claim in claims
    ]


def _printed(claim: Claim) -> str:
    return claim.printed if claim.hits is None else f"{claim.printed} ({claim.hits}/{claim.n})"


def _verdict_now(answer: Recorded, claims: Sequence[Claim], share: Share) -> str:
    """The recorded verdict, and today's where the declaration was changed since and gives another: claims are read
    from the declaration, not from the record."""
    today = min((judge(claim, share)[0] for claim in claims), key=SEVERITY.index)
    changed = "" if today is answer.verdict else f" (as declared now: {shown(today)})"
    return shown(answer.verdict) + changed


def agreement_table(record: Record, models: Mapping[str, Model]) -> list[str]:
    """A row an edge; for each reference the worst max-abs over its points with the bound of that point, the smallest
    cosine, and the decoded answers that are equal."""
    answers = [answer for answer in answers_to(record, "agreement") if answer.number("max_abs") is not None]
    references = sorted({answer.key.reference for answer in answers})
    header = ["Agreement"]
    for reference in references:
        header += [f"{reference}: worst max-abs", f"{reference}: least cosine", f"{reference}: decoded"]
    rows = []
    for group, found in grouped(answers, models).items():
        cells = [_edge(group, models)]
        for reference in references:
            cells += _agreement_cells([answer for answer in found if answer.key.reference == reference])
        rows.append(cells)
    return table(header, rows) if rows else []


def _edge(group: Group, models: Mapping[str, Model]) -> str:
    forms = [form for form in (models[group.model].forms if group.model in models else ()) if form.name == group.form]
    against = models[group.model].against(forms[0]) if forms else None
    promise = f", {forms[0].promise} to {against.name}" if against else ""
    return f"{group}{promise}"


def _agreement_cells(answers: Sequence[Recorded]) -> tuple[str, str, str]:
    if not answers:
        return NONE, NONE, NONE
    worst = max(answers, key=_excess)
    max_abs, bound = worst.number("max_abs"), worst.number("bound")
    limit = "no bound" if bound is None else f"{'OVER ' if _excess(worst)[0] else ''}bound {bound:.3g}"
    cosines = [cosine for answer in answers if (cosine := answer.number("cosine")) is not None]
    equal, compared = (sum(answer.count(name) or 0 for answer in answers) for name in _DECODED)
    points = f"{worst.point}, worst of {len(answers)}" if len(answers) > 1 else f"{worst.point}"
    return (
        f"{max_abs:.3g} ({limit}; {points})",
        _cosine(min(cosines)) if cosines else NONE,
        f"{equal}/{compared}",
    )


def _cosine(value: float) -> str:
    """``1-3.4e-13``: a cosine that is nearly one, and not rounded to it."""
    distance = 1 - value
    return f"1{-distance:+.2g}" if 0 < abs(distance) < 1e-3 else f"{value:.6g}"


_DECODED = ("decoded_equal", "decoded_compared")


def _excess(answer: Recorded) -> tuple[bool, float]:
    """What is over its bound is worse than what is not; among equals the larger is."""
    max_abs, bound = answer.number("max_abs") or 0.0, answer.number("bound")
    return bound is not None and max_abs > bound, max_abs
