"""What an ONNX file says of itself, for comparison with its declaration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from harness.onnx_graph.edit import every_node
from harness.onnx_graph.later import check_with_later
from harness.sizes import BATCH
from harness.verdict import Refused


@dataclass(frozen=True)
class Tensor:
    """An input or output as the file declares it; a dynamic axis shows its symbol."""

    name: str
    axes: tuple[int | str, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}{list(self.axes)}"


@dataclass(frozen=True)
class Summary:
    """Opset, interface, operators by name, and size of a checked ONNX file."""

    opset: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: Mapping[str, int]
    size: int

    @property
    def nodes(self) -> int:
        """How many nodes the graph has, constants included."""
        return sum(self.operators.values())


def inspect(path: Path, later: bool = False) -> Summary:
    """Reads and checks a file; whatever the checker finds is raised as ``onnx.checker.ValidationError``. ``later``
    takes operators that the opset does not have yet, for graphs in a vendor's spelling."""
    model = onnx.load(path)
    if later:
        check_with_later(model)
    else:
        onnx.checker.check_model(model, full_check=True)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    initialised = {tensor.name for tensor in model.graph.initializer}
    return Summary(
        opset=opset,
        inputs=tuple(_tensor(value) for value in model.graph.input if value.name not in initialised),
        outputs=tuple(_tensor(value) for value in model.graph.output),
        operators=Counter(node.op_type for node in model.graph.node),
        size=path.stat().st_size,
    )


@dataclass(frozen=True)
class Used:
    """An operator that a graph uses: its domain, the opset of that domain, and the names of its nodes; a node without
    a name is named by its first output."""

    operator: str
    domain: str
    opset: int
    nodes: tuple[str, ...]


def operators_used(path: Path) -> list[Used]:
    """Every operator of a file, also in the bodies of If and Loop, by name. The file is read without weights and not
    checked: a compiler may take what ``onnx.checker`` does not. Raises ``Refused`` for a domain without an opset."""
    model = onnx.load(path, load_external_data=False)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    # Both spellings are the same domain.
    opsets |= {name: opsets[other] for name, other in (("", "ai.onnx"), ("ai.onnx", "")) if other in opsets}
    found: dict[tuple[str, str], list[str]] = {}
    for node in every_node(model.graph):
        found.setdefault((node.op_type, node.domain), []).append(node.name or next(iter(node.output), ""))
    if missing := sorted({domain for _, domain in found} - opsets.keys()):
        raise Refused(f"{path.name}: imports no opset for the domain {missing[0]!r} of its nodes")
    return [Used(operator, domain, opsets[domain], tuple(nodes)) for (operator, domain), nodes in sorted(found.items())]


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    axes = tuple(
        dimension.dim_value if dimension.HasField("dim_value") else (dimension.dim_param or "?")
        for dimension in kind.shape.dim
    )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    # The symbol's spelling is the exporter's ("-1", "N", "batch"); what counts is that the first axis moves.
    return Tensor(value.name, tuple(BATCH if axis in ("-1", "N", "batch") else axis for axis in axes), dtype)
