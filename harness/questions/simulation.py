"""Simulation: does ONNX Runtime compute what integer arithmetic says, element by element, in every node of a quantised
form whose arithmetic is known?

What a form loses by being quantised is in its file; what differs here is an engine's own doing: products that saturate,
a bias that is cut off, a tensor that is read by another zero point than it was written with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np

from harness.backends import Batch, SimulatingSession
from harness.cells import Ask
from harness.evaluate import answered, stack
from harness.model import Model
from harness.ort_session import EXACT_INTEGERS
from harness.provenance import INTEGERS, provenance
from harness.quantize.simulate.compare import Compared, Simulation
from harness.quantize.simulate.executed import Engine, executed
from harness.reference import Reference
from harness.registry import backends
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

SAMPLES = 3
"""Their tensors hold millions of numbers, of which a kernel that saturates changes thousands."""
CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear"})
FMA = frozenset({"amx_int8", "avx512_vnni", "avx512", "avx_vnni", "avx2"})
FUSED = {"QLinearAdd": FMA, "QLinearSigmoid": FMA}
"""Operators that are only known as some processors run them: kernels for others round more often, or elsewhere."""


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Runs the graph that the session of the cell runs with its tensors as outputs, and computes each node again.

    All samples are one batch where the point has a larger one. A graph that does not answer bit for bit as the session
    does fails too: its tensors are not those of the session.
    """
    cell, reference, threads = ask.at, ask.model.reference(ask.reference), bench.compute.threads
    if not backends()[cell.backend].timed:
        return by_its_tools(bench, ask)
    items = bench.inputs(cell.sized, reference, SAMPLES)
    batches = stack(items, cell.sized, min(cell.point.batch, SAMPLES))
    graph = executed(bench.form(ask.model, reference, cell.form, cell.point).file("model.onnx"), threads)
    where = {name: value for name, value in provenance(threads).items() if name in INTEGERS}
    unknown = {operator for operator, known in FUSED.items() if where[INTEGERS[0]] not in known}
    engine, simulation = Engine(graph, threads), Simulation(graph, unknown)
    if differs := _differs(bench, ask, reference, engine, batches):
        figures: dict[str, Figure] = {"n": len(items), "batch": len(batches[0].ids)}
        return Answer(verdict=Verdict.FAIL, line=differs, figures=figures)
    found = tuple(simulation.against(engine, batches))
    return judge(found, simulation.others, where, batches)


def by_its_tools(bench: Workbench, ask: Ask) -> Answer:
    """What a backend that simulates what it compiled makes of one sample; a number that is another one is refused."""
    cell, reference = ask.at, ask.model.reference(ask.reference)
    (batch,) = stack(bench.inputs(cell.sized, reference, cell.point.batch), cell.sized, cell.point.batch)
    with bench.open(cell, reference) as session:
        return cast("SimulatingSession", session).simulate(batch)


def judge(
    found: Sequence[Compared], others: Mapping[str, int], where: Mapping[str, str], batches: Sequence[Batch]
) -> Answer:
    """Fail where any element differs, naming the first node and the worst; inconclusive where nothing is simulated."""
    over = [compared for compared in found if compared.differing]
    nodes, elements = Counter(compared.operator for compared in found), sum(compared.elements for compared in found)
    n = sum(len(batch.ids) for batch in batches)
    figures: dict[str, Figure] = {
        "elements": elements,
        "differing": sum(compared.differing for compared in over),
        "nodes": len(found),
        "nodes_differing": len(over),
        "simulated": _listed(nodes),
        "not_simulated": _listed(others),
        "integers": ", ".join(f"{name}={value}" for name, value in where.items()),
        "n": n,
        "batch": len(batches[0].ids),
    }
    rest = f"not simulated: {_listed(others) or 'nothing'}; n={n}, batch {figures['batch']}, {figures['integers']}"
    if not found:
        line = f"nothing can be simulated: no operator of the graph that is executed is on integers; {rest}"
        return Answer(verdict=Verdict.INCONCLUSIVE, line=line, figures=figures)
    of = f"{elements} elements of {len(found)} nodes ({_listed(nodes)})"
    if not nodes.keys() - CONVERSIONS:
        of += ", which has no integer operators: between them it is computed in single precision"
    if not over:
        return Answer(verdict=Verdict.PASS, line=f"0 differ of {of}; {rest}", figures=figures)
    worst = max(over, key=lambda compared: compared.steps)
    # A record holds no infinity: then the line alone says it.
    steps = worst.steps if np.isfinite(worst.steps) else None
    figures |= {"worst": worst.node, "operator": worst.operator, "steps": steps, "first": over[0].node}
    named = f"first {over[0]}" if over[0] == worst else f"first {over[0]}, worst {worst}"
    line = (
        f"{figures['differing']} differ of {of}, in {len(over)} nodes: {named}; expected none: an engine's shortcut, "
        f"as on x86 without VNNI where {EXACT_INTEGERS} is not 1; {rest}"
    )
    return Answer(verdict=Verdict.FAIL, line=line, figures=figures)


def _differs(bench: Workbench, ask: Ask, reference: Reference, engine: Engine, batches: Sequence[Batch]) -> str:
    """What the session of the cell answers otherwise than the graph whose tensors are looked at; nothing where none."""
    model: Model = ask.at.sized
    names = [spec.name for spec in model.outputs]
    give = engine.giving(names)
    with bench.open(ask.at, reference) as session:
        for batch, outputs in zip(batches, answered(session, batches, model), strict=True):
            tensors = give(batch)
            for name in names:
                found, expected = outputs.values[name], tensors[name]
                if not np.array_equal(found, expected):
                    apart = np.abs(found.astype(np.float64) - expected)
                    return (
                        f"the session answers {np.count_nonzero(apart)} of {apart.size} numbers of {name} otherwise "
                        f"than the graph that it says it executes, by up to {apart.max():.3g} at {batch.ids[0]}; "
                        "expected the same bits: it was given another file, or its answers change from run to run"
                    )
    return ""


def _listed(counts: Mapping[str, int]) -> str:
    """``QLinearConv 53, QuantizeLinear 28``, the most first."""
    ranked: Iterable[tuple[str, int]] = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ranked)
