"""Files in: prepared samples in a folder, as the guides' preprocessing leaves them for tools that read files.

The folder of inputs holds one file a sample, or a batch, and nothing else, because msame takes every file of a folder
for an input: raw little-endian numbers in C order, without header (or NumPy's format, where a guide saves that), named
and numbered as the model's layout says. A last batch that is not full has its last sample again until it is. The labels
file has a line a sample, or labels are files as the inputs are. ``pack.json`` says which samples these are, and is
whole only when all the rest is.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain, islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from harness.datasets import DataError, DataSetReader, Sample
from harness.declaration import DeclarationError
from harness.evaluate import Prepared, Task
from harness.files.labels import stored_label
from harness.files.packed import KIND, MANIFEST, Plan, digest_of, plan_in, read_manifest, span
from harness.layout import FileLayout
from harness.sizes import TensorSpec
from harness.store import file_digest
from harness.verdict import Refused

NPY = ".npy"

Piece = tuple[Sample | None, memoryview | bytes]
"""A part of a file, and the sample whose own it is."""


def pack(reader: DataSetReader, task: Task, plan: Plan, folder: Path) -> Iterator[int]:
    """The count of samples packed so far, one by one; when it ends, the folder is whole.

    The folder is new, empty, or begun by the same plan: then its whole files stay, and are trusted only where the first
    and the last of them are what would be written now, and where the folder was whole before, all are what it says.
    Raises ``FileExistsError`` where it holds anything else.
    """
    packing = _Packing(task, plan, folder)
    done = packing.begin()
    for number in {0, done - 1} if done else ():
        packing.compare(number, list(islice(reader.samples(number * plan.batch), plan.held(number))))
    samples = islice(reader.samples(), plan.n)
    for number in range(plan.files):
        group = list(islice(samples, plan.batch))
        if len(group) < plan.held(number):
            given = number * plan.batch + len(group)
            raise DataError(f"{plan.data}: gives {given} samples, announced were {plan.n}")
        yield from packing.keep(number, group) if number < done else packing.write(number, group)
    packing.finish()


def raw(item: Prepared, spec: TensorSpec) -> NDArray[Any]:
    """One item's numbers as a tool reads them. Raises ``Refused`` where they are not what the model takes: such tools
    compare sizes at most, and would run on anything."""
    value: NDArray[Any] = np.asarray(item.value)
    if value.shape != spec.item or value.dtype.name != spec.dtype:
        found = f"{value.dtype.name} {list(value.shape)}"
        raise Refused(f"{item.id}: prepared as {found}, the input {spec.name} takes {described(spec)}")
    return np.ascontiguousarray(value, value.dtype.newbyteorder("<"))


def header(spec: TensorSpec, layout: FileLayout, batch: int) -> bytes:
    """What stands before the numbers of a file: nothing, or NumPy's header where the layout says ``.npy``."""
    file = io.BytesIO()
    if layout.input.endswith(NPY):
        kind = np.dtype(spec.dtype).newbyteorder("<").str
        said = {"descr": kind, "fortran_order": False, "shape": spec.shape(batch)}
        npy_format.write_array_header_1_0(file, said)
    return file.getvalue()


def stored(item: Prepared, spec: TensorSpec, layout: FileLayout) -> bytes:
    """The content of a file of one item."""
    return header(spec, layout, 1) + raw(item, spec).tobytes()


def described(spec: TensorSpec, count: int = 1) -> str:
    """``float32 [1, 32, 100]``: what one item is, or ``count`` of them."""
    return f"{spec.dtype} {list(spec.item if count == 1 else spec.shape(count))}"


def item_bytes(spec: TensorSpec) -> int:
    """The size of one item in bytes."""
    return prod(spec.item) * np.dtype(spec.dtype).itemsize


def write_whole(path: Path, text: str) -> None:
    """The file holds all of the text, or is as it was before."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="")
    partial.replace(path)


class _Packing:
    """A folder on its way to be whole: the files of a plan, numbered from 0, and the samples that were taken."""

    def __init__(self, task: Task, plan: Plan, folder: Path) -> None:
        self._task, self._plan, self._folder = task, plan, folder
        self._spec, self._layout = task.model.inputs[0], task.model.layout
        if plan.batch > 1 and self._spec.batch_axis:
            raise DeclarationError(f"{self._spec.name}: its batch axis must be the first, as files hold whole batches")
        self._header = header(self._spec, self._layout, plan.batch)
        numbers = range(plan.files)
        self._inputs = [folder / self._layout.inputs / self._layout.file(number) for number in numbers]
        self._labels = [folder / self._layout.label(number) for number in numbers if self._layout.labels_by_file]
        self._known: dict[Path, str] = {}
        self._digests: dict[Path, str] = {}
        self._taken: list[Sample] = []

    def begin(self) -> int:
        """How many whole files the folder has of this very plan. Raises ``FileExistsError`` where it has anything
        else."""
        manifest = _claim(self._folder, self._plan)
        for name, paths in (("inputs", self._inputs), ("labels", self._labels)):
            self._known.update(zip(paths, manifest.get(name) or (), strict=False))
        sizes = {**_sizes(self._inputs), **_sizes(self._labels)}
        whole = len(self._header) + self._plan.batch * item_bytes(self._spec)
        # Labels are written before inputs, so those of inputs that are whole need only be there.
        places = (place for place, path in enumerate(self._inputs) if sizes.get(path) != whole)
        missing = (place for place, path in enumerate(self._labels) if path not in sizes)
        return min(next(places, self._plan.files), next(missing, self._plan.files))

    def compare(self, number: int, samples: Sequence[Sample]) -> None:
        """Raises ``FileExistsError`` where files of this number would be written otherwise now: by other code or
        data."""
        for path, pieces in self._files(number, samples):
            digest = hashlib.sha256()
            for _, piece in pieces:
                digest.update(piece)
            if file_digest(path) != digest.hexdigest():
                whose = span([sample.id for sample in samples])
                told = f"begun with other code or data, {whose} is prepared otherwise now"
                raise FileExistsError(f"{path}: {told}; choose a new folder")

    def write(self, number: int, samples: Sequence[Sample]) -> Iterator[int]:
        """The count of samples after each that was written; at the end their files are whole."""
        *labels, (path, pieces) = self._files(number, samples)
        for each in labels:
            deque(self._written(*each), 0)
        for sample in self._written(path, pieces):
            yield self._take(sample)

    def keep(self, number: int, samples: Sequence[Sample]) -> Iterator[int]:
        """The count of samples after each whose files stay. Raises ``FileExistsError`` where one is not the file that
        was packed."""
        for sample in samples:
            yield self._take(sample)
        for path, _ in self._files(number, samples):
            self._digests[path] = file_digest(path)
            if self._known.get(path, self._digests[path]) != self._digests[path]:
                whose = span([sample.id for sample in samples])
                raise FileExistsError(f"{path}: holds not what was packed for {whose}; choose a new folder")

    def finish(self) -> None:
        """Writes what there is once: a manifest with samples says that all the rest is there."""
        if not self._labels:
            lines = [f"{self._layout.line(place, sample.truth)}\n" for place, sample in enumerate(self._taken)]
            write_whole(self._folder / self._layout.labels, "".join(lines))
        manifest = {
            "kind": KIND,
            **asdict(self._plan),
            "digest": digest_of(self._taken),
            "samples": [sample.id for sample in self._taken],
            "truths": [sample.truth for sample in self._taken],
            "sizes": [sample.size for sample in self._taken],
            "inputs": [self._digests[path] for path in self._inputs],
            "labels": [self._digests[path] for path in self._labels],
        }
        write_whole(self._folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")

    def _files(self, number: int, samples: Sequence[Sample]) -> list[tuple[Path, Iterator[Piece]]]:
        """The files of a number, labels first, and what they hold."""
        labels = [(path, self._filled(samples, stored_label)) for path in self._labels[number : number + 1]]
        return [*labels, (self._inputs[number], self._filled(samples, self._raw, self._header))]

    def _filled(
        self, samples: Sequence[Sample], make: Callable[[Sample], NDArray[Any]], beginning: bytes = b""
    ) -> Iterator[Piece]:
        """What is made of each sample, with it; without one what stands before the first, and what is made of the last
        one again until the batch is full."""
        for place, sample in enumerate(samples):
            made = make(sample).data
            if place == 0:
                yield None, beginning
            yield sample, made
        for _ in range(self._plan.batch - len(samples)):
            yield None, made

    def _raw(self, sample: Sample) -> NDArray[Any]:
        return raw(self._task.prepare(sample), self._spec)

    def _written(self, path: Path, pieces: Iterator[Piece]) -> Iterator[Sample]:
        """Each sample once it is written; then the file is whole. Of what cannot be prepared there is none."""
        digest = hashlib.sha256()
        pieces = chain([next(pieces)], pieces)
        with path.open("wb") as file:
            for sample, piece in pieces:
                digest.update(piece)
                file.write(piece)
                if sample is not None:
                    yield sample
        self._digests[path] = digest.hexdigest()

    def _take(self, sample: Sample) -> int:
        """How many samples were taken with this one. Raises ``DataError`` where no line can hold its truth."""
        if not self._labels and sample.label is not None:
            raise DataError(f"{sample.id}: a class for each pixel fits into no line; declare a file of labels an input")
        if not self._labels and ("\n" in sample.truth or "\r" in sample.truth):
            told = f"its truth {sample.truth[:40]!r} holds a line break"
            raise DataError(f"{sample.id}: {told}, which no labels file can")
        self._taken.append(replace(sample, content=b""))
        return len(self._taken)


def _claim(folder: Path, plan: Plan) -> dict[str, Any]:
    """The manifest of a folder that is this plan's. Raises ``FileExistsError`` where it holds anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    # A pack that was killed at its very beginning leaves a hidden part of the manifest.
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if found and MANIFEST not in found:
        raise FileExistsError(f"{folder}: not empty, it holds {found[0]}; choose a new or an empty folder")
    if not found:
        write_whole(folder / MANIFEST, json.dumps({"kind": KIND, **asdict(plan)}, indent=1) + "\n")
    manifest = read_manifest(folder)
    before = plan_in(manifest)
    if before is None:
        raise FileExistsError(f"{folder / MANIFEST}: not of the kind {KIND!r}; choose a new or an empty folder")
    if before != plan:
        old, new = asdict(before), asdict(plan)
        told = ", ".join(f"{name} {old[name]}, now {new[name]}" for name in new if old[name] != new[name])
        raise FileExistsError(f"{folder}: packed from something else ({told}); choose a new or an empty folder")
    return manifest


def _sizes(paths: Sequence[Path]) -> dict[Path, int]:
    """The sizes of those files of one folder that are there. Raises ``FileExistsError`` where it holds others."""
    if not paths:
        return {}
    folder = paths[0].parent
    folder.mkdir(exist_ok=True)
    found = {path: path.stat().st_size for path in folder.iterdir()}
    if strange := sorted(path.name for path in found.keys() - set(paths)):
        raise FileExistsError(f"{folder}: holds {strange[0]}, which is none of its files; choose a new folder")
    return found
