"""Lessons of a CTC recogniser: rendered words.

CTC sits on a plateau of blanks for the first several hundred steps; short words, warm-up and clipping break it.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from harness.datasets.rendered.words import draw_word
from harness.postprocess.recognition import LOWER_CTC
from harness.preprocess.text_line import normalise_grey
from harness.training.loop import train as train_on

SHAPE = (1, 32, 100)
AT_ONCE = 50


class Words:
    """Words of the rendered set, read lower-cased."""

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, list[list[int]]]:
        """Pictures and the classes of their labels."""
        drawn = [draw_word(seed, step * size + item) for item in range(size)]
        pictures = torch.from_numpy(np.stack([normalise_grey(picture, SHAPE) for picture, _ in drawn]))
        return pictures, [LOWER_CTC.encode(label.lower()) for _, label in drawn]

    def loss(self, network: nn.Module, batch: tuple[Tensor, list[list[int]]]) -> Tensor:
        """CTC."""
        pictures, targets = batch
        scores = network(pictures)
        lengths = torch.full((len(targets),), scores.shape[0])
        flat = torch.tensor([index for target in targets for index in target])
        found: Tensor = nn.functional.ctc_loss(
            scores,
            flat,
            lengths,
            torch.tensor([len(target) for target in targets]),
            LOWER_CTC.BLANK,
            zero_infinity=True,
        )
        return found

    def hits(self, network: nn.Module, seed: int, count: int) -> int:
        """Words read without a fault."""
        hits = 0
        for start in range(0, count, AT_ONCE):
            drawn = [draw_word(seed, index) for index in range(start, min(start + AT_ONCE, count))]
            scores = network(
                torch.from_numpy(np.stack([normalise_grey(picture, SHAPE) for picture, _ in drawn]))
            ).numpy()
            hits += sum(LOWER_CTC.decode(scores[:, item]) == label.lower() for item, (_, label) in enumerate(drawn))
        return hits


train = partial(train_on, Words())
