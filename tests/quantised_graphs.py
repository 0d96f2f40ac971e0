"""Small graphs with every operator that a quantiser has a rule for, and ranges of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from harness.onnx_graph.activations import session_giving
from harness.onnx_graph.edit import MODEL
from harness.quantize.plan import in_single
from harness.quantize.quantise import quantise
from harness.quantize.ranges import RANGES, write_ranges
from harness.sizes import BATCH, TensorSpec
from harness.step import StepInput

X = TensorSpec(name="x", axes=(BATCH, 3, 8, 8), dtype="float32")
Y = TensorSpec(name="y", axes=(BATCH, 3), dtype="float32")
node = helper.make_node


def scored(seed: int = 0, spread: float = 0.3) -> onnx.ModelProto:
    """Convolutions of both kinds with clamps, one of whose operands a gate reads too, and scores of three classes."""
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], "first", pads=[1] * 4),
        node("Relu", ["c0"], ["r0"], "relu"),
        node("MaxPool", ["r0"], ["m0"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["m0", "w1", "b1"], ["c1"], "depthwise", pads=[1] * 4, group=8),
        node("Clip", ["c1", "zero", "six"], ["k1"], "clip"),
        node("HardSigmoid", ["c1"], ["h1"], "gate"),
        node("Mul", ["k1", "h1"], ["p1"], "gated"),
        node("Mul", ["p1", "half"], ["p2"], "halved"),
        node("Add", ["p2", "m0"], ["a1"], "joined"),
        node("ConvTranspose", ["a1", "w2", "b2"], ["t1"], "up", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["t1"], ["g1"], "average"),
        node("Flatten", ["g1"], ["f1"], "flat"),
        node("Gemm", ["f1", "w3", "b3"], ["l1"], "scores", transB=1),
        node("Softmax", ["l1"], ["y"], "shares", axis=1),
    ]
    draw = _drawn(seed, spread)
    weights = {"w0": draw(8, 3, 3, 3), "b0": draw(8), "w1": draw(8, 1, 3, 3), "b1": draw(8), "w2": draw(8, 4, 2, 2)}
    weights |= {"b2": draw(4), "w3": draw(3, 4), "b3": draw(3), "zero": np.float32(0), "six": np.float32(6)}
    return model_of(nodes, weights | {"half": np.float32([0.5])}, X, Y)


MOVED = TensorSpec(name="x", axes=(BATCH, 4, 6), dtype="float32")
SLICED = TensorSpec(name="y", axes=(BATCH, 10, 4), dtype="float32")


def moved(seed: int = 0, spread: float = 0.3) -> onnx.ModelProto:
    """Products with matrices, and what only moves numbers; a mean in single precision between."""
    nodes = [
        node("MatMul", ["x", "w0"], ["m0"], "product"),
        node("Add", ["m0", "b0"], ["a0"], "bias"),
        node("Transpose", ["a0"], ["t0"], "turned", perm=[0, 2, 1]),
        node("Split", ["t0"], ["s0", "s1"], "halves", axis=1),
        node("Concat", ["s0", "s1", "s0"], ["c0"], "three", axis=1),
        node("Gather", ["c0", "order"], ["g0"], "gathered", axis=1),
        node("Slice", ["g0", "from", "to", "along"], ["l0"], "slice"),
        node("ReduceMean", ["l0"], ["r0"], "mean", axes=[2], keepdims=1),
        node("Sub", ["l0", "r0"], ["d0"], "centred"),
        node("Sigmoid", ["d0"], ["g1"], "sigmoid"),
        node("LeakyRelu", ["g1"], ["y"], "leaky"),
    ]
    draw = _drawn(seed, spread)
    order = np.array([0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11])
    weights = {"w0": draw(6, 8), "b0": draw(8), "order": order}
    weights |= {"from": np.array([0]), "to": np.array([10]), "along": np.array([1])}
    return model_of(nodes, weights, MOVED, SLICED)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, Any],
    given: TensorSpec = X,
    made: TensorSpec = Y,
    opset: int = 13,
) -> onnx.ModelProto:
    """A checked graph of one input and one output."""
    inputs, outputs = ([helper.make_tensor_value_info(s.name, TensorProto.FLOAT, s.named)] for s in (given, made))
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(list(nodes), "graph", inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def drawn(spec: TensorSpec, seed: int = 0, count: int = 4) -> NDArray[np.float32]:
    """Inputs of a few items."""
    return np.random.default_rng(seed).standard_normal(spec.shape(count)).astype(np.float32)


def ranges_of(model: onnx.ModelProto, fed: NDArray[np.float32]) -> dict[str, tuple[float, float]]:
    """The least and the largest number of each value in single precision, zero included."""
    numbers = in_single(model)
    names = [name for each in model.graph.node for name in each.output if name in numbers]
    (given,) = (value.name for value in model.graph.input)
    session = session_giving(onnx.ModelProto.FromString(model.SerializeToString()), names, 1)
    held = {given: fed, **dict(zip(names, session.run(names, {given: fed}), strict=True))}
    return {name: (min(0.0, float(array.min())), max(0.0, float(array.max()))) for name, array in held.items()}


def written(folder: Path, model: onnx.ModelProto, ranges: dict[str, tuple[float, float]]) -> tuple[Path, Path]:
    """The folders of a graph and of its ranges."""
    single, held = folder / "single", folder / "ranges"
    for made in (single, held):
        made.mkdir(parents=True, exist_ok=True)
    onnx.save(model, single / MODEL)
    write_ranges(held / RANGES, ranges)
    return single, held


def quantised(
    folder: Path, model: onnx.ModelProto, ranges: dict[str, tuple[float, float]], bits: int = 8, left_float: str = ""
) -> tuple[Path, dict[str, Any]]:
    """The file in integers, and the facts of the step that made it."""
    out = folder / f"out{bits}"
    out.mkdir(parents=True, exist_ok=True)
    given, made = (X, Y) if len(model.graph.input[0].type.tensor_type.shape.dim) == 4 else (MOVED, SLICED)
    step = StepInput(
        sources=written(folder, model, ranges),
        params={"bits": bits, "left_float": left_float},
        inputs=(given,),
        outputs=(made,),
    )
    return out / MODEL, dict(quantise.build(step, out))


def _drawn(seed: int, spread: float) -> Any:
    generator = np.random.default_rng(seed)
    return lambda *shape: (generator.standard_normal(shape) * spread).astype(np.float32)
