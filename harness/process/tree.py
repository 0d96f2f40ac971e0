"""A process and all that it started: found and ended, however far the children have moved away.

Three marks are looked for, because a child can lose any of them: the session that the process leads (a daemon leaves
it), a cookie in the environment (``env -i`` and ``sudo`` drop it), and the descent from the process (an orphan has
lost it). What a daemon starts on behalf of a tool, as docker does, carries none: a container is ended by its name.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil  # type: ignore[import-untyped]

COOKIE = "CONFORMANCE_PROCESS_"
"""How the names of cookies begin. A name of its own for each process, so that a run within a run carries both."""

GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL: tools hand devices back in their signal handlers."""
STUCK = 5.0
"""Seconds after which a process that SIGKILL does not end is given up: it waits in the kernel, for a driver."""
POLL = 0.05


def new_cookie() -> str:
    """The name of an environment variable that no other process carries."""
    return COOKIE + uuid.uuid4().hex


class Tree:
    """A running process that leads a session of its own, was given a cookie, and has not been waited for."""

    def __init__(self, process: subprocess.Popen[bytes], cookie: str) -> None:
        self.process = process
        self._cookie = cookie

    def ended(self) -> bool:
        """Whether the process itself has ended. It is left to be waited for: until then no other process is given its
        number, which is also that of the session."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, how) is not None

    def living(self) -> list[psutil.Process]:
        """Every process of the tree that still runs."""
        found = {process for process in (*self._marked(), *self._descendants()) if process.pid != self.process.pid}
        # The process itself is asked otherwise: where its first thread ended before the others, it looks dead.
        own = [] if self.ended() else [psutil.Process(self.process.pid)]
        return own + [process for process in found if _is_running(process)]

    def end(self, pause: Callable[[float], object]) -> list[psutil.Process]:
        """Ends every process of the tree, SIGTERM first, and waits for the process itself; what cannot be ended.

        ``pause`` lets a time pass and takes what is printed meanwhile: a process that waits for a reader does not end.
        """
        try:
            asked = self.living()
            for process in asked:
                with suppress(psutil.Error):
                    process.terminate()
            until = time.monotonic() + GRACE
            while any(map(_is_running, asked)) and time.monotonic() < until:
                pause(POLL)
        finally:
            # Also after a second interrupt: nothing is left behind.
            left = self._kill()
            self.process.poll()
        return left

    def _kill(self) -> list[psutil.Process]:
        until = time.monotonic() + STUCK
        # Searched again and again: a process may fork between being found and being killed.
        while (left := self.living()) and time.monotonic() < until:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(POLL / 5)
        return left

    def _marked(self) -> Iterator[psutil.Process]:
        for pid in psutil.pids():
            with suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                if os.getsid(pid) == self.process.pid or self._cookie in process.environ():
                    yield process

    def _descendants(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
            return found
        return []


def _is_running(process: psutil.Process) -> bool:
    """Whether it runs still; one that has ended and is not waited for by its parent does not."""
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
