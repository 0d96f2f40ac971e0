"""Small graphs that enlarge features to the size of others, as exporters write it: what segmentation networks do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper

from harness.onnx_graph.classes import cut_argmax
from harness.onnx_graph.edit import MODEL
from harness.sizes import BATCH, Symbol, TensorSpec
from harness.step import Facts, Step, StepInput, step

CHANNELS = 2
SPELLINGS = ("sliced", "gathered", "multiplied")
"""The size of the others as Paddle's converter and as torch's exporter write it, and as one multiplied by a scale."""


def spec(name: str, low: int = 32, high: int = 96, channels: int = CHANNELS) -> TensorSpec:
    """An input or output of any batch, whose sides are multiples of the lowest."""
    sides = [Symbol(name=side, low=low, high=high, multiple=low) for side in ("height", "width")]
    return TensorSpec(name=name, axes=(BATCH, channels, *sides), dtype="float32")


def bound(declared: TensorSpec, batch: int, height: int, width: int) -> TensorSpec:
    """With every axis bound."""
    sizes = {BATCH: batch, "height": height, "width": width}
    return replace(declared, axes=tuple(sizes.get(axis, axis) for axis in declared.named))


def fused(
    scales: Sequence[int], modes: Sequence[str] = (), spelling: str = "sliced", nearest_mode: str = ""
) -> onnx.ModelProto:
    """x, convolved, + 1 x what is left of it after shrinking by the first scale and enlarging, + 2 x of the second.

    Nodes have the names of an early converter, ``Resize_0`` on. ``nearest_mode`` stands beside every mode where it is
    said, as torch's exporter has it.
    """
    rng = np.random.default_rng(0)
    floats = {name: rng.uniform(0.5, 1.5, CHANNELS) for name in ("scale", "bias", "mean", "var")}
    floats |= {"weight": rng.uniform(-1, 1, (CHANNELS, CHANNELS, 1, 1)), "roi": np.zeros(0), "none": np.zeros(0)}
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in floats.items()]
    numbers = {"zero": [0], "two": [2], "four": [4], "height": 2, "width": 3}
    constants += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in numbers.items()]
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["convolved"], name="Conv_0"),
        helper.make_node("BatchNormalization", ["convolved", "scale", "bias", "mean", "var"], ["base"], name="Norm_0"),
    ]
    total = "base"
    for number, scale in enumerate(scales):
        factors = {"factor": [number + 1.0], "times": [float(scale)]}
        constants += [
            numpy_helper.from_array(np.array(value, np.float32), f"{name}{number}") for name, value in factors.items()
        ]
        said = {"nearest_mode": nearest_mode} if nearest_mode else {}
        mode = modes[number] if modes else "linear"
        nodes += [
            helper.make_node(
                "AveragePool", ["base"], [f"small{number}"], kernel_shape=[scale] * 2, strides=[scale] * 2
            ),
            *_size(spelling, number),
            helper.make_node(
                "Resize",
                [f"small{number}", "roi", "none", f"size{number}"],
                [f"large{number}"],
                name=f"Resize_{number}",
                mode=mode,
                coordinate_transformation_mode="half_pixel",
                **said,
            ),
            helper.make_node("Mul", [f"large{number}", f"factor{number}"], [f"part{number}"]),
            helper.make_node("Add", [total, f"part{number}"], [f"sum{number}"]),
        ]
        total = f"sum{number}"
    nodes.append(helper.make_node("Identity", [total], ["y"]))
    return model_of(nodes, [("x", "float32", 4)], [("y", "float32", 4)], constants)


def model_of(nodes, inputs, outputs, constants=()) -> onnx.ModelProto:
    """A graph at opset 11 whose inputs and outputs have so many axes, all of them open."""
    values = [
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), [f"{name}{place}" for place in range(axes)]
            )
            for name, kind, axes in ends
        ]
        for ends in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", *values, list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)


def _size(spelling: str, number: int) -> list[NodeProto]:
    """The nodes that work out the size of the base, for what was shrunk."""
    node = helper.make_node
    names = {
        name: f"{name}{number}" for name in ("own", "kept", "other", "sides", "size", "high", "wide", "a", "b", "c")
    }
    own, kept, other, sides, size, high, wide, a, b, c = names.values()
    nodes = [
        node("Shape", [f"small{number}"], [own]),
        node("Slice", [own, "zero", "two", "zero"], [kept]),
        node("Shape", ["base"], [other]),
    ]
    if spelling == "sliced":
        nodes += [
            node("Cast", [other], [a], to=TensorProto.INT32),
            node("Slice", [a, "two", "four", "zero"], [b]),
            node("Cast", [b], [sides], to=TensorProto.INT64),
        ]
    elif spelling == "gathered":
        nodes += [
            node("Gather", [other, "height"], [a]),
            node("Gather", [other, "width"], [b]),
            node("Unsqueeze", [a], [high], axes=[0]),
            node("Unsqueeze", [b], [wide], axes=[0]),
            node("Concat", [high, wide], [sides], axis=0),
        ]
    else:
        nodes += [
            node("Slice", [own, "two", "four", "zero"], [a]),
            node("Cast", [a], [b], to=TensorProto.FLOAT),
            node("Mul", [b, f"times{number}"], [c]),
            node("Floor", [c], [high]),
            node("Cast", [high], [sides], to=TensorProto.INT64),
        ]
    return [*nodes, node("Concat", [kept, sides], [size], axis=0)]


def operators(graph: onnx.ModelProto) -> Counter[str]:
    """How many nodes there are of each."""
    return Counter(node.op_type for node in graph.graph.node)


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape[-1]).uniform(-1, 1, shape).astype(np.float32)


def run(graph: onnx.ModelProto, fed: np.ndarray) -> np.ndarray:
    """The only output in ONNX Runtime, on one thread. Not at its last level, which has other kernels for constant sizes
    than for those that are worked out."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: fed})
    return found


def made(
    step: Step, graph: onnx.ModelProto, folder: Path, **given: object
) -> tuple[onnx.ModelProto, dict[str, object]]:
    """What a step makes of a graph, and its facts."""
    source, out = folder / "source", folder / "out"
    for each in (source, out):
        each.mkdir(exist_ok=True)
    onnx.save(graph, source / "model.onnx")
    facts = step.build(StepInput(sources=(source,), **given), out)
    return onnx.load(out / "model.onnx"), dict(facts)


@step(revision=1)
def without_argmax(given: StepInput, out: Path) -> Facts:
    """The logits of a graph that need not come from Paddle."""
    return cut_argmax(onnx.load(given.sources[0] / MODEL), given, out)
