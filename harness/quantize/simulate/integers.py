"""Integer operators as ONNX Runtime defines them, bit for bit, in numpy.

Sums of products are exact. What follows them is single precision, in the order in which the runtime computes it: the
scales first, then one product a number, rounded half to even. The order is the runtime's choice, and followed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Given = Sequence[Any]
"""The inputs of a node by place: an array, or none where an optional one is left out."""
Said = Mapping[str, Any]
"""The attributes of a node."""
SINGLE = 2**24
"""Up to here single precision holds every integer, so that sums of products that stay below are exact in it."""
LOGISTIC_END = np.float32(18)
LOGISTIC = (
    (4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05, 8.51377133304701e-03, 2.48287947061529e-01),
    (
        *(6.10247389755681e-13, 5.76102136993427e-09, 6.29106785017040e-06, 1.70198817374094e-03),
        *(1.16817656904453e-01, 9.93151921023180e-01),
    ),
)
"""Half of the logistic function less its middle: odd powers above, even ones below, the highest first, up to an end
(ONNX Runtime, core/mlas/lib/logistic.cpp, which has them of Eigen)."""


@dataclass(frozen=True)
class Operator:
    """Where a node of an operator has its scales, and what it answers.

    ``reads`` are the places of its integer inputs, each with scale and zero point behind it; ``writes`` is the place of
    the scale of its output, with the zero point behind it, none where it gives single precision. ``answer`` is none
    where only that is known of it.
    """

    reads: Sequence[int]
    writes: int | None
    answer: Callable[[Given, Said], Array] | None = None


def quantize_linear(given: Given, said: Said) -> Array:
    """Numbers in steps of their scale: a division, and no product with the reciprocal."""
    x, scale, zero = _three(given)
    axis = said.get("axis", 1)
    return codes(x / _along(scale, x, axis), _along(_zero(zero), x, axis))


def dequantize_linear(given: Given, said: Said) -> Array:
    """What integers stand for, float32."""
    x, scale, zero = _three(given)
    axis = said.get("axis", 1)
    steps = _steps(x, np.zeros((), x.dtype) if zero is None else _along(zero, x, axis))
    return np.asarray(steps.astype(np.float32) * _along(scale, x, axis))


def convolution(given: Given, said: Said) -> Array:
    """A convolution [N, C, ...] of any number of axes, with groups; weights [O, C / group, ...]."""
    x, sx, zx, w, sw, zw, sy, zy, bias = (*given, None)[:9]
    last = bool(said.get("channels_last", 0))
    x = np.moveaxis(x, -1, 1) if last else x
    total = convolved(_steps(x, zx), _steps(w, zw.reshape(-1, *[1] * (w.ndim - 1))), said)
    channels = (-1, *[1] * (x.ndim - 2))
    total += 0 if bias is None else bias.reshape(channels)
    answer = _requantised(total, (sx * sw / sy).reshape(channels), zy)
    return np.moveaxis(answer, 1, -1) if last else answer


def convolved(x: Array, w: Array, said: Said) -> Array:
    """Exact sums of products, int64 [N, O, ...]: one matrix product for each place of the kernel, so that memory stays
    that of a few inputs."""
    kernel, group = w.shape[2:], said.get("group", 1)
    strides, dilations = (said.get(name) or [1] * len(kernel) for name in ("strides", "dilations"))
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    x = np.pad(x, [(0, 0), (0, 0), *_pads(said, x.shape[2:], reach, strides)])
    sizes = [(size - far) // step + 1 for size, far, step in zip(x.shape[2:], reach, strides, strict=True)]
    exact = _exact(x, w.reshape(len(w), -1).T)
    n, into, out = len(x), w.shape[1], len(w) // group
    x = x.astype(exact).reshape(n, group, into, *x.shape[2:])
    w = w.astype(exact).reshape(group, out, into, *kernel)
    total: Array = np.zeros((n, group, out, prod(sizes)), exact)
    for place in np.ndindex(*kernel):
        starts = [at * step for at, step in zip(place, dilations, strict=True)]
        window: tuple[Any, ...] = tuple(
            slice(start, start + (size - 1) * step + 1, step)
            for start, size, step in zip(starts, sizes, strides, strict=True)
        )
        seen: Array = x[(..., *window)].reshape(n, group, into, -1)
        weight: Array = w[(..., *place)]
        # One channel a group is no matrix product but a scaling, which is faster as one.
        total += weight * seen if into == 1 else weight @ seen
    return total.astype(np.int64).reshape(n, group * out, *sizes)


def matrix_product(given: Given, _: Said) -> Array:
    """A product of matrices [..., M, K] and [..., K, N]; the second may have a scale a column."""
    a, sa, za, b, sb, zb, sy, zy = given
    return _requantised(_product(_steps(a, za), _steps(b, zb)), sa * sb / sy, zy)


def gemm(given: Given, said: Said) -> Array:
    """A product of two matrices and a bias, in integers, or in single precision where no scale of the output is
    given."""
    a, sa, za, b, sb, zb, bias, sy, zy = (*given, None, None, None)[:9]
    by_column = said.get("transB", 0) and zb.size > 1
    left, right = _steps(a, za), _steps(b, zb[:, None] if by_column else zb)
    total = _product(left.T if said.get("transA", 0) else left, right.T if said.get("transB", 0) else right)
    total += 0 if bias is None else bias
    scale = np.float32(said.get("alpha", 1.0)) * sa * sb
    return total.astype(np.float32) * scale if sy is None else _requantised(total, scale / sy, zy)


def add(given: Given, _: Said) -> Array:
    """A sum with numpy's broadcasting, as the kernels for x86 with FMA form it: all that is constant first, then each
    side by a multiplication that is not rounded before it is added. Elsewhere a few numbers halfway between two steps
    go the other way."""
    a, sa, za, b, sb, zb, sc, zc = given
    if _repeated(a, b):
        a, sa, za, b, sb, zb = b, sb, zb, a, sa, za
    first, second = sa / sc, sb / sc
    fixed = zc.astype(np.float32) - _fused(za, first, zb.astype(np.float32) * second)
    # The zero point is in the sum already, so that it is rounded with it.
    return codes(_fused(a, first, _fused(b, second, fixed)), np.zeros((), zc.dtype))


def multiply(given: Given, _: Said) -> Array:
    """A product with numpy's broadcasting; the zero point is added before it is rounded."""
    a, sa, za, b, sb, zb, sc, zc = given
    steps = (_steps(a, za) * _steps(b, zb)).astype(np.float32) * (sa * sb / sc)
    return codes(steps + zc.astype(np.float32), np.zeros((), zc.dtype))


def global_average(given: Given, said: Said) -> Array:
    """The mean of each channel, spatial axes kept as ones."""
    x, sx, zx, sy, zy = given
    axes = tuple(range(1, x.ndim - 1)) if said.get("channels_last", 0) else tuple(range(2, x.ndim))
    count = np.float32(prod(x.shape[axis] for axis in axes))
    return _requantised(_steps(x, zx).sum(axes, keepdims=True), sx / (sy * count), zy)


def sigmoid(given: Given, _: Said) -> Array:
    """The logistic function, by the quotient of polynomials that the runtime takes for it on x86 with FMA."""
    x, sx, zx, sy, zy = given
    numbers = np.clip(_steps(x, zx).astype(np.float32) * sx, -LOGISTIC_END, LOGISTIC_END)
    square = numbers * numbers
    above, below = (_polynomial(square, factors) for factors in LOGISTIC)
    return codes(np.maximum(above * numbers / below + np.float32(0.5), 0) / sy, zy)


def concatenate(given: Given, said: Said) -> Array:
    """Parts behind each other, each in steps of the output; one that has its scale is copied."""
    sy, zy, *parts = given
    made = []
    for x, sx, zx in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        same = sx == sy and zx == zy
        made.append(x if same else codes(_steps(x, zx).astype(np.float32) * sx / sy, zy))
    return np.concatenate(made, said["axis"])


POINTWISE = {"reads": (0,), "writes": 3}
OPERATORS: Mapping[str, Operator] = {
    "QuantizeLinear": Operator((), 1, quantize_linear),
    "DequantizeLinear": Operator((0,), None, dequantize_linear),
    "QLinearConv": Operator((0, 3), 6, convolution),
    "QLinearMatMul": Operator((0, 3), 6, matrix_product),
    "QGemm": Operator((0, 3), 7, gemm),
    "QLinearAdd": Operator((0, 3), 6, add),
    "QLinearMul": Operator((0, 3), 6, multiply),
    "QLinearGlobalAveragePool": Operator((0,), 3, global_average),
    "QLinearSigmoid": Operator((0,), 3, sigmoid),
    "QLinearConcat": Operator(range(2, 2**10, 3), 0, concatenate),
    # Exact up to one step with a plain formula: their rounding is not known, so they are not judged.
    "QLinearAveragePool": Operator((0,), 3),
    "QLinearSoftmax": Operator((0,), 3),
    "QLinearLeakyRelu": Operator((0,), 3),
}
"""By name, whatever the domain: the runtime has some of them in its own."""


def codes(steps: Array, zero: Array) -> Array:
    """Integers of the zero point's type: rounded half to even, shifted, and held at the ends of the type."""
    limits = np.iinfo(zero.dtype)
    shift = zero.astype(np.float32)
    return np.asarray(np.clip(np.rint(steps), limits.min - shift, limits.max - shift) + shift).astype(zero.dtype)


def _requantised(total: Array, scale: Array, zero: Array) -> Array:
    return codes(total.astype(np.float32) * scale, zero)


def _steps(x: Array, zero: Array) -> Array:
    """How many steps each number is from zero, int64."""
    return np.asarray(x.astype(np.int64) - zero.astype(np.int64))


def _fused(x: Array, factor: Array, start: Array) -> Array:
    """``x * factor + start``, float32, rounded once: of what single precision holds the product is exact in double."""
    return np.asarray((x.astype(np.float64) * factor + start).astype(np.float32))


def _polynomial(x: Array, factors: Sequence[float]) -> Array:
    """float32, the factor of the highest power first."""
    value: Array = np.full_like(x, factors[0])
    for factor in factors[1:]:
        value = _fused(value, x, np.asarray(factor, np.float32))
    return value


def _repeated(a: Array, b: Array) -> bool:
    """Whether broadcasting repeats numbers of ``a`` along the innermost axis."""
    shapes = zip(np.atleast_1d(a).shape[::-1], np.atleast_1d(b).shape[::-1], strict=False)
    inner = next(((left, right) for left, right in shapes if max(left, right) > 1), (a.size, b.size))
    return inner[0] == 1 < inner[1]


def _product(a: Array, b: Array) -> Array:
    """An exact product of matrices, int64."""
    exact = _exact(a, b)
    return np.asarray((a.astype(exact) @ b.astype(exact)).astype(np.int64))


def _exact(x: Array, w: Array) -> type[np.float32 | np.float64]:
    """The narrower type in which ``x @ w`` [..., K, N] is exact in whatever order it is summed."""
    if not x.size or not w.size:
        return np.float32
    return np.float32 if int(np.abs(x).max()) * int(np.abs(w).sum(-2).max()) < SINGLE else np.float64


def _pads(said: Said, sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """What is added before and after each spatial axis."""
    kind = said.get("auto_pad", b"NOTSET").decode()
    if not kind.startswith("SAME"):
        pads = said.get("pads") or [0] * 2 * len(sizes)
        return list(zip(pads[: len(sizes)], pads[len(sizes) :], strict=True))
    both = [max(0, (-(-n // step) - 1) * step + far - n) for n, far, step in zip(sizes, reach, strides, strict=True)]
    halves = [(total // 2, total - total // 2) for total in both]
    return halves if kind == "SAME_UPPER" else [(after, before) for before, after in halves]


def _three(given: Given) -> tuple[Array, Array, Array | None]:
    x, scale, zero = (*given, None)[:3]
    return x, scale, zero


def _zero(zero: Array | None) -> Array:
    """Without a zero point codes are unsigned, of eight bits."""
    return np.zeros((), np.uint8) if zero is None else zero


def _along(values: Array, x: Array, axis: int) -> Array:
    """One value for all, or one for each place along an axis."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape([-1 if at == axis % x.ndim else 1 for at in range(x.ndim)])
