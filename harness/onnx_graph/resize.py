"""Resize by constant scales in the place of sizes that a graph works out at run time: what ``modify.py`` of guide 003
is for.

The exporter of the guide writes, around each Resize, a chain of nodes from the shape of what is resized to its new
size. The vendor's script cuts the nodes that it expects there and puts a scale that it is told. Here the scale is what
the chain itself gives, asked at many sizes, so that it may consist of anything.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from harness.onnx_graph.edit import MODEL, Graph, every_node
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

SIDES = (1, 2, 3, 5, 8, 13, 20, 23, 40, 64, 100, 127, 160, 336, 672, 1024)
"""Heights that a chain is asked about, each with a width from the other end: odd and even, up to a quarter of 4096."""
BATCH, CHANNELS = 3, 7
SIZES = 3
"""The input of Resize that is a size and no scale, from opset 11 on."""


@step(revision=1, tools=("onnx",))
def constant_scales(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` where every Resize has constant scales [1, 1, s, s] in the place of a size worked out at run time.

    Nearest neighbours stay the same to the bit; for linear ones ONNX Runtime takes another kernel, which rounds
    elsewhere. Raises ``Refused`` where there is none, and for one that is out of sight or whose scale cannot be told.
    """
    graph = Graph(onnx.load(given.sources[0] / MODEL))
    found = [node for node in graph.proto.node if worked_out(graph, node)]
    seen = [node for node in graph.proto.node if node.op_type == "Resize"]
    if sum(node.op_type == "Resize" for node in every_node(graph.proto)) != len(seen):
        raise Refused("a Resize in the body of If, Loop or Scan: expected all of them in the graph itself")
    if not found:
        raise Refused(f"{len(seen)} Resize in the graph, none with a size worked out at run time: nothing to rewrite")
    for node in found:
        scale = scale_of(graph, node)
        scales = graph.add_constant(f"{node.output[0]}.scales", np.array([1, 1, scale, scale], np.float32))
        # Opset 10 has scales alone; from 11 on the region comes before them, and sizes may follow.
        node.input[:] = [*node.input[: min(2, len(node.input) - 1)], scales]
    model = graph.finish()
    onnx.save(model, out / MODEL)
    return {"rewritten": len(found), "nodes": len(model.graph.node)}


def worked_out(graph: Graph, node: NodeProto) -> str:
    """The value that gives a Resize its scales or sizes where it is not constant; empty elsewhere."""
    if node.op_type != "Resize":
        return ""
    places = node.input[1:] if len(node.input) == 2 else node.input[2:]
    return next((value for value in places if value and graph.constant(value) is None), "")


def scale_of(graph: Graph, node: NodeProto) -> int:
    """By what a Resize multiplies height and width.

    Raises ``Refused`` where that is no integer, differs between the two or from size to size, and where it depends on
    more than the shape of what is resized.
    """
    name, picture = node.name or node.output[0], node.input[0]
    chain = chain_of(graph, node)
    found: set[tuple[float, ...]] = set()
    for height, width in zip(SIDES, reversed(SIDES), strict=True):
        shape = np.array([BATCH, CHANNELS, height, width])
        (answer,) = chain.run(None, {picture: np.broadcast_to(np.float32(0), tuple(shape))})
        said = np.asarray(answer)
        scales = said / shape if len(node.input) > SIZES and said.shape == shape.shape else said
        found.add(tuple(float(scale) for scale in np.ravel(scales)))
    first = min(found)
    if len(found) > 1:
        raise Refused(f"{name}: scales {list(first)} at one size and {list(max(found))} at another, expected the same")
    if first != (1, 1, first[-1], first[-1]) or not first[-1].is_integer():
        raise Refused(f"{name}: scales {list(first)}, expected [1, 1, s, s] with an integer s")
    return int(first[-1])


def chain_of(graph: Graph, node: NodeProto) -> ReferenceEvaluator:
    """The nodes that work out the scales or sizes of a Resize, as a graph whose input is what is resized."""
    picture, end = node.input[0], worked_out(graph, node)
    waiting, needed, constants = [end], set[str](), []
    while waiting:
        value = waiting.pop()
        if value in needed or value in ("", picture):
            continue
        needed.add(value)
        producer = graph.producer(value)
        if value in graph.constants:
            constants.append(numpy_helper.from_array(graph.constants[value], value))
        elif producer is None:
            raise Refused(
                f"{node.name or node.output[0]}: its size depends on {value}, expected the shape of {picture} alone"
            )
        else:
            waiting += producer.input
    nodes = [each for each in graph.proto.node if needed & set(each.output) and each.op_type != "Constant"]
    made = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info(picture, TensorProto.FLOAT, None)],
        [onnx.ValueInfoProto(name=end)],
        constants,
    )
    return ReferenceEvaluator(helper.make_model(made, opset_imports=graph.model.opset_import))
