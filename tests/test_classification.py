"""The direction classifier's network is the published one, and its answers are counted as PaddleOCR counts them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from harness.agree import Decoded
from harness.metrics.classification import ClassAccuracy
from harness.networks.direction_classifier import DirectionClassifier
from harness.networks.mobilenet_v3 import SLOPE, ConvBNLayer, MobileNetV3Small, scaled
from harness.networks.seeded import condition
from harness.networks.squeeze_excitation import SEModule
from harness.postprocess.direction import compare, decode

ANSWERS = st.lists(st.tuples(st.sampled_from(["0", "180"]), st.sampled_from(["0", "180"])), max_size=40)
WIDTHS = [8, 8, 24, 8, 32, 8, 32, 16, 88, 16, 88, 16, 40, 16, 48, 16, 104, 32, 200, 32, 200, 32]
"""Expanded and given channels of each unit of the published network at 0.35; the convolution after them gives 200."""
STRIDES = [(2, 1), (2, 1), (1, 1), (2, 1), (1, 1), (1, 1), (1, 1), (1, 1), (2, 1), (1, 1), (1, 1)]
KERNELS = [3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5]
SQUEEZED = [True, False, False, True, True, True, True, True, True, True, True]


@pytest.fixture(scope="module")
def network() -> DirectionClassifier:
    """The published network with weights of a seed, ready to evaluate."""
    made = DirectionClassifier()
    made.load_state_dict(condition(made, 7))
    return made.eval()


pytestmark = pytest.mark.usefixtures("one_thread")


class TestMetric:
    @given(ANSWERS)
    def test_it_is_hits_over_n_and_a_little(self, answers):
        metric = ClassAccuracy()
        counts = [metric.count(predicted, truth) for predicted, truth in answers]
        hits = sum(predicted == truth for predicted, truth in answers)
        sums = [sum(column) for column in zip(*counts, strict=True)] or [0, 0]
        assert sums == [hits, len(answers)]
        assert metric.value(sums) == {"acc": hits / (len(answers) + 1e-5)}

    def test_the_published_figure_comes_out_digit_for_digit(self):
        found = ClassAccuracy().value([21, 30])["acc"]
        assert f"{found:.8f}" == "0.69999977"
        # It is printed as 0.699: cut off, and not rounded.
        assert int(found * 1000) == 699

    def test_a_perfect_result_is_not_quite_one_and_nothing_is_nothing(self):
        assert 1 - 1e-6 < ClassAccuracy().value([30, 30])["acc"] < 1
        assert ClassAccuracy().value([0, 0]) == {"acc": 0}

    @given(ANSWERS, ANSWERS)
    def test_counts_of_two_parts_add_up_to_those_of_both(self, one, other):
        metric = ClassAccuracy()
        summed = [
            np.sum([metric.count(*answer) for answer in part] or [(0, 0)], axis=0) for part in (one, other, one + other)
        ]
        assert (summed[0] + summed[1]).tolist() == summed[2].tolist()

    @pytest.mark.parametrize(("predicted", "truth"), [("0", "00"), ("180", "180 "), ("", "0"), ("0", "O")])
    def test_only_the_very_same_label_is_a_hit(self, predicted, truth):
        assert ClassAccuracy().count(predicted, truth) == (0, 1)
        assert ClassAccuracy().count(truth, truth) == (1, 1)


class TestDirection:
    @pytest.mark.parametrize(
        ("probabilities", "label"),
        [([1, 0], "0"), ([0, 1], "180"), ([0.49, 0.51], "180"), ([0.51, 0.49], "0"), ([0.5, 0.5], "0")],
    )
    def test_the_likelier_class_is_told_and_the_first_of_a_tie(self, probabilities, label):
        assert decode(np.array(probabilities, np.float32)) == label

    @pytest.mark.parametrize(
        ("expected", "actual", "bound", "found"),
        [
            ([[0.9, 0.1]], [[0.8, 0.2]], 0.1, Decoded(1, 1, 1)),
            ([[0.9, 0.1]], [[0.2, 0.8]], 0.1, Decoded(1, 1, 0)),
            ([[0.5, 0.5]], [[0.5, 0.5]], 0.0, Decoded(1, 0, 0)),
            ([[0.5, 0.5]], [[0.4, 0.6]], 0.1, Decoded(1, 0, 0)),
            ([[0.75, 0.25]], [[0.25, 0.75]], 0.25, Decoded(1, 0, 0)),
            ([[0.75, 0.25]], [[0.25, 0.75]], 0.2499, Decoded(1, 1, 0)),
            ([[0.25, 0.75]], [[0.5, 0.5]], 0.0, Decoded(1, 1, 0)),
            ([[0.75, 0.25]], [[0.5, 0.5]], 0.0, Decoded(1, 1, 1)),
            ([[1, 0], [0, 1], [0.5, 0.5], [1, 0]], [[1, 0], [0, 1], [0, 1], [0, 1]], 0.01, Decoded(4, 3, 2)),
        ],
    )
    def test_only_pictures_that_are_decided_beyond_the_bound_count(self, expected, actual, bound, found):
        assert compare(np.array(expected, float), np.array(actual, float), bound) == found

    @given(
        hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=st.floats(0, 1)),
        st.floats(0, 0.3),
        st.data(),
    )
    def test_outputs_within_the_bound_never_differ_in_what_is_decided(self, expected, bound, data):
        off = data.draw(hnp.arrays(np.float64, expected.shape, elements=st.floats(-0.999, 0.999)))
        found = compare(expected, expected + bound * off, bound)
        assert found.n == len(expected)
        assert found.equal == found.compared <= found.n

    @given(hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=st.floats(0, 1)))
    def test_turned_outputs_differ_wherever_they_are_decided(self, expected):
        found = compare(expected, expected[:, ::-1], 0.0)
        assert (found.compared, found.equal) == (int((expected[:, 0] != expected[:, 1]).sum()), 0)


class TestWidths:
    @given(st.floats(0.01, 4000), st.sampled_from([1, 4, 8, 16]))
    def test_a_width_is_the_nearest_multiple_and_not_much_less(self, channels, divisor):
        found = scaled(channels, divisor)
        assert found % divisor == 0
        assert found >= max(divisor, 0.9 * channels)
        assert found < channels + 1.5 * divisor
        nearest = max(divisor, divisor * round(channels / divisor))
        assert found == nearest or nearest < 0.9 * channels or channels % divisor == divisor / 2

    @pytest.mark.parametrize(
        ("channels", "found"),
        [(1, 8), (5.6, 8), (8, 8), (11, 16), (12, 16), (25.2, 24), (26.7, 32), (33.6, 32), (84, 88), (201.6, 200)],
    )
    def test_widths_by_hand(self, channels, found):
        assert scaled(channels) == found


class TestNetwork:
    def test_its_widths_are_those_of_the_published_network(self, network):
        backbone = network.backbone
        found = [conv.conv.out_channels for block in backbone.blocks for conv in (block.expand_conv, block.linear_conv)]
        assert found == WIDTHS
        assert backbone.conv1.conv.out_channels == 8
        assert backbone.conv2.conv.out_channels == backbone.out_channels == network.head.fc.in_features == 200

    def test_its_layers_are_those_of_the_published_network(self, network):
        blocks = list(network.backbone.blocks)
        assert [block.bottleneck_conv.conv.stride for block in blocks] == STRIDES
        assert [block.bottleneck_conv.conv.kernel_size[0] for block in blocks] == KERNELS
        assert [isinstance(block.mid_se, SEModule) for block in blocks] == SQUEEZED
        assert [isinstance(block.expand_conv.activation, nn.Hardswish) for block in blocks] == [False] * 3 + [True] * 8
        assert [block.shortcut for block in blocks] == [
            stride == (1, 1) and before == after
            for stride, before, after in zip(STRIDES, [8, *WIDTHS[1::2]], WIDTHS[1::2], strict=False)
        ]
        assert all(block.bottleneck_conv.conv.groups == block.expand_conv.conv.out_channels for block in blocks)
        kinds = [type(module) for module in network.modules()]
        assert [kinds.count(kind) for kind in (nn.Conv2d, nn.BatchNorm2d, nn.Linear)] == [53, 35, 1]

    def test_its_parameters_and_keys_are_those_of_the_published_network(self, network):
        assert sum(parameter.numel() for parameter in network.parameters()) == 129_356
        # What Paddle stores are the running means and variances too.
        statistics = sum(buffer.numel() for name, buffer in network.named_buffers() if "running" in name)
        assert 129_356 + statistics == 133_628
        keys = set(network.state_dict())
        assert {
            "backbone.conv1.conv.weight",
            "backbone.blocks.0.expand_conv.conv.weight",
            "backbone.blocks.0.mid_se.conv1.bias",
            "backbone.blocks.10.linear_conv.bn.running_mean",
            "backbone.conv2.bn.running_var",
            "head.fc.weight",
        } <= keys
        assert not any(key.endswith("conv.bias") for key in keys)

    @pytest.mark.parametrize(("size", "after"), [((48, 192), (1, 48)), ((64, 320), (1, 80)), ((96, 100), (1, 25))])
    def test_the_backbone_keeps_a_quarter_of_the_width_and_one_row(self, network, size, after):
        with torch.no_grad():
            assert network.backbone(torch.zeros(2, 3, *size)).shape == (2, 200, *after)

    def test_it_gives_two_probabilities_a_picture_whatever_the_batch(self, network):
        pictures = torch.rand(3, 3, 48, 192, generator=torch.Generator().manual_seed(0)) * 2 - 1
        with torch.no_grad():
            together = network(pictures)
            alone = torch.cat([network(picture[None]) for picture in pictures])
        assert together.shape == (3, 2)
        assert torch.allclose(together.sum(dim=1), torch.ones(3))
        assert (together - alone).abs().max() < 1e-6
        assert (together - together.roll(1, 0)).abs().amax(dim=1).min() > 1e-4

    def test_more_classes_and_another_width_can_be_asked_for(self):
        network = DirectionClassifier(scale=1.0, classes=4)
        assert network.backbone.out_channels == 576
        assert network.head.fc.out_features == 4
        assert MobileNetV3Small(0.5).out_channels == 288


class TestLayers:
    @pytest.mark.parametrize(
        ("gate", "share"), [(-3.0, 0.0), (-2.5, 0.0), (-1.0, 0.3), (0.0, 0.5), (1.0, 0.7), (2.5, 1.0), (9.0, 1.0)]
    )
    def test_the_gate_is_a_hard_sigmoid_of_slope_a_fifth(self, gate, share):
        module = SEModule(8, SLOPE)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.zero_()
            module.conv2.bias.fill_(gate)
            found = module(torch.full((1, 8, 2, 3), 2.0))
        assert found.flatten().tolist() == pytest.approx([2 * share] * 48, abs=1e-6)

    def test_the_gate_depends_on_the_mean_of_each_channel_alone(self):
        module = SEModule(4, SLOPE)
        with torch.no_grad():
            module.conv1.weight.fill_(1.0)
            module.conv1.bias.zero_()
            module.conv2.weight.copy_(torch.tensor([1.0, 2.0, -1.0, 0.0]).view(4, 1, 1, 1))
            module.conv2.bias.zero_()
            features = torch.zeros(1, 4, 2, 2)
            features[0, 0] = torch.tensor([[0.0, 4.0], [0.0, 0.0]])
            features[0, 1] = 1.0
            found = module(features)
        # The squeezed value is 1 + 1 = 2, the gates are 0.2 g + 0.5 of 2, 4, -2 and 0.
        assert found[0, 0].flatten().tolist() == pytest.approx([0, 4 * 0.9, 0, 0], abs=1e-6)
        assert found[0, 1].flatten().tolist() == pytest.approx([1.0] * 4, abs=1e-6)

    def test_a_layer_convolves_normalises_and_activates_in_this_order(self):
        layer = ConvBNLayer((1, 1), 1, (1, 1), 1, nn.ReLU()).eval()
        with torch.no_grad():
            layer.conv.weight.fill_(2.0)
            layer.bn.running_mean.fill_(4.0)
            layer.bn.running_var.fill_(0.25 - 1e-5)
            layer.bn.weight.fill_(3.0)
            layer.bn.bias.fill_(1.0)
            found = layer(torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3))
        # 2 x, less 4, over 0.5, times 3, plus 1: -11, 1 and 13.
        assert found.flatten().tolist() == pytest.approx([0.0, 1.0, 13.0], abs=1e-5)
        assert layer.conv.bias is None
        assert layer.bn.eps == 1e-5
