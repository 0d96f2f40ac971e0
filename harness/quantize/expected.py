"""Scales, zero points and integers as they follow from ranges and weights, worked out anew.

Activations are asymmetric: the scale is the width of the range, widened to hold zero, over the number of steps, and the
zero point the step that zero falls on. Weights are symmetric, -127 to 127, with a scale a channel. A bias has 32 bits;
where they would not hold it, the scale of the weight is raised until they do. All of it in double precision, and then
rounded to single: what a file holds should be equal to the bit.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from harness.quantize.plan import Bias, Plan, Ranges, clamped, plan

LARGEST_WEIGHT = 127
LARGEST_BIAS = 2**31 - 1
MARGIN = 1.0001
"""By how much more than its largest bias the scale of a channel must hold, as ONNX Runtime has it."""


@dataclass(frozen=True)
class Parameters:
    """The scale of a tensor, its zero point in the dtype of its integers, and the axis of its channels; the integers
    where it is constant."""

    scale: NDArray[np.float32]
    zero: NDArray[Any]
    axis: int | None = None
    integers: NDArray[Any] | None = None


@dataclass
class Expected:
    """The parameters of every value, of every constant by its name, and of biases by the node that reads them.
    ``adjusted`` are the weights whose scale was raised for a bias."""

    planned: Plan
    values: dict[str, Parameters] = field(default_factory=dict)
    constants: dict[str, Parameters] = field(default_factory=dict)
    biases: dict[str, Parameters] = field(default_factory=dict)
    adjusted: tuple[str, ...] = ()


def expect(single: onnx.ModelProto, ranges: Ranges, bits: int, left_float: Collection[str]) -> Expected:
    """All parameters of the graph in integers that a graph in single precision becomes."""
    expected = Expected(plan(single, left_float))
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in single.graph.initializer}
    counted = clamped(single, ranges, left_float)
    own = {name: affine(*counted[name], bits) for name in expected.planned.values if name in counted}
    for name in expected.planned.constants:
        expected.constants[name] = _constant(held[name], bits)
    scales = {name: weight_scale(held[name], axis) for name, axis in expected.planned.weights.items()}
    adjusted = {
        bias.weight
        for bias in expected.planned.biases.values()
        if bias.weight in scales
        and bias.operand in own
        and _raise(scales[bias.weight], held[bias.name], own[bias.operand])
    }
    expected.adjusted = tuple(sorted(adjusted))
    for name, axis in expected.planned.weights.items():
        expected.constants[name] = _weight(held[name], scales[name], axis)
    for name in expected.planned.values:
        source = _source(expected.planned, name)
        expected.values[name] = own[source] if source in own else expected.constants[source]
    for node, bias in expected.planned.biases.items():
        expected.biases[node] = _bias(held[bias.name], bias, expected)
    return expected


def affine(lowest: float, highest: float, bits: int) -> Parameters:
    """Scale and zero point of a range in so many unsigned bits; 1 and 0 of one that is nothing but zero."""
    steps = 2**bits - 1
    kind = np.uint8 if bits == 8 else np.uint16
    low, high = np.array([min(lowest, 0), max(highest, 0)], np.float32).astype(np.float64)
    scale = (high - low) / steps
    if scale < np.finfo(np.float32).tiny:
        return Parameters(np.array(1, np.float32), np.array(0, kind))
    return Parameters(np.array(scale, np.float32), np.array(np.round(-low / scale), kind))


def weight_scale(weight: NDArray[Any], axis: int | None) -> NDArray[np.float32]:
    """The scale of each channel, or of all together: its largest absolute number is 127; 1 where it is zero."""
    axes = None if axis is None else tuple(place for place in range(weight.ndim) if place != axis)
    scale = np.abs(weight).max(axis=axes).astype(np.float64) / LARGEST_WEIGHT
    return np.where(scale < np.finfo(np.float32).tiny, 1, scale).astype(np.float32)


def _raise(scale: NDArray[np.float32], bias: NDArray[Any], operand: Parameters) -> bool:
    """Raises the scales of a weight in place where 32 bits would not hold a bias, and says whether any was."""
    # Of a channel each, the quantiser works it out in single precision, like its bias.
    largest = MARGIN * (2 * (np.abs(bias) if scale.ndim else np.abs(bias).max().astype(np.float64)))
    least = largest.astype(np.float64) / (2 * LARGEST_BIAS)
    given = np.float64(operand.scale) * scale.astype(np.float64)
    short = (given < least) & (given > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale[...] = np.where(short, scale * (least / given), scale).astype(np.float32)
    return bool(np.any(short))


def _weight(weight: NDArray[Any], scale: NDArray[np.float32], axis: int | None) -> Parameters:
    spread = scale if axis is None else scale.reshape([-1 if place == axis else 1 for place in range(weight.ndim)])
    integers = np.clip(np.round(weight / spread), -LARGEST_WEIGHT - 1, LARGEST_WEIGHT).astype(np.int8)
    return Parameters(scale, np.zeros(scale.shape, np.int8), axis, integers)


def _constant(array: NDArray[Any], bits: int) -> Parameters:
    found = affine(array.min(), array.max(), bits)
    integers = np.clip(np.round(array / found.scale) + found.zero, 0, 2**bits - 1).astype(found.zero.dtype)
    return Parameters(found.scale, found.zero, None, integers)


def _bias(array: NDArray[Any], bias: Bias, expected: Expected) -> Parameters:
    known = {**expected.values, **expected.constants}
    scale = np.asarray(known[bias.operand].scale * known[bias.weight].scale, np.float32).reshape(-1)
    integers = np.clip(np.round(array.astype(np.float64) / scale.astype(np.float64)), -LARGEST_BIAS - 1, LARGEST_BIAS)
    return Parameters(scale, np.zeros(scale.shape, np.int32), 0, integers.astype(np.int32))


def _source(planned: Plan, name: str) -> str:
    """The value whose scale a value has."""
    while name in planned.values and planned.values[name] != name:
        name = planned.values[name]
    return name
