"""DB is the published network, plain and deformable; its seeded weights tell pictures apart."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d, max_pool2d

from harness.networks.db import DbNet
from harness.networks.deform_conv import DeformConv2d, Window, gathered
from harness.networks.seeded import condition

WIDTH = 0.0625
SIZES = [(32, 32), (64, 96)]
BOTH = pytest.mark.parametrize("deformable", [False, True], ids=["plain", "deformable"])


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def networks() -> dict[bool, DbNet]:
    """A narrow network with seeded weights, by whether it is deformable."""
    made = {}
    for deformable in (False, True):
        made[deformable] = DbNet(width=WIDTH, deformable=deformable)
        made[deformable].load_state_dict(condition(made[deformable], 7))
        made[deformable].eval()
    return made


def scenes(height: int, width: int) -> Tensor:
    """Two smooth pictures in the range of the network's input: noise would send the offsets far."""
    small = np.random.default_rng(8).uniform(-0.5, 0.5, (2, 3, height // 8, width // 8)).astype(np.float32)
    return nn.functional.interpolate(torch.from_numpy(small), (height, width), mode="bilinear")


class Plain:
    """The published network, layer by layer from its state, with nothing of the network's own code but DeformConv."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = {key: tensor.double() for key, tensor in state.items()}

    def normal(self, key: str, features: Tensor) -> Tensor:
        mean, variance, weight, bias = (
            self.state[f"{key}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(features, mean, variance, weight, bias)

    def conv(self, key: str, features: Tensor, stride: int = 1) -> Tensor:
        weight = self.state[f"{key}.weight"]
        return conv2d(features, weight, self.state.get(f"{key}.bias"), stride, weight.shape[2] // 2)

    def middle(self, key: str, features: Tensor, stride: int) -> Tensor:
        if f"{key}.conv2_offset.weight" not in self.state:
            return self.conv(f"{key}.conv2", features, stride)
        said = self.conv(f"{key}.conv2_offset", features, stride)
        mask = torch.sigmoid(said[:, -9:])
        return gathered(features, self.state[f"{key}.conv2.weight"], said[:, :18], mask, Window(stride, 1))

    def block(self, key: str, features: Tensor, stride: int) -> Tensor:
        found = torch.relu(self.normal(f"{key}.bn1", self.conv(f"{key}.conv1", features)))
        found = torch.relu(self.normal(f"{key}.bn2", self.middle(key, found, stride)))
        found = self.normal(f"{key}.bn3", self.conv(f"{key}.conv3", found))
        if f"{key}.downsample.0.weight" in self.state:
            features = self.normal(f"{key}.downsample.1", self.conv(f"{key}.downsample.0", features, stride))
        return torch.relu(found + features)

    def features(self, pictures: Tensor) -> list[Tensor]:
        found = torch.relu(self.normal("backbone.bn1", self.conv("backbone.conv1", pictures, 2)))
        found, taps = max_pool2d(found, 3, 2, 1), []
        for stage, depth in enumerate((3, 4, 6, 3), 1):
            for index in range(depth):
                found = self.block(f"backbone.layer{stage}.{index}", found, 2 if stage > 1 and index == 0 else 1)
            taps.append(found)
        return taps

    def map(self, pictures: Tensor) -> Tensor:
        c2, c3, c4, c5 = self.features(pictures)
        p5 = self.conv("decoder.in5", c5)
        p4 = larger(p5, 2) + self.conv("decoder.in4", c4)
        p3 = larger(p4, 2) + self.conv("decoder.in3", c3)
        p2 = larger(p3, 2) + self.conv("decoder.in2", c2)
        thin = [self.conv(f"decoder.out{key}", each) for key, each in (("5.0", p5), ("4.0", p4), ("3.0", p3), (2, p2))]
        found = self.conv("decoder.binarize.0", torch.cat([larger(thin[k], 2 ** (3 - k)) for k in range(4)], 1))
        for index in (3, 6):
            found = torch.relu(self.normal(f"decoder.binarize.{index - 2}", found))
            weight, bias = (self.state[f"decoder.binarize.{index}.{name}"] for name in ("weight", "bias"))
            found = conv_transpose2d(found, weight, bias, 2)
        return torch.sigmoid(found)


def larger(features: Tensor, times: int) -> Tensor:
    return features.repeat_interleave(times, 2).repeat_interleave(times, 3)


class Swapped(Plain):
    """Levels of the pyramid in the other order."""

    def conv(self, key: str, features: Tensor, stride: int = 1) -> Tensor:
        turned = features.unflatten(1, (4, -1)).flip(1).flatten(1, 2) if key == "decoder.binarize.0" else features
        return super().conv(key, turned, stride)


class Early(Plain):
    """Every stride begins one pixel earlier."""

    def block(self, key: str, features: Tensor, stride: int) -> Tensor:
        shifted = nn.functional.pad(features, (1, -1, 1, -1)) if stride == 2 else features
        return super().block(key, shifted, stride)


class TestNetwork:
    @BOTH
    def test_it_has_the_published_number_of_parameters(self, deformable):
        network = DbNet(deformable=deformable)
        published = 26_116_576 if deformable else 25_245_313
        assert sum(parameter.numel() for parameter in network.parameters()) == published

    def test_a_quarter_of_the_width_is_a_sixteenth_of_the_parameters(self):
        assert sum(parameter.numel() for parameter in DbNet(width=0.25).parameters()) == 1_589_665

    @BOTH
    def test_its_layers_are_those_of_the_published_network(self, networks, deformable):
        kinds = [type(module) for module in networks[deformable].modules()]
        found = [kinds.count(kind) for kind in (nn.Conv2d, DeformConv2d, nn.BatchNorm2d, nn.ConvTranspose2d)]
        assert found == ([62, 13, 55, 2] if deformable else [62, 0, 55, 2])
        assert {
            "backbone.bn1.num_batches_tracked",
            "backbone.layer1.0.downsample.1.running_var",
            "backbone.layer4.2.conv2.weight",
            "decoder.in5.weight",
            "decoder.out5.0.weight",
            "decoder.out2.weight",
            "decoder.binarize.4.running_mean",
            "decoder.binarize.6.bias",
        } <= networks[deformable].state_dict().keys()

    def test_the_first_stage_is_not_deformable(self, networks):
        told = {key.split(".")[1] for key in networks[True].state_dict() if "conv2_offset" in key}
        assert told == {"layer2", "layer3", "layer4"}

    @BOTH
    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_it_computes_what_the_published_one_does(self, networks, deformable, size):
        network = networks[deformable]
        pictures = scenes(*size)
        with torch.inference_mode():
            found = network(pictures)
        assert found.shape == (2, 1, *size)
        expected = Plain(network.state_dict()).map(pictures.double())
        assert (found - expected).abs().max() < 1e-5

    @pytest.mark.parametrize("mistaken", [Swapped, Early])
    def test_a_mistaken_plan_is_far_off(self, networks, mistaken):
        pictures = scenes(*SIZES[1]).double()
        right, wrong = (kind(networks[True].state_dict()).map(pictures) for kind in (Plain, mistaken))
        assert (right - wrong).abs().max() > 0.05

    @pytest.mark.parametrize("size", [(48, 64), (64, 100)], ids=str)
    def test_a_side_that_is_no_multiple_of_32_is_an_error(self, networks, size):
        with pytest.raises(RuntimeError, match="must match"):
            networks[False](torch.zeros(1, 3, *size))


class TestTraining:
    @BOTH
    def test_it_begins_without_offsets_and_every_weight_learns(self, deformable):
        torch.manual_seed(1)
        network = DbNet(width=WIDTH, deformable=deformable)
        offsets = [tensor for key, tensor in network.state_dict().items() if "conv2_offset" in key]
        assert len(offsets) == (26 if deformable else 0)
        assert all(not tensor.any() for tensor in offsets)
        (network(scenes(64, 96)) - 0.3).square().mean().backward()
        assert [key for key, parameter in network.named_parameters() if not parameter.grad.any()] == []

    @pytest.mark.parametrize(("mode", "contained"), [("fan_in", True), ("fan_out", False)])
    def test_variances_begin_far_below_what_half_precision_holds_unless_drawn_by_outputs(self, mode, contained):
        torch.manual_seed(2)
        network = DbNet(width=WIDTH)
        if mode != "fan_in":
            for module in network.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode=mode)
        assert (largest_variance(network) < MODEST) == contained


MODEST = 300.0
"""Of a running variance, which grows by orders of magnitude in training; 37 when drawn by inputs, 2,700 by outputs."""


def largest_variance(network: DbNet) -> float:
    """The largest running variance after one step that remembers nothing else."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(scenes(64, 96))
    return max(float(tensor.max()) for key, tensor in network.state_dict().items() if key.endswith("running_var"))


def swing(network: DbNet) -> tuple[float, float, float]:
    """How far outputs lie apart from place to place and from picture to picture, and by how much they are noise."""
    pictures = scenes(96, 160)
    with torch.inference_mode():
        found = network(pictures)
        noise = (network.double()(pictures.double()) - found).abs().max()
        network.float()
    return float(found.std()), float((found[0] - found[1]).abs().max()), float(noise)


def offsets(network: DbNet) -> list[Tensor]:
    """What the layers that say where to look say of two pictures."""
    said: list[Tensor] = []
    told = [module for key, module in network.named_modules() if key.endswith("conv2_offset")]
    hooks = [module.register_forward_hook(lambda *each: said.append(each[2][:, :18])) for module in told]
    with torch.inference_mode():
        network(scenes(96, 160))
    for hook in hooks:
        hook.remove()
    return said


class TestSeeded:
    @BOTH
    def test_outputs_differ_from_place_to_place_and_between_pictures_and_are_not_noise(self, networks, deformable):
        places, between, noise = swing(networks[deformable])
        assert places > 0.1
        assert between > 0.2
        assert noise < 1e-5

    def test_a_blind_network_is_seen(self, networks):
        blind = copy.deepcopy(networks[False])
        nn.init.zeros_(blind.backbone.conv1.weight)
        assert swing(blind)[1] == 0

    def test_offsets_are_parts_of_a_pixel_and_differ_from_picture_to_picture(self, networks):
        said = offsets(networks[True])
        assert len(said) == 13
        assert 0.2 < np.mean([float(each.std()) for each in said]) < 0.6
        assert min(float((each[0] - each[1]).abs().mean()) for each in said) > 0.05

    def test_wider_offsets_multiply_the_noise(self):
        network = DbNet(width=WIDTH, deformable=True)
        network.seeded_gains = dict.fromkeys(network.seeded_gains, 2.5)
        network.load_state_dict(condition(network, 7))
        assert swing(network.eval())[2] > 2e-5

    @BOTH
    def test_they_are_a_function_of_the_seed(self, networks, deformable):
        again, other = (condition(DbNet(width=WIDTH, deformable=deformable), seed) for seed in (7, 8))
        state = networks[deformable].state_dict()
        assert all(torch.equal(again[key], state[key]) for key in state)
        assert not any(torch.equal(other[key], state[key]) for key in state if key.endswith("weight"))
