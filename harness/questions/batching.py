"""Batching: an item gets the same answer alone and in a batch, in any order, in a short last batch, and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.agree import ANOTHER, NOISE_FACTOR, another, item_distances, passes
from harness.backends import Batch, Session
from harness.cells import Ask
from harness.evaluate import Prepared, answered, stack
from harness.model import Model
from harness.questions.agreement import decided_items, float_noise, least_items
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

COMPARED = ("alone", "reversed", "short_last", "repeated")
ALONE = 4
"""How many items of the batch are also asked alone: first, last and between."""


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Maps items singly and in batches through one session; distances within the float-noise bound of the model,
    and none at all between two answers to the same batch. Of a network that is fed its own answers, items with a near
    tie are left out."""
    cell, model = ask.at, ask.at.sized
    reference = model.reference(ask.reference)
    size = cell.point.batch
    wanted = size + max(1, size // 2)
    items = bench.inputs(model, reference, max(wanted, least_items(model)))
    # A class that another number turns is another answer: of classes none may differ.
    noise = float_noise(bench, cell, reference, items) if model.outputs[0].is_float else 0.0
    items = items[:wanted]
    bound = NOISE_FACTOR * noise
    with bench.open(cell, reference) as session:
        distances, null = _distances(session, model, items, Size(size, bound))
    allowed = {name: 0.0 if name == "repeated" else bound for name in distances}
    over = [name for name, distance in distances.items() if not distance <= allowed[name]]
    figures: dict[str, Figure] = dict(distances)
    figures |= {"bound": bound, "noise": noise, "n": len(items)}
    line = ", ".join(f"{name} {distance:.3g}" for name, distance in distances.items())
    line = f"distances to the full batch: {line}; bound {bound:.3g} (repeated: 0), batch {size}, n={len(items)}"
    if over:
        return Answer(verdict=Verdict.FAIL, line=f"{', '.join(over)} over the bound; {line}", figures=figures)
    if undecided := [name for name in COMPARED if name not in distances]:
        line = f"no item is decided at every step among those of {', '.join(undecided)}; {line}"
        return Answer(verdict=Verdict.INCONCLUSIVE, line=line, figures=figures)
    if passes(ANOTHER, null, bound):
        line = f"vacuous: another sample's output would pass too; {line}"
        return Answer(verdict=Verdict.INCONCLUSIVE, line=line, figures=figures)
    return Answer(verdict=Verdict.PASS, line=line, figures=figures)


class Size(NamedTuple):
    """A batch, and the bound of its answers."""

    batch: int
    bound: float


def _distances(
    session: Session, model: Model, items: Sequence[Prepared], size: Size
) -> tuple[dict[str, float], NDArray[Any]]:
    """The distances of each way of asking to the full batch, and those of other samples' outputs to it; of a way in
    which no item is decided there is none."""
    full, short = stack(items, model, size.batch)[:2]
    places, ends = _spread(size.batch), _spread(len(items) - size.batch)
    # One stream, so that a session that remembers anything is caught: full, short, full again, reversed, then singles.
    singles = stack([items[place] for place in (*places, *(size.batch + end for end in ends))], model, 1)
    asked = [full, short, full, _reversed(full, model), *singles]
    first, tail, again, backward, *alone = _outputs(session, asked, model)
    pairs = {
        "alone": (first[places], np.concatenate(alone[: len(places)])),
        "reversed": (first, backward[::-1]),
        "short_last": (tail[ends], np.concatenate(alone[len(places) :])),
    }
    distances = {}
    for name, (expected, found) in pairs.items():
        chosen = decided_items(model, expected, size.bound)
        if len(chosen):
            distances[name] = float(item_distances(expected[chosen], found[chosen]).max())
    distances["repeated"] = float(item_distances(first, again).max())
    among = np.concatenate([first, tail])
    return distances, item_distances(among, another(among))


def _spread(count: int) -> list[int]:
    """Up to ``ALONE`` places among so many: first, last and between."""
    return sorted({int(place) for place in np.linspace(0, count - 1, ALONE)})


def _outputs(session: Session, batches: Sequence[Batch], model: Model) -> list[NDArray[Any]]:
    """The first output of each batch, items first."""
    output = model.outputs[0]
    return [np.moveaxis(found.values[output.name], output.batch_axis, 0) for found in answered(session, batches, model)]


def _reversed(batch: Batch, model: Model) -> Batch:
    spec = model.inputs[0]
    return Batch(batch.ids[::-1], {spec.name: np.flip(batch.inputs[spec.name], spec.batch_axis).copy()})
