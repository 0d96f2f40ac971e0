"""What the stand-in for atc does to an ONNX graph before it is stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, defs, helper, numpy_helper, version_converter

PROJECT = Path(__file__).resolve().parents[4]
ONNX = ("", "ai.onnx")
LATER = "standin.later"
"""The domain that operators are put into while the rest of the graph is lifted to an opset that has them."""
BIASES = {"Conv": (2,), "ConvTranspose": (2,), "Gemm": (2,), "Add": (0, 1)}
"""Operators that add a bias, and the inputs that it can be."""

Ranges = Mapping[str, tuple[tuple[int, int], ...]]


def opset(model: ModelProto) -> int:
    """The version of ONNX's own operators; 0 where the graph names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ONNX), 0)


def inputs(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """The shape of every input by its name, -1 where the size is open."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: tuple(
            dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim
        )
        for value in model.graph.input
        if value.name not in stored
    }


def named(model: ModelProto) -> Iterator[tuple[str, NodeProto]]:
    """Every node with its name, or one made from its operator and its place."""
    for index, node in enumerate(model.graph.node):
        yield node.name or f"{node.op_type}_{index}", node


def strangers(model: ModelProto) -> Iterator[tuple[str, NodeProto]]:
    """The nodes that no opset of ONNX knows."""
    known = {schema.name for schema in defs.get_all_schemas_with_history() if schema.domain == ""}
    return ((name, node) for name, node in named(model) if node.domain not in ONNX or node.op_type not in known)


def runnable(model: ModelProto) -> ModelProto:
    """The same graph at an opset that has all of its operators: the vendor's compiler takes GridSample under opset 11,
    which ONNX does not have before 16."""
    since: dict[str, int] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            since[schema.name] = min(schema.since_version, since.get(schema.name, schema.since_version))
    later = [node for node in model.graph.node if node.domain in ONNX and since.get(node.op_type, 0) > opset(model)]
    if not later:
        return model
    target = max(since[node.op_type] for node in later)
    for node in later:
        node.domain = LATER
    model.opset_import.append(helper.make_opsetid(LATER, 1))
    lifted = version_converter.convert_version(model, target)
    for node in lifted.graph.node:
        if node.domain == LATER:
            node.domain = ""
    del lifted.opset_import[:]
    lifted.opset_import.append(helper.make_opsetid("", target))
    lifted.ir_version = max(lifted.ir_version, helper.find_min_ir_version_for(lifted.opset_import))
    return lifted


def bound(model: ModelProto, ranges: Ranges) -> ModelProto:
    """The graph with every size set that the ranges leave one value for; a symbol is set wherever it stands. The ranges
    must fit the inputs."""
    sizes: dict[str, int] = {}
    for value in model.graph.input:
        for dim, (low, high) in zip(value.type.tensor_type.shape.dim, ranges.get(value.name, ()), strict=False):
            if low != high:
                continue
            if dim.dim_param:
                sizes[dim.dim_param] = low
            dim.dim_value = low
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    # What was worked out for open sizes does not hold any more.
    del model.graph.value_info[:]
    return model


def lowered(model: ModelProto) -> ModelProto:
    """The graph in half precision, with inputs and outputs as they were, as the project foretells a device; what
    GridSample takes as coordinates, behind the last Relu, stays in single precision. Raises ``ValueError`` where it
    cannot be lowered."""
    sys.path.append(str(PROJECT))
    from harness.onnx_graph import half
    from harness.verdict import Refused

    samples = any(node.op_type == "GridSample" for node in model.graph.node)
    try:
        return half.lowered(model, half.coordinates(model, "GridSample", 1, "Relu") if samples else ())
    except Refused as error:
        raise ValueError(str(error)) from error


def without_bias(model: ModelProto) -> ModelProto:
    """The graph without the last bias that is not zero: finite numbers, and wrong. Raises ``ValueError`` where it has
    no bias."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    casts = {}
    for node in model.graph.node:
        if node.op_type == "Constant":
            stored.update((node.output[0], each.t) for each in node.attribute if each.name == "value")
        elif node.op_type == "Cast":
            casts[node.output[0]] = node.input[0]
    for node in reversed(model.graph.node):
        for place in BIASES.get(node.op_type, ()):
            name = node.input[place] if place < len(node.input) else ""
            while name in casts:
                name = casts[name]
            values = numpy_helper.to_array(stored[name]) if name in stored else np.zeros(1)
            if values.any():
                stored[name].CopyFrom(numpy_helper.from_array(np.zeros_like(values), name))
                return model
    raise ValueError("the network has no bias that is not zero: nothing to drop")


def load(path: str) -> ModelProto:
    """A graph from a file. Raises ``ValueError`` where it is none."""
    try:
        model = onnx.load(path)
    except Exception as error:
        raise ValueError(f"{path} is no ONNX graph: {error}") from error
    if not model.graph.node or not model.graph.output:
        raise ValueError(f"{path} is no ONNX graph: it has no nodes or no outputs")
    return model
