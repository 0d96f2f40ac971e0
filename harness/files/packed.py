"""A packed folder read back: the manifest that says which samples it holds, and whether it still holds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.datasets import DataError, Sample
from harness.files.labels import with_labels
from harness.layout import FileLayout
from harness.store import file_digest

MANIFEST = "pack.json"
KIND = "prepared samples, by python -m harness pack; version 4"


@dataclass(frozen=True)
class Plan:
    """What a folder is packed from.

    ``declared`` is the digest that the declaration names for the data set, ``own`` whether the samples come from the
    reference's own data set, ``n`` how many of them are packed; ``input`` is what one file holds, ``layout`` how files
    and labels are written, ``point`` the id of the one that binds its sizes. ``batch`` is how many samples a file
    holds, and ``dropped`` how many were left out at the end, because they fill none.
    """

    model: str
    reference: str
    data: str
    declared: str | None
    own: bool
    n: int
    feed: str
    input: str
    layout: str
    point: str
    batch: int = 1
    dropped: int = 0

    @property
    def files(self) -> int:
        """How many files the inputs are."""
        return -(-self.n // self.batch)

    @property
    def padded(self) -> int:
        """How often the last sample is there again, to fill its file."""
        return self.files * self.batch - self.n

    def held(self, number: int) -> int:
        """How many samples the file of a number holds, each of them once."""
        return min(self.batch, self.n - number * self.batch)


@dataclass(frozen=True)
class Packed:
    """A whole packed folder: its plan, and its samples with ids and truths, without content; labels of pixels are read
    when they are asked for."""

    plan: Plan
    samples: tuple[Sample, ...]


def read_packed(folder: Path, layout: FileLayout) -> Packed:
    """What ``pack`` left in a folder, truths as the data set has them, also where the labels file has them in lower
    case.

    Raises ``DataError`` where the folder is not whole or of another layout, where labels are not those packed, or an
    input file holds something else; input files may be gone once the tool has run.
    """
    plan = read_plan(folder)
    if plan.layout != layout.told:
        raise DataError(
            f"{folder}: packed as {plan.layout}; the declaration now says {layout.told}; pack again into a new folder"
        )
    manifest = read_manifest(folder)
    if not isinstance(manifest.get("samples"), list):
        raise DataError(f"{folder}: not packed to its end; give the same pack command again, it goes on")
    samples = _samples(folder / MANIFEST, manifest, plan, layout)
    ids = [sample.id for sample in samples]
    spans = [span(ids[start : start + plan.batch]) for start in range(0, plan.n, plan.batch)]
    if layout.labels_by_file:
        paths = [folder / layout.label(number) for number in range(plan.files)]
        _check_files(paths, manifest["labels"], spans, may_be_gone=False)
        samples = tuple(with_labels(samples, paths, plan.batch))
    else:
        _check_labels(folder / layout.labels, samples, layout)
    inputs = [folder / layout.inputs / layout.file(number) for number in range(plan.files)]
    _check_files(inputs, manifest["inputs"], spans, may_be_gone=True)
    return Packed(plan, samples)


def read_plan(folder: Path) -> Plan:
    """What a folder is packed from. Raises ``DataError`` where its manifest is missing or of another kind."""
    plan = plan_in(read_manifest(folder))
    if plan is None:
        raise DataError(f"{folder / MANIFEST}: not of the kind {KIND!r}; pack again into a new folder")
    return plan


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder; empty where it is of another kind. Raises ``DataError`` where it cannot be read."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except ValueError:
        return {}
    except OSError as error:
        raise DataError(f"{folder / MANIFEST}: cannot be read: {error.strerror}; pack again") from error
    return found if isinstance(found, dict) and found.get("kind") == KIND else {}


def plan_in(manifest: Mapping[str, Any]) -> Plan | None:
    """The plan in a manifest, or nothing where it is not of this version."""
    try:
        return Plan(**{name: manifest[name] for name in Plan.__dataclass_fields__})
    except KeyError:
        return None


def digest_of(samples: Iterable[Sample]) -> str:
    """sha256 over ids, truths and sizes in their order: which samples these are, wherever they lie."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.id}\t{sample.truth}\t{sample.size}\n".encode())
    return digest.hexdigest()


def span(ids: Sequence[str]) -> str:
    """``set/4``, or ``set/4 to set/7``: the samples of one file."""
    return ids[0] if len(ids) == 1 else f"{ids[0]} to {ids[-1]}"


def _samples(path: Path, manifest: Mapping[str, Any], plan: Plan, layout: FileLayout) -> tuple[Sample, ...]:
    """The samples of a manifest. Raises ``DataError`` where they are not those that it was written with."""
    expected = {
        **dict.fromkeys(("samples", "truths", "sizes"), plan.n),
        "inputs": plan.files,
        "labels": plan.files if layout.labels_by_file else 0,
    }
    lists = [manifest.get(name) for name in expected]
    lengths = [len(each) if isinstance(each, list) else None for each in lists]
    if lengths != list(expected.values()):
        told = f"{', '.join(expected)} are {lengths} long, expected {list(expected.values())}"
        raise DataError(f"{path}: {told}; pack again")
    samples = tuple(
        Sample(name, b"", truth, tuple(size) if isinstance(size, list) else None)
        for name, truth, size in zip(*lists[:3], strict=True)
    )
    found = digest_of(samples)
    if found != manifest.get("digest"):
        raise DataError(f"{path}: its samples are not those packed: digest {found}, packed {manifest.get('digest')}")
    return samples


def _check_labels(path: Path, samples: Sequence[Sample], layout: FileLayout) -> None:
    """Raises ``DataError`` naming the first line that is not the one packed.

    Lines are compared whole, so a truth may hold the separator, at which the guide's own script cuts it off.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no readable labels file: {error}; pack again") from error
    lines = text.removesuffix("\n").split("\n")
    if len(lines) != len(samples):
        raise DataError(f"{path}: {len(lines)} lines, expected {len(samples)}, one a sample; pack again")
    for place, (line, sample) in enumerate(zip(lines, samples, strict=True)):
        expected = layout.line(place, sample.truth)
        if line != expected:
            raise DataError(f"{path}:{place + 1}: says {line!r}, packed for {sample.id} was {expected!r}; pack again")


def _check_files(paths: Sequence[Path], packed: Sequence[str], spans: Sequence[str], *, may_be_gone: bool) -> None:
    """Raises ``DataError`` naming the first file that holds something else than was packed."""
    places = {digest: place for place, digest in enumerate(packed)}
    for path, digest, told in zip(paths, packed, spans, strict=True):
        try:
            found = file_digest(path)
        except FileNotFoundError as error:
            if may_be_gone:
                continue
            raise DataError(f"{path}: not there, packed for {told}; pack again into a new folder") from error
        if found != digest:
            whose = f" but what was packed for {spans[places[found]]}" if found in places else ""
            raise DataError(f"{path}: holds not what was packed for {told}{whose}; pack again into a new folder")
