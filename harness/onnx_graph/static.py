"""A graph at one size alone, as compilers want it: every axis has a size, and nothing is worked out from shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, TypeProto, defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from harness.onnx_graph.edit import MODEL, Graph
from harness.onnx_graph.interface import declare_shapes
from harness.step import Facts, StepInput, step
from harness.verdict import Refused


@step(revision=1, tools=("onnx",))
def bind_sizes(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` at the declared sizes alone; each Resize, Reshape and the like has constants for what it makes.

    All other nodes stay as they are, also a normalisation behind a convolution, and so do the numbers, to the bit: but
    for a linear Resize with a constant size the last level of ONNX Runtime takes another kernel, which rounds
    elsewhere. Raises ``Refused`` where a size is open after that, or an output has another one than declared.
    """
    for spec in (*given.inputs, *given.outputs):
        if opened := [axis for axis in spec.named if isinstance(axis, str)]:
            raise Refused(f"{spec.name}: {', '.join(opened)} open, expected a size for every axis")
    graph = Graph(onnx.load(given.sources[0] / MODEL))
    before = len(graph.proto.node)
    declare_shapes(graph.proto.input, given.inputs)
    declare_shapes(graph.proto.output, given.outputs)
    shapes = fold(graph)
    for spec in given.outputs:
        if shapes[spec.name] != spec.axes:
            raise Refused(f"{spec.name}: {list(shapes[spec.name])} in the graph, declared {list(spec.axes)}")
    model = graph.finish()
    onnx.save(model, out / MODEL)
    return {"nodes": len(model.graph.node), "folded": before - len(model.graph.node)}


def fold(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The shape of every value of a graph whose inputs have sizes; what it worked out from shapes is constant then.

    Constants take the place of Shape, and of nodes that make at most one axis of constants with at most one: sizes have
    one, weights in other places have more. Raises ``Refused`` where a shape does not follow from the inputs' sizes.
    """
    types = {value.name: value.type for value in graph.proto.input}
    types |= {name: _type_of(array) for name, array in graph.constants.items()}
    kept = []
    for node in graph.proto.node:
        made = _inferred(graph, node, types)
        types |= made
        if node.op_type != "Shape" and not _is_small(graph, node, made):
            kept.append(NodeProto.FromString(node.SerializeToString()))
            continue
        for name, array in _evaluated(graph, node, types).items():
            # Not by ``add_constant``, which gives a single number an axis.
            graph.proto.initializer.append(numpy_helper.from_array(array, name))
            graph.constants[name] = array
    del graph.proto.node[:]
    graph.proto.node.extend(kept)
    return {name: _shape(kind) for name, kind in types.items()}


def _inferred(graph: Graph, node: NodeProto, types: Mapping[str, TypeProto]) -> dict[str, TypeProto]:
    """The types of what a node makes, each with a size for every axis."""
    if any(said.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for said in node.attribute):
        raise Refused(f"{_told(node)}: holds a graph of its own, expected all nodes in the graph itself")
    opset = {entry.domain: entry.version for entry in graph.model.opset_import}.get(node.domain, 0)
    try:
        found = shape_inference.infer_node_outputs(
            defs.get_schema(node.op_type, opset, node.domain),
            node,
            {name: types[name] for name in node.input if name},
            {name: numpy_helper.from_array(graph.constants[name], name) for name in _small(graph, node)},
            opset_imports=list(graph.model.opset_import),
            ir_version=graph.model.ir_version,
        )
    except (defs.SchemaError, shape_inference.InferenceError) as error:
        raise Refused(f"{_told(node)}: what it makes cannot be told: {error}") from error
    for name in filter(None, node.output):
        kind = found[name].tensor_type if name in found else TypeProto.Tensor()
        if not kind.HasField("shape") or not all(axis.HasField("dim_value") for axis in kind.shape.dim):
            raise Refused(f"{_told(node)}: the size of {name} is open, expected it to follow from those of the inputs")
    return found


def _evaluated(graph: Graph, node: NodeProto, types: Mapping[str, TypeProto]) -> dict[str, NDArray[Any]]:
    """What a node makes of constants; Shape of anything, which needs no memory for it."""
    given, made = ([name for name in names if name] for names in (node.input, node.output))
    inputs, outputs = ([helper.make_value_info(name, types[name]) for name in names] for names in (given, made))
    model = helper.make_model(
        helper.make_graph([node], "node", inputs, outputs),
        opset_imports=graph.model.opset_import,
        ir_version=graph.model.ir_version,
    )
    nothing = np.float32(0)
    fed = {name: graph.constants.get(name, np.broadcast_to(nothing, _shape(types[name]))) for name in given}
    return dict(zip(made, map(np.asarray, ReferenceEvaluator(model).run(made, fed)), strict=True))


def _is_small(graph: Graph, node: NodeProto, made: Mapping[str, TypeProto]) -> bool:
    """Whether a node makes at most one axis of constants with at most one."""
    given = [name for name in node.input if name]
    return bool(given) and given == _small(graph, node) and all(len(_shape(kind)) < 2 for kind in made.values())


def _small(graph: Graph, node: NodeProto) -> list[str]:
    """What a node reads that is constant and has at most one axis: sizes, axes, scales."""
    return [name for name in node.input if name in graph.constants and graph.constants[name].ndim < 2]


def _type_of(array: NDArray[Any]) -> TypeProto:
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _shape(kind: TypeProto) -> tuple[int, ...]:
    return tuple(axis.dim_value for axis in kind.tensor_type.shape.dim)


def _told(node: NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"
