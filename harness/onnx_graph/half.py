"""Half precision: what a device that computes in it will make of a graph, foretold on any machine.

Such a device multiplies halves, sums them in single precision and rounds the result of each operator to half. So does
the graph that is written here: its weights are stored in half, every operator computes in single precision on numbers
that are halves, whose products are exact there, and a pair of Cast nodes rounds what it gives. What is over the largest
half becomes infinite, also a weight, and what is too small becomes zero or loses digits; nothing is clamped.

The casts are written out because ONNX Runtime has kernels in half precision for few operators on a CPU: around the
others it inserts casts of its own, and removes each pair that meets. The graph of ``onnxruntime.transformers.float16``
is therefore hardly rounded at all between its inputs and its outputs. (It also clamps weights, leaves Min, Max and
Range in single precision, and rounds between two operators that are to stay in it.)

A convolution and the normalisation behind it count as one operator. Not foretold: a compiler that fuses others rounds
less often, and the states inside an LSTM, which is one operator,
are not rounded from step to step. Nor need an infinite number reach the outputs, where a check of outputs would see it:
an LSTM of ONNX Runtime makes finite numbers of any. That nothing overflows is what the question *range* tells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from harness.onnx_graph.edit import MODEL, Graph
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

LARGEST = float(np.finfo(np.float16).max)
"""65504: of a larger number half precision makes an infinite one."""
SMALLEST_NORMAL = float(np.finfo(np.float16).smallest_normal)
"""6.1e-5: a smaller number loses digits, and below 3e-8 all of them."""
HALF = ".half"
"""Ends the name of a value as it is stored in half precision."""
UNTOUCHED = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "STRING")
"""What is no floating-point number stays what it is."""
SINGLE = {"BatchNormalization": 3}
"""Operators whose inputs from a place on stay in single precision. Mean and variance of a normalisation have a type of
their own beside halves (ONNX from opset 14), and compilers work them into weights before they round."""
CONVOLUTIONS = ("Conv", "ConvTranspose")
PASSED_ON = {"Concat", "Flatten", "Gather", "MaxPool", "OneHot", "Relu", "Reshape", "Slice", "Split", "Squeeze"}
PASSED_ON |= {"Transpose", "Unsqueeze"}
"""Operators whose results are among their operands, or zero: they give halves of halves, and need no rounding."""


@step(revision=2, tools=("onnx",))
def to_half(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` in half precision, with the parent's float32 inputs and outputs.

    ``coordinates`` names an operator and which of its inputs holds coordinates, as in ``GridSample:1``; ``behind`` is
    the operator whose results they are computed from. The values that ``coordinates`` finds stay in single precision.
    """
    parent = onnx.load(given.sources[0] / MODEL)
    keep: frozenset[str] = frozenset()
    if "coordinates" in given.params:
        operator, _, place = str(given.params["coordinates"]).partition(":")
        keep = coordinates(parent, operator, int(place), str(given.params["behind"]))
    model = lowered(parent, keep)
    onnx.save(model, out / MODEL)
    return {
        "nodes": len(model.graph.node),
        "halves": len(in_half(model)),
        "kept_single": len(keep),
        **spoilt_weights(parent, model),
    }


def lowered(model: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """A copy of a graph in half precision; values have the names that they had, and hold halves as float32.

    ``keep`` names values that stay in single precision, with the nodes that make them. Integers stay what they are.
    Raises ``Refused`` where a node would escape unseen: one with a graph of its own, and one whose result is of another
    floating-point type or of none that is known.
    """
    graph = Graph(onnx.ModelProto.FromString(model.SerializeToString()))
    lowering = _Lowering(graph, frozenset(keep))
    nodes = [new for node in graph.proto.node for new in lowering.nodes(node)]
    del graph.proto.node[:]
    graph.proto.node.extend(nodes)
    return graph.finish()


def coordinates(model: onnx.ModelProto, operator: str, place: int, behind: str) -> frozenset[str]:
    """The values that an operator reads as coordinates, all that they are computed from behind the last ``behind``, and
    what the operator makes.

    Raises ``Refused`` where the graph has no such operator, and where its coordinates come from an input of the graph
    without a ``behind`` between: the whole way there would stay in single precision.
    """
    graph = Graph(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    given = {value.name for value in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    readers = [node for node in model.graph.node if node.op_type == operator]
    if not readers:
        raise Refused(f"no {operator} in the graph, whose input {place} is declared to hold coordinates")
    found = {name for node in readers for name in node.output}
    waiting = [node.input[place] for node in readers]
    while waiting:
        name = waiting.pop()
        if name in given:
            raise Refused(f"the coordinates of {operator} come from the input {name} without a {behind} between")
        node = makers.get(name)
        # Of what a shape is taken is not what its numbers are computed from.
        if name in found or node is None or name in graph.constants or node.op_type == behind:
            continue
        found |= set(node.output)
        waiting += [] if node.op_type == "Shape" else [read for read in node.input if read]
    return frozenset(found)


def in_half(model: onnx.ModelProto) -> frozenset[str]:
    """The values that a graph in half precision holds in it, by the names that they have in single precision."""
    stored = [tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    made = [name for node in model.graph.node if node.op_type == "Cast" for name in node.output]
    return frozenset(name.removesuffix(HALF) for name in (*stored, *made) if name.endswith(HALF))


def spoilt_weights(single: onnx.ModelProto, half: onnx.ModelProto) -> dict[str, int]:
    """How many weights half precision makes infinite, and how many it makes zero."""
    before = Graph(single).constants
    found = {"infinite_weights": 0, "zeroed_weights": 0}
    for tensor in half.graph.initializer:
        if tensor.name.endswith(HALF):
            after, exact = numpy_helper.to_array(tensor), before[tensor.name.removesuffix(HALF)]
            found["infinite_weights"] += int((np.isinf(after) & np.isfinite(exact)).sum())
            found["zeroed_weights"] += int(((after == 0) & (exact != 0)).sum())
    return found


def joined(graph: Graph) -> Iterator[str]:
    """The results of convolutions that a normalisation alone reads: compilers make one layer of the two, so no device
    holds what is between them."""
    shown = {output.name for output in graph.proto.output}
    readers: dict[str, list[tuple[str, int]]] = {}
    for node in graph.proto.node:
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append((node.op_type, place))
    for node in graph.proto.node:
        alone = set(readers.get(node.output[0], ())) == {("BatchNormalization", 0)}
        if node.op_type in CONVOLUTIONS and alone and node.output[0] not in shown:
            yield node.output[0]


class _Lowering:
    """Puts casts around the nodes of a graph, in their order."""

    def __init__(self, graph: Graph, keep: frozenset[str]) -> None:
        self._graph = graph
        self._types = _types(graph)
        self._lowered = {
            name
            for node in graph.proto.node
            if keep.isdisjoint(node.output) and node.output[0] not in graph.constants
            for name in node.output
            if name
        }
        self._joined = set(joined(graph))
        self._read: set[str] = set()
        if unknown := keep - {name for node in graph.proto.node for name in node.output}:
            raise Refused(f"{min(unknown)} is to stay in single precision, but no node of the graph makes it")

    def nodes(self, node: NodeProto) -> list[NodeProto]:
        """A node, what rounds its operands before it where nothing has yet, and what rounds its results behind it."""
        if self._lowered.isdisjoint(node.output):
            return [node]
        if any(each.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for each in node.attribute):
            raise Refused(f"{_told(node)}: holds a graph of its own, which would stay in single precision")
        end = SINGLE.get(node.op_type, len(node.input))
        loose = [name for name in node.input[:end] if name not in self._lowered and self._types.get(name) == "FLOAT"]
        before = [new for name in dict.fromkeys(loose) for new in self._operand(name)]
        node.input[:end] = [f"{name}.rounded" if name in loose else name for name in node.input[:end]]
        rounded = set(node.output) - self._joined if node.op_type not in PASSED_ON else set()
        results = [name for name in node.output if self._is_float(node, name) and name in rounded]
        node.output[:] = [f"{name}.exact" if name in results else name for name in node.output]
        behind = [new for name in results for new in _round(f"{name}.exact", name + HALF, name)]
        return [*before, node, *behind]

    def _operand(self, name: str) -> list[NodeProto]:
        """What rounds a value that is an input of the graph, a constant, or kept in single precision."""
        if name in self._read:
            return []
        self._read.add(name)
        rounded = f"{name}.rounded"
        constant = self._graph.constants.get(name)
        if constant is None:
            return _round(name, name + HALF, rounded)
        with np.errstate(over="ignore"):
            self._graph.add_constant(name + HALF, constant.astype(np.float16))
        return [_cast(name + HALF, rounded, TensorProto.FLOAT)]

    def _is_float(self, node: NodeProto, name: str) -> bool:
        kind = self._types.get(name, "unknown") if name else "INT64"
        if kind != "FLOAT" and kind not in UNTOUCHED:
            raise Refused(f"{_told(node)}: its result {name} is of type {kind}; expected float32, or no floating point")
        return kind == "FLOAT"


def _round(value: str, half: str, rounded: str) -> list[NodeProto]:
    """Two casts: ONNX Runtime keeps those that a graph has itself where they lose digits."""
    return [_cast(value, half, TensorProto.FLOAT16), _cast(half, rounded, TensorProto.FLOAT)]


def _cast(value: str, to: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [value], [to], name=f"{to}.cast", to=kind)


def _types(graph: Graph) -> dict[str, str]:
    """The element type of every value by its ONNX name; a value that is missing is of a type that nothing tells."""
    inferred = shape_inference.infer_shapes(graph.model).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in graph.proto.initializer}
    return {name: TensorProto.DataType.Name(kind) for name, kind in types.items() if kind}


def _told(node: NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"
