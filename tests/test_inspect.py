"""An ONNX file that is not what its declaration says differs in every way that is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harness.onnx_graph.inspect import Tensor, inspect
from harness.questions.build import differ
from harness.sizes import BATCH


@pytest.fixture
def exported(small_forms) -> onnx.ModelProto:
    """The exported graph of a narrow CRNN, for the test to change."""
    return onnx.load(small_forms["onnx"] / "model.onnx")


@pytest.fixture
def differences(crnn, tmp_path):
    """How a changed graph differs from the declaration of CRNN's ONNX form."""

    def tell(graph: onnx.ModelProto) -> list[str]:
        onnx.save(graph, tmp_path / "model.onnx")
        return list(differ(crnn, crnn.form("onnx"), inspect(tmp_path / "model.onnx")))

    return tell


def rename(graph: onnx.ModelProto, old: str, new: str) -> None:
    for value in (*graph.graph.input, *graph.graph.output):
        value.name = new if value.name == old else value.name
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


def dimensions(value: onnx.ValueInfoProto):
    return value.type.tensor_type.shape.dim


class TestInspecting:
    def test_a_file_says_its_opset_interface_and_operators(self, small_forms):
        path: Path = small_forms["onnx"] / "model.onnx"
        found = inspect(path)
        assert found.opset == 11
        assert found.inputs == (Tensor("actual_input_1", (BATCH, 1, 32, 100), "float32"),)
        assert found.outputs == (Tensor("output1", (26, BATCH, 37), "float32"),)
        assert (found.operators["Conv"], found.operators["LSTM"]) == (7, 2)
        assert found.nodes == sum(found.operators.values()) == len(onnx.load(path).graph.node)
        assert found.size == path.stat().st_size

    @pytest.mark.parametrize("symbol", ["-1", "N", "batch"])
    def test_any_usual_spelling_of_the_batch_is_the_batch(self, exported, differences, symbol):
        dimensions(exported.graph.input[0])[0].dim_param = symbol
        assert differences(exported) == []

    def test_initialisers_that_are_listed_as_inputs_are_none(self, exported, differences):
        weight = exported.graph.initializer[0]
        exported.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
        assert differences(exported) == []

    def test_a_file_that_breaks_the_format_is_an_error_of_the_checker(self, exported, tmp_path):
        exported.graph.node[-1].input[0] = "nowhere"
        onnx.save(exported, tmp_path / "model.onnx")
        with pytest.raises(onnx.checker.ValidationError, match="nowhere"):
            inspect(tmp_path / "model.onnx")


class TestDiffering:
    @pytest.mark.parametrize("form", ["onnx", "split_lstm", "matmul"])
    def test_a_form_made_by_its_step_does_not_differ(self, small_forms, crnn, form):
        assert list(differ(crnn, crnn.form(form), inspect(small_forms[form] / "model.onnx"))) == []

    def test_every_form_differs_from_the_declaration_of_every_other(self, small_forms, crnn):
        names = ["onnx", "split_lstm", "matmul"]
        summaries = {name: inspect(small_forms[name] / "model.onnx") for name in names}
        for name in names:
            for other in names:
                assert (list(differ(crnn, crnn.form(name), summaries[other])) == []) == (name == other)

    def test_another_opset_is_told(self, exported, differences):
        exported.opset_import[0].version = 12
        assert differences(exported) == ["opset is 12, declared 11"]

    @pytest.mark.parametrize(("old", "kind"), [("actual_input_1", "inputs"), ("output1", "outputs")])
    def test_another_name_is_told(self, exported, differences, old, kind):
        rename(exported, old, "image")
        (told,) = differences(exported)
        assert told.startswith(f"{kind} are image float32[")
        assert f", declared {old} float32[" in told

    def test_a_static_batch_is_told(self, exported, differences):
        dimensions(exported.graph.input[0])[0].dim_value = 1
        (told,) = differences(exported)
        assert told.startswith("inputs are actual_input_1 float32[1, 1, 32, 100], declared ")

    def test_a_dynamic_axis_that_should_be_fixed_is_told(self, exported, differences):
        dimensions(exported.graph.output[0])[0].dim_param = "steps"
        (told,) = differences(exported)
        assert told.startswith("outputs are output1 float32['steps', 'batch', 37], declared output1 float32[26, ")

    def test_an_axis_without_size_or_symbol_is_told(self, exported, differences):
        dimensions(exported.graph.output[0])[0].Clear()
        (told,) = differences(exported)
        assert told.startswith("outputs are output1 float32['?', 'batch', 37]")

    def test_another_shape_is_told(self, crnn, differences):
        told = differences(passing(crnn, width=320))
        assert told[0].startswith("inputs are actual_input_1 float32['batch', 1, 32, 320], declared ")
        assert told[0].endswith("declared actual_input_1 float32['batch', 1, 32, 100]")

    def test_another_dtype_is_told(self, crnn, differences):
        told = differences(passing(crnn, dtype=TensorProto.FLOAT16))
        assert told[0].startswith("inputs are actual_input_1 float16[")
        assert told[1].startswith("outputs are output1 float16[")

    def test_a_second_output_is_told(self, exported, differences):
        last = exported.graph.node[-1]
        exported.graph.node.append(helper.make_node("Identity", [last.output[0]], ["twice"], name="twice"))
        exported.graph.output.append(helper.make_tensor_value_info("twice", TensorProto.FLOAT, [26, None, 37]))
        told = differences(exported)
        assert told[0].startswith("outputs are output1 float32[26, 'batch', 37], twice float32[")
        assert "86 nodes, declared 85" in told

    def test_a_node_too_many_is_told_with_its_operator(self, exported, differences):
        first = next(node for node in exported.graph.node if node.op_type == "Conv")
        kept = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "keep")
        exported.graph.initializer.append(kept)
        exported.graph.node.insert(0, helper.make_node("Conv", [first.input[0], "keep"], ["kept"], name="keep"))
        first.input[0] = "kept"
        assert differences(exported) == ["86 nodes, declared 85", "8 nodes of Conv, declared 7"]

    def test_all_differences_are_told_at_once(self, crnn, differences):
        told = differences(passing(crnn, dtype=TensorProto.FLOAT16))
        assert "1 nodes, declared 85" in told
        assert {"0 nodes of Conv, declared 7", "0 nodes of LSTM, declared 2", "0 nodes of Gemm, declared 2"} <= set(
            told
        )
        assert len(told) == 6


def passing(crnn, width: int = 100, dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A graph of one node with CRNN's names, in another shape or dtype."""
    shape = ["batch", 1, 32, width]
    node = helper.make_node("Identity", ["actual_input_1"], ["output1"], name="through")
    ends = [[helper.make_tensor_value_info(name, dtype, shape)] for name in ("actual_input_1", "output1")]
    graph = helper.make_graph([node], "through", *ends)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
