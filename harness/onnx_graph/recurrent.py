"""The vendor's rewrites of recurrent heads, both equal in exact arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper

from harness.onnx_graph.edit import MODEL, Graph, attribute
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

ENDS = np.iinfo(np.int64).min  # a Slice with step -1 that ends here takes the first row too


@step(revision=1, tools=("onnx",))
def split_lstm(given: StepInput, out: Path) -> Facts:
    """Every bidirectional LSTM as two forward ones, the second over the flipped sequence and flipped back."""
    graph = Graph(onnx.load(given.sources[0] / MODEL))
    both = [
        node for node in graph.proto.node if node.op_type == "LSTM" and attribute(node, "direction") == "bidirectional"
    ]
    if not both:
        raise Refused("no bidirectional LSTM in the graph: nothing to split")
    for node in both:
        graph.replace(node, _two_directions(graph, node))
    onnx.save(graph.finish(), out / MODEL)
    return {"split": len(both), "nodes": len(graph.proto.node)}


@step(revision=1, tools=("onnx",))
def gemm_to_matmul(given: StepInput, out: Path) -> Facts:
    """Every Reshape, Gemm, Reshape over the rows of a sequence as MatMul and Add on the sequence itself."""
    graph = Graph(onnx.load(given.sources[0] / MODEL))
    found = [node for node in graph.proto.node if node.op_type == "Gemm" and _rows_of_sequence(graph, node)]
    if not found:
        raise Refused("no Reshape, Gemm, Reshape over a sequence in the graph: nothing to rewrite")
    for gemm in found:
        before = graph.producer(gemm.input[0])
        after = graph.consumers(gemm.output[0])[0]
        if before is None:
            raise Refused(f"{gemm.name}: its Reshape vanished during the rewrite")
        weights = graph.constants[gemm.input[1]]
        transposed = weights.T if attribute(gemm, "transB", 0) else weights
        product = f"{gemm.output[0]}.product"
        factor = graph.add_constant(f"{gemm.input[1]}.transposed", transposed)
        graph.replace(
            after,
            [
                helper.make_node("MatMul", [before.input[0], factor], [product], name=f"{gemm.output[0]}.matmul"),
                helper.make_node("Add", [product, gemm.input[2]], [after.output[0]], name=f"{gemm.output[0]}.add"),
            ],
        )
    onnx.save(graph.finish(), out / MODEL)
    return {"rewritten": len(found), "nodes": len(graph.proto.node)}


def _two_directions(graph: Graph, node: NodeProto) -> list[NodeProto]:
    """Forward LSTM; Slice, LSTM, Slice; Concat, giving the steps x 2 x batch x hidden of the node."""
    _check_splittable(graph, node)
    prefix, sequence = node.output[0], node.input[0]
    backward = f"{prefix}.flipped"
    made: list[NodeProto] = [_flip(graph, prefix, sequence, backward)]
    halves: list[str] = []
    for index, source in enumerate((sequence, backward)):
        weights = [
            graph.add_constant(f"{prefix}.{name}{index}", graph.constants[given][index : index + 1])
            for name, given in zip("WRB", node.input[1:4], strict=True)
        ]
        half = f"{prefix}.half{index}"
        size = attribute(node, "hidden_size")
        made.append(helper.make_node("LSTM", [source, *weights], [half], name=half, hidden_size=size))
        halves.append(half)
    back = f"{prefix}.back"
    made.append(_flip(graph, back, halves[1], back))
    made.append(helper.make_node("Concat", [halves[0], back], [prefix], name=f"{prefix}.both", axis=1))
    return made


def _check_splittable(graph: Graph, node: NodeProto) -> None:
    """Raises ``Refused`` where two plain forward LSTMs would not give the numbers of this one."""
    where = node.name or node.output[0]
    special = sorted({found.name for found in node.attribute} - {"direction", "hidden_size"})
    if special:
        raise Refused(f"{where}: has {', '.join(special)}; only a plain LSTM can be split")
    if len(node.input) < 4 or not all(name in graph.constants for name in node.input[1:4]):
        raise Refused(f"{where}: expected W, R and B as constants, found inputs {', '.join(node.input[1:4])}")
    shown = {output.name for output in graph.proto.output}
    if any(name and (name in shown or graph.consumers(name)) for name in node.output[1:]):
        raise Refused(f"{where}: its last states are used; only the whole sequence can be split")
    for name in node.input[4:]:
        if name and not _zero_state(graph, name):
            raise Refused(f"{where}: {name} is not a zero initial state; the split would drop it")


def _flip(graph: Graph, prefix: str, source: str, target: str) -> NodeProto:
    """The sequence in reverse: a Slice over axis 0 with step -1."""
    numbers = {"starts": -1, "ends": ENDS, "axes": 0, "steps": -1}
    given = [graph.add_constant(f"{prefix}.flip.{name}", np.array([value])) for name, value in numbers.items()]
    return helper.make_node("Slice", [source, *given], [target], name=f"{prefix}.flip")


def _zero_state(graph: Graph, name: str) -> bool:
    producer = graph.producer(name)
    if producer is not None and producer.op_type == "ConstantOfShape":
        value = attribute(producer, "value")
        return value is None or not np.any(onnx.numpy_helper.to_array(value))
    return name in graph.constants and not np.any(graph.constants[name])


def _rows_of_sequence(graph: Graph, gemm: NodeProto) -> bool:
    """Whether the Gemm sees a T x B x F sequence as T*B rows and its result goes back to T x B x outputs.

    The target shapes must be made from dimensions 0 and 1 of the very sequence that goes in, in that order.
    """
    before, after = graph.producer(gemm.input[0]), graph.consumers(gemm.output[0])
    plain = attribute(gemm, "alpha", 1.0) == attribute(gemm, "beta", 1.0) == 1.0 and not attribute(gemm, "transA", 0)
    if not plain or gemm.input[1] not in graph.constants or len(gemm.input) != 3:
        return False
    if before is None or before.op_type != "Reshape" or [node.op_type for node in after] != ["Reshape"]:
        return False
    target = graph.producer(after[0].input[1])
    if target is None or target.op_type != "Concat" or len(target.input) != 3:
        return False
    axes = [_dimension_of(graph, name, before.input[0]) for name in target.input[:2]]
    rest = graph.constants.get(target.input[2])
    return axes == [0, 1] and rest is not None and rest.tolist() == [-1]


def _dimension_of(graph: Graph, name: str, sequence: str) -> int | None:
    """Which dimension of ``sequence`` a one-element shape is, through Unsqueeze, Gather and Shape; else nothing."""
    unsqueeze = graph.producer(name)
    gather = graph.producer(unsqueeze.input[0]) if unsqueeze is not None and unsqueeze.op_type == "Unsqueeze" else None
    if gather is None or gather.op_type != "Gather" or gather.input[1] not in graph.constants:
        return None
    shape = graph.producer(gather.input[0])
    if shape is None or shape.op_type != "Shape" or shape.input[0] != sequence:
        return None
    return int(graph.constants[gather.input[1]])
