"""A data set without some of its samples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from harness.datasets import DataSetReader, Sample


class HeldOut:
    """The samples of another reader, in its order, but for those of some ids: numbers count what is left.

    ``met`` holds the ids that were left out so far.
    """

    def __init__(self, reader: DataSetReader, left_out: Collection[str]) -> None:
        self._reader = reader
        self._left_out = left_out
        self.met: set[str] = set()

    def __len__(self) -> int:
        """Where all that is left out lies in this set."""
        return len(self._reader) - len(self._left_out)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every sample that is left from number ``start`` on; those before it are read too."""
        return islice(self._left(), start, None)

    def facts(self) -> Mapping[str, int | str]:
        """Those of the other reader."""
        return self._reader.facts()

    def close(self) -> None:
        """Closes the other reader."""
        self._reader.close()

    def _left(self) -> Iterator[Sample]:
        for sample in self._reader.samples():
            if sample.id in self._left_out:
                self.met.add(sample.id)
            else:
                yield sample
