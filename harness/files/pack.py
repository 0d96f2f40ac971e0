"""Files in: prepared samples in a folder, as the guides' preprocessing leaves them for tools that read files.

``inputs/`` holds one file a sample and nothing else, because msame takes every file of a folder for an input: raw
little-endian numbers in C order, without header (or NumPy's format, where a guide saves that), named and numbered as
the model's layout says. The labels file has a line a sample. ``pack.json`` says which samples these are, and is whole
only when all the rest is.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.datasets import DataError, DataSetReader, Sample
from harness.evaluate import Prepared, Task
from harness.files.packed import INPUTS, KIND, MANIFEST, Plan, digest_of, plan_in, read_manifest
from harness.layout import FileLayout
from harness.sizes import TensorSpec
from harness.store import file_digest
from harness.verdict import Refused

NPY = ".npy"


def pack(reader: DataSetReader, task: Task, plan: Plan, folder: Path) -> Iterator[int]:
    """The count of samples packed so far, one by one; when it ends, the folder is whole.

    The folder is new, empty, or begun by the same plan: then its whole files stay, and are trusted only where the first
    and the last of them are what would be written now, and where the folder was whole before, all are what it says.
    Raises ``FileExistsError`` where it holds anything else.
    """
    spec, layout = task.model.inputs[0], task.model.layout
    done = _begun(folder, plan, spec, layout)
    _compare(reader, task, folder, {0, done - 1} if done else set())
    known = read_manifest(folder).get("inputs")
    before = known if isinstance(known, list) and len(known) == plan.n else [None] * plan.n
    taken: list[Sample] = []
    inputs: list[str] = []
    for place, sample in enumerate(islice(reader.samples(), plan.n)):
        _check_truth(sample)
        path = folder / INPUTS / layout.file(place)
        if place >= done:
            content = stored(task.prepare(sample), spec, layout)
            path.write_bytes(content)
            inputs.append(hashlib.sha256(content).hexdigest())
        else:
            inputs.append(_kept(path, sample, before[place]))
        taken.append(replace(sample, content=b""))
        yield place + 1
    if len(taken) != plan.n:
        raise DataError(f"{plan.data}: gives {len(taken)} samples, announced were {plan.n}")
    _finish(folder, plan, layout, taken, inputs)


def raw(item: Prepared, spec: TensorSpec) -> bytes:
    """One item's numbers as a tool reads them. Raises ``Refused`` where they are not what the model takes: such tools
    compare sizes at most, and would run on anything."""
    value: NDArray[Any] = np.asarray(item.value)
    if value.shape != spec.item or value.dtype.name != spec.dtype:
        found = f"{value.dtype.name} {list(value.shape)}"
        raise Refused(f"{item.id}: prepared as {found}, the input {spec.name} takes {described(spec)}")
    return value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()


def stored(item: Prepared, spec: TensorSpec, layout: FileLayout) -> bytes:
    """The content of one item's file: raw numbers; NumPy's format, a batch of one, where the layout says ``.npy``."""
    content = raw(item, spec)
    if not layout.input.endswith(NPY):
        return content
    file = io.BytesIO()
    np.save(file, np.frombuffer(content, np.dtype(spec.dtype).newbyteorder("<")).reshape(spec.shape(1)))
    return file.getvalue()


def stored_bytes(spec: TensorSpec, layout: FileLayout) -> int:
    """The size of one item's file in bytes."""
    return len(stored(Prepared("", np.zeros(spec.item, spec.dtype)), spec, layout))


def described(spec: TensorSpec) -> str:
    """``float32 [1, 32, 100]``: what one item is."""
    return f"{spec.dtype} {list(spec.item)}"


def item_bytes(spec: TensorSpec) -> int:
    """The size of one item in bytes."""
    return prod(spec.item) * np.dtype(spec.dtype).itemsize


def write_whole(path: Path, text: str) -> None:
    """The file holds all of the text, or is as it was before."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8", newline="")
    partial.replace(path)


def _begun(folder: Path, plan: Plan, spec: TensorSpec, layout: FileLayout) -> int:
    """How many whole files the folder has of this very plan. Raises ``FileExistsError`` where it has anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    # A pack that was killed at its very beginning leaves a hidden part of the manifest.
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if found and MANIFEST not in found:
        raise FileExistsError(f"{folder}: not empty, it holds {found[0]}; choose a new or an empty folder")
    if not found:
        write_whole(folder / MANIFEST, json.dumps({"kind": KIND, **asdict(plan)}, indent=1) + "\n")
    before = plan_in(read_manifest(folder))
    if before is None:
        raise FileExistsError(f"{folder / MANIFEST}: not of the kind {KIND!r}; choose a new or an empty folder")
    if before != plan:
        old, new = asdict(before), asdict(plan)
        told = ", ".join(f"{name} {old[name]}, now {new[name]}" for name in new if old[name] != new[name])
        raise FileExistsError(f"{folder}: packed from something else ({told}); choose a new or an empty folder")
    inputs = folder / INPUTS
    inputs.mkdir(exist_ok=True)
    sizes = {path.name: path.stat().st_size for path in inputs.iterdir()}
    names = [layout.file(place) for place in range(plan.n)]
    if strange := sorted(set(sizes).difference(names)):
        raise FileExistsError(f"{inputs}: holds {strange[0]}, which is none of its inputs; choose a new folder")
    whole = stored_bytes(spec, layout)
    return next((place for place, name in enumerate(names) if sizes.get(name) != whole), plan.n)


def _compare(reader: DataSetReader, task: Task, folder: Path, places: set[int]) -> None:
    """Raises ``FileExistsError`` where one of these samples would be written otherwise now: by other code or data."""
    for place in places:
        path = folder / INPUTS / task.model.layout.file(place)
        sample = next(reader.samples(place))
        if path.read_bytes() != stored(task.prepare(sample), task.model.inputs[0], task.model.layout):
            raise FileExistsError(
                f"{path}: begun with other code or data, {sample.id} is prepared otherwise now; choose a new folder"
            )


def _kept(path: Path, sample: Sample, packed: str | None) -> str:
    """The digest of an input file that stays. Raises ``FileExistsError`` where it is not the one packed before."""
    found = file_digest(path)
    if packed is not None and found != packed:
        raise FileExistsError(f"{path}: holds not what was packed for {sample.id}; choose a new folder")
    return found


def _check_truth(sample: Sample) -> None:
    """Raises ``DataError`` where a truth cannot stand in a line."""
    if "\n" in sample.truth or "\r" in sample.truth:
        raise DataError(f"{sample.id}: its truth {sample.truth[:40]!r} holds a line break, which no labels file can")


def _finish(folder: Path, plan: Plan, layout: FileLayout, samples: list[Sample], inputs: list[str]) -> None:
    """Writes labels and manifest, in this order: a manifest with samples says that all the rest is there."""
    lines = [f"{layout.line(place, sample.truth)}\n" for place, sample in enumerate(samples)]
    write_whole(folder / layout.labels, "".join(lines))
    manifest = {
        "kind": KIND,
        **asdict(plan),
        "digest": digest_of(samples),
        "samples": [sample.id for sample in samples],
        "truths": [sample.truth for sample in samples],
        "sizes": [sample.size for sample in samples],
        "inputs": inputs,
    }
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
