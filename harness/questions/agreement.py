"""Agreement: does a form keep its promise to the form before it, on the same inputs, at this point?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.agree import NOISE_FACTOR, agree, item_distances, lossy
from harness.backends import Batch
from harness.cells import Ask, Cell
from harness.declaration import DeclarationError
from harness.evaluate import Prepared, answered, stack
from harness.model import Model
from harness.reference import Reference
from harness.registry import resolve
from harness.verdict import Answer, Broken, Figure, Verdict
from harness.workbench import Workbench

LEAST_ITEMS = 32
"""Float noise differs from item to item, by orders of magnitude where a softmax saturates: the largest of a few is a
matter of luck, and no measure for the largest distance between two implementations."""


LEAST_DECIDED = 0.25
"""This share of the items of a network that is fed its own answers must be decided, or nothing was compared."""


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Runs both ends of the edge on the same items and judges the child by its promise.

    ``exact`` allows no difference at all. ``close`` allows ``NOISE_FACTOR`` times the float noise of the torch twin,
    measured on ``LEAST_ITEMS`` of these inputs. ``lossy`` is a declared change, judged by the share of equal answers.
    """
    cell, model = ask.at, ask.model
    reference = model.reference(ask.reference)
    against = model.against(cell.form)
    if against is None:
        raise DeclarationError(f"{cell.id}: nothing before this form runs, so it has no edge")
    items = bench.inputs(model, reference, max(cell.point.batch, LEAST_ITEMS))
    batches = stack(items, model, cell.point.batch)
    expected = outputs_of(bench, bench.runner(cell, against), reference, batches)
    actual = outputs_of(bench, cell, reference, batches)
    if cell.form.promise == "lossy":
        return lossy(expected, actual, cell.form, model.outputs[0], resolve(model.compare))
    single = expected if against.format == "torch" else None
    noise = 0.0 if cell.form.promise == "exact" else float_noise(bench, cell, reference, items, single)
    bound = NOISE_FACTOR * noise
    promised = f"{cell.form.promise} to {against.name}"
    spec = model.outputs[0]
    answers = np.moveaxis(expected, spec.batch_axis, 0)
    chosen = np.arange(len(items)) if cell.form.promise == "exact" else decided_items(model, answers, bound)
    figures: dict[str, Figure] = {"noise": noise}
    if len(chosen) < len(items):
        figures["undecided"] = len(items) - len(chosen)
    if len(chosen) < LEAST_DECIDED * len(items):
        line = (
            f"{promised}: only {len(chosen)} of {len(items)} items are decided beyond the bound {bound:.3g} at every "
            "step; the others may be fed another answer there, and go on differently"
        )
        return Answer(verdict=Verdict.INCONCLUSIVE, line=line, figures=figures)
    expected, actual = (np.take(outputs, chosen, spec.batch_axis) for outputs in (expected, actual))
    found = agree(expected, actual, bound, spec, resolve(model.compare))
    answer = found.answer(tuple(items[item].id for item in chosen), promised)
    return replace(answer, figures={**answer.figures, **figures})


def decided_items(model: Model, items: NDArray[Any], bound: float | NDArray[Any]) -> NDArray[np.intp]:
    """Which outputs, items first, are decided beyond the bound at every step; all, of a network that is not fed its own
    answers."""
    if model.decided is None:
        return np.arange(len(items))
    return np.flatnonzero(resolve(model.decided)(items, bound))


def float_noise(
    bench: Workbench, cell: Cell, reference: Reference, items: Sequence[Prepared], single: NDArray[Any] | None = None
) -> float:
    """The largest distance between the torch twin in single and in double precision, on the first ``LEAST_ITEMS``.

    ``single`` is the twin's single-precision output where the caller has it already. Items that single precision
    decides otherwise, in a network that is fed its own answers, are left out: what follows is no noise.
    """
    twin = cell.model.twin(cell.form)
    if twin is None:
        raise DeclarationError(f"{cell.id}: promises to be close, but has no torch twin to measure float noise with")
    # More of them would make the bound no tighter, and double precision is slow.
    items, spec = items[:LEAST_ITEMS], cell.model.outputs[0]
    inputs = (cell.model.name, reference.name, tuple(item.id for item in items))
    if inputs in bench.float_noise:
        return bench.float_noise[inputs]
    batches = stack(items, cell.model, min(cell.point.batch, LEAST_ITEMS))
    if single is None:
        single = outputs_of(bench, bench.runner(cell, twin), reference, batches)
    double = outputs_of(bench, bench.runner(cell, twin, "fp64"), reference, batches)
    left, right = (np.moveaxis(outputs, spec.batch_axis, 0) for outputs in (single, double))
    distances = item_distances(left[: len(right)], right)
    distances = distances[decided_items(cell.model, right, distances)]
    if not distances.size:
        raise Broken("no item is decided the same in single and double precision: float noise was not measured")
    noise = float(distances.max())
    if noise == 0.0:
        raise Broken("single and double precision give the same numbers: the float noise was not measured")
    bench.float_noise[inputs] = noise
    return noise


def outputs_of(bench: Workbench, cell: Cell, reference: Reference, batches: Sequence[Batch]) -> NDArray[Any]:
    """The first output of a cell for all batches, joined along its batch axis."""
    output = cell.model.outputs[0]
    with bench.open(cell, reference) as session:
        found = [outputs.values[output.name] for outputs in answered(session, batches, cell.model, cell.precision)]
    return np.concatenate(found, axis=output.batch_axis)
