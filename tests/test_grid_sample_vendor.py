"""GridSample under opset 11, as the vendor's compiler takes it: the same graph, which nothing else takes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, version_converter

from harness.onnx_graph.grid_sample import export_placeholder, restore_grid_sample
from harness.step import StepInput
from harness.verdict import Refused
from tests.test_grid_sample import CHAIN, build, chain, moving_network, operators, run, smooth_pictures

OPSETS = {"restored": 16, "vendor": 11}


@pytest.fixture(scope="module")
def forms(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("forms")
    placeholder = build(
        export_placeholder, moving_network(tmp_path_factory.mktemp("network")), root / "placeholder", 11
    )
    made = {name: build(restore_grid_sample, placeholder.parent, root / name, opset) for name, opset in OPSETS.items()}
    return {"placeholder": placeholder, **made}


@pytest.fixture
def restore(tmp_path):
    """Restores GridSample in a graph at opset 11 and returns the rewritten one."""

    def apply(graph: onnx.ModelProto) -> onnx.ModelProto:
        onnx.save(graph, tmp_path / "model.onnx")
        out = tmp_path / "out"
        out.mkdir()
        restore_grid_sample.build(StepInput(sources=(tmp_path,), params={"opset": 11}), out)
        return onnx.load(out / "model.onnx")

    return apply


def contributed(path: Path, align_corners: int = 1) -> onnx.ModelProto:
    """The graph with Microsoft's GridSample in the place of ONNX's: that one runs at any opset."""
    graph = onnx.load(path)
    sample = next(node for node in graph.graph.node if node.op_type == "GridSample")
    sample.domain = "com.microsoft"
    next(said for said in sample.attribute if said.name == "align_corners").i = align_corners
    graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return graph


def test_the_placeholder_is_gone_and_nothing_else_changes(forms):
    before, after = onnx.load(forms["placeholder"]), onnx.load(forms["vendor"])
    assert [entry.version for entry in after.opset_import] == [11]
    assert after.ir_version == before.ir_version
    # The constant of the Pad goes with it.
    gone = Counter(CHAIN) + Counter(["Constant"])
    assert operators(after) == operators(before) - gone + Counter(["GridSample"])
    assert (after.graph.input, after.graph.output) == (before.graph.input, before.graph.output)
    kept = {node.output[0]: node for node in before.graph.node}
    assert all(node == kept[node.output[0]] for node in after.graph.node if node.op_type != "GridSample")


def test_it_samples_as_the_guide_says(forms):
    sample = next(node for node in onnx.load(forms["vendor"]).graph.node if node.op_type == "GridSample")
    said = {each.name: helper.get_attribute_value(each) for each in sample.attribute}
    assert said == {"mode": b"bilinear", "padding_mode": b"zeros", "align_corners": 1}
    assert (sample.domain, sample.input[0]) == ("", "x")


def test_onnx_runtime_and_the_checker_refuse_it(forms):
    with pytest.raises(onnx.checker.ValidationError, match="No Op registered for GridSample"):
        onnx.checker.check_model(str(forms["vendor"]))
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph, match="GridSample"):
        onnxruntime.InferenceSession(str(forms["vendor"]), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_its_numbers_are_those_of_the_restored_graph_where_the_operator_is_known(forms, batch):
    fed = smooth_pictures()[:batch]
    expected = run(forms["restored"], fed)
    assert np.abs(run(contributed(forms["vendor"]), fed) - expected).max() < 1e-6
    assert np.abs(run(contributed(forms["vendor"], align_corners=0), fed) - expected).max() > 1e-3


def test_paddles_own_order_of_nodes_is_restored_too(restore):
    found = restore(chain(zeros=True, copied=True))
    assert operators(found)["GridSample"] == 1
    assert operators(found)["Pad"] == 0
    assert found.opset_import[0].version == 11


def test_a_placeholder_at_another_opset_is_not_lowered(restore):
    with pytest.raises(Refused, match=r"asked for opset 11 of a graph at \[12\]: make the placeholder at 11"):
        restore(version_converter.convert_version(chain(), 12))


def test_a_graph_without_a_placeholder_is_refused_as_at_any_opset(restore):
    with pytest.raises(Refused, match="no placeholder of GridSample"):
        restore(chain(mode="edge"))


def test_what_is_wrong_beside_it_is_found(restore):
    graph = chain()
    relu = next(node for node in graph.graph.node if node.op_type == "Relu")
    relu.attribute.append(helper.make_attribute("axes", [0]))
    with pytest.raises(onnx.checker.ValidationError, match="Unrecognized attribute: axes"):
        restore(graph)
