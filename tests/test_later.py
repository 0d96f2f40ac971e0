"""A graph in a vendor's spelling is checked in all but the operators that its opset does not have yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from harness.assets import Assets
from harness.cells import Ask
from harness.onnx_graph.inspect import inspect
from harness.onnx_graph.later import check_with_later
from harness.questions import build
from harness.registry import load_models
from harness.store import Store
from harness.verdict import Verdict
from harness.workbench import Workbench


def sampling(opset: int = 11, **changes: object) -> onnx.ModelProto:
    """GridSample at an opset that has none, and a Relu behind it."""
    said = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": 1} | changes
    nodes = [
        helper.make_node("GridSample", ["x", "grid"], ["sampled"], **said),
        helper.make_node("Relu", ["sampled"], ["y"]),
    ]
    shapes = {"x": ["batch", 3, 4, 6], "grid": ["batch", 4, 6, 2], "y": ["batch", 3, 4, 6]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "sampling", ends[:2], ends[2:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)


def test_a_later_operator_is_taken_and_the_graph_left_as_it_is():
    graph = sampling()
    before = graph.SerializeToString()
    with pytest.raises(onnx.checker.ValidationError, match="No Op registered for GridSample"):
        onnx.checker.check_model(graph)
    check_with_later(graph)
    assert graph.SerializeToString() == before


def test_a_graph_without_one_is_checked_as_ever():
    check_with_later(sampling(16))


def test_a_file_is_inspected_so_where_it_is_asked_for(tmp_path):
    onnx.save(sampling(), tmp_path / "model.onnx")
    with pytest.raises(onnx.checker.ValidationError):
        inspect(tmp_path / "model.onnx")
    found = inspect(tmp_path / "model.onnx", later=True)
    assert (found.opset, dict(found.operators)) == (11, {"GridSample": 1, "Relu": 1})


@pytest.mark.parametrize("opset", [11, 16])
class TestSaboteurs:
    """What is wrong with it beside is found, in the later operator and in the others."""

    def test_a_later_operator_with_too_few_inputs(self, opset):
        graph = sampling(opset)
        del graph.graph.node[0].input[1]
        with pytest.raises(onnx.checker.ValidationError, match=r"GridSample:16.* has input size 1"):
            check_with_later(graph)

    def test_a_later_operator_with_an_attribute_that_it_does_not_have(self, opset):
        with pytest.raises(onnx.checker.ValidationError, match="Unrecognized attribute: nearest"):
            check_with_later(sampling(opset, nearest=1))

    def test_a_value_that_nothing_makes(self, opset):
        graph = sampling(opset)
        graph.graph.node[1].input[0] = "nowhere"
        with pytest.raises(onnx.checker.ValidationError, match="nowhere"):
            check_with_later(graph)

    def test_an_operator_that_no_opset_has(self, opset):
        graph = sampling(opset)
        graph.graph.node[1].op_type = "Rleu"
        with pytest.raises(onnx.checker.ValidationError, match="No Op registered for Rleu"):
            check_with_later(graph)

    def test_an_attribute_that_the_operators_own_opset_does_not_have(self, opset):
        graph = sampling(opset)
        graph.graph.node[1].attribute.append(helper.make_attribute("axes", [0]))
        with pytest.raises(onnx.checker.ValidationError, match="Unrecognized attribute: axes"):
            check_with_later(graph)


def test_a_later_operator_in_the_body_of_an_if_is_taken_too():
    out = helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["batch", 3, 4, 6])
    branch = helper.make_graph([helper.make_node("GridSample", ["x", "grid"], ["inner"])], "branch", [], [out])
    graph = sampling()
    del graph.graph.node[:]
    graph.graph.input.append(helper.make_tensor_value_info("chosen", TensorProto.BOOL, []))
    graph.graph.node.append(helper.make_node("If", ["chosen"], ["y"], then_branch=branch, else_branch=branch))
    check_with_later(graph)
    branch.node[0].input.pop()
    del graph.graph.node[:]
    graph.graph.node.append(helper.make_node("If", ["chosen"], ["y"], then_branch=branch, else_branch=branch))
    with pytest.raises(onnx.checker.ValidationError, match="has input size 1"):
        check_with_later(graph)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Workbench:
    folder: Path = tmp_path_factory.mktemp("bench")
    return Workbench(Store(folder / "store"), Assets(), folder)


class TestBuild:
    """The build question takes a vendor's spelling from the forms that a recipe compiles, and from no others."""

    def asked(self, model, form: str) -> Ask:
        return Ask("build", model, model.form(form), None, "bundled")

    def test_the_form_that_is_compiled_is_as_declared(self, bench):
        found = build.ask(bench, self.asked(load_models()["rare"], "vendor"))
        assert found.verdict is Verdict.PASS, found.line
        assert found.figures["opset"] == 11

    def test_one_that_nothing_compiles_is_no_valid_graph(self, bench):
        with pytest.raises(onnx.checker.ValidationError, match="No Op registered for GridSample"):
            build.ask(bench, self.asked(replace(load_models()["rare"], recipes={}), "vendor"))

    def test_one_whose_operators_are_not_as_declared_is_told(self, bench):
        rare = load_models()["rare"]
        wrong = replace(rare.form("vendor"), operators={"GridSample": 2})
        forms = tuple(wrong if form.name == "vendor" else form for form in rare.forms)
        found = build.ask(bench, self.asked(replace(rare, forms=forms), "vendor"))
        assert (found.verdict, found.line) == (Verdict.FAIL, "1 nodes of GridSample, declared 2")
