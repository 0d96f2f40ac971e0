"""Agreement: does a form keep its promise to the form before it, on the same inputs, at this point?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.agree import NEVER_UNDECIDED, NOISE_FACTOR, Loss, agree, item_distances, lossy
from harness.backends import Batch
from harness.cells import Ask, Cell
from harness.declaration import DeclarationError
from harness.evaluate import Prepared, answered, stack
from harness.model import Model
from harness.reference import Reference
from harness.registry import resolve
from harness.verdict import Answer, Broken, Figure, Verdict
from harness.workbench import Workbench

MOST_ITEMS = 32
"""Float noise differs from item to item, by orders of magnitude where a softmax saturates: the largest of a few is a
matter of luck, and no measure for the largest distance between two implementations."""
ENOUGH, LEAST_ITEMS = 2**17, 4
"""So many numbers of output are enough, though they are fewer items: a map holds as many as thousands of words. But not
fewer items than these, of which one may be a picture without text."""
LARGE, LEAST_LARGE = 2**24, 2
"""Items of so many numbers take minutes each; two are enough to tell one from another."""
COARSER = {"fp16": 2.0**13}
"""How many times coarser than single precision a precision is. It costs less than so many times the float noise where
it sums in single precision, as devices do."""
LEAST_DECIDED = 0.25
"""This share of the items of a network that is fed its own answers must be decided, or nothing was compared."""


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Runs both ends of the edge on the same items and judges the child by its promise.

    ``exact`` allows no difference at all. ``close`` allows ``NOISE_FACTOR`` times the float noise of the torch twin,
    measured on ``least_items`` of these inputs. ``lossy`` is a declared change, judged by the share of equal answers;
    one that is a coarser precision also by its median distance, which that of the float noise bounds.
    A child that gives other outputs than the form before it is compared with what the declaration makes of those.
    A backend that computes in another precision than the form is asked whether it does so as one should: see ``arms``.
    """
    cell, model = ask.at, ask.at.model.giving(ask.at.loaded)
    if cell.precision != cell.form.precision:
        return arms(bench, ask)
    reference = model.reference(ask.reference)
    against = model.against(cell.form)
    if against is None:
        raise DeclarationError(f"{cell.id}: nothing before this form runs, so it has no edge")
    items = bench.inputs(cell.sized, reference, max(cell.point.batch, least_items(cell.sized)))
    batches = stack(items, model, cell.point.batch)
    before = bench.runner(cell, against)
    given = outputs_of(bench, before, reference, batches)
    expected = as_given_by(cell, before, given)
    actual = outputs_of(bench, cell, reference, batches)
    if cell.form.promise == "lossy":
        median = None
        # Between classes there is no distance that float noise could be compared with: their share decides.
        if cell.form.precision in COARSER and model.outputs[0].is_float:
            median = COARSER[cell.form.precision] * float(np.median(item_noise(bench, cell, reference, items)))
        loss = Loss(equal=cell.form.equal or 0.0, because=cell.form.because, median=median)
        return lossy(expected, actual, loss, model.outputs[0], resolve(reference.compare or model.compare))
    single = given if against.format == "torch" else None
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
    found = agree(expected, actual, bound, spec, resolve(reference.compare or model.compare))
    answer = found.answer(tuple(items[item].id for item in chosen), promised)
    return replace(answer, figures={**answer.figures, **figures})


def arms(bench: Workbench, ask: Ask) -> Answer:
    """Places what a device loses: the form in single precision, the same in the device's precision on this machine,
    and the device, all on the same items.

    The share of answers that the device leaves as they were is judged as that form here declares it. It must also lie
    no further from single precision than the precision costs: its median distance within ``NOISE_FACTOR`` times the one
    here. The median, because items that a near tie turns are no measure.
    """
    cell, model = ask.at, ask.at.model.giving(ask.at.loaded)
    reference, recipe = model.reference(ask.reference), model.recipes.get(cell.backend)
    lowered = model.foretelling(cell.form, recipe) if recipe else None
    if lowered is None or not model.makes(reference, lowered):
        raise DeclarationError(f"{cell.id}: no form of {reference.name} tells what {cell.precision} costs here")
    items = bench.inputs(cell.sized, reference, max(cell.point.batch, least_items(cell.sized)))
    batches = stack(items, model, cell.point.batch)
    # The device first: one that does not take the model says so before minutes of work here.
    actual, expected, here = (
        as_given_by(cell, each, outputs_of(bench, each, reference, batches))
        for each in (cell, bench.runner(cell, cell.form), bench.runner(cell, lowered, cell.precision))
    )
    spec, compare = model.outputs[0], resolve(reference.compare or model.compare)
    single, half, device = (np.moveaxis(values, spec.batch_axis, 0) for values in (expected, here, actual))
    cost = float(np.median(item_distances(single, half)))
    loss = Loss(
        equal=lowered.equal or 0.0,
        because=lowered.because,
        median=NOISE_FACTOR * cost,
        of_many=lowered.quantisation is not None,
    )
    answer = lossy(expected, actual, loss, spec, compare)
    figures: dict[str, Figure] = {
        "here_equal": compare(single, half, NEVER_UNDECIDED).equal,
        "here_max_abs": float(item_distances(single, half).max()),
        "here_median_abs": cost,
        "here_to_device_max_abs": float(item_distances(half, device).max()),
        "bound": NOISE_FACTOR * cost,
    }
    line = (
        f"{answer.line}; in {cell.precision} on this machine {figures['here_equal']} of {len(items)} stay, median "
        f"{cost:.3g}; between that and the device max-abs {figures['here_to_device_max_abs']:.3g}"
    )
    return alike(replace(answer, line=line, figures={**answer.figures, **figures}), cell, reference)


def alike(answer: Answer, cell: Cell, reference: Reference) -> Answer:
    """The answer of a device, and what is claimed of its likeness to this machine judged: the mean cosine of items."""
    for claim in reference.claims:
        if claim.is_likeness and cell.precision in claim.precisions:
            found = float(str(answer.figures["mean_cosine"]))
            line = f"{answer.line}; mean cosine {found:.6f}, claim {claim.printed}, floor {claim.floor:.4f}"
            verdict = answer.verdict if found >= claim.floor else Verdict.FAIL
            answer = replace(answer, line=line, verdict=verdict, figures={**answer.figures, "likeness_judged": True})
    return answer


def as_given_by(cell: Cell, other: Cell, outputs: NDArray[Any]) -> NDArray[Any]:
    """Outputs of another cell as the cell gives them."""
    if other.sized.outputs == cell.sized.outputs:
        return outputs
    reduced: NDArray[Any] = resolve(cell.model.reduction(cell.loaded))(outputs)
    return reduced


def least_items(model: Model) -> int:
    """How many items float noise is measured on."""
    numbers = prod(model.outputs[0].item)
    least = LEAST_LARGE if numbers >= LARGE else LEAST_ITEMS
    return max(least, min(MOST_ITEMS, ENOUGH // numbers))


def decided_items(model: Model, items: NDArray[Any], bound: float | NDArray[Any]) -> NDArray[np.intp]:
    """Which outputs, items first, are decided beyond the bound at every step; all, of a network that is not fed its own
    answers."""
    if model.decided is None:
        return np.arange(len(items))
    return np.flatnonzero(resolve(model.decided)(items, bound))


def float_noise(
    bench: Workbench, cell: Cell, reference: Reference, items: Sequence[Prepared], single: NDArray[Any] | None = None
) -> float:
    """The largest distance between the torch twin in single and in double precision; arguments as of ``item_noise``."""
    return float(item_noise(bench, cell, reference, items, single).max())


def item_noise(
    bench: Workbench, cell: Cell, reference: Reference, items: Sequence[Prepared], single: NDArray[Any] | None = None
) -> NDArray[Any]:
    """The distances between the torch twin in single and in double precision, on each of the first ``least_items``.

    ``single`` is the twin's single-precision output where the caller has it already. Items that single precision
    decides otherwise, in a network that is fed its own answers, are left out: what follows is no noise.
    """
    twin = cell.model.twin(cell.form)
    if twin is None:
        raise DeclarationError(f"{cell.id}: promises to be close, but has no torch twin to measure float noise with")
    # More of them would make the bound no tighter, and double precision is slow.
    items, spec = items[: least_items(cell.sized)], cell.model.outputs_of(twin)[0]
    inputs = (cell.model.name, reference.name, tuple(f"{item.id} {item.value.shape}" for item in items))
    if inputs in bench.float_noise:
        return bench.float_noise[inputs]
    batches = stack(items, cell.model, min(cell.point.batch, len(items)))
    if single is None:
        single = outputs_of(bench, bench.runner(cell, twin), reference, batches)
    double = outputs_of(bench, bench.runner(cell, twin, "fp64"), reference, batches)
    left, right = (np.moveaxis(outputs, spec.batch_axis, 0) for outputs in (single, double))
    distances = item_distances(left[: len(right)], right)
    distances = distances[decided_items(cell.model, right, distances)]
    if not distances.size:
        raise Broken("no item is decided the same in single and double precision: float noise was not measured")
    if not distances.any():
        raise Broken("single and double precision give the same numbers: the float noise was not measured")
    bench.float_noise[inputs] = distances
    return distances


def outputs_of(bench: Workbench, cell: Cell, reference: Reference, batches: Sequence[Batch]) -> NDArray[Any]:
    """The first output of a cell for all batches, joined along its batch axis."""
    output = cell.sized.outputs[0]
    with bench.open(cell, reference) as session:
        found = [outputs.values[output.name] for outputs in answered(session, batches, cell.sized, cell.precision)]
    return np.concatenate(found, axis=output.batch_axis)
