"""Class probabilities to a direction, and the comparison of two such outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.agree import Decoded

LABELS = ("0", "180")
"""Degrees by class, as the published configuration lists them."""


def decode(probabilities: NDArray[Any]) -> str:
    """The direction of one picture, from its 2 probabilities: the first of the largest."""
    return LABELS[int(np.argmax(probabilities))]


def compare(expected: NDArray[Any], actual: NDArray[Any], bound: float) -> Decoded:
    """Compares directions of n x 2 probabilities, counting those where one class leads by more than twice the bound."""
    decided = np.abs(expected[:, 0] - expected[:, 1]) > 2 * bound
    equal = (expected.argmax(axis=1) == actual.argmax(axis=1)) & decided
    return Decoded(n=len(expected), compared=int(decided.sum()), equal=int(equal.sum()))
