"""A graph reads its weights directly, and computes what it computed."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from harness.onnx_graph.edit import read_directly


def graph_of(copies: list[int], output_is_a_copy: bool) -> onnx.ModelProto:
    """x + w, then + each copy of a copy of w: copy i is read from copy ``copies[i]`` before it, or from w itself."""
    nodes, values, total = [], ["w"], "x"
    for number, source in enumerate(copies):
        nodes.append(helper.make_node("Identity", [values[source % len(values)]], [f"copy{number}"]))
        values.append(f"copy{number}")
    for number, value in enumerate(values):
        nodes.append(helper.make_node("Add", [total, value], [f"sum{number}"]))
        total = f"sum{number}"
    nodes.append(helper.make_node("Identity", ["w" if output_is_a_copy else total], ["y"]))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("x", "y"))
    weights = numpy_helper.from_array(np.array([1, 2, 4], np.float32), "w")
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], [weights]), opset_imports=[helper.make_opsetid("", 13)]
    )
    model.ir_version = 8
    return model


def answer(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ones(3, np.float32)})[0]


@given(st.lists(st.integers(0, 9), max_size=5), st.booleans())
def test_copies_of_weights_go_and_the_numbers_stay(copies, output_is_a_copy):
    model = graph_of(copies, output_is_a_copy)
    expected = answer(model)
    read_directly(model.graph)
    onnx.checker.check_model(model, full_check=True)
    assert np.array_equal(answer(model), expected)
    # The last Identity makes the output, or reads what is computed: it stays.
    assert [node.output[0] for node in model.graph.node if node.op_type == "Identity"] == ["y"]
