"""What an ONNX file says of itself, for comparison with its declaration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from harness.model import BATCH


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


def inspect(path: Path) -> Summary:
    """Reads and checks a file; whatever the checker finds is raised as ``onnx.checker.ValidationError``."""
    model = onnx.load(path)
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


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    axes = tuple(
        dimension.dim_value if dimension.HasField("dim_value") else (dimension.dim_param or "?")
        for dimension in kind.shape.dim
    )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    # The symbol's spelling is the exporter's ("-1", "N", "batch"); what counts is that the first axis moves.
    return Tensor(value.name, tuple(BATCH if axis in ("-1", "N", "batch") else axis for axis in axes), dtype)
