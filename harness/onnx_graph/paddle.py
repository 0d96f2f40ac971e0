"""The step from a Paddle inference model to ONNX, through the published converter."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx

from harness.onnx_graph.edit import MODEL
from harness.onnx_graph.interface import declare_names, declare_shapes
from harness.process import private_folder, run
from harness.step import Facts, StepInput, step

SECONDS = 600.0
LOG = "paddle2onnx.log"
# In a process of its own: on input that it does not like the converter ends with 0 and an empty file, or aborts.
CONVERT = """
import sys, paddle2onnx
program, parameters, target, opset = sys.argv[1:]
paddle2onnx.export(program, parameters, target, opset_version=int(opset), auto_upgrade_opset=False)
"""


@step(revision=1, tools=("paddle2onnx", "onnx"))
def paddle_to_onnx(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` at exactly the opset asked for, as paddle2onnx writes it: weights are Constant nodes.

    Only the names and sizes of inputs and outputs are written into the graph: Paddle numbers outputs, and leaves height
    and width open, which the guide fixes. The exit code is not trusted, the file is judged. Raises ``Refused`` with
    what the converter printed.
    """
    graph = converted(given, out)
    declare_names(graph.graph, given.inputs, given.outputs)
    declare_shapes(graph.graph.input, given.inputs)
    declare_shapes(graph.graph.output, given.outputs)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, out / MODEL)
    return {"opset": int(given.params["opset"]), "nodes": len(graph.graph.node)}


def converted(given: StepInput, out: Path) -> onnx.ModelProto:
    """What paddle2onnx makes of the source, at exactly the opset asked for; what it printed lies in ``out``."""
    source, opset = given.sources[0], int(given.params["opset"])
    with private_folder(out, "convert") as folder:
        target = folder / MODEL
        files = [source / "inference.pdmodel", source / "inference.pdiparams", target]
        done = run([sys.executable, "-c", CONVERT, *files, str(opset)], folder=folder, log=out / LOG, timeout=SECONDS)
        if done.code != 0 or not target.is_file() or not target.stat().st_size:
            raise done.failure("paddle2onnx wrote no graph")
        graph = onnx.load(target)
    found = [entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx")]
    if found != [opset]:
        raise done.failure(f"asked paddle2onnx for opset {opset}, it wrote {found}")
    return graph
