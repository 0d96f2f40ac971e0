"""A small network whose integer form has most operators, and engines that compute it otherwise than it says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from harness.backends import Batch
from harness.quantize.simulate.executed import Engine, Tensors
from harness.quantize.simulate.integers import codes

SHAPE = (4, 12, 12)


def network() -> onnx.ModelProto:
    """A small network in single precision with most operators that become integers, the weights drawn from a seed."""
    random = np.random.default_rng(4)
    weights = {
        "first.w": random.normal(0, 0.3, (8, 4, 3, 3)),
        "first.b": random.normal(0, 1, 8),
        "deep.w": random.normal(0, 0.3, (8, 1, 3, 3)),
        # Of one sign, and nearly alike: pairs of products are as large as they can be.
        "wide.w": random.uniform(0.8, 1, (16, 8, 1, 1)),
        "wide.b": random.normal(0, 1, 16),
        "gate.w": random.normal(0, 0.3, (16, 16, 1, 1)),
        "last.w": random.normal(0, 0.3, (16 * 36, 5)),
        "last.b": random.normal(0, 1, 5),
    }
    nodes = [
        ("Conv", "first", ["x", "first.w", "first.b"], {"pads": [1] * 4}),
        ("Relu", "relu", ["first"], {}),
        ("Conv", "deep", ["relu", "deep.w"], {"pads": [1] * 4, "group": 8}),
        ("Add", "sum", ["deep", "relu"], {}),
        ("MaxPool", "pool", ["sum"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", "wide", ["pool", "wide.w", "wide.b"], {}),
        ("GlobalAveragePool", "mean", ["wide"], {}),
        ("Conv", "gate", ["mean", "gate.w"], {}),
        ("Sigmoid", "opened", ["gate"], {}),
        ("Mul", "gated", ["wide", "opened"], {}),
        ("Flatten", "flat", ["gated"], {}),
        ("Gemm", "y", ["flat", "last.w", "last.b"], {}),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [name], name=name, **said) for kind, name, inputs, said in nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *SHAPE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class Calibration(CalibrationDataReader):
    """Batches, once."""

    def __init__(self, given: Sequence[Batch]) -> None:
        self._feeds = iter([dict(batch.inputs) for batch in given])

    def get_next(self) -> Any:
        return next(self._feeds, None)


def batches(*sizes: int) -> list[Batch]:
    """Batches of so many items, drawn from a seed."""
    random = np.random.default_rng(1)
    drawn = [random.normal(0, 1, (size, *SHAPE)).astype(np.float32) for size in sizes]
    return [Batch(tuple(f"{at}/{item}" for item in range(len(x))), {"x": x}) for at, x in enumerate(drawn)]


def quantised(bits: int, folder: Path) -> Path:
    """The network with activations of so many bits, as a file."""
    onnx.save(network(), folder / "single.onnx")
    quantize_static(
        folder / "single.onnx",
        folder / f"{bits}.onnx",
        Calibration(batches(4)),
        per_channel=True,
        activation_type={8: QuantType.QUInt8, 16: QuantType.QUInt16}[bits],
        weight_type=QuantType.QInt8,
    )
    return folder / f"{bits}.onnx"


def copied(graph: onnx.ModelProto) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    return model


def node(graph: onnx.ModelProto, name: str) -> onnx.NodeProto:
    """The node that was made of one of the network's."""
    return next(each for each in graph.graph.node if each.name.partition("_token_")[0] == name)


def edit(graph: onnx.ModelProto, name: str, change: Callable[[Any], Any]) -> None:
    """Changes what an initialiser holds, and keeps its type."""
    tensor = next(each for each in graph.graph.initializer if each.name == name)
    held = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(change(held)).astype(held.dtype), name))


def reads_otherwise(graph: onnx.ModelProto, reader: onnx.NodeProto, place: int, change: Callable[[Any], Any]) -> None:
    """Gives a node a scale or zero point of its own, changed."""
    held = next(each for each in graph.graph.initializer if each.name == reader.input[place])
    value = numpy_helper.to_array(held)
    graph.graph.initializer.append(numpy_helper.from_array(np.asarray(change(value)).astype(value.dtype), "another"))
    reader.input[place] = "another"


class Spoilt:
    """An engine that gives another tensor for one, made of values of the same batch."""

    def __init__(self, engine: Engine, name: str, inputs: Collection[str], make: Callable[..., Any]) -> None:
        self._engine, self._name, self._inputs, self._make = engine, name, list(inputs), make

    def giving(self, names: Collection[str]) -> Callable[[Batch], Tensors]:
        give = self._engine.giving(sorted({*names, *self._inputs}))

        def spoilt(batch: Batch) -> Tensors:
            values = dict(give(batch))
            return values | {self._name: self._make(*(values[name] for name in self._inputs))}

        return spoilt


def saturating(graph: onnx.ModelProto, name: str) -> Spoilt:
    """An engine whose kernel adds pairs of products of 8 bits in 16 bits, in one convolution of 1 x 1, as processors
    with AVX2 and without VNNI do.."""
    convolution = node(graph, name)
    held = {each.name: numpy_helper.to_array(each) for each in graph.graph.initializer}
    sx, zx, w, sw, zw, sy, zy, bias = (held[each] for each in convolution.input[1:])
    signed = (w.astype(np.int64) - zw.astype(np.int64).reshape(-1, 1, 1, 1))[:, :, 0, 0]

    def multiply(x: Any) -> Any:
        x = x.astype(np.int64)
        pairs = x[..., None, 0::2] * signed[:, 0::2] + x[..., None, 1::2] * signed[:, 1::2]
        total = np.clip(pairs, -(2**15), 2**15 - 1).sum(-1) - int(zx) * signed.sum(1) + bias
        return codes(total.astype(np.float32) * (sx * sw / sy), zy)

    return Spoilt(Engine(graph, 1), convolution.output[0], [convolution.input[0]], multiply)
