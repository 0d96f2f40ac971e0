"""Faults of the direction classifier's preprocessing, reading and twin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.networks.direction_classifier import DirectionClassifier
from harness.postprocess.direction import LABELS, decode
from harness.preprocess.stored import as_stored
from harness.preprocess.text_line import arrange, decode_bgr, preprocess, resize


def swapped(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """RGB where the source keeps BGR."""
    return arrange(np.ascontiguousarray(decode_bgr(encoded)[:, :, ::-1]), shape)


def unnormalised(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Pixels as 0 to 255, padded with 0."""
    resized = resize(decode_bgr(encoded), *shape[1:])
    prepared = np.zeros(shape, dtype=np.float32)
    prepared[:, :, : resized.shape[1]] = resized.transpose(2, 0, 1)
    return prepared


def negated(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A negative of the picture."""
    return -preprocess(encoded, shape)


def padded_with_black(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Padded before normalising: the padding is black, -1, and not mid grey, 0."""
    prepared = preprocess(encoded, shape)
    prepared[:, :, resize(decode_bgr(encoded), *shape[1:]).shape[1] :] = -1
    return prepared


def stored_swapped(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Colours of a prepared tensor swapped."""
    return np.ascontiguousarray(as_stored(content, shape)[::-1])


def stored_unnormalised(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A prepared tensor as 0 to 1."""
    return as_stored(content, shape) * np.float32(0.5) + np.float32(0.5)


def stored_negated(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The negative of a prepared tensor."""
    return -as_stored(content, shape)


def turned(probabilities: NDArray[Any]) -> str:
    """The labels the other way round."""
    return LABELS[1 - LABELS.index(decode(probabilities))]


class OtherEpsilon(DirectionClassifier):
    """The twin with the epsilon of one batch normalisation as other frameworks have it."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.backbone.blocks[3].linear_conv.bn.eps = 1e-3
