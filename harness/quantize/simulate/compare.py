"""Every node of an executed graph whose arithmetic is known, against that arithmetic, element by element.

Each node is given the engine's own tensors, so that differences do not add up. An integer tensor means what its writer
says: a node that reads it by another scale or zero point differs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from harness.backends import Batch
from harness.onnx_graph.edit import Graph
from harness.quantize.simulate.executed import Tensors
from harness.quantize.simulate.integers import OPERATORS, Operator
from harness.verdict import Refused

GROUP = 64
"""Nodes whose tensors are held together. All of them at 16 bits are 0.8 GB for one page of 512 x 896."""
KEEPS = frozenset(
    {
        *("Flatten", "Gather", "Identity", "MaxPool", "NhwcMaxPool", "Reshape", "Resize", "Slice", "Split", "Squeeze"),
        *("Transpose", "Unsqueeze"),
    }
)
"""Operators that run on integers directly: what they give means what they are given."""
UNKNOWN = Operator((), None)


class Giving(Protocol):
    """An engine that gives values of the graph that it runs."""

    def giving(self, names: Collection[str]) -> Callable[[Batch], Tensors]: ...


@dataclass(frozen=True)
class Compared:
    """A node over all batches: how many of its elements were compared and differ, by how many steps at most, and in
    which batch, by its first sample. ``note`` says where it reads a tensor otherwise than that was written."""

    node: str
    operator: str
    elements: int
    differing: int = 0
    steps: float = 0.0
    sample: str = ""
    note: str = ""

    def __str__(self) -> str:
        note = f", {self.note}" if self.note else ""
        return (
            f"{self.operator} {self.node} ({self.differing} of {self.elements} elements by up to {self.steps:.4g} "
            f"steps at {self.sample}{note})"
        )


class Simulation:
    """The nodes of an executed graph that are simulated, in its order, and how many others of each operator there are.

    ``unknown`` are operators whose order of floats is not known on this processor: they are not simulated.
    """

    def __init__(self, model: onnx.ModelProto, unknown: Collection[str] = ()) -> None:
        self._constants = Graph(model).constants
        self._inputs = {value.name for value in model.graph.input}
        self._writers = _writers(model.graph)
        answers = {name: operator.answer for name, operator in OPERATORS.items() if name not in unknown}
        self._answers = {name: answer for name, answer in answers.items() if answer}
        self.nodes = [node for node in model.graph.node if node.op_type in self._answers]
        self.others = Counter(node.op_type for node in model.graph.node if node.op_type not in self._answers)

    def against(self, engine: Giving, batches: Sequence[Batch]) -> Iterator[Compared]:
        """Each simulated node, in the order of the graph, over all batches."""
        for start in range(0, len(self.nodes), GROUP):
            group = self.nodes[start : start + GROUP]
            needed = {name for node in group for name in (*self._read(node), node.output[0]) if name}
            give = engine.giving(sorted(needed - self._constants.keys() - self._inputs))
            found: dict[str, Compared] = {}
            for batch in batches:
                values = {**self._constants, **batch.inputs, **give(batch)}
                for node in group:
                    here = self._compared(node, values, batch.ids[0])
                    found[node.output[0]] = _joined(found.get(node.output[0]), here)
            yield from found.values()
            del give

    def _read(self, node: onnx.NodeProto) -> list[str]:
        """The names of a node's inputs, empty where one is left out; scales and zero points are those of the writer."""
        names = list(node.input)
        for place in _places(node):
            names[place + 1 : place + 3] = self._writers.get(node.input[place], names[place + 1 : place + 3])
        return names

    def _compared(self, node: onnx.NodeProto, values: Tensors, sample: str) -> Compared:
        given: list[Any] = [values[name] if name else None for name in self._read(node)]
        said = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        with np.errstate(all="ignore"):
            # Numbers that are none come of a scale that is none, and differ like any other.
            expected, found = self._answers[node.op_type](given, said), values[node.output[0]]
        if (expected.shape, expected.dtype) != (found.shape, found.dtype):
            raise Refused(
                f"{node.op_type} {_name(node)} gives {found.dtype}{list(found.shape)}, expected {expected.dtype}"
                f"{list(expected.shape)}: this graph is not what the operator is simulated as"
            )
        apart = np.nan_to_num(np.abs(expected.astype(np.float64) - found), nan=np.inf)
        if expected.dtype.kind == "f":
            # In single precision a step is that of the first input.
            apart /= np.max(given[1])
        differing = int(np.count_nonzero(expected != found))
        known = Compared(_name(node), node.op_type, expected.size, differing)
        if not differing:
            return known
        return replace(known, steps=float(apart.max()), sample=sample, note=self._note(node, values))

    def _note(self, node: onnx.NodeProto, values: Tensors) -> str:
        """Where a node reads a tensor by another scale or zero point than it was written with."""
        for place in _places(node):
            for kind, at in (("scale", 1), ("zero point", 2)):
                read, written = (values[names[place + at]] for names in (node.input, self._read(node)))
                if not np.array_equal(read, written):
                    name = node.input[place]
                    return f"which reads {name} with {kind} {_short(read)}, written with {_short(written)}"
        return ""


def _operator(node: onnx.NodeProto) -> Operator:
    return OPERATORS.get(node.op_type, UNKNOWN)


def _places(node: onnx.NodeProto) -> list[int]:
    """The places of the integer inputs of a node that have scale and zero point."""
    return [place for place in _operator(node).reads if place + 2 < len(node.input) and node.input[place + 2]]


def _writers(graph: onnx.GraphProto) -> dict[str, tuple[str, str]]:
    """The names of scale and zero point that each integer tensor was written with."""
    found: dict[str, tuple[str, str]] = {}
    for node in graph.node:
        at = _operator(node).writes
        if at is not None and at + 1 < len(node.input) and node.input[at + 1]:
            found[node.output[0]] = node.input[at], node.input[at + 1]
        elif node.op_type in KEEPS and node.input[0] in found:
            found |= dict.fromkeys(node.output, found[node.input[0]])
    return found


def _joined(before: Compared | None, here: Compared) -> Compared:
    """One node over one batch more."""
    if before is None:
        return here
    worse = max(before, here, key=lambda compared: compared.steps)
    elements, differing = before.elements + here.elements, before.differing + here.differing
    return replace(worse, elements=elements, differing=differing)


def _name(node: onnx.NodeProto) -> str:
    """A node's name as it was before the runtime moved it into another layout, which numbers it."""
    return re.sub(r"_token_\d+$", "", node.name or node.output[0])


def _short(value: NDArray[Any]) -> str:
    return f"{value.reshape(-1)[0]:.8g}"
