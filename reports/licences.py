"""Whose weights and data a record's answers rest on, as the declarations say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from harness.model import Model
from harness.reference import Asset, DataSet, Reference
from reports.pairs import answered
from reports.record import Record
from reports.text import NONE


class Origin(NamedTuple):
    """Where weights or data come from. ``licence`` is missing where the suite makes them itself; ``digest`` is the
    sha256 of a file, or that of samples which are made here."""

    name: str
    licence: str
    source: str
    digest: str


class Licence(NamedTuple):
    """An origin with what it serves: ``crnn official weights``; ``used`` where any of that was answered."""

    origin: Origin
    uses: tuple[str, ...]
    used: bool


def licences(record: Record, models: Mapping[str, Model]) -> list[Licence]:
    """The origins of the references that the record has answers of, in the order of the declarations. What two
    references share is listed once."""
    asked: dict[tuple[str, str], bool] = {}
    for answer in record.answers.values():
        pair = (answer.model, answer.key.reference)
        asked[pair] = asked.get(pair, False) or answered(answer)
    found: dict[Origin, dict[str, bool]] = {}
    for model in models.values():
        for reference in model.references:
            if (pair := (model.name, reference.name)) in asked:
                for kind, origin in _origins(reference):
                    found.setdefault(origin, {})[f"{model.name} {reference.name} {kind}"] = asked[pair]
    return [Licence(origin, tuple(uses), any(uses.values())) for origin, uses in found.items()]


def _origins(reference: Reference) -> Iterator[tuple[str, Origin]]:
    for asset in reference.weights:
        yield "weights", _of(asset)
    if reference.initialise is not None:
        yield "weights", Origin(f"{reference.name} weights", NONE, f"drawn here by {reference.initialise}", NONE)
    if reference.data is not None:
        yield "data", _data(reference.data)


def _of(asset: Asset) -> Origin:
    return Origin(asset.name, asset.licence, asset.source, asset.sha256 or NONE)


def _data(data: DataSet) -> Origin:
    if data.asset is not None:
        return _of(data.asset)
    return Origin(data.name, NONE, f"made here by {data.make}", data.digest or NONE)
