"""The detector's twin gives what the published program gives, at every size, and so do its graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from harness.checkpoints.paddle_layers import state_of
from harness.checkpoints.paddle_program import Program, read_parameters, read_program
from harness.networks.load import check_state
from harness.networks.mobilenet_v3 import MobileNetV3Large
from harness.networks.ppocr_det import RSEFPN, PpocrDet, RSELayer
from harness.networks.seeded import condition
from harness.networks.squeeze_excitation import SEModule
from harness.onnx_graph.export import write_graph
from harness.onnx_graph.half import LARGEST, lowered, spoilt_weights
from harness.onnx_graph.paddle import paddle_to_onnx
from harness.preprocess.scene import stretch_normalised
from harness.sizes import BATCH, Symbol, TensorSpec
from harness.step import StepInput
from harness.verdict import Refused

HEIGHT, WIDTH = (Symbol(name=name, low=32, high=4096, multiple=32) for name in ("height", "width"))
INPUT = TensorSpec(name="x", axes=(BATCH, 3, HEIGHT, WIDTH), dtype="float32")
OUTPUT = TensorSpec(name="sigmoid_0.tmp_0", axes=(BATCH, 1, HEIGHT, WIDTH), dtype="float32")
SIZES = [(320, 576), (352, 640)]
"""At these the published network finds text; one has an odd number of rows at its coarsest level."""
PICTURES = ("img_10.jpg", "img_12.jpg")
NARROW = 0.1


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def files(shared: Path) -> Path:
    return shared / "assets" / "weights" / "ppocrv3" / "ch_PP-OCRv3_det_infer"


@pytest.fixture(scope="module")
def published(files: Path) -> tuple[Program, dict[str, NDArray]]:
    program = read_program(files / "inference.pdmodel")
    return program, read_parameters(files / "inference.pdiparams", program)


@pytest.fixture
def twin(published: tuple[Program, dict[str, NDArray]]) -> PpocrDet:
    network = PpocrDet().eval()
    network.load_state_dict(state_of(network, *published))
    return network


@pytest.fixture(scope="module")
def converted(files: Path, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    """The published program as the declared step converts it."""
    out = tmp_path_factory.mktemp("converted")
    paddle_to_onnx.build(StepInput(sources=(files,), params={"opset": 11}, inputs=(INPUT,), outputs=(OUTPUT,)), out)
    return onnx.load(out / "model.onnx")


@pytest.fixture(scope="module")
def scenes(shared: Path) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Two pictures with text, at each size."""
    contents = [(shared / "assets" / "icdar2015" / "test_images" / name).read_bytes() for name in PICTURES]
    return {size: np.stack([stretch_normalised(content, (3, *size)) for content in contents]) for size in SIZES}


@pytest.fixture(scope="module")
def answers(converted: onnx.ModelProto, scenes: dict) -> dict[tuple[int, int], NDArray[np.float32]]:
    """What the converted graph says of the pictures."""
    return {size: run(converted, fed) for size, fed in scenes.items()}


@pytest.fixture
def narrow() -> PpocrDet:
    """A fifth of the published width, with weights of a seed."""
    network = PpocrDet(scale=NARROW)
    network.load_state_dict(condition(network, 7))
    return network.eval()


def run(model: onnx.ModelProto, fed: NDArray) -> NDArray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["sigmoid_0.tmp_0"], {"x": fed})[0]


def both(network: nn.Module, fed: NDArray) -> tuple[NDArray, NDArray]:
    """The maps in single and in double precision."""
    with torch.inference_mode():
        single = network(torch.from_numpy(fed)).numpy()
        double = network.double()(torch.from_numpy(fed).double()).numpy()
    network.float()
    return single, double


def exported(network: nn.Module, out: Path) -> onnx.ModelProto:
    write_graph(network, StepInput(params={"opset": 11}, inputs=(INPUT,), outputs=(OUTPUT,)), out)
    return onnx.load(out / "model.onnx")


def counted(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def axes(model: onnx.ModelProto) -> list[list[str | int]]:
    values = (*model.graph.input, *model.graph.output)
    return [[size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim] for value in values]


class TestStructure:
    def test_the_published_network_has_the_published_widths(self):
        network = PpocrDet()
        assert sum(parameter.numel() for parameter in network.parameters()) == 580_161
        assert network.backbone.out_channels == (16, 24, 56, 480)
        assert [len(stage) for stage in list(network.backbone.children())[1:]] == [3, 3, 6, 4]

    def test_stages_are_at_a_quarter_and_half_of_that_each(self):
        backbone = MobileNetV3Large(NARROW).eval()
        with torch.inference_mode():
            shapes = [tuple(features.shape[1:]) for features in backbone(torch.zeros(1, 3, 64, 96))]
        sides = [(64 // stride, 96 // stride) for stride in (4, 8, 16, 32)]
        assert shapes == [(channels, *side) for channels, side in zip(backbone.out_channels, sides, strict=True)]

    def test_levels_are_added_from_the_coarsest_and_stand_in_that_order(self):
        """With convolutions that pass on and gates of 0, the finest level holds the sum of all."""
        neck = RSEFPN((1, 1, 1, 1), 16)
        for layer in neck.modules():
            if isinstance(layer, RSELayer):
                nn.init.zeros_(layer.in_conv.weight)
                nn.init.constant_(layer.in_conv.weight[:, :1, layer.in_conv.padding[0], layer.in_conv.padding[0]], 1)
                nn.init.zeros_(layer.se_block.conv2.weight)
                nn.init.constant_(layer.se_block.conv2.bias, -9)
        levels = [torch.full((1, 1, 8 >> level, 16 >> level), 10.0**level) for level in range(4)]
        levels[3][..., 0] = 0
        with torch.inference_mode():
            found = neck(levels)[0, ::4]
        assert found.shape == (4, 8, 16)
        assert found[:, 0, 15].tolist() == [1000, 1100, 1110, 1111]
        assert found[:, 7, 7].tolist() == [0, 100, 110, 111]

    def test_a_map_is_as_large_as_its_picture_and_depends_on_no_other(self, narrow):
        pictures = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 3, 64, 96)).astype(np.float32))
        with torch.inference_mode():
            together, alone = narrow(pictures), narrow(pictures[1:2])
        assert together.shape == (3, 1, 64, 96)
        assert torch.allclose(together[1:2], alone, atol=1e-5)

    def test_every_weight_is_trained_and_a_step_down_learns(self):
        torch.manual_seed(1)
        network = PpocrDet(scale=NARROW)
        pictures, wanted = torch.randn(2, 3, 32, 64), torch.zeros(2, 1, 32, 64)
        wanted[..., 8:24, 16:48] = 1
        losses = []
        for _ in range(4):
            network.zero_grad()
            loss = nn.functional.binary_cross_entropy(network(pictures), wanted)
            loss.backward()
            losses.append(loss.item())
            assert [name for name, weight in network.named_parameters() if weight.grad is None] == []
            with torch.no_grad():
                for weight in network.parameters():
                    weight.sub_(0.3 * weight.grad)
        assert losses[-1] < 0.95 * losses[0] < 0.95


class TestPublished:
    def test_every_stored_tensor_has_its_place(self, published):
        program, tensors = published
        state = state_of(PpocrDet(), program, tensors)
        check_state(PpocrDet(), state)
        counts = [key for key in state if key.endswith("num_batches_tracked")]
        assert (len(tensors), len(state) - len(counts), len(counts)) == (288, 288, 49)

    @pytest.mark.parametrize("level", range(4))
    def test_layers_of_the_neck_are_those_that_training_numbered(self, published, level):
        """Paddle numbers layers as they are built: of each level the narrowing one and then the merging one."""
        program, tensors = published
        state = state_of(PpocrDet(), program, tensors)
        for place, part in enumerate(("ins_conv", "inp_conv")):
            number = 47 + 6 * level + 3 * place
            layers = ("in_conv", "se_block.conv1", "se_block.conv2")
            for layer, stored in zip(layers, range(number, number + 3), strict=True):
                key = f"neck.{part}.{level}.{layer}.weight"
                assert np.array_equal(state[key].numpy(), tensors[f"conv2d_{stored}.w_0"])

    def test_a_neck_in_the_order_of_its_numbers_is_refused(self, published):
        network = PpocrDet()
        network.neck.ins_conv = nn.ModuleDict(dict(sorted(network.neck.ins_conv.items())))
        with pytest.raises(Refused, match=r"neck\.ins_conv\.\d\.in_conv\.weight: the checkpoint has shape"):
            check_state(network, state_of(network, *published))

    def test_the_converted_graph_keeps_its_names_and_open_sizes(self, converted):
        assert axes(converted) == [["batch", 3, "height", "width"], ["batch", 1, "height", "width"]]
        found = counted(converted)
        assert len(converted.graph.node) == 660
        assert {name: found[name] for name in ("Conv", "ConvTranspose", "Resize", "HardSigmoid", "HardSwish")} == {
            "Conv": 72,
            "ConvTranspose": 2,
            "Resize": 6,
            "HardSigmoid": 8,
            "HardSwish": 0,
        }

    @pytest.mark.parametrize("size", SIZES)
    def test_the_twin_agrees_with_the_converted_graph_on_pictures(self, twin, answers, scenes, size):
        fed = scenes[size]
        single, double = both(twin, fed)
        noise = np.abs(single - double).max()
        assert double.reshape(2, -1).max(axis=1).min() > 0.9
        assert np.abs(answers[size] - single).max() <= 8 * noise < 1e-3

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda network: _slopes(network, 1 / 6),
            lambda network: _swap(network.neck.inp_conv, "0", "1"),
            lambda network: setattr(network.backbone.stage0[0], "shortcut", False),
            lambda network: network.head.binarize.conv2.bias.data.zero_(),
            lambda network: network.head.binarize.conv2.weight.data.copy_(
                network.head.binarize.conv2.weight.flip(2, 3)
            ),
        ],
        ids=["slope", "levels", "shortcut", "bias", "flipped"],
    )
    def test_a_twin_that_is_another_network_does_not_agree(
        self, twin, answers, scenes, spoil: Callable[[PpocrDet], object]
    ):
        spoil(twin)
        single, double = both(twin, scenes[SIZES[0]][:1])
        assert np.abs(answers[SIZES[0]][:1] - single).max() > 100 * np.abs(single - double).max()

    def test_half_precision_keeps_the_map_though_variances_are_over_its_largest(self, converted, answers, scenes):
        variances = [node.input[4] for node in converted.graph.node if node.op_type == "BatchNormalization"]
        kept = {node.output[0]: node for node in converted.graph.node if node.op_type == "Constant"}
        largest = max(numpy_helper.to_array(kept[name].attribute[0].t).max() for name in variances)
        assert largest > 700 * LARGEST
        half = lowered(converted)
        assert spoilt_weights(converted, half)["infinite_weights"] == 0
        single, found = answers[SIZES[0]], run(half, scenes[SIZES[0]])
        assert 0 < np.abs(single - found).max() < 0.2
        assert ((single > 0.3) != (found > 0.3)).sum() < 0.02 * (single > 0.3).sum()


def _slopes(network: nn.Module, slope: float) -> None:
    for module in network.modules():
        if isinstance(module, SEModule):
            module.slope = slope


def _swap(layers: nn.ModuleDict, one: str, other: str) -> None:
    layers[one], layers[other] = layers[other], layers[one]


class TestExported:
    def test_one_graph_serves_every_size_and_batch(self, narrow, tmp_path):
        """It was traced at one size; nothing of it may stay in the graph."""
        model = exported(narrow, tmp_path)
        assert axes(model) == [["batch", 3, "height", "width"], ["batch", 1, "height", "width"]]
        rng = np.random.default_rng(2)
        for shape in ((1, 3, 32, 32), (2, 3, 96, 160), (3, 3, 64, 224)):
            fed = rng.standard_normal(shape).astype(np.float32)
            single, double = both(narrow, fed)
            assert np.abs(run(model, fed) - single).max() <= max(8 * np.abs(single - double).max(), 1e-6)

    def test_resizes_repeat_numbers_by_factors(self, narrow, tmp_path):
        model = exported(narrow, tmp_path)
        assert len(model.graph.node) == 250
        found = counted(model)
        assert (found["Conv"], found["ConvTranspose"], found["BatchNormalization"], found["HardSigmoid"]) == (
            72,
            2,
            1,
            20,
        )
        constants = {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
        factors = []
        for node in model.graph.node:
            if node.op_type == "Resize":
                said = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
                assert (said["mode"], said["coordinate_transformation_mode"]) == (b"nearest", b"asymmetric")
                assert said["nearest_mode"] == b"floor"
                factors.append(numpy_helper.to_array(constants[node.input[2]]).tolist())
        assert sorted(factors) == [[1, 1, factor, factor] for factor in (2, 2, 2, 2, 4, 8)]

    def test_half_precision_is_near_and_not_the_same(self, narrow, tmp_path):
        model = exported(narrow, tmp_path)
        fed = np.random.default_rng(3).standard_normal((2, 3, 64, 96)).astype(np.float32)
        single, half = (run(each, fed) for each in (model, lowered(model)))
        assert 0 < np.abs(single - half).max() < 0.1


def test_seeded_weights_do_not_make_it_blind() -> None:
    """What is compared must depend on the picture by far more than float noise, and not be zeros and ones alone."""
    network = PpocrDet()
    network.load_state_dict(condition(network, 7))
    rng = np.random.default_rng(4)
    coarse = torch.from_numpy(rng.uniform(-2, 2, (3, 3, 16, 24)).astype(np.float32))
    pictures: Tensor = nn.functional.interpolate(coarse, scale_factor=8.0, mode="bilinear")
    single, double = both(network.eval(), pictures.numpy())
    noise = np.abs(single - double).max()
    assert noise > 0
    between = [np.abs(double[one] - double[other]).max() for one in range(3) for other in range(one)]
    assert min(between) > max(0.1, 1000 * noise)
    for found in double:
        assert found.max() - found.min() > 0.5
        assert np.mean((found > 0.05) & (found < 0.95)) > 0.1
