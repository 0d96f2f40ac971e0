"""Sessions over files: tools that start once for many batches, in windows that bound memory and disk.

A window is a private folder with a file for each item of a few batches, also where a guide's own hold whole batches:
tools make batches of single items themselves, or the runner does. The tool runs once over it, its outputs are
read and checked, the folder is removed, and then the batches are answered in order. Files carry the samples' ids by
their numbers, so a tool may write them in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.backends import Batch, Outputs
from harness.evaluate import Prepared
from harness.files.pack import stored
from harness.files.unpack import OutputFolder
from harness.model import Model
from harness.process import private_folder

INPUTS = "inputs"


@dataclass(frozen=True)
class Window:
    """What a tool is run on: the ``inputs``, ``items`` files to be taken ``batch`` at a time in the order of their
    names, the last batch perhaps short; and a private ``folder`` for whatever it writes."""

    folder: Path
    inputs: Path
    items: int
    batch: int


Tool = Callable[[Window], Path]
"""Runs a tool once over a window, and says in which folder its outputs are."""


def map_files(batches: Iterable[Batch], model: Model, tool: Tool, *, parent: Path, window: int) -> Iterator[Outputs]:
    """Answers every batch, in order, by one run of the tool for ``window`` batches or less.

    Folders are made below ``parent``, one at a time. Raises ``Refused`` naming the files, and the samples, that the
    tool left out, repeated, named otherwise, cut, or filled with what is no number.
    """
    for group in _windows(batches, window):
        ids = [name for batch in group for name in batch.ids]
        # Numbers of one length: a tool that sorts names as text takes the files in the same order as one that sorts
        # them as numbers. And none from 0 on: a tool that names its outputs by their place is caught.
        first = 10 ** len(str(len(ids)))
        with private_folder(parent, model.name) as folder:
            (folder / INPUTS).mkdir(mode=0o750)
            _write(group, model, folder / INPUTS, first)
            outputs = tool(Window(folder, folder / INPUTS, len(ids), len(group[0].ids)))
            # Read before the folder goes; the caller may take its time with the answers.
            answers = list(OutputFolder(outputs, model, ids, first=first).batches(len(group[0].ids)))
        yield from answers


def _windows(batches: Iterable[Batch], window: int) -> Iterator[list[Batch]]:
    """Batches in groups of ``window`` or less, all of one size but the last of a group, which may be shorter: the tool
    cuts a folder into batches itself, and must come to the same ones."""
    group: list[Batch] = []
    for batch in batches:
        if group and len(batch.ids) > len(group[0].ids):
            yield group
            group = []
        group.append(batch)
        if len(group) == window or len(batch.ids) < len(group[0].ids):
            yield group
            group = []
    if group:
        yield group


def _write(group: list[Batch], model: Model, inputs: Path, first: int) -> None:
    """One file an item, numbered from ``first`` on."""
    spec = model.inputs[0]
    number = first
    for batch in group:
        for name, value in zip(batch.ids, np.moveaxis(batch.inputs[spec.name], spec.batch_axis, 0), strict=True):
            (inputs / model.layout.input.format(i=number)).write_bytes(
                stored(Prepared(name, value), spec, model.layout)
            )
            number += 1
