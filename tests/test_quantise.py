"""A graph and its ranges become a file in integers that runs, or it is said why not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from harness.onnx_graph.edit import MODEL
from harness.ort_session import session_options
from harness.quantize.quantise import quantise
from harness.quantize.ranges import RANGES
from harness.sizes import BATCH, TensorSpec
from harness.step import StepInput
from harness.verdict import Refused
from tests.quantised_graphs import X, Y, drawn, model_of, node, quantised, ranges_of, scored, written

RANGED = ranges_of(scored(), drawn(X))


def run(model: Path | onnx.ModelProto, fed: NDArray[np.float32]) -> NDArray[np.float32]:
    given = model if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(given, session_options(1), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": fed})
    return found


def refused(
    folder: Path, model: onnx.ModelProto, ranges: dict[str, tuple[float, float]] = RANGED, left: str = ""
) -> str:
    with pytest.raises(Refused) as raised:
        quantised(folder, model, ranges, left_float=left)
    return str(raised.value)


class TestFile:
    @pytest.mark.parametrize(("bits", "opset", "near"), [(8, 13, 0.05), (16, 21, 0.02)])
    def test_it_is_near_single_precision_and_not_the_same(self, tmp_path, bits, opset, near):
        path, facts = quantised(tmp_path, scored(), RANGED, bits)
        fed = drawn(X)
        distance = np.abs(run(path, fed) - run(scored(), fed)).max()
        assert 0 < distance < near
        assert facts["opset"] == opset
        assert {tensor.data_type for tensor in onnx.load(path).graph.initializer} >= {
            onnx.TensorProto.INT8,
            onnx.TensorProto.INT32,
            onnx.TensorProto.UINT8 if bits == 8 else onnx.TensorProto.UINT16,
        }

    @pytest.mark.parametrize("bits", [8, 16])
    def test_facts_are_counts_of_the_file(self, tmp_path, bits):
        path, facts = quantised(tmp_path, scored(), RANGED, bits, "Softmax")
        count = Counter(each.op_type for each in onnx.load(path).graph.node)
        assert facts["quantize_linear"] == facts["quantised"] == count["QuantizeLinear"] == 14
        # A weight and a bias of four layers, and a factor.
        assert facts["dequantize_linear"] == count["DequantizeLinear"] == 14 + 2 * 4 + 1
        assert facts["quantised_weights"] == 4
        assert facts["left_float"] == "HardSigmoid 1, Softmax 1"
        assert facts["nodes"] == count.total()
        assert facts["single_size"] == (tmp_path / "single" / MODEL).stat().st_size
        assert (facts["adjusted_weights"], facts["only_zero"]) == (0, 0)

    def test_clamps_are_kept(self, tmp_path):
        path, _ = quantised(tmp_path, scored(), RANGED)
        assert {"relu", "clip"} <= {each.name for each in onnx.load(path).graph.node}

    @pytest.mark.parametrize("bits", [8, 16])
    def test_it_is_the_same_bytes_again(self, tmp_path, bits):
        first = quantised(tmp_path / "first", scored(), RANGED, bits)[0].read_bytes()
        assert quantised(tmp_path / "second", scored(), RANGED, bits)[0].read_bytes() == first

    def test_it_takes_any_batch(self, tmp_path):
        path, _ = quantised(tmp_path, scored(), RANGED)
        fed = drawn(X, count=5)
        assert np.array_equal(run(path, fed)[3:4], run(path, fed[3:4]))

    def test_other_ranges_make_another_file(self, tmp_path):
        wider = {name: (2 * low, 2 * high) for name, (low, high) in RANGED.items()}
        assert (
            quantised(tmp_path / "a", scored(), wider)[0].read_bytes()
            != quantised(tmp_path / "b", scored(), RANGED)[0].read_bytes()
        )

    def test_the_quantiser_says_nothing_on_the_log(self, tmp_path, caplog):
        quantised(tmp_path, scored(), RANGED, 16)
        assert caplog.records == []

    def test_a_weight_whose_scale_is_raised_for_its_bias_is_counted(self, tmp_path):
        model = scored()
        arrays = {tensor.name: tensor for tensor in model.graph.initializer}
        arrays["b3"].CopyFrom(numpy_helper.from_array(np.float32([1e6, 0.1, 0.1]), "b3"))
        small = numpy_helper.to_array(arrays["w3"]) * np.float32(1e-5)
        arrays["w3"].CopyFrom(numpy_helper.from_array(small, "w3"))
        facts = quantised(tmp_path, model, ranges_of(model, drawn(X)))[1]
        assert facts["adjusted_weights"] == 1

    def test_a_gemm_that_multiplies_its_bias_is_refused(self, tmp_path):
        """ONNX Runtime's quantiser drops the factor: the graph would compute something else."""
        model = scored()
        gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
        gemm.attribute.append(onnx.helper.make_attribute("beta", 0.5))
        assert refused(tmp_path, model).startswith("Gemm scores multiplies its bias, which ONNX Runtime's quantiser")

    def test_a_value_that_was_nothing_but_zero_is_counted_and_stays_zero(self, tmp_path):
        model = scored()
        gate = next(each for each in model.graph.node if each.name == "gate")
        gate.attribute.extend([onnx.helper.make_attribute("alpha", 0.0), onnx.helper.make_attribute("beta", 0.0)])
        ranges = ranges_of(model, drawn(X))
        assert ranges["h1"] == (0, 0)
        path, facts = quantised(tmp_path, model, ranges)
        assert facts["only_zero"] == 3
        assert np.abs(run(path, drawn(X)) - run(model, drawn(X))).max() < 0.05


class TestRefused:
    def test_a_graph_that_nothing_of_can_be_quantised(self, tmp_path):
        spec = TensorSpec(name="x", axes=(BATCH, 3), dtype="float32")
        model = model_of([node("Tanh", ["x"], ["t"], "t"), node("Exp", ["t"], ["y"], "e")], {}, spec, Y)
        said = refused(tmp_path, model, {"x": (-1, 1), "t": (-1, 1), "y": (0, 3)})
        assert said.startswith("nothing becomes an integer: the graph has Exp, Tanh, of which left_float is nothing")

    def test_a_graph_that_is_left_float_as_a_whole(self, tmp_path):
        everything = sorted({each.op_type for each in scored().graph.node})
        assert "nothing becomes an integer" in refused(tmp_path, scored(), left=" ".join(everything))

    def test_an_operator_left_float_that_is_not_there(self, tmp_path):
        assert refused(tmp_path, scored(), left="Resise").startswith("left_float names Resise, which is no operator")

    def test_an_opset_without_a_scale_a_channel(self, tmp_path):
        model = model_of(
            [node("Conv", ["x", "w"], ["y"], "c")], {"w": np.ones((3, 3, 1, 1), np.float32)}, X, X, opset=11
        )
        assert refused(tmp_path, model).startswith("opset 11, expected 13 at least")

    def test_the_vendors_own_operators(self, tmp_path):
        model = scored()
        model.graph.node[0].op_type = "PyOp"
        assert "1 nodes of type PyOp, expected operators of ONNX" in refused(tmp_path, model)

    @pytest.mark.parametrize("name", ["x", "a1", "y"])
    def test_a_range_that_is_missing(self, tmp_path, name):
        ranges = {each: held for each, held in RANGED.items() if each != name}
        assert refused(tmp_path, scored(), ranges).startswith(f"no range for {name} and 0 more of 15")

    def test_ranges_of_another_graph(self, tmp_path):
        assert refused(tmp_path, scored(), RANGED | {"z": (0, 1)}).startswith("a range for z and 0 more, which")

    def test_samples_of_nothing_but_zero(self, tmp_path):
        assert refused(tmp_path, scored(), RANGED | {"x": (0, 0)}).startswith("the input x was nothing but zero")

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_a_range_that_is_not_finite(self, tmp_path, number):
        sources = written(tmp_path, scored(), RANGED)
        path = sources[1] / RANGES
        low, high = RANGED["c0"]
        text = path.read_text()
        for end in (low, high):
            text = text.replace(repr(float(np.float32(end))), number, 1)
        path.write_text(text)
        given = StepInput(sources=sources, params={"bits": 8, "left_float": ""}, inputs=(X,), outputs=(Y,))
        with pytest.raises(Refused, match="expected finite"):
            quantise.build(given, tmp_path)

    def test_weights_that_are_not_finite(self, tmp_path):
        model = scored()
        held = next(tensor for tensor in model.graph.initializer if tensor.name == "w0")
        spoilt = numpy_helper.to_array(held).copy()
        spoilt[3, 1, 1, 1] = np.inf
        held.CopyFrom(numpy_helper.from_array(spoilt, "w0"))
        assert refused(tmp_path, model).startswith("1 of 216 numbers of w0 are NaN or infinite")

    def test_an_output_that_is_not_as_declared(self, tmp_path):
        sources = written(tmp_path, scored(), RANGED)
        other = TensorSpec(name="y", axes=(BATCH, 4), dtype="float32")
        given = StepInput(sources=sources, params={"bits": 8, "left_float": ""}, inputs=(X,), outputs=(other,))
        with pytest.raises(Refused, match=r"y is float32\[2, 3\], expected float32\[2, 4\]"):
            quantise.build(given, tmp_path)

    def test_an_output_that_is_not_finite(self, tmp_path):
        model = scored()
        last = model.graph.node[-1]
        last.output[0] = "s"
        model.graph.node.append(node("Div", ["s", "nothing"], ["y"], "divided"))
        model.graph.initializer.append(numpy_helper.from_array(np.float32([0]), "nothing"))
        said = refused(tmp_path, model, {**RANGED, "s": (0, 1)})
        assert said == "y holds numbers that are NaN or infinite for a seeded input, expected finite ones"

    def test_a_graph_that_does_not_run(self, tmp_path):
        sources = written(tmp_path, scored(), RANGED)
        other = TensorSpec(name="x", axes=(BATCH, 5, 8, 8), dtype="float32")
        given = StepInput(sources=sources, params={"bits": 8, "left_float": ""}, inputs=(other,), outputs=(Y,))
        with pytest.raises(Refused, match="does not run at ORT_ENABLE_ALL"):
            quantise.build(given, tmp_path)
