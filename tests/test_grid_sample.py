"""GridSample comes back in the place of the vendor's placeholder, found by its structure, with the same numbers."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from harness.agree import NOISE_FACTOR
from harness.networks.load import load_network, network_of
from harness.networks.rare import Rare
from harness.networks.seeded import condition
from harness.onnx_graph.export import torch_to_onnx
from harness.onnx_graph.grid_sample import export_placeholder, restore_grid_sample
from harness.sizes import BATCH, TensorSpec
from harness.step import Step, StepInput
from harness.verdict import Refused

SMALL = {"width": 0.125, "hidden": 16}
INPUT = TensorSpec(name="x", axes=(BATCH, 3, 32, 100), dtype="float32")
OUTPUT = TensorSpec(name="y", axes=(BATCH, 25, 38), dtype="float32")
BATCHES = (1, 4, 8)
CHAIN = ("Unsqueeze", "Pad", "Squeeze", "Transpose", "Add")


pytestmark = pytest.mark.usefixtures("one_thread")


def smooth_pictures() -> np.ndarray:
    """Smooth ones, as words are: noise would make of a grid that is off by 1e-5 a picture that is off by 1e-3."""
    small = np.random.default_rng(8).uniform(-1, 1, (8, 3, 4, 10)).astype(np.float32)
    return torch.nn.functional.interpolate(torch.from_numpy(small), (32, 100), mode="bilinear").numpy()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return smooth_pictures()


def run(graph: onnx.ModelProto | Path, *fed: np.ndarray) -> np.ndarray:
    """The first output in ONNX Runtime on one thread, without the fusions that regroup sums."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    content = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {value.name: array for value, array in zip(session.get_inputs(), fed, strict=True)})[0]


def operators(graph: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.graph.node)


def build(step: Step, source: Path, out: Path, opset: int) -> Path:
    out.mkdir()
    step.build(StepInput(sources=(source,), params={"opset": opset}, inputs=(INPUT,), outputs=(OUTPUT,)), out)
    return out / "model.onnx"


def moving_network(folder: Path) -> Path:
    """A narrow RARE whose fiducials move with the picture."""
    state = condition(Rare(**SMALL), 0)
    weight = state["transform.loc_net.fc2.weight"]
    noise = np.random.default_rng(0).standard_normal(tuple(weight.shape))
    state["transform.loc_net.fc2.weight"] = torch.from_numpy(0.02 * noise).to(weight.dtype)
    save_file(state, folder / "weights.safetensors")
    given = StepInput(sources=(folder,), network="harness.networks.rare:Rare", network_params=SMALL)
    network_of.build(given, folder)
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    return moving_network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def forms(network, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("forms")
    native = build(torch_to_onnx, network, root / "native", 16)
    placeholder = build(export_placeholder, network, root / "placeholder", 11)
    restored = build(restore_grid_sample, placeholder.parent, root / "restored", 16)
    return {"native": native, "placeholder": placeholder, "restored": restored}


@pytest.fixture
def restore(tmp_path):
    """Restores GridSample in a graph and returns the rewritten one."""

    def apply(graph: onnx.ModelProto, opset: int = 16) -> onnx.ModelProto:
        source, out = tmp_path / "source", tmp_path / "out"
        source.mkdir()
        out.mkdir()
        onnx.save(graph, source / "model.onnx")
        restore_grid_sample.build(StepInput(sources=(source,), params={"opset": opset}), out)
        return onnx.load(out / "model.onnx")

    return apply


class InTorch(NamedTuple):
    """What the network makes of the pictures, and how far another engine may be off it."""

    rectified: np.ndarray
    numbers: np.ndarray
    bound: float


@pytest.fixture(scope="module")
def in_torch(network, pictures) -> InTorch:
    module, fed = load_network(network), torch.from_numpy(pictures)
    with torch.inference_mode():
        rectified, single = module.transform(fed).numpy(), module(fed).numpy()
        double = module.double()(fed.double()).numpy()
    return InTorch(rectified, single, NOISE_FACTOR * float(np.abs(single - double).max()))


class TestNetwork:
    def test_the_placeholder_is_a_valid_graph_of_opset_11_with_one_chain(self, forms):
        graph = onnx.load(forms["placeholder"])
        onnx.checker.check_model(graph, full_check=True)
        assert graph.opset_import[0].version == 11
        plain = [node for node in graph.graph.node if node.op_type != "Constant"]
        at = next(index for index, node in enumerate(plain) if node.op_type == "Pad")
        found = plain[at - 1 : at + 4]
        assert tuple(node.op_type for node in found) == CHAIN
        assert all(after.input[0] == before.output[0] for before, after in pairwise(found))
        assert found[-1].input[1] == "x"
        assert (operators(graph)["Pad"], operators(graph)["GridSample"]) == (1, 0)

    def test_the_placeholder_runs_at_any_batch_and_its_numbers_mean_nothing(self, forms, pictures, in_torch):
        for batch in BATCHES:
            found = run(forms["placeholder"], pictures[:batch])
            assert found.shape == (batch, 25, 38)
            assert np.abs(found - in_torch.numbers[:batch]).max() > 0.1

    def test_the_restored_graph_has_the_operators_and_the_interface_of_the_native_one(self, forms):
        native, restored = onnx.load(forms["native"]), onnx.load(forms["restored"])
        assert operators(restored) == operators(native)
        assert operators(restored)["GridSample"] == 1
        assert (restored.graph.input, restored.graph.output) == (native.graph.input, native.graph.output)
        assert [restored.opset_import[0].version, restored.ir_version] == [16, native.ir_version]

    @pytest.mark.parametrize("batch", BATCHES)
    def test_the_restored_graph_gives_the_bits_of_the_native_one_and_the_numbers_of_torch(
        self, forms, pictures, in_torch, batch
    ):
        native, restored = (run(forms[name], pictures[:batch]) for name in ("native", "restored"))
        assert np.array_equal(native, restored)
        assert np.abs(restored - in_torch.numbers[:batch]).max() <= in_torch.bound < 1e-3

    def test_the_words_that_are_compared_are_moved_and_read_differently(self, pictures, in_torch):
        assert np.abs(in_torch.rectified - pictures).mean() > 0.02
        found = in_torch.numbers
        assert np.abs(found - np.roll(found, 1, axis=0)).max(axis=(1, 2)).min() > 0.1

    @pytest.mark.parametrize(
        ("name", "value"),
        [("align_corners", 0), ("padding_mode", "border"), ("mode", "nearest")],
        ids=lambda said: said,
    )
    def test_a_wrongly_restored_graph_is_caught_by_its_numbers(self, forms, pictures, in_torch, name, value):
        graph = onnx.load(forms["restored"])
        sample = next(node for node in graph.graph.node if node.op_type == "GridSample")
        kept = [found for found in sample.attribute if found.name != name]
        del sample.attribute[:]
        sample.attribute.extend([*kept, helper.make_attribute(name, value)])
        assert np.abs(run(graph, pictures) - in_torch.numbers).max() > in_torch.bound

    def test_a_network_that_does_not_rectify_is_refused(self, small_forms, tmp_path):
        with pytest.raises(Refused, match=r"Crnn has no transform\.sampler to put a placeholder for"):
            build(export_placeholder, small_forms["network"], tmp_path / "out", 11)

    @pytest.mark.parametrize("opset", [10, 13, 16])
    def test_a_placeholder_at_another_opset_is_refused(self, network, tmp_path, opset):
        with pytest.raises(Refused, match=f"asked for opset {opset}: the placeholder is written at 11 or 12"):
            build(export_placeholder, network, tmp_path / "out", opset)


def chain(  # the order of Paddle's nodes, as its converter writes them
    *,
    opset: int = 11,
    axis: int = 0,
    pads: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    mode: str = "constant",
    perm: tuple[int, ...] = (0, 3, 1, 2),
    said: str = "node",
    picture_first: bool = True,
    copied: bool = False,
    zeros: bool = False,
) -> onnx.ModelProto:
    """Sampling alone, N x 3 x 4 x 6 pictures at N x 4 x 6 x 2, as a placeholder. ``said`` is how the pads are given."""
    nodes: list[onnx.NodeProto] = []
    tensors: list[TensorProto] = []

    def then(operator: str, *given: str, **attributes: object) -> str:
        name = f"{operator.lower()}.{len(nodes)}"
        nodes.append(helper.make_node(operator, [*given], [name], name=name, **attributes))
        return then("Identity", name) if copied and operator != "Identity" else name

    def plus_zero(value: str, shape: tuple[int, ...], turned: list[int]) -> str:
        tensors.append(numpy_helper.from_array(np.zeros(shape, np.float32), f"zeros.{len(tensors)}"))
        turn = then("Transpose", value, perm=turned)
        return then("Transpose", then("Add", turn, tensors[-1].name), perm=turned)

    picture, grid = "picture", "grid"
    if zeros:
        picture, grid = plus_zero(picture, (1, 3, 6, 4), [0, 1, 3, 2]), plus_zero(grid, (1, 6, 4, 2), [0, 2, 1, 3])
    counted = numpy_helper.from_array(np.array(pads), "pads")
    grid = then("Unsqueeze", grid, axes=[axis])
    if said == "attribute":
        padded = then("Pad", grid, pads=pads, mode=mode)
    else:
        if said == "initialiser":
            tensors.append(counted)
        held = "pads" if said == "initialiser" else then("Constant", value=counted)
        zero = then("Constant", value=numpy_helper.from_array(np.array(0, np.float32)))
        padded = then("Pad", grid, held, zero, mode=mode)
    turned = then("Transpose", then("Squeeze", padded, axes=[axis]), perm=perm)
    added = then("Add", *((picture, turned) if picture_first else (turned, picture)))
    last = plus_zero(added, (1, 3, 6, 4), [0, 1, 3, 2]) if zeros else added
    nodes.append(helper.make_node("Relu", [last], ["sampled"], name="relu"))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (("picture", (3, 4, 6)), ("grid", (4, 6, 2)), ("sampled", (None, None, None)))
    ]
    graph = helper.make_graph(nodes, "placeholder", ends[:2], ends[2:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)


def sampled() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, a grid that leaves them here and there, and what torch samples."""
    rng = np.random.default_rng(1)
    fed = rng.uniform(-1, 1, (2, 3, 4, 6)).astype(np.float32)
    grid = rng.uniform(-1.3, 1.3, (2, 4, 6, 2)).astype(np.float32)
    found = torch.nn.functional.grid_sample(torch.from_numpy(fed), torch.from_numpy(grid), align_corners=True)
    return fed, grid, found.relu().numpy()


class TestChain:
    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"axis": 2},
            {"axis": -5},
            {"pads": (0, 0, 0, 0, 1, 0, 0, 0, 0, 0)},
            {"said": "initialiser"},
            {"said": "attribute", "opset": 10},
            {"picture_first": False},
            {"copied": True},
            {"zeros": True},
            {"zeros": True, "copied": True, "said": "initialiser"},
        ],
        ids=str,
    )
    def test_sampling_is_restored_however_the_converter_spells_its_placeholder(self, restore, said):
        fed, grid, expected = sampled()
        found = restore(chain(**said))
        assert operators(found)["GridSample"] == 1
        assert operators(found)["Pad"] == 0
        assert np.abs(run(found, fed, grid) - expected).max() < 1e-6

    def test_what_the_chain_leaves_unused_is_gone(self, restore):
        assert operators(restore(chain(copied=True))) == {"GridSample": 1, "Identity": 1, "Relu": 1}

    @pytest.mark.parametrize(
        "said",
        [
            {"pads": (0, 0, 0, 0, 0, 0, 0, 0, 0, 2)},
            {"pads": (0, 0, 0, 0, 1, 0, 0, 0, 0, 1)},
            {"pads": (0, 0, 0, 0, 2, 0, 0, 0, 0, -1)},
            {"pads": (0, 0, 0, 0, 0, 0, 0, 0, 1, 0)},
            {"pads": (0, 0, 0, 1, 0, 0, 0, 0, 0, 0)},
            {"perm": (0, 3, 2, 1)},
            {"mode": "edge"},
        ],
        ids=str,
    )
    def test_another_chain_is_no_placeholder(self, restore, said):
        with pytest.raises(Refused, match=r"no placeholder of GridSample: looked for .*; the graph has 1 Pad \(pad\."):
            restore(chain(**said))

    def test_a_graph_without_any_pad_is_refused(self, forms, restore):
        with pytest.raises(Refused, match=r"no placeholder of GridSample: looked for .*; the graph has no Pad"):
            restore(onnx.load(forms["restored"]))

    def test_a_value_between_that_something_else_uses_is_not_taken_away(self, restore):
        graph = chain()
        padded = next(node for node in graph.graph.node if node.op_type == "Pad").output[0]
        graph.graph.node.append(helper.make_node("Shape", [padded], ["size"], name="size"))
        graph.graph.output.append(helper.make_tensor_value_info("size", TensorProto.INT64, [5]))
        with pytest.raises(Refused, match="no placeholder of GridSample"):
            restore(graph)

    def test_a_sum_with_a_constant_samples_no_picture(self, restore):
        graph = chain()
        next(node for node in graph.graph.node if node.op_type == "Add").input[0] = "flat"
        graph.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, 4, 6), np.float32), "flat"))
        with pytest.raises(Refused, match="no placeholder of GridSample"):
            restore(graph)

    def test_two_placeholders_are_refused_with_their_places(self, restore):
        first, second = chain(), chain(picture_first=False)
        both = onnx.compose.merge_models(
            onnx.compose.add_prefix(first, "one/"), onnx.compose.add_prefix(second, "two/"), io_map=[]
        )
        with pytest.raises(Refused, match=r"2 placeholders of GridSample, expected one: .* one/add\.6, two/add\.6"):
            restore(both)

    @pytest.mark.parametrize("opset", [10, 12, 15, 20])
    def test_an_opset_without_bilinear_sampling_is_refused(self, restore, opset):
        with pytest.raises(Refused, match=f"asked for opset {opset}: bilinear GridSample exists from 16 to 19"):
            restore(chain(), opset)

    @pytest.mark.parametrize("opset", [16, 17, 18, 19])
    def test_the_restored_graph_has_the_opset_that_was_asked_for(self, restore, opset):
        fed, grid, expected = sampled()
        found = restore(chain(), opset)
        assert found.opset_import[0].version == opset
        assert np.abs(run(found, fed, grid) - expected).max() < 1e-6

    @pytest.mark.parametrize("name", ["align_corners", "padding_mode"])
    def test_sampling_without_its_settings_is_caught_by_its_numbers(self, restore, name):
        fed, grid, expected = sampled()
        graph = restore(chain())
        sample = next(node for node in graph.graph.node if node.op_type == "GridSample")
        value = {"align_corners": 0, "padding_mode": "border"}[name]
        kept = [found for found in sample.attribute if found.name != name]
        del sample.attribute[:]
        sample.attribute.extend([*kept, helper.make_attribute(name, value)])
        assert np.abs(run(graph, fed, grid) - expected).max() > 0.1
