"""Accuracy: does the deployed form answer the reference's samples as well as was claimed?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

from harness.cells import Ask, Cell
from harness.declaration import DeclarationError
from harness.evaluate import Task, evaluate
from harness.judging import Judging, noted, write_outcomes
from harness.questions import loss
from harness.reference import Reference
from harness.verdict import Answer
from harness.workbench import Workbench, quantised_like
from harness.worst import Worst


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Evaluates the reference's data, all of it or the first ``--samples``, and judges every accuracy claim.

    A form that is quantised here is judged by what it loses: claims are of the vendor's quantiser, or of other forms.
    """
    if ask.form.quantisation is not None:
        return loss.ask(bench, ask)
    cell, model = ask.at, ask.model
    reference = model.reference(ask.reference)
    if reference.data is None:
        raise DeclarationError(f"{ask.id}: the reference {reference.name} declares no data")
    task = Task.of(cell.sized, reference)
    with bench.open(cell, reference) as session, bench.data(reference.data) as reader:
        wanted = min(len(reader), bench.samples or len(reader))
        scored = evaluate(session, islice(reader.samples(), wanted), task, cell.point.batch)
        outcomes = bench.kept(f"{ask.question}-{ask.id}.jsonl")
        judging = Judging(reference, task.metric, whole=wanted == len(reader), precision=cell.precision)
        worst = Worst(task.metric)
        written = write_outcomes(worst.watch(scored), outcomes, task.metric)
        answer = noted(judging.answer(written, outcomes), {**reader.facts(), **calibration(bench, cell, reference)})
        if model.overlay is None:
            return answer
        return replace(answer, pictures=worst.drawn(reader, model.overlay, bench.kept(f"{ask.question}-{ask.id}")))


def calibration(bench: Workbench, cell: Cell, reference: Reference) -> Mapping[str, str]:
    """What a backend that quantises itself was calibrated on. Published figures are of whole sets, so of its own set
    those samples are judged too, and the answer says so."""
    like = quantised_like(cell)
    if like is None:
        return {}
    too = ", which are judged too" if bench.first or bench.calibrated_on(cell.model, reference, like) else ""
    return {"calibrated on": f"{bench.calibrated(cell.model, reference, like).told}{too}"}
