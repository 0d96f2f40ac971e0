"""Reading and editing an ONNX graph: who makes a value, who uses it, and what is a constant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

MODEL = "model.onnx"
"""The file of a form that is an ONNX graph."""


class Graph:
    """A graph with its links. Rewrites mutate ``proto`` through it and end with ``finish``."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.proto = model.graph
        self.constants: dict[str, NDArray[Any]] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in self.proto.initializer
        }
        for node in self.proto.node:
            if node.op_type == "Constant" and (value := attribute(node, "value")) is not None:
                self.constants[node.output[0]] = numpy_helper.to_array(value)

    def producer(self, value: str) -> onnx.NodeProto | None:
        """The node that makes a value, or none for inputs and initialisers."""
        return next((node for node in self.proto.node if value in node.output), None)

    def consumers(self, value: str) -> list[onnx.NodeProto]:
        """The nodes that use a value."""
        return [node for node in self.proto.node if value in node.input]

    def source(self, value: str) -> str:
        """The value that a value repeats through Identity nodes; itself where no Identity makes it."""
        while (node := self.producer(value)) is not None and node.op_type == "Identity":
            value = node.input[0]
        return value

    def constant(self, value: str) -> NDArray[Any] | None:
        """What a value holds where that is constant, also behind Identity nodes; else nothing."""
        return self.constants.get(self.source(value))

    def integers(self, node: onnx.NodeProto, name: str, place: int = 1) -> list[int] | None:
        """What a node says as an attribute or, in later opsets, as a constant input; nothing where it says neither."""
        said = attribute(node, name)
        if said is None and len(node.input) > place:
            said = self.constant(node.input[place])
        return None if said is None else [int(number) for number in np.ravel(said)]

    def add_constant(self, name: str, array: NDArray[Any]) -> str:
        """Adds an initialiser and returns its name."""
        self.proto.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        self.constants[name] = array
        return name

    def replace(self, old: onnx.NodeProto, new: list[onnx.NodeProto]) -> None:
        """Puts nodes in the place of one, so that the order stays topological."""
        nodes = list(self.proto.node)
        # By outputs: they are unique, where names may be missing.
        place = next(index for index, node in enumerate(nodes) if node.output[:] == old.output[:])
        del self.proto.node[:]
        self.proto.node.extend([*nodes[:place], *new, *nodes[place + 1 :]])

    def finish(self) -> onnx.ModelProto:
        """Removes nodes and initialisers that nothing uses, and checks what remains."""
        model = self.prune()
        onnx.checker.check_model(model, full_check=True)
        return model

    def prune(self) -> onnx.ModelProto:
        """Removes nodes and initialisers that nothing uses; for graphs that ``onnx.checker`` does not know."""
        wanted = {output.name for output in self.proto.output}
        kept: list[onnx.NodeProto] = []
        for node in reversed(self.proto.node):
            if wanted & set(node.output):
                wanted |= set(node.input)
                kept.append(node)
        kept.reverse()
        del self.proto.node[:]
        self.proto.node.extend(kept)
        initialisers = [tensor for tensor in self.proto.initializer if tensor.name in wanted]
        del self.proto.initializer[:]
        self.proto.initializer.extend(initialisers)
        del self.proto.value_info[:]
        return self.model


def every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """All nodes of a graph, those in the bodies of If, Loop and Scan included."""
    for node in graph.node:
        yield node
        for said in node.attribute:
            for body in (*([said.g] if said.HasField("g") else []), *said.graphs):
                yield from every_node(body)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute; strings as ``str``."""
    for found in node.attribute:
        if found.name == name:
            value = onnx.helper.get_attribute_value(found)
            return value.decode() if isinstance(value, bytes) else value
    return default


def read_directly(graph: onnx.GraphProto) -> None:
    """Nothing reads an initialiser through an Identity any more, but for an output of the graph."""
    initialised = {tensor.name for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    copies: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        source = copies.get(node.input[0], node.input[0]) if node.op_type == "Identity" else ""
        if source in initialised and node.output[0] not in outputs:
            copies[node.output[0]] = source
        else:
            kept.append(node)
    for node in kept:
        node.input[:] = [copies.get(name, name) for name in node.input]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(nodes)
