"""A small graph to calibrate, inputs for it, and what ONNX Runtime's own calibrators make of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from harness.backends import Batch

ITEM = (3, 8, 8)


def gated(path: Path) -> Path:
    """Writes two convolutions, the second behind a Relu, times a gate, then a product with a matrix: ``x`` to ``y``.

    Sixteen channels: ONNX Runtime would compute them in blocks, and other last bits, if it were let.
    """
    rng = np.random.default_rng(5)
    weights = {
        "w1": rng.normal(0, 0.3, (16, 3, 3, 3)),
        "w2": rng.normal(0, 0.2, (16, 16, 3, 3)),
        "w3": rng.normal(0, 0.2, (16, 4)),
        "shape": np.array([-1, 16], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["conv"], pads=[1] * 4, name="first"),
        helper.make_node("Relu", ["conv"], ["relu"], name="relu"),
        helper.make_node("Conv", ["relu", "w2"], ["second"], pads=[1] * 4, name="second"),
        helper.make_node("HardSigmoid", ["second"], ["gate"], alpha=0.2, name="gate"),
        helper.make_node("Mul", ["second", "gate"], ["product"], name="product"),
        helper.make_node("GlobalAveragePool", ["product"], ["pooled"], name="pool"),
        helper.make_node("Reshape", ["pooled", "shape"], ["flat"], name="flat"),
        helper.make_node("MatMul", ["flat", "w3"], ["y"], name="scores"),
    ]
    return saved(path, nodes, {name: _single(array) for name, array in weights.items()}, ["batch", *ITEM], 4)


def saved(
    path: Path, nodes: Sequence[onnx.NodeProto], weights: dict[str, NDArray], given: list, made: int | None = None
) -> Path:
    """Writes a graph from ``x`` to ``y``."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [given[0], made] if made else given)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def batches(count: int, seed: int = 1) -> list[Batch]:
    """Batches of one sample, each larger than the one before."""
    rng = np.random.default_rng(seed)
    return [
        Batch((f"set/{number}",), {"x": rng.normal(0, 1 + number, (1, *ITEM)).astype(np.float32)})
        for number in range(count)
    ]


def ranges_of_onnx_runtime(path: Path, given: Sequence[Batch], folder: Path) -> dict[str, tuple[float, float]]:
    """What ``quantize_static`` would find with ``MinMax``, on one thread."""
    calibrator = create_calibrator(
        path,
        [*QDQRegistry, *QLinearOpsRegistry],
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=CalibrationMethod.MinMax,
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    calibrator.infer_session = onnxruntime.InferenceSession(
        str(folder / "augmented.onnx"), options, providers=["CPUExecutionProvider"]
    )
    calibrator.collect_data(_Reader(iter(given)))
    found = calibrator.compute_data()
    return {name: (data.lowest.item(), data.highest.item()) for name, data in found.items()}


class _Reader:
    def __init__(self, given: Iterator[Batch]) -> None:
        self._given = given

    def get_next(self) -> dict[str, NDArray] | None:
        batch = next(self._given, None)
        return None if batch is None else dict(batch.inputs)


def _single(array: NDArray) -> NDArray:
    return array if array.dtype == np.int64 else array.astype(np.float32)
