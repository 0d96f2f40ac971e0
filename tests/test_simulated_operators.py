"""The integer operators are those of ONNX Runtime, bit for bit, whatever the shapes, scales and zero points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from harness.instruction_sets import integers
from harness.ort_session import session_options
from harness.provenance import provenance
from harness.quantize.simulate.integers import OPERATORS, convolved
from harness.questions.simulation import FUSED

Array = NDArray[Any]
CODES = st.sampled_from([np.uint8, np.int8])
"""Convolutions and QGemm are asked of unsigned ones alone: for signed ones beside weights that the option for exact
integers makes unsigned the runtime has no kernel."""
SEEDS = st.integers(0, 2**32 - 1)
OWN = {"QLinearConv": "", "QLinearMatMul": "", "QuantizeLinear": "", "DequantizeLinear": ""}
"""Operators of the standard; the others are the runtime's own."""
HERE = provenance(1)["cpu.integers"]


class Draw:
    """Random codes, scales and zero points of one node."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def codes(self, shape: Sequence[int], dtype: Any) -> Array:
        """Also the ends of the type, often."""
        limits = np.iinfo(dtype)
        drawn = self.random.integers(limits.min, limits.max + 1, shape)
        ends = self.random.choice([limits.min, limits.max], shape)
        return np.where(self.random.random(shape) < 0.3, ends, drawn).astype(dtype)

    def affine(self, dtype: Any, count: int | None = None, zero: int | None = None) -> tuple[Array, Array]:
        """A scale and a zero point, or so many; scales that are powers of two put numbers halfway between steps."""
        shape = () if count is None else (count,)
        scale = np.exp(self.random.uniform(-7, -3, shape))
        if self.random.random() < 0.3:
            scale = np.exp2(np.round(np.log2(scale)))
        zeros = self.codes(shape, dtype) if zero is None else np.full(shape, zero, dtype)
        return np.asarray(scale, np.float32), zeros

    def output(self, dtype: Any, size: float) -> tuple[Array, Array]:
        """Scale and zero point of an output, most of whose numbers stay within the type."""
        return np.asarray(size * self.random.uniform(0.3, 3) / 100, np.float32), self.codes((), dtype)


def runtime(operator: str, arrays: Sequence[Array], fed: Sequence[int], kind: Any, **said: Any) -> Array:
    """What ONNX Runtime answers: inputs at the places ``fed`` are given, the others are in the graph."""
    names = [f"v{place}" for place in range(len(arrays))]
    domain = "com.microsoft" if said.get("channels_last") else OWN.get(operator, "com.microsoft")
    typed = [helper.np_dtype_to_tensor_dtype(array.dtype) for array in arrays]
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], domain=domain, **said)],
        "graph",
        [helper.make_tensor_value_info(names[place], typed[place], arrays[place].shape) for place in fed],
        [helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), None)],
        [
            numpy_helper.from_array(array, name)
            for place, (name, array) in enumerate(zip(names, arrays, strict=True))
            if place not in fed
        ],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    )
    answer: Array = session.run(None, {names[place]: arrays[place] for place in fed})[0]
    return answer


def same(operator: str, arrays: Sequence[Array], fed: Sequence[int], kind: Any, **said: Any) -> None:
    """Fails where the simulation and the runtime differ in one element."""
    spelled = {name: value.encode() if isinstance(value, str) else value for name, value in said.items()}
    answer = OPERATORS[operator].answer
    assert answer is not None
    expected = runtime(operator, arrays, fed, kind, **said)
    found = answer(arrays, spelled)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@given(seed=SEEDS, dtype=st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]), along=st.booleans())
def test_quantize_and_dequantize(seed: int, dtype: Any, along: bool) -> None:
    draw = Draw(seed)
    scale, zero = draw.affine(dtype, 5 if along else None)
    numbers = draw.random.normal(0, 60, (3, 5, 7)).astype(np.float32) * scale.max()
    # Numbers that lie halfway between two steps, as far as single precision has them.
    numbers[0] = (draw.random.integers(-40, 40, (5, 7)) + 0.5).astype(np.float32) * scale.max()
    same("QuantizeLinear", [numbers, scale, zero], [0], dtype, axis=1)
    same("DequantizeLinear", [draw.codes((3, 5, 7), dtype), scale, zero], [0], np.float32, axis=1)


def test_a_bias_is_dequantised_without_a_zero_point() -> None:
    draw = Draw(0)
    same("DequantizeLinear", [draw.codes((9,), np.int32), *draw.affine(np.int32, 9, 0)[:1]], [0], np.float32, axis=0)


def convolution(
    draw: Draw, dtype: Any, groups: tuple[int, int, int], kernel: Sequence[int], along: bool
) -> list[Array]:
    """The inputs of a convolution of two pictures, without a bias."""
    group, into, out = groups
    sizes = [int(size) for size in draw.random.integers(9, 14, len(kernel))]
    weights = draw.codes((group * out, into, *kernel), np.int8)
    within = 60 * 80 * np.sqrt(into * np.prod(kernel))
    sx, zx = draw.affine(dtype)
    sw, zw = draw.affine(np.int8, group * out if along else None, 0)
    sy, zy = draw.output(dtype, float(sx * sw.max() * within))
    return [draw.codes((2, group * into, *sizes), dtype), sx, zx, weights, sw, zw, sy, zy]


GROUPS = st.sampled_from([(1, 3, 4), (1, 17, 5), (4, 1, 1), (3, 1, 2), (2, 5, 3), (9, 1, 1)])
"""Groups, channels into each, and out of each."""
STEPS = st.tuples(st.integers(1, 3), st.integers(1, 2), st.lists(st.integers(0, 3), min_size=4, max_size=4))
"""Stride, dilation, and what is added at each end."""


@given(
    seed=SEEDS,
    groups=GROUPS,
    kernel=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    steps=STEPS,
    along=st.booleans(),
)
def test_convolution(
    seed: int, groups: tuple[int, int, int], kernel: list[int], steps: tuple[int, int, list[int]], along: bool
) -> None:
    """Of one axis or two, with a scale for all channels or each, with a bias or none."""
    draw, axes = Draw(seed), len(kernel)
    arrays = convolution(draw, np.uint8, groups, kernel, along)
    stride, dilation, pads = steps
    if seed % 2:
        arrays.append(draw.random.integers(-20000, 20000, groups[0] * groups[2]).astype(np.int32))
    said = {"group": groups[0], "strides": [stride] * axes, "dilations": [dilation] * axes, "pads": pads[: 2 * axes]}
    same("QLinearConv", arrays, [0], np.uint8, **said)


@given(seed=SEEDS, groups=st.sampled_from([(1, 3, 4), (4, 1, 1), (2, 5, 3)]), stride=st.integers(1, 2))
def test_convolution_with_channels_last(seed: int, groups: tuple[int, int, int], stride: int) -> None:
    """As the runtime lays out a graph for its own kernels."""
    draw = Draw(seed)
    arrays = convolution(draw, np.uint8, groups, (3, 3), along=True)
    arrays[0] = np.ascontiguousarray(np.moveaxis(arrays[0], 1, -1))
    same("QLinearConv", arrays, [0], np.uint8, group=groups[0], strides=[stride] * 2, pads=[1] * 4, channels_last=1)


@given(seed=SEEDS, kind=st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]), stride=st.integers(1, 3))
def test_convolution_that_pads_itself(seed: int, kind: str, stride: int) -> None:
    arrays = convolution(Draw(seed), np.uint8, (1, 3, 4), (3, 2), along=False)
    same("QLinearConv", arrays, [0], np.uint8, auto_pad=kind, strides=[stride] * 2)


def test_sums_are_exact_where_single_precision_is_not() -> None:
    """Codes at the ends of their types, over so many places that a sum needs more than 24 bits."""
    x, w = np.full((1, 300, 4, 4), 255), np.full((2, 300, 3, 3), -128)
    w[0, 0, 0, 0] = -127
    exact = -255 * 128 * 2700
    assert convolved(x, w, {}).tolist() == [[[[exact + 255] * 2] * 2, [[exact] * 2] * 2]]
    assert exact + 255 != int(np.float32(exact + 255))


@given(
    seed=SEEDS, dtype=CODES, sizes=st.tuples(*[st.integers(1, 40)] * 3), along=st.booleans(), batch=st.integers(0, 3)
)
def test_product_of_matrices(seed: int, dtype: Any, sizes: tuple[int, int, int], along: bool, batch: int) -> None:
    """Of two tensors, and of a tensor and weights with a scale a column."""
    draw = Draw(seed)
    rows, inner, columns = sizes
    lead = (batch,) if batch else ()
    sa, za = draw.affine(dtype)
    sb, zb = draw.affine(np.int8, columns, 0) if along else draw.affine(dtype)
    b = draw.codes((inner, columns), np.int8) if along else draw.codes((*lead, inner, columns), dtype)
    sy, zy = draw.output(dtype, float(sa * sb.max() * 60 * 80 * np.sqrt(inner)))
    arrays = [draw.codes((*lead, rows, inner), dtype), sa, za, b, sb, zb, sy, zy]
    same("QLinearMatMul", arrays, [0] if along else [0, 3], dtype)


@given(seed=SEEDS, turned=st.tuples(st.booleans(), st.booleans()), along=st.booleans(), whole=st.booleans())
def test_gemm(seed: int, turned: tuple[bool, bool], along: bool, whole: bool) -> None:
    """With a bias; in integers and, without a scale of the output, in single precision."""
    draw = Draw(seed)
    rows, inner, columns = (int(size) for size in draw.random.integers(1, 30, 3))
    a, b = draw.codes((rows, inner), np.uint8), draw.codes((inner, columns), np.int8)
    sa, za = draw.affine(np.uint8)
    sb, zb = draw.affine(np.int8, columns if along else None, 0)
    bias = draw.random.integers(-20000, 20000, columns).astype(np.int32)
    output = draw.output(np.uint8, float(sa * sb.max() * 60 * 80 * np.sqrt(inner))) if whole else ()
    arrays = [a.T if turned[0] else a, sa, za, b.T if turned[1] else b, sb, zb, bias, *output]
    said = {"transA": int(turned[0]), "transB": int(turned[1]), "alpha": float(draw.random.choice([1.0, 0.7]))}
    same("QGemm", [np.ascontiguousarray(array) for array in arrays], [0], np.uint8 if whole else np.float32, **said)


def known_here(operator: str) -> None:
    """Skips where the processor runs an operator otherwise than it is simulated."""
    if HERE not in FUSED[operator]:
        pytest.skip(f"{operator} is simulated as processors with {', '.join(FUSED[operator])} run it; here is {HERE}")


BROADCASTS = st.sampled_from(
    [
        ((6, 10, 300), (6, 10, 300)),
        ((6, 10, 300), (10, 1)),
        ((10, 1), (6, 10, 300)),
        ((6, 10, 300), (300,)),
        ((300,), (6, 10, 300)),
        ((6, 10, 300), (1,)),
        ((1,), (6, 10, 300)),
        ((2, 7, 1, 1), (2, 7, 5, 9)),
        ((1, 1), (1, 1)),
        ((5, 1), (1, 6)),
    ]
)
"""Most are large: an order of roundings shows in a few of a million numbers."""


@example(seed=150, dtype=np.uint8, shapes=((6, 10, 300),) * 2, halves=False)  # where products rounded alone differ
@example(seed=1830, dtype=np.uint8, shapes=((10, 1), (6, 10, 300)), halves=False)  # where sides in turn do
@given(seed=SEEDS, dtype=CODES, shapes=BROADCASTS, halves=st.booleans())
def test_sum(seed: int, dtype: Any, shapes: tuple[tuple[int, ...], ...], halves: bool) -> None:
    known_here("QLinearAdd")
    draw = Draw(seed)
    (a, b), left, right = (draw.codes(shape, dtype) for shape in shapes), draw.affine(dtype), draw.affine(dtype)
    scale, zero = draw.output(dtype, float(100 * (left[0] + right[0])))
    if halves:
        # Half of the answers lie in the middle of two steps.
        left, right = (scale / 2, left[1]), (scale / 2, right[1])
    same("QLinearAdd", [a, *map(np.asarray, (*left, b, *right)), scale, zero], [0, 3], dtype)


@given(seed=SEEDS, dtype=CODES, shapes=BROADCASTS, halves=st.booleans())
def test_product(seed: int, dtype: Any, shapes: tuple[tuple[int, ...], ...], halves: bool) -> None:
    draw = Draw(seed)
    (a, b), left, right = (draw.codes(shape, dtype) for shape in shapes), draw.affine(dtype), draw.affine(dtype)
    scale, zero = draw.output(dtype, float(5000 * left[0] * right[0]))
    if halves:
        left, right = (scale * 16, left[1]), (np.float32(1 / 32), right[1])
    same("QLinearMul", [a, *map(np.asarray, (*left, b, *right)), scale, zero], [0, 3], dtype)


@given(seed=SEEDS, dtype=CODES, last=st.booleans(), sizes=st.tuples(*[st.integers(1, 13)] * 2))
def test_global_average(seed: int, dtype: Any, last: bool, sizes: tuple[int, int]) -> None:
    draw = Draw(seed)
    scale, zero = draw.affine(dtype)
    x = draw.codes((2, *sizes, 5) if last else (2, 5, *sizes), dtype)
    arrays = [x, scale, zero, *draw.output(dtype, float(60 * scale))]
    same("QLinearGlobalAveragePool", arrays, [0], dtype, channels_last=int(last))


@example(seed=9083, dtype=np.uint8)  # where the exact function is one step off
@given(seed=SEEDS, dtype=CODES)
def test_sigmoid_of_every_code(seed: int, dtype: Any) -> None:
    known_here("QLinearSigmoid")
    draw = Draw(seed)
    limits = np.iinfo(dtype)
    output = np.asarray(1 / 256, np.float32), np.asarray(limits.min, dtype)
    x = np.arange(limits.min, limits.max + 1).astype(dtype)
    same("QLinearSigmoid", [x, *draw.affine(dtype), *output], [0], dtype)


@given(seed=SEEDS, dtype=CODES, alike=st.booleans())
def test_concatenation(seed: int, dtype: Any, alike: bool) -> None:
    draw = Draw(seed)
    first = draw.affine(dtype)
    second = first if alike else draw.affine(dtype)
    parts = [draw.codes((2, 3, 4), dtype), *first, draw.codes((2, 5, 4), dtype), *second]
    output = first if alike else draw.output(dtype, float(100 * max(first[0], second[0])))
    same("QLinearConcat", [*output, *parts], [2, 5], dtype, axis=1)


@pytest.mark.parametrize("flags", [["asimd", "asimddp"], ["sse4_2"], []])
def test_a_sum_is_not_simulated_where_the_kernels_are_others(flags: list[str]) -> None:
    assert integers(flags) not in FUSED["QLinearAdd"]
