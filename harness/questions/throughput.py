"""Throughput: how long one call takes at this point, in samples, with the clock named; on the very chip that a claim
names, also whether it is as fast as was published."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import numpy as np

from harness.cells import Ask
from harness.evaluate import answered, stack
from harness.measure import Measurement, TimingPlan, judge
from harness.reference import Reference
from harness.verdict import Answer, Refused, Verdict
from harness.workbench import Workbench


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Times one full batch. The timed session must also answer: the same batch gives the same, checked output before
    and after, and another batch gives another one. Timings of several processes exclude each other."""
    cell, model = ask.at, ask.model
    size = cell.point.batch
    reference = model.reference(ask.reference)
    batch, other = stack(bench.inputs(model, reference, 2 * size), model, size)
    output = model.outputs[0].name
    with bench.open(cell, reference) as session:
        with bench.store.lock("timing"):
            measurement = session.measure(batch, TimingPlan())
        first, second, third = (found.values[output] for found in answered(session, [batch, other, batch], model))
    if not np.array_equal(first, third) or np.array_equal(first, second):
        raise Refused(
            f"the timed session does not answer what it is asked: the same batch again gives "
            f"{'the same' if np.array_equal(first, third) else 'another'} output, another batch "
            f"{'the same' if np.array_equal(first, second) else 'another'}; a time for that means nothing"
        )
    return claimed(judge(measurement, size, bench.compute.threads), reference, measurement, size)


def claimed(answer: Answer, reference: Reference, measurement: Measurement, batch: int) -> Answer:
    """The answer with the reference's claims on this clock, chip and batch judged; on others they say nothing here.

    Vendors' tools take the throughput from the mean, so that is what their figures are compared with.
    """
    measured = batch / fmean(measurement.wall)
    for claim in reference.claims:
        if claim.is_time and (claim.clock, claim.device, claim.batch) == (measurement.clock, measurement.device, batch):
            line = (
                f"{answer.line}; of the mean {measured:.1f}/s, claim {claim.printed} {claim.unit} on {claim.device}, "
                f"floor {claim.floor:.1f}/s"
            )
            slow = answer.verdict is Verdict.PASS and measured < claim.floor
            verdict = Verdict.FAIL if slow else answer.verdict
            answer = replace(answer, line=line, verdict=verdict, figures={**answer.figures, "claims_judged": True})
    return answer
