"""Modulated deformable convolution (Zhu et al., arXiv:1811.11168): each tap of the kernel looks where the picture says.

Plain torch, because its own operator comes only with another package. Exported, it is one DeformConv of opset 19.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Window:
    """How a kernel moves over a picture, the same on both axes."""

    stride: int = 1
    padding: int = 0
    dilation: int = 1


def deform_conv(features: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, window: Window) -> Tensor:
    """The convolution of ``features`` (B x C x H x W) with ``weight`` (O x C x kh x kw): B x O x oh x ow.

    ``offset`` is B x 2*kh*kw x oh x ow, in pixels, y before x for each tap; ``mask`` is B x kh*kw x oh x ow. Between
    pixels the value is bilinear, outside the picture it is 0. All four tensors have gradients.
    """
    if torch.onnx.is_in_onnx_export():
        exported: Callable[..., Tensor] = _Exported.apply
        return exported(features, weight, offset, mask, window)
    return gathered(features, weight, offset, mask, window)


def gathered(features: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, window: Window) -> Tensor:
    """``deform_conv`` by gathering the four pixels around each point; coordinates in the precision of ``offset``."""
    outputs, channels, height, width = weight.shape
    rows, columns = offset.shape[2:]
    taps = torch.arange(height * width, device=offset.device)
    y = _places(rows, taps // width, window, offset)[:, :, None] + offset[:, 0::2]
    x = _places(columns, taps % width, window, offset)[:, None, :] + offset[:, 1::2]
    sampled = _bilinear(features, y.flatten(1), x.flatten(1), mask.flatten(1))
    patches = sampled.reshape(-1, channels * height * width, rows * columns)
    return (weight.reshape(outputs, -1) @ patches).reshape(-1, outputs, rows, columns)


def _places(count: int, taps: Tensor, window: Window, like: Tensor) -> Tensor:
    """Where each tap looks without an offset, for each of ``count`` outputs along one axis: taps x count."""
    first = torch.arange(count, device=taps.device) * window.stride - window.padding
    return (first + taps[:, None] * window.dilation).to(like.dtype)


def _bilinear(features: Tensor, y: Tensor, x: Tensor, mask: Tensor) -> Tensor:
    """The values of B x C x H x W at points y, x (B x n), times the mask there: B x C x n."""
    height, width = features.shape[2:]
    pixels = features.flatten(2)
    top, left = y.floor(), x.floor()
    found = torch.zeros((), dtype=features.dtype, device=features.device)
    for row, high in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, wide in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            share = (high * wide * inside * mask)[:, None]
            found = found + share * pixels.gather(2, index[:, None].expand(-1, pixels.shape[1], -1))
    return found


class _Exported(torch.autograd.Function):
    """What the exporter meets in place of the arithmetic, and writes as one node."""

    @staticmethod
    def forward(_: Any, features: Tensor, weight: Tensor, offset: Tensor, _mask: Tensor, _window: Window) -> Tensor:
        # The exporter looks at the shape alone, and stumbles over arithmetic in here.
        return features.new_zeros(len(features), len(weight), *offset.shape[2:])

    @staticmethod
    def symbolic(graph: Any, *given: Any) -> Any:
        features, weight, offset, mask, window = given
        bias = graph.op("prim::Constant")
        bias.setType(torch._C.NoneType.get())
        return graph.op(
            "DeformConv",
            features,
            weight,
            offset,
            bias,
            mask,
            kernel_shape_i=weight.type().sizes()[2:],
            strides_i=[window.stride] * 2,
            pads_i=[window.padding] * 4,
            dilations_i=[window.dilation] * 2,
            group_i=1,
            offset_group_i=1,
        )


class DeformConv2d(nn.Module):
    """A deformable convolution 3x3 without bias, padding 1; who calls it brings offsets and mask."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before, 3, 3))
        nn.init.kaiming_normal_(self.weight)
        self.window = Window(stride, padding=1)

    def forward(self, features: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        return deform_conv(features, self.weight, offset, mask, self.window)
