"""CRNN: VGG-style convolutions, two bidirectional LSTMs and a CTC head (guide 001).

Layer plan and state-dict keys are those of the published network (Shi, Bai and Yao, arXiv:1507.05717, in the
implementation that guide 001 names), so a published checkpoint loads key for key.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# Channels of the seven convolutions; kernel 3 with padding 1, but for the last: kernel 2 without padding.
CHANNELS = (64, 128, 256, 256, 512, 512, 512)
NORMALISED = (2, 4, 6)
# Pools follow the convolutions named here. The last two keep the width nearly whole: it becomes the time axis.
POOLS: dict[int, dict[str, Any]] = {
    0: {"kernel_size": 2, "stride": 2},
    1: {"kernel_size": 2, "stride": 2},
    3: {"kernel_size": (2, 2), "stride": (2, 1), "padding": (0, 1)},
    5: {"kernel_size": (2, 2), "stride": (2, 1), "padding": (0, 1)},
}


class BidirectionalLstm(nn.Module):
    """One bidirectional LSTM and a linear layer over its two directions: T x B x features -> T x B x outputs."""

    def __init__(self, features: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(features, hidden, bidirectional=True)
        self.embedding = nn.Linear(2 * hidden, outputs)

    def forward(self, sequence: Tensor) -> Tensor:
        recurrent, _ = self.rnn(sequence)
        steps, batch, width = recurrent.size()
        # The published spelling: the linear layer sees T*B rows. It exports as Reshape, Gemm, Reshape.
        rows: Tensor = self.embedding(recurrent.view(steps * batch, width))
        return rows.view(steps, batch, -1)


class Crnn(nn.Module):
    """Reads one text line: B x 1 x 32 x 100 in [-1, 1] -> 26 x B x classes log-probabilities, class 0 the blank.

    ``width`` scales every layer; 1.0 is the published network (8,331,301 parameters at 37 classes).
    """

    def __init__(self, *, width: float = 1.0, hidden: int = 256, classes: int = 37) -> None:
        super().__init__()
        channels = [round(count * width) for count in CHANNELS]
        hidden = round(hidden * width)
        self.cnn = nn.Sequential()
        for index, count in enumerate(channels):
            kernel, padding = (2, 0) if index == len(channels) - 1 else (3, 1)
            before = 1 if index == 0 else channels[index - 1]
            self.cnn.add_module(f"conv{index}", nn.Conv2d(before, count, kernel, padding=padding))
            if index in NORMALISED:
                self.cnn.add_module(f"batchnorm{index}", nn.BatchNorm2d(count))
            self.cnn.add_module(f"relu{index}", nn.ReLU())
            if index in POOLS:
                self.cnn.add_module(f"pooling{index}", nn.MaxPool2d(**POOLS[index]))
        self.rnn = nn.Sequential(
            BidirectionalLstm(channels[-1], hidden, hidden),
            BidirectionalLstm(hidden, hidden, classes),
        )

    @staticmethod
    def canonical_key(key: str) -> str:
        """The key of this network for a published one.

        Guide 001's own training code splits each bidirectional LSTM into ``fw_rnn`` and ``bw_rnn``; the reference
        implementation keeps one ``rnn``. Both are published, both load.
        """
        if ".bw_rnn." in key:
            return key.replace(".bw_rnn.", ".rnn.") + "_reverse"
        return key.replace(".fw_rnn.", ".rnn.")

    def forward(self, pictures: Tensor) -> Tensor:
        features = self.cnn(pictures).squeeze(2).permute(2, 0, 1)
        return torch.nn.functional.log_softmax(self.rnn(features), dim=2)
