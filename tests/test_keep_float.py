"""Tensors are left float by rewiring around their Q/DQ pair, and a graph in which that is not possible is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from harness.onnx_graph.activations import session_giving
from harness.quantize.keep_float import check_float, pairs, session_of, without
from harness.verdict import Refused
from tests.quantised_graphs import MOVED, drawn, moved, quantised, ranges_of, scored

Made = tuple[onnx.ModelProto, onnx.ModelProto]


def in_integers(folder: Path, single: onnx.ModelProto) -> onnx.ModelProto:
    path, _ = quantised(folder, single, ranges_of(single, fed(single)))
    return onnx.load(path)


def fed(single: onnx.ModelProto) -> NDArray[np.float32]:
    return drawn(MOVED) if len(single.graph.input[0].type.tensor_type.shape.dim) == 3 else drawn_pictures()


def drawn_pictures() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module", params=[scored, moved], ids=["scored", "moved"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A graph in integers, and the one in single precision that it is made of."""
    single = request.param()
    return in_integers(tmp_path_factory.mktemp("made"), single), single


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Made:
    single = scored()
    return in_integers(tmp_path_factory.mktemp("both"), single), single


def answers(model: onnx.ModelProto, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The output as the graph defines it."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    (found,) = session_giving(copy, [], 1, as_written=True).run(["y"], {"x": values})
    return found


def node_of(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if output in node.output)


class TestPairs:
    def test_they_are_of_activations_and_an_output_has_its_own_name(self, both: Made) -> None:
        found = pairs(both[0])
        assert {"x", "c0", "r0", "m0", "p1", "l1", "y"} <= found.keys()
        assert not {"w0", "b0", "w3", "half"} & found.keys()
        assert [pair.source for pair in found["y"]] == ["y_QuantizeLinear_Input"]
        count = sum(node.op_type == "QuantizeLinear" for node in both[0].graph.node)
        assert count == sum(map(len, found.values()))

    def test_a_graph_in_single_precision_has_none(self, both: Made) -> None:
        assert pairs(both[1]) == {}

    def test_integers_that_an_operator_reads_are_named(self, both: Made) -> None:
        """As in QOperator format, or behind an optimisation."""
        model = onnx.ModelProto.FromString(both[0].SerializeToString())
        node_of(model, "m0").input[0] = "r0_QuantizeLinear_Output"
        with pytest.raises(Refused, match="r0: its integers r0_QuantizeLinear_Output are read by MaxPool"):
            pairs(model)

    def test_integers_that_the_graph_gives_are_named(self, both: Made) -> None:
        model = onnx.ModelProto.FromString(both[0].SerializeToString())
        model.graph.output.append(helper.make_tensor_value_info("r0_QuantizeLinear_Output", 2, None))
        with pytest.raises(Refused, match=r"r0: .* are read by the graph's output"):
            pairs(model)

    def test_a_quantise_that_nothing_reads_is_named(self, both: Made) -> None:
        model = onnx.ModelProto.FromString(both[0].SerializeToString())
        model.graph.node.remove(node_of(model, "r0_DequantizeLinear_Output"))
        with pytest.raises(Refused, match=r"r0: .* are read by nothing"):
            pairs(model)

    def test_a_dequantise_of_what_nothing_quantises_is_named(self, both: Made) -> None:
        model = onnx.ModelProto.FromString(both[0].SerializeToString())
        model.graph.node.remove(node_of(model, "r0_QuantizeLinear_Output"))
        with pytest.raises(Refused, match="reads r0_QuantizeLinear_Output, which no QuantizeLinear makes"):
            pairs(model)


class TestWithout:
    def test_of_no_tensor_it_is_the_graph_itself(self, made: Made) -> None:
        model, single = made
        kept = without(model, [])
        assert [node.SerializeToString() for node in kept.graph.node] == [
            node.SerializeToString() for node in model.graph.node
        ]
        assert np.array_equal(answers(kept, fed(single)), answers(model, fed(single)))

    def test_of_all_tensors_with_float_constants_it_is_single_precision_bit_for_bit(self, made: Made) -> None:
        model, single = made
        kept = without(model, pairs(model))
        expected = answers(single, fed(single))
        assert not np.array_equal(answers(kept, fed(single)), expected)
        held = {tensor.name: tensor for tensor in single.graph.initializer}
        nodes = {node.output[0]: node for node in single.graph.node}
        for node in list(kept.graph.node):
            if node.op_type == "DequantizeLinear":
                kept.graph.node.remove(node)
        for node in kept.graph.node:
            node.input[:] = nodes[node.output[0]].input
        del kept.graph.initializer[:]
        kept.graph.initializer.extend(held.values())
        assert np.array_equal(answers(kept, fed(single)), expected)

    def test_one_tensor_in_integers_is_what_it_would_be_fed_so(self, both: Made) -> None:
        """The input alone: the same as rounding it to its step before it is fed to the rest in single precision."""
        model, single = both
        alone = without(model, [name for name in pairs(model) if name != "x"])
        quantise = next(node for node in model.graph.node if node.input[0] == "x")
        held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        step, zero = held[quantise.input[1]], np.float32(held[quantise.input[2]])
        rounded = (np.clip(np.rint(fed(single) / step) + zero, 0, 255) - zero) * step
        assert not np.array_equal(rounded, fed(single))
        rest = without(model, pairs(model))
        assert np.array_equal(answers(alone, fed(single)), answers(rest, rounded.astype(np.float32)))

    def test_an_output_keeps_its_name(self, both: Made) -> None:
        kept = without(both[0], ["y"])
        assert node_of(kept, "y").op_type == "Softmax"
        assert "y" not in pairs(kept)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
    @given(data=st.data())
    def test_of_any_tensors_exactly_these_have_no_pair_any_more(self, both: Made, data: st.DataObject) -> None:
        model = both[0]
        names = list(pairs(model))
        first, then = (data.draw(st.sets(st.sampled_from(names))) for _ in range(2))
        kept = without(model, first | then)
        assert list(pairs(kept)) == [name for name in names if name not in first | then]
        assert without(without(model, first), then - first) == kept
        constants = {tensor.name for tensor in kept.graph.initializer}
        assert constants <= {name for node in kept.graph.node for name in node.input}

    def test_the_graph_that_it_is_given_stays_as_it_was(self, both: Made) -> None:
        before = both[0].SerializeToString()
        without(both[0], ["r0", "y"])
        assert both[0].SerializeToString() == before

    def test_a_tensor_without_a_pair_is_refused_with_the_nearest_one(self, both: Made) -> None:
        with pytest.raises(Refused, match=r"'r00' has no Q/DQ pair \(did you mean 'r0'\?\); \d+ tensors have one"):
            without(both[0], ["r00"])

    def test_a_graph_that_was_none_before_is_refused(self, both: Made) -> None:
        model = onnx.ModelProto.FromString(both[0].SerializeToString())
        node_of(model, "h1").input[0] = "nowhere"
        with pytest.raises(Refused, match=r"1 Q/DQ pairs taken out.*nowhere"):
            without(model, ["r0"])


class TestFloat:
    def test_a_graph_that_kept_every_node_is_single_precision_but_for_constants(self, made: Made) -> None:
        check_float(*made)

    def test_a_relu_that_the_quantiser_left_to_a_range_is_named(self, both: Made, tmp_path: Path) -> None:
        """Such a graph answers well as it is, and is another network where its tensors are float."""
        lost = self.dropping_relu(both[1], tmp_path)
        assert "Relu" not in {node.op_type for node in lost.graph.node}
        with pytest.raises(Refused, match=r"has 0 Relu for 1 of single.*QDQKeepRemovableActivations"):
            check_float(lost, both[1])

    def dropping_relu(self, single: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
        from onnxruntime.quantization.quant_utils import add_pre_process_metadata

        class Once(CalibrationDataReader):
            def __init__(self) -> None:
                self.left = [{"x": fed(single)}]

            def get_next(self) -> dict[str, NDArray[np.float32]] | None:
                return self.left.pop() if self.left else None

        prepared = onnx.ModelProto.FromString(single.SerializeToString())
        add_pre_process_metadata(prepared)
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(prepared, folder / "lost.onnx", Once(), per_channel=True, **types)
        return onnx.load(folder / "lost.onnx")

    @pytest.mark.parametrize(
        ("spoil", "named"),
        [
            (lambda node: node.input.reverse(), "a1 is made by Add of m0, p2,"),
            (lambda node: node.output.__setitem__(0, "other"), "a1 is made by nothing,"),
        ],
    )
    def test_a_node_on_other_values_is_named(
        self, both: Made, spoil: Callable[[onnx.NodeProto], None], named: str
    ) -> None:
        model, single = (onnx.ModelProto.FromString(each.SerializeToString()) for each in both)
        spoil(node_of(model, "a1"))
        node_of(model, "a1_QuantizeLinear_Output").input[0] = next(
            node.output[0] for node in model.graph.node if node.name == "joined"
        )
        with pytest.raises(Refused, match=f"{named} in single precision by Add of p2, m0"):
            check_float(model, single)

    def test_a_node_with_another_attribute_is_named(self, both: Made) -> None:
        model = onnx.ModelProto.FromString(both[0].SerializeToString())
        node_of(model, "h1").attribute.append(helper.make_attribute("alpha", 0.5))
        with pytest.raises(Refused, match=r"h1 is made by HardSigmoid of c1, .* or with other attributes"):
            check_float(model, both[1])

    def test_a_node_that_single_precision_has_not_is_named(self, both: Made) -> None:
        model = onnx.ModelProto.FromString(both[0].SerializeToString())
        model.graph.node.append(helper.make_node("Neg", ["y"], ["z"]))
        model.graph.output.append(helper.make_tensor_value_info("z", 1, ["batch", 3]))
        with pytest.raises(Refused, match="has 1 Neg for 0 of single precision"):
            check_float(model, both[1])


class TestSession:
    def test_a_dense_layer_on_float_activations_computes_in_single_precision(self, both: Made) -> None:
        """By default some processors quantise them again."""
        model, single = both
        kept = without(model, pairs(model))
        expected = answers(kept, fed(single))
        (found,) = session_of(kept, 1).run(["y"], {"x": fed(single)})
        assert np.abs(found - expected).max() < 1e-6

    def test_a_graph_that_does_not_load_is_refused(self, both: Made) -> None:
        model = onnx.ModelProto.FromString(both[0].SerializeToString())
        node_of(model, "m0").op_type = "NoSuchOperator"
        with pytest.raises(Refused, match=r"does not load the graph that tensors were left float in.*NoSuchOperator"):
            session_of(model, 1)
