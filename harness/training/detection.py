"""Lessons of the detectors: rendered scenes, and which of their pixels lie well inside of words.

As DB is taught (Liao et al., arXiv:1911.08947): a map of shrunk words, so that neighbours do not touch, from which the
postprocess grows them again. Hard negatives count three to one, and what nobody cares about counts not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyclipper
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from harness.boxes import Region, write_truth
from harness.datasets.rendered.scenes import SIZE, draw_scene
from harness.declaration import Scalar
from harness.metrics.detection import ICDAR_IOU
from harness.postprocess.db import BUNDLED
from harness.preprocess.scene import stretch_centred, stretch_normalised
from harness.training import loop

Feed = Callable[[bytes, tuple[int, ...]], NDArray[np.float32]]

SHAPE = (3, 256, 384)
SHRINK = 0.4
"""r of the paper: words are shrunk by area * (1 - r * r) / perimeter."""
NEGATIVES = 3
"""The hardest pixels without a word that count for each one with a word."""
ENTROPY_WEIGHT = 2.0
FRACTION_BITS = 4
"""Of the coordinates that words are shrunk and filled in."""
LEAST = 1e-6


@dataclass(frozen=True)
class Lesson:
    """One batch: pictures B x 3 x 256 x 384 as the network is fed, and two maps B x 1 x 256 x 384: 1 well inside of a
    word, and 1 wherever the answer counts."""

    pictures: Tensor
    words: Tensor
    counted: Tensor


class Scenes:
    """Scenes of the rendered set, every step new ones, in the ``feed`` of one model."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def batch(self, seed: int, step: int, size: int) -> Lesson:
        """Scenes with their maps."""
        scenes = [draw_scene(seed, step * size + item) for item in range(size)]
        maps = np.stack([maps_of(regions) for _, regions in scenes])
        return Lesson(
            self._fed([picture for picture, _ in scenes]),
            torch.from_numpy(maps[:, :1].astype(np.float32)),
            torch.from_numpy(maps[:, 1:].astype(np.float32)),
        )

    def loss(self, network: nn.Module, batch: Lesson) -> Tensor:
        """Cross-entropy of the pixels that count, and how far the map and the words are from covering each other."""
        found: Tensor = network(batch.pictures)
        inside = found * batch.counted
        both = (inside * batch.words).sum()
        apart: Tensor = 1 - 2 * both / (inside.sum() + (batch.words * batch.counted).sum() + LEAST)
        return ENTROPY_WEIGHT * _balanced_entropy(found, batch) + apart

    def hits(self, network: nn.Module, seed: int, count: int) -> int:
        """Scenes whose words are all found, and nothing else, with the bundled references' own thresholds."""
        hits = 0
        for index in range(count):
            picture, regions = draw_scene(seed, index)
            found = BUNDLED.decode(network(self._fed([picture]))[0].numpy(), SIZE[::-1])
            hits += int(ICDAR_IOU.count(found, write_truth(regions))[0])
        return hits

    def _fed(self, pictures: list[Image.Image]) -> Tensor:
        fed = np.stack([self._feed(_encoded(picture), SHAPE) for picture in pictures])
        return torch.from_numpy(fed).contiguous(memory_format=torch.channels_last)


def maps_of(regions: tuple[Region, ...]) -> NDArray[np.uint8]:
    """2 x 256 x 384: 1 where a word that counts is when shrunk; 0 on the words that nobody cares about, else 1."""
    words, counted = np.zeros(SHAPE[1:], np.uint8), np.ones(SHAPE[1:], np.uint8)
    scale = np.array([SHAPE[2] / SIZE[0], SHAPE[1] / SIZE[1]]) * (1 << FRACTION_BITS)
    for region in regions:
        points = np.rint(np.array(region.points) * scale).astype(np.int32)
        if region.ignored:
            cv2.fillPoly(counted, [points], 0, shift=FRACTION_BITS)
        else:
            cv2.fillPoly(words, shrunk(points), 1, shift=FRACTION_BITS)
    return np.stack([words, counted])


def shrunk(points: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """What is left of a polygon n x 2: mostly one, at times none."""
    distance = cv2.contourArea(points) * (1 - SHRINK**2) / cv2.arcLength(points, closed=True)
    offset: Any = pyclipper.PyclipperOffset()
    offset.AddPath(points.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    return [np.array(path, np.int32) for path in offset.Execute(-distance)]


def _balanced_entropy(found: Tensor, batch: Lesson) -> Tensor:
    """Mean over the pixels of words and over the hardest others."""
    losses = nn.functional.binary_cross_entropy(found, batch.words, reduction="none")
    inside, outside = batch.words * batch.counted, (1 - batch.words) * batch.counted
    words = int(inside.sum())
    others = min(int(outside.sum()), NEGATIVES * words)
    hardest = (losses * outside).flatten().topk(others).values
    return ((losses * inside).sum() + hardest.sum()) / (words + others + LEAST)


def _encoded(picture: Image.Image) -> bytes:
    """The picture as the feeds take it, in the format that costs least."""
    found: Any = cv2.imencode(".bmp", np.asarray(picture)[:, :, ::-1])[1]
    return bytes(found)


def _train(
    feed: Feed, make: Callable[[], nn.Module], params: Mapping[str, Scalar], work: Path, say: loop.Say
) -> tuple[nn.Module, loop.Progress]:
    """As ``harness.training.loop.train``, in the order of channels that is a fifth faster."""

    def made() -> nn.Module:
        return make().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    return loop.train(Scenes(feed), made, params, work, say)


train_ppocr = partial(_train, stretch_normalised)
train_db = partial(_train, stretch_centred)
