"""Quantised graphs that are broken in one place: what a quantiser, a converter or a hand may do to a file that still
loads and runs.

Each takes a graph in Q/DQ format, and a value by its name in single precision or a node by its own, and returns a copy.

What they do was measured once: `int8_mse` of the direction classifier, published weights, 400 real words of which 363
are right; answers changed, and how many are right then. *build* names every one of them, accuracy hardly half.

| | at the first convolution | at the fifth | also named by |
|---|---|---|---|
| scale doubled in Q and DQ | 7, 364 | 8, 365 | - |
| scale doubled in DQ alone | 105, 302 | 189, 212 | layers, simulation |
| zero point moved in Q and DQ | 0, 363 | 0, 363 | - |
| zero point moved in DQ alone | 23, 364 | 12, 361 | simulation |
| scale of the weights doubled | 22, 359 | 202, 203 | layers |
| scales moved on by a channel | 44, 353 | 16, 365 | layers |
| bias clipped to 12 bits | 183, 224 | 12, 361 | layers |
| axis of the scales wrong | does not run as written | 0, 363; as written 202, 189 (at the second) | layers |
| Relu lost | 144, 249 | 62, 313 (in the middle) | layers |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, numpy_helper

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
SCALE, ZERO = 1, 2
"""Where a QuantizeLinear or DequantizeLinear has them among its inputs."""
WEIGHT, BIAS = 1, 2
"""Where a Conv or Gemm has them."""


def scale_doubled(model: onnx.ModelProto, value: str) -> onnx.ModelProto:
    """Half the resolution: the scale of a value is twice what it was, in its QuantizeLinear and DequantizeLinear."""
    broken = _copy(model)
    return _changed(broken, pair(broken, value), SCALE, lambda scale: scale * 2)


def scale_doubled_behind(model: onnx.ModelProto, value: str) -> onnx.ModelProto:
    """Twice the value: the scale is doubled in DequantizeLinear alone."""
    broken = _copy(model)
    return _changed(broken, pair(broken, value)[1:], SCALE, lambda scale: scale * 2)


def zero_point_moved(model: onnx.ModelProto, value: str) -> onnx.ModelProto:
    """The range lies one step lower: the zero point is one more in QuantizeLinear and DequantizeLinear."""
    broken = _copy(model)
    return _changed(broken, pair(broken, value), ZERO, _one_more)


def zero_point_moved_behind(model: onnx.ModelProto, value: str) -> onnx.ModelProto:
    """The value is one step less: the zero point is one more in DequantizeLinear alone."""
    broken = _copy(model)
    return _changed(broken, pair(broken, value)[1:], ZERO, _one_more)


def weight_scale_doubled(model: onnx.ModelProto, node: str) -> onnx.ModelProto:
    """Each weight of a layer counts twice."""
    broken = _copy(model)
    return _changed(broken, [_constant(broken, node, WEIGHT)], SCALE, lambda scale: scale * 2)


def channel_scales_shifted(model: onnx.ModelProto, node: str) -> onnx.ModelProto:
    """Each channel of a layer has the scale of its neighbour."""
    broken = _copy(model)
    return _changed(broken, [_constant(broken, node, WEIGHT)], SCALE, lambda scale: np.roll(scale, 1))


def axis_wrong(model: onnx.ModelProto, node: str) -> onnx.ModelProto:
    """The scales of a layer are said to be those of its other axis: an optimised session does not look at that."""
    broken = _copy(model)
    found = next(said for said in _constant(broken, node, WEIGHT).attribute if said.name == "axis")
    found.i = 1 - found.i
    return broken


def bias_clipped(model: onnx.ModelProto, node: str, bits: int = 12) -> onnx.ModelProto:
    """The bias of a layer is held in fewer than 32 bits."""
    broken = _copy(model)
    most = 2 ** (bits - 1)
    dequantize = _constant(broken, node, BIAS)
    return _changed(broken, [dequantize], 0, lambda held: np.clip(held, -most, most - 1))


def relu_lost(model: onnx.ModelProto, node: str) -> onnx.ModelProto:
    """A Relu is left to the range of what it makes, which is symmetric and so does not clamp: zero is in its middle.

    As ONNX Runtime does with symmetric ranges for calibration.
    """
    broken = _copy(model)
    relu = _named(broken, node)
    before = next(each for each in broken.graph.node if each.output[0] == relu.input[0])
    made, given = relu.output[0], before.input[0]
    operand = next(each for each in broken.graph.node if each.output[0] == given).input[0]
    both = pair(broken, operand) + pair(broken, made)
    _changed(broken, both, SCALE, lambda scale: scale * 2)
    middle = {"uint8": 2**7, "uint16": 2**15}
    _changed(broken, both, ZERO, lambda zero: np.array(middle[zero.dtype.name], zero.dtype))
    for each in broken.graph.node:
        each.input[:] = [relu.input[0] if name == made else name for name in each.input]
    broken.graph.node.remove(relu)
    return broken


OF_VALUES: tuple[Callable[[onnx.ModelProto, str], onnx.ModelProto], ...] = (
    scale_doubled,
    scale_doubled_behind,
    zero_point_moved,
    zero_point_moved_behind,
)
OF_LAYERS: tuple[Callable[[onnx.ModelProto, str], onnx.ModelProto], ...] = (
    weight_scale_doubled,
    channel_scales_shifted,
    axis_wrong,
    bias_clipped,
)


def pair(model: onnx.ModelProto, value: str) -> list[NodeProto]:
    """The QuantizeLinear of a value, and its DequantizeLinear behind it."""
    names = (value, f"{value}_QuantizeLinear_Input")
    quantize = next(node for node in model.graph.node if node.op_type == QUANTIZE and node.input[0] in names)
    behind = [node for node in model.graph.node if node.op_type == DEQUANTIZE and node.input[0] == quantize.output[0]]
    return [quantize, *behind]


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(model.SerializeToString())


def _named(model: onnx.ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def _constant(model: onnx.ModelProto, node: str, place: int) -> NodeProto:
    """The DequantizeLinear of what a node has as a constant."""
    read = _named(model, node).input[place]
    return next(each for each in model.graph.node if each.output[0] == read)


def _one_more(zero: NDArray[Any]) -> NDArray[Any]:
    """One less where there is no more: the zero point of a range without positive numbers is the largest."""
    largest = np.iinfo(zero.dtype).max
    return np.array(zero + 1 if zero < largest else zero - 1, zero.dtype)


def _changed(
    model: onnx.ModelProto, nodes: list[NodeProto], place: int, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> onnx.ModelProto:
    """Gives nodes a constant of their own: others may read the one that they had."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in nodes:
        before = numpy_helper.to_array(held[node.input[place]])
        name = f"{node.name}.{place}.changed"
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(change(before), before.dtype), name))
        node.input[place] = name
    return model
