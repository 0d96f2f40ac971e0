"""The order of names in which numbers count as numbers."""

from __future__ import annotations

import re


def natural_order(text: str) -> list[tuple[bool, int, str]]:
    """A key that sorts ``bs8`` before ``bs16``."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"([0-9]+)", text)]
