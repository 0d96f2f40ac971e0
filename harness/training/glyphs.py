"""What only a renderer knows of a word: which glyph covers each column of a network's features.

Cross-entropy of whole words alone does not leave guessing for hundreds of steps; told the glyph of every column beside
it, the same networks learn from the first steps on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from harness.datasets.rendered.curved import DASH, CurvedWord
from harness.declaration import Scalar
from harness.networks.rare import Rare
from harness.networks.svtr_lcnet import SvtrLcnet
from harness.preprocess.text_line import arrange, resize
from harness.training import loop

NONE = 0
"""The class of a column without a glyph: the blank, or the start."""


class Pupil(nn.Module):
    """A network with a linear layer that tells glyphs from columns; only the network is kept."""

    def __init__(self, network: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.network = network
        self.glyphs = nn.Linear(channels, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.network(pictures)
        return found

    def glyph_loss(self, features: Tensor, glyphs: Tensor) -> Tensor:
        """Cross-entropy of B x channels x 1 x columns features and B x columns classes."""
        scores: Tensor = self.glyphs(features.squeeze(2).transpose(1, 2))
        return nn.functional.cross_entropy(scores.flatten(0, 1), glyphs.flatten())


class Lessons(loop.Lessons, Protocol):
    """What a pupil is taught on: lessons for one kind of network, with so many classes of glyphs."""

    @property
    def network(self) -> type[Rare] | type[SvtrLcnet]: ...
    @property
    def classes(self) -> int: ...


def train_pupil(
    lessons: Lessons, make: Callable[[], nn.Module], params: Mapping[str, Scalar], work: Path, say: loop.Say
) -> tuple[nn.Module, loop.Progress]:
    """The trained network, as ``harness.training.loop.train``. Raises ``TypeError`` for a network of another kind."""

    def pupil() -> Pupil:
        network = make()
        if not isinstance(network, lessons.network):
            raise TypeError(f"these lessons are for {lessons.network.__name__}, not for a {type(network).__name__}")
        return Pupil(network, network.backbone.out_channels, lessons.classes)

    taught, progress = loop.train(lessons, pupil, params, work, say)
    return taught.get_submodule("network"), progress


def pictures_of(words: Sequence[CurvedWord], shape: tuple[int, ...]) -> Tensor:
    """Words as the input of a network, n x ``shape``."""
    prepared = np.stack([arrange(_bgr(word), shape) for word in words])
    return torch.from_numpy(prepared).contiguous(memory_format=torch.channels_last)


def edges_in_input(word: CurvedWord, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The word's edges in pixels of the network's input, 20 x 2 as (x, y)."""
    _, height, width = shape
    pixels = _bgr(word)
    resized = resize(pixels, height, width)
    scale = np.array([resized.shape[1] / pixels.shape[1], height / pixels.shape[0]])
    found: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = word.edges * scale
    return found


def glyphs_of(word: CurvedWord, extent: tuple[float, float], columns: int, class_of: Callable[[str], int]) -> list[int]:
    """The class of the glyph over the middle of each of ``columns``; ``extent`` is where the word begins and ends, in
    parts of them."""
    found = [NONE] * columns
    length = extent[1] - extent[0]
    for glyph, begin, end in word.glyphs:
        for column in range(columns):
            inside = begin <= ((column + 0.5) / columns - extent[0]) / length < end
            if inside and glyph != DASH:
                found[column] = class_of(glyph)
    return found


def _bgr(word: CurvedWord) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.ascontiguousarray(np.asarray(word.picture)[:, :, ::-1])
