"""Small graphs for the tools that are played: what they compute is plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.standin_host import played

WEIGHT = np.array([[1, 0, 2], [0, 1, 0.5], [0.25, 0, 1], [0, 3, 0]], np.float32)
BIAS = np.array([0.5, -1, 0.125], np.float32)


def dense(path: Path, opset: int = 11, domain: str = "", weight: NDArray = WEIGHT) -> Path:
    """x (batch, 4) -> y (batch, 3) = x @ WEIGHT + BIAS."""
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="dense", domain=domain)]
    return _write(path, nodes, {"w": weight, "b": BIAS}, (["batch", 4], ["batch", 3]), opset)


def steps(path: Path) -> Path:
    """x (batch, 4) -> y (2, batch, 3): the batch is the second axis, as in networks that read step by step."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
        helper.make_node("Add", ["product", "b"], ["y"], name="sum"),
    ]
    stored = {"w": np.stack([WEIGHT, 2 * WEIGHT]), "b": BIAS}
    return _write(path, nodes, stored, (["batch", 4], [2, "batch", 3]))


def centred(path: Path) -> Path:
    """x (batch, 4) -> y (batch, 4) = x less the mean of its batch."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], name="mean", axes=[0]),
        helper.make_node("Sub", ["x", "mean"], ["y"], name="centre"),
    ]
    return _write(path, nodes, {}, (["batch", 4], ["batch", 4]))


def sampler(path: Path, opset: int) -> Path:
    """x (batch, 1, 4, 4) -> y (batch, 1, 2, 2): sampled at a grid; below opset 16 only the vendor's compiler takes it,
    and the nodes before it are written as that opset has them."""
    axes = np.array([0], np.int64)
    squeeze = (
        helper.make_node("Squeeze", ["folded"], ["grid"], name="squeeze", axes=[0])
        if opset < 13
        else helper.make_node("Squeeze", ["folded", "axes"], ["grid"], name="squeeze")
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["positive"], name="relu"),
        squeeze,
        helper.make_node(
            "GridSample",
            ["positive", "grid"],
            ["y"],
            name="sample",
            mode="bilinear",
            padding_mode="zeros",
            align_corners=1,
        ),
    ]
    grid = np.linspace(-0.9, 1.1, 16, dtype=np.float32).reshape(1, 2, 2, 2, 2)
    stored = {"folded": grid} | ({"axes": axes} if opset >= 13 else {})
    return _write(path, nodes, stored, ([2, 1, 4, 4], [2, 1, 2, 2]), opset)


def sampled_at_itself(path: Path) -> Path:
    """x (2, 2, 2, 2) -> y: x is both the picture and the grid, so the way to the coordinates begins at the input."""
    nodes = [helper.make_node("GridSample", ["x", "x"], ["y"], name="sample")]
    return _write(path, nodes, {}, ([2, 2, 2, 2], [2, 2, 2, 2]), 16)


def compile_for(folder: Path, make: Callable[[Path], Path], shape: str, *more: str) -> Path:
    """An artefact of a small network, by the played atc."""
    model = make(folder / f"{make.__name__}.onnx")
    done = played(
        folder,
        "atc",
        "--framework=5",
        f"--model={model}",
        f"--output={make.__name__}",
        "--soc_version=Ascend310P3",
        f"--input_shape={shape}",
        *more,
    )
    assert done.code == 0, done.lines
    (artefact,) = folder.glob(f"{make.__name__}*.om")
    return artefact


def answer(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What ``dense`` computes."""
    return x @ WEIGHT + BIAS


def _write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    stored: dict[str, NDArray],
    shapes: tuple[list, list],
    opset: int = 11,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shapes[1])],
        [numpy_helper.from_array(values, name) for name, values in stored.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, 1) for domain in {node.domain for node in nodes} - {""}]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
