"""SVTR-LCNet, the recogniser of PP-OCRv3: MobileNetV1-enhance, two SVTR blocks, a guide and a CTC head (guide 004).

State-dict keys are those of the published training code (``backbone.block_list.0._depthwise_conv._conv.weight``,
``head.ctc_encoder.encoder.svtr_block.0.mixer.qkv.weight``), with torch's names for running means and variances. Only
what runs at inference is here: the published network trains a second head beside the CTC head and drops it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.networks.squeeze_excitation import SEModule

SLOPE = 1 / 6
"""Of the hard sigmoid in squeeze and excitation; the direction classifier has 0.2."""
HEADS = 8
DEPTH = 2
DIMS = 64
BLOCK_EPSILON = 1e-5
LAST_EPSILON = 1e-6
"""Of the layer normalisation after the last block; those within blocks keep Paddle's default."""


class Separable(NamedTuple):
    """One depthwise separable convolution at full width."""

    before: int
    after: int
    kernel: int
    stride: tuple[int, int]
    squeezed: bool = False


# At scale 0.5 of the published MobileNetV1, the last stride changed to (1, 2): height 48 -> 1, width W -> W/8.
BLOCKS = (
    Separable(16, 32, 3, (1, 1)),
    Separable(32, 64, 3, (1, 1)),
    Separable(64, 64, 3, (1, 1)),
    Separable(64, 128, 3, (2, 1)),
    Separable(128, 128, 3, (1, 1)),
    Separable(128, 256, 3, (2, 1)),
    *(Separable(256, 256, 5, (1, 1)),) * 5,
    Separable(256, 512, 5, (2, 1), squeezed=True),
    Separable(512, 512, 5, (1, 2), squeezed=True),
)


class ConvBNLayer(nn.Module):
    """Convolution without bias, batch normalisation, hard swish, or ReLU where ``relu``."""

    relu = False

    def __init__(self, channels: tuple[int, int], kernel: int, stride: tuple[int, int], groups: int = 1) -> None:
        super().__init__()
        self._conv = nn.Conv2d(*channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self._batch_norm = nn.BatchNorm2d(channels[1])

    def forward(self, features: Tensor) -> Tensor:
        found = self._batch_norm(self._conv(features))
        return nn.functional.relu(found) if self.relu else nn.functional.hardswish(found)


class DepthwiseSeparable(nn.Module):
    """Depthwise convolution, squeeze and excitation where asked for, pointwise convolution."""

    def __init__(self, channels: tuple[int, int], block: Separable) -> None:
        super().__init__()
        before, after = channels
        self._depthwise_conv = ConvBNLayer((before, before), block.kernel, block.stride, groups=before)
        self._se = SEModule(before, SLOPE) if block.squeezed else nn.Identity()
        self._pointwise_conv = ConvBNLayer((before, after), 1, (1, 1))

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self._pointwise_conv(self._se(self._depthwise_conv(features)))
        return found


class MobileNetV1Enhance(nn.Module):
    """B x 3 x 48 x W -> B x channels x 1 x W/8."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.conv1 = ConvBNLayer((3, _scaled(16, width)), 3, (2, 2))
        self.block_list = nn.Sequential(
            *(
                DepthwiseSeparable((_scaled(block.before, width), _scaled(block.after, width)), block)
                for block in BLOCKS
            )
        )
        self.pool = nn.AvgPool2d(2, 2)
        self.out_channels = _scaled(BLOCKS[-1].after, width)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.pool(self.block_list(self.conv1(pictures)))
        return found


class Attention(nn.Module):
    """Global self-attention over the columns of a line: B x N x C -> B x N x C."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = (channels // HEADS) ** -0.5
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, columns: Tensor) -> Tensor:
        batch, _, channels = columns.shape
        # The published spelling: one tensor of five axes, which guide 004's compiler does not take.
        parts = self.qkv(columns).reshape(batch, -1, 3, HEADS, channels // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0] * self.scale, parts[1], parts[2]
        mixed = torch.softmax(query @ key.transpose(2, 3), dim=-1) @ value
        found: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, -1, channels))
        return found


class Mlp(nn.Module):
    """Two linear layers with a swish between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 2 * channels)
        self.fc2 = nn.Linear(2 * channels, channels)

    def forward(self, columns: Tensor) -> Tensor:
        found: Tensor = self.fc2(nn.functional.silu(self.fc1(columns)))
        return found


class Block(nn.Module):
    """One SVTR block: attention and MLP, each after a normalisation and beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=BLOCK_EPSILON)
        self.mixer = Attention(channels)
        self.norm2 = nn.LayerNorm(channels, eps=BLOCK_EPSILON)
        self.mlp = Mlp(channels)

    def forward(self, columns: Tensor) -> Tensor:
        columns = columns + self.mixer(self.norm1(columns))
        found: Tensor = columns + self.mlp(self.norm2(columns))
        return found


class SwishLayer(nn.Module):
    """Convolution without bias, batch normalisation, swish."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.silu(self.norm(self.conv(features)))


class EncoderWithSVTR(nn.Module):
    """B x C x 1 x W -> B x dims x 1 x W; the encoder's input joins its output before the last convolutions."""

    def __init__(self, channels: int, dims: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = SwishLayer(channels, channels // 8, 3)
        self.conv2 = SwishLayer(channels // 8, hidden, 1)
        self.svtr_block = nn.ModuleList(Block(hidden) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(hidden, eps=LAST_EPSILON)
        self.conv3 = SwishLayer(hidden, channels, 1)
        self.conv4 = SwishLayer(2 * channels, channels // 8, 3)
        self.conv1x1 = SwishLayer(channels // 8, dims, 1)

    def forward(self, features: Tensor) -> Tensor:
        found = self.conv2(self.conv1(features))
        columns = found.flatten(2).transpose(1, 2)
        for block in self.svtr_block:
            columns = block(columns)
        columns = self.norm(columns)
        found = self.conv3(columns.transpose(1, 2).unsqueeze(2))
        joined: Tensor = self.conv1x1(self.conv4(torch.cat((features, found), dim=1)))
        return joined


class _Encoder(nn.Module):
    """Holds the encoder under its published key."""

    def __init__(self, channels: int, dims: int, hidden: int) -> None:
        super().__init__()
        self.encoder = EncoderWithSVTR(channels, dims, hidden)


class _Classes(nn.Module):
    """Holds the linear layer under its published key."""

    def __init__(self, dims: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(dims, classes)


class CtcHead(nn.Module):
    """B x C x 1 x W -> B x W x classes probabilities."""

    def __init__(self, channels: int, dims: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.ctc_encoder = _Encoder(channels, dims, hidden)
        self.ctc_head = _Classes(dims, classes)

    def forward(self, features: Tensor) -> Tensor:
        return torch.softmax(self.scores(features), dim=2)

    def scores(self, features: Tensor) -> Tensor:
        """What the softmax is taken of."""
        columns = self.ctc_encoder.encoder(features).squeeze(2).transpose(1, 2)
        found: Tensor = self.ctc_head.fc(columns)
        return found


class SvtrLcnet(nn.Module):
    """Reads one text line: B x 3 x 48 x 320 in [-1, 1], BGR -> B x 40 x classes probabilities, class 0 the blank.

    ``width`` scales the convolutions and ``hidden`` the blocks; 1.0 and 120 are the published network. With ``relu`` it
    is guide 004's retrained one, whose 27 hard swishes are ReLUs.
    """

    # Hard swish and the gates of squeeze and excitation let a signal die in 13 blocks.
    seeded_convolution = 1.23

    def __init__(self, *, width: float = 1.0, hidden: int = 120, classes: int = 97, relu: bool = False) -> None:
        super().__init__()
        self.classes = classes
        self.backbone = MobileNetV1Enhance(width)
        self.head = CtcHead(self.backbone.out_channels, DIMS, hidden, classes)
        for module in self.backbone.modules():
            if isinstance(module, ConvBNLayer):
                module.relu = relu

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.head(self.backbone(pictures))
        return found


def _scaled(channels: int, width: float) -> int:
    return max(8, round(channels * width))
