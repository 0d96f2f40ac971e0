"""Faults of the recognisers' preprocessing, networks, graphs and decoders."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from harness.networks.rare import Rare
from harness.networks.tps import WIDTH
from harness.postprocess.recognition import ENGLISH, ENGLISH_CTC, LOWER, LOWER_ATTENTION
from harness.preprocess.text_line import arrange, decode_bgr, normalise


def swapped(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """RGB where the source keeps BGR."""
    return arrange(np.ascontiguousarray(decode_bgr(encoded)[:, :, ::-1]), shape)


def stretched(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """As wide as the input, whatever the aspect."""
    _, height, width = shape
    return normalise(np.asarray(cv2.resize(decode_bgr(encoded), (width, height))))


def padded_first(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Padded before normalising: the padding is black, -1, and not mid grey, 0."""
    return _padded(encoded, shape, math.ceil, -1.0)


def rounded_down(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The width by ``floor`` for ``ceil``: a column less, in most pictures."""
    return _padded(encoded, shape, math.floor, 0.0)


def _padded(encoded: bytes, shape: tuple[int, ...], rounding: Any, padding: float) -> NDArray[np.float32]:
    picture = decode_bgr(encoded)
    _, height, width = shape
    wanted = max(1, min(width, rounding(height * picture.shape[1] / picture.shape[0])))
    prepared = np.full(shape, padding, dtype=np.float32)
    prepared[:, :, :wanted] = normalise(np.asarray(cv2.resize(picture, (wanted, height))))
    return prepared


def stopping_at_the_end(scores: NDArray[Any]) -> str:
    """A decoder that does what the published one means to do."""
    best = list(np.argmax(scores, axis=-1))
    return LOWER_ATTENTION.decode(scores[: best.index(LOWER_ATTENTION.eos)] if LOWER_ATTENTION.eos in best else scores)


def off_by_one(scores: NDArray[Any]) -> str:
    """The dictionary of RARE begins one character late."""
    return "".join(LOWER[(LOWER.index(character) + 1) % len(LOWER)] for character in LOWER_ATTENTION.decode(scores))


def off_by_one_in_english(scores: NDArray[Any]) -> str:
    """The dictionary of PP-OCRv3 begins one character late."""
    return "".join(ENGLISH[(ENGLISH.index(character) + 1) % 94] for character in ENGLISH_CTC.decode(scores))


def not_collapsed(scores: NDArray[Any]) -> str:
    """Repeated characters of a CTC output kept."""
    return "".join(ENGLISH[index - 1] for index in np.argmax(scores, axis=-1) if index != ENGLISH_CTC.BLANK)


class Unrectified(Rare):
    """Rectification left out."""

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.head(self.neck(self.backbone(pictures)))
        return found


class _OnePixelRight(nn.Module):
    def __init__(self, loc_net: nn.Module) -> None:
        super().__init__()
        self.loc_net = loc_net

    def forward(self, pictures: Tensor) -> Tensor:
        return self.loc_net(pictures) + torch.tensor([2 / (WIDTH - 1), 0.0], dtype=pictures.dtype)


class ShiftedFiducials(Rare):
    """Every fiducial one pixel to the right."""

    def forward(self, pictures: Tensor) -> Tensor:
        honest = self.transform.loc_net
        self.transform.loc_net = _OnePixelRight(honest)  # type: ignore[assignment]
        try:
            return super().forward(pictures)
        finally:
            self.transform.loc_net = honest


class _CornersOff(nn.Module):
    def forward(self, pictures: Tensor, grid: Tensor) -> Tensor:
        return nn.functional.grid_sample(pictures, grid, align_corners=False)


class CornersOff(Rare):
    """``align_corners`` off."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.transform.sampler = _CornersOff()  # type: ignore[assignment]


def swap_gates(model: onnx.ModelProto) -> None:
    """The input and the forget gate of every LSTM exchanged, as between the orders of two frameworks."""
    for node in (node for node in model.graph.node if node.op_type == "LSTM"):
        for tensor in model.graph.initializer:
            if tensor.name in node.input[1:3]:
                weights = numpy_helper.to_array(tensor)
                i, o, f, c = np.split(weights, 4, axis=1)
                tensor.CopyFrom(numpy_helper.from_array(np.concatenate([f, o, i, c], axis=1), tensor.name))
