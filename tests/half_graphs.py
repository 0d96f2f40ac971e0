"""Small graphs, what half precision makes of numbers, and what ONNX Runtime makes of graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16


def halves(values: NDArray) -> NDArray[np.float32]:
    """The numbers, as halves."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32).astype(np.float16).astype(np.float32)


def are_halves(values: NDArray) -> bool:
    return np.array_equal(values, halves(values), equal_nan=True)


def graph_of(*nodes: onnx.NodeProto, out: int = TensorProto.FLOAT, **constants: object) -> onnx.ModelProto:
    """Nodes from ``x`` to ``y``, rows of three numbers each, with constants by name."""
    kept = {name: value if isinstance(value, np.ndarray) else np.float32(value) for name, value in constants.items()}
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", out, [None, None])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in kept.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)


def chain(*steps: tuple[str, float]) -> onnx.ModelProto:
    """From ``x`` to ``y``, each step an operator and its constant."""
    names = ["x", *(f"v{place}" for place in range(1, len(steps))), "y"]
    nodes = [
        helper.make_node(operator, [names[place], f"c{place}"], [names[place + 1]], name=f"n{place}")
        for place, (operator, _) in enumerate(steps)
    ]
    return graph_of(*nodes, **{f"c{place}": constant for place, (_, constant) in enumerate(steps)})


def run(model: onnx.ModelProto, fed: NDArray, *shown: str, optimised: Path | None = None) -> list[NDArray]:
    """The first output in ONNX Runtime with all that it optimises, or further values of the graph."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    given = {output.name for output in copy.graph.output}
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in shown if name not in given)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_reuse = False
    options.optimized_model_filepath = str(optimised or "")
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(list(shown) or None, {session.get_inputs()[0].name: fed})


def in_library(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph in half precision as the library of ONNX Runtime writes it."""
    return convert_float_to_float16(onnx.ModelProto.FromString(model.SerializeToString()), keep_io_types=True)


def answer(model: onnx.ModelProto, *numbers: float) -> list[float]:
    return run(model, np.array([numbers], np.float32))[0][0].tolist()


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
