"""Build: is the form what its declaration says? Names, shapes, dtypes, opset, dynamic axes, operators, parameters; and
is its file no larger than was published? Of a quantised form: is each scale, zero point and integer in it what ranges
and weights imply?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

from harness.calibration import samples_differ
from harness.cells import Ask
from harness.claim import Claim
from harness.form import Form
from harness.model import Model
from harness.onnx_graph.edit import MODEL
from harness.onnx_graph.inspect import Summary, Tensor, inspect
from harness.quantize import parameters
from harness.quantize.calibrate import SAMPLES
from harness.quantize.ranges import RANGES, read_ranges
from harness.sizes import Point, TensorSpec
from harness.store import Artefact
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

SHOWN = ("opset", "nodes", "parameters", "keys", "operators", "tensors")
"""Facts of a form that its line names, where it has them."""
FED = 3
"""So many calibration inputs are made again: one that is fed otherwise shows in any of them."""
NAMED = 3
"""Parameters of a quantised form that a line names, where they differ; of the others it says how many."""


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Builds the form, or finds it built, and compares it with its declaration; all differences in one line."""
    form, reference = ask.form, ask.model.reference(ask.reference)
    made = bench.form(ask.model, reference, form, ask.cell.point if ask.cell else None)
    figures: dict[str, Figure] = {**made.facts, "size": made.size, "because": made.because, "digest": made.digest}
    if form.format == "onnx":
        summary = inspect(made.file("model.onnx"), later=_spelled(ask.model, form))
        figures |= {"opset": summary.opset, "nodes": summary.nodes, "size": summary.size}
        differences = list(differ(ask.model, form, summary, ask.cell.point if ask.cell else None))
        differences += _quantised_differently(bench, ask, made)
    else:
        differences = list(_facts_differ(form, made))
    size = summary.size if form.format == "onnx" else made.size
    sizes = [claim for claim in reference.claims if claim.is_size and claim.form == form.name and not claim.device]
    differences += [f"{_megabytes(size)}, over the published {_limit(claim)}" for claim in sizes if _over(size, claim)]
    if differences:
        return Answer(verdict=Verdict.FAIL, line="; ".join(differences), figures=figures)
    shown = ", ".join(f"{name} {figures[name]}" for name in SHOWN if name in figures)
    if form.quantisation is not None:
        shown += (
            f", {figures['quantised']} values and {figures['quantised_weights']} weights in integers, left float "
            f"{figures['left_float'] or 'nothing'}, {figures['single_size']} bytes in single precision"
        )
    claimed = "".join(f"; {_megabytes(size)}, published {_limit(claim)}" for claim in sizes)
    return Answer(verdict=Verdict.PASS, line=f"as declared: {shown}, {size} bytes{claimed}", figures=figures)


def differ(model: Model, form: Form, summary: Summary, point: Point | None = None) -> Iterator[str]:
    """Every way in which an ONNX file is not what its declaration says, of a static form at a point: found and
    expected."""
    if form.opset is not None and summary.opset != form.opset:
        yield f"opset is {summary.opset}, declared {form.opset}"
    outputs = model.outputs_of(form)
    for kind, found, specs in (("input", summary.inputs, model.inputs), ("output", summary.outputs, outputs)):
        declared = tuple(_as_tensor(spec.bound(point) if form.static and point else spec) for spec in specs)
        if found != declared:
            yield f"{kind}s are {', '.join(map(str, found))}, declared {', '.join(map(str, declared))}"
    if form.nodes is not None and summary.nodes != form.nodes:
        yield f"{summary.nodes} nodes, declared {form.nodes}"
    for operator, count in form.operators.items():
        if summary.operators.get(operator, 0) != count:
            yield f"{summary.operators.get(operator, 0)} nodes of {operator}, declared {count}"


def _quantised_differently(bench: Workbench, ask: Ask, made: Artefact) -> Iterator[str]:
    """The ways in which a quantised form is not what its declaration, its samples, its ranges and its parent imply; of
    the last the first few, and how many more."""
    form, how, model, reference = ask.form, ask.form.quantisation, ask.model, ask.model.reference(ask.reference)
    if how is None or form.parent is None:
        return
    for told in filter(None, str(made.facts["left_float"]).split(", ")):
        if told.split()[0] not in how.left_float:
            yield f"left float: {told}; name it in Quantisation.left_float with the reason, or quantise it"
    ranges = bench.ranges(model, reference, form)
    told, inputs = json.loads(ranges.file(SAMPLES).read_text()), bench.fed(model, reference, form, FED)
    yield from samples_differ(told, bench.calibrated(model, reference, form), inputs)
    single = bench.form(model, reference, model.form(form.parent)).file(MODEL)
    found = parameters.differ(made.file(MODEL), single, read_ranges(ranges.file(RANGES)), how.bits, how.left_float)
    yield from islice(found, NAMED)
    if more := sum(1 for _ in found):
        yield f"and {more} more such differences"


def _spelled(model: Model, form: Form) -> bool:
    """Whether a form is for a compiler alone, in a spelling of its vendor's that need not be valid ONNX."""
    spelled = {name for recipe in model.recipes.values() for name in recipe.compiles.values()}
    return form.promise == "opaque" and form.name in spelled


def _over(size: int, claim: Claim) -> bool:
    """Whether a file is larger than was published; a smaller one is never a failure."""
    return size / 1e6 > claim.value * (1 + claim.allow)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _limit(claim: Claim) -> str:
    allowed = f" (+{claim.allow:.0%} allowed)" if claim.allow else ""
    return f"{claim.printed} {claim.unit}{allowed}"


def _facts_differ(form: Form, made: Artefact) -> Iterator[str]:
    if form.parameters is not None and made.facts.get("parameters") != form.parameters:
        yield f"{made.facts.get('parameters')} parameters, declared {form.parameters}"


def _as_tensor(spec: TensorSpec) -> Tensor:
    return Tensor(spec.name, spec.named, spec.dtype)
