"""Is a quantised file what its weights in single precision and its ranges imply? Read from the file, and compared with
what was worked out anew: to the bit, since accuracy shows neither a zero point that is off by one nor a doubled scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

from harness.onnx_graph.edit import attribute
from harness.quantize.expected import Expected, Parameters, expect
from harness.quantize.plan import Ranges
from harness.quantize.quantisable import at_bits

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
BIAS = 2
"""Where a layer or a normalisation has its bias among its inputs."""


def differ(quantised: Path, single: Path, ranges: Ranges, bits: int, left_float: Collection[str]) -> Iterator[str]:
    """Every way in which a quantised file is not what a graph in single precision and its ranges imply, a line each:
    which node or tensor, found and expected.

    Operators and what they read; scale and zero point of each value, in its QuantizeLinear and its DequantizeLinear;
    scale, axis and integers of weights and biases.
    """
    graph = at_bits(onnx.load(single), bits)
    expected = expect(graph, ranges, bits, left_float)
    found = Quantised(onnx.load(quantised), graph)
    yield from _operators(graph, found, expected)
    for name, held in expected.values.items():
        yield from _value(name, held, found)
    for name in sorted(found.pairs.keys() - expected.values.keys()):
        yield f"{name} is quantised, expected in single precision"
    yield from _constants(graph, found, expected)


class Quantised:
    """A graph in Q/DQ format, with the names that values have in single precision."""

    def __init__(self, model: onnx.ModelProto, single: onnx.ModelProto) -> None:
        self.operators: dict[str, NodeProto] = {}
        self._before: dict[str, NodeProto] = {}
        for node in model.graph.node:
            if node.op_type in (QUANTIZE, DEQUANTIZE):
                self._before |= dict.fromkeys(node.output, node)
            else:
                self.operators[node.name] = node
        self.arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        # What an output of the graph is made from has another name before it is quantised.
        self._names: dict[str, str] = {
            there: here
            for node in single.graph.node
            if node.name in self.operators
            for there, here in zip(self.operators[node.name].output, node.output, strict=False)
        }

    def source(self, name: str) -> str:
        """The value in single precision that a value repeats through Q and DQ; integers, where those are constant."""
        while name in self._before:
            name = str(self._before[name].input[0])
        return self._names.get(name, name)

    def dequantised(self, name: str) -> NodeProto | None:
        """The DequantizeLinear that makes a value, or none."""
        node = self._before.get(name)
        return node if node is not None and node.op_type == DEQUANTIZE else None

    @cached_property
    def pairs(self) -> dict[str, list[NodeProto]]:
        """Each QuantizeLinear of a value, and each DequantizeLinear behind it, by the value's name."""
        found: dict[str, list[NodeProto]] = {}
        for node in self._before.values():
            constant = node.op_type == DEQUANTIZE and node.input[0] in self.arrays
            if not constant:
                found.setdefault(self.source(node.output[0]), []).append(node)
        return found

    def parameters(self, node: NodeProto) -> Parameters:
        """What a QuantizeLinear or DequantizeLinear says; the axis where it has more than one scale."""
        scale = self.arrays[node.input[1]]
        zero = self.arrays[node.input[2]] if len(node.input) > 2 else np.zeros(scale.shape, np.uint8)
        axis = attribute(node, "axis", 1) if scale.size > 1 else None
        return Parameters(scale, zero, axis, self.arrays.get(node.input[0]))


def _operators(single: onnx.ModelProto, found: Quantised, expected: Expected) -> Iterator[str]:
    """Operators that are missing, others than expected, or that read other values."""
    lost = {name for node in single.graph.node if node.name not in found.operators for name in node.output}
    for node in single.graph.node:
        other = found.operators.get(node.name)
        if other is None:
            yield f"{node.op_type} {node.name} is missing, expected as in single precision"
            continue
        bias = node.name in expected.biases
        if other.op_type != node.op_type or _said(other, bias) != _said(node, bias):
            yield f"{node.op_type} {node.name} is {other.op_type} with other attributes than in single precision"
        for place, name in enumerate(node.input):
            read = other.input[place] if place < len(other.input) else ""
            known = name in expected.constants or name in lost or (bias and place == BIAS)
            if not known and found.source(read) != name:
                yield f"{node.op_type} {node.name} reads {found.source(read) or 'nothing'}, expected {name}"
            elif name in expected.values and found.dequantised(read) is None:
                yield f"{node.op_type} {node.name} reads {name} in single precision, expected integers"
    for name in sorted(found.operators.keys() - {node.name for node in single.graph.node}):
        yield f"{found.operators[name].op_type} {name} is new, expected no such operator"


def _said(node: NodeProto, bias: bool) -> dict[str, bytes]:
    """The attributes of a node; what a Gemm multiplies its bias by is worked into the scale of that."""
    return {said.name: said.SerializeToString() for said in node.attribute if not (bias and said.name == "beta")}


def _value(name: str, held: Parameters, found: Quantised) -> Iterator[str]:
    """How the parameters of a value differ, in its QuantizeLinear and in what follows it."""
    nodes = found.pairs.get(name, [])
    count = Counter(node.op_type for node in nodes)
    if count != {QUANTIZE: 1, DEQUANTIZE: 1}:
        yield f"{name} has {count[QUANTIZE]} {QUANTIZE} and {count[DEQUANTIZE]} {DEQUANTIZE}, expected one of each"
    for node in nodes:
        said = found.parameters(node)
        yield from (f"{name}: {node.op_type} has {line}" for line in _differ(said, held))


def _constants(single: onnx.ModelProto, found: Quantised, expected: Expected) -> Iterator[str]:
    """How weights, biases and other constants differ, also those that stay in single precision."""
    kept = {tensor.name: numpy_helper.to_array(tensor) for tensor in single.graph.initializer}
    seen: set[str] = set()
    for node in single.graph.node:
        other = found.operators.get(node.name)
        for place, name in enumerate(node.input if other is not None else ()):
            read = other.input[place] if other is not None and place < len(other.input) else ""
            if name not in kept or read in seen:
                continue
            seen.add(read)
            held = (expected.biases.get(node.name) if place == BIAS else None) or expected.constants.get(name)
            dequantize = found.dequantised(read)
            if held is None:
                lines = _numbers("constant", found.arrays[read], kept[name]) if read in found.arrays else ()
                yield from (f"{name}: {line}" for line in lines)
            elif dequantize is None or dequantize.input[0] not in found.arrays:
                yield f"{name} of {node.op_type} {node.name} is in single precision, expected integers"
            else:
                yield from (f"{name}: {line}" for line in _differ(found.parameters(dequantize), held))


def _differ(said: Parameters, held: Parameters) -> Iterator[str]:
    """Scale, zero point, axis and integers, found and expected."""
    yield from _numbers("scale", said.scale, held.scale)
    yield from _numbers("zero point", said.zero, held.zero)
    if held.scale.size > 1 and said.axis != held.axis:
        yield f"axis {said.axis}, expected {held.axis}"
    if held.integers is not None and said.integers is not None:
        yield from _numbers("integers", said.integers, held.integers)


def _numbers(what: str, said: NDArray[Any], held: NDArray[Any]) -> Iterator[str]:
    """The first number that differs, and how many do."""
    said, held = (array.reshape(()) if array.size == 1 else array for array in (said, held))
    if said.dtype != held.dtype or said.shape != held.shape:
        yield f"{what} {said.dtype}{list(said.shape)}, expected {held.dtype}{list(held.shape)}"
        return
    wrong = np.argwhere(said != held)
    if len(wrong):
        first = tuple(wrong[0])
        where = f" at {list(map(int, first))} ({len(wrong)} of {said.size} differ)" if said.size > 1 else ""
        yield f"{what} {float(said[first]):.9g}, expected {float(held[first]):.9g}{where}"
