"""Lessons of PP-OCR's recogniser: rendered words of both cases, most of them straight."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from harness.datasets.rendered.curved import LINES, draw_curved
from harness.networks.svtr_lcnet import SvtrLcnet
from harness.postprocess.recognition import ENGLISH_CTC
from harness.training.glyphs import Pupil, edges_in_input, glyphs_of, pictures_of, train_pupil

SHAPE = (3, 48, 320)
NARROW = (3, 48, 160)
NARROW_STEPS = 1600
"""The first lessons are half as wide, and cost half as much: the network has no notion of place."""
STRIDE = 8
"""Pixels of the input in a column of the features."""
AT_ONCE = 50


@dataclass(frozen=True)
class Lesson:
    """One batch: pictures, the classes of each label, and the glyph over each column, B x width / 8."""

    pictures: Tensor
    targets: list[list[int]]
    glyphs: Tensor


class TextLines:
    """Words of the rendered set, in narrower pictures at first."""

    network = SvtrLcnet
    classes = ENGLISH_CTC.classes

    def batch(self, seed: int, step: int, size: int) -> Lesson:
        """Words with their labels and glyphs."""
        words = [draw_curved(seed, step * size + item, LINES) for item in range(size)]
        shape = NARROW if step < NARROW_STEPS else SHAPE
        glyphs = []
        for word in words:
            edges = edges_in_input(word, shape)
            extent = (float(edges[:, 0].min()) / shape[2], float(edges[:, 0].max()) / shape[2])
            glyphs.append(glyphs_of(word, extent, shape[2] // STRIDE, lambda glyph: ENGLISH_CTC.encode(glyph)[0]))
        return Lesson(
            pictures_of(words, shape), [ENGLISH_CTC.encode(word.label) for word in words], torch.tensor(glyphs)
        )

    def loss(self, network: nn.Module, batch: Lesson) -> Tensor:
        """CTC on the scores before the softmax, and glyphs of columns."""
        if not isinstance(network, Pupil) or not isinstance(network.network, SvtrLcnet):
            raise TypeError(f"these lessons teach a pupil of SVTR-LCNet, not a {type(network).__name__}")
        features = network.network.backbone(batch.pictures)
        scores = torch.log_softmax(network.network.head.scores(features), dim=2).transpose(0, 1)
        flat = torch.tensor([index for target in batch.targets for index in target])
        lengths = torch.tensor([len(target) for target in batch.targets])
        steps = torch.full_like(lengths, len(scores))
        words = nn.functional.ctc_loss(scores, flat, steps, lengths, ENGLISH_CTC.BLANK, zero_infinity=True)
        return words + network.glyph_loss(features, batch.glyphs)

    def hits(self, network: nn.Module, seed: int, count: int) -> int:
        """Words read without a fault."""
        hits = 0
        for start in range(0, count, AT_ONCE):
            words = [draw_curved(seed, index, LINES) for index in range(start, min(start + AT_ONCE, count))]
            found = network(pictures_of(words, SHAPE)).numpy()
            hits += sum(ENGLISH_CTC.decode(scores) == word.label for scores, word in zip(found, words, strict=True))
        return hits


train = partial(train_pupil, TextLines())
