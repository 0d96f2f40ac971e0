"""The steps between logits and the class of every pixel, in both directions."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TensorShapeProto,
    ValueInfoProto,
    helper,
    shape_inference,
)

from harness.onnx_graph.edit import MODEL, Graph, attribute
from harness.onnx_graph.interface import declare_names, declare_shapes
from harness.onnx_graph.paddle import converted
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

AXES, CLASSES = 4, 1
"""Logits are N x C x H x W: how many axes they have, and which holds the classes."""
REPEATS = ("Identity", "Cast", "Squeeze")
"""What exporters write behind ArgMax."""
MOVES = ("Identity", "Cast", "Transpose", "Reshape", "Flatten")
"""What converters write behind Softmax, which takes the last axis in early opsets."""
SQUASHES = ("Softmax", "LogSoftmax", "Sigmoid")


@step(revision=1, tools=("onnx",))
def add_argmax(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` that gives the class with the largest logit, the first of equal ones, int64 N x H x W, alone.

    Raises ``Refused`` where the source gives anything but logits N x C x H x W in float32.
    """
    graph = Graph(onnx.load(given.sources[0] / MODEL))
    logits = _only_output(graph.proto)
    _check_logits(graph, logits)
    found = ValueInfoProto(name=f"{logits.name}.classes")
    found.type.tensor_type.elem_type = TensorProto.INT64
    axes = logits.type.tensor_type.shape.dim
    found.type.tensor_type.shape.dim.extend([*axes[:CLASSES], *axes[CLASSES + 1 :]])
    graph.proto.node.append(
        helper.make_node("ArgMax", [logits.name], [found.name], name=found.name, axis=CLASSES, keepdims=0)
    )
    return _written(graph, found, given, out)


@step(revision=1, tools=("paddle2onnx", "onnx"))
def paddle_to_logits(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` that gives logits N x C x H x W, alone, as paddle2onnx makes it of a Paddle program.

    PaddleSeg's export puts ArgMax behind the network unless it is told not to: then it is left out. Raises ``Refused``
    as ``harness.onnx_graph.paddle`` and ``cut_argmax`` do.
    """
    return {"opset": int(given.params["opset"]), **cut_argmax(converted(given, out), given, out)}


def cut_argmax(model: ModelProto, given: StepInput, out: Path) -> Facts:
    """Writes a graph with logits N x C x H x W as its only output: what its ArgMax reads, where it ends with one.

    Raises ``Refused`` for ArgMax over another axis, and for a graph that ends with probabilities or anything else that
    is no logits in float32.
    """
    graph = Graph(model)
    output = _only_output(graph.proto)
    argmax = _argmax(graph, output.name)
    logits = output if argmax is None else _read_by(argmax, output, graph.model)
    _check_logits(graph, logits)
    return {"cut": int(argmax is not None), **_written(graph, logits, given, out)}


def _argmax(graph: Graph, output: str) -> NodeProto | None:
    """The ArgMax over the classes that an output repeats; none where something else makes it."""
    node, squeezes = graph.producer(output), []
    while node is not None and node.op_type in REPEATS:
        squeezes += [graph.integers(node, "axes")] if node.op_type == "Squeeze" else []
        node = graph.producer(node.input[0])
    if node is None or node.op_type != "ArgMax":
        return None
    name, axis = node.name or node.output[0], attribute(node, "axis", 0)
    if axis not in (CLASSES, CLASSES - AXES):
        raise Refused(f"ArgMax {name} over axis {axis}; expected axis {CLASSES}, that of the classes")
    if squeezes not in ([], [[CLASSES]]):
        raise Refused(f"Squeeze of axes {squeezes} behind ArgMax {name}; expected none, or [[{CLASSES}]]")
    return node


def _read_by(argmax: NodeProto, output: ValueInfoProto, model: ModelProto) -> ValueInfoProto:
    """What an ArgMax reads, with the axes of what it makes and that of the classes: of Resize to a size that is worked
    out at run time, nothing says how many it makes."""
    name = argmax.input[0]
    values = shape_inference.infer_shapes(model).graph.value_info
    logits = ValueInfoProto(name=name)
    logits.type.tensor_type.elem_type = next(
        (value.type.tensor_type.elem_type for value in values if value.name == name), TensorProto.UNDEFINED
    )
    axes = list(output.type.tensor_type.shape.dim)
    behind = axes[CLASSES + 1 :] if len(axes) == AXES else axes[CLASSES:]
    logits.type.tensor_type.shape.dim.extend([*axes[:CLASSES], TensorShapeProto.Dimension(), *behind])
    return logits


def _check_logits(graph: Graph, value: ValueInfoProto) -> None:
    """That a value is of the type of logits, and no probabilities that were made of them."""
    kind, axes = value.type.tensor_type.elem_type, len(value.type.tensor_type.shape.dim)
    if (kind, axes) != (TensorProto.FLOAT, AXES):
        raise Refused(
            f"{value.name}: {TensorProto.DataType.Name(kind)} of {axes} axes; expected logits, FLOAT of {AXES} axes"
        )
    node = graph.producer(value.name)
    while node is not None and node.op_type in MOVES:
        node = graph.producer(node.input[0])
    if node is not None and node.op_type in SQUASHES:
        raise Refused(f"{value.name}: made by {node.op_type}; expected logits, so export without it")


def _written(graph: Graph, output: ValueInfoProto, given: StepInput, out: Path) -> Facts:
    """Writes the graph with this output alone, named as declared."""
    del graph.proto.output[:]
    graph.proto.output.append(output)
    declare_names(graph.proto, given.inputs, given.outputs)
    declare_shapes(graph.proto.input, given.inputs)
    declare_shapes(graph.proto.output, given.outputs)
    model = graph.finish()
    onnx.save(model, out / MODEL)
    return {"nodes": len(model.graph.node)}


def _only_output(graph: GraphProto) -> ValueInfoProto:
    """A copy of the only output, which may go."""
    if len(graph.output) != 1:
        raise Refused(f"outputs {', '.join(value.name for value in graph.output)}; expected one")
    output = ValueInfoProto()
    output.CopyFrom(graph.output[0])
    return output
