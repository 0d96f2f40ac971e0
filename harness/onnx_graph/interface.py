"""The inputs and outputs of a graph as its declaration says them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx

from harness.model import TensorSpec
from harness.verdict import Refused


def declare_shapes(values: Iterable[onnx.ValueInfoProto], specs: Sequence[TensorSpec]) -> None:
    """Writes the declared axes into a graph's inputs or outputs; the batch axis keeps a symbol.

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
            raise Refused(f"{spec.name}: {len(dimensions)} axes in the graph, declared {list(spec.axes)}")
        for dimension, axis in zip(dimensions, spec.axes, strict=True):
            if isinstance(axis, int):
                if dimension.dim_value not in (0, axis):
                    raise Refused(f"{spec.name}: {dimension.dim_value} in the graph, declared {list(spec.axes)}")
                dimension.dim_value = axis
            else:
                dimension.dim_param = axis
