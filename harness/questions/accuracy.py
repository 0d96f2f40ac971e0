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
from harness.judge import Share, judge
from harness.model import Reference
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Evaluates the reference's data, all of it or the first ``--samples``, and judges every accuracy claim."""
    cell, model = ask.at, ask.model
    reference = model.reference(ask.reference)
    if reference.data is None:
        raise DeclarationError(f"{ask.id}: the reference {reference.name} declares no data")
    task = Task.of(model)
    with bench.open(cell, reference) as session, bench.data(reference.data) as reader:
        wanted = min(len(reader), bench.samples or len(reader))
        complete = wanted == len(reader) == reference.data.n
        samples = islice(reader.samples(), wanted)
        outcomes = bench.kept(f"{ask.question}-{ask.id}.jsonl")
        scored = evaluate(session, samples, task, cell.point.batch)
        sums = tally(write_outcomes(scored, outcomes), len(task.metric.columns))
    counts = dict(zip(task.metric.columns, map(int, sums), strict=True))
    values = task.metric.value(sums)
    share = Share(hits=counts["hits"], n=counts["n"], complete=complete)
    verdict, line = judge_claims(reference, share, values)
    if counts.get("unspellable"):
        line += f"; {counts['unspellable']} labels hold characters outside the alphabet and can never be hit"
    figures: dict[str, Figure] = {**counts, **values, "complete": complete, "metric": task.metric.name}
    return Answer(verdict=verdict, line=line, figures=figures, outcomes=outcomes)


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


def judge_claims(reference: Reference, share: Share, values: Mapping[str, float]) -> tuple[Verdict, str]:
    """The worst verdict over the reference's claims on these metrics, and their lines.

    A claim is judged as a share of hits; one on a metric that is none raises ``DeclarationError``.
    """
    claims = [claim for claim in accuracy_claims(reference) if claim.metric in values]
    for claim in claims:
        if values[claim.metric] != share.value:
            raise DeclarationError(f"claim on {claim.metric}: it is no share of hits, which is all that is judged here")
    judged = [judge(claim, share) for claim in claims]
    if not judged:
        return Verdict.INCONCLUSIVE, f"{share.hits}/{share.n}: the reference {reference.name} claims no figure to judge"
    worst = min((verdict for verdict, _ in judged), key=WORST_FIRST.index)
    return worst, "; ".join(text for _, text in judged)


def accuracy_claims(reference: Reference) -> list[Claim]:
    """The claims that accuracy judges: all but throughput."""
    return [claim for claim in reference.claims if claim.metric != "throughput"]
