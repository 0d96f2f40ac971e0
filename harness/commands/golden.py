"""``python -m harness golden``: writes the golden outputs of a reference."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.cells import Cell
from harness.commands.folders import add_assets, add_models, add_store, assets_of
from harness.declaration import DeclarationError
from harness.evaluate import Scored, Task, evaluate
from harness.golden import write_golden
from harness.model import Model
from harness.questions.agreement import decided_items
from harness.reference import Golden, GoldenBoxes
from harness.registry import PROJECT, choose_model, load_models
from harness.store import Store
from harness.workbench import Workbench

TEXT = "write the golden outputs of a reference: its torch twin's in double precision, on its own samples"


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("model", help="name of a declaration, such as ppocr_cls")
    parser.add_argument("reference", help="one of its references that declares a golden file")
    parser.add_argument("--samples", type=int, metavar="N", help="the first N samples, instead of as many as declared")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: the declared file")
    add_models(parser)
    add_assets(parser)
    add_store(parser)


def run(options: argparse.Namespace) -> Iterator[str]:
    """Evaluates the samples on the twin, and writes the file that the declaration names."""
    model = choose_model(load_models(options.models), options.model)
    reference = model.reference(options.reference)
    twin = model.twin(model.deployed(reference))
    if reference.golden is None or reference.data is None or twin is None:
        raise DeclarationError(f"{model.name} {reference.name}: declares no golden file, no data, or has no torch twin")
    cell = Cell(model, twin, "torch", "fp64", model.judged(reference))
    with TemporaryDirectory() as scratch:
        bench = Workbench(Store(options.store), assets_of(options), Path(scratch))
        with bench.open(cell, reference) as session, bench.data(reference.data) as reader:
            scored = evaluate(
                session, reader.samples(), Task.of(cell.sized, reference), cell.point.batch, cell.precision
            )
            kept = dict(islice(golden(model, reference.golden, scored), options.samples or reference.golden.n))
    path = options.out or PROJECT / reference.golden.file
    write_golden(path, reference, kept)
    yield f"wrote {path}: {len(kept)} outputs"


def golden(
    model: Model, declared: Golden | GoldenBoxes, scored: Iterable[Scored]
) -> Iterator[tuple[str, NDArray[Any] | list[Any]]]:
    """What is kept of each outcome: its boxes, or its output rounded, by the id of its sample."""
    if isinstance(declared, GoldenBoxes):
        yield from ((outcome.id, json.loads(outcome.predicted)) for outcome in scored)
        return
    # A thousandth of the bound is kept: what is smaller says nothing, and most probabilities become short.
    digits = 3 - math.floor(math.log10(declared.max_abs))
    for outcome in scored:
        # A near tie that is fed back may go on differently elsewhere; such a sample is no reference for anybody.
        if len(decided_items(model, outcome.output[np.newaxis], declared.max_abs)):
            yield outcome.id, outcome.output.round(digits)
