"""Range: does half precision hold every number that the deployed form computes on the reference's samples?

Asked in single precision, where nothing overflows: a device in half precision answers infinity, or whatever its kernels
make of it, from the first layer on whose numbers are too large.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import onnx

from harness.backends import Batch
from harness.cells import Ask
from harness.declaration import DeclarationError
from harness.evaluate import Task, stacked
from harness.model import Model
from harness.onnx_graph.activations import WEIGHT, Peak, peaks
from harness.onnx_graph.half import LARGEST, SMALLEST_NORMAL, in_half
from harness.reference import Reference
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

SAMPLES = 64
"""So many are looked at, or as many as ``--samples`` says. Of all 500 samples of a bundled reference the largest number
is up to 1.7 times that of the first 64."""
SHOWN = 3
"""Layers that a line names."""


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Runs the deployed form with all that it computes as outputs, and compares the largest number of each value that
    its form in half precision holds in it with the largest half."""
    model, reference = ask.model, ask.model.reference(ask.reference)
    half = model.lowered(ask.form, "fp16")
    if half is None:
        raise DeclarationError(f"{ask.id}: {ask.form.name} has no form in half precision to say what is held in it")
    single, lowered = (bench.form(model, reference, form).file("model.onnx") for form in (ask.form, half))
    with _batches(bench, ask.at.sized, reference) as (n, batches):
        found = peaks(single, in_half(onnx.load(lowered)), batches, bench.compute.threads)
    return judge(found, n)


def judge(found: Collection[Peak], n: int) -> Answer:
    """Fail where any value is over the largest half or is no number, naming the worst; else how near the largest is."""
    ranked = sorted(found, key=lambda peak: (not np.isnan(peak.largest), -peak.largest))
    over = [peak for peak in ranked if not peak.largest <= LARGEST]
    weights = sum(peak.operator == WEIGHT for peak in ranked)
    small = [peak for peak in ranked if 0 < peak.largest < SMALLEST_NORMAL]
    worst = ranked[0]
    # A record holds no infinity, and nothing that is no number: then the line alone says which it is.
    largest = worst.largest if np.isfinite(worst.largest) else None
    figures: dict[str, Figure] = {
        "largest": largest,
        "tensor": worst.value,
        "operator": worst.operator,
        "sample": worst.sample,
        "share": None if largest is None else largest / LARGEST,
        "over": len(over),
        "small": len(small),
        "layers": len(ranked) - weights,
        "parameters": weights,
        "n": n,
    }
    of = f"{len(ranked) - weights} layers and {weights} weights, n={n}"
    if over:
        more = f" and {len(over) - SHOWN} more" if len(over) > SHOWN else ""
        line = f"over {LARGEST:.0f}, the largest half: {', '.join(map(str, over[:SHOWN]))}{more}; {len(over)} of {of}"
        return Answer(verdict=Verdict.FAIL, line=line, figures=figures)
    least = f", the least {small[-1]}" if small else ""
    line = (
        f"largest {worst}: {worst.largest / LARGEST:.2%} of {LARGEST:.0f}; {of}; {len(small)} of them stay below "
        f"{SMALLEST_NORMAL:.2g}, where half precision loses digits{least}"
    )
    return Answer(verdict=Verdict.PASS, line=line, figures=figures)


@contextmanager
def _batches(bench: Workbench, model: Model, reference: Reference) -> Iterator[tuple[int, Iterator[Batch]]]:
    """How many samples are looked at, and each as a batch of its own, so that a number is known to be its."""
    wanted = bench.samples or SAMPLES
    if reference.data is None:
        lent = model.reference("bundled").data
        items = bench.inputs(model, reference, min(wanted, lent.n) if lent else wanted)
        yield len(items), (stacked([item], model) for item in items)
        return
    task = Task.of(model, reference)
    with bench.data(reference.data, exact=False) as reader:
        samples = islice(reader.samples(), wanted)
        yield min(wanted, len(reader)), (stacked([task.prepare(sample)], model) for sample in samples)
