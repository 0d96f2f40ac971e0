"""Lessons of the rectifying recogniser: rendered words on curved lines.

The cross-entropy of characters alone does not leave guessing. Two things that only a renderer knows do it: which glyph
covers each column of the features, and where the edges of the word run, which is what the fiducials must find.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from harness.datasets.rendered.curved import DASH, FULL, CurvedWord, Manner, draw_curved
from harness.networks.rare import START, STEPS, Rare
from harness.postprocess.recognition import LOWER_ATTENTION
from harness.training.glyphs import Pupil, edges_in_input, glyphs_of, pictures_of, train_pupil

SHAPE = (3, 32, 100)
AT_ONCE = 50
PADDING_WEIGHT = 0.1
"""Of the steps after the end of a word, which are many and easy."""
FIDUCIALS_WEIGHT = 2.0
MANNERS = (
    (150, Manner(lengths=(3, 5), shapes=("flat",), marks=("none",), dark=True)),
    (300, Manner(lengths=(3, 6), shapes=("flat",), marks=("none",))),
    (500, Manner(lengths=(3, 6), shapes=("flat", "flat", "tilted", "arc"), marks=("none", "none", "none", "dash"))),
)
"""The manners of the first steps, and where each ends. Everything at once from the start teaches nothing."""


@dataclass(frozen=True)
class Lesson:
    """One batch: pictures B x 3 x 32 x 100, what each step must say B x 26 (first the start), the glyph that covers
    each of 25 columns B x 25 (0 for none), and the fiducials B x 20 x 2."""

    pictures: Tensor
    said: Tensor
    glyphs: Tensor
    fiducials: Tensor


class CurvedWords:
    """Words of the rendered set, in easier manners at first."""

    network = Rare
    classes = LOWER_ATTENTION.classes - 1

    def batch(self, seed: int, step: int, size: int) -> Lesson:
        """Words with all that lessons know of them."""
        manner = next((manner for end, manner in MANNERS if step < end), FULL)
        words = [draw_curved(seed, step * size + item, manner) for item in range(size)]
        return Lesson(
            pictures=pictures_of(words, SHAPE),
            said=torch.tensor([_said(word) for word in words]),
            glyphs=torch.tensor([_glyphs(word) for word in words]),
            fiducials=torch.stack([_fiducials(word) for word in words]),
        )

    def loss(self, network: nn.Module, batch: Lesson) -> Tensor:
        """Characters with the true one fed to each step, glyphs of columns, and fiducials."""
        if not isinstance(network, Pupil) or not isinstance(network.network, Rare):
            raise TypeError(f"these lessons teach a pupil of RARE, not a {type(network).__name__}")
        rare = network.network
        found = rare.transform.loc_net(batch.pictures)
        features = rare.backbone(rare.transform(batch.pictures))
        columns, head = rare.neck(features), rare.head
        state = columns.new_zeros(len(columns), head.hidden)
        scores = []
        for step in range(STEPS):
            state = head.attention_cell(state, columns, head.one_hot(batch.said[:, step], columns))
            scores.append(head.generator(state))
        wanted = batch.said[:, 1:]
        losses = nn.functional.cross_entropy(torch.stack(scores, dim=2), wanted, reduction="none")
        weights = torch.where(wanted == START, PADDING_WEIGHT, 1.0)
        words = (losses * weights).sum() / weights.sum()
        edges = nn.functional.mse_loss(found, batch.fiducials)
        return words + network.glyph_loss(features, batch.glyphs) + FIDUCIALS_WEIGHT * edges

    def hits(self, network: nn.Module, seed: int, count: int) -> int:
        """Words read without a fault."""
        hits = 0
        for start in range(0, count, AT_ONCE):
            words = [draw_curved(seed, index) for index in range(start, min(start + AT_ONCE, count))]
            found = network(pictures_of(words, SHAPE)).numpy()
            hits += sum(
                LOWER_ATTENTION.decode(scores) == word.label.lower() for scores, word in zip(found, words, strict=True)
            )
        return hits


def _said(word: CurvedWord) -> list[int]:
    """The start, the characters with the end where a dash is drawn, the end, and the start to the last step."""
    text = "".join(glyph for glyph, _, _ in word.glyphs)
    said = [START]
    for part in text.lower().split(DASH):
        said += [*LOWER_ATTENTION.encode(part), LOWER_ATTENTION.eos]
    return said + [START] * (STEPS + 1 - len(said))


def _glyphs(word: CurvedWord) -> list[int]:
    """The class of the glyph over the middle of each column of the rectified word."""
    return glyphs_of(word, (0.0, 1.0), STEPS, lambda glyph: LOWER_ATTENTION.encode(glyph.lower())[0])


def _fiducials(word: CurvedWord) -> Tensor:
    """The word's edges in the network's input, as (x, y) in [-1, 1] between the centres of its outermost pixels."""
    _, height, width = SHAPE
    inside = torch.from_numpy(edges_in_input(word, SHAPE)) - 0.5
    return (inside / (torch.tensor([width, height]) - 1) * 2 - 1).float()


train = partial(train_pupil, CurvedWords())
