"""Activation tensors of a Q/DQ graph left float again, by name.

Tensors, not nodes: a node that is left float alone keeps the Q/DQ pairs that its neighbours stand between, and the
graph answers bit for bit as before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from harness.declaration import near
from harness.onnx_graph.edit import Graph
from harness.ort_session import session_options
from harness.verdict import Refused

AS_WRITTEN = "session.disable_quant_qdq"
"""Q and DQ are computed as the graph defines them, with weights made float once: of a graph with few of them no other
session is as fast."""
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


@dataclass(frozen=True)
class Pair:
    """A tensor's way through integers: the float name that QuantizeLinear reads, the integers, and the float names that
    DequantizeLinear makes of them."""

    source: str
    integers: str
    floats: tuple[str, ...]


def pairs(model: onnx.ModelProto) -> dict[str, tuple[Pair, ...]]:
    """The Q/DQ pairs of each activation tensor, in the order of the graph; an output of the graph has its own name.

    Raises ``Refused`` naming the first tensor whose integers are not read by DequantizeLinear alone, or are made by no
    QuantizeLinear: it cannot be left float by rewiring.
    """
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    outputs = {value.name for value in graph.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    quantised = [node for node in graph.node if node.op_type == QUANTIZE]
    made = constants | {node.output[0] for node in quantised}
    for node in graph.node:
        if node.op_type == DEQUANTIZE and node.input[0] not in made:
            raise Refused(
                f"{DEQUANTIZE} of {node.output[0]} reads {node.input[0]}, which no {QUANTIZE} makes and which is no "
                "constant; expected a graph in Q/DQ format"
            )
    found: dict[str, tuple[Pair, ...]] = {}
    for node in quantised:
        reading = readers.get(node.output[0], [])
        others = sorted({reader.op_type for reader in reading} - {DEQUANTIZE})
        others += ["the graph's output"] if node.output[0] in outputs else []
        if others or not reading:
            raise Refused(
                f"{node.input[0]}: its integers {node.output[0]} are read by {', '.join(others) or 'nothing'}; "
                f"expected {DEQUANTIZE} and nothing else, as in Q/DQ format"
            )
        pair = Pair(node.input[0], node.output[0], tuple(reader.output[0] for reader in reading))
        name = next((name for name in pair.floats if name in outputs), pair.source)
        if pair.source not in constants:
            found[name] = (*found.get(name, ()), pair)
    return found


def without(model: onnx.ModelProto, tensors: Collection[str]) -> onnx.ModelProto:
    """A copy of the graph in which these tensors are float: what read the end of their Q/DQ pair reads its beginning.

    Of all activation tensors, only weights are quantised then. Raises ``Refused`` for a tensor without a pair, and
    where a pair dangles.
    """
    found = pairs(model)
    for name in tensors:
        if name not in found:
            raise Refused(
                f"{name!r} has no Q/DQ pair{near(name, found)}; {len(found)} tensors have one, expected one of them"
            )
    left = [pair for name in dict.fromkeys(tensors) for pair in found[name]]
    gone = {name for pair in left for name in (pair.integers, *pair.floats)}
    instead = _instead(left, {value.name for value in model.graph.output})
    made = onnx.ModelProto()
    made.CopyFrom(model)
    kept = []
    for node in model.graph.node:
        if gone.isdisjoint(node.output):
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [_followed(name, instead) for name in node.input]
            copy.output[:] = [_followed(name, instead) for name in node.output]
            kept.append(copy)
    del made.graph.node[:]
    made.graph.node.extend(kept)
    Graph(made).prune()
    try:
        onnx.checker.check_model(made)
    except onnx.checker.ValidationError as error:
        raise Refused(f"{len(left)} Q/DQ pairs taken out, and the graph is none any more: {error}") from error
    return made


def session_of(model: onnx.ModelProto, threads: int, *, as_written: bool = False) -> Any:
    """A session on a graph in memory; ``as_written`` leaves operators between Q and DQ in floats. Raises ``Refused``
    where it does not load."""
    import onnxruntime

    options = session_options(threads)
    if as_written:
        options.add_session_config_entry(AS_WRITTEN, "1")
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Refused(f"ONNX Runtime does not load the graph that tensors were left float in: {error}") from error


def check_float(model: onnx.ModelProto, single: onnx.ModelProto) -> None:
    """Returns where the graph with all activations left float is ``single``, node for node, but for its constants.

    Raises ``Refused`` naming the first node that it is not for: a Relu that the quantiser left to the range of its
    tensor is lost where that tensor is float.
    """
    left = without(model, pairs(model)).graph
    constants = {tensor.name for graph in (left, single.graph) for tensor in graph.initializer}
    constants |= {node.output[0] for node in left.node if node.op_type == DEQUANTIZE}
    nodes = {node.output[0]: node for node in left.node if node.op_type != DEQUANTIZE}
    counts = [Counter(node.op_type for node in side) for side in (single.graph.node, nodes.values())]
    if apart := (counts[0] - counts[1]) + (counts[1] - counts[0]):
        told = ", ".join(f"{counts[1][operator]} {operator} for {counts[0][operator]}" for operator in sorted(apart))
        raise Refused(
            f"with all tensors left float the graph has {told} of single precision: no tensor can be left float in it; "
            "quantise with every Relu and Clip kept (QDQKeepRemovableActivations)"
        )
    for node in single.graph.node:
        found = nodes.get(node.output[0])
        if found is None or not _same(node, found, constants):
            held = "nothing" if found is None else f"{found.op_type} of {', '.join(found.input)}"
            raise Refused(
                f"with all tensors left float {node.output[0]} is made by {held}, in single precision by "
                f"{node.op_type} of {', '.join(node.input)}, or with other attributes: it is no quantised form of it"
            )


def _instead(left: Collection[Pair], outputs: Collection[str]) -> dict[str, str]:
    """What each name gives way to: the ends of pairs to their beginnings, but one that the graph must give stays."""
    instead: dict[str, str] = {}
    for pair in left:
        shown = next((name for name in pair.floats if name in outputs), pair.source)
        instead |= {name: shown for name in (pair.source, *pair.floats) if name != shown}
    return instead


def _followed(name: str, instead: Mapping[str, str]) -> str:
    """Through the pairs of a tensor that is quantised twice in a row."""
    while name in instead:
        name = instead[name]
    return name


def _same(node: onnx.NodeProto, found: onnx.NodeProto, constants: Collection[str]) -> bool:
    """Whether two nodes are one operator on the same values, whatever their constants hold."""
    sides = [
        (
            each.op_type,
            each.output[:],
            sorted(attribute.SerializeToString() for attribute in each.attribute),
            [None if name in constants else name for name in each.input],
        )
        for each in (node, found)
    ]
    return sides[0] == sides[1]
