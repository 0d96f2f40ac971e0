"""The step from a graph as converters write it to one that a quantiser can work on.

A quantiser takes initialisers for weights and everything else for values that are computed: of weights in Constant
nodes it makes activations, and a normalisation that is not folded is quantised on its own. Nodes are told apart by
name, and a scale a channel needs opset 13. ONNX Runtime's quantiser refuses nothing: its files are only worse and
larger, or cannot be loaded.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import version_converter

from harness.onnx_graph.edit import MODEL, Graph, attribute, every_node
from harness.ort_session import session_options
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

OPSET = 13
"""The first one whose QuantizeLinear and DequantizeLinear have an axis, and so a scale a channel."""
OPSET_16_BITS = 21
"""The first one whose QuantizeLinear makes 16 bits."""
PYOP = "PyOp"
"""The operator type of whatever the quantiser of TS.Knight writes."""


@step(revision=1, tools=("onnx", "onnxruntime"))
def quantisable(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` for a quantiser: opset 13 at least, weights as initialisers, normalisations folded, nodes named.

    What a Gemm multiplies its bias by is worked into that. Folding is that of ONNX Runtime's basic level, which looks
    at the graph and not at the machine. Relu and Clip stay, but for a Relu that a Clip behind it does the work of, and
    so do open axes, and a normalisation that is not right behind its convolution. Raises ``Refused`` where the opset
    cannot be raised, and for a vendor's own operators.
    """
    source = onnx.load(given.sources[0] / MODEL)
    refuse_vendors(source)
    later = _named(raised(source, OPSET))
    model = _named(_unscaled(_folded(later)))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out / MODEL)
    before, after = (Counter(node.op_type for node in graph.graph.node) for graph in (later, model))
    return {
        "opset": opset_of(model),
        "nodes": after.total(),
        "constants": before["Constant"] - after["Constant"],
        "normalisations_folded": before["BatchNormalization"] - after["BatchNormalization"],
        "normalisations_left": after["BatchNormalization"],
    }


def is_scaled(node: onnx.NodeProto) -> bool:
    """Whether a Gemm multiplies its bias by another number than 1, which ONNX Runtime's quantiser drops."""
    return node.op_type == "Gemm" and len(node.input) > 2 and attribute(node, "beta", 1.0) != 1.0


def refuse_vendors(model: onnx.ModelProto) -> None:
    """Raises ``Refused`` for nodes that only the vendor's tools know: no runtime can load them."""
    if count := sum(node.op_type == PYOP for node in every_node(model.graph)):
        raise Refused(
            f"{count} nodes of type {PYOP}, expected operators of ONNX: this is a file as the quantiser of TS.Knight "
            "writes it; make standard operators of them with the vendor's replace_operator.py, or give the graph from "
            "before it was quantised"
        )


def opset_of(model: onnx.ModelProto) -> int:
    """The opset of ONNX's own operators."""
    return int(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")))


def raised(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A copy at the opset that is asked for; a later one is kept. Raises ``Refused`` where an operator has no
    counterpart there."""
    try:
        converted = model if opset_of(model) >= opset else version_converter.convert_version(model, opset)
    except (RuntimeError, version_converter.ConvertError) as error:
        raise Refused(f"opset {opset_of(model)} does not become {opset}, which these integers need: {error}") from error
    copied: onnx.ModelProto = onnx.ModelProto.FromString(converted.SerializeToString())
    return copied


def at_bits(model: onnx.ModelProto, bits: int) -> onnx.ModelProto:
    """A copy of a quantisable graph at an opset whose activations may have so many bits."""
    return _named(raised(model, OPSET if bits == 8 else OPSET_16_BITS))


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """What ONNX Runtime's basic level makes of a graph, without the opsets of domains that no node is of."""
    import onnxruntime

    with TemporaryDirectory() as folder:
        options = session_options(1)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / MODEL)
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        folded = onnx.load(Path(folder) / MODEL)
    used = {node.domain for node in every_node(folded.graph)} | {""}
    imports = [entry for entry in folded.opset_import if entry.domain in used]
    del folded.opset_import[:]
    folded.opset_import.extend(imports)
    return folded


def _unscaled(model: onnx.ModelProto) -> onnx.ModelProto:
    """What each Gemm multiplies its bias by, worked into that bias where it is constant."""
    graph = Graph(model)
    for node in filter(is_scaled, model.graph.node):
        bias = graph.constants.get(node.input[2])
        if bias is not None:
            scaled = (bias * np.float32(attribute(node, "beta"))).astype(bias.dtype)
            node.input[2] = graph.add_constant(f"{node.output[0]}.bias", scaled)
            kept = [said for said in node.attribute if said.name != "beta"]
            del node.attribute[:]
            node.attribute.extend(kept)
    return graph.prune()


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Each node keeps its name where it has one to itself; else it is named by its operator and what it makes."""
    names = Counter(node.name for node in model.graph.node)
    for node in model.graph.node:
        if not node.name or names[node.name] > 1:
            node.name = f"{node.op_type}:{node.output[0]}"
    return model
