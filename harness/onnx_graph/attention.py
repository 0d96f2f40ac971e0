"""Attention in tensors of at most four axes, as guide 004's compiler takes it: the same numbers.

The published network splits one product into query, key and value through a tensor of five axes. The guide's
``relu_4dims`` model cuts the product into three slices first. (Its other half, ReLU for hard swish, makes another
network, which was trained again.)
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import NodeProto, helper

from harness.onnx_graph.edit import MODEL, Graph, attribute
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

AXES = 4
PARTS = 3
"""Query, key and value."""
TURNED = [2, 0, 3, 1, 4]
"""From batch, columns, part, head, number of the head to part, batch, head, column, number."""
LOOKED_FOR = (
    f"Reshape to (batch, columns, {PARTS}, heads, numbers of a head), Transpose to {TURNED}, picks along axis 0"
)

Entry = int | str
"""Of a target shape: a number, or the name of a value that holds it."""


class Pick(NamedTuple):
    """Which of query, key and value, and the last of the nodes that take it out."""

    part: int
    end: NodeProto


class Split(NamedTuple):
    """One block's split of a product of 3 x ``heads`` x ``size`` columns into its parts."""

    reshape: NodeProto
    rows: list[Entry]
    heads: int
    size: int
    picks: list[Pick]


@step(revision=1, tools=("onnx",))
def attention_in_four_axes(given: StepInput, out: Path) -> Facts:
    """Query, key and value are slices of their product, each reshaped to batch, columns, heads, numbers and transposed.

    Sizes are read from the graph. Raises ``Refused`` where nothing splits, and where a tensor of more axes would stay.
    """
    graph = Graph(onnx.load(given.sources[0] / MODEL))
    reshapes = [node for node in graph.proto.node if node.op_type == "Reshape" and len(_target(graph, node)) > AXES]
    if not reshapes:
        raise Refused(f"no Reshape to more than {AXES} axes in the graph: looked for {LOOKED_FOR}")
    for split in [_split(graph, node) for node in reshapes]:
        _slice(graph, split)
    model = graph.finish()
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    wide = [value.name for value in inferred if len(value.type.tensor_type.shape.dim) > AXES]
    if wide:
        raise Refused(f"{len(wide)} tensors of more than {AXES} axes would stay, expected none: {', '.join(wide[:3])}")
    onnx.save(model, out / MODEL)
    return {"split": len(reshapes), "nodes": len(model.graph.node)}


def _slice(graph: Graph, split: Split) -> None:
    """Makes each part from its own columns of the product.

    What the target shape says of batch and columns is kept: it means the same rows whether they number 3 parts or one.
    """
    columns = split.heads * split.size
    name = f"{split.reshape.output[0]}.part"
    graph.replace(split.reshape, _write(graph, name, [*split.rows, split.heads, split.size]))
    for part, end in split.picks:
        made = end.output[0]
        numbers = {"starts": part * columns, "ends": (part + 1) * columns, "axes": -1}
        bounds = [graph.add_constant(f"{made}.{bound}", np.array([value])) for bound, value in numbers.items()]
        cut, folded = f"{made}.columns", f"{made}.heads"
        nodes = [
            helper.make_node("Slice", [split.reshape.input[0], *bounds], [cut], name=cut),
            helper.make_node("Reshape", [cut, name], [folded], name=folded),
            helper.make_node("Transpose", [folded], [made], name=f"{made}.turned", perm=[0, 2, 1, 3]),
        ]
        graph.replace(end, nodes)


def _split(graph: Graph, reshape: NodeProto) -> Split:
    """What a Reshape to more than four axes splits. Raises ``Refused`` where that is not query, key and value."""
    where = reshape.name or reshape.output[0]
    target = _target(graph, reshape)
    heads = target[3]
    if len(target) != len(TURNED) or target[2] != PARTS or not isinstance(heads, int) or heads < 1:
        raise Refused(f"{where}: reshapes to {target}; looked for {LOOKED_FOR}")
    columns = _columns(graph, reshape.input[0])
    if columns is None:
        raise Refused(f"{where}: {reshape.input[0]} is no product with constant weights, so its columns are unknown")
    size, rest = divmod(columns, PARTS * heads)
    if rest or (isinstance(target[4], int) and target[4] not in (size, -1)):
        raise Refused(f"{where}: reshapes {columns} columns to {target}, which is not {PARTS} parts of {heads} heads")
    turned = graph.consumers(reshape.output[0])
    if [attribute(node, "perm") for node in turned if node.op_type == "Transpose"] != [TURNED] or len(turned) != 1:
        found = ", ".join(f"{node.op_type} {attribute(node, 'perm', '')}".strip() for node in turned)
        raise Refused(f"{where}: followed by {found or 'nothing'}; looked for {LOOKED_FOR}")
    users = graph.consumers(turned[0].output[0])
    picks = [pick for node in users if (pick := _pick(graph, node)) is not None]
    if not picks or len(picks) != len(users):
        raise Refused(f"{where}: {len(users)} nodes use its parts, {len(picks)} of them pick one along axis 0")
    return Split(reshape, target[:2], heads, size, picks)


def _pick(graph: Graph, node: NodeProto) -> Pick | None:
    """The part that a Gather, or a Slice and a Squeeze, take out of axis 0; none where they take something else."""
    if node.op_type == "Gather":
        index = graph.constant(node.input[1])
        scalar = index is not None and index.ndim == 0 and attribute(node, "axis", 0) == 0
        return Pick(int(index) % PARTS, node) if index is not None and scalar else None
    after = graph.consumers(node.output[0])
    if node.op_type != "Slice" or [user.op_type for user in after] != ["Squeeze"]:
        return None
    bounds = [graph.integers(node, name, place) for place, name in enumerate(("starts", "ends", "axes", "steps"), 1)]
    squeezed = graph.integers(after[0], "axes")
    part = next((part for part in range(PARTS) if bounds[:3] == [[part], [part + 1], [0]]), None)
    return Pick(part, after[0]) if part is not None and bounds[3] in (None, [1]) and squeezed == [0] else None


def _target(graph: Graph, reshape: NodeProto) -> list[Entry]:
    """The target shape of a Reshape, axis by axis, also where a Concat puts it together; empty where it is unknown."""
    numbers = graph.integers(reshape, "shape")
    if numbers is not None:
        return list(numbers)
    concat = graph.producer(graph.source(reshape.input[1]))
    if concat is None or concat.op_type != "Concat":
        return []
    entries: list[Entry] = []
    for name in concat.input:
        held = graph.constant(name)
        entries += [name] if held is None else [int(number) for number in held]
    return entries


def _write(graph: Graph, name: str, entries: list[Entry]) -> list[NodeProto]:
    """Adds a target shape under a name, and returns the nodes that make it."""
    numbers = [entry for entry in entries if isinstance(entry, int)]
    if len(numbers) == len(entries):
        graph.add_constant(name, np.array(numbers))
        return []
    values = [
        entry if isinstance(entry, str) else graph.add_constant(f"{name}.{axis}", np.array([entry]))
        for axis, entry in enumerate(entries)
    ]
    return [helper.make_node("Concat", values, [name], name=name, axis=0)]


def _columns(graph: Graph, product: str) -> int | None:
    """The size of a product's last axis, from the weights that make it; none where it has no constant weights."""
    node = graph.producer(graph.source(product))
    if node is None or node.op_type not in ("MatMul", "Add"):
        return None
    operands = node.input[1:] if node.op_type == "MatMul" else node.input
    held = [weights for name in operands if (weights := graph.constant(name)) is not None]
    return next((weights.shape[-1] for weights in held if weights.ndim and weights.shape[-1] > 1), None)
