"""Lessons of the segmentation network: rendered streets, new ones every step, and the class of each of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from harness.cityscapes import IGNORED
from harness.datasets.rendered.street_view import SIZE
from harness.datasets.rendered.streets import draw_street
from harness.declaration import Scalar
from harness.preprocess.street import centred
from harness.training import loop

SHAPE = (3, SIZE[1], SIZE[0])
PIXELS = (
    306680,
    38429,
    81408,
    14199,
    15244,
    27764,
    7600,
    10248,
    67629,
    15897,
    202027,
    13214,
    21696,
    22992,
    38588,
    37182,
    43260,
    24161,
    11781,
)
"""Of each class among a million that count, in the first 1,000 streets of seed 1."""
LEAST_WEIGHT, MOST_WEIGHT = 0.3, 3.0
AUXILIARY = 0.4
"""What the logits by which pixels are first gathered weigh, as published."""
ENOUGH = 0.9
"""Of a street's pixels that count, for a hit."""


@dataclass(frozen=True)
class Lesson:
    """One batch: pictures B x 3 x 128 x 256 as the network is fed, and classes B x 128 x 256, 255 where none counts."""

    pictures: Tensor
    classes: Tensor


class Streets:
    """Streets of the rendered set. Left and right are alike in them, so that flipping would teach nothing new."""

    def __init__(self) -> None:
        self._weights = weights_of(PIXELS)

    def batch(self, seed: int, step: int, size: int) -> Lesson:
        """Streets with their classes."""
        streets = [draw_street(seed, step * size + item) for item in range(size)]
        classes = np.stack([labels for _, labels in streets]).astype(np.int64)
        return Lesson(_fed([picture for picture, _ in streets]), torch.from_numpy(classes))

    def loss(self, network: nn.Module, batch: Lesson) -> Tensor:
        """Cross-entropy of the pixels that count, of both logits; rare classes weigh more."""
        logits, auxiliary = network(batch.pictures)
        return self._entropy(logits, batch) + AUXILIARY * self._entropy(auxiliary, batch)

    def hits(self, network: nn.Module, seed: int, count: int) -> int:
        """Streets of whose counted pixels at least nine in ten have their class."""
        hits = 0
        for index in range(count):
            picture, labels = draw_street(seed, index)
            found = network(_fed([picture]))[0].argmax(dim=0).numpy()
            hits += bool((found == labels)[labels != IGNORED].mean() >= ENOUGH)
        return hits

    def _entropy(self, logits: Tensor, batch: Lesson) -> Tensor:
        return nn.functional.cross_entropy(logits, batch.classes, self._weights, ignore_index=IGNORED)


def weights_of(pixels: tuple[int, ...]) -> Tensor:
    """The root of how much rarer than the median a class is, within limits."""
    counts = torch.tensor(pixels, dtype=torch.float64)
    median = torch.quantile(counts, 0.5)
    return (median / counts).sqrt().clamp(LEAST_WEIGHT, MOST_WEIGHT).float()


def train_ocrnet(
    make: Callable[[], nn.Module], params: Mapping[str, Scalar], work: Path, say: loop.Say
) -> tuple[nn.Module, loop.Progress]:
    """As ``harness.training.loop.train``."""
    return loop.train(Streets(), make, params, work, say)


def _fed(pictures: list[Image.Image]) -> Tensor:
    return torch.from_numpy(np.stack([centred(_encoded(picture), SHAPE) for picture in pictures]))


def _encoded(picture: Image.Image) -> bytes:
    """The picture as the feed takes it, in the format that costs least."""
    found: Any = cv2.imencode(".bmp", np.asarray(picture)[:, :, ::-1])[1]
    return bytes(found)
