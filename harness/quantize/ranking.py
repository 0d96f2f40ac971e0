"""Which tensors of a quantised graph cost most: the error of its output with each of them alone in integers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from harness.datasets import DataSetReader
from harness.onnx_graph.edit import MODEL
from harness.quantize.calibrate import numbered, opened
from harness.quantize.keep_float import Pair, check_float, pairs, session_of, without
from harness.registry import resolve
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

log = logging.getLogger(__name__)

RANKING = "ranking.json"
SAMPLES = 8
"""So many calibration samples are enough to tell tensors apart whose errors span three orders of magnitude."""
TOLD = 10
"""How often the log says how far a ranking is."""

Values = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Cost:
    """What it costs to compute a tensor in integers: the squared error of the output, summed over its numbers and
    averaged over samples. ``operator`` makes the tensor, ``Input`` where it is fed."""

    tensor: str
    operator: str
    error: float

    def __str__(self) -> str:
        return f"{self.tensor} ({self.operator}) {self.error:.3g}"


@step(revision=1, tools=("onnx", "onnxruntime"))
def ranking(given: StepInput, out: Path) -> Facts:
    """``ranking.json``: all activation tensors, the one that costs most first.

    The sources are the folders of the quantised graph and of the one in single precision, and the path of a data set;
    parameters are those of calibration. Raises ``Refused`` where the tensors of that graph cannot be left float.
    """
    quantised, single, data = given.sources
    model, exact = onnx.load(quantised / MODEL), onnx.load(single / MODEL)
    check_float(model, exact)
    outputs = tuple(spec.name for spec in given.outputs)
    with closing(opened(data, given.params)) as reader:
        fed = list(_fed(reader, given))
    alone = Alone(model, exact, outputs, fed)
    if not alone.tensors:
        raise Refused(f"{quantised / MODEL}: no tensor is quantised; expected a graph in Q/DQ format")
    weights = alone.error(())
    found = rank(alone)
    told = {"samples": len(fed), "weights": weights, "tensors": [vars(cost) for cost in found]}
    (out / RANKING).write_text(json.dumps(told, indent=1) + "\n")
    return {"samples": len(fed), "tensors": len(found), "weights": weights, "worst": str(found[0])}


def read_ranking(path: Path) -> tuple[Cost, ...]:
    """The tensors of a file that ``ranking`` wrote, the worst first."""
    return tuple(Cost(**told) for told in json.loads(path.read_text())["tensors"])


def rank(alone: Alone) -> tuple[Cost, ...]:
    """The cost of each tensor, the worst first."""
    found = []
    for number, (tensor, made) in enumerate(alone.tensors.items()):
        if number % max(1, len(alone.tensors) // TOLD) == 0:
            log.info("ranking: %d of %d tensors", number, len(alone.tensors))
        found.append(Cost(tensor, alone.operators.get(made[0].source, "Input"), alone.error((tensor,))))
    # The first in the graph of two that cost as much: those behind it may only repeat it.
    return tuple(sorted(found, key=lambda cost: -cost.error))


class Alone:
    """Runs a quantised graph with all activations but a few left float, on samples whose float outputs are known.

    One session at a time: there are hundreds. A session a tensor is faster than one for all, with a switch at each
    tensor, since a switch keeps its neighbours from being fused.
    """

    def __init__(
        self, model: onnx.ModelProto, single: onnx.ModelProto, outputs: Sequence[str], fed: Sequence[Values]
    ) -> None:
        self.tensors: Mapping[str, tuple[Pair, ...]] = pairs(model)
        self.operators = {name: node.op_type for node in model.graph.node for name in node.output}
        self._model, self._outputs, self._fed = model, list(outputs), fed
        self._expected = list(self._answers(single))

    def error(self, quantised: Sequence[str]) -> float:
        """The squared error with these activations in integers, and the weights: summed over outputs, averaged over
        samples; of classes, between which there is no distance, how many differ."""
        answers = self._answers(without(self._model, [name for name in self.tensors if name not in quantised]))
        return float(np.mean([sum(map(squared, *each)) for each in zip(answers, self._expected, strict=True)]))

    def _answers(self, model: onnx.ModelProto) -> Iterator[list[NDArray[Any]]]:
        session = session_of(model, 1, as_written=True)
        for values in self._fed:
            yield session.run(self._outputs, dict(values))


def squared(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The squared distance of two outputs; of classes how many differ."""
    if expected.dtype.kind in "iu":
        return float(np.count_nonzero(found != expected))
    return float(np.square(found.astype(np.float64) - expected).sum())


def _fed(reader: DataSetReader, given: StepInput) -> Iterator[Values]:
    """What the graph is fed for each sample, one at a time."""
    feed, spec = resolve(str(given.params["feed"])), given.inputs[0]
    for sample in numbered(reader, [int(number) for number in str(given.params["numbers"]).split()]):
        yield {spec.name: np.expand_dims(feed(sample.content, spec.item), spec.batch_axis)}
