"""A graph in half precision is rounded at every operator, in the runtime that it is asked in, and not clamped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from harness.onnx_graph.half import LARGEST, coordinates, in_half, lowered, to_half
from harness.step import StepInput
from harness.verdict import Refused
from tests.half_graphs import answer, chain, graph_of, halves, in_library, run

OPERATORS = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
COUNTED = chain(("Add", 2048), ("Sub", 2048))
"""1 more than 2048 is 2049, which is no half: the nearest even one is 2048."""
OVERFLOWING = chain(("Mul", 60000), ("Mul", 1 / 60000))


class TestProvider:
    """What the library writes is not rounded in ONNX Runtime on a CPU, and what is written here is."""

    def test_a_result_between_two_halves_is_rounded_to_the_even_one(self):
        assert answer(COUNTED, 1, 2, 3) == [1, 2, 3]
        assert answer(lowered(COUNTED), 1, 2, 3) == [0, 2, 4]

    def test_a_result_over_the_largest_half_is_infinite(self):
        assert np.allclose(answer(OVERFLOWING, 1, 1.5, 2), [1, 1.5, 2])
        assert answer(lowered(OVERFLOWING), 1, 1.5, 2)[1:] == [np.inf, np.inf]

    @pytest.mark.parametrize("model", [COUNTED, OVERFLOWING], ids=["rounding", "overflow"])
    def test_a_graph_that_silently_stays_in_single_precision_is_told_from_one_that_does_not(self, model):
        """The library's graph is one: were it not, the casts of ours could go."""
        single, library, ours = (np.array(answer(each, 1, 2, 3)) for each in (model, in_library(model), lowered(model)))
        assert np.allclose(library, single, rtol=2e-3)
        assert not np.allclose(ours, single, rtol=2e-3)

    @given(
        st.lists(
            st.tuples(st.sampled_from(list(OPERATORS)), st.floats(2**-20, 2**17, width=32)), min_size=1, max_size=5
        ),
        st.lists(st.floats(-(2.0**17), 2**17, width=32), min_size=3, max_size=3),
    )
    def test_any_chain_gives_what_rounding_after_each_operator_gives(self, steps, numbers):
        expected = halves(np.array([numbers]))
        with np.errstate(all="ignore"):
            for operator, constant in steps:
                expected = halves(OPERATORS[operator](expected, halves(np.array(constant))))
        found = run(lowered(chain(*steps)), np.array([numbers], np.float32))[0]
        assert np.array_equal(found, expected, equal_nan=True)

    def test_products_are_summed_in_single_precision_and_rounded_once(self):
        """Summed in half, 1 more than 2048 would be 2048 each time."""
        model = graph_of(helper.make_node("MatMul", ["x", "w"], ["y"]), w=np.ones((3, 1), np.float32))
        assert answer(lowered(model), 2048, 1, 1) == [2050]


class TestWeights:
    def facts_of(self, model: onnx.ModelProto, tmp_path: Path) -> dict:
        onnx.save(model, tmp_path / "model.onnx")
        out = tmp_path / "out"
        out.mkdir()
        return dict(to_half.build(StepInput(sources=(tmp_path,)), out))

    def test_weights_outside_the_range_are_counted_and_not_clamped(self, tmp_path):
        weights = np.array([70000, -70000, 65519, 2e-8, -1e-8, 6e-8, 0, np.inf, 1], np.float32)
        model = graph_of(helper.make_node("MatMul", ["x", "w"], ["y"]), w=np.stack([weights] * 3))
        found = self.facts_of(model, tmp_path)
        assert (found["infinite_weights"], found["zeroed_weights"]) == (6, 6)
        stored = numpy_helper.to_array(lowered(model).graph.initializer[0])
        assert stored.dtype == np.float16
        assert stored[0].tolist() == [np.inf, -np.inf, LARGEST, 0, 0, float(np.float16(6e-8)), 0, np.inf, 1]

    def test_a_weight_that_becomes_infinite_shows_in_the_answer(self):
        assert answer(lowered(chain(("Mul", 70000), ("Mul", 1 / 70000))), 1, 2, 0)[:2] == [np.inf, np.inf]

    def test_constants_of_constant_nodes_are_weights_too(self):
        value = numpy_helper.from_array(np.array(1 + 2**-12, np.float32))
        model = graph_of(
            helper.make_node("Constant", [], ["c"], value=value), helper.make_node("Mul", ["x", "c"], ["y"])
        )
        assert answer(lowered(model), 1, 2, 4) == [1, 2, 4]
        assert in_half(lowered(model)) == {"x", "c", "y"}

    def test_the_statistics_of_a_normalisation_stay_in_single_precision(self):
        """Variances of published networks are over the largest half. Scale and bias are rounded, also where one tensor
        is the variance too."""
        norm = helper.make_node("BatchNormalization", ["x", "scale", "bias", "mean", "variance"], ["y"], epsilon=0.0)
        rows = {name: np.full(3, value, np.float32) for name, value in (("scale", 2049), ("bias", 2051))}
        statistics = {"mean": np.full(3, 2049, np.float32), "variance": np.full(3, 2.0**18, np.float32)}
        model = lowered(graph_of(norm, **rows, **statistics))
        assert in_half(model) == {"x", "scale", "bias", "y"}
        assert answer(model, 2048, 2048, 2048) == [2052 - 4] * 3
        shared = helper.make_node("BatchNormalization", ["x", "scale", "bias", "mean", "scale"], ["y"], epsilon=0.0)
        assert lowered(graph_of(shared, **rows, **statistics)).graph.node[-3].input[4] == "scale"

    def test_between_a_convolution_and_the_normalisation_that_alone_reads_it_nothing_is_rounded(self):
        """Compilers make one layer of the two; what is between them may be over the largest half."""
        conv = helper.make_node("Conv", ["x", "w"], ["c"])
        norm = helper.make_node("BatchNormalization", ["c", "one", "zero", "zero", "big"], ["y"], epsilon=0.0)
        rows = {"one": np.ones(1), "zero": np.zeros(1), "big": np.full(1, 2.0**20), "w": np.full((1, 1, 1, 1), 2.0**10)}
        rows = {name: value.astype(np.float32) for name, value in rows.items()}

        def model(*more: onnx.NodeProto) -> onnx.ModelProto:
            found = graph_of(conv, norm, *more, **rows)
            for value in (*found.graph.input, *found.graph.output):
                value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [1, 1, 1, 1]))
            return found

        assert in_half(lowered(model())) == {"x", "w", "one", "zero", "y"}
        assert run(lowered(model()), np.full((1, 1, 1, 1), 128, np.float32))[0].item() == 128
        shared = model(helper.make_node("Relu", ["c"], ["r"]))
        shared.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, [1, 1, 1, 1]))
        assert "c" in in_half(lowered(shared))


class TestCoordinates:
    def test_a_shape_is_no_way_to_coordinates(self):
        """The grid's size comes from the picture's; what makes the picture is still rounded."""
        nodes = [
            helper.make_node("Mul", ["x", "c"], ["before"]),
            helper.make_node("Shape", ["before"], ["shape"]),
            helper.make_node("Expand", ["c", "shape"], ["grid"]),
            helper.make_node("Add", ["before", "grid"], ["y"]),
        ]
        assert coordinates(graph_of(*nodes, c=2.0), "Add", 1, "Relu") == {"shape", "grid", "y"}

    @pytest.mark.parametrize(
        ("operator", "behind", "words"),
        [
            ("GridSample", "Relu", "no GridSample in the graph, whose input 1 is declared"),
            ("Add", "Sigmoid", "the coordinates of Add come from the input x without a Sigmoid between"),
        ],
    )
    def test_what_is_declared_and_is_not_so_is_refused(self, operator, behind, words):
        nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Add", ["c", "r"], ["y"])]
        with pytest.raises(Refused, match=words):
            coordinates(graph_of(*nodes, c=1.0), operator, 1, behind)


class TestRefused:
    def test_a_node_in_double_precision_is_named(self):
        node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE, name="wide")
        with pytest.raises(Refused, match="Cast wide: its result y is of type DOUBLE; expected float32"):
            lowered(graph_of(node, out=TensorProto.DOUBLE))

    def test_a_node_whose_type_nothing_tells_is_named(self):
        nodes = [helper.make_node("Unheard", ["x"], ["v"], domain="ours"), helper.make_node("Abs", ["v"], ["y"])]
        model = graph_of(*nodes)
        model.opset_import.append(helper.make_opsetid("ours", 1))
        with pytest.raises(Refused, match="Unheard v: its result v is of type unknown"):
            lowered(model)

    def test_a_node_with_a_graph_of_its_own_is_named(self):
        branch = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["b"])], "b", [], [helper.make_tensor_value_info("b", 1, None)]
        )
        node = helper.make_node("If", ["c"], ["y"], name="choice", then_branch=branch, else_branch=branch)
        with pytest.raises(Refused, match="If choice: holds a graph of its own"):
            lowered(graph_of(node, c=np.array(True)))

    def test_a_value_to_keep_that_nothing_makes_is_named(self):
        with pytest.raises(Refused, match="v9 is to stay in single precision, but no node"):
            lowered(COUNTED, {"v9"})

    def test_outputs_that_a_node_leaves_out_are_no_values(self):
        """Two nodes leave out their first output: one is kept, the other is rounded."""
        weights = {name: np.full(shape, 0.3, np.float32) for name, shape in (("w", (1, 4, 3)), ("r", (1, 4, 1)))}
        nodes = [
            helper.make_node("Unsqueeze", ["x", "first"], ["s"]),
            helper.make_node("LSTM", ["s", "w", "r"], ["", "kept"], hidden_size=1),
            helper.make_node("LSTM", ["s", "w", "r"], ["", "rounded"], hidden_size=1),
            helper.make_node("Sub", ["kept", "rounded"], ["both"]),
            helper.make_node("Squeeze", ["both", "first"], ["y"]),
        ]
        model = graph_of(*nodes, first=np.array([0]), **weights)
        fed = np.array([[0.1, 0.2, 0.3]], np.float32)
        kept, rounded, exact = run(lowered(model, {"kept"}), fed, "kept", "rounded", "rounded.exact")
        assert np.array_equal(rounded, halves(exact))
        assert not np.array_equal(kept, halves(kept))

    def test_double_precision_may_stay_where_single_is_kept(self):
        nodes = [
            helper.make_node("Cast", ["x"], ["d"], to=TensorProto.DOUBLE),
            helper.make_node("Cast", ["d"], ["s"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["s", "c"], ["y"]),
        ]
        model = lowered(graph_of(*nodes, c=2048.0), {"d", "s"})
        assert answer(model, 1, 2.0001, 3) == [2048, 2050, 2052]
