"""The detector of PP-OCRv3: MobileNetV3-large, a residual squeeze-and-excitation FPN and a DB head (guide 004).

State-dict keys are those of the published training code (``backbone.stage0.0.expand_conv.conv.weight``,
``neck.ins_conv.0.in_conv.weight``, ``head.binarize.conv1.weight``), with torch's names for running means and variances.
Only what runs at inference is here: training adds a second head for the threshold and drops it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from harness.networks.mobilenet_v3 import SLOPE, MobileNetV3Large
from harness.networks.squeeze_excitation import SEModule

NECK = 96
"""Channels of every level of the neck, and of the concatenated features that the head reads."""


class RSELayer(nn.Module):
    """Convolution without bias, and what squeeze and excitation makes of its result added to it."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.in_conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
        self.se_block = SEModule(after, SLOPE)

    def forward(self, features: Tensor) -> Tensor:
        narrowed = self.in_conv(features)
        found: Tensor = narrowed + self.se_block(narrowed)
        return found


class RSEFPN(nn.Module):
    """Features at 1/4, 1/8, 1/16 and 1/32, of ``channels`` each -> B x ``out`` x H/4 x W/4, the coarsest first."""

    def __init__(self, channels: Sequence[int], out: int) -> None:
        super().__init__()
        self.ins_conv = _by_level(RSELayer(before, out, 1) for before in channels)
        self.inp_conv = _by_level(RSELayer(out, out // len(channels), 3) for _ in channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        merged: list[Tensor] = []
        for level, layer in self.ins_conv.items():
            found = layer(features[int(level)])
            merged.append(found + _enlarged(merged[-1], 2) if merged else found)
        given = zip(self.inp_conv.items(), merged, strict=True)
        return torch.cat([_enlarged(layer(found), 2 ** int(level)) for (level, layer), found in given], dim=1)


class Head(nn.Module):
    """B x C x H/4 x W/4 -> probabilities, B x 1 x H x W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1 = nn.Conv2d(channels, inner, 3, padding=1, bias=False)
        self.conv_bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.ConvTranspose2d(inner, inner, 2, 2)
        self.conv_bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.ConvTranspose2d(inner, 1, 2, 2)

    def forward(self, features: Tensor) -> Tensor:
        found = torch.relu(self.conv_bn1(self.conv1(features)))
        found = torch.relu(self.conv_bn2(self.conv2(found)))
        return torch.sigmoid(self.conv3(found))


class DBHead(nn.Module):
    """The head whose map is the answer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.binarize = Head(channels)

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.binarize(features)
        return found


class PpocrDet(nn.Module):
    """Finds text: B x 3 x H x W, BGR, normalised -> B x 1 x H x W probabilities; H and W multiples of 32."""

    # Half of the convolutions have no activation behind them: full gain ends in zeros and ones alone.
    seeded_convolution = 0.8

    def __init__(self, *, scale: float = 0.5) -> None:
        super().__init__()
        self.backbone = MobileNetV3Large(scale)
        self.neck = RSEFPN(self.backbone.out_channels, NECK)
        self.head = DBHead(NECK)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.head(self.neck(self.backbone(pictures)))
        return found


def _by_level(layers: Iterable[nn.Module]) -> nn.ModuleDict:
    """Layers under the numbers of a list, the last one first: so they run, and a program holds them in that order."""
    named = [(str(level), layer) for level, layer in enumerate(layers)]
    return nn.ModuleDict(dict(reversed(named)))


def _enlarged(features: Tensor, factor: int) -> Tensor:
    """Each number ``factor`` x ``factor`` times; a factor of 1 leaves nothing in a graph."""
    return features if factor == 1 else nn.functional.interpolate(features, scale_factor=float(factor), mode="nearest")
