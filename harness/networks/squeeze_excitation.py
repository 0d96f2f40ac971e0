"""Squeeze and excitation as PaddleOCR builds it, with the slope that each network's hard sigmoid has."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SEModule(nn.Module):
    """Scales channels by a gate of their means: B x C x H x W -> the same.

    ``slope`` is that of the hard sigmoid, clamp(slope * x + 0.5, 0, 1): Paddle's own has 1/6, as torch's; MobileNetV3
    was published with 0.2.
    """

    def __init__(self, channels: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv1 = nn.Conv2d(channels, channels // 4, 1)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        gate = self.conv2(torch.relu(self.conv1(self.avg_pool(features))))
        return features * torch.clamp(self.slope * gate + 0.5, 0.0, 1.0)
