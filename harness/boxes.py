"""Places of text in a picture, and the one line of JSON that holds all of one picture's.

A truth is written as PaddleOCR's label files have it, an answer likewise with a score for its text. Places are in
pixels of the picture, x to the right and y down, from its upper left corner.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Point = tuple[int, int]
Quad = tuple[Point, Point, Point, Point]

IGNORED = "###"
"""The text of a place that nobody could read: finding it is neither right nor wrong. PaddleOCR takes ``*`` so too; the
published labels of ICDAR 2015 have none."""
FARTHEST = 10_000_000
"""No picture reaches so far; beyond it areas are no exact numbers."""
DIGITS = 4
"""Of a written score: what differs after them is no difference of answers."""


@dataclass(frozen=True)
class Region:
    """A place of text as a person told it: its four corners in order, and what is written there."""

    points: Quad
    text: str

    @property
    def ignored(self) -> bool:
        """Whether finding it counts for nothing."""
        return self.text == IGNORED


@dataclass(frozen=True)
class Box:
    """A place of text as it was found: its four corners in order, and how sure that is, 0 to 1 from a sound map."""

    points: Quad
    score: float


def write_truth(regions: Sequence[Region]) -> str:
    """One line of JSON that ``read_truth`` reads back, in ASCII so that nothing in a text ends the line."""
    return json.dumps([{"transcription": region.text, "points": region.points} for region in regions])


def read_truth(line: str) -> list[Region]:
    """The regions of a line. Raises ``ValueError`` saying what of it is not as ``write_truth`` writes it."""
    return [
        Region(_quad(entry["points"], where), _text(entry["transcription"], where))
        for where, entry in _entries(line, ("transcription", "points"))
    ]


def write_boxes(boxes: Sequence[Box]) -> str:
    """One line of JSON that ``read_boxes`` reads back, with scores rounded to four digits."""
    return json.dumps([{"points": box.points, "score": round(box.score, DIGITS)} for box in boxes])


def read_boxes(line: str) -> list[Box]:
    """The boxes of a line. Raises ``ValueError`` saying what of it is not as ``write_boxes`` writes it."""
    return [
        Box(_quad(entry["points"], where), _score(entry["score"], where))
        for where, entry in _entries(line, ("points", "score"))
    ]


def _entries(line: str, keys: tuple[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a JSON list with exactly these keys, each with its place for messages."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{line[:60]!r} is no JSON: {error}; expected a list of {' and '.join(keys)}") from error
    if not isinstance(found, list):
        raise ValueError(f"{line[:60]!r} is no list; expected one of objects with {' and '.join(keys)}")
    for place, entry in enumerate(found):
        if not isinstance(entry, dict) or set(entry) != set(keys):
            raise ValueError(f"entry {place}: {str(entry)[:60]!r}; expected an object with {' and '.join(keys)}")
    return [(f"entry {place}", entry) for place, entry in enumerate(found)]


def _quad(value: Any, where: str) -> Quad:
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_point, value)):
        raise ValueError(
            f"{where}: points {str(value)[:60]!r}; expected four [x, y] of whole numbers, at most {FARTHEST} from 0"
        )
    first, second, third, fourth = ((point[0], point[1]) for point in value)
    return first, second, third, fourth


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int and abs(n) <= FARTHEST for n in value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: transcription {str(value)[:60]!r}; expected a text")
    return value


def _score(value: Any, where: str) -> float:
    # A bool is an int; NaN is JSON to Python alone. A network that is broken may well be more than sure.
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{where}: score {str(value)[:60]!r}; expected a finite number")
    return float(value)
