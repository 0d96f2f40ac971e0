"""A graph at one size alone gives the same numbers with nothing worked out from shapes, or it is refused."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from harness.onnx_graph.edit import Graph
from harness.onnx_graph.nearest import resizes
from harness.onnx_graph.resize import worked_out
from harness.onnx_graph.static import bind_sizes, fold
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Refused
from tests.resized_graphs import SPELLINGS, bound, fused, made, model_of, operators, pictures, run, spec

ARITHMETIC = {"Shape", "Gather", "Slice", "Cast", "Floor", "Unsqueeze"}
"""What ``fused`` works sizes out with. It has Concat and Mul for that too."""
X, Y = spec("x"), spec("y")
node = helper.make_node


def static(graph: onnx.ModelProto, folder: Path, *sizes: int) -> tuple[onnx.ModelProto, dict[str, object]]:
    """The graph at a batch, a height and a width."""
    return made(bind_sizes, graph, folder, inputs=(bound(X, *sizes),), outputs=(bound(Y, *sizes),))


def shape_of(value: onnx.ValueInfoProto) -> list[int]:
    return [axis.dim_value for axis in value.type.tensor_type.shape.dim]


class TestNumbers:
    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from(["linear", "nearest"])), min_size=1, max_size=4),
        st.sampled_from(SPELLINGS),
        st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    )
    def test_they_are_the_same_to_the_bit_at_any_size(self, resized, spelling, sizes):
        scales, modes = zip(*resized, strict=True)
        batch, height, width = sizes[0], 4 * sizes[1], 4 * sizes[2]
        graph = fused(scales, modes, spelling)
        with tempfile.TemporaryDirectory() as folder:
            found, facts = static(graph, Path(folder), batch, height, width)
        fed = pictures(batch, 2, height, width)
        assert np.array_equal(run(found, fed), run(graph, fed))
        assert operators(found).keys() & ARITHMETIC == set()
        assert [worked_out(Graph(found), each) for each in resizes(found.graph)] == [""] * len(scales)
        assert facts == {"nodes": len(found.graph.node), "folded": len(graph.graph.node) - len(found.graph.node)}

    def test_what_works_with_pictures_stays_as_it_is(self, tmp_path):
        graph = fused((2, 4))
        found, _ = static(graph, tmp_path, 1, 8, 16)
        kept = [each for each in graph.graph.node if each.op_type not in ARITHMETIC | {"Concat"}]
        assert list(found.graph.node) == kept
        assert operators(found)["BatchNormalization"] == operators(found)["Conv"] == 1
        weights = {tensor.name: tensor for tensor in found.graph.initializer}
        before = {tensor.name: tensor for tensor in graph.graph.initializer}
        assert {name: weights[name] for name in before if name in weights} == {
            name: before[name]
            for name in ("weight", "scale", "bias", "mean", "var", "roi", "none", "factor0", "factor1")
        }

    def test_inputs_and_outputs_have_the_declared_sizes(self, tmp_path):
        found, _ = static(fused((2,)), tmp_path, 3, 8, 16)
        assert [shape_of(value) for value in (*found.graph.input, *found.graph.output)] == [[3, 2, 8, 16]] * 2

    def test_the_graph_is_the_same_bytes_again(self, tmp_path):
        first, second = (static(fused((2, 4, 2)), tmp_path, 1, 8, 16)[0] for _ in range(2))
        assert first.SerializeToString() == second.SerializeToString()

    def test_another_size_than_the_bound_one_does_not_run(self, tmp_path):
        found, _ = static(fused((2,)), tmp_path, 1, 8, 16)
        with pytest.raises(Exception, match="Got: 16 Expected: 8"):
            run(found, pictures(1, 2, 16, 16))

    def test_a_size_that_is_another_by_one_pixel_is_seen(self, tmp_path):
        """That the numbers are compared at all."""
        graph = fused((2, 2))
        found, _ = static(graph, tmp_path, 1, 8, 16)
        fed = pictures(1, 2, 8, 16)
        attribute_of(resizes(found.graph)[1], "mode").s = b"nearest"
        assert not np.array_equal(run(found, fed), run(graph, fed))


def attribute_of(each: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    return next(found for found in each.attribute if found.name == name)


def numbered(*nodes: onnx.NodeProto, axes: int = 4, kind: str = "float32") -> onnx.ModelProto:
    """From ``x`` to ``y`` with a few constants."""
    constants = {"one": np.array(1), "many": np.array([[1, 2]], np.float32)}
    constants |= {"single": np.array([4], np.float32)}
    constants |= {"none": np.zeros(0, np.float32), "column": np.array([2, 1, 1]), "true": np.array(True)}
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    return model_of(nodes, [("x", "float32", 4)], [("y", kind, axes)], tensors)


def folded(graph: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, tuple[int, ...]]]:
    """The graph at one size, and its shapes."""
    for axis, size in zip(graph.graph.input[0].type.tensor_type.shape.dim, (1, 2, 3, 5), strict=True):
        axis.dim_value = size
    linked = Graph(graph)
    shapes = fold(linked)
    return linked.prune(), shapes


class TestFolding:
    def test_a_single_number_stays_one(self):
        found, shapes = folded(
            numbered(
                node("Shape", ["x"], ["all"]),
                node("Gather", ["all", "one"], ["number"]),
                node("Cast", ["number"], ["real"], to=TensorProto.FLOAT),
                node("Mul", ["x", "real"], ["y"]),
            )
        )
        assert [each.op_type for each in found.graph.node] == ["Mul"]
        assert [(tensor.name, list(tensor.dims)) for tensor in found.graph.initializer] == [("real", [])]
        assert (shapes["real"], shapes["y"]) == ((), (1, 2, 3, 5))
        fed = pictures(1, 2, 3, 5)
        assert np.array_equal(run(found, fed), fed * 2)

    def test_a_shape_that_is_an_output_is_a_constant(self):
        found, _ = folded(numbered(node("Shape", ["x"], ["y"]), axes=1, kind="int64"))
        assert (len(found.graph.node), run(found, pictures(1, 2, 3, 5)).tolist()) == (0, [1, 2, 3, 5])

    def test_what_has_more_axes_than_one_is_left_to_be_made(self):
        """It may be as large as a picture, or a weight."""
        found, _ = folded(
            numbered(
                node("Shape", ["x"], ["all"]),
                node("ConstantOfShape", ["all"], ["zeros"]),
                node("Add", ["x", "zeros"], ["first"]),
                node("Squeeze", ["many"], ["pair"], axes=[0]),
                node("Reshape", ["pair", "column"], ["channels"]),
                node("Add", ["first", "channels"], ["second"]),
                node("Unsqueeze", ["single"], ["row"], axes=[0]),
                node("Add", ["second", "row"], ["y"]),
            )
        )
        assert operators(found) == {"ConstantOfShape": 1, "Squeeze": 1, "Reshape": 1, "Unsqueeze": 1, "Add": 3}
        fed = pictures(1, 2, 3, 5)
        assert np.array_equal(run(found, fed), fed + np.array([1, 2], np.float32).reshape(2, 1, 1) + np.float32(4))

    def test_what_reads_nothing_is_left_to_be_made(self):
        """It may be another each time."""
        found, _ = folded(
            numbered(
                node("Constant", [], ["constant"], value=numpy_helper.from_array(np.array([4], np.float32))),
                node("RandomUniform", [], ["noise"], shape=[5]),
                node("Add", ["noise", "constant"], ["sum"]),
                node("Add", ["x", "sum"], ["y"]),
            )
        )
        assert operators(found) == {"Constant": 1, "RandomUniform": 1, "Add": 2}

    @pytest.mark.parametrize(
        ("nodes", "told"),
        [
            (
                [node("NonZero", ["x"], ["y"], name="some")],
                "NonZero some: the size of y is open, expected it to follow",
            ),
            ([node("Resize", ["x", "none", "scales"], ["y"])], "Resize y: the size of y is open"),
            ([node("Reshape", ["x", "numbers"], ["y"])], "Reshape y: the size of y is open"),
            ([node("Unknown", ["x"], ["y"])], "Unknown y: what it makes cannot be told: No schema registered"),
            (
                [node("Relu", ["x"], ["y"], domain="others")],
                "Relu y: what it makes cannot be told: No schema registered",
            ),
            (
                [node("MatMul", ["x", "many"], ["y"])],
                "MatMul y: what it makes cannot be told: .*Incompatible dimensions",
            ),
        ],
        ids=["data", "scales", "axes", "unknown", "foreign", "impossible"],
    )
    def test_a_shape_that_does_not_follow_from_sizes_is_refused(self, nodes, told):
        """Scales and numbers are worked out from what the input holds."""
        given = [
            node("ReduceMax", ["x"], ["scales"], axes=[0, 1, 2], keepdims=0),
            node("Cast", ["scales"], ["numbers"], to=TensorProto.INT64),
        ]
        with pytest.raises(Refused, match=told):
            folded(numbered(*given, *nodes))

    def test_a_body_is_refused(self):
        body = helper.make_graph([], "body", [], [helper.make_tensor_value_info("one", TensorProto.INT64, [])])
        branch = node("If", ["true"], ["y"], then_branch=body, else_branch=body)
        with pytest.raises(Refused, match="If y: holds a graph of its own, expected all nodes in the graph itself"):
            folded(numbered(node("Relu", ["x"], ["z"]), branch))


class TestRefusals:
    @pytest.mark.parametrize("place", range(4))
    def test_an_axis_that_stays_open_is_refused(self, place, tmp_path):
        axes = list(bound(X, 1, 8, 16).axes)
        axes[place] = X.axes[place] if place != 1 else BATCH
        with pytest.raises(Refused, match=f"x: {replace(X, axes=tuple(axes)).named[place]} open, expected a size"):
            made(
                bind_sizes,
                fused((2,)),
                tmp_path,
                inputs=(replace(X, axes=tuple(axes)),),
                outputs=(bound(Y, 1, 8, 16),),
            )

    @pytest.mark.parametrize(("axis", "size"), [(0, 2), (1, 3), (2, 16), (3, 8)])
    def test_an_output_that_has_another_size_than_declared_is_refused(self, axis, size, tmp_path):
        declared = list(bound(Y, 1, 8, 16).axes)
        declared[axis] = size
        output = TensorSpec(name="y", axes=tuple(declared), dtype="float32")
        with pytest.raises(Refused) as refused:
            made(bind_sizes, fused((2,)), tmp_path, inputs=(bound(X, 1, 8, 16),), outputs=(output,))
        assert str(refused.value) == f"y: [1, 2, 8, 16] in the graph, declared {declared}"
        assert not (tmp_path / "out" / "model.onnx").exists()

    def test_a_size_that_the_graph_cannot_take_is_refused(self, tmp_path):
        """9 rows are shrunk to 4, which are enlarged to 8: no sum with the 9."""
        with pytest.raises(Refused, match=r"Add sum0: what it makes cannot be told: .*Incompatible dimensions"):
            static(fused((2,), spelling="multiplied"), tmp_path, 1, 9, 16)

    def test_a_graph_that_is_bound_to_another_size_is_refused(self, tmp_path):
        found, _ = static(fused((2,)), tmp_path, 1, 8, 16)
        with pytest.raises(Refused, match="x: 8 in the graph, declared"):
            static(found, tmp_path, 1, 16, 16)

    def test_another_input_is_refused(self, tmp_path):
        sizes = (1, 8, 16)
        given = {"inputs": (bound(spec("z"), *sizes),), "outputs": (bound(Y, *sizes),)}
        with pytest.raises(Refused, match="the graph has x, declared are z"):
            made(bind_sizes, fused((2,)), tmp_path, **given)
