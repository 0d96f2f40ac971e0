"""A graph gets its declared names and sizes without a change of its numbers, or is refused."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from harness.onnx_graph.interface import declare_names, declare_shapes
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Refused

BIAS = np.array([0.5, -1.0, 2.0], np.float32)
FED = (np.float32([[1, -2, 3], [0, 5, -6]]), np.float32([[4, 4, -4], [1, 0, 0]]))
INSIDE = ("sum", "bias", "clipped", "spare")


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3])


def model(*, as_inputs: bool = False) -> onnx.ModelProto:
    """``x.1`` and ``x.2`` in, ``y.1`` and ``y.2`` out; the first output is used inside too, the first input twice, the
    second initialiser never.

    ``as_inputs`` lists initialisers among the inputs, as graphs before IR version 4 must.
    """
    nodes = [
        helper.make_node("Add", ["x.1", "x.2"], ["sum"]),
        helper.make_node("Mul", ["sum", "bias"], ["y.1"]),
        helper.make_node("Relu", ["y.1"], ["clipped"]),
        helper.make_node("Sub", ["clipped", "x.1"], ["y.2"]),
    ]
    held = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("bias", "spare")]
    graph = helper.make_graph(
        nodes,
        "toy",
        [value("x.1"), *(held if as_inputs else []), value("x.2")],
        [value("y.1"), value("y.2")],
        [numpy_helper.from_array(BIAS, name) for name in ("bias", "spare")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=3 if as_inputs else 8)
    onnx.checker.check_model(made, full_check=True)
    return made


def specs(*names: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=name, axes=(BATCH, 3), dtype="float32") for name in names)


def names_of(made: onnx.ModelProto) -> tuple[list[str], list[str]]:
    return [found.name for found in made.graph.input], [found.name for found in made.graph.output]


def run(made: onnx.ModelProto, *inputs: str) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(inputs, FED, strict=True)))


class TestNames:
    @given(st.lists(st.text("abcxy_.0", min_size=1, max_size=6), min_size=4, max_size=4, unique=True))
    def test_every_use_gets_the_declared_name_and_the_numbers_stay(self, names):
        made, own = model(), {"x.1", "x.2", "y.1", "y.2", *INSIDE}
        expected = run(made, "x.1", "x.2")
        if own & set(names):
            names = [f"new_{name}" for name in names]
        declare_names(made.graph, specs(*names[:2]), specs(*names[2:]))
        onnx.checker.check_model(made, full_check=True)
        assert names_of(made) == (names[:2], names[2:])
        for left, right in zip(expected, run(made, *names[:2]), strict=True):
            assert np.array_equal(left, right)

    def test_names_are_given_in_their_order(self):
        made = model()
        declare_names(made.graph, specs("second", "first"), specs("a", "b"))
        found = run(made, "second", "first")
        assert np.array_equal(found[0], (FED[0] + FED[1]) * BIAS)
        assert np.array_equal(found[1], np.maximum(found[0], 0) - FED[0])

    def test_a_graph_that_has_its_declared_names_is_left_as_it_is(self):
        made = model()
        declare_names(made.graph, specs("x.1", "x.2"), specs("y.1", "y.2"))
        assert made == model()

    def test_some_names_may_be_right_already(self):
        made = model()
        declare_names(made.graph, specs("x.1", "mask"), specs("y.1", "y.2"))
        assert names_of(made) == (["x.1", "mask"], ["y.1", "y.2"])
        assert np.array_equal(run(made, "x.1", "mask")[0], (FED[0] + FED[1]) * BIAS)

    def test_initialisers_among_the_inputs_are_none(self):
        made = model(as_inputs=True)
        declare_names(made.graph, specs("a", "b"), specs("c", "d"))
        assert names_of(made) == (["a", "bias", "spare", "b"], ["c", "d"])
        assert np.array_equal(run(made, "a", "b")[0], (FED[0] + FED[1]) * BIAS)

    @pytest.mark.parametrize("taken", [*INSIDE, "x.2", "y.1", "y.2"])
    def test_a_name_that_another_value_has_is_refused_and_nothing_is_changed(self, taken):
        made = model()
        with pytest.raises(Refused, match=f"{taken} is the name of another value of the graph already"):
            declare_names(made.graph, specs(taken, "b"), specs("c", "d"))
        assert made == model()

    @pytest.mark.parametrize("taken", [*INSIDE, "x.1", "x.2", "y.1"])
    def test_so_is_one_for_an_output(self, taken):
        made = model()
        with pytest.raises(Refused, match=f"{taken} is the name of another value of the graph already"):
            declare_names(made.graph, specs("a", "b"), specs("c", taken))
        assert made == model()

    @pytest.mark.parametrize(
        ("inputs", "outputs", "said"),
        [
            (("a",), ("c", "d"), "the graph has x.1, x.2, declared are a"),
            (("a", "b", "e"), ("c", "d"), "the graph has x.1, x.2, declared are a, b, e"),
            (("a", "b"), ("c",), "the graph has y.1, y.2, declared are c"),
            (("a", "b"), ("c", "d", "e"), "the graph has y.1, y.2, declared are c, d, e"),
        ],
    )
    def test_another_count_than_declared_is_refused_with_both(self, inputs, outputs, said):
        made = model()
        with pytest.raises(Refused) as refused:
            declare_names(made.graph, specs(*inputs), specs(*outputs))
        assert str(refused.value) == said
        assert made == model()

    def test_a_graph_without_inputs_is_refused(self):
        graph = helper.make_graph([helper.make_node("Constant", [], ["y"], value_float=1.0)], "toy", [], [value("y")])
        with pytest.raises(Refused, match="the graph has none, declared are x"):
            declare_names(graph, specs("x"), specs("y"))


class TestSizes:
    def axes(self, made: onnx.ModelProto) -> list[int | str]:
        dimensions = made.graph.output[0].type.tensor_type.shape.dim
        return [dimension.dim_param or dimension.dim_value for dimension in dimensions]

    @pytest.mark.parametrize("found", [["N", "C"], ["N", 3], [None, None], ["3", 3]])
    def test_open_sizes_become_the_declared_ones_and_the_batch_a_symbol(self, found):
        made = model()
        made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y.1", TensorProto.FLOAT, found))
        declare_shapes(made.graph.output, specs("y.1", "y.2"))
        assert self.axes(made) == [BATCH, 3]

    def test_a_fixed_batch_becomes_a_symbol_too(self):
        made = model()
        made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y.1", TensorProto.FLOAT, [1, 3]))
        declare_shapes(made.graph.output, specs("y.1", "y.2"))
        assert self.axes(made) == [BATCH, 3]

    @pytest.mark.parametrize(
        ("declared", "said"),
        [
            (specs("y.2", "y.1"), "the graph has y.1, y.2, declared are y.2, y.1"),
            (specs("y.1"), "the graph has y.1, y.2, declared are y.1"),
            (
                (*specs("y.1"), TensorSpec(name="y.2", axes=(BATCH, 4), dtype="float32")),
                "y.2: 3 in the graph, declared ",
            ),
            ((*specs("y.1"), TensorSpec(name="y.2", axes=(BATCH,), dtype="float32")), "y.2: 2 axes in the graph, "),
        ],
        ids=["names", "count", "size", "axes"],
    )
    def test_another_interface_than_declared_is_refused(self, declared, said):
        with pytest.raises(Refused) as refused:
            declare_shapes(model().graph.output, declared)
        assert str(refused.value).startswith(said)
