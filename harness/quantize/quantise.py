"""The step from a graph in single precision and the ranges of its values to one in integers, in Q/DQ format.

ONNX Runtime's quantiser does the work, and calibrates nothing: it reads ranges from a file. It keeps Relu and Clip,
which it would otherwise leave to the range of what they make: a graph whose Q/DQ pairs are taken out would be another
one then. Weights have 8 bits, signed, with a scale a channel, and activations 8 or 16, unsigned.

A tensor whose range is nothing but zero gets the scale 1 and the zero point 0: it is exact as long as it stays zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from harness.onnx_graph.edit import MODEL
from harness.ort_session import session_options
from harness.quantize.expected import expect
from harness.quantize.plan import OPERATORS, Plan, Ranges, in_single, plan
from harness.quantize.quantisable import OPSET, at_bits, is_scaled, opset_of, refuse_vendors
from harness.quantize.ranges import RANGES, read_ranges
from harness.sizes import TensorSpec
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

SEED = 0


@step(revision=1, tools=("onnx", "onnxruntime"))
def quantise(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` in integers, loaded and run: every output is finite, of the declared type and shape.

    Sources are the folder of a quantisable graph and that of its ranges. ``bits`` are those of activations,
    ``left_float`` operators that stay as they are, a blank between them. Raises ``Refused`` where nothing would become
    an integer, where ranges are missing or of another graph, and where the result does not run.
    """
    bits, left_float = int(given.params["bits"]), str(given.params["left_float"]).split()
    single, cache = onnx.load(given.sources[0] / MODEL), given.sources[1] / RANGES
    ranges = read_ranges(cache)
    planned = _checked(single, ranges, left_float)
    model = quantised(single, cache, bits, left_float)
    onnx.save(model, out / MODEL)
    _run(out / MODEL, given)
    expected = expect(single, ranges, bits, left_float)
    count = Counter(node.op_type for node in model.graph.node)
    return {
        "opset": opset_of(model),
        "nodes": len(model.graph.node),
        "quantised": len(planned.values),
        "quantised_weights": len(planned.weights),
        "quantize_linear": count["QuantizeLinear"],
        "dequantize_linear": count["DequantizeLinear"],
        "left_float": _told(single, planned, left_float),
        "adjusted_weights": len(expected.adjusted),
        "only_zero": sum(ranges[name] == (0.0, 0.0) for name in planned.values if name in ranges),
        "single_size": (given.sources[0] / MODEL).stat().st_size,
    }


def quantised(single: onnx.ModelProto, cache: Path, bits: int, left_float: Collection[str]) -> onnx.ModelProto:
    """A graph in Q/DQ format by the ranges of a calibration cache, checked; the same bytes for the same input."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    prepared = at_bits(single, bits)
    # Else the quantiser says on the root logger that the graph was not prepared.
    add_pre_process_metadata(prepared)
    with TemporaryDirectory() as folder:
        target = Path(folder) / MODEL
        try:
            quantize_static(
                prepared,
                target,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[operator for operator in OPERATORS if operator not in left_float],
                per_channel=True,
                activation_type=QuantType.QUInt8 if bits == 8 else QuantType.QUInt16,
                weight_type=QuantType.QInt8,
                calibration_cache_path=cache,
                extra_options={"QDQKeepRemovableActivations": True},
            )
        except (ValueError, AssertionError, KeyError, RuntimeError) as error:
            raise Refused(f"ONNX Runtime does not quantise the graph: {type(error).__name__}: {error}") from error
        model = onnx.load(target)
    onnx.checker.check_model(model, full_check=True)
    return model


def _checked(single: onnx.ModelProto, ranges: Ranges, left_float: Collection[str]) -> Plan:
    """What becomes an integer. Raises ``Refused`` where that, or its ranges, are not what they should be."""
    refuse_vendors(single)
    operators = {node.op_type for node in single.graph.node}
    if opset_of(single) < OPSET:
        raise Refused(f"opset {opset_of(single)}, expected {OPSET} at least, which has a scale a channel")
    # One that this graph has not may be in that of other weights.
    if absent := sorted(name for name in set(left_float) - operators if not onnx.defs.has(name)):
        raise Refused(f"left_float names {absent[0]}, which is no operator; expected of {', '.join(sorted(operators))}")
    if scaled := [node for node in single.graph.node if is_scaled(node)]:
        raise Refused(
            f"Gemm {scaled[0].name} multiplies its bias, which ONNX Runtime's quantiser drops; expected a beta of 1, "
            "as in a quantisable form"
        )
    planned = plan(single, left_float)
    if not planned.values:
        raise Refused(
            f"nothing becomes an integer: the graph has {', '.join(sorted(operators))}, of which left_float is "
            f"{', '.join(left_float) or 'nothing'}; expected one of {', '.join(OPERATORS)}"
        )
    if missing := [name for name, held in planned.values.items() if name == held and name not in ranges]:
        raise Refused(
            f"no range for {missing[0]} and {len(missing) - 1} more of {len(planned.values)}; calibrate this graph"
        )
    values = {name for node in single.graph.node for name in (*node.input, *node.output)}
    if strange := sorted(set(ranges) - values):
        raise Refused(
            f"a range for {strange[0]} and {len(strange) - 1} more, which the graph has not; calibrate this graph"
        )
    if flat := [value.name for value in single.graph.input if ranges.get(value.name) == (0.0, 0.0)]:
        raise Refused(f"the input {flat[0]} was nothing but zero in calibration, expected samples with numbers in them")
    _check_finite(single, planned)
    return planned


def _check_finite(single: onnx.ModelProto, planned: Plan) -> None:
    biases = {bias.name for bias in planned.biases.values()}
    for tensor in single.graph.initializer:
        if tensor.name in {*planned.weights, *planned.constants, *biases}:
            array = numpy_helper.to_array(tensor)
            if bad := int(array.size - np.isfinite(array).sum()):
                raise Refused(f"{bad} of {array.size} numbers of {tensor.name} are NaN or infinite, expected none")


def _told(single: onnx.ModelProto, planned: Plan, left_float: Collection[str]) -> str:
    """The operators that compute in single precision, with how many there are: ``HardSigmoid 18, Softmax 1``.

    Also those between integers that no quantiser has a rule for: they are given numbers, and give numbers.
    """
    numbers = in_single(single)
    left = Counter(
        node.op_type
        for node in single.graph.node
        if numbers.intersection(node.output)
        and (
            node.op_type not in OPERATORS or node.op_type in left_float or planned.values.keys().isdisjoint(node.output)
        )
    )
    return ", ".join(f"{operator} {count}" for operator, count in sorted(left.items()))


def _run(path: Path, given: StepInput) -> None:
    """Raises ``Refused`` where the file cannot be loaded, or its outputs for two seeded items are not as declared.

    With and without optimisation: where integer kernels are put in, the axis of scales is not looked at.
    """
    import onnxruntime

    generator = np.random.default_rng(SEED)
    fed = {spec.name: generator.standard_normal(spec.smallest.shape(2)).astype(spec.dtype) for spec in given.inputs}
    for level in (
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    ):
        options = session_options(1)
        options.graph_optimization_level = level
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            found = session.run([spec.name for spec in given.outputs], fed)
        except Exception as error:
            raise Refused(f"the quantised graph does not run at {level.name}: {error}") from error
        for spec, value in zip(given.outputs, found, strict=True):
            _check(spec, value)


def _check(spec: TensorSpec, value: NDArray[Any]) -> None:
    shape = spec.smallest.shape(2)
    if value.shape != shape or value.dtype.name != spec.dtype:
        raise Refused(f"{spec.name} is {value.dtype.name}{list(value.shape)}, expected {spec.dtype}{list(shape)}")
    if not np.isfinite(value).all():
        raise Refused(f"{spec.name} holds numbers that are NaN or infinite for a seeded input, expected finite ones")
