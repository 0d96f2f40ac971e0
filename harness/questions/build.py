"""Build: is the form what its declaration says? Names, shapes, dtypes, opset, dynamic axes, operators, parameters."""

from __future__ import annotations

from collections.abc import Iterator

from harness.cells import Ask
from harness.model import Form, Model, TensorSpec
from harness.onnx_graph.inspect import Summary, Tensor, inspect
from harness.store import Artefact
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

SHOWN = ("opset", "nodes", "parameters", "keys", "operators", "tensors")
"""Facts of a form that its line names, where it has them."""


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Builds the form, or finds it built, and compares it with its declaration; all differences in one line."""
    form = ask.form
    made = bench.form(ask.model, ask.model.reference(ask.reference), form)
    figures: dict[str, Figure] = {**made.facts, "size": made.size, "because": made.because, "digest": made.digest}
    if form.format == "onnx":
        summary = inspect(made.file("model.onnx"))
        figures |= {"opset": summary.opset, "nodes": summary.nodes, "size": summary.size}
        differences = list(differ(ask.model, form, summary))
    else:
        differences = list(_facts_differ(form, made))
    if differences:
        return Answer(verdict=Verdict.FAIL, line="; ".join(differences), figures=figures)
    shown = ", ".join(f"{name} {figures[name]}" for name in SHOWN if name in figures)
    return Answer(verdict=Verdict.PASS, line=f"as declared: {shown}, {figures['size']} bytes", figures=figures)


def differ(model: Model, form: Form, summary: Summary) -> Iterator[str]:
    """Every way in which an ONNX file is not what its declaration says: found and expected."""
    if form.opset is not None and summary.opset != form.opset:
        yield f"opset is {summary.opset}, declared {form.opset}"
    for kind, found, specs in (("input", summary.inputs, model.inputs), ("output", summary.outputs, model.outputs)):
        declared = tuple(_as_tensor(spec) for spec in specs)
        if found != declared:
            yield f"{kind}s are {', '.join(map(str, found))}, declared {', '.join(map(str, declared))}"
    if form.nodes is not None and summary.nodes != form.nodes:
        yield f"{summary.nodes} nodes, declared {form.nodes}"
    for operator, count in form.operators.items():
        if summary.operators.get(operator, 0) != count:
            yield f"{summary.operators.get(operator, 0)} nodes of {operator}, declared {count}"


def _facts_differ(form: Form, made: Artefact) -> Iterator[str]:
    if form.parameters is not None and made.facts.get("parameters") != form.parameters:
        yield f"{made.facts.get('parameters')} parameters, declared {form.parameters}"


def _as_tensor(spec: TensorSpec) -> Tensor:
    return Tensor(spec.name, spec.axes, spec.dtype)
