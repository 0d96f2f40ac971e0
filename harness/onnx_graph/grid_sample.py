"""The vendor's way around GridSample: a placeholder where the converter cannot write it, put back afterwards.

GridSample exists from opset 16 and the guide converts at 11. Its patch of the network (guide 000) puts operators of
the right shapes in its place, and its ``opt_onnx.py`` replaces them in the graph. That script takes the first Pad that
it meets and leaves GridSample at opset 11, which no checker and no runtime but the vendor's accepts; here the
placeholder is found by its structure, and the graph is lifted before it is edited.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from onnx import NodeProto, helper, version_converter
from torch import Tensor, nn

from harness.networks.load import load_network
from harness.networks.tps import Sampler, Tps
from harness.onnx_graph.edit import MODEL, Graph, attribute
from harness.onnx_graph.export import write_graph
from harness.onnx_graph.later import ONNX_DOMAINS, check_with_later
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

OPSETS = range(16, 20)
"""Those that have GridSample with the mode "bilinear"; from 20 on it is called "linear"."""
VENDOR = 11
"""That of the vendor's own graph: no GridSample has it, and CANN's parser takes it so."""
PLACED = range(11, 13)
"""Those whose Pad takes its pads as an input while axes are attributes."""
CHAIN = "Unsqueeze, Pad by one column, Squeeze, Transpose to (0, 3, 1, 2), Add to the picture"


class _Placed(torch.autograd.Function):
    """The five operators as one, so that the exporter writes them plainly: it makes a computation of a constant Pad,
    forgets the shape behind it, and writes an If for the Squeeze."""

    @staticmethod
    def forward(_: Any, pictures: Tensor, grid: Tensor) -> Tensor:
        padded = nn.functional.pad(grid.unsqueeze(2), (1, 0)).squeeze(2)
        return padded.permute(0, 3, 1, 2) + pictures

    @staticmethod
    def symbolic(graph: Any, pictures: Any, grid: Any) -> Any:
        pads = graph.op("Constant", value_t=torch.tensor([0, 0, 0, 0, 1, 0, 0, 0, 0, 0]))
        padded = graph.op("Pad", graph.op("Unsqueeze", grid, axes_i=[2]), pads, mode_s="constant")
        turned = graph.op("Transpose", graph.op("Squeeze", padded, axes_i=[2]), perm_i=[0, 3, 1, 2])
        return graph.op("Add", turned, pictures).setType(pictures.type())


class PlaceholderSampler(Sampler):
    """Has the shapes of sampling and none of its numbers: the grid, one column wider, is added to the picture.

    As in the vendor's patch of ``ppocr/modeling/transforms/tps.py``: the column stands before the others, and Paddle
    pads four axes as five. The patch also transposes and adds zeros around it, which fixes static shapes: left out.
    """

    def forward(self, pictures: Tensor, grid: Tensor) -> Tensor:
        place: Callable[[Tensor, Tensor], Tensor] = _Placed.apply
        return place(pictures, grid)


class Placeholder(NamedTuple):
    """Where GridSample belongs: the last of the five nodes, and what it samples at what."""

    end: NodeProto
    picture: str
    grid: str


@step(revision=1, tools=("torch", "onnx"))
def export_placeholder(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` at the opset asked for with a placeholder for GridSample: valid, and its numbers mean nothing.

    ``opset`` is 11 or 12. Raises ``Refused`` at any other, where the network does not rectify, and where the exporter
    wrote something else.
    """
    opset = int(given.params["opset"])
    if opset not in PLACED:
        raise Refused(f"asked for opset {opset}: the placeholder is written at {PLACED[0]} or {PLACED[-1]}")
    network = load_network(given.sources[0])
    transform = getattr(network, "transform", None)
    if not isinstance(transform, Tps):
        raise Refused(f"{type(network).__name__} has no transform.sampler to put a placeholder for")
    transform.sampler = PlaceholderSampler()
    facts = write_graph(network, given, out)
    only_placeholder(Graph(onnx.load(out / MODEL)))
    return facts


@step(revision=1, tools=("onnx",))
def restore_grid_sample(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` at the opset asked for, with GridSample in the place of its placeholder.

    ``opset`` is 16 to 19, or 11: the vendor's spelling, which ONNX Runtime refuses and the vendor's compiler takes.
    Raises ``Refused`` at any other, and where the graph has not exactly one placeholder, or is to be lowered to 11.
    """
    opset = int(given.params["opset"])
    if opset != VENDOR and opset not in OPSETS:
        raise Refused(
            f"asked for opset {opset}: bilinear GridSample exists from {OPSETS[0]} to {OPSETS[-1]}, in the vendor's "
            f"spelling at {VENDOR}"
        )
    graph = Graph(_at_opset(onnx.load(given.sources[0] / MODEL), opset))
    found = only_placeholder(graph)
    output = found.end.output[0]
    sample = helper.make_node(
        "GridSample",
        [found.picture, found.grid],
        [output],
        name=f"{output}.grid_sample",
        mode="bilinear",
        padding_mode="zeros",
        align_corners=1,
    )
    graph.replace(found.end, [sample])
    needed = helper.find_min_ir_version_for(graph.model.opset_import)
    graph.model.ir_version = max(graph.model.ir_version, needed)
    model = graph.prune()
    check_with_later(model) if opset == VENDOR else onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out / MODEL)
    return {"opset": opset, "nodes": len(graph.proto.node)}


def _at_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The graph at an opset; one that is there already keeps every node as it is."""
    found = [entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS]
    if found == [opset]:
        return model
    if opset == VENDOR:
        raise Refused(f"asked for opset {opset} of a graph at {found}: make the placeholder at {opset}")
    return version_converter.convert_version(model, opset)


def only_placeholder(graph: Graph) -> Placeholder:
    """The placeholder of a graph. Raises ``Refused`` where it has none or several, saying what is there instead."""
    found = list(placeholders(graph))
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(each.end.name or each.end.output[0] for each in found)
        raise Refused(f"{len(found)} placeholders of GridSample, expected one: they end at {places}")
    pads = [node.name or node.output[0] for node in graph.proto.node if node.op_type == "Pad"]
    where = f"{len(pads)} Pad ({', '.join(pads)})" if pads else "no Pad"
    raise Refused(f"no placeholder of GridSample: looked for {CHAIN}; the graph has {where}")


def placeholders(graph: Graph) -> list[Placeholder]:
    """Every placeholder of GridSample in a graph, by what its five nodes do and how they hang together.

    Identity nodes may lie between them. What else uses a value between them would lose it, so that is no placeholder.
    """
    found = []
    for node in graph.proto.node:
        if node.op_type != "Add":
            continue
        for padded, picture in ((0, 1), (1, 0)):
            unsqueeze = _start(graph, node.input[padded])
            if unsqueeze is not None and graph.constant(node.input[picture]) is None:
                found.append(Placeholder(node, node.input[picture], unsqueeze.input[0]))
    return found


def _start(graph: Graph, end: str) -> NodeProto | None:
    """The Unsqueeze from which four nodes of a placeholder lead to a value; none where they do not."""
    transpose = _above(graph, end, "Transpose")
    if transpose is None or attribute(transpose, "perm") != [0, 3, 1, 2]:
        return None
    squeeze = _above(graph, transpose.input[0], "Squeeze")
    pad = _above(graph, squeeze.input[0], "Pad") if squeeze is not None else None
    unsqueeze = _above(graph, pad.input[0], "Unsqueeze") if pad is not None else None
    if squeeze is None or pad is None or unsqueeze is None or not _one_column(graph, pad):
        return None
    # Of the five that the Pad sees, and not the last: that one is padded.
    axes = [[axis % 5 for axis in graph.integers(node, "axes") or []] for node in (unsqueeze, squeeze)]
    return unsqueeze if axes[0] == axes[1] and axes[0] in ([0], [1], [2], [3]) else None


def _above(graph: Graph, value: str, operator: str) -> NodeProto | None:
    """The node of an operator that makes a value for one user alone, also through Identity nodes; else nothing."""
    shown = {output.name for output in graph.proto.output}
    while (node := graph.producer(value)) is not None and node.op_type in (operator, "Identity"):
        if len(graph.consumers(value)) != 1 or value in shown:
            return None
        if node.op_type == operator:
            return node
        value = node.input[0]
    return None


def _one_column(graph: Graph, pad: NodeProto) -> bool:
    """Whether a Pad of five axes adds one column, before or after the last axis, and nothing else."""
    pads = graph.integers(pad, "pads") or []
    one = len(pads) == 10 and pads[4] + pads[9] == sum(map(abs, pads)) == 1
    return one and len(pad.input) < 4 and attribute(pad, "mode", "constant") == "constant"
