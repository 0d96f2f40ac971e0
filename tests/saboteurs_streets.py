"""Faults of a network that tells the class of every pixel: of preprocessing, argmax, metric and graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from harness.cityscapes import IGNORED
from harness.metrics.segmentation import PixelClasses
from harness.onnx_graph.edit import MODEL
from harness.onnx_graph.export import torch_to_onnx
from harness.onnx_graph.nearest import resize_to_nearest
from harness.postprocess.segmentation import decode
from harness.preprocess.street import centred
from harness.step import Facts, StepInput, step

IMAGENET = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)[:, :, None, None]
"""Mean and standard deviation that most networks of pictures have, and this one has not."""


def swapped(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """BGR where the source has RGB."""
    return np.ascontiguousarray(centred(encoded, shape)[::-1])


def imagenet(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Another mean and standard deviation."""
    unit = centred(encoded, shape) * np.float32(0.5) + np.float32(0.5)
    return np.asarray((unit - IMAGENET[0]) / IMAGENET[1], np.float32)


def unnormalised(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """0 to 1 where the source has -1 to 1."""
    return centred(encoded, shape) * np.float32(0.5) + np.float32(0.5)


def turned(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Width for height: the picture on its side, in the size of one that is not."""
    picture = np.transpose(centred(encoded, shape), (2, 1, 0))
    return np.transpose(cv2.resize(picture, shape[:0:-1]), (2, 0, 1)).copy()


def on_its_side(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Width for height, in the shape too."""
    return np.ascontiguousarray(np.transpose(centred(encoded, shape), (0, 2, 1)))


def argmax_of_rows(value: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The largest over the rows, where the source takes the largest over the classes."""
    return np.asarray(value.argmax(axis=1), np.uint8)


def shifted_by_one(value: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Class numbers from 1 on."""
    return np.asarray((decode(value, size) + 1) % 19, np.uint8)


class IgnoredCounted(PixelClasses):
    """Counts what is not evaluated: whatever is answered there is wrong."""

    def count(self, predicted: Any, truth: Any) -> tuple[float, ...]:
        return super().count(predicted, np.where(truth == IGNORED, (predicted + 1) % 19, truth).astype(np.uint8))


IGNORED_COUNTED = IgnoredCounted()


def _with_attribute(out: Path, places: list[int], name: str, value: str) -> None:
    """Sets an attribute of some Resize of the graph that was written."""
    model = onnx.load(out / MODEL)
    nodes = [node for node in model.graph.node if node.op_type == "Resize"]
    for place in places:
        kept = [each for each in nodes[place].attribute if each.name != name]
        del nodes[place].attribute[:]
        nodes[place].attribute.extend([*kept, helper.make_attribute(name, value)])
    onnx.save(model, out / MODEL)


@step(revision=1)
def corners_aligned_first(given: StepInput, out: Path) -> Facts:
    """The exported graph with ``align_corners`` in the first Resize."""
    facts = torch_to_onnx.build(given, out)
    _with_attribute(out, [0], "coordinate_transformation_mode", "align_corners")
    return facts


@step(revision=1)
def corners_aligned_last(given: StepInput, out: Path) -> Facts:
    """The exported graph with ``align_corners`` in the last Resize, that of the answer."""
    facts = torch_to_onnx.build(given, out)
    _with_attribute(out, [-1], "coordinate_transformation_mode", "align_corners")
    return facts


@step(revision=1)
def one_nearest(given: StepInput, out: Path) -> Facts:
    """The exported graph with one Resize that takes the nearest, where none is declared to."""
    facts = torch_to_onnx.build(given, out)
    _with_attribute(out, [4], "mode", "nearest")
    return facts


@step(revision=1)
def all_nearest(given: StepInput, out: Path) -> Facts:
    """The rewritten graph with every Resize nearest, the last one too."""
    facts = resize_to_nearest.build(given, out)
    _with_attribute(out, list(range(35)), "mode", "nearest")
    return facts
