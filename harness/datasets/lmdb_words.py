"""Words in the LMDB layout of the text-recognition benchmarks.

Keys ``num-samples``, ``image-%09d`` and ``label-%09d``, counted from 1; pictures encoded, labels UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import lmdb

from harness.datasets import DataError, Sample

DATA = "data.mdb"
LAYOUT = "expected the layout of the text-recognition benchmarks: num-samples, image-000000001, label-000000001, ..."


class LmdbWords:
    """An LMDB folder of words, read-only. Sample ids are ``<name>/<number>``, the same wherever the folder lies.

    Raises ``DataError`` where it is no such LMDB, has no ``num-samples`` or is empty.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        self.folder = folder
        self.name = name or folder.name
        if not (folder / DATA).is_file():
            raise DataError(f"{folder}: holds no {DATA}; {LAYOUT}")
        try:
            self._env = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
        except lmdb.Error as error:
            # One process can open an environment once; that is no damage.
            kind = "" if "already open" in str(error) else ", damaged or truncated"
            raise DataError(f"{folder}/{DATA}: not a readable LMDB{kind}: {error}") from error
        try:
            self._check_size()
            self._count = self._number_of_samples()
        except BaseException:
            self._env.close()
            raise

    def __len__(self) -> int:
        return self._count

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every word from number ``start`` on; a key that is missing raises ``DataError`` naming it."""
        return (self.sample(number) for number in range(start, self._count))

    def sample(self, number: int) -> Sample:
        """The word of a number, from 0: key ``image-000000001`` is that of number 0."""
        truth = self._truth(number)
        return Sample(f"{self.name}/{number + 1:09d}", self._get(f"image-{number + 1:09d}"), truth)

    def truths(self) -> Iterator[str]:
        """The label of every word, in order; no picture is read."""
        return map(self._truth, range(self._count))

    def facts(self) -> Mapping[str, int | str]:
        """Nothing beyond the words themselves."""
        return {}

    def close(self) -> None:
        """Gives the file back."""
        self._env.close()

    def _truth(self, number: int) -> str:
        label = self._get(f"label-{number + 1:09d}")
        try:
            return label.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{self.folder}: label-{number + 1:09d} is not UTF-8: {label[:40]!r}") from error

    def _check_size(self) -> None:
        """LMDB maps the file: reading beyond the end of a truncated one kills the process, so the size comes first."""
        whole = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        size = (self.folder / DATA).stat().st_size
        if size < whole:
            raise DataError(f"{self.folder}/{DATA}: truncated, it has {size} of {whole} bytes; fetch it again")

    def _number_of_samples(self) -> int:
        text = self._get("num-samples")
        try:
            count = int(text)
        except ValueError as error:
            raise DataError(f"{self.folder}: num-samples is {text[:20]!r}, not a number; {LAYOUT}") from error
        if count < 1:
            raise DataError(
                f"{self.folder}: the data set is empty (num-samples {count}); nothing can be measured on it"
            )
        return count

    def _get(self, key: str) -> bytes:
        try:
            with self._env.begin() as transaction:
                value = transaction.get(key.encode())
        except lmdb.Error as error:
            raise DataError(f"{self.folder}/{DATA}: cannot be read at key {key}: {error}") from error
        if value is None:
            raise DataError(f"{self.folder}: the key {key!r} is missing; {LAYOUT}")
        return bytes(value)


def write_words(folder: Path, words: Iterable[tuple[bytes, str]]) -> int:
    """Writes encoded pictures and labels as such an LMDB into an existing folder, in batches; returns how many."""
    count = 0
    with lmdb.open(str(folder), map_size=1 << 34, lock=False, sync=False) as env:
        transaction = env.begin(write=True)
        for count, (picture, label) in enumerate(words, start=1):
            transaction.put(f"image-{count:09d}".encode(), picture)
            transaction.put(f"label-{count:09d}".encode(), label.encode())
            if count % 1000 == 0:
                transaction.commit()
                transaction = env.begin(write=True)
        transaction.put(b"num-samples", str(count).encode())
        transaction.commit()
        env.sync(True)
    return count
