"""What a quantised graph should hold: which values are integers, and whose scale each has.

The rules of ONNX Runtime's quantiser in Q/DQ format, for the operators that are quantised here. What only moves numbers
has the scale of its operand. A weight has a scale a channel, and a bias that of its operand times that of its weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import NodeProto, TensorProto, shape_inference

from harness.onnx_graph.edit import attribute

Ranges = Mapping[str, tuple[float, float]]

CHANNELS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}
"""Operators with a weight of 8 bits, and the axis of its channels; a transposed one of Gemm has them first."""
CLAMPS = ("Clip", "Relu")
NORMALISATIONS = ("BatchNormalization", "InstanceNormalization", "LayerNormalization")
MOVES = ("AveragePool", "Flatten", "MaxPool", "Reshape", "Resize", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""What gives numbers that lie among those that it is given."""
PLAIN = ("Add", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid", "Softmax")
"""Operators all of whose operands and results are integers."""
OPERATORS = (*CHANNELS, *CLAMPS, *NORMALISATIONS, *MOVES, "Gather", "Split", *PLAIN)
"""What is quantised; every other operator stays in single precision."""


@dataclass(frozen=True)
class Bias:
    """A bias of 32 bits, and the value and the weight whose scales make its own."""

    name: str
    operand: str
    weight: str


@dataclass
class Plan:
    """What becomes integers: computed ``values``, each with the one whose scale it has; ``constants`` among operands;
    ``weights`` with the axis of their channels, none where one scale is for all; ``biases`` by the name of the node."""

    values: dict[str, str] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    weights: dict[str, int | None] = field(default_factory=dict)
    biases: dict[str, Bias] = field(default_factory=dict)


def plan(model: onnx.ModelProto, left_float: Collection[str]) -> Plan:
    """What becomes of a graph in single precision whose ``left_float`` operators stay as they are."""
    planner = _Planner(model)
    for node in model.graph.node:
        if node.op_type in OPERATORS and node.op_type not in left_float:
            planner.add(node)
    return planner.found


def in_single(model: onnx.ModelProto) -> frozenset[str]:
    """The values of a graph that are float32, constants included."""
    inferred = shape_inference.infer_shapes(model).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    kinds |= {held.name: held.data_type for held in model.graph.initializer}
    return frozenset(name for name, kind in kinds.items() if kind == TensorProto.FLOAT)


def clamped(model: onnx.ModelProto, ranges: Ranges, left_float: Collection[str]) -> dict[str, tuple[float, float]]:
    """The ranges that count: that of a clamp's result also for its operand, where nothing else reads it, which loses
    nothing by it; and 0 to 1 for what Softmax makes."""
    counted = dict(ranges)
    readers = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        if node.op_type in left_float:
            continue
        if node.op_type == "Softmax":
            counted[node.output[0]] = (0.0, 1.0)
        elif node.op_type in CLAMPS and readers[node.input[0]] == 1 and node.output[0] in counted:
            counted[node.input[0]] = counted[node.output[0]]
    return counted


class _Planner:
    """Goes through the nodes in their order, as the quantiser does: what moves numbers asks whether they are integers
    by then."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.found = Plan()
        self._shapes = {held.name: tuple(held.dims) for held in model.graph.initializer}
        self._single = in_single(model)

    def add(self, node: NodeProto) -> None:
        """Notes what a node makes integers of."""
        operand, results = node.input[0], list(node.output)
        if node.op_type in CHANNELS:
            self._layer(node)
        elif node.op_type in NORMALISATIONS:
            self._values([operand, *results])
            self._weight(node.input[1], None)
            self._bias(node)
        elif node.op_type in PLAIN:
            self._values([*node.input, *results])
        elif node.op_type == "Split" or (node.op_type == "Gather" and operand in self._shapes):
            self._values([operand])
            self._moved(results, operand)
        elif self._known(operand) and node.op_type in CLAMPS:
            self._values([operand, *results])
        elif self._known(operand):
            self._moved(results[:1], operand)

    def _layer(self, node: NodeProto) -> None:
        axis = 0 if attribute(node, "transB") else CHANNELS[node.op_type]
        constant = [name for name in node.input[:2] if name in self._shapes]
        # Of a MatMul the weight may stand on either side.
        weights = constant if node.op_type == "MatMul" else [name for name in constant if name == node.input[1]]
        for name in weights:
            self._weight(name, axis if axis < len(self._shapes[name]) else None)
        self._values([name for name in (*node.input[:2], *node.output) if name not in weights])
        self._bias(node)

    def _known(self, name: str) -> bool:
        return any(name in kept for kept in (self.found.values, self.found.constants, self.found.weights))

    def _values(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._single and not self._known(name):
                if name in self._shapes:
                    self.found.constants.append(name)
                else:
                    self.found.values[name] = name

    def _moved(self, names: Iterable[str], operand: str) -> None:
        for name in names:
            if name in self._single:
                self.found.values[name] = operand

    def _weight(self, name: str, axis: int | None) -> None:
        if name in self._shapes and name in self._single:
            self.found.weights[name] = axis
        else:
            self._values([name])

    def _bias(self, node: NodeProto) -> None:
        if node.op_type != "MatMul" and len(node.input) > 2 and node.input[2] in self._shapes:
            self.found.biases[node.name] = Bias(node.input[2], node.input[0], node.input[1])
