"""Throughput: how long one call takes at this point, in samples, with the clock named."""

from __future__ import annotations

import numpy as np

from harness.cells import Ask
from harness.evaluate import answered, stack
from harness.measure import TimingPlan, judge
from harness.verdict import Answer, Refused
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
    return judge(measurement, size, bench.threads)
