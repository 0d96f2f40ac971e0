"""Scores of characters to text, greedily: the decoders of the recognisers, and the comparison of two such outputs.

Sources: guide 001's converter for CRNN, ``CTCLabelDecode`` and ``AttnLabelDecode`` of PaddleOCR 2.5
(``ppocr/postprocess/rec_postprocess.py``) for the others. Declarations name a decoder with its alphabet, as in
``harness.postprocess.recognition:LOWER_CTC.decode``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.agree import Decoded

LOWER = "0123456789abcdefghijklmnopqrstuvwxyz"
ENGLISH = "".join(map(chr, (*range(ord("0"), ord("~") + 1), *range(ord("!"), ord("/") + 1)))) + " " + " "
"""``en_dict.txt``, whose last line is a space, and the space that ``use_space_char`` adds: both are read, the second
is written."""


class Greedy(ABC):
    """Decodes one word from its steps x classes scores by the best class of each step."""

    before: ClassVar[int]
    """How many classes lie before the first character."""

    def __init__(self, alphabet: str) -> None:
        self.alphabet = alphabet

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many classes a step has."""

    @abstractmethod
    def decode(self, scores: NDArray[Any]) -> str:
        """The text of steps x classes scores."""

    def encode(self, text: str) -> list[int]:
        """The class of each character; of one that the alphabet has twice, the last, as the published training does.

        Raises ``ValueError`` naming the characters outside the alphabet.
        """
        unknown = sorted(set(text) - set(self.alphabet))
        if unknown:
            raise ValueError(f"label {text!r} holds {''.join(unknown)!r}, outside the alphabet {self.alphabet!r}")
        return [self.alphabet.rindex(character) + self.before for character in text]

    def decided(self, expected: NDArray[Any], bound: float | NDArray[Any]) -> NDArray[np.bool_]:
        """Which of n words, n x steps x classes scores, are decided at every step.

        A step is decided where its best class leads by more than twice the bound, one for all words or one for each:
        nothing within the bound can turn it.
        """
        ordered = np.partition(expected, -2, axis=-1)
        leads = ordered[..., -1] - ordered[..., -2] > 2 * np.asarray(bound)[..., np.newaxis]
        return np.asarray(leads.all(axis=-1))

    def compare(self, expected: NDArray[Any], actual: NDArray[Any], bound: float) -> Decoded:
        """Compares texts of n x steps x classes scores, counting words that are decided."""
        items = np.flatnonzero(self.decided(expected, bound))
        equal = sum(self.decode(expected[item]) == self.decode(actual[item]) for item in items)
        return Decoded(n=len(expected), compared=len(items), equal=equal)


class Ctc(Greedy):
    """Class 0 is the blank and class i + 1 is character i."""

    before = 1
    BLANK = 0

    @property
    def classes(self) -> int:
        """The blank and the alphabet."""
        return len(self.alphabet) + 1

    def decode(self, scores: NDArray[Any]) -> str:
        """Best class a step, repeats merged, blanks dropped."""
        best = np.argmax(scores, axis=-1)
        starts = np.concatenate(([True], best[1:] != best[:-1]))
        return "".join(self.alphabet[index - 1] for index in best[starts] if index != self.BLANK)


class Attention(Greedy):
    """Class 0 starts a word (``sos``), class i + 1 is character i, the last one ends a word (``eos``)."""

    before = 1
    SOS = 0

    @property
    def classes(self) -> int:
        """Start, alphabet and end."""
        return len(self.alphabet) + 2

    @property
    def eos(self) -> int:
        """The class that ends a word."""
        return len(self.alphabet) + 1

    def decode(self, scores: NDArray[Any]) -> str:
        """Best class a step, every start and end dropped.

        Characters after the first end are kept: the published decoder means to stop there, and goes on. The published
        accuracy is that of these texts.
        """
        best = np.argmax(scores, axis=-1)
        return "".join(self.alphabet[index - 1] for index in best if index not in (self.SOS, self.eos))


LOWER_CTC = Ctc(LOWER)
"""CRNN's: 37 classes."""
ENGLISH_CTC = Ctc(ENGLISH)
"""PP-OCRv3's for English: 97 classes, case kept."""
LOWER_ATTENTION = Attention(LOWER)
"""RARE's: 38 classes."""
