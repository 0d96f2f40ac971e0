"""A tool's output as lines that can be read: however it was cut, coloured or overwritten on the screen."""

from __future__ import annotations

import re

from harness.process.faults import shown
from harness.process.output import readable
from harness.verdict import Broken

Printed = str | bytes | tuple[str, ...]
"""What a tool printed, stdout and stderr together: whole, or as lines."""

NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?:nan|inf)"
"""A number as C, C++ and Python print it; ``nan`` and ``inf`` too, so that they are found, and then refused."""

LARGEST = 1e15
"""No figure of a run is as large, in any unit that the tools print; it keeps arithmetic finite, and NaN is not below it
either."""


def lines_of(printed: Printed) -> tuple[str, ...]:
    """The lines that are not blank, without colours and control characters; tabs stay. A carriage return ends a line
    as a line feed does, because progress bars use it."""
    if isinstance(printed, tuple):
        printed = "\n".join(printed)
    # A lone surrogate cannot be encoded; it is replaced as a damaged byte is.
    raw = printed.encode("utf-8", "replace") if isinstance(printed, str) else printed
    return tuple(text for line in raw.replace(b"\r", b"\n").split(b"\n") if (text := readable(line)).strip())


def unexpected(tool: str, expected: str, found: str | None) -> Broken:
    """The error for a text that is not what it claims: the tool, what was expected, and the line found instead; no
    line where the text ended."""
    what = "the end of the text" if found is None else f"{shown(found)!r}"
    return Broken(f"{tool}: expected {expected}, found {what}; this output is in no layout known here")


def figure(tool: str, text: str, line: str) -> float:
    """A number below ``LARGEST``. Raises ``Broken`` with the line where it is none."""
    value = float(text)
    if not abs(value) < LARGEST:
        raise unexpected(tool, "a finite number", line)
    return value


def pairs(lines: tuple[str, ...], sign: str) -> tuple[tuple[str, str], ...]:
    """Keys and values of lines that hold ``sign`` between them, in order; other lines are left out, and comments."""
    found = (line.partition(sign) for line in lines if sign in line and not line.lstrip().startswith("#"))
    return tuple((key.strip(), value.strip()) for key, _, value in found)


def matches(pattern: re.Pattern[str], lines: tuple[str, ...]) -> tuple[re.Match[str], ...]:
    """Where the pattern is found first in each line that holds it."""
    return tuple(found for line in lines if (found := pattern.search(line)))
