"""ResNet-50 as a backbone of detectors, with plain or with deformable convolutions (guide 003)."""

from __future__ import annotations

from torch import Tensor, nn

from harness.networks.deform_conv import DeformConv2d

DEPTHS = (3, 4, 6, 3)
CHANNELS = (64, 128, 256, 512)
EXPANSION = 4
TAPS = 9


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut, which has weights where sizes change."""

    def __init__(self, before: int, channels: int, stride: int, *, first: bool) -> None:
        super().__init__()
        after = channels * EXPANSION
        self.conv1 = nn.Conv2d(before, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = self.middle(channels, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        shortcut = (nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.downsample = nn.Sequential(*shortcut) if first else nn.Identity()

    def middle(self, channels: int, stride: int) -> nn.Module:
        """The 3x3 convolution."""
        return nn.Conv2d(channels, channels, 3, stride, 1, bias=False)

    def look(self, features: Tensor) -> Tensor:
        """The 3x3 convolution of features."""
        found: Tensor = self.conv2(features)
        return found

    def forward(self, features: Tensor) -> Tensor:
        found = nn.functional.relu(self.bn1(self.conv1(features)))
        found = nn.functional.relu(self.bn2(self.look(found)))
        return nn.functional.relu(self.bn3(self.conv3(found)) + self.downsample(features))


class DeformableBottleneck(Bottleneck):
    """A bottleneck whose 3x3 convolution looks where another one, of the same stride, says."""

    def middle(self, channels: int, stride: int) -> nn.Module:
        # The published code gives this one no stride, and its kernel reads the offsets of other places then. The
        # repaired form is the only one that DeformConv takes.
        self.conv2_offset = nn.Conv2d(channels, 3 * TAPS, 3, stride, 1)
        return DeformConv2d(channels, channels, stride)

    def look(self, features: Tensor) -> Tensor:
        offset, mask = self.conv2_offset(features).split((2 * TAPS, TAPS), dim=1)
        found: Tensor = self.conv2(features, offset, mask.sigmoid())
        return found


class ResNet50(nn.Module):
    """B x 3 x H x W -> features at 1/4, 1/8, 1/16 and 1/32 of the size, of ``out_channels`` channels.

    ``deformable`` concerns all stages but the first.
    """

    def __init__(self, width: float, *, deformable: bool) -> None:
        super().__init__()
        before = round(CHANNELS[0] * width)
        self.conv1 = nn.Conv2d(3, before, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.out_channels = [round(count * width) * EXPANSION for count in CHANNELS]
        for stage, (after, depth) in enumerate(zip(self.out_channels, DEPTHS, strict=True), 1):
            block = DeformableBottleneck if deformable and stage > 1 else Bottleneck
            first = block(before, after // EXPANSION, 1 if stage == 1 else 2, first=True)
            rest = [block(after, after // EXPANSION, 1, first=False) for _ in range(depth - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(first, *rest))
            before = after

    def forward(self, pictures: Tensor) -> list[Tensor]:
        features = nn.functional.relu(self.bn1(self.conv1(pictures)))
        found = [nn.functional.max_pool2d(features, 3, 2, 1)]
        for stage in range(1, len(DEPTHS) + 1):
            found.append(self.get_submodule(f"layer{stage}")(found[-1]))
        return found[1:]
