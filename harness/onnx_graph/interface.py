"""The inputs and outputs of a graph as its declaration says them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx

from harness.sizes import TensorSpec
from harness.verdict import Refused


def declare_names(graph: onnx.GraphProto, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Gives a graph's inputs and outputs their declared names, in their order.

    Paddle numbers the last operator of whatever it exports (``softmax_5.tmp_0``): a new export has another name, and
    is the same network. Raises ``Refused`` where there are not as many as declared, or a name is taken.
    """
    initialised = {tensor.name for tensor in graph.initializer}
    given = [value for value in graph.input if value.name not in initialised]
    names: dict[str, str] = {}
    for values, specs in ((given, inputs), (list(graph.output), outputs)):
        if len(values) != len(specs):
            found = ", ".join(value.name for value in values)
            raise Refused(f"the graph has {found or 'none'}, declared are {', '.join(spec.name for spec in specs)}")
        names |= {value.name: spec.name for value, spec in zip(values, specs, strict=True) if value.name != spec.name}
    used = {name for node in graph.node for name in (*node.input, *node.output)} | initialised
    if taken := sorted(used & set(names.values())):
        raise Refused(f"{taken[0]} is the name of another value of the graph already")
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]


def declare_shapes(values: Iterable[onnx.ValueInfoProto], specs: Sequence[TensorSpec]) -> None:
    """Writes the declared axes into a graph's inputs or outputs; open axes keep a symbol.

    Converters lose static sizes, or leave sizes open that the guide fixes. Raises ``Refused`` where the number, a name,
    or the number of axes differ. That the axes written are true is what agreement checks at every batch.
    """
    found = list(values)
    names = [value.name for value in found]
    if names != [spec.name for spec in specs]:
        raise Refused(f"the graph has {', '.join(names)}, declared are {', '.join(spec.name for spec in specs)}")
    for value, spec in zip(found, specs, strict=True):
        dimensions = value.type.tensor_type.shape.dim
        if len(dimensions) != len(spec.axes):
            raise Refused(f"{spec.name}: {len(dimensions)} axes in the graph, declared {list(spec.named)}")
        for dimension, axis in zip(dimensions, spec.named, strict=True):
            if isinstance(axis, int):
                if dimension.dim_value not in (0, axis):
                    raise Refused(f"{spec.name}: {dimension.dim_value} in the graph, declared {list(spec.named)}")
                dimension.dim_value = axis
            else:
                dimension.dim_param = axis
