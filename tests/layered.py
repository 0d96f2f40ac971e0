"""A small network with a gate, its Q/DQ form, and both run side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.backends import Batch
from harness.onnx_graph.activations import session_giving
from harness.quantize.layers import Layer
from harness.quantize.quantise import quantised
from harness.quantize.ranges import write_ranges
from harness.quantize.side_by_side import SideBySide

LAYERS = ("x", "r1", "m1", "a/2", "gate", "scaled", "m2", "pooled", "flat", "scores", "y")
"""In their order; what feeds a Relu is none."""
OPERATORS = ("Input", "Relu", "Conv", "Add", "HardSigmoid", "Mul", "Conv", "GlobalAveragePool", "Flatten", "Gemm")


def network() -> onnx.ModelProto:
    """Convolutions with a residual, a gate and a softmax; channels of a convolution differ in size by a factor of 8."""
    draw = np.random.default_rng(7)
    sizes = 2.0 ** draw.uniform(-2, 1, 8)

    def weight(*shape: int) -> np.ndarray:
        held = draw.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return held * sizes[: shape[0]].reshape(-1, *[1] * (len(shape) - 1))

    held = {"w1": weight(8, 3, 3, 3), "w2": weight(8, 8, 3, 3), "w4": weight(8, 8, 3, 3)}
    held |= {"w5": weight(4, 8), "b1": draw.standard_normal(8) / 4, "b5": draw.standard_normal(4) / 4}
    conv = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", **conv),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["m1"], "conv2", **conv),
        helper.make_node("Add", ["m1", "r1"], ["a/2"], "add"),
        helper.make_node("HardSigmoid", ["m1"], ["gate"], "gate", alpha=0.02, beta=0.5),
        helper.make_node("Mul", ["a/2", "gate"], ["scaled"], "mul"),
        helper.make_node("Conv", ["scaled", "w4"], ["m2"], "conv3", **conv),
        helper.make_node("GlobalAveragePool", ["m2"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w5", "b5"], ["scores"], "gemm", transB=1),
        helper.make_node("Softmax", ["scores"], ["y"], "softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def batches(n: int = 4) -> list[Batch]:
    """Samples one by one, smooth as pictures are."""
    draw = np.random.default_rng(3)
    samples = draw.standard_normal((n, 1, 3, 4, 4)).repeat(3, axis=3).repeat(3, axis=4).astype(np.float32)
    return [Batch((f"sample/{number}",), {"x": sample}) for number, sample in enumerate(samples)]


@dataclass(frozen=True)
class Files:
    """The graphs in single precision and in integers."""

    single: Path
    quantised: Path

    def compared(self, changed: onnx.ModelProto | None = None, samples: Sequence[Batch] = ()) -> list[Layer]:
        """The layers of both, or of a ``changed`` quantised graph, over samples."""
        path = self.quantised
        if changed is not None:
            path = self.quantised.with_name("changed.onnx")
            onnx.save(changed, path)
        both = SideBySide(self.single, path, 1)
        layers = {place.tensor: Layer(place) for place in both.places}
        for batch in samples or batches():
            for place, f, q in both.run(batch):
                layers[place.tensor].add(batch.ids[0], f, q)
        return list(layers.values())


def files(folder: Path, bits: int = 8) -> Files:
    """Writes the network and its form of so many bits, by the smallest and the largest numbers of its samples."""
    single = network()
    onnx.save(single, folder / "single.onnx")
    names = [name for node in single.graph.node for name in node.output] + ["x"]
    session = session_giving(network(), names, 1)
    held = [session.run(names, dict(batch.inputs)) for batch in batches()]
    ranges = {
        name: (min(0.0, *(float(each.min()) for each in values)), max(0.0, *(float(each.max()) for each in values)))
        for name, values in zip(names, zip(*held, strict=True), strict=True)
    }
    write_ranges(folder / "ranges.json", ranges)
    onnx.save(quantised(single, folder / "ranges.json", bits, ()), folder / "quantised.onnx")
    return Files(folder / "single.onnx", folder / "quantised.onnx")
