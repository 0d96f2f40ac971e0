"""Folders with sets of words for tests, written from their labels, and what must be read of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.datasets import Sample
from harness.datasets.lmdb_words import write_words
from harness.datasets.word_sets import WordSets

Labels = Sequence[str]


def picture(name: str, number: int) -> bytes:
    """What stands for the picture of a word: no two are equal."""
    return f"picture {number} of {name}".encode()


def build(folder: Path, sets: Mapping[str, Labels], write: Callable[..., int] = write_words) -> Path:
    """Writes sets of words below a folder, by path, from their labels."""
    for name, labels in sets.items():
        (folder / name).mkdir(parents=True)
        write(folder / name, [(picture(name, number), label) for number, label in enumerate(labels, 1)])
    return folder


def read(folder: Path, start: int = 0, **options: object) -> list[Sample]:
    """All samples from one on, the reader closed again."""
    reader = WordSets(folder, **options)
    found = list(reader.samples(start))
    assert len(reader) == len(found) + min(start, len(reader))
    reader.close()
    return found


def expected(sets: Mapping[str, Labels]) -> list[Sample]:
    """Every sample of these sets, in the order in which they are read."""
    return [
        Sample(f"{name}/{number:09d}", picture(name, number), label)
        for name, labels in sorted(sets.items())
        for number, label in enumerate(labels, 1)
    ]
