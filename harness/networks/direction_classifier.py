"""The direction classifier of PP-OCR: MobileNetV3-small at 0.35 of its width and one linear layer (guide 004)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.networks.mobilenet_v3 import MobileNetV3Small


class ClsHead(nn.Module):
    """Mean over the picture, then probabilities."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, classes)

    def forward(self, features: Tensor) -> Tensor:
        return torch.softmax(self.fc(features.mean(dim=(2, 3))), dim=1)


class DirectionClassifier(nn.Module):
    """Upright or turned by 180 degrees: B x 3 x 48 x 192 in [-1, 1], BGR -> B x 2 probabilities.

    State-dict keys are those of the published training code (``backbone.blocks.0.expand_conv.conv.weight``), with
    torch's names for running means and variances.
    """

    def __init__(self, *, scale: float = 0.35, classes: int = 2) -> None:
        super().__init__()
        self.backbone = MobileNetV3Small(scale)
        self.head = ClsHead(self.backbone.out_channels, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.head(self.backbone(pictures))
        return found
