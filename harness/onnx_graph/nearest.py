"""Nearest neighbours in the place of linear Resize at some places: what ``optimize_onnx.py`` of guide 002 is for.

The vendor's script knows its nodes by the names that one version of one converter gave them, and says nothing where it
finds none. Here a place is the number of a Resize among all of them in the order of the graph, which is the order of
the network, and every one of them has to be what it is declared to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper

from harness.declaration import DeclarationError
from harness.onnx_graph.edit import MODEL, Graph, attribute
from harness.onnx_graph.interface import declare_shapes
from harness.onnx_graph.static import fold
from harness.sizes import BATCH, Symbol, TensorSpec
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

HALF_PIXEL = "half_pixel"
"""Coordinates that are those of the pixels' centres; the exporter of torch says it with ``pytorch_`` before it."""


@step(revision=1, tools=("onnx",))
def resize_to_nearest(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` where the Resize at ``places``, from 0 on, take the nearest neighbour; nothing else is changed.

    ``scales`` are those of all Resize in their order, as in ``2,2,4``. Nearest is the pixel that a centre lies in: the
    ``nearest_mode`` that torch's exporter writes beside a linear mode, where it means nothing, is another and goes; the
    guide's converter writes none. Raises ``Refused`` where there are more or fewer Resize than scales, and for one that
    is not linear between centres or has another scale at the smallest or the largest declared size.
    """
    places, scales = (_numbers(given, name) for name in ("places", "scales"))
    if unknown := set(places) - set(range(len(scales))):
        raise DeclarationError(f"places: {min(unknown)}, expected places among the {len(scales)} of scales, from 0 on")
    model = onnx.load(given.sources[0] / MODEL)
    nodes = resizes(model.graph)
    if len(nodes) != len(scales):
        raise Refused(f"{len(nodes)} Resize in the graph, expected {len(scales)}")
    for end in ("low", "high"):
        _check(model, [_bound(spec, end) for spec in given.inputs], scales)
    for place in places:
        kept = [each for each in nodes[place].attribute if each.name not in ("mode", "nearest_mode")]
        del nodes[place].attribute[:]
        nodes[place].attribute.extend([*kept, helper.make_attribute("mode", "nearest")])
    onnx.save(model, out / MODEL)
    return {"nearest": len(set(places)), "linear": len(nodes) - len(set(places))}


def resizes(graph: GraphProto) -> list[NodeProto]:
    """The Resize of a graph in their order."""
    return [node for node in graph.node if node.op_type == "Resize"]


def _check(model: ModelProto, inputs: Sequence[TensorSpec], scales: Sequence[int]) -> None:
    """Every Resize is linear between centres and has its scale where the inputs have these sizes, or ``Refused``."""
    copy = ModelProto()
    copy.CopyFrom(model)
    declare_shapes(copy.graph.input, inputs)
    shapes = fold(Graph(copy))
    for place, (node, scale) in enumerate(zip(resizes(model.graph), scales, strict=True)):
        before, after = shapes[node.input[0]], shapes[node.output[0]]
        coordinates = attribute(node, "coordinate_transformation_mode", HALF_PIXEL).removeprefix("pytorch_")
        found = (attribute(node, "mode", "nearest"), coordinates, after)
        if found != (expected := ("linear", HALF_PIXEL, (*before[:2], *(scale * side for side in before[2:])))):
            raise Refused(
                f"Resize {place}, {node.name or node.output[0]}, of {list(before)}: {_told(*found)}; expected "
                f"{_told(*expected)}, which is {scale} times"
            )


def _told(mode: str, coordinates: str, shape: tuple[int, ...]) -> str:
    return f"{mode}, {coordinates}, to {list(shape)}"


def _bound(spec: TensorSpec, end: str) -> TensorSpec:
    """One item at an end of each range."""
    axes = [1 if axis == BATCH else getattr(axis, end) if isinstance(axis, Symbol) else axis for axis in spec.axes]
    return replace(spec, axes=tuple(axes))


def _numbers(given: StepInput, name: str) -> list[int]:
    return [int(number) for number in str(given.params[name]).split(",")]
