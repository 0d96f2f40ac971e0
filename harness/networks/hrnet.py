"""HRNet-W18 as PaddleSeg builds it (Wang et al., arXiv:1908.07919): up to four branches, each at half the size of the
one before, that are fused into one another after every four blocks.

Layers run in the order in which they are registered, and so a Paddle program holds them in the same order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

STEM = 64
BLOCKS = 4
"""Residual blocks of each branch of a module, and of the first stage."""
EXPANSION = 4
"""Of the first stage's bottlenecks."""
BRANCHES = (18, 36, 72, 144)
"""Channels of the branches at 1/4, 1/8, 1/16 and 1/32 of the picture."""
MODULES = (1, 4, 3)
"""Of the stages with two, three and four branches."""


class HalvingConv2d(nn.Conv2d):
    """A convolution 3x3 of stride 2 without bias, with Paddle's padding ``same``: one row and column of zeros behind
    the picture, and before it too where its size is odd.

    Torch has no such padding for strides. Exported, it is one Conv, as in the graph that is made of Paddle's program.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            exported: Callable[..., Tensor] = _Exported.apply
            return exported(features, self.weight)
        height, width = features.shape[2:]
        padded = nn.functional.pad(features, (width % 2, 1, height % 2, 1))
        return super().forward(padded)


class _Exported(torch.autograd.Function):
    """What the exporter meets in place of the padding and the convolution."""

    @staticmethod
    def forward(_: Any, features: Tensor, weight: Tensor) -> Tensor:
        # The exporter looks at the shape alone.
        height, width = features.shape[2:]
        return features.new_zeros(len(features), len(weight), (height + 1) // 2, (width + 1) // 2)

    @staticmethod
    def symbolic(graph: Any, features: Any, weight: Any) -> Any:
        return graph.op("Conv", features, weight, kernel_shape_i=[3, 3], strides_i=[2, 2], auto_pad_s="SAME_UPPER")


class ConvBN(nn.Module):
    """A convolution and batch normalisation; a ReLU behind them where ``relu``."""

    def __init__(self, convolution: nn.Conv2d, *, relu: bool = True) -> None:
        super().__init__()
        self._conv = convolution
        self._batch_norm = nn.BatchNorm2d(convolution.out_channels)
        self._relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self._relu(self._batch_norm(self._conv(features)))
        return found


class BottleneckBlock(nn.Module):
    """Three convolutions beside a shortcut, which has weights where the number of channels changes."""

    def __init__(self, before: int, inner: int) -> None:
        super().__init__()
        after = EXPANSION * inner
        self.conv1 = ConvBN(_plain(before, inner, 1))
        self.conv2 = ConvBN(_plain(inner, inner, 3))
        self.conv3 = ConvBN(_plain(inner, after, 1), relu=False)
        self.conv_down = nn.Identity() if before == after else ConvBN(_plain(before, after, 1), relu=False)

    def forward(self, features: Tensor) -> Tensor:
        found = self.conv3(self.conv2(self.conv1(features)))
        return torch.relu(found + self.conv_down(features))


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(_plain(channels, channels, 3))
        self.conv2 = ConvBN(_plain(channels, channels, 3), relu=False)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.conv2(self.conv1(features)) + features)


class Branches(nn.Module):
    """Four blocks on each branch."""

    def __init__(self, name: str, channels: Sequence[int]) -> None:
        super().__init__()
        for branch, count in enumerate(channels, 1):
            for block in range(1, BLOCKS + 1):
                self.add_module(f"bb_{name}_branch_layer_{branch}_{block}", BasicBlock(count))

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        blocks = list(self.children())
        return [_through(blocks[BLOCKS * at : BLOCKS * (at + 1)], features) for at, features in enumerate(branches)]


class FuseLayers(nn.Module):
    """To each branch the others, at its channels and size: coarser ones enlarged, finer ones halved step by step."""

    def __init__(self, name: str, channels: Sequence[int]) -> None:
        super().__init__()
        self.name = name
        for into, after in enumerate(channels, 1):
            for branch, before in enumerate(channels, 1):
                names = self.names(branch, into)
                for key in names[:-1]:
                    self.add_module(key, ConvBN(HalvingConv2d(before, before)))
                for key in names[-1:]:
                    last = _plain(before, after, 1) if branch > into else HalvingConv2d(before, after)
                    self.add_module(key, ConvBN(last, relu=False))

    def names(self, branch: int, into: int) -> list[str]:
        """The layers from one branch to another, counted from 1: one to a finer branch, none to itself."""
        key = f"residual_{self.name}_layer_{into}_{branch}"
        return [key] if branch > into else [f"{key}_{step}" for step in range(1, into - branch + 1)]

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        found = []
        for into, own in enumerate(branches, 1):
            merged = own
            for branch, features in enumerate(branches, 1):
                if branch != into:
                    given = _through(map(self.get_submodule, self.names(branch, into)), features)
                    merged = merged + (resized(given, own) if branch > into else given)
            found.append(torch.relu(merged))
        return found


class HighResolutionModule(nn.Module):
    """Blocks on every branch, then the exchange between them."""

    def __init__(self, name: str, channels: Sequence[int]) -> None:
        super().__init__()
        self.branches_func = Branches(name, channels)
        self.fuse_func = FuseLayers(name, channels)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        found: list[Tensor] = self.fuse_func(self.branches_func(branches))
        return found


class TransitionLayer(nn.Module):
    """One branch more, at half the size of the last; the others as they are, but for their channels."""

    def __init__(self, name: str, before: Sequence[int], after: Sequence[int]) -> None:
        super().__init__()
        pairs = zip(before, after[:-1], strict=True)
        layers = [nn.Identity() if had == gets else ConvBN(_plain(had, gets, 3)) for had, gets in pairs]
        for branch, layer in enumerate((*layers, ConvBN(HalvingConv2d(before[-1], after[-1]))), 1):
            self.add_module(f"transition_{name}_layer_{branch}", layer)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        given = (*branches, branches[-1])
        return [layer(features) for layer, features in zip(self.children(), given, strict=True)]


class HRNet(nn.Module):
    """B x 3 x H x W -> B x ``out_channels`` x H/4 x W/4: the four branches, enlarged to the first one's size."""

    def __init__(self, width: float) -> None:
        super().__init__()
        stem, *channels = (scaled(count, width) for count in (STEM, *BRANCHES))
        self.out_channels = sum(channels)
        self.conv_layer1_1 = ConvBN(HalvingConv2d(3, stem))
        self.conv_layer1_2 = ConvBN(HalvingConv2d(stem, stem))
        wide = EXPANSION * stem
        counts = (stem, *(wide,) * (BLOCKS - 1))
        self.la1 = _named("bb_layer2", [BottleneckBlock(before, stem) for before in counts])
        had: Sequence[int] = (wide,)
        for stage, modules in enumerate(MODULES, 2):
            gets = channels[:stage]
            self.add_module(f"tr{stage - 1}", TransitionLayer(f"tr{stage - 1}", had, gets))
            parts = [HighResolutionModule(f"st{stage}_{number}", gets) for number in range(1, modules + 1)]
            self.add_module(f"st{stage}", _named(f"stage_st{stage}", parts))
            had = gets

    def forward(self, pictures: Tensor) -> Tensor:
        branches = [self.la1(self.conv_layer1_2(self.conv_layer1_1(pictures)))]
        for stage in range(2, len(MODULES) + 2):
            branches = self.get_submodule(f"tr{stage - 1}")(branches)
            branches = self.get_submodule(f"st{stage}")(branches)
        return torch.cat([branches[0], *(resized(coarse, branches[0]) for coarse in branches[1:])], dim=1)


def resized(features: Tensor, like: Tensor) -> Tensor:
    """Features brought to height and width of ``like``: bilinear, corners not aligned."""
    return nn.functional.interpolate(features, like.shape[2:], mode="bilinear", align_corners=False)


def scaled(channels: int, width: float) -> int:
    """So many channels at a width."""
    return max(1, round(channels * width))


def _plain(before: int, after: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the size, without bias."""
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)


def _named(stem: str, layers: Sequence[nn.Module]) -> nn.Sequential:
    """Layers one after another, under numbered names."""
    return nn.Sequential(OrderedDict((f"{stem}_{number}", layer) for number, layer in enumerate(layers, 1)))


def _through(layers: Iterable[nn.Module], features: Tensor) -> Tensor:
    """What the layers make of features, one after another."""
    return reduce(lambda given, layer: layer(given), layers, features)
