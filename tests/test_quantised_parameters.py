"""Every scale, zero point and integer of a quantised file is what ranges and weights imply, or it is named."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from harness.quantize.expected import affine, expect
from harness.quantize.parameters import differ
from tests import saboteurs_quantised as saboteurs
from tests.quantised_graphs import MOVED, X, drawn, moved, quantised, ranges_of, scored

GRAPHS = {"scored": (scored, X), "moved": (moved, MOVED)}


class TestWhatIsQuantised:
    @settings(max_examples=15)
    @given(
        st.sampled_from(sorted(GRAPHS)),
        st.integers(0, 2**16),
        st.sampled_from([1e-4, 0.3, 20.0]),
        st.sampled_from([8, 16]),
        st.sets(st.sampled_from(["Add", "Split", "Relu", "Conv", "Softmax", "Gather", "Mul"]), max_size=2),
    )
    def test_it_is_as_implied_whatever_the_numbers(self, name, seed, spread, bits, left_float):
        graph, spec = GRAPHS[name]
        model = graph(seed, spread)
        left_float &= {node.op_type for node in model.graph.node}
        ranges = ranges_of(model, drawn(spec, seed))
        with tempfile.TemporaryDirectory() as folder:
            path, _ = quantised(Path(folder), model, ranges, bits, " ".join(sorted(left_float)))
            assert list(differ(path, Path(folder) / "single" / "model.onnx", ranges, bits, left_float)) == []

    @given(
        st.floats(-1e6, 0, width=32),
        st.floats(0, 1e6, width=32),
        st.sampled_from([8, 16]),
    )
    def test_zero_is_a_step_and_the_ends_of_a_range_are_reached(self, lowest, highest, bits):
        found = affine(lowest, highest, bits)
        zero, scale, steps = float(found.zero), float(found.scale), 2**bits - 1
        assert 0 <= zero <= steps
        if highest - lowest > 1e-30:
            assert scale * (steps - zero) >= highest - scale * 0.51
            assert -scale * zero <= lowest + scale * 0.51

    def test_a_range_of_nothing_but_zero_has_the_scale_1(self):
        assert (affine(0, 0, 8).scale, affine(0, 0, 8).zero) == (1, 0)

    def test_a_bias_that_32_bits_do_not_hold_raises_the_scale_of_its_weight(self, tmp_path):
        model = scored()
        held = next(tensor for tensor in model.graph.initializer if tensor.name == "b0")
        held.CopyFrom(numpy_helper.from_array(np.float32([1e6, *[0.1] * 7]), "b0"))
        small = next(tensor for tensor in model.graph.initializer if tensor.name == "w0")
        small.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(small) * np.float32(1e-5), "w0"))
        ranges = ranges_of(model, drawn(X))
        path, facts = quantised(tmp_path, model, ranges)
        assert facts["adjusted_weights"] == 1
        assert expect(model, ranges, 8, ()).adjusted == ("w0",)
        assert list(differ(path, tmp_path / "single" / "model.onnx", ranges, 8, ())) == []


@pytest.fixture(scope="module", params=[8, 16])
def made(request, tmp_path_factory) -> tuple[Path, onnx.ModelProto, dict[str, tuple[float, float]], int]:
    folder = tmp_path_factory.mktemp("quantised")
    model = scored()
    ranges = ranges_of(model, drawn(X))
    path, _ = quantised(folder, model, ranges, request.param)
    return folder, onnx.load(path), ranges, request.param


def told(made, broken: onnx.ModelProto, tmp_path: Path) -> list[str]:
    folder, _, ranges, bits = made
    onnx.save(broken, tmp_path / "broken.onnx")
    return list(differ(tmp_path / "broken.onnx", folder / "single" / "model.onnx", ranges, bits, ()))


class TestSaboteurs:
    @pytest.mark.parametrize("value", ["x", "c0", "m0", "p1", "f1", "y"])
    @pytest.mark.parametrize(
        ("saboteur", "said"),
        [
            (saboteurs.scale_doubled, [("QuantizeLinear", "scale"), ("DequantizeLinear", "scale")]),
            (saboteurs.scale_doubled_behind, [("DequantizeLinear", "scale")]),
            (saboteurs.zero_point_moved, [("QuantizeLinear", "zero point"), ("DequantizeLinear", "zero point")]),
            (saboteurs.zero_point_moved_behind, [("DequantizeLinear", "zero point")]),
        ],
    )
    def test_of_a_value_are_named_with_found_and_expected(self, made, tmp_path, value, saboteur, said):
        lines = told(made, saboteur(made[1], value), tmp_path)
        assert [line.startswith(f"{value}: {kind} has {what} ") for line, (kind, what) in zip(lines, said, strict=True)]
        assert all(", expected " in line for line in lines)
        assert [kind in line for line, (kind, _) in zip(lines, said, strict=True)] == [True] * len(said)

    @pytest.mark.parametrize(
        ("saboteur", "node", "said"),
        [
            (saboteurs.weight_scale_doubled, "first", "w0: scale "),
            (saboteurs.weight_scale_doubled, "up", "w2: scale "),
            (saboteurs.channel_scales_shifted, "first", "w0: scale "),
            (saboteurs.axis_wrong, "first", "w0: axis 1, expected 0"),
            (saboteurs.axis_wrong, "up", "w2: axis 0, expected 1"),
            (saboteurs.bias_clipped, "first", "b0: integers "),
            (saboteurs.bias_clipped, "scores", "b3: integers "),
        ],
    )
    def test_of_a_layer_are_named_once(self, made, tmp_path, saboteur, node, said):
        (line,) = told(made, saboteur(made[1], node), tmp_path)
        assert line.startswith(said)

    def test_a_relu_that_is_lost_is_named_with_the_ranges_that_hide_it(self, made, tmp_path):
        lines = told(made, saboteurs.relu_lost(made[1], "relu"), tmp_path)
        assert lines[0] == "Relu relu is missing, expected as in single precision"
        assert any(line.startswith("c0: QuantizeLinear has scale ") for line in lines)

    def test_a_value_that_is_not_quantised_is_named(self, made, tmp_path):
        broken = onnx.ModelProto.FromString(made[1].SerializeToString())
        quantize, dequantize = saboteurs.pair(broken, "p1")
        for node in broken.graph.node:
            node.input[:] = ["p1" if name == dequantize.output[0] else name for name in node.input]
        broken.graph.node.remove(quantize)
        broken.graph.node.remove(dequantize)
        assert told(made, broken, tmp_path) == [
            "Mul halved reads p1 in single precision, expected integers",
            "p1 has 0 QuantizeLinear and 0 DequantizeLinear, expected one of each",
        ]

    def test_a_value_that_is_quantised_for_nothing_is_named(self, made, tmp_path):
        folder, model, ranges, bits = made
        onnx.save(model, tmp_path / "all.onnx")
        lines = list(differ(tmp_path / "all.onnx", folder / "single" / "model.onnx", ranges, bits, ["Softmax"]))
        assert lines == ["y is quantised, expected in single precision"]

    def test_an_operator_with_another_attribute_or_operand_is_named(self, made, tmp_path):
        broken = onnx.ModelProto.FromString(made[1].SerializeToString())
        nodes = {node.name: node for node in broken.graph.node}
        next(said for said in nodes["depthwise"].attribute if said.name == "group").i = 4
        nodes["joined"].input[1] = nodes["halved"].input[0]
        assert told(made, broken, tmp_path) == [
            "Conv depthwise is Conv with other attributes than in single precision",
            "Add joined reads p1, expected m0",
        ]

    def test_a_constant_in_single_precision_is_named(self, made, tmp_path):
        broken = onnx.ModelProto.FromString(made[1].SerializeToString())
        held = next(tensor for tensor in broken.graph.initializer if tensor.name == "six")
        held.CopyFrom(numpy_helper.from_array(np.array(3, np.float32), "six"))
        assert told(made, broken, tmp_path) == ["six: constant 3, expected 6"]

    def test_an_operator_that_is_new_is_named(self, made, tmp_path):
        broken = onnx.ModelProto.FromString(made[1].SerializeToString())
        broken.graph.node.append(onnx.helper.make_node("Neg", ["x"], ["unread"], "negative"))
        assert told(made, broken, tmp_path) == ["Neg negative is new, expected no such operator"]

    def test_a_weight_in_single_precision_is_named(self, made, tmp_path):
        broken = onnx.ModelProto.FromString(made[1].SerializeToString())
        first = next(node for node in broken.graph.node if node.name == "first")
        first.input[1] = "w0"
        broken.graph.initializer.append(numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w0"))
        assert told(made, broken, tmp_path) == ["w0 of Conv first is in single precision, expected integers"]

    def test_ranges_of_other_samples_are_named(self, made, tmp_path):
        folder, model, _, bits = made
        onnx.save(model, tmp_path / "all.onnx")
        single = folder / "single" / "model.onnx"
        others = ranges_of(onnx.load(single), drawn(X, seed=1))
        lines = list(differ(tmp_path / "all.onnx", single, others, bits, ()))
        assert {line.partition(":")[0] for line in lines} >= {"x", "c0", "m0", "b0"}
