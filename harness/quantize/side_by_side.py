"""A float graph and the Q/DQ graph that a quantiser made of it, run on the same batches, layer beside layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from harness.backends import Batch
from harness.onnx_graph.activations import session_giving
from harness.onnx_graph.edit import Graph
from harness.quantize.layers import Place
from harness.verdict import Refused

INPUT = "Input"
"""What the vendor's dumps call the operator of a tensor that is fed."""
BEFORE = "_QuantizeLinear_Input"
"""What ONNX Runtime's quantiser adds to an output's name; the name itself goes to what is behind DequantizeLinear."""
CLIPPED = (["Relu"], ["Clip"])

Pair = tuple[Place, NDArray[Any], NDArray[Any]]


class SideBySide:
    """Two sessions that give every layer: a tensor of the float graph that is fed or made by a node, and is no
    constant and no integer.

    What one Relu or Clip takes and nothing else is left out: the quantiser gives it the range of what comes out of
    that, so that it is clipped already, and reaches the network as the next layer does. In the quantised graph a
    layer's numbers are those behind QuantizeLinear and DequantizeLinear, or of the tensor of its name where it has
    none. Nodes are computed one by one as the files say it: a fused kernel skips some of them. Raises ``Refused`` where
    a graph does not run so, and naming the first layer that the quantised one does not have.
    """

    def __init__(self, single: Path, quantised: Path, threads: int) -> None:
        before, after = onnx.load(single), onnx.load(quantised)
        dequantised, has = dequantised_in(after), _made(after)
        found = list(places_in(before))
        self._single = _opened(single, before, [place.tensor for place in found], threads)
        floats = {each.name for each in self._single.get_outputs() if each.type in ("tensor(float)", "tensor(double)")}
        found = [place for place in found if place.tensor in floats]
        if missing := [place for place in found if place.tensor not in dequantised and place.tensor not in has]:
            raise Refused(
                f"{len(missing)} of {len(found)} layers of the float graph are not in the quantised one, the first is "
                f"{missing[0]}: expected each under its own name; quantise with every Relu and Clip kept "
                "(QDQKeepRemovableActivations), and take no node out"
            )
        self.places = tuple(
            replace(place, step=dequantised[place.tensor][1]) if place.tensor in dequantised else place
            for place in found
        )
        self._shown = [dequantised.get(place.tensor, (place.tensor, 0.0))[0] for place in found]
        self._quantised = _opened(quantised, after, self._shown, threads)

    def run(self, batch: Batch) -> Iterator[Pair]:
        """Every layer of a batch with its float and its quantised numbers, in order. Raises ``Refused`` where they
        have another shape."""
        feed = dict(batch.inputs)
        left = self._single.run([place.tensor for place in self.places], feed)
        try:
            right = self._quantised.run(self._shown, feed)
        except Exception as error:  # of kinds that ONNX Runtime does not export
            raise Refused(f"the quantised graph does not run node by node, as it is written: {error}") from error
        for place, f, q in zip(self.places, left, right, strict=True):
            if f.shape != q.shape:
                raise Refused(
                    f"layer {place}: {list(q.shape)} in the quantised graph, expected {list(f.shape)} as in the float "
                    "graph; it is no quantised form of it"
                )
            yield place, f, q


def places_in(model: onnx.ModelProto) -> Iterator[Place]:
    """What is fed and what nodes make, numbered from 1; no constants, and nothing that one Relu or Clip alone takes."""
    constants = Graph(model).constants
    takers: dict[str, list[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node.op_type)
    outputs = {value.name for value in model.graph.output}
    made = [(value.name, INPUT) for value in model.graph.input]
    made += [(name, node.op_type) for node in model.graph.node for name in node.output if name]
    made = [(name, operator) for name, operator in made if name not in constants]
    for number, (name, operator) in enumerate(made, 1):
        if name in outputs or takers.get(name) not in CLIPPED:
            yield Place(number, name, operator, name in outputs)


def dequantised_in(model: onnx.ModelProto) -> dict[str, tuple[str, float]]:
    """By the name of each activation that is quantised: the tensor behind its first DequantizeLinear, and the step.

    A step is only known of a single scale, as activations have: of several it is the largest.
    """
    constants = Graph(model).constants
    quantised = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    found: dict[str, tuple[str, float]] = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in quantised:
            name = quantised[node.input[0]].removesuffix(BEFORE)
            scale = constants.get(node.input[1])
            found.setdefault(name, (node.output[0], float(np.max(scale)) if scale is not None else 0.0))
    return found


def _opened(path: Path, model: onnx.ModelProto, names: list[str], threads: int) -> Any:
    try:
        return session_giving(model, names, threads, as_written=True)
    except Exception as error:  # of kinds that ONNX Runtime does not export
        raise Refused(f"ONNX Runtime does not load {path} with every layer as an output: {error}") from error


def _made(model: onnx.ModelProto) -> set[str]:
    """The names of whatever the graph is fed or makes."""
    return {value.name for value in model.graph.input} | {name for node in model.graph.node for name in node.output}
