"""Graphs of the played quantiser: converted, quantised, and in the vendor's spelling, which no other runtime takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

VENDORS = ("QuantizeLinear", "DequantizeLinear")
"""Operators that the quantised graph holds as nodes of type PyOp."""
COARSE = 1 / 255
OPSET = 13


def converted(model: Path, weight: Path | None, shape: Sequence[int], target: Path) -> onnx.ModelProto:
    """The float graph with a fixed shape, batch 1, written to the target. A program without weights is ONNX under
    another name: small ones for tests are easily made."""
    if weight is None or not weight.stat().st_size:
        graph = onnx.load_from_string(model.read_bytes())
    else:
        import paddle2onnx

        paddle2onnx.export(str(model), str(weight), str(target), opset_version=OPSET, auto_upgrade_opset=False)
        graph = onnx.load(target)
    for given in graph.graph.input:
        for axis, size in zip(given.type.tensor_type.shape.dim, shape, strict=bool(shape)):
            axis.dim_value = max(size, 1)
        for axis in given.type.tensor_type.shape.dim:
            axis.dim_value = axis.dim_value or 1
    del graph.graph.value_info[:]
    for given in graph.graph.output:
        given.type.tensor_type.ClearField("shape")
    onnx.save(onnx.shape_inference.infer_shapes(graph), target)
    return onnx.load(target)


def quantised(source: Path, arrays: Sequence[NDArray], bits: int, output_float: bool, target: Path) -> None:
    """The quantised graph of a float one, calibrated with arrays; in the vendor's spelling."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    name = onnx.load(prepared).graph.input[0].name

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.waiting: Iterator[dict[str, NDArray]] = iter([{name: array} for array in arrays])

        def get_next(self) -> dict[str, NDArray] | None:
            return next(self.waiting, None)

    activations = QuantType.QUInt8 if bits == 8 else QuantType.QUInt16
    quantize_static(
        str(prepared),
        str(target),
        Reader(),
        per_channel=True,
        reduce_range=True,
        activation_type=activations,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()
    model = onnx.load(target)
    if not output_float:
        _whole_outputs(model)
    for node in model.graph.node:
        if node.op_type in VENDORS:
            node.attribute.append(helper.make_attribute("class_name", node.op_type))
            node.attribute.append(helper.make_attribute("pyop_type", "quant"))
            node.op_type = "PyOp"
    onnx.save(model, target)


def _whole_outputs(model: onnx.ModelProto) -> None:
    """Outputs become whole numbers in the type of floats; the scale of each is kept as ``top_scale``."""
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for given in model.graph.output:
        makers = [node for node in model.graph.node if given.name in node.output]
        last = makers[0]
        scale = float(stored[last.input[1]]) if last.op_type == "DequantizeLinear" else COARSE
        last.output[list(last.output).index(given.name)] = f"{given.name}/floats"
        model.graph.initializer.append(numpy_helper.from_array(np.float32(scale), f"{given.name}/top_scale"))
        divided = [f"{given.name}/floats", f"{given.name}/top_scale"]
        model.graph.node.append(helper.make_node("Div", divided, [f"{given.name}/divided"]))
        model.graph.node.append(helper.make_node("Round", [f"{given.name}/divided"], [given.name]))


def loaded(content: bytes) -> onnxruntime.InferenceSession:
    """A session on a graph, in either spelling."""
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        if node.op_type == "PyOp":
            told = {each.name: each for each in node.attribute}
            node.op_type = told["class_name"].s.decode()
            for name in ("class_name", "pyop_type"):
                node.attribute.remove(told[name])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
