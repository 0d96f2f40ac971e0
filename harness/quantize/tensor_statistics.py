"""What a tensor held over the calibration samples, and a file of it for all tensors of a graph."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.quantize.histogram import BINS, Histogram, histogram
from harness.verdict import Refused

STATISTICS = "statistics.npz"
"""The file of statistics in an artefact."""
COLUMNS = {"names": "U", "lowest": "f", "highest": "f", "exponents": "i", "bins": "i"}
"""The arrays of such a file, a row for each tensor, and the kind of numbers in each."""


@dataclass(frozen=True)
class TensorStatistics:
    """The smallest and the largest number of a tensor, and the histogram of all absolute ones."""

    lowest: float
    highest: float
    values: Histogram

    @property
    def largest(self) -> float:
        """The largest absolute number."""
        return max(-self.lowest, self.highest)

    @property
    def constant(self) -> bool:
        """Whether it always held one and the same number."""
        return self.lowest == self.highest

    def merged(self, other: TensorStatistics) -> TensorStatistics:
        """Those of all that either is of."""
        return TensorStatistics(
            min(self.lowest, other.lowest), max(self.highest, other.highest), self.values.merged(other.values)
        )


def statistics_of(array: NDArray[np.float32]) -> TensorStatistics:
    """The statistics of an array that holds something. Raises ``ValueError`` where a number is NaN or infinite."""
    lowest, highest = float(array.min()), float(array.max())
    if not np.isfinite((lowest, highest)).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise ValueError(f"{bad} of {array.size} numbers are NaN or infinite")
    return TensorStatistics(lowest, highest, histogram(array, max(-lowest, highest)))


def write_statistics(path: Path, statistics: Mapping[str, TensorStatistics]) -> None:
    """Statistics by tensor as compressed arrays, no pickles; the same bytes for the same statistics."""
    names = sorted(statistics)
    rows = [statistics[name] for name in names]
    np.savez_compressed(
        path,
        names=np.array(names, np.str_),
        lowest=np.array([row.lowest for row in rows], np.float32),
        highest=np.array([row.highest for row in rows], np.float32),
        exponents=np.array([row.values.exponent for row in rows], np.int32),
        bins=np.array([row.values.bins for row in rows], np.int64).reshape(-1, BINS),
    )


def read_statistics(path: Path) -> dict[str, TensorStatistics]:
    """Statistics by tensor. Raises ``Refused`` where the file is damaged or is none."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            columns = {name: held[name] for name in COLUMNS}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise Refused(f"{path}: not a file of statistics: {type(error).__name__}: {error}; build it anew") from error
    count = len(columns["names"])
    for name, kind in COLUMNS.items():
        shape = (count, BINS) if name == "bins" else (count,)
        if columns[name].shape != shape or columns[name].dtype.kind != kind:
            found = f"{columns[name].dtype}{list(columns[name].shape)}"
            raise Refused(f"{path}: {name} is {found}, expected kind {kind!r} and {list(shape)}; build it anew")
    rows = zip(*(columns[name] for name in COLUMNS), strict=True)
    return {
        str(name): TensorStatistics(float(lowest), float(highest), Histogram(int(exponent), bins))
        for name, lowest, highest, exponent, bins in rows
    }
