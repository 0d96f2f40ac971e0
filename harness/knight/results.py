"""Results of the simulator: text files of one output each, in two layouts.

Both are those of writers in the vendor's model zoo that were made to be compared with such files; no file of the
simulator itself is published. In the first, a line ``C[i]:`` stands before each channel, and its values, each followed
by a comma, are on the next line; in the second they are on a line for each row, with blanks between. A header
``SHAPE:(N:1, C:2, H:3, W:4)`` may stand before. Values are whole numbers or floats, channel by channel (the manual:
CHW).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.process.faults import shown
from harness.verdict import Refused

HEADER = re.compile(r"SHAPE:\(N:(\d+), *C:(\d+), *H:(\d+), *W:(\d+)\)")
CHANNEL = re.compile(r"C\[(\d+)\]:")
NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
WHOLE = re.compile(r"[-+]?\d+")


@dataclass(frozen=True)
class Result:
    """The numbers of a result file, flat, channel by channel; ``whole`` where all are printed as whole numbers."""

    values: NDArray[np.float64]
    whole: bool


def read_result(text: str, count: int, name: str = "result") -> Result:
    """The numbers of a result file that should hold ``count``. Raises ``Refused`` naming the channel that is missing,
    out of order, ragged, or holds what is no number, and where the count is another one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    header = HEADER.fullmatch(lines[0]) if lines else None
    channels = list(_channels(lines[1 if header else 0 :], name))
    if header:
        n, c, h, w = map(int, header.groups())
        fits = all((len(rows), len(rows[0])) == ((h, w) if rowwise else (1, h * w)) for rows, rowwise in channels)
        if n != 1 or len(channels) != c or not fits:
            raise Refused(f"{name}: its header says {header[0]}, it holds {_told(channels)}; truncated?")
    tokens = [token for rows, _ in channels for row in rows for token in row]
    if len(tokens) != count:
        raise Refused(
            f"{name}: holds {len(tokens)} numbers in {len(channels)} channels, expected {count}; truncated, or of "
            "another output"
        )
    return Result(np.array(tokens, np.float64), all(map(WHOLE.fullmatch, tokens)))


def result_files(found: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """The result file of each output among the names in a folder: ``result_K_p.txt``, or in the JSON generation
    ``result-OUTPUT_p.txt``, with ``_`` for ``/``. Raises ``Refused`` where one has none, or two."""
    files = []
    for number, output in enumerate(outputs):
        names = (f"result_{number}_p.txt", f"result-{output.replace('/', '_')}_p.txt")
        there = [name for name in names if name in found]
        if len(there) != 1:
            others = ", ".join(sorted(name for name in found if name.startswith("result"))) or "none"
            raise Refused(
                f"simulator: expected {names[0]} or {names[1]} for the output {output}, found {shown(others)}; it said "
                "nothing against it"
            )
        files += there
    return files


def differing(simulated: Result, quantised: NDArray[Any]) -> int:
    """How many numbers of a result are not those of the quantised graph: whole numbers must be the same, and floats as
    far as six decimals tell."""
    allowed = 0.0 if simulated.whole else 1e-6
    return int(np.count_nonzero(~(np.abs(simulated.values - quantised.astype(np.float64).ravel()) <= allowed)))


def _channels(lines: Sequence[str], name: str) -> Iterator[tuple[list[list[str]], bool]]:
    """The rows of each channel, in order, and whether it is written row by row."""
    starts = [number for number, line in enumerate(lines) if CHANNEL.match(line)]
    if not starts or starts[0] != 0:
        first = shown(lines[0]) if lines else "nothing"
        raise Refused(f"{name}: expected a line C[0]: first, found {first!r}; neither of the layouts that are known")
    for channel, (start, end) in enumerate(pairwise([*starts, len(lines)])):
        marked = CHANNEL.match(lines[start])
        if marked is None or int(marked[1]) != channel:
            raise Refused(f"{name}: {lines[start][:20]!r} in the place of channel {channel}; one is missing or twice")
        rest = lines[start][marked.end() :].strip()
        texts = [*([rest] if rest else []), *lines[start + 1 : end]]
        yield _rows(texts, f"{name}: channel {channel}")


def _rows(texts: Sequence[str], where: str) -> tuple[list[list[str]], bool]:
    with_commas = [text for text in texts if "," in text]
    if with_commas:
        if len(texts) != 1 or not texts[0].endswith(","):
            raise Refused(
                f"{where}: expected one line with a comma after each value, found {len(texts)} lines; truncated?"
            )
        rows = [[token.strip() for token in texts[0][:-1].split(",")]]
    else:
        rows = [text.split() for text in texts]
    if not rows:
        raise Refused(f"{where}: holds nothing; truncated?")
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise Refused(f"{where}: row {number} has {len(row)} values, row 0 has {len(rows[0])}; ragged or truncated")
        for token in row:
            if not NUMBER.fullmatch(token):
                raise Refused(f"{where}: row {number} holds {token[:20]!r}, which is no finite number")
    return rows, not with_commas


def _told(channels: Sequence[tuple[list[list[str]], bool]]) -> str:
    shapes = dict.fromkeys(f"{len(rows)} rows of {len(rows[0])}" for rows, _ in channels)
    total = sum(prod((len(rows), len(rows[0]))) for rows, _ in channels)
    return f"{total} numbers in {len(channels)} channels ({', '.join(shapes)})"
