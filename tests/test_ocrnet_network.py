"""OCRNet is the published network: it gives what Paddle gives, and every part of it is seen in what it gives."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.networks import hrnet, ocrnet
from harness.networks.hrnet import HalvingConv2d
from harness.networks.load import check_state
from harness.networks.ocrnet import OcrNet
from harness.networks.seeded import condition

WIDTH = 0.125
LOGITS = {
    (64, 96, 20, 37): (
        "723 616 -471 -1922 816 -220 499 536 -872 -291 1233 882 -364 -176 70 840 -357 428 -1009",
        "592 295 -269 -1364 812 -164 457 457 -561 -185 773 627 -252 -93 26 573 -211 334 -741",
    ),
    (40, 56, 39, 55): (
        "308 172 -58 -1044 170 -315 -333 110 -927 370 732 200 -448 -254 -79 31 -354 -52 -230",
        "227 97 -46 -687 114 -196 -231 78 -591 245 519 105 -298 -167 -110 75 -200 -7 -190",
    ),
}
"""What PaddlePaddle 2.6.2 with the layers of PaddleSeg 2.8.0 gives for the weights and pictures of these tests, in
hundredths, at one pixel (row, column) of pictures of two sizes. 40 x 56 is odd from 1/8 of its size on."""
TRAINING = (
    (
        "54 -147 11 -46 -100 -20 28 -127 24 137 -136 22 95 -40 -21 -59 39 -129 80",
        "7 -80 23 -2 -104 -37 60 -101 -88 76 -9 -8 -26 -97 133 95 -89 -54 -112",
    ),
    (
        "-10 77 16 32 -31 63 42 30 43 102 76 121 -128 -53 89 -2 -104 10 150",
        "20 28 -4 14 -35 16 5 -57 65 18 55 84 -60 20 -12 -46 -79 -72 98",
    ),
)
"""The same of both outputs in training at the first size, without dropout."""
ROUNDED = 0.006


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def built() -> tuple[OcrNet, dict[str, Tensor]]:
    """An eighth of the published width, and weights for it."""
    network = OcrNet(width=WIDTH)
    return network, drawn(network)


@pytest.fixture
def narrow(built: tuple[OcrNet, dict[str, Tensor]]) -> OcrNet:
    """The narrow network, as no test has left it."""
    network, state = built
    network.float().load_state_dict(state)
    return network.eval()


def drawn(network: nn.Module) -> dict[str, Tensor]:
    """Weights whose logits differ between pixels and pictures, a function of keys and shapes alone."""
    rng = np.random.default_rng(7)
    state = copy.deepcopy(network.state_dict())
    for key, tensor in sorted(state.items()):
        if not tensor.is_floating_point():
            continue
        noise = rng.standard_normal(tuple(tensor.shape)).astype(np.float32)
        if tensor.ndim == 4:
            noise *= 1.6 / tensor[0].numel() ** 0.5
        elif key.endswith(("weight", "running_var")):
            noise = 1 + 0.2 * np.tanh(noise)
            small = key.endswith("running_var") and re.search(r"bb_\w+\.conv[23]|residual|f_up", key)
            noise *= 16 if small else 1
        else:
            noise *= 0.1
        state[key] = torch.from_numpy(noise)
    return state


def scenes(height: int, width: int) -> Tensor:
    """Two smooth pictures."""
    small = np.random.default_rng(1).uniform(-2, 2, (2, 3, height // 8, width // 8)).astype(np.float32)
    return nn.functional.interpolate(torch.from_numpy(small), (height, width), mode="bilinear")


def recorded(lines: tuple[str, ...]) -> NDArray[np.float64]:
    return np.array([line.split() for line in lines], float) / 100


def off_paddle(network: OcrNet) -> float:
    """By how much the network's logits differ from Paddle's where those are recorded."""
    found = []
    for (height, width, row, column), lines in LOGITS.items():
        with torch.inference_mode():
            logits = network(scenes(height, width)).numpy()
        assert logits.shape == (2, 19, height, width)
        found.append(np.abs(logits[:, :, row, column] - recorded(lines)).max())
    return max(found)


class TestStructure:
    def test_it_has_the_published_number_of_parameters(self):
        network = OcrNet()
        trained = sum(parameter.numel() for parameter in network.parameters())
        kept = sum(buffer.numel() for name, buffer in network.named_buffers() if "running" in name)
        assert (trained, trained + kept) == (12_083_122, 12_123_230)
        assert network.backbone.out_channels == 270

    def test_every_number_of_channels_is_scaled(self):
        network = OcrNet(width=0.25)
        assert sum(parameter.numel() for parameter in network.parameters()) == 760_926
        keys = {key: tuple(tensor.shape[:2]) for key, tensor in network.state_dict().items() if tensor.ndim == 4}
        assert {
            "backbone.conv_layer1_1._conv.weight": (16, 3),
            "backbone.la1.bb_layer2_4.conv3._conv.weight": (64, 16),
            "backbone.tr1.transition_tr1_layer_1._conv.weight": (4, 64),
            "backbone.tr2.transition_tr2_layer_3._conv.weight": (18, 9),
            "backbone.st4.stage_st4_3.fuse_func.residual_st4_3_layer_2_4._conv.weight": (9, 36),
            "head.aux_head.0._conv.weight": (67, 67),
            "head.conv3x3_ocr._conv.weight": (128, 67),
            "head.spatial_ocr.attention_block.f_object.0._conv.weight": (64, 128),
            "head.spatial_ocr.conv1x1.0._conv.weight": (128, 256),
            "head.cls_head.weight": (19, 128),
        }.items() <= keys.items()

    def test_its_keys_are_the_published_ones(self, narrow):
        keys = set(narrow.state_dict())
        assert {
            "backbone.conv_layer1_2._batch_norm.running_var",
            "backbone.la1.bb_layer2_1.conv_down._conv.weight",
            "backbone.tr1.transition_tr1_layer_2._batch_norm.bias",
            "backbone.tr3.transition_tr3_layer_4._conv.weight",
            "backbone.st2.stage_st2_1.branches_func.bb_st2_1_branch_layer_1_1.conv1._conv.weight",
            "backbone.st3.stage_st3_4.branches_func.bb_st3_4_branch_layer_3_4.conv2._batch_norm.running_mean",
            "backbone.st2.stage_st2_1.fuse_func.residual_st2_1_layer_1_2._conv.weight",
            "backbone.st4.stage_st4_3.fuse_func.residual_st4_3_layer_4_1_3._batch_norm.weight",
            "head.aux_head.0._conv.bias",
            "head.aux_head.1.bias",
            "head.conv3x3_ocr._batch_norm.weight",
            "head.spatial_ocr.attention_block.f_pixel.1._conv.bias",
            "head.spatial_ocr.attention_block.f_up._conv.weight",
            "head.spatial_ocr.conv1x1.0._conv.bias",
            "head.cls_head.bias",
        } <= keys
        parts = {
            part: sum(key.startswith(f"backbone.{part}.") for key in keys) for part in ("la1", "st2", "st3", "st4")
        }
        assert parts == {"la1": 78, "st2": 108, "st3": 744, "st4": 864}
        counted = [sum(key.endswith(end) for key in keys) for end in ("_conv.weight", "_conv.bias", "running_mean")]
        assert (len(keys), counted) == (1897, [314, 9, 314])

    def test_its_layers_are_counted_by_kind(self, narrow):
        kinds = [type(module) for module in narrow.modules()]
        found = [kinds.count(kind) for kind in (nn.Conv2d, HalvingConv2d, nn.BatchNorm2d, nn.Linear)]
        assert found == [264, 52, 314, 0]
        assert [module.p for module in narrow.modules() if isinstance(module, nn.Dropout2d)] == [0.1]

    @pytest.mark.parametrize("size", [(32, 32), (64, 160), (44, 70)], ids=str)
    def test_logits_are_as_large_as_the_picture_and_depend_on_no_other(self, narrow, size):
        pictures = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            together, alone = narrow(pictures), narrow(pictures[1:2])
            features = narrow.backbone(pictures)
        assert together.shape == (3, 19, *size)
        assert features.shape[1:] == (2 + 4 + 9 + 18, *(-(-side // 4) for side in size))
        assert torch.allclose(together[1:2], alone, atol=1e-4)

    def test_every_weight_is_trained_and_a_step_down_learns(self):
        torch.manual_seed(1)
        network = OcrNet(width=WIDTH)
        pictures, wanted = scenes(32, 64), torch.zeros(2, 32, 64, dtype=torch.int64)
        wanted[:, 8:24, 16:48] = 1
        losses = []
        for _ in range(2):
            network.zero_grad()
            logits, regions = network(pictures)
            assert logits.shape == regions.shape == (2, 19, 32, 64)
            loss = nn.functional.cross_entropy(logits, wanted) + 0.4 * nn.functional.cross_entropy(regions, wanted)
            loss.backward()
            losses.append(loss.item())
            assert [name for name, weight in network.named_parameters() if weight.grad is None] == []
            with torch.no_grad():
                for weight in network.parameters():
                    weight.sub_(0.05 * weight.grad)
        assert losses[1] < 0.95 * losses[0]


def patched(module: object, name: str, change: Callable[..., Tensor]) -> Callable[[pytest.MonkeyPatch, OcrNet], None]:
    """A fault: a function of the network's modules that is another one."""
    return lambda patch, _: patch.setattr(module, name, change)


def turned(features: Tensor, like: Tensor, **how: object) -> Tensor:
    return nn.functional.interpolate(features, like.shape[2:], **({"mode": "bilinear"} | how))


def only(number: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Corners aligned in one of the enlargements, counted through a forward pass."""
    calls = count()
    return lambda features, like: turned(features, like, align_corners=next(calls) % 34 == number)


def by_class(pixels: Tensor, regions: Tensor) -> Tensor:
    return torch.einsum("bkn,bcn->bck", torch.softmax(regions.flatten(2), dim=1), pixels.flatten(2)).unsqueeze(3)


def even_sided(layer: HalvingConv2d, features: Tensor) -> Tensor:
    return nn.functional.conv2d(features, layer.weight, None, 2, 1)


def exchanged(_: pytest.MonkeyPatch, network: OcrNet) -> None:
    weight = network.head.spatial_ocr.conv1x1[0]._conv.weight.data
    weight.copy_(weight.roll(weight.shape[1] // 2, 1))


def unscaled(patch: pytest.MonkeyPatch, network: OcrNet) -> None:
    patch.setattr(network.head.spatial_ocr.attention_block, "scale", 1.0)


def unbiased(key: str) -> Callable[[pytest.MonkeyPatch, OcrNet], None]:
    return lambda _, network: network.get_submodule(key).bias.data.zero_()


FAULTS = {
    "corners aligned in all enlargements": patched(hrnet, "resized", lambda *given: turned(*given, align_corners=True)),
    "corners aligned in the first of the first exchange": patched(hrnet, "resized", only(0)),
    "corners aligned in one of the last exchange": patched(hrnet, "resized", only(30)),
    "corners aligned before the head": patched(hrnet, "resized", only(33)),
    "corners aligned at the end": patched(ocrnet, "resized", lambda *given: turned(*given, align_corners=True)),
    "nearest in all enlargements": patched(hrnet, "resized", lambda *given: turned(*given, mode="nearest")),
    "as much padding before as behind": patched(HalvingConv2d, "forward", even_sided),
    "regions shared by class, not by pixel": patched(ocrnet, "gathered", by_class),
    "context behind the pixels": exchanged,
    "attention not scaled": unscaled,
    "a bias of the attention dropped": unbiased("head.spatial_ocr.attention_block.f_down._conv"),
    "a bias of the auxiliary head dropped": unbiased("head.aux_head.0._conv"),
}


class TestPaddle:
    def test_it_gives_what_paddle_gives(self, narrow):
        assert off_paddle(narrow) < ROUNDED
        with torch.inference_mode():
            found = narrow.double()(scenes(64, 96).double())
        assert found.dtype == torch.float64
        assert np.abs(found.numpy()[:, :, 20, 37] - recorded(LOGITS[64, 96, 20, 37])).max() < ROUNDED

    def test_it_gives_what_paddle_gives_in_training(self, narrow):
        narrow.train()
        narrow.head.spatial_ocr.conv1x1[1].eval()
        with torch.no_grad():
            found = narrow(scenes(64, 96))
        for logits, lines in zip(found, TRAINING, strict=True):
            assert np.abs(logits.numpy()[:, :, 20, 37] - recorded(lines)).max() < ROUNDED

    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
    def test_a_network_with_a_fault_does_not(self, narrow, monkeypatch, fault):
        fault(monkeypatch, narrow)
        assert off_paddle(narrow) > 2 * ROUNDED


class TestSeeded:
    def test_they_tell_pictures_and_pixels_apart_at_full_size(self):
        network = OcrNet().eval()
        weights = condition(network, 7)
        check_state(network, weights)
        network.load_state_dict(weights)
        with torch.inference_mode():
            first, second = network(scenes(128, 256) / 2).numpy()
        for logits in (first, second):
            assert 1 < np.abs(logits).max() < 20
            assert logits.std(axis=(1, 2)).mean() > 0.2
            shares = np.bincount(logits.argmax(axis=0).ravel(), minlength=19) / logits[0].size
            assert (shares > 0.005).sum() >= 3
            assert shares.max() < 0.9
        assert np.abs(first - second).max() > 0.5
        assert (first.argmax(axis=0) != second.argmax(axis=0)).mean() > 0.05

    def test_without_its_gains_sums_would_grow_beyond_half_precision(self, monkeypatch):
        network = OcrNet(width=WIDTH).eval()
        assert len(network.seeded_gains) == 171
        for gains in (network.seeded_gains, {}):
            monkeypatch.setattr(network, "seeded_gains", gains)
            network.load_state_dict(condition(network, 7))
            with torch.inference_mode():
                assert (network(scenes(64, 96)).abs().max() > 65_504) == (not gains)
