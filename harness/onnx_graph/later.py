"""Graphs with operators that their opset does not have yet, but a later one has: a vendor's spelling.

Its compiler takes GridSample under opset 11, which has none; ``onnx.checker`` and ONNX Runtime refuse that. What is
wrong with such a graph otherwise is found all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import checker, defs, helper

from harness.onnx_graph.edit import every_node

ONNX_DOMAINS = ("", "ai.onnx")
LATER = "later"
"""The domain that later operators are put into while the rest is checked: the checker knows none of it."""


def check_with_later(model: onnx.ModelProto) -> None:
    """Checks a graph as ``onnx.checker`` does, each later operator by the first opset that has it, and all the rest by
    the opset that the graph says. Raises ``onnx.checker.ValidationError``."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for node, since in list(_later(copy)):
        context = checker.C.CheckerContext()
        context.ir_version = model.ir_version
        context.opset_imports = {"": since}
        checker.check_node(node, context)
        node.domain = LATER
    copy.opset_import.append(helper.make_opsetid(LATER, 1))
    checker.check_model(copy, full_check=True)


def _later(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, int]]:
    opset = next(entry.version for entry in model.opset_import if entry.domain in ONNX_DOMAINS)
    since: dict[str, int] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            since[schema.name] = min(schema.since_version, since.get(schema.name, schema.since_version))
    for node in every_node(model.graph):
        if node.domain in ONNX_DOMAINS and since.get(node.op_type, opset) > opset:
            yield node, since[node.op_type]
