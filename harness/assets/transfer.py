"""Files from a server, by pooch: asked for by somebody, never by a run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from harness.verdict import Broken

CHUNK = 1 << 16
SILENCE = 30.0
"""Seconds that a server may say nothing."""
EVERY = 2.0
"""Seconds between two lines about a transfer that lasts."""


def transfer(url: str, to: Path) -> None:
    """The file at a URL lies at ``to``, as long as its server said it is. Raises ``Broken`` naming the URL."""
    from pooch import HTTPDownloader  # type: ignore[import-untyped]

    try:
        HTTPDownloader(progressbar=_Progress(url), chunk_size=CHUNK, timeout=SILENCE)(url, str(to), None)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk
            raise
        raise Broken(f"{url} could not be fetched: {error}; what arrived was discarded") from error


class _Progress:
    """What pooch tells a progress bar, as a line on standard error now and then."""

    def __init__(self, url: str) -> None:
        self.name = url.rpartition("/")[2]
        self.total = 0
        self._done = 0
        self._last = time.monotonic()

    def update(self, size: int) -> None:
        self._done += size
        if time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            total = f" of {self.total / 1e6:.1f}" if self.total else ""
            sys.stderr.write(f"{self.name}: {self._done / 1e6:.1f}{total} MB\n")

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        self._last = time.monotonic()
