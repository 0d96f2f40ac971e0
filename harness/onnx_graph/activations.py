"""The largest number of each value that a graph computes: what decides whether a narrower type can hold it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from harness.backends import Batch
from harness.onnx_graph.edit import Graph
from harness.ort_session import session_options

WEIGHT = "weight"
INPUT = "input"


@dataclass(frozen=True)
class Peak:
    """The largest absolute number of a value, NaN where one is none: its name, the operator that makes it (or
    ``weight``, or ``input``), and the sample that it was met at."""

    value: str
    operator: str
    largest: float
    sample: str = ""

    def __str__(self) -> str:
        at = f" at {self.sample}" if self.sample else ""
        return f"{self.largest:.4g} in {self.operator} {self.value}{at}"


def peaks(path: Path, names: Collection[str], batches: Iterable[Batch], threads: int) -> tuple[Peak, ...]:
    """The peak of every named value of an ONNX file over batches of one sample: weights, inputs and what nodes make.

    Nothing is fused, since every value is looked at; one sample's values are held at a time.
    """
    model = onnx.load(path)
    constants = Graph(model).constants
    made = {name: node.op_type for node in model.graph.node for name in node.output if name in names}
    found = {name: Peak(name, WEIGHT, _largest(held)) for name, held in constants.items() if name in names}
    asked = [name for name in made if name not in constants]
    session = session_giving(model, asked, threads)
    for batch in batches:
        values = dict(zip(asked, session.run(asked, dict(batch.inputs)), strict=True))
        values |= {name: array for name, array in batch.inputs.items() if name in names}
        for name, array in values.items():
            largest, before = _largest(array), found.get(name)
            if before is None or not (largest <= before.largest or np.isnan(before.largest)):
                found[name] = Peak(name, made.get(name, INPUT), largest, batch.ids[0])
    return tuple(found.values())


def _largest(array: NDArray[Any]) -> float:
    """Of nothing it is zero."""
    return float(max(array.max(), -array.min())) if array.size else 0.0


def session_giving(model: onnx.ModelProto, asked: Collection[str], threads: int, *, as_written: bool = False) -> Any:
    """A session that gives every value that is asked for; of its own outputs it gives none twice. ``as_written`` fuses
    and rewrites nothing, so that integers are computed as the graph defines them."""
    import onnxruntime

    shown = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in asked if name not in shown)
    options = session_options(threads)
    # Everything is an output, so there is nothing to reuse, and planning it takes time by the square of their number.
    options.enable_mem_reuse = False
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
