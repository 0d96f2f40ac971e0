"""What a process prints: all of it, raw, in a log as it comes; its first and last lines, readable, in memory."""

from __future__ import annotations

import os
import re
import select
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from harness.verdict import Broken

FIRST_LINES = 500
LAST_LINES = 5000
LINE_BYTES = 4096
"""What is kept in memory: 22 MB at most, whatever a tool prints."""

BLOCK = 1 << 16
PIPE_BLOCKS = 16
"""Blocks that may still lie in a pipe once nobody writes: 1 MiB is as large as Linux lets a process make one."""

# Escape sequences (colours, cursor, window title, character set), then every other control character but the tab:
# a failure line is shown in somebody's terminal, which must not obey what a tool printed.
CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]+[0-~]|\x1b[0-Z\\^-~]"
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)


class Lines:
    """The lines of a stream, the same however it is cut into chunks.

    They end at a carriage return as well as at a line feed, as progress bars do; blank ones are left out. The first
    ``FIRST_LINES`` and the last ``LAST_LINES`` are kept, and of each ``LINE_BYTES``.
    """

    def __init__(self) -> None:
        self._first: list[bytes] = []
        self._last: deque[bytes] = deque(maxlen=LAST_LINES)
        self._rest = b""
        self._count = 0

    def add(self, chunk: bytes) -> None:
        """Takes the next bytes of the stream."""
        # Replaced and split, which is ten times as fast as splitting by a pattern.
        *whole, rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            self._keep(line)
        # One byte more than is kept of a line tells later that it was longer.
        self._rest = rest[: LINE_BYTES + 1]

    def finish(self) -> tuple[tuple[str, ...], int]:
        """The lines kept, and how many between the first and the last were not."""
        self._keep(self._rest)
        self._rest = b""
        kept = (*self._first, *self._last)
        return tuple(text for line in kept if (text := readable(line))), self._count - len(kept)

    def _keep(self, line: bytes) -> None:
        if not line.strip():
            return
        self._count += 1
        (self._first if len(self._first) < FIRST_LINES else self._last).append(line[: LINE_BYTES + 1])


def readable(line: bytes) -> str:
    """A line as text: UTF-8 with replacement, no escape sequences or control characters, no blanks at its end."""
    text = CONTROL.sub("", line[:LINE_BYTES].decode("utf-8", "replace")).rstrip()
    return f"{text} ..." if len(line) > LINE_BYTES else text


class Log:
    """A file that takes bytes as they come, each at once. Raises ``Broken`` where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            self._file = path.open("wb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> None:
        """Adds all of the bytes."""
        with self._explained():
            while content:  # a disk that fills up takes a part first
                content = content[self._file.write(content) :]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Broken(
                f"the log {self.path} cannot be written: {error}; free space, or choose another folder", log=self.path
            ) from error


class Output:
    """The reading end of a process's pipe."""

    def __init__(self, pipe: IO[bytes], log: Log) -> None:
        self.lines = Lines()
        self.size = 0
        self.closed = False
        """Whether every process that could write has ended or turned away."""
        self._pipe = pipe.fileno()
        self._log = log
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)

    def take(self, seconds: float) -> bool:
        """Waits that long at most and takes what was printed, a block at most; whether there was anything."""
        if self.closed:
            time.sleep(seconds)
            return False
        if not self._poll.poll(seconds * 1000):
            return False
        chunk = os.read(self._pipe, BLOCK)
        self.closed = not chunk
        self._log.write(chunk)
        self.lines.add(chunk)
        self.size += len(chunk)
        return bool(chunk)

    def drain(self) -> None:
        """Takes what still lies in the pipe. Ends also where a process that nobody could end goes on writing."""
        for _ in range(PIPE_BLOCKS):
            if not self.take(0):
                return
