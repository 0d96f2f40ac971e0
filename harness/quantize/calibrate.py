"""Calibration as two steps: what the tensors of a graph hold, which all rules share, and ranges by one of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from harness.backends import Batch
from harness.datasets import DataError, DataSetReader, Sample
from harness.declaration import Scalar
from harness.onnx_graph.edit import MODEL
from harness.quantize.observe import calibrated, observe
from harness.quantize.ranges import RANGES, write_ranges
from harness.quantize.rules import RangeRule, ranges_of
from harness.quantize.tensor_statistics import STATISTICS, read_statistics, write_statistics
from harness.registry import resolve
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

SAMPLES = "samples.json"
"""The file that tells which samples ranges come from: their set, ids, and sha256 of each one's content and input."""
OPTION = "option."
"""Begins a parameter that is for the reader of the data set."""


@step(revision=1, tools=("onnx", "onnxruntime"))
def statistics(given: StepInput, out: Path) -> Facts:
    """``statistics.npz`` and ``samples.json``: what each tensor of a graph holds over samples that run one by one.

    The sources are the folder of the graph and the path of the data set. ``reader`` opens it under ``name`` with every
    ``option.``; ``numbers`` are those of the samples, blank between, and ``feed`` makes an input of each.
    """
    graph, data = given.sources
    told: dict[str, Any] = {"set": given.params["name"], "ids": [], "digests": [], "inputs": []}
    with closing(opened(data, given.params)) as reader:
        numbers = [int(number) for number in str(given.params["numbers"]).split()]
        found = observe(graph / MODEL, _batches(numbered(reader, numbers), given, told), threads=1)
    write_statistics(out / STATISTICS, found)
    (out / SAMPLES).write_text(json.dumps(told, indent=1) + "\n")
    constant = sorted(name for name, held in found.items() if held.constant)
    return {"samples": len(told["ids"]), "tensors": len(found), "constant": " ".join(constant)}


@step(revision=1, tools=("onnx", "onnxruntime"))
def ranges(given: StepInput, out: Path) -> Facts:
    """``ranges.json`` by the rule that is named, and the ``samples.json`` that they come from.

    The sources are the folder of the statistics and that of the graph. Raises ``Refused`` where the two do not have
    the same tensors.
    """
    held, graph = given.sources
    found = read_statistics(held / STATISTICS)
    check_tensors(found, calibrated(graph / MODEL), held / STATISTICS)
    how = RangeRule(given.params["rule"], float(given.params["percentile"]), given.params["bits"])  # type: ignore[arg-type]
    outputs = {value.name for value in onnx.load(graph / MODEL).graph.output}
    made = ranges_of(found, how, outputs)
    write_ranges(out / RANGES, made)
    shutil.copyfile(held / SAMPLES, out / SAMPLES)
    whole = ranges_of(found, RangeRule("minmax"), outputs)
    return {
        "rule": how.rule,
        "tensors": len(made),
        "cut": sum(made[name] != whole[name] for name in made),
        "constant": " ".join(sorted(name for name, (lowest, highest) in made.items() if lowest == highest)),
    }


@step(revision=1)
def inputs(given: StepInput, out: Path) -> Facts:
    """``0.npy``, ``1.npy`` and so on, an input of one sample each, and ``samples.json``: for tools that calibrate
    themselves. The source is the path of the data set; parameters are those of ``statistics``."""
    told: dict[str, Any] = {"set": given.params["name"], "ids": [], "digests": [], "inputs": []}
    with closing(opened(given.sources[0], given.params)) as reader:
        numbers = [int(number) for number in str(given.params["numbers"]).split()]
        for number, batch in enumerate(_batches(numbered(reader, numbers), given, told)):
            np.save(out / f"{number}.npy", batch.inputs[given.inputs[0].name])
    (out / SAMPLES).write_text(json.dumps(told, indent=1) + "\n")
    return {"samples": len(told["ids"])}


def check_tensors(found: Mapping[str, object], expected: Iterable[str], where: Path) -> None:
    """Raises ``Refused`` naming the first tensor that is in one and not in the other."""
    names = set(expected)
    if missing := sorted(names - found.keys()):
        raise Refused(f"{where}: {missing[0]} is missing, with {len(missing)} of {len(names)} tensors; build it anew")
    if strange := sorted(found.keys() - names):
        raise Refused(f"{where}: {strange[0]} is no tensor of the graph that is calibrated; build it anew")


def numbered(reader: DataSetReader, numbers: Sequence[int]) -> Iterator[Sample]:
    """The samples of these numbers, ascending. Raises ``DataError`` where the set is empty or ends before."""
    if not numbers or numbers[-1] >= len(reader):
        raise DataError(
            f"calibration asks for {len(numbers)} samples up to number {max(numbers, default=0)}, of a set of "
            f"{len(reader)}; expected at least one, and all in the set"
        )
    wanted = frozenset(numbers)
    for number, sample in enumerate(islice(reader.samples(), numbers[-1] + 1)):
        if number in wanted:
            yield sample


def _batches(samples: Iterable[Sample], given: StepInput, told: dict[str, Any]) -> Iterator[Batch]:
    """A batch of each sample, noted in what is told of them."""
    feed = resolve(str(given.params["feed"]))
    spec = given.inputs[0]
    for sample in samples:
        try:
            item = feed(sample.content, spec.item)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{sample.id}: cannot be prepared: {error}; {len(sample.content)} bytes") from error
        told["ids"].append(sample.id)
        told["digests"].append(hashlib.sha256(sample.content).hexdigest())
        told["inputs"].append(hashlib.sha256(item.tobytes()).hexdigest())
        yield Batch((sample.id,), {spec.name: np.expand_dims(item, spec.batch_axis)})


def opened(path: Path, params: Mapping[str, Scalar]) -> DataSetReader:
    """The data set at a path, opened by the reader that parameters name, with every ``option.``."""
    options = {name.removeprefix(OPTION): value for name, value in params.items() if name.startswith(OPTION)}
    reader: DataSetReader = resolve(str(params["reader"]))(path, str(params["name"]), **options)
    return reader
