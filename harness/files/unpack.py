"""Files out: what somebody else's tool wrote for packed samples, read back and checked file by file.

A folder holds one file for each sample, or batch, and output of the model, all in one format: raw numbers (``.bin``),
NumPy's (``.npy``) or text (``.txt``). Whatever is not as expected is named, with what was found, before anything is
scored; what only shows inside a file, before anything is said of the score.

What no file says cannot be checked. Raw numbers are known by their count alone: as many numbers in another order, or
the output of another sample, are read as they lie, and show in the accuracy, or in goldens where a reference has them.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backends import Outputs
from harness.files.formats import READERS, SIZE, Misfit, as_declared, other_size, read_items, sizes_of, suffix_of
from harness.files.packed import span
from harness.model import Model
from harness.sizes import TensorSpec
from harness.verdict import Broken, Refused

NAMED = 3
"""Faults of each kind that are named; of the others it is said how many there are."""

LEFT_BY_TOOLS = ("sumary.json", "summary.json")
"""What ais_infer before 2022-11 leaves between its outputs, as its code and as the vendor's page of CRNN spell it."""


class Faults:
    """What is wrong with a folder of outputs: the first faults of each kind, and how many there are."""

    def __init__(self, folder: Path, expected: str) -> None:
        self._where = f"{folder}: expected {expected}"
        self._named: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, kind: str, text: str) -> None:
        """Takes a fault; ``text`` begins with the name of the file."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        named = self._named.setdefault(kind, [])
        if len(named) < NAMED:
            named.append(text)

    def settle(self) -> None:
        """Raises ``Refused`` where there was any fault."""
        if self:
            told = (self._kind(kind, named) for kind, named in self._named.items())
            raise Refused(f"{self._where}; {'; '.join(told)}")

    def _kind(self, kind: str, named: Sequence[str]) -> str:
        count = self._counts[kind]
        more = f" and {count - len(named)} more" if count > len(named) else ""
        return f"{count} {kind}: {', '.join(named)}{more}"


class OutputFolder:
    """A folder with the outputs of a model for samples, ``held`` of them a file; ``ids`` are the samples'.

    Names are those of the model's layout, with outputs counted from 0 or all from 1, or msame's (the input's name,
    ``_output_``, k from 0), in upper or lower case; without ``first``, files are numbered as in the layout. What a last
    file holds beyond the samples is left out. Raises ``Refused`` where files are missing, unexpected, there twice,
    counted both ways, in several formats, or of another size; ``Broken`` where the folder cannot be read.
    """

    def __init__(
        self, folder: Path, model: Model, ids: Sequence[str], *, first: int | None = None, held: int = 1
    ) -> None:
        self._folder = folder
        self._model = model
        self._ids = ids
        self._held = held
        self._first = model.layout.first if first is None else first
        self._count = -(-len(ids) // held)
        self._outputs = len(model.outputs)
        self._sizes = [sizes_of(spec, held) for spec in model.outputs]
        self._types: dict[str, set[str]] = {}
        entries = _entries(folder)
        self.counted_from = self._counted_from(entries)
        """The number of the first output in the names of all files."""
        self._files = self._inventory(entries)
        self.suffix = suffix_of(self._files[0])
        """The format of all files."""

    @property
    def told(self) -> str:
        """``test_1_0 to test_8_0``: the names of the first file and the last, without suffix."""
        return f"{self._name(0, 0)} to {self._name(self._count - 1, self._outputs - 1)}"

    @property
    def types(self) -> Mapping[str, Sequence[str]]:
        """Of each output that has whole numbers of other types than the declared, as far as it is read: these types.
        What is all zeros tells none."""
        return {name: sorted(types) for name, types in self._types.items()}

    def batches(self, size: int) -> Iterator[Outputs]:
        """The outputs of ``size`` samples after the other, the last of fewer, each as the model declares it.

        From the first fault on nothing is yielded, and ``Refused`` tells all of them at the end: what is not in its
        format, of another type, shape or size, NaN or infinite.
        """
        faults = self._faults()
        items = [self._items(k, faults) for k in range(self._outputs)]
        for start in range(0, len(self._ids), size):
            ids = self._ids[start : start + size]
            values = {
                spec.name: self._block(range(start, start + len(ids)), k, items[k], faults)
                for k, spec in enumerate(self._model.outputs)
            }
            if not faults:
                yield Outputs(tuple(ids), values)
        for each in items:
            deque(each, 0)  # what stands behind the last sample in its file
        faults.settle()

    def _items(self, k: int, faults: Faults) -> Iterator[NDArray[Any]]:
        """The k-th output of each sample, in order; zeros for one that cannot be read."""
        spec = self._model.outputs[k]
        for number in range(self._count):
            name, ids = self._files[number * self._outputs + k], self._ids_of(number)
            left = len(ids)
            try:
                for item in read_items(f"{self._folder}/{name}", spec, self._held):
                    if left:
                        value = self._declared(item, spec)
                        left -= 1
                        yield value
            except Misfit as misfit:
                faults.add(misfit.kind, f"{name} of {span(ids)} {misfit}")
            except OSError as error:
                raise Broken(f"{self._folder}/{name}: cannot be read: {error.strerror}") from error
            for _ in range(left):
                yield np.zeros(spec.item, spec.dtype)

    def _declared(self, item: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
        """An item in the declared type; notes the one that it has."""
        value = as_declared(item, spec)
        if value is not item and item.dtype.name != spec.dtype and item.any():
            self._types.setdefault(spec.name, set()).add(item.dtype.name)
        return value

    def _block(self, numbers: range, k: int, items: Iterator[NDArray[Any]], faults: Faults) -> NDArray[Any]:
        """The k-th output of consecutive samples, stacked along its batch axis."""
        spec = self._model.outputs[k]
        block = np.stack(list(islice(items, len(numbers))))
        if block.dtype.kind == "f":
            finite = np.isfinite(block).reshape(len(numbers), -1)
            for bad_row in np.flatnonzero(~finite.all(axis=1)).tolist():
                number = numbers[bad_row]
                name = f"{self._files[number // self._held * self._outputs + k]} of {self._ids[number]}"
                bad = finite.shape[1] - int(finite[bad_row].sum())
                faults.add("not finite", f"{name} holds {bad} of {finite.shape[1]} numbers that are NaN or infinite")
        return np.ascontiguousarray(np.moveaxis(block, 0, spec.batch_axis))

    def _counted_from(self, entries: Sequence[os.DirEntry[str]]) -> int:
        """The number of the first output in names: ais_infer, ais_bench, msame begin with 0, benchmark.x86_64 with 1.

        Raises ``Refused`` where there are names of both: where a model has two outputs and more, a name that is good in
        either stands for different ones. Source: postpossess_CRNN_pytorch.py in Ascend/ModelZoo-PyTorch, which reads
        test_1_1.bin at 05360171, for the older tool, and test_1_0.bin at afb99041.
        """
        from_0, from_1 = self._places(0), self._places(1)
        names = [(_stem(entry.name), entry.name) for entry in entries]
        zero = next((name for stem, name in names if stem in from_0 and stem not in from_1), None)
        one = next((name for stem, name in names if stem in from_1 and stem not in from_0), None)
        if zero and one:
            raise Refused(
                f"{self._folder}: outputs counted from 0 ({zero}) and from 1 ({one}), as of two tools; expected one "
                "way for all, leave those of one tool there"
            )
        return 1 if one else 0

    def _inventory(self, entries: Sequence[os.DirEntry[str]]) -> list[str]:
        """The file of each output of each sample or batch, in order, after one look at the folder."""
        places = self._places(self.counted_from)
        found: dict[int, list[os.DirEntry[str]]] = {}
        faults = self._faults()
        for entry in entries:
            place = places.get(_stem(entry.name))
            if place is not None and entry.is_file():
                found.setdefault(place, []).append(entry)
            elif not entry.name.startswith(".") and entry.name not in LEFT_BY_TOOLS:
                faults.add("unexpected", f"{entry.name} (a folder; are they in it?)" if entry.is_dir() else entry.name)
        formats = Counter(suffix_of(entry.name) for entries in found.values() for entry in entries)
        usual = formats.most_common(1)[0][0] if formats else ""
        for place in range(self._count * self._outputs):
            self._check(place, found.get(place, []), usual, faults)
        faults.settle()
        return [found[place][0].name for place in range(len(found))]

    def _check(self, place: int, entries: Sequence[os.DirEntry[str]], usual: str, faults: Faults) -> None:
        """Adds the fault of one output's file that shows without reading it, if there is any."""
        number, k = divmod(place, self._outputs)
        of = span(self._ids_of(number))
        if not entries:
            faults.add("missing", f"{self._name(number, k)}{usual} of {of}")
        elif len(entries) > 1:
            faults.add("there twice", f"{' and '.join(entry.name for entry in entries)} of {of}")
        elif suffix_of(entries[0].name) != usual:
            faults.add(f"in another format than {usual}, as of another run", f"{entries[0].name} of {of}")
        elif usual == ".bin" and (size := _size(entries[0])) not in self._sizes[k]:
            faults.add(SIZE, f"{entries[0].name} of {of} {other_size(size, self._model.outputs[k], self._held)}")

    def _places(self, start: int) -> dict[str, int]:
        """Where each name, without suffix and in lower case, belongs in the order of samples and outputs, if outputs
        are counted from ``start``."""
        layout = self._model.layout
        found: dict[str, int] = {}
        for number in range(self._count):
            file = layout.input.format(i=self._first + number)
            stem = file.rpartition(".")[0] or file
            for k in range(self._outputs):
                names = [layout.output.format(i=self._first + number, k=start + k)]
                names += [f"{stem}_output_{k}"] if start == 0 else []
                found |= {name.lower(): number * self._outputs + k for name in names}
        return found

    def _name(self, number: int, k: int) -> str:
        return self._model.layout.output.format(i=self._first + number, k=self.counted_from + k)

    def _ids_of(self, number: int) -> Sequence[str]:
        """The samples that a file holds, each of them once."""
        return self._ids[number * self._held : (number + 1) * self._held]

    def _faults(self) -> Faults:
        return Faults(self._folder, f"{self._count * self._outputs} files {self.told} ({' or '.join(READERS)})")


def _stem(name: str) -> str:
    """A name without suffix and in lower case; empty where the suffix is none that is read."""
    stem, _, suffix = name.lower().rpartition(".")
    return stem if f".{suffix}" in READERS else ""


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name. Raises ``Broken`` where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise Broken(f"{folder}: no readable folder of outputs: {error.strerror}") from error


def _size(entry: os.DirEntry[str]) -> int:
    """The size of a file. Raises ``Broken`` where it has gone since the folder was looked at."""
    try:
        return entry.stat().st_size
    except OSError as error:
        raise Broken(f"{entry.path}: cannot be read: {error.strerror}") from error
