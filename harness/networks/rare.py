"""RARE: rectification, ResNet-34 vd, two bidirectional LSTMs, an attention decoder of 25 steps (guide 000).

Layer plan and state-dict keys are those of PaddleOCR's ``rec_r34_vd_tps_bilstm_att``, with torch's names for running
means and variances, so a published checkpoint loads key for key.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.networks.tps import Tps

DEPTHS = (3, 4, 6, 3)
CHANNELS = (64, 128, 256, 512)
STEM = (32, 32, 64)
STEPS = 25
"""Characters of the longest word, and columns of the features."""
START = 0
"""The class that stands before the first character."""


class ConvBNLayer(nn.Module):
    """Convolution without bias, batch normalisation; ``pool`` averages over the stride first instead of striding."""

    def __init__(
        self, channels: tuple[int, int], kernel: int, stride: tuple[int, int] = (1, 1), *, pool: bool = False
    ) -> None:
        super().__init__()
        self._pool2d_avg = nn.AvgPool2d(stride, stride, ceil_mode=True) if pool else nn.Identity()
        self._conv = nn.Conv2d(*channels, kernel, (1, 1) if pool else stride, kernel // 2, bias=False)
        self._batch_norm = nn.BatchNorm2d(channels[1])

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self._batch_norm(self._conv(self._pool2d_avg(features)))
        return found


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, which has weights where sizes change."""

    def __init__(self, before: int, after: int, stride: tuple[int, int], *, first: bool) -> None:
        super().__init__()
        self.conv0 = ConvBNLayer((before, after), 3, stride)
        self.conv1 = ConvBNLayer((after, after), 3)
        self.short = ConvBNLayer((before, after), 1, stride, pool=stride != (1, 1)) if first else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        found = self.conv1(nn.functional.relu(self.conv0(features)))
        return nn.functional.relu(self.short(features) + found)


class ResNetVd(nn.Module):
    """B x 3 x 32 x 100 -> B x 512 x 1 x 25: stages halve the height alone, the last pool both."""

    def __init__(self, width: float) -> None:
        super().__init__()
        stem = (3, *(scaled(count, width) for count in STEM))
        for index, pair in enumerate(pairwise(stem), 1):
            self.add_module(f"conv1_{index}", ConvBNLayer(pair, 3))
        before = stem[-1]
        for stage, (count, depth) in enumerate(zip(CHANNELS, DEPTHS, strict=True)):
            after = scaled(count, width)
            for index in range(depth):
                stride = (2, 1) if index == 0 and stage else (1, 1)
                self.add_module(f"bb_{stage}_{index}", BasicBlock(before, after, stride, first=index == 0))
                before = after
        self.out_channels = before

    def forward(self, pictures: Tensor) -> Tensor:
        features = pictures
        for index in range(1, len(STEM) + 1):
            features = nn.functional.relu(self.get_submodule(f"conv1_{index}")(features))
        features = nn.functional.max_pool2d(features, 3, 2, 1)
        for stage, depth in enumerate(DEPTHS):
            for index in range(depth):
                features = self.get_submodule(f"bb_{stage}_{index}")(features)
        return nn.functional.max_pool2d(features, 2, 2)


class EncoderWithRNN(nn.Module):
    """B x 25 x channels -> B x 25 x 2 hidden."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, hidden, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, columns: Tensor) -> Tensor:
        found: Tensor
        found, _ = self.lstm(columns)
        return found


class SequenceEncoder(nn.Module):
    """Columns of the features as a sequence: B x channels x 1 x 25 -> B x 25 x 2 hidden."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.encoder = EncoderWithRNN(channels, hidden)

    def forward(self, features: Tensor) -> Tensor:
        # Not squeeze(2): the exporter does not know the height behind GridSample, and writes an If for a squeeze.
        found: Tensor = self.encoder(features[:, :, 0].transpose(1, 2))
        return found


class AttentionGRUCell(nn.Module):
    """One step: looks at the columns that the state asks for, and goes on from them and the character before."""

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.i2h = nn.Linear(features, hidden, bias=False)
        self.h2h = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.rnn = nn.GRUCell(features + classes, hidden)

    def forward(self, hidden: Tensor, columns: Tensor, previous: Tensor) -> Tensor:
        """``hidden`` B x hidden, ``columns`` B x 25 x features, ``previous`` B x classes one-hot -> the next hidden."""
        asked = torch.tanh(self.i2h(columns) + self.h2h(hidden).unsqueeze(1))
        weights = torch.softmax(self.score(asked), dim=1)
        context = (weights.transpose(1, 2) @ columns).squeeze(1)
        found: Tensor = self.rnn(torch.cat((context, previous), dim=1), hidden)
        return found


class AttentionHead(nn.Module):
    """B x 25 x features -> B x 25 x classes probabilities: each step is fed the best class of the step before.

    It never stops early; what follows the end of the word is for the decoder to drop.
    """

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.classes = classes
        self.attention_cell = AttentionGRUCell(features, hidden, classes)
        self.generator = nn.Linear(hidden, classes)

    def forward(self, columns: Tensor) -> Tensor:
        state = columns.new_zeros(columns.shape[0], self.hidden)
        best = torch.full_like(columns[:, 0, 0], START, dtype=torch.int64)
        found: list[Tensor] = []
        for _ in range(STEPS):
            state = self.attention_cell(state, columns, self.one_hot(best, columns))
            found.append(self.generator(state))
            best = found[-1].argmax(dim=1)
        return torch.softmax(torch.stack(found, dim=1), dim=2)

    def one_hot(self, classes: Tensor, like: Tensor) -> Tensor:
        """B class indices as B x classes, in the type of ``like``."""
        return nn.functional.one_hot(classes, self.classes).to(like.dtype)


class Rare(nn.Module):
    """Reads one word, also a curved one: B x 3 x 32 x 100 in [-1, 1], BGR -> B x 25 x 38 probabilities.

    Class 0 stands before a word, 1 to 36 are 0-9a-z, 37 ends it. ``width`` scales the convolutions and ``hidden`` the
    recurrent layers; 1.0 and 256 are the published network.
    """

    # Fiducials drawn at random would fold the picture; these stay near a rectangle, and move with the picture.
    seeded_gains: ClassVar[Mapping[str, float]] = {
        "transform.loc_net.fc2.weight": 0.05,
        "transform.loc_net.fc2.bias": 0.0,
        "transform.grid_generator.fc.weight": 0.0,
        "transform.grid_generator.fc.bias": 0.0,
    }

    def __init__(self, *, width: float = 1.0, hidden: int = 256, classes: int = 38) -> None:
        super().__init__()
        self.transform = Tps(width)
        self.backbone = ResNetVd(width)
        self.neck = SequenceEncoder(self.backbone.out_channels, hidden)
        self.head = AttentionHead(2 * hidden, hidden, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.head(self.neck(self.backbone(self.transform(pictures))))
        return found


def scaled(channels: int, width: float) -> int:
    """So many channels at a width, at least 8."""
    return max(8, round(channels * width))
