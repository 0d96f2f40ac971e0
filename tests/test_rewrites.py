"""The rewrites of recurrent heads keep the numbers, and leave alone or refuse what they cannot keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from harness.agree import NOISE_FACTOR
from harness.networks.load import load_network
from harness.onnx_graph.edit import Graph, attribute
from harness.onnx_graph.recurrent import gemm_to_matmul, split_lstm
from harness.step import Step, StepInput
from harness.verdict import Refused

BATCHES = (1, 3, 16)
REWRITES = {"split_lstm": split_lstm, "matmul": gemm_to_matmul}


def pictures(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).uniform(-1, 1, (batch, 1, 32, 100)).astype(np.float32)


def run(graph: onnx.ModelProto | Path, fed: np.ndarray) -> np.ndarray:
    """The outputs in ONNX Runtime on one thread, joined."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    content = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: fed})[0]


@pytest.fixture
def exported(small_forms) -> onnx.ModelProto:
    """The exported graph of a narrow CRNN, for the test to change."""
    return onnx.load(small_forms["onnx"] / "model.onnx")


@pytest.fixture
def rewrite(tmp_path):
    """Applies a step to a graph and returns the rewritten one."""

    def apply(step: Step, graph: onnx.ModelProto) -> onnx.ModelProto:
        source, out = tmp_path / "source", tmp_path / "out"
        source.mkdir()
        out.mkdir()
        onnx.save(graph, source / "model.onnx")
        step.build(StepInput(sources=(source,)), out)
        return onnx.load(out / "model.onnx")

    return apply


def nodes(graph: onnx.ModelProto, operator: str) -> list[onnx.NodeProto]:
    return [node for node in graph.graph.node if node.op_type == operator]


def count(graph: onnx.ModelProto, operator: str) -> int:
    return len(nodes(graph, operator))


def add_constant(graph: onnx.ModelProto, name: str, array: np.ndarray) -> str:
    graph.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def rows_of(graph: onnx.ModelProto, index: int) -> onnx.NodeProto:
    """The Concat that makes the shape that the result of a Gemm goes back to."""
    linked = Graph(graph)
    after = linked.consumers(nodes(graph, "Gemm")[index].output[0])[0]
    return linked.producer(after.input[1])


class TestNumbers:
    @pytest.mark.parametrize("batch", BATCHES)
    def test_split_directions_give_the_same_bits_at_any_batch(self, small_forms, batch):
        before, after = (run(small_forms[name] / "model.onnx", pictures(batch)) for name in ("onnx", "split_lstm"))
        assert before.shape == (26, batch, 37)
        assert np.array_equal(before, after)

    @pytest.mark.parametrize("batch", BATCHES)
    def test_matmul_for_gemm_stays_within_float_noise_at_any_batch(self, small_forms, batch):
        import torch

        before, after = (run(small_forms[name] / "model.onnx", pictures(batch)) for name in ("split_lstm", "matmul"))
        network = load_network(small_forms["network"])
        with torch.inference_mode():
            single = network(torch.from_numpy(pictures(batch))).numpy()
            double = network.double()(torch.from_numpy(pictures(batch)).double()).numpy()
        assert np.abs(before - after).max() <= NOISE_FACTOR * np.abs(single - double).max()

    def test_the_outputs_that_are_compared_differ_from_item_to_item(self, small_forms):
        found = run(small_forms["onnx"] / "model.onnx", pictures(7))
        assert np.abs(found - np.roll(found, 1, axis=1)).max(axis=(0, 2)).min() > 1

    @pytest.mark.parametrize("form", ["onnx", "split_lstm", "matmul"])
    def test_a_narrow_network_has_the_declared_operators_of_the_full_one(self, small_forms, crnn, form):
        graph = onnx.load(small_forms[form] / "model.onnx")
        declared = crnn.form(form)
        assert len(graph.graph.node) == declared.nodes
        assert {operator: count(graph, operator) for operator in declared.operators} == declared.operators

    @pytest.mark.parametrize("form", ["split_lstm", "matmul"])
    def test_a_rewritten_graph_keeps_opset_and_interface_and_holds_nothing_unused(self, small_forms, exported, form):
        graph = onnx.load(small_forms[form] / "model.onnx")
        assert graph.opset_import == exported.opset_import
        assert (graph.graph.input, graph.graph.output) == (exported.graph.input, exported.graph.output)
        used = {name for node in graph.graph.node for name in node.input}
        assert {tensor.name for tensor in graph.graph.initializer} <= used

    @pytest.mark.parametrize("form", ["split_lstm", "matmul"])
    def test_a_graph_whose_nodes_have_no_names_is_rewritten_as_well(self, exported, rewrite, form):
        expected = run(exported, pictures(2))
        for node in exported.graph.node:
            node.name = ""
        assert np.abs(run(rewrite(REWRITES[form], exported), pictures(2)) - expected).max() < 1e-3


class TestSplitting:
    @pytest.mark.parametrize("form", ["split_lstm", "matmul"])
    def test_a_graph_without_a_bidirectional_lstm_is_refused(self, small_forms, rewrite, form):
        with pytest.raises(Refused, match="no bidirectional LSTM in the graph: nothing to split"):
            rewrite(split_lstm, onnx.load(small_forms[form] / "model.onnx"))

    @pytest.mark.parametrize("state", [5, 6], ids=["hidden", "cell"])
    def test_an_initial_state_that_is_not_zero_is_refused(self, exported, rewrite, state):
        lstm = nodes(exported, "LSTM")[0]
        hidden = attribute(lstm, "hidden_size")
        start = np.zeros((2, 1, hidden), np.float32)
        start[1, 0, 3] = 1e-3
        lstm.input[state] = add_constant(exported, "start", start)
        with pytest.raises(Refused, match="start is not a zero initial state"):
            rewrite(split_lstm, exported)

    def test_an_initial_state_filled_with_another_number_is_refused(self, exported, rewrite):
        fill = next(node for node in nodes(exported, "ConstantOfShape") if node.output[0].endswith("_output_0"))
        del fill.attribute[:]
        fill.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.array([0.5], np.float32))))
        with pytest.raises(Refused, match="not a zero initial state"):
            rewrite(split_lstm, exported)

    def test_an_initial_state_that_is_computed_is_refused(self, exported, rewrite):
        lstm = nodes(exported, "LSTM")[0]
        zero = lstm.input[5]
        place = next(index for index, node in enumerate(exported.graph.node) if node == lstm)
        exported.graph.node.insert(place, helper.make_node("Cos", [zero], ["start"], name="cos"))
        lstm.input[5] = "start"
        with pytest.raises(Refused, match="start is not a zero initial state"):
            rewrite(split_lstm, exported)

    def test_a_zero_initial_state_may_be_a_constant(self, exported, rewrite):
        lstm = nodes(exported, "LSTM")[0]
        expected = run(exported, pictures(1))
        start = add_constant(exported, "start", np.zeros((2, 1, attribute(lstm, "hidden_size")), np.float32))
        lstm.input[5] = lstm.input[6] = start
        assert np.array_equal(run(rewrite(split_lstm, exported), pictures(1)), expected)

    @pytest.mark.parametrize("state", [1, 2], ids=["hidden", "cell"])
    def test_a_last_state_that_a_node_uses_is_refused(self, exported, rewrite, state):
        lstm = nodes(exported, "LSTM")[1]
        exported.graph.node.append(helper.make_node("Identity", [lstm.output[state]], ["last"], name="last"))
        exported.graph.output.append(helper.make_tensor_value_info("last", onnx.TensorProto.FLOAT, [2, None, 16]))
        with pytest.raises(Refused, match="its last states are used"):
            rewrite(split_lstm, exported)

    def test_a_last_state_that_is_an_output_of_the_graph_is_refused(self, exported, rewrite):
        last = nodes(exported, "LSTM")[1].output[1]
        exported.graph.output.append(helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, [2, None, 16]))
        with pytest.raises(Refused, match="its last states are used"):
            rewrite(split_lstm, exported)

    @pytest.mark.parametrize(
        "change",
        [
            lambda lstm: lstm.attribute.append(helper.make_attribute("clip", 0.05)),
            lambda lstm: lstm.attribute.append(helper.make_attribute("activations", ["Sigmoid", "Relu", "Tanh"] * 2)),
            lambda lstm: lstm.attribute.append(helper.make_attribute("input_forget", 1)),
            lambda lstm: lstm.input.__setitem__(3, ""),
        ],
        ids=["clip", "activations", "input_forget", "no bias"],
    )
    def test_an_unusual_lstm_keeps_its_numbers_or_is_refused(self, exported, rewrite, change):
        change(nodes(exported, "LSTM")[0])
        expected = run(exported, pictures(2))
        try:
            found = run(rewrite(split_lstm, exported), pictures(2))
        except Refused:
            return
        assert np.array_equal(found, expected)


class TestMatmul:
    def test_a_graph_that_is_rewritten_already_is_refused(self, small_forms, rewrite):
        with pytest.raises(Refused, match="nothing to rewrite"):
            rewrite(gemm_to_matmul, onnx.load(small_forms["matmul"] / "model.onnx"))

    @pytest.mark.parametrize("index", [0, 1])
    def test_a_gemm_whose_reshape_swaps_steps_and_batch_is_left_alone(self, exported, rewrite, index):
        shape = rows_of(exported, index)
        shape.input[0], shape.input[1] = shape.input[1], shape.input[0]
        first, second, _ = exported.graph.output[0].type.tensor_type.shape.dim
        if index == 1:
            first.dim_param, second.dim_value = "batch", 26
        expected = run(exported, pictures(2))
        found = rewrite(gemm_to_matmul, exported)
        assert (count(found, "Gemm"), count(found, "MatMul")) == (1, 1)
        assert np.abs(run(found, pictures(2)) - expected).max() < 1e-3

    def test_gemms_that_are_all_left_alone_are_refused(self, exported, rewrite):
        for index in (0, 1):
            shape = rows_of(exported, index)
            shape.input[0], shape.input[1] = shape.input[1], shape.input[0]
        with pytest.raises(Refused, match="nothing to rewrite"):
            rewrite(gemm_to_matmul, exported)

    @pytest.mark.parametrize(("name", "value"), [("alpha", 0.5), ("beta", 2.0), ("transA", 1)])
    def test_a_gemm_that_scales_or_transposes_its_rows_is_left_alone(self, exported, rewrite, name, value):
        for gemm in nodes(exported, "Gemm"):
            kept = [found for found in gemm.attribute if found.name != name]
            del gemm.attribute[:]
            gemm.attribute.extend([*kept, helper.make_attribute(name, value)])
        with pytest.raises(Refused, match="nothing to rewrite"):
            rewrite(gemm_to_matmul, exported)

    def test_a_gemm_whose_result_something_else_uses_too_is_left_alone(self, exported, rewrite):
        gemm = nodes(exported, "Gemm")[0]
        exported.graph.node.append(helper.make_node("Relu", [gemm.output[0]], ["rows"], name="rows"))
        exported.graph.output.append(helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, [None, 16]))
        found = rewrite(gemm_to_matmul, exported)
        assert (count(found, "Gemm"), count(found, "MatMul")) == (1, 1)
