"""Files in: prepared samples in a folder, as the guides' preprocessing leaves them for tools that read files.

``inputs/`` holds one file a sample and nothing else, because msame takes every file of a folder for an input: raw
little-endian numbers in C order, without header, numbered from 0. The labels file has a line a sample, the name of its
input file, a tab, its truth. ``pack.json`` says which samples these are, and is whole only when all the rest is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.datasets import DataError, DataSetReader, Sample
from harness.evaluate import Prepared, Task
from harness.model import FileLayout, TensorSpec
from harness.verdict import Refused

MANIFEST = "pack.json"
INPUTS = "inputs"
KIND = "prepared samples, by python -m harness pack; version 1"


@dataclass(frozen=True)
class Plan:
    """What a folder is packed from.

    ``declared`` is the digest that the declaration names for the data set, ``own`` whether the samples come from the
    reference's own data set, ``n`` how many of them are packed; ``input`` is what one file holds.
    """

    model: str
    reference: str
    data: str
    declared: str | None
    own: bool
    n: int
    feed: str
    input: str


@dataclass(frozen=True)
class Packed:
    """A whole packed folder: its plan, and its samples with ids and truths, without content."""

    plan: Plan
    samples: tuple[Sample, ...]


def pack(reader: DataSetReader, task: Task, plan: Plan, folder: Path) -> Iterator[int]:
    """The count of samples packed so far, one by one; when it ends, the folder is whole.

    The folder is new, empty, or begun by the same plan: then its whole files stay, and are trusted only where the first
    and the last of them are what would be written now. Raises ``FileExistsError`` where it holds anything else.
    """
    spec, layout = task.model.inputs[0], task.model.layout
    done = _begun(folder, plan, spec, layout)
    _compare(reader, task, folder, {0, done - 1} if done else set())
    ids: list[str] = []
    lines: list[str] = []
    for number, sample in enumerate(islice(reader.samples(), plan.n)):
        name = layout.input.format(i=number)
        lines.append(_label(name, sample))
        ids.append(sample.id)
        if number >= done:
            (folder / INPUTS / name).write_bytes(raw(task.prepare(sample), spec))
        yield number + 1
    if len(ids) != plan.n:
        raise DataError(f"{plan.data}: gives {len(ids)} samples, announced were {plan.n}")
    # In this order: a manifest with samples says that all the rest is there.
    write_whole(folder / layout.labels, "".join(lines))
    truths = (line.rstrip("\n").partition("\t")[2] for line in lines)
    manifest = {"kind": KIND, **asdict(plan), "digest": digest_of(zip(ids, truths, strict=True)), "samples": ids}
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def read_packed(folder: Path, layout: FileLayout) -> Packed:
    """What ``pack`` left in a folder. Raises ``DataError`` where it is not whole, or its labels are not those packed;
    the input files are not read, they may be gone once the tool has run."""
    path, labels = folder / MANIFEST, folder / layout.labels
    manifest = _manifest(folder)
    plan = _plan(manifest)
    if plan is None:
        raise DataError(f"{path}: not of the kind {KIND!r}; pack again into a new folder")
    names = manifest.get("samples")
    if not isinstance(names, list):
        raise DataError(f"{folder}: not packed to its end; give the same pack command again, it goes on")
    try:
        text = labels.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{labels}: no readable labels file: {error}; pack again") from error
    lines = text.removesuffix("\n").split("\n")
    if not len(lines) == len(names) == plan.n:
        raise DataError(f"{labels}: {len(lines)} lines, expected {plan.n}, one a sample; pack again")
    samples = []
    for number, (line, name) in enumerate(zip(lines, names, strict=True)):
        file, _, truth = line.partition("\t")
        if file != layout.input.format(i=number):
            raise DataError(f"{labels}:{number + 1}: names {file!r}, expected {layout.input.format(i=number)!r}")
        samples.append(Sample(name, b"", truth))
    found = digest_of((sample.id, sample.truth) for sample in samples)
    if found != manifest.get("digest"):
        raise DataError(f"{labels}: its truths are not those packed: digest {found}, packed {manifest.get('digest')}")
    return Packed(plan, tuple(samples))


def digest_of(samples: Iterable[tuple[str, str]]) -> str:
    """sha256 over ids and truths in their order: which samples these are, wherever they lie."""
    digest = hashlib.sha256()
    for name, truth in samples:
        digest.update(f"{name}\t{truth}\n".encode())
    return digest.hexdigest()


def raw(item: Prepared, spec: TensorSpec) -> bytes:
    """One item's numbers as a tool reads them. Raises ``Refused`` where they are not what the model takes: such tools
    compare sizes at most, and would run on anything."""
    value: NDArray[Any] = np.asarray(item.value)
    if value.shape != spec.item or value.dtype.name != spec.dtype:
        found = f"{value.dtype.name} {list(value.shape)}"
        raise Refused(f"{item.id}: prepared as {found}, the input {spec.name} takes {described(spec)}")
    return value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()


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
    before = _plan(_manifest(folder))
    if before != plan:
        old, new = asdict(before) if before else {}, asdict(plan)
        told = ", ".join(f"{name} {old.get(name)}, now {new[name]}" for name in new if old.get(name) != new[name])
        raise FileExistsError(f"{folder}: packed from something else ({told}); choose a new or an empty folder")
    inputs = folder / INPUTS
    inputs.mkdir(exist_ok=True)
    sizes = {path.name: path.stat().st_size for path in inputs.iterdir()}
    names = [layout.input.format(i=number) for number in range(plan.n)]
    if strange := sorted(set(sizes).difference(names)):
        raise FileExistsError(f"{inputs}: holds {strange[0]}, which is none of its inputs; choose a new folder")
    whole = item_bytes(spec)
    return next((number for number, name in enumerate(names) if sizes.get(name) != whole), plan.n)


def _compare(reader: DataSetReader, task: Task, folder: Path, numbers: set[int]) -> None:
    """Raises ``FileExistsError`` where one of these samples would be written otherwise now: by other code or data."""
    for number in numbers:
        path = folder / INPUTS / task.model.layout.input.format(i=number)
        sample = next(reader.samples(number))
        if path.read_bytes() != raw(task.prepare(sample), task.model.inputs[0]):
            raise FileExistsError(
                f"{path}: begun with other code or data, {sample.id} is prepared otherwise now; choose a new folder"
            )


def _label(name: str, sample: Sample) -> str:
    """The line of a sample. Raises ``DataError`` where its truth cannot stand in a line."""
    if "\n" in sample.truth or "\r" in sample.truth:
        raise DataError(f"{sample.id}: its truth {sample.truth[:40]!r} holds a line break, which no labels file can")
    return f"{name}\t{sample.truth}\n"


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder; empty where it is none."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except ValueError:
        return {}
    except OSError as error:
        raise DataError(f"{folder / MANIFEST}: cannot be read: {error.strerror}; pack again") from error
    return found if isinstance(found, dict) and found.get("kind") == KIND else {}


def _plan(manifest: dict[str, Any]) -> Plan | None:
    """The plan in a manifest, or nothing where it is not of this version."""
    try:
        return Plan(**{name: manifest[name] for name in Plan.__dataclass_fields__})
    except KeyError:
        return None
