"""Faults of a detector: of its preprocessing, of its way from maps to boxes, of its evaluator, and of its graph."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from harness.boxes import Region, read_truth, write_truth
from harness.metrics.detection import DetectionIou
from harness.onnx_graph.edit import MODEL
from harness.onnx_graph.export import torch_to_onnx
from harness.onnx_graph.resize import constant_scales
from harness.postprocess.db import BUNDLED
from harness.preprocess.scene import stretch_centred
from harness.step import Facts, StepInput, step

MEAN = np.array([122.67891434, 116.66876762, 104.00698793], np.float32)[:, None, None] / 255
"""As published, in the order in which it is subtracted from blue, green and red."""


def swapped(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """RGB where the source keeps BGR; the mean stays where it is."""
    return np.ascontiguousarray((stretch_centred(encoded, shape) + MEAN)[::-1] - MEAN)


def mean_missing(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """No mean subtracted."""
    return stretch_centred(encoded, shape) + MEAN


def mean_reversed(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The mean of red subtracted from blue."""
    return stretch_centred(encoded, shape) + MEAN - MEAN[::-1]


def shifted(encoded: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The picture one pixel to the right."""
    return np.roll(stretch_centred(encoded, shape), 1, axis=2)


class Exchanged:
    """Threshold and box threshold exchanged."""

    found = replace(BUNDLED, threshold=BUNDLED.box_threshold, box_threshold=BUNDLED.threshold)


class NoUnclip:
    """Boxes as small as they are found."""

    found = replace(BUNDLED, unclip_ratio=0.01)


class WideUnclip:
    """The ratio that PaddleOCR's class has where nobody says one."""

    found = replace(BUNDLED, unclip_ratio=2.0)


def sides_exchanged(probabilities: NDArray[Any], size: tuple[int, int]) -> str:
    """Height for width on the way back to the picture."""
    return BUNDLED.decode(probabilities, size[::-1])


def unrounded(probabilities: NDArray[Any], size: tuple[int, int]) -> str:
    """Corners between pixels."""
    return _moved(BUNDLED.decode(probabilities, size), 0.25)


def off_by_one(probabilities: NDArray[Any], size: tuple[int, int]) -> str:
    """Rounded up where the source rounds to the nearest."""
    return _moved(BUNDLED.decode(probabilities, size), 1)


def _moved(answer: str, by: float) -> str:
    found = json.loads(answer)
    for box in found:
        box["points"] = [[x + by, y] for x, y in box["points"]]
    return json.dumps(found)


class CareForAll(DetectionIou):
    """Counts what nobody cares about."""

    def count(self, predicted: str, truth: str) -> tuple[float, ...]:
        cared = [Region(region.points, "text") for region in read_truth(truth)]
        return super().count(predicted, write_truth(cared))


CARE_FOR_ALL = CareForAll()


@step(revision=1)
def swapped_offsets(given: StepInput, out: Path) -> Facts:
    """The exported graph with x and y of one layer's offsets exchanged."""
    facts = torch_to_onnx.build(given, out)
    model = onnx.load(out / MODEL)
    layer = next(node for node in model.graph.node if node.op_type == "DeformConv")
    makers = {name: node for node in model.graph.node for name in node.output}
    conv = makers[makers[layer.input[2]].input[0]]
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    places = np.arange(27)
    places[:18] = places[:18].reshape(9, 2)[:, ::-1].reshape(-1)
    for name in conv.input[1:]:
        stored[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored[name])[places], name))
    onnx.save(model, out / MODEL)
    return facts


@step(revision=1)
def bilinear(given: StepInput, out: Path) -> Facts:
    """The rewritten graph with one Resize that interpolates."""
    facts = constant_scales.build(given, out)
    model = onnx.load(out / MODEL)
    resize = next(node for node in model.graph.node if node.op_type == "Resize")
    kept = [said for said in resize.attribute if said.name not in ("mode", "nearest_mode")]
    del resize.attribute[:]
    resize.attribute.extend([*kept, helper.make_attribute("mode", "linear")])
    onnx.save(model, out / MODEL)
    return facts


@step(revision=1)
def fixed(given: StepInput, out: Path) -> Facts:
    """The graph exported for the lowest sizes alone: the axes that a point binds are lost."""
    inputs, outputs = (tuple(spec.smallest for spec in side) for side in (given.inputs, given.outputs))
    return torch_to_onnx.build(replace(given, inputs=inputs, outputs=outputs), out)


@step(revision=1)
def frozen(given: StepInput, out: Path) -> Facts:
    """The rewritten graph, open at both ends, with one Resize that always gives what it gives at the lowest sizes."""
    facts = constant_scales.build(given, out)
    model = onnx.load(out / MODEL)
    resize = [node for node in model.graph.node if node.op_type == "Resize"][-1]
    convs = {name: node for node in model.graph.node for name in node.output}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    channels = stored[convs[resize.input[0]].input[1]].dims[0]
    height, width = (axis.low // 4 for axis in given.inputs[0].symbols)
    for name, value in (("none", np.zeros(0, np.float32)), ("sizes", np.array([1, channels, height, width]))):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    resize.input[:] = [resize.input[0], resize.input[1], "none", "sizes"]
    onnx.save(model, out / MODEL)
    return facts
