"""Which samples a quantised form is calibrated on, and how the steps that need them are told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

from harness.datasets import DataSetReader
from harness.declaration import DeclarationError, Scalar
from harness.model import Model
from harness.quantisation import Quantisation
from harness.quantize.samples import chosen
from harness.reference import DataSet, Reference


@dataclass(frozen=True)
class Calibrated:
    """Samples of a set by number, id and sha256 of their content; ``asked`` is how many the form declares, ``of`` how
    many the set has."""

    data: DataSet
    numbers: tuple[int, ...]
    ids: tuple[str, ...]
    digests: tuple[str, ...]
    asked: int
    of: int

    @property
    def digest(self) -> str:
        """One for all of them."""
        return hashlib.sha256(" ".join(self.digests).encode()).hexdigest()

    @property
    def told(self) -> str:
        """``300 of 500 of shared_words``; where the set is too small, also how many were asked for."""
        fewer = f" ({self.asked} asked for)" if len(self.ids) < self.asked else ""
        return f"{len(self.ids)} of {self.of} of {self.data.name}{fewer}"

    def params(self, feed: str) -> Mapping[str, Scalar]:
        """What a step is told that opens the set and makes inputs of these samples."""
        return {
            "reader": self.data.reader,
            "name": self.data.name,
            "feed": self.data.feed or feed,
            "numbers": " ".join(map(str, self.numbers)),
            **{f"option.{name}": value for name, value in self.data.options.items()},
        }


def set_of(model: Model, reference: Reference, *, first: bool) -> DataSet:
    """The set that calibration takes samples of: what the reference declares for it, else its own data; of one without
    data what the bundled reference is calibrated on. With ``first`` its own data, as the guide does."""
    for owner in (reference, model.reference("bundled")):
        found = owner.data if first else owner.calibration or owner.data
        if found is not None:
            return found
    raise DeclarationError(f"{model.name}: its bundled reference declares no data to calibrate on")


def choose_samples(
    data: DataSet, reader: DataSetReader, how: Quantisation, *, first: bool = False, judged: bool = True
) -> Calibrated:
    """The samples by seed, or with ``first`` those at the beginning.

    They are as many as the form declares; of a small set whose other samples are ``judged`` at most the share that it
    declares. Raises ``DataError`` where it declares none, or the set is another one, and has too few.
    """
    share = how.share if judged else 1.0
    taken = how.samples if share == 1 else min(how.samples, max(1, floor(len(reader) * share)))
    numbers = chosen(len(reader), taken, 1.0, how.seed, first=first)
    wanted = frozenset(numbers)
    ids, digests = [], []
    for number, sample in enumerate(reader.samples()):
        if number in wanted:
            ids.append(sample.id)
            digests.append(hashlib.sha256(sample.content).hexdigest())
        if number == numbers[-1]:
            break
    return Calibrated(data, numbers, tuple(ids), tuple(digests), how.samples, len(reader))


def samples_differ(told: Mapping[str, Any], chosen: Calibrated, inputs: Sequence[str]) -> Iterator[str]:
    """Every way in which ranges were made of other samples than those that are declared, fed as the model is.

    ``told`` is what ``samples.json`` says, ``inputs`` are sha256 of the first inputs as they are made now. A network
    that is calibrated on swapped colours answers as well as any other: only this tells.
    """
    if told["set"] != chosen.data.name:
        yield f"calibrated on {told['set']}, declared {chosen.data.name}"
    if strange := sorted(set(told["ids"]) ^ set(chosen.ids)):
        yield f"calibrated on {len(told['ids'])} samples, chosen are {len(chosen.ids)}; {strange[0]} is of one alone"
        return
    expected = dict(zip(chosen.ids, chosen.digests, strict=True))
    found = dict(zip(told["ids"], told["digests"], strict=True))
    if other := [name for name in chosen.ids if found[name] != expected[name]]:
        yield f"calibrated on another {other[0]}: {len(other)} of {len(expected)} samples have other content"
    fed = dict(zip(told["ids"], told["inputs"], strict=True))
    now = dict(zip(chosen.ids, inputs, strict=False))
    if other := [name for name, digest in now.items() if fed[name] != digest]:
        yield f"calibrated on other inputs than the model is fed: {other[0]}, {len(other)} of the first {len(now)}"
