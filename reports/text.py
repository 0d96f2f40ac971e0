"""Text as every report shows it: on one line, and of bounded length."""

from __future__ import annotations

NONE = "-"
"""What a cell without a figure shows."""
LONGEST = 600
"""Characters of one cell or bullet; a traceback that got into a reason must not bury the report."""


def plain(text: str) -> str:
    """The text on one line, in which nothing moves a cursor or fails to be encoded."""
    line = " ".join(text.split())
    return "".join(character if character.isprintable() else "?" for character in line)


def shortened(line: str, most: int = LONGEST) -> str:
    """The line, cut after ``most`` characters where it is longer, and how long it was."""
    return line if len(line) <= most else f"{line[:most]}... ({len(line)} characters)"
