"""MobileNetV3 as PaddleOCR builds it (Howard et al., arXiv:1905.02244), widths rounded to multiples of 8.

The small network is for text lines (``rec_mobilenet_v3.py``): strides that keep the width, and squeeze and excitation
with a hard sigmoid of slope 0.2. The large one is for scenes (``det_mobilenet_v3.py`` with ``disable_se``): features at
four strides, without squeeze and excitation.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from harness.networks.squeeze_excitation import SEModule

SLOPE = 0.2
"""Of the hard sigmoid in squeeze and excitation; torch's own has 1/6."""
EPSILON = 1e-5
"""Of every batch normalisation; Paddle's default and torch's."""


class Unit(NamedTuple):
    """One residual unit before scaling."""

    kernel: int
    expanded: int
    channels: int
    squeezed: bool
    hard_swish: bool
    stride: tuple[int, int]


# The small network. Height is halved, width kept, wherever the published network strides (2, 1).
SMALL = (
    Unit(3, 16, 16, True, False, (2, 1)),
    Unit(3, 72, 24, False, False, (2, 1)),
    Unit(3, 88, 24, False, False, (1, 1)),
    Unit(5, 96, 40, True, True, (2, 1)),
    Unit(5, 240, 40, True, True, (1, 1)),
    Unit(5, 240, 40, True, True, (1, 1)),
    Unit(5, 120, 48, True, True, (1, 1)),
    Unit(5, 144, 48, True, True, (1, 1)),
    Unit(5, 288, 96, True, True, (2, 1)),
    Unit(5, 576, 96, True, True, (1, 1)),
    Unit(5, 576, 96, True, True, (1, 1)),
)
STEM, LAST = 16, 576
# The large network. Its stages end before the strides after the first, and after the last unit.
LARGE = (
    (
        Unit(3, 16, 16, False, False, (1, 1)),
        Unit(3, 64, 24, False, False, (2, 2)),
        Unit(3, 72, 24, False, False, (1, 1)),
    ),
    (
        Unit(5, 72, 40, False, False, (2, 2)),
        Unit(5, 120, 40, False, False, (1, 1)),
        Unit(5, 120, 40, False, False, (1, 1)),
    ),
    (
        Unit(3, 240, 80, False, True, (2, 2)),
        Unit(3, 200, 80, False, True, (1, 1)),
        Unit(3, 184, 80, False, True, (1, 1)),
        Unit(3, 184, 80, False, True, (1, 1)),
        Unit(3, 480, 112, False, True, (1, 1)),
        Unit(3, 672, 112, False, True, (1, 1)),
    ),
    (
        Unit(5, 672, 160, False, True, (2, 2)),
        Unit(5, 960, 160, False, True, (1, 1)),
        Unit(5, 960, 160, False, True, (1, 1)),
    ),
)
LARGE_LAST = 960


def scaled(channels: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to ``channels``, never more than a tenth below it (``make_divisible``)."""
    found = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return found + divisor if found < 0.9 * channels else found


class ConvBNLayer(nn.Module):
    """Convolution without bias, batch normalisation, and an activation or none."""

    def __init__(
        self, channels: tuple[int, int], kernel: int, stride: tuple[int, int], groups: int, activation: nn.Module
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(channels[1], eps=EPSILON)
        self.activation = activation

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.activation(self.bn(self.conv(features)))
        return found


class ResidualUnit(nn.Module):
    """Expansion, depthwise convolution, squeeze and excitation, projection; a shortcut where shapes allow it."""

    def __init__(self, before: int, unit: Unit, scale: float) -> None:
        super().__init__()
        wide, after = scaled(unit.expanded * scale), scaled(unit.channels * scale)
        activation: nn.Module = nn.Hardswish() if unit.hard_swish else nn.ReLU()
        self.shortcut = unit.stride == (1, 1) and before == after
        self.expand_conv = ConvBNLayer((before, wide), 1, (1, 1), 1, activation)
        self.bottleneck_conv = ConvBNLayer((wide, wide), unit.kernel, unit.stride, wide, activation)
        self.mid_se = SEModule(wide, SLOPE) if unit.squeezed else nn.Identity()
        self.linear_conv = ConvBNLayer((wide, after), 1, (1, 1), 1, nn.Identity())

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.linear_conv(self.mid_se(self.bottleneck_conv(self.expand_conv(features))))
        return features + found if self.shortcut else found


class MobileNetV3Small(nn.Module):
    """B x 3 x H x W -> B x ``out_channels`` x H/32 x W/4."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        stem, self.out_channels = scaled(STEM * scale), scaled(LAST * scale)
        self.conv1 = ConvBNLayer((3, stem), 3, (2, 2), 1, nn.Hardswish())
        self.blocks = nn.Sequential()
        before = stem
        for unit in SMALL:
            self.blocks.append(ResidualUnit(before, unit, scale))
            before = scaled(unit.channels * scale)
        self.conv2 = ConvBNLayer((before, self.out_channels), 1, (1, 1), 1, nn.Hardswish())
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.pool(self.conv2(self.blocks(self.conv1(pictures))))
        return found


class MobileNetV3Large(nn.Module):
    """B x 3 x H x W -> the features of four stages at 1/4, 1/8, 1/16 and 1/32, of ``out_channels`` each."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        before, last = scaled(STEM * scale), scaled(LARGE_LAST * scale)
        self.conv = ConvBNLayer((3, before), 3, (2, 2), 1, nn.Hardswish())
        stages = [nn.Sequential() for _ in LARGE]
        for stage, units in zip(stages, LARGE, strict=True):
            for unit in units:
                stage.append(ResidualUnit(before, unit, scale))
                before = scaled(unit.channels * scale)
        stages[-1].append(ConvBNLayer((before, last), 1, (1, 1), 1, nn.Hardswish()))
        self.stage0, self.stage1, self.stage2, self.stage3 = stages
        self.out_channels = (*(scaled(units[-1].channels * scale) for units in LARGE[:-1]), last)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        found, features = [], self.conv(pictures)
        for stage in (self.stage0, self.stage1, self.stage2, self.stage3):
            features = stage(features)
            found.append(features)
        return found
