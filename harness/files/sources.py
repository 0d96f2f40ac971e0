"""Which samples a command works on: those of a reference's own data set, or of a data set that lies elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from harness.datasets import DataError, DataSetReader, Sample, part_of
from harness.declaration import DeclarationError
from harness.files.packed import MANIFEST, read_packed, read_plan
from harness.model import Model
from harness.reference import DataSet, Reference
from harness.sizes import Point
from harness.store import file_digest
from harness.verdict import Absent
from harness.workbench import Workbench, open_reader


@dataclass(frozen=True)
class Source:
    """A data set, opened, its name, and the reference whose reader takes it; ``own`` where it is that reference's own,
    whose claims are about it."""

    name: str
    reference: Reference
    data: DataSet
    reader: DataSetReader
    own: bool


@dataclass(frozen=True)
class Truth:
    """What outputs are judged by: samples with ids and truths, of what they are, and for which reference.

    ``own`` where they are of the reference's own data set, ``complete`` where they are all of it. ``point`` binds the
    sizes of what they were made into, ``dropped`` is how many more there were, which filled no batch.
    """

    reference: Reference
    data: str
    samples: tuple[Sample, ...]
    own: bool
    complete: bool
    point: Point
    dropped: int = 0


@contextmanager
def source(bench: Workbench, model: Model, name: str | None, at: Path | None) -> Iterator[Source]:
    """The data set at a path, or without one the reference's own, opened until leaving.

    Without a name it is the first reference whose data is found, or whose reader takes what lies there.
    """
    references = _references(model, name)
    if at is not None:
        with _found_at(references, at) as found:
            yield found
        return
    here = [each for each in references if each[1].asset is None or bench.assets.locate(each[1].asset)]
    here = here or references[:1]
    with ExitStack() as stack:
        reference, data, reader = _first(bench, here, stack)
        yield Source(data.name, reference, data, reader, own=True)


def truth(bench: Workbench, model: Model, name: str | None, at: Path | None) -> Truth:
    """The samples that outputs are judged by: in a folder that ``pack`` wrote, or of a data set, as ``source``."""
    if at is not None and (at / MANIFEST).exists():
        return _packed(bench, model, name, at)
    with source(bench, model, name, at) as found:
        samples = tuple(replace(sample, content=b"") for sample in found.reader.samples())
    complete = found.own and _is_whole(found.data, samples)
    return Truth(found.reference, found.name, samples, found.own, complete, model.judged(found.reference))


def _is_whole(data: DataSet, samples: Sequence[Sample]) -> bool:
    """Whether these are all samples that the data set's claims are about; others may lie beside them."""
    counted = (part_of(sample.id) in data.pooled for sample in samples)
    return (sum(counted) if data.pooled else len(samples)) == data.n


def declared_digest(data: DataSet) -> str | None:
    """What a declaration says of a data set's content: its digest, or its asset's sha256, and its options."""
    told = data.asset.sha256 if data.asset is not None else data.digest
    options = ", ".join(f"{name}={value}" for name, value in sorted(data.options.items()))
    return f"{told or 'any'} with {options}" if options else told


def _packed(bench: Workbench, model: Model, name: str | None, folder: Path) -> Truth:
    """The samples of a packed folder. They are the reference's own only where the declaration still says the same of
    them, and where its data set is here, only if they are really in it."""
    plan = read_plan(folder)
    if plan.model != model.name or (name is not None and name != plan.reference):
        asked = f"{model.name} {name or ''}".strip()
        raise DeclarationError(f"{folder}: packed for {plan.model} {plan.reference}, not for {asked}")
    packed = read_packed(folder, model.layout)
    reference, point = model.reference(plan.reference), model.point(plan.point)
    data = reference.data
    if data is None or not plan.own or (data.name, declared_digest(data)) != (plan.data, plan.declared):
        return Truth(reference, plan.data, packed.samples, own=False, complete=False, point=point, dropped=plan.dropped)
    try:
        # Ids and truths are compared, which every Pillow draws alike.
        with bench.data(data, exact=False) as reader:
            _compare(folder, packed.samples, reader)
    except Absent:  # on another machine than the one that packed, the manifest is what there is
        pass
    complete = _is_whole(data, packed.samples)
    return Truth(reference, plan.data, packed.samples, own=True, complete=complete, point=point, dropped=plan.dropped)


def _compare(folder: Path, samples: tuple[Sample, ...], reader: DataSetReader) -> None:
    """Raises ``DataError`` where the samples are not the data set's first ones."""
    for packed, sample in zip(samples, reader.samples(), strict=False):
        if (packed.id, packed.truth) != (sample.id, sample.truth):
            raise DataError(
                f"{folder}: {packed.id} has the truth {packed.truth!r}, the data set has {sample.id} with "
                f"{sample.truth!r} there; pack again"
            )
    if len(samples) > len(reader):
        raise DataError(f"{folder}: {len(samples)} samples, the data set has {len(reader)}; pack again")


def _references(model: Model, name: str | None) -> list[tuple[Reference, DataSet]]:
    """The reference of that name, or all, as far as they declare data."""
    asked = [model.reference(name)] if name is not None else list(model.references)
    found = [(reference, reference.data) for reference in asked if reference.data is not None]
    if not found:
        having = ", ".join(reference.name for reference in model.references if reference.data is not None)
        raise DeclarationError(f"{model.name} {name or ''}: declares no data; references with data: {having or 'none'}")
    return found


def _first(
    bench: Workbench, references: list[tuple[Reference, DataSet]], stack: ExitStack
) -> tuple[Reference, DataSet, DataSetReader]:
    """The first reference whose data can be opened, opened. Raises ``Absent`` where that of none is here."""
    *others, last = references
    for reference, data in others:
        # Its folder may be here, and the part of it that is meant not.
        with suppress(Absent):
            return reference, data, stack.enter_context(bench.data(data))
    return *last, stack.enter_context(bench.data(last[1]))


@contextmanager
def _found_at(references: list[tuple[Reference, DataSet]], at: Path) -> Iterator[Source]:
    """The data set at a path, by the first reader that takes it, the ones whose own it is before the others."""
    if (at / MANIFEST).exists():
        raise FileExistsError(f"{at}: these samples are packed already; --data takes a data set")
    if not at.exists():
        raise FileNotFoundError(f"{at}: no such data set")
    told = []
    owners = [reference.name for reference, data in references if _is(data, at)]
    for reference, data in sorted(references, key=lambda each: each[0].name not in owners):
        own = reference.name in owners
        # Ids of other samples must not look like those of the reference's own.
        name = data.name if own else at.resolve().name
        try:
            # Its options say which of the reference's own samples are meant, and say nothing of others.
            reader = open_reader(data, at, name, data.options if own else {})
        except (DataError, OSError) as error:
            told.append(f"{reference.name} ({data.reader.rpartition(':')[2]}): {error}")
            continue
        with closing(reader):
            yield Source(name, reference, data, reader, own)
        return
    raise DataError(f"{at}: no reader takes it; {'; '.join(told)}")


def _is(data: DataSet, at: Path) -> bool:
    """Whether a path is a data set's own asset: by its sha256 where that is declared, else by its name."""
    if data.asset is None:
        return False
    if data.asset.sha256 is not None:
        return at.is_file() and file_digest(at) == data.asset.sha256
    return any(at.resolve().match(pattern.removeprefix("**/")) for pattern in data.asset.patterns)
