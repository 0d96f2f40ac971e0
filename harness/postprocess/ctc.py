"""CTC log-probabilities to text, greedily, and the comparison of two such outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.agree import Decoded

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
BLANK = 0


def decode(scores: NDArray[Any]) -> str:
    """The text of one word, from its steps x classes scores: best class a step, repeats merged, blanks dropped.

    Class 0 is the blank and class i + 1 is character i of the alphabet (guide 001's converter).
    """
    best = np.argmax(scores, axis=-1)
    starts = np.concatenate(([True], best[1:] != best[:-1]))
    return "".join(ALPHABET[index - 1] for index in best[starts] if index != BLANK)


def encode(text: str) -> list[int]:
    """The class indices of a text. Raises ``ValueError`` naming a character outside the alphabet."""
    unknown = sorted(set(text) - set(ALPHABET))
    if unknown:
        raise ValueError(f"label {text!r} holds {''.join(unknown)!r}, outside the alphabet {ALPHABET!r}")
    return [ALPHABET.index(character) + 1 for character in text]


def compare(expected: NDArray[Any], actual: NDArray[Any], bound: float) -> Decoded:
    """Compares texts of n x steps x classes scores, counting words whose every step is decided.

    A step is decided where its best class leads by more than twice the bound: nothing within the bound can turn it.
    """
    ordered = np.sort(expected, axis=-1)
    decided = ((ordered[..., -1] - ordered[..., -2]) > 2 * bound).all(axis=-1)
    equal = sum(decode(expected[item]) == decode(actual[item]) for item in np.flatnonzero(decided))
    return Decoded(n=len(expected), compared=int(decided.sum()), equal=equal)
