"""Text as Markdown: whatever an answer says, a row stays a row and a bullet stays a bullet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reports.text import plain, shortened

MARKUP = re.compile(r"[\\`*\[\]<|~]|(?<!\w)_|_(?!\w)")


def escape(text: str) -> str:
    """The text on one line, in which nothing is markup and nothing moves a terminal's cursor."""
    return MARKUP.sub(r"\\\g<0>", shortened(plain(text)))


def heading(text: str) -> str:
    """A second-level heading."""
    return f"## {escape(text)}"


def bullet(text: str) -> str:
    """An item of a list."""
    return f"- {escape(text)}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; every row has as many cells as the header."""
    lines = [_row(header), "|" + "---|" * len(header)]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row of {len(row)} cells under a header of {len(header)}: {row}")
        lines.append(_row(row))
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escape(cell) for cell in cells)} |"
