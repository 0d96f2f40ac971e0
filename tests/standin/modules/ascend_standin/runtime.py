"""Runs a stored network in ONNX Runtime, on one thread of the processor, and makes times for repeated executions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime

from ascend_standin.artefact import Artefact, Tensor

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}
LAUNCH = 0.05
"""Milliseconds that starting an execution on a device takes at least: shorter times would be printed as 0.00."""
GOLDEN = 0.6180339887498949
"""Multiples of it, without their whole parts, lie evenly and never repeat."""


class Network:
    """A graph that can be run. Raises ONNX Runtime's errors where it cannot."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Inputs as the graph declares them; open sizes are -1."""
        return tuple(map(_tensor, self._session.get_inputs()))

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Outputs as far as they are known before it runs; open sizes are -1."""
        return tuple(map(_tensor, self._session.get_outputs()))

    def run(self, feeds: Mapping[str, np.ndarray]) -> tuple[list[np.ndarray], float]:
        """The outputs of one execution, and how many milliseconds it took."""
        began = time.perf_counter()
        outputs = self._session.run(None, dict(feeds))
        return outputs, (time.perf_counter() - began) * 1000


class Model:
    """An artefact that is loaded. ``spoilt`` drops a bias of its network."""

    def __init__(self, artefact: Artefact, spoilt: bool) -> None:
        graph = _without_bias(artefact.model) if spoilt else artefact.model
        self._network = Network(graph)
        self.inputs, self.outputs = artefact.inputs, artefact.outputs

    def fix(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Sets the shapes of dynamic inputs. Raises ``ValueError`` where they do not lie in its ranges."""
        for tensor in self.inputs:
            shape = shapes.get(tensor.name, ())
            inside = len(shape) == len(tensor.ranges) and all(
                low <= size and (high == -1 or size <= high)
                for size, (low, high) in zip(shape, tensor.ranges, strict=True)
            )
            if not inside:
                raise ValueError(f"{tensor.name}: shape {shape} is not in the ranges {tensor.ranges} of the model")
        self.inputs = tuple(replace(tensor, shape=shapes[tensor.name]) for tensor in self.inputs)

    def execute(self, contents: list[bytes]) -> tuple[list[np.ndarray], float]:
        """The outputs of one execution in their declared types, and its milliseconds. ``contents`` are the inputs' raw
        bytes, of the right length each."""
        feeds = {
            tensor.name: np.frombuffer(content, tensor.dtype).reshape(tensor.shape)
            for tensor, content in zip(self.inputs, contents, strict=True)
        }
        outputs, took = self._network.run(feeds)
        typed = zip(outputs, self.outputs, strict=True)
        return [np.ascontiguousarray(output, dtype=declared.dtype) for output, declared in typed], took


def times(took: float, count: int) -> list[float]:
    """As many times of an execution that took so long (ms), and what starting it takes: up to 5% longer, in
    microseconds as numbers of single precision, as the vendor's tools take them."""
    spread = ((took + LAUNCH) * (1 + 0.05 * (index * GOLDEN % 1)) for index in range(count))
    return [float(np.float32(round(one, 3))) for one in spread]


def shapes_of(text: str) -> dict[str, tuple[int, ...]]:
    """Shapes by name from ``name:1,3,32,100;other:1,2``. Raises ``ValueError``."""
    pairs = [part.rpartition(":") for part in text.split(";")]
    return {name: tuple(int(size) for size in sizes.split(",")) for name, _, sizes in pairs}


def _without_bias(model: bytes) -> bytes:
    from onnx import ModelProto

    from ascend_standin.graph import without_bias

    return without_bias(ModelProto.FromString(model)).SerializeToString()


def _tensor(said: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) else -1 for size in said.shape)
    return Tensor(name=said.name, dtype=DTYPES[said.type], shape=shape)
