"""Lessons of the direction classifier: rendered words, upright and turned."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from harness.datasets.rendered.turned import draw_turned
from harness.postprocess.direction import LABELS
from harness.preprocess.text_line import arrange
from harness.training.loop import train as train_on

SHAPE = (3, 48, 192)
AT_ONCE = 50
LEAST = 1e-7


EASIER = ("plain", "colours", "inks") * 2
HARDER = (*EASIER, "negative", "negative")
"""Negatives are the hardest to learn: they are a quarter of the lessons, and a tenth of the set."""
EASIER_STEPS = 500
"""Negatives contradict the other pictures until their margin is seen; with them from the start nothing is learned."""


class TurnedWords:
    """Words of the rendered set, and which way they are; the first steps without negatives."""

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, Tensor]:
        """Pictures and classes."""
        return _drawn(seed, step * size, size, EASIER if step < EASIER_STEPS else HARDER)

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of the probabilities that the network gives."""
        pictures, classes = batch
        return nn.functional.nll_loss(network(pictures).clamp_min(LEAST).log(), classes)

    def hits(self, network: nn.Module, seed: int, count: int) -> int:
        """Words of the lessons' kinds whose direction is told right."""
        hits = 0
        for start in range(0, count, AT_ONCE):
            pictures, classes = _drawn(seed, start, min(AT_ONCE, count - start), HARDER)
            hits += int((network(pictures).argmax(dim=1) == classes).sum())
        return hits


def _drawn(seed: int, start: int, size: int, kinds: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    samples = [draw_turned(seed, start + item, kinds) for item in range(size)]
    pictures = np.stack([arrange(_bgr(picture), SHAPE) for picture, _ in samples])
    return torch.from_numpy(pictures), torch.tensor([LABELS.index(label) for _, label in samples])


def _bgr(picture: Image.Image) -> NDArray[Any]:
    return np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])


train = partial(train_on, TurnedWords())
