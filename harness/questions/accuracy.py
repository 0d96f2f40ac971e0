"""Accuracy: does the deployed form answer the reference's samples as well as was claimed?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from harness.cells import Ask
from harness.claim import Claim
from harness.declaration import DeclarationError
from harness.evaluate import Scored, Task, evaluate
from harness.golden import check_of
from harness.judge import Share, judge
from harness.metrics import Metric
from harness.reference import Reference
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Evaluates the reference's data, all of it or the first ``--samples``, and judges every accuracy claim."""
    cell, model = ask.at, ask.model
    reference = model.reference(ask.reference)
    if reference.data is None:
        raise DeclarationError(f"{ask.id}: the reference {reference.name} declares no data")
    task = Task.of(model, reference.data)
    with bench.open(cell, reference) as session, bench.data(reference.data) as reader:
        wanted = min(len(reader), bench.samples or len(reader))
        scored = evaluate(session, islice(reader.samples(), wanted), task, cell.point.batch)
        complete = wanted == len(reader) == reference.data.n
        outcomes = bench.kept(f"{ask.question}-{ask.id}.jsonl")
        return judged(reference, task, write_outcomes(scored, outcomes), outcomes, complete=complete)


def judged(reference: Reference, task: Task, scored: Iterable[Scored], outcomes: Path, *, complete: bool) -> Answer:
    """The answer of outcomes in a stream: its hits against the reference's claims, its outputs against the goldens.

    ``complete`` says that these are all of the reference's own samples, ``outcomes`` where they were written.
    """
    check = check_of(reference)
    sums = tally(check.watch(scored) if check else scored, len(task.metric.columns))
    counts = dict(zip(task.metric.columns, map(int, sums), strict=True))
    values = task.metric.value(sums)
    share = Share(hits=counts["hits"], n=counts["n"], complete=complete)
    found = [judge_claims(reference, task.metric, share, values)]
    figures: dict[str, Figure] = {**counts, **values, "complete": complete, "metric": task.metric.name}
    if check:
        verdict, line, more = check.answer()
        found.append((verdict, line))
        figures |= more
    if counts.get("unspellable"):
        note = f"{counts['unspellable']} labels hold characters outside the alphabet and can never be hit"
        found.append((Verdict.PASS, note))
    worst = min((verdict for verdict, _ in found), key=WORST_FIRST.index)
    return Answer(verdict=worst, line="; ".join(line for _, line in found), figures=figures, outcomes=outcomes)


def tally(scored: Iterable[Scored], columns: int) -> list[float]:
    """The summed counts of all outcomes."""
    sums = [0.0] * columns
    for outcome in scored:
        sums = [total + count for total, count in zip(sums, outcome.counts, strict=True)]
    return sums


def write_outcomes(scored: Iterable[Scored], path: Path) -> Iterator[Scored]:
    """Passes outcomes through and writes each as a JSON line: id, predicted, truth, hit."""
    with path.open("w", encoding="utf-8") as file:
        for outcome in scored:
            line = {
                "id": outcome.id,
                "predicted": outcome.predicted,
                "truth": outcome.truth,
                "hit": bool(outcome.counts[0]),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            yield outcome


def judge_claims(
    reference: Reference, metric: Metric, share: Share, values: Mapping[str, float]
) -> tuple[Verdict, str]:
    """The worst verdict over the reference's claims on these metrics, and their lines.

    A claim is judged as a share of hits; one on a metric that is none raises ``DeclarationError``.
    """
    claims = [claim for claim in accuracy_claims(reference) if claim.metric in values]
    for claim in claims:
        if claim.metric not in metric.shares:
            raise DeclarationError(f"claim on {claim.metric}: it is no share of hits, which is all that is judged here")
    found = [judge(claim, share) for claim in claims]
    if not found:
        return Verdict.INCONCLUSIVE, f"{share.hits}/{share.n}: the reference {reference.name} claims no figure to judge"
    worst = min((verdict for verdict, _ in found), key=WORST_FIRST.index)
    return worst, "; ".join(text for _, text in found)


def accuracy_claims(reference: Reference) -> list[Claim]:
    """The claims that accuracy judges: all but times."""
    return [claim for claim in reference.claims if not claim.is_time]
