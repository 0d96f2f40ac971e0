"""Placement: does every node run on the cell's provider, and which operators take the time?

A session may quietly run single nodes elsewhere, or leave a quantised operator in floats between a dequantiser and a
quantiser: both are seen in what ran, and nowhere else.
"""

from __future__ import annotations

from collections import Counter

from harness.backends import Room
from harness.backends.ort import PROVIDER, OrtBackend
from harness.cells import Ask
from harness.declaration import DeclarationError
from harness.evaluate import stack
from harness.ort_profile import MS, NODES, SHARE, Profile
from harness.verdict import Answer, Broken, Figure, Verdict
from harness.workbench import Workbench

RUNS = 5
"""So many are timed, besides the first."""
SHOWN = 4
"""Operators and nodes that a line names."""
CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Profiles a session on the cell, set up as that of every other question, over one batch."""
    cell, model = ask.at, ask.model
    backend, _ = bench.available(cell.backend)
    if not isinstance(backend, OrtBackend):
        raise DeclarationError(f"{ask.id}: {cell.backend} does not tell where nodes run; ask it of ort")
    reference, size = model.reference(ask.reference), cell.point.batch
    (batch,) = stack(bench.inputs(cell.sized, reference, size), cell.sized, size)
    room = Room(bench.store, bench.scratch, bench.compute)
    prepared = backend.prepare(bench.form(model, reference, cell.loaded, cell.point), cell, room)
    # Other processes that measure would stretch what is measured here.
    with bench.store.lock("timing"):
        profile = backend.profile(prepared, cell, room, batch, RUNS)
    return judge(profile, quantised=ask.form.quantisation is not None)


def judge(profile: Profile, *, quantised: bool = False) -> Answer:
    """Fail where a node ran on another provider; ``Broken`` where none was seen, which says nothing of any."""
    if not profile.kernels:
        raise Broken(
            f"the profile holds no node in {profile.runs} runs, expected one for each node of the graph; this version "
            "of onnxruntime profiles otherwise: see constraints.txt"
        )
    elsewhere = [kernel for kernel in profile.kernels if kernel.provider != PROVIDER]
    left = Counter(kernel.operator for kernel in profile.kernels if kernel.operator in CONVERSIONS)
    figures: dict[str, Figure] = {
        "nodes": len(profile.kernels),
        "elsewhere": len(elsewhere),
        "providers": ", ".join(f"{name}: {count}" for name, count in sorted(profile.providers.items())),
        "runs": profile.runs,
        "kernel_ms": sum(kernel.microseconds for kernel in profile.kernels) / 1e3,
    }
    if quantised:
        figures |= {f"left: {operator}": left[operator] for operator in CONVERSIONS}
    operators = profile.told
    for each in operators:
        figures |= {f"{SHARE}{each.name}": each.share, f"{NODES}{each.name}": each.nodes}
        figures[f"{MS}{each.name}"] = each.microseconds / 1e3
    if elsewhere:
        names = ", ".join(f"{each.operator} {each.name} on {each.provider}" for each in elsewhere[:SHOWN])
        more = f" and {len(elsewhere) - SHOWN} more" if len(elsewhere) > SHOWN else ""
        line = f"{len(elsewhere)} of {len(profile.kernels)} nodes ran elsewhere than on {PROVIDER}: {names}{more}"
        return Answer(verdict=Verdict.FAIL, line=f"{line}; expected none", figures=figures)
    shown = ", ".join(f"{each.name} {each.share:.1%} ({each.nodes})" for each in operators[:SHOWN])
    conversions = " and ".join(f"{left[operator]} {operator}" for operator in CONVERSIONS)
    line = f"all {len(profile.kernels)} nodes on {PROVIDER}; most of the time (and nodes): {shown}"
    line += f"; {conversions} left" if quantised else ""
    return Answer(verdict=Verdict.PASS, line=f"{line}; {profile.runs} runs", figures=figures)
