"""Logits become classes and classes logits again, or the graph is refused."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from harness.onnx_graph.classes import add_argmax
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Refused
from tests.resized_graphs import made, model_of, pictures, run, spec, without_argmax

X = spec("x", low=1, channels=3)
LOGITS = replace(X, name="logits")
CLASSES = TensorSpec(name="classes", axes=(BATCH, *X.axes[2:]), dtype="int64")
FED = pictures(2, 3, 5, 7)
node = helper.make_node


def ending(*nodes: onnx.NodeProto, kind: str = "float32", axes: int = 4) -> onnx.ModelProto:
    """x, doubled to ``raw``, and what nodes make of that: ``end``."""
    nodes = nodes or (node("Identity", ["raw"], ["end"]),)
    return model_of(
        [node("Add", ["x", "x"], ["raw"], name="twice"), *nodes], [("x", "float32", 4)], [("end", kind, axes)]
    )


def added(
    graph: onnx.ModelProto, folder: Path, output: TensorSpec = CLASSES
) -> tuple[onnx.ModelProto, dict[str, object]]:
    return made(add_argmax, graph, folder, inputs=(X,), outputs=(output,))


def cut(graph: onnx.ModelProto, folder: Path, output: TensorSpec = LOGITS) -> tuple[onnx.ModelProto, dict[str, object]]:
    return made(without_argmax, graph, folder, inputs=(X,), outputs=(output,))


def output_of(graph: onnx.ModelProto) -> tuple[str, str, list[str | int]]:
    (value,) = graph.graph.output
    kind = value.type.tensor_type
    return value.name, TensorProto.DataType.Name(kind.elem_type), [d.dim_value or d.dim_param for d in kind.shape.dim]


class TestAdding:
    # Few numbers, so that many are equal.
    @settings(max_examples=50, deadline=None)
    @given(
        arrays.arrays(
            np.float32,
            st.tuples(st.integers(1, 2), st.just(3), st.integers(1, 4), st.integers(1, 4)),
            elements=st.integers(-2, 2).map(float),
        )
    )
    def test_the_class_is_the_first_with_the_largest_logit(self, fed):
        with tempfile.TemporaryDirectory() as folder:
            found, _ = added(ending(), Path(folder))
        classes = run(found, fed)
        assert classes.dtype == np.int64
        assert np.array_equal(classes, fed.argmax(1))

    def test_the_classes_are_the_only_output_and_have_the_declared_name_and_axes(self, tmp_path):
        found, facts = added(ending(), tmp_path)
        assert output_of(found) == ("classes", "INT64", ["batch", "height", "width"])
        assert facts == {"nodes": 3} == {"nodes": len(found.graph.node)}
        assert found.graph.node[-1].op_type == "ArgMax"

    @pytest.mark.parametrize(
        ("graph", "told"),
        [
            (ending(node("ArgMax", ["raw"], ["end"], axis=1), kind="int64"), "end: INT64 of 4 axes; expected logits"),
            (ending(node("Flatten", ["raw"], ["end"]), axes=2), "end: FLOAT of 2 axes; expected logits, FLOAT of 4"),
            (ending(node("Cast", ["raw"], ["end"], to=TensorProto.DOUBLE), kind="float64"), "end: DOUBLE of 4 axes"),
            (ending(node("Sigmoid", ["raw"], ["end"])), "end: made by Sigmoid; expected logits"),
        ],
        ids=["classes", "flat", "double", "sigmoid"],
    )
    def test_what_gives_no_logits_is_refused(self, graph, told, tmp_path):
        with pytest.raises(Refused, match=told):
            added(graph, tmp_path)

    def test_two_outputs_are_refused(self, tmp_path):
        graph = ending()
        graph.graph.output.append(helper.make_tensor_value_info("raw", TensorProto.FLOAT, [None] * 4))
        with pytest.raises(Refused, match="outputs end, raw; expected one"):
            added(graph, tmp_path)

    def test_a_declared_name_that_another_value_has_is_refused(self, tmp_path):
        with pytest.raises(Refused, match="raw is the name of another value"):
            added(ending(), tmp_path, replace(CLASSES, name="raw"))

    def test_a_size_that_is_not_the_declared_one_is_refused(self, tmp_path):
        graph = ending()
        graph.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 5
        with pytest.raises(Refused, match="classes: 5 in the graph, declared"):
            added(graph, tmp_path, replace(CLASSES, axes=(BATCH, 6, 7)))


def argmax(axis: int = 1, keepdims: int = 0, made_from: str = "raw", to: str = "end") -> onnx.NodeProto:
    return node("ArgMax", [made_from], [to], name="most", axis=axis, keepdims=keepdims)


CUT = {
    "as it is": (ending(argmax(), kind="int64", axes=3), 1),
    "with the axis kept": (ending(argmax(keepdims=1), kind="int64"), 1),
    "counted from behind": (ending(argmax(axis=-3), kind="int64", axes=3), 1),
    "int32": (ending(argmax(to="a"), node("Cast", ["a"], ["end"], to=TensorProto.INT32), kind="int32", axes=3), 1),
    "squeezed": (
        ending(argmax(keepdims=1, to="a"), node("Squeeze", ["a"], ["end"], axes=[1]), kind="int64", axes=3),
        1,
    ),
    "copied": (
        ending(argmax(to="a"), node("Identity", ["a"], ["b"]), node("Identity", ["b"], ["end"]), kind="int64", axes=3),
        1,
    ),
    "logits already": (ending(), 0),
    "logits, cast": (ending(node("Cast", ["raw"], ["end"], to=TensorProto.FLOAT)), 0),
}


def softmax(to: str) -> list[onnx.NodeProto]:
    """As converters write it for opset 11: over the last axis."""
    return [
        node("Transpose", ["raw"], ["a"], perm=[0, 2, 3, 1]),
        node("Softmax", ["a"], ["b"], axis=3),
        node("Transpose", ["b"], [to], perm=[0, 3, 1, 2]),
    ]


REFUSED = {
    "rows": (ending(argmax(axis=2), kind="int64", axes=3), "ArgMax most over axis 2; expected axis 1"),
    "columns": (ending(argmax(axis=-1), kind="int64", axes=3), "ArgMax most over axis -1; expected axis 1"),
    "items": (
        ending(node("ArgMax", ["raw"], ["end"], keepdims=0), kind="int64", axes=3),
        "ArgMax end over axis 0; expected axis 1",
    ),
    "smallest": (
        ending(node("ArgMin", ["raw"], ["end"], axis=1), kind="int64"),
        "end: INT64 of 4 axes; expected logits, FLOAT of 4 axes",
    ),
    "another squeezed": (
        ending(argmax(to="a"), node("Squeeze", ["a"], ["end"], axes=[0]), kind="int64", axes=2),
        r"Squeeze of axes \[\[0\]\] behind ArgMax most; expected none, or \[\[1\]\]",
    ),
    "probabilities": (ending(*softmax("end")), "end: made by Softmax; expected logits"),
    "of probabilities": (
        ending(*softmax("c"), argmax(made_from="c"), kind="int64", axes=3),
        "c: made by Softmax; expected logits, so export without it",
    ),
    "of three axes": (
        ending(node("Squeeze", ["raw"], ["a"], axes=[0]), argmax(made_from="a"), kind="int64", axes=2),
        "a: FLOAT of 3 axes; expected logits, FLOAT of 4 axes",
    ),
    "of integers": (
        ending(node("Cast", ["raw"], ["a"], to=TensorProto.INT32), argmax(made_from="a"), kind="int64", axes=3),
        "a: INT32 of 4 axes; expected logits, FLOAT of 4 axes",
    ),
}


class TestCutting:
    @pytest.mark.parametrize(("graph", "expected"), CUT.values(), ids=CUT)
    def test_what_an_argmax_reads_is_the_output(self, graph, expected, tmp_path):
        found, facts = cut(graph, tmp_path)
        assert output_of(found) == ("logits", "FLOAT", ["batch", 3, "height", "width"])
        assert facts == {"cut": expected, "nodes": len(found.graph.node)}
        assert {each.op_type for each in found.graph.node} <= {"Add", "Identity", "Cast"}
        assert np.array_equal(run(found, FED), FED + FED)

    @pytest.mark.parametrize(("graph", "told"), REFUSED.values(), ids=REFUSED)
    def test_what_does_not_end_with_logits_or_their_argmax_is_refused(self, graph, told, tmp_path):
        with pytest.raises(Refused, match=told):
            cut(graph, tmp_path)
        assert not (tmp_path / "out" / "model.onnx").exists()

    def test_two_outputs_are_refused(self, tmp_path):
        graph = ending(argmax(), kind="int64", axes=3)
        graph.graph.output.append(helper.make_tensor_value_info("raw", TensorProto.FLOAT, [None] * 4))
        with pytest.raises(Refused, match="outputs end, raw; expected one"):
            cut(graph, tmp_path)

    def test_another_number_of_classes_is_refused_where_the_graph_says_it(self, tmp_path):
        graph = ending()
        graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
        declared = replace(LOGITS, axes=(BATCH, 19, *X.axes[2:]))
        with pytest.raises(Refused, match="logits: 3 in the graph, declared"):
            cut(graph, tmp_path, declared)

    @pytest.mark.parametrize("keepdims", [0, 1])
    def test_the_one_class_that_a_graph_gives_for_each_pixel_is_no_size_of_its_logits(self, keepdims, tmp_path):
        graph = ending(argmax(keepdims=keepdims), kind="int64", axes=3 + keepdims)
        sizes = (2, *(1,) * keepdims, 5, 7)
        for axis, size in zip(graph.graph.output[0].type.tensor_type.shape.dim, sizes, strict=True):
            axis.dim_value = size
        found, _ = cut(graph, tmp_path)
        assert output_of(found)[2][1] == 3
        assert np.array_equal(run(found, FED), FED + FED)

    def test_logits_of_a_size_that_is_worked_out_are_found(self, tmp_path):
        """Nothing says how many axes they have, but those of the classes."""
        graph = ending(
            node("Shape", ["raw"], ["size"]),
            node("Resize", ["raw", "none", "none", "size"], ["a"], mode="linear"),
            argmax(made_from="a"),
            kind="int64",
            axes=3,
        )
        graph.graph.initializer.append(numpy_helper.from_array(np.zeros(0, np.float32), "none"))
        found, facts = cut(graph, tmp_path)
        assert facts == {"cut": 1, "nodes": 3}
        assert output_of(found) == ("logits", "FLOAT", ["batch", 3, "height", "width"])
        assert np.array_equal(run(found, FED), FED + FED)

    def test_cutting_what_was_added_gives_the_graph_back(self, tmp_path):
        graph, _ = cut(ending(), tmp_path)
        there, _ = added(graph, tmp_path)
        back, facts = cut(there, tmp_path)
        assert facts["cut"] == 1
        assert back == graph
