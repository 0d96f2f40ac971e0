"""Sizes that a graph works out at run time become constant scales, to the bit, or the graph is refused."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from harness.networks.db import DbNet
from harness.networks.seeded import condition
from harness.onnx_graph.edit import Graph
from harness.onnx_graph.export import write_graph
from harness.onnx_graph.resize import constant_scales, scale_of
from harness.sizes import BATCH, Symbol, TensorSpec
from harness.step import StepInput
from harness.verdict import Refused

SIZES = [(96, 160), (96, 672), (640, 640)]
NODES = {10: (282, 144), 11: (276, 150)}
"""Before and after; the same at any width. Opset 11 keeps six empty regions."""
GONE = {"Shape", "Gather", "Mul", "Cast", "Floor", "Unsqueeze", "Slice", "Div"}


pytestmark = pytest.mark.usefixtures("one_thread")


def run(graph: onnx.ModelProto, fed: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: fed})[0]


def pictures(height: int, width: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(height)
    return rng.uniform(-0.5, 0.5, (1, channels, height, width)).astype(np.float32)


def rewritten(graph: onnx.ModelProto, folder: Path) -> tuple[onnx.ModelProto, dict[str, object]]:
    """What the step makes of a graph, and its facts."""
    source, out = folder / "source", folder / "out"
    for each in (source, out):
        each.mkdir()
    onnx.save(graph, source / "model.onnx")
    facts = constant_scales.build(StepInput(sources=(source,)), out)
    return onnx.load(out / "model.onnx"), dict(facts)


def operators(graph: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.graph.node)


@pytest.fixture(scope="module", params=[10, 11])
def opset(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def db(opset: int, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """A narrow DB with seeded weights, as it is exported."""
    network = DbNet(width=0.0625)
    network.load_state_dict(condition(network, 7))
    sides = [Symbol(name=name, low=32, high=4096, multiple=32) for name in ("height", "width")]
    given = StepInput(
        params={"opset": opset},
        inputs=(TensorSpec(name="input", axes=(BATCH, 3, *sides), dtype="float32"),),
        outputs=(TensorSpec(name="output", axes=(BATCH, 1, *sides), dtype="float32"),),
    )
    folder = tmp_path_factory.mktemp("db")
    write_graph(network.eval(), given, folder)
    return onnx.load(folder / "model.onnx")


@pytest.fixture(scope="module")
def scaled(db: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> tuple[onnx.ModelProto, dict[str, object]]:
    return rewritten(db, tmp_path_factory.mktemp("scaled"))


class TestDb:
    def test_every_chain_is_gone_and_every_resize_is_still_there(self, db, scaled, opset):
        graph, facts = scaled
        before, after = NODES[opset]
        assert (len(db.graph.node), facts) == (before, {"rewritten": 6, "nodes": after})
        assert len(graph.graph.node) == after
        assert operators(graph)["Resize"] == operators(db)["Resize"] == 6
        assert operators(graph).keys() & GONE == set()
        assert graph.opset_import == db.opset_import
        assert (graph.graph.input, graph.graph.output) == (db.graph.input, db.graph.output)

    def test_the_scales_are_those_of_the_network(self, scaled):
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in scaled[0].graph.initializer}
        found = [constants[node.input[-1]].tolist() for node in scaled[0].graph.node if node.op_type == "Resize"]
        assert sorted(found) == [[1, 1, scale, scale] for scale in (2, 2, 2, 2, 4, 8)]

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_the_numbers_are_the_same_to_the_bit(self, db, scaled, size):
        expected = run(db, pictures(*size))
        assert expected.std() > 0.05
        assert np.array_equal(run(scaled[0], pictures(*size)), expected)

    def test_nothing_is_left_to_do_after_it(self, scaled, tmp_path):
        with pytest.raises(Refused, match="6 Resize in the graph, none with a size worked out at run time"):
            rewritten(scaled[0], tmp_path)


class Enlarged(nn.Module):
    """Resizes features to what a rule says of them."""

    def __init__(self, rule: Callable[[Tensor], list[Tensor]]) -> None:
        super().__init__()
        self.before = nn.Conv2d(2, 2, 1)
        self.rule = rule

    def forward(self, features: Tensor) -> Tensor:
        features = self.before(features)
        return nn.functional.interpolate(features, size=self.rule(features))


def exported(network: nn.Module, opset: int, folder: Path) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 2, 6, 8),),
            str(folder / "made.onnx"),
            input_names=["x"],
            output_names=["y"],
            opset_version=opset,
            dynamic_axes={"x": {2: "height", 3: "width"}},
            dynamo=False,
        )
    return onnx.load(folder / "made.onnx")


def floored(features: Tensor) -> list[Tensor]:
    """As the exporters of the guide's time wrote a scale: in single precision, rounded down."""
    return [torch.floor(features.shape[axis].float() * torch.tensor(2.0)).int() for axis in (2, 3)]


def by(height: int, width: int, more: int = 0) -> Callable[[Tensor], list[Tensor]]:
    return lambda features: [features.shape[2] * height + more, features.shape[3] * width + more]


ACCEPTED = {"doubled": (by(2, 2), 2), "times 3": (by(3, 3), 3), "times 1": (by(1, 1), 1), "rounded": (floored, 2)}
REFUSED = {
    "two scales": (by(2, 3), r"scales \[1.0, 1.0, 2.0, 3.0\], expected \[1, 1, s, s\]"),
    "a border": (by(2, 2, more=1), r"at one size and .* at another"),
    "a fraction": (lambda x: [x.shape[2] * 3 // 2, x.shape[3] * 3 // 2], r"at one size and .* at another"),
    "even sizes": (lambda x: [x.shape[2] // 2 * 4, x.shape[3] // 2 * 4], r"at one size and .* at another"),
    "turned": (lambda x: [x.shape[3] * 2, x.shape[2] * 2], r"at one size and .* at another"),
    "limited": (
        lambda x: [torch.minimum(x.shape[axis] * 2, torch.tensor(2000)) for axis in (2, 3)],
        r"at one size and .* at another",
    ),
}


@pytest.mark.parametrize("made_at", [10, 11, 18])
class TestChains:
    @pytest.mark.parametrize(("rule", "scale"), ACCEPTED.values(), ids=ACCEPTED)
    def test_the_scale_is_what_the_chain_gives(self, rule, scale, made_at, tmp_path):
        graph = exported(Enlarged(rule), made_at, tmp_path)
        found, facts = rewritten(graph, tmp_path)
        (resize,) = [node for node in found.graph.node if node.op_type == "Resize"]
        assert Graph(found).constant(resize.input[-1]).tolist() == [1, 1, scale, scale]
        assert facts["rewritten"] == 1
        for size in ((6, 8), (7, 31)):
            fed = pictures(*size, channels=2)
            assert np.array_equal(run(found, fed), run(graph, fed))

    @pytest.mark.parametrize(("rule", "told"), REFUSED.values(), ids=REFUSED)
    def test_what_is_no_scale_at_every_size_is_refused(self, rule, told, made_at, tmp_path):
        graph = exported(Enlarged(rule), made_at, tmp_path)
        with pytest.raises(Refused, match=told):
            rewritten(graph, tmp_path)


class Beside(nn.Module):
    """Enlarges features to the size of others, which happen to be twice as large where sides are even."""

    def __init__(self) -> None:
        super().__init__()
        self.halve = nn.Conv2d(2, 2, 2, 2)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.interpolate(self.halve(features), size=features.shape[2:])


class TestRefusals:
    def test_a_size_that_is_taken_from_elsewhere_is_refused(self, tmp_path):
        graph = exported(Beside(), 11, tmp_path)
        with pytest.raises(Refused, match=r"its size depends on x, expected the shape of \S+ alone"):
            rewritten(graph, tmp_path)

    def test_a_graph_with_constant_scales_is_refused(self, tmp_path):
        graph = exported(nn.Upsample(scale_factor=2), 11, tmp_path)
        with pytest.raises(Refused, match="1 Resize in the graph, none with a size worked out at run time"):
            rewritten(graph, tmp_path)

    def test_a_graph_without_resize_is_refused(self, tmp_path):
        graph = exported(nn.Conv2d(2, 2, 1), 11, tmp_path)
        with pytest.raises(Refused, match=r"0 Resize in the graph, .*nothing to rewrite"):
            rewritten(graph, tmp_path)

    def test_a_resize_in_a_body_is_refused_beside_one_that_could_be_rewritten(self, tmp_path):
        graph = exported(Enlarged(by(2, 2)), 11, tmp_path)
        scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice")
        outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
        bodies = [
            helper.make_graph([helper.make_node("Resize", ["y", "", "twice"], ["z"])], name, [], outputs, [scales])
            for name in ("then", "else")
        ]
        graph.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
        graph.graph.node.append(helper.make_node("If", ["always"], ["w"], then_branch=bodies[0], else_branch=bodies[1]))
        graph.graph.output.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, None))
        with pytest.raises(Refused, match="a Resize in the body of If, Loop or Scan"):
            rewritten(graph, tmp_path)

    def test_one_that_cannot_be_told_leaves_none_rewritten(self, tmp_path):
        network = nn.Sequential(Enlarged(by(2, 2)), Enlarged(by(2, 3)))
        with pytest.raises(Refused, match="expected"):
            rewritten(exported(network, 11, tmp_path), tmp_path)
        assert not (tmp_path / "out" / "model.onnx").exists()


def test_a_node_without_a_name_is_told_by_its_output(tmp_path):
    graph = exported(Enlarged(by(2, 3)), 11, tmp_path)
    for node in graph.graph.node:
        node.name = ""
    (resize,) = [node for node in graph.graph.node if node.op_type == "Resize"]
    with pytest.raises(Refused, match=r"^y: scales"):
        scale_of(Graph(graph), resize)
