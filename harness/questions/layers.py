"""Layers: does each layer of a quantised form keep what the same layer holds in single precision?

Accuracy does not see half of what a quantiser can do wrong: a scale that is doubled, a gate whose order is lost. A
layer shows it, and the first one in the order of the network shows where.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from itertools import islice

from harness.cells import Ask
from harness.declaration import DeclarationError
from harness.evaluate import Prepared, Task, stacked
from harness.model import Model
from harness.quantisation import LayerBounds
from harness.quantize.layers import Layer
from harness.quantize.side_by_side import SideBySide
from harness.reference import Reference
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

SAMPLES = 5
"""One by one. More change the least figures by little, and each takes all layers of both graphs in memory at once."""
RANKED = 10
"""The worst layers, which the record keeps."""


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Runs the form and the one that it is promised to be like on the same samples, every layer of both an output, and
    judges each layer by the bounds that the form declares."""
    cell, form = ask.at, ask.form
    reference, against = ask.model.reference(ask.reference), ask.model.against(form)
    if form.quantisation is None or against is None:
        raise DeclarationError(f"{ask.id}: {form.name} declares no quantisation, or nothing that it is compared with")
    single, quantised = (bench.form(ask.model, reference, each).file("model.onnx") for each in (against, form))
    items = samples(bench, cell.sized, reference, SAMPLES)
    found = compared(SideBySide(single, quantised, bench.compute.threads), items, cell.sized)
    return judge(found, form.quantisation.layers, len(items))


def samples(bench: Workbench, model: Model, reference: Reference, count: int) -> list[Prepared]:
    """The first samples of the reference's own data, or where it has none what everybody has; sizes are bound.

    Not a mixture, as other questions take: ranges hold for the data that they were found on, and what lies beyond them
    is clipped, with nothing wrong behind it.
    """
    if reference.data is None:
        return bench.inputs(model, reference, count)
    task = Task.of(model, reference)
    with bench.data(reference.data, exact=False) as reader:
        return [task.prepare(sample) for sample in islice(reader.samples(), count)]


def compared(both: SideBySide, items: Iterable[Prepared], model: Model) -> list[Layer]:
    """Every layer over the items, one by one."""
    layers = {place.tensor: Layer(place) for place in both.places}
    for item in items:
        for place, f, q in both.run(stacked([item], model)):
            layers[place.tensor].add(item.id, f, q)
    return list(layers.values())


def judge(layers: Sequence[Layer], bounds: LayerBounds, n: int) -> Answer:
    """Fail where a layer is over a bound, naming the first in the order given; inconclusive where none has anything to
    compare. Figures are of all but the silent ones, the worst ranked by signal-to-noise ratio."""
    silent = [layer for layer in layers if layer.silent]
    over = [(layer, said) for layer in layers if (said := layer.over(bounds))]
    told = ranked(layers)
    figures: dict[str, Figure] = figures_of(told[:RANKED]) | {
        "layers": len(layers),
        "silent": len(silent),
        "over": len(over),
        "first_over": str(over[0][0].place) if over else "",
        "n": n,
        "cosine_bound": bounds.cosine,
        "snr_bound": bounds.snr,
        "gain_bounds": bounds.gain,
        **(summary(told) if told else {}),
    }
    quiet = f", {len(silent)} of them silent and not judged" if silent else ""
    of = f"{len(layers)} layers{quiet}, n={n}"
    if over:
        layer, said = over[0]
        line = f"layer {layer.place} is the first over a bound: {said}; {len(over)} of {of}"
        return Answer(verdict=Verdict.FAIL, line=line, figures=figures)
    if not told:
        return Answer(verdict=Verdict.INCONCLUSIVE, line=f"nothing was compared: {of}", figures=figures)
    least, largest = bounds.gain
    worst = told[0]
    line = (
        f"{of}; worst {worst.place}: cosine {worst.likeness:.4f} (bound {bounds.cosine:.4g}), signal-to-noise ratio "
        f"{worst.whole.snr:.1f} dB (bound {bounds.snr:.4g}), gain {worst.whole.gain:.3f} (bounds {least:.4g} to "
        f"{largest:.4g}); least cosine {figures['least_cosine']:.4f}, median {figures['median_cosine']:.4f} and "
        f"{figures['median_snr']:.1f} dB"
    )
    return Answer(verdict=Verdict.PASS, line=line, figures=figures)


def ranked(layers: Iterable[Layer]) -> list[Layer]:
    """Layers that hold something, and finite numbers alone, the worst first; of equal ones the first in the order."""
    heard = [layer for layer in layers if not layer.silent and layer.whole.finite]
    return sorted(heard, key=lambda layer: layer.whole.snr)


def figures_of(worst: Sequence[Layer]) -> dict[str, Figure]:
    """The worst layers for the record: their names a line each, their figures under their own names in that order."""
    return {
        "worst": "\n".join(str(layer.place) for layer in worst),
        "worst_cosine": tuple(layer.likeness for layer in worst),
        "worst_snr": tuple(layer.whole.snr for layer in worst),
        "worst_gain": tuple(layer.whole.gain for layer in worst),
        "worst_saturation": tuple(layer.whole.saturation for layer in worst),
    }


def summary(layers: Sequence[Layer]) -> dict[str, float]:
    """The least and the median of what is judged, and the largest mean error in steps of the layers that have any."""
    cosines, ratios, gains = zip(*((each.likeness, each.whole.snr, each.whole.gain) for each in layers), strict=True)
    return {
        "least_cosine": min(cosines),
        "median_cosine": statistics.median(cosines),
        "least_snr": min(ratios),
        "median_snr": statistics.median(ratios),
        "least_gain": min(gains),
        "largest_gain": max(gains),
        "steps": max((abs(each.steps) for each in layers if each.steps is not None), default=0.0),
    }
