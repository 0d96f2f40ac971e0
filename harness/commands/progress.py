"""How far long work is, on standard error now and then, so that standard output has results alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
EVERY = 2.0
"""Seconds between two lines; work that takes less says nothing."""


def watched(steps: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Passes the steps on, and says after a while how many are done, of how many, and how long the rest will take."""
    began = last = time.monotonic()
    for done, step in enumerate(steps, 1):
        yield step
        now = time.monotonic()
        if now - last >= EVERY:
            last = now
            rate = done / (now - began)
            sys.stderr.write(f"{what}: {done} of {total}, {rate:.0f}/s, about {(total - done) / rate:.0f} s left\n")
