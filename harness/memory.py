"""How much memory something takes at most, beyond what this process held before."""

from __future__ import annotations

import ctypes
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"
"""What makes Linux forget the largest size of a process so far (``man 5 proc``, ``/proc/pid/clear_refs``)."""


@dataclass
class Peak:
    """The most memory that was held, in MiB beyond what was held before; nothing where the system does not tell."""

    mib: float | None = None


@contextmanager
def watched_memory() -> Iterator[Peak]:
    """What it yields knows, on leaving, how much memory was taken at most meanwhile. Linux alone tells."""
    peak = Peak()
    _give_back()
    try:
        RESET.write_text(FORGET_PEAK)
        before = _held("VmRSS")
    except OSError:
        yield peak
        return
    yield peak
    peak.mib = max(0.0, _held("VmHWM") - before)


def _give_back() -> None:
    """Nothing that is no longer used is held, as far as the C library gives it back: else whoever takes it again would
    seem to take nothing."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _held(field: str) -> float:
    found = re.search(rf"^{field}:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{STATUS} has no {field}")
    return int(found[1]) / 1024
