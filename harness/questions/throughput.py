"""Throughput: how long one call takes at this point, in samples, with the clock named; on the very chip that a claim
names, also whether it is as fast as was published."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from statistics import fmean, median

import numpy as np

from harness.backends import Session
from harness.cells import Ask
from harness.declaration import DeclarationError
from harness.end_to_end import EndToEnd, end_to_end, pictures_for
from harness.evaluate import Task, answered, stack
from harness.measure import Measurement, TimingPlan, judge
from harness.memory import Peak, watched_memory
from harness.reference import Reference
from harness.registry import backends
from harness.sizes import Point
from harness.verdict import Answer, Refused, Verdict
from harness.workbench import Workbench


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Times one full batch. The timed session must also answer: the same batch gives the same, checked output before
    and after, and another batch gives another one. Timings of several processes exclude each other."""
    cell, model = ask.at, ask.model
    size = cell.point.batch
    reference = model.reference(ask.reference)
    batch, other = stack(bench.inputs(cell.sized, reference, 2 * size), model, size)
    output = cell.sized.outputs[0].name
    with watched_memory() as peak, bench.open(cell, reference) as session:
        with bench.store.lock("timing"):
            measurement = session.measure(batch, TimingPlan())
            whole = through(bench, ask, session, median(measurement.wall or (0.0,))) if model.places else None
        first, second, third = (found.values[output] for found in answered(session, [batch, other, batch], cell.sized))
    if not np.array_equal(first, third) or np.array_equal(first, second):
        raise Refused(
            f"the timed session does not answer what it is asked: the same batch again gives "
            f"{'the same' if np.array_equal(first, third) else 'another'} output, another batch "
            f"{'the same' if np.array_equal(first, second) else 'another'}; a time for that means nothing"
        )
    answer = claimed(judge(measurement, size, bench.compute.threads), reference, measurement, cell.point)
    if whole is not None:
        alone = size / median(measurement.wall)
        line, figures = f"{answer.line}; {whole.told(alone)}", {**answer.figures, **whole.figures(alone)}
        answer = replace(answer, line=line, figures=figures)
    # Tools that compute in processes of their own hold what this one does not show.
    return answer if backends()[cell.backend].compiles else held(answer, peak, cell.point)


def through(bench: Workbench, ask: Ask, session: Session, seconds: float) -> EndToEnd:
    """The clock end-to-end of pictures of the reference, or of the bundled one's where it has none here."""
    cell, model = ask.at, ask.model
    reference = model.reference(ask.reference)
    if reference.data is None or (reference.data.asset and not bench.assets.locate(reference.data.asset)):
        reference = replace(model.reference("bundled"), decode=reference.decode)
    if reference.data is None:
        raise DeclarationError(f"{model.name}: its bundled reference declares no data")
    with bench.data(reference.data, exact=False) as reader:
        taken = islice(reader.samples(), pictures_for(seconds, cell.point.batch))
        return end_to_end(session, taken, Task.of(cell.sized, reference), cell.point.batch)


def held(answer: Answer, peak: Peak, point: Point) -> Answer:
    """The answer with the most memory that the session held, and failed where that is more than its point allows."""
    if peak.mib is None:
        return answer
    mib = round(peak.mib, 1)
    allowed = f", at most {point.memory} MiB allowed" if point.memory else ""
    over = point.memory is not None and mib > point.memory and answer.verdict is Verdict.PASS
    return replace(
        answer,
        line=f"{answer.line}; held {mib:.0f} MiB{allowed}",
        figures={**answer.figures, "memory": mib, "memory_bound": point.memory},
        verdict=Verdict.FAIL if over else answer.verdict,
    )


def claimed(answer: Answer, reference: Reference, measurement: Measurement, point: Point) -> Answer:
    """The answer with the reference's claims on this clock, chip and batch judged; on others they say nothing here.

    Vendors' tools take the throughput from the mean, so that is what their figures are compared with.
    """
    measured = point.batch / fmean(measurement.wall)
    timed = (measurement.clock, measurement.device, point.id)
    for claim in reference.claims:
        if claim.is_time and (claim.clock, claim.device, claim.point) == timed:
            if claim.fails:
                answer = replace(answer, line=f"{answer.line}; it was published to fail: {claim.fails}")
                continue
            line = (
                f"{answer.line}; of the mean {measured:.1f}/s, claim {claim.printed} {claim.unit} on {claim.device}, "
                f"floor {claim.floor:.1f}/s"
            )
            slow = answer.verdict is Verdict.PASS and measured < claim.floor
            verdict = Verdict.FAIL if slow else answer.verdict
            answer = replace(answer, line=line, verdict=verdict, figures={**answer.figures, "claims_judged": True})
    return answer
