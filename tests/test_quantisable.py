"""A graph as converters write it becomes one that a quantiser can work on, and stays the same network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from harness.onnx_graph.edit import MODEL
from harness.onnx_graph.paddle import paddle_to_onnx
from harness.quantize.quantisable import quantisable
from harness.registry import load_models
from harness.step import StepInput
from harness.verdict import Refused
from tests.quantised_graphs import X, drawn, model_of, scored


def made(model: onnx.ModelProto, folder: Path) -> tuple[onnx.ModelProto, dict[str, object]]:
    """What the step makes of a graph, and its facts."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    onnx.save(model, folder / MODEL)
    facts = quantisable.build(StepInput(sources=(folder,)), out)
    return onnx.load(out / MODEL), dict(facts)


def as_converted(opset: int = 11) -> onnx.ModelProto:
    """Weights in Constant nodes, a normalisation behind a convolution, no names: as paddle2onnx writes it."""
    draw = np.random.default_rng(0).standard_normal
    held = {"w": draw((8, 3, 3, 3)), "b": draw(8), "scale": draw(8), "shift": draw(8), "mean": draw(8)}
    held |= {"var": draw(8) ** 2, "w1": draw((8, 3)), "zero": np.array(0), "six": np.array(6)}
    constants = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array.astype(np.float32)))
        for name, array in held.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Clip", ["g", "zero", "six"], ["k"]),
        helper.make_node("Flatten", ["k"], ["f"]),
        helper.make_node("MatMul", ["f", "w1"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y"], axis=1),
    ]
    return model_of([*constants, *nodes], {}, opset=opset)


def run(model: onnx.ModelProto, fed: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": fed})
    return found


def operators(model: onnx.ModelProto) -> dict[str, int]:
    return dict(Counter(each.op_type for each in model.graph.node))


class TestGraph:
    def test_what_a_gemm_multiplies_its_bias_by_is_worked_into_that(self, tmp_path):
        source = scored()
        gemm = next(node for node in source.graph.node if node.op_type == "Gemm")
        gemm.attribute.append(helper.make_attribute("beta", 0.5))
        model, _ = made(source, tmp_path)
        (found,) = [node for node in model.graph.node if node.op_type == "Gemm"]
        assert [said.name for said in found.attribute] == ["transB"]
        assert np.array_equal(run(model, drawn(X)), run(source, drawn(X)))
        assert not np.array_equal(run(model, drawn(X)), run(scored(), drawn(X)))

    def test_weights_are_initialisers_and_the_normalisation_is_folded(self, tmp_path):
        model, facts = made(as_converted(), tmp_path)
        assert facts == {
            "opset": 13,
            "nodes": 7,
            "constants": 9,
            "normalisations_folded": 1,
            "normalisations_left": 0,
        }
        assert operators(model) == {
            "Conv": 1,
            "Relu": 1,
            "Clip": 1,
            "GlobalAveragePool": 1,
            "Flatten": 1,
            "MatMul": 1,
            "Softmax": 1,
        }
        assert [entry.version for entry in model.opset_import] == [13]

    @pytest.mark.parametrize("batch", [1, 5])
    def test_it_is_the_same_network_at_any_batch(self, tmp_path, batch):
        before = as_converted()
        after, _ = made(before, tmp_path)
        fed = drawn(X, count=batch)
        assert np.abs(run(after, fed) - run(before, fed)).max() < 1e-6
        assert np.abs(run(after, -fed) - run(before, fed)).max() > 1e-3

    def test_inputs_and_outputs_stay(self, tmp_path):
        before = as_converted()
        after, _ = made(before, tmp_path)
        assert list(after.graph.input) == list(before.graph.input)
        assert list(after.graph.output) == list(before.graph.output)

    def test_every_node_has_a_name_to_itself_and_keeps_the_one_it_had(self, tmp_path):
        before = scored()
        for each in before.graph.node[:2]:
            each.name = ""
        for each in before.graph.node[2:4]:
            each.name = "twice"
        names = [each.name for each in made(before, tmp_path)[0].graph.node]
        assert len(set(names)) == len(names)
        assert names[:4] == ["Conv:c0", "Relu:r0", "MaxPool:m0", "Conv:c1"]
        assert names[4:] == [each.name for each in before.graph.node[4:]]

    def test_the_file_is_the_same_bytes_again(self, tmp_path):
        first, second = (made(as_converted(), tmp_path)[0].SerializeToString() for _ in range(2))
        assert first == second

    def test_a_later_opset_stays(self, tmp_path):
        model, facts = made(model_of(scored().graph.node, held(scored()), opset=17), tmp_path)
        assert facts["opset"] == 17
        assert operators(model) == operators(scored())

    def test_what_it_makes_does_not_change_when_it_is_made_again(self, tmp_path):
        model, _ = made(as_converted(), tmp_path)
        again, facts = made(model, tmp_path)
        assert again.SerializeToString() == model.SerializeToString()
        assert (facts["constants"], facts["normalisations_folded"]) == (0, 0)


class TestRefused:
    def test_the_vendors_own_operators_are_named_with_what_to_do(self, tmp_path):
        model = scored()
        model.graph.node[0].op_type = "PyOp"
        model.graph.node[0].domain = "knight"
        with pytest.raises(Refused, match=r"1 nodes of type PyOp.*TS\.Knight.*replace_operator\.py"):
            made(model, tmp_path)

    def test_an_operator_that_has_no_later_counterpart_is_named(self, tmp_path):
        model = as_converted()
        model.graph.node[-1].op_type = "Softermax"
        with pytest.raises(Refused, match=r"opset 11 does not become 13.*Softermax"):
            made(model, tmp_path)


def held(model: onnx.ModelProto) -> dict[str, NDArray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


class TestNetworks:
    def test_a_published_program_is_the_same_network(self, shared, tmp_path):
        pytest.importorskip("paddle2onnx")
        source = shared / "assets/weights/ppocrv3/ch_ppocr_mobile_v2.0_cls_infer"
        if not source.is_dir():
            pytest.skip(f"no folder {source}: the published weights of ppocr_cls")
        model = load_models()["ppocr_cls"]
        given = StepInput(sources=(source,), params={"opset": 11}, inputs=model.inputs, outputs=model.outputs)
        paddle_to_onnx.build(given, tmp_path)
        before = onnx.load(tmp_path / MODEL)
        after, facts = made(before, tmp_path)
        assert (facts["constants"], facts["normalisations_folded"], facts["normalisations_left"]) == (290, 35, 0)
        fed = drawn(model.inputs[0], count=2)
        assert np.abs(run(after, fed) - run(before, fed)).max() < 1e-6
