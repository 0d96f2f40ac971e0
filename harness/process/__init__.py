"""The one place where programs of others are run: vendor tools, converters, containers.

A program gets an argument list (never a shell), a declared environment, a folder, no input and a time limit. All that
it prints goes to a log as it comes, and however it ends, nothing that it started is left running. What its answer
means is the caller's to say: exit codes of vendor tools lie, so text, artefact and code are checked together.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, cast

from harness.process.faults import ending, error_lines, fault, shown
from harness.process.output import Log, Output
from harness.process.tree import COOKIE, POLL, Tree, new_cookie
from harness.verdict import Broken, Refused

notes = logging.getLogger(__name__)

PASSED_ON = (
    "PATH",  # where tools are found, and what they call
    "HOME",  # their settings and caches; Ascend keeps its own logs below it
    "USER",  # what they call their caches and locks, where the user id has no name in the container
    "TMPDIR",  # where there is room for their temporary files
    "LD_LIBRARY_PATH",  # the toolkit's libraries, as its set-up script names them
)
"""What a program sees of our environment besides the cookies; the rest it is told, or does not know."""

FIXED = {
    # Errors stay in English and numbers keep their point, whatever the machine speaks: both are read by us.
    "LC_ALL": "C.UTF-8",
    # Tools in Python print line by line: in order with their native parts, and nothing is lost when they are ended.
    "PYTHONUNBUFFERED": "1",
}

LOG_BYTES = 1 << 30
"""A tool that prints more than this does not end by itself, and would fill the disk."""
SETTLE = 1.0
"""Seconds that children who still hold the output get once the tool has ended: a ``tee`` has yet to write the end."""

PLAIN = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Finished:
    """A program that has ended by itself. ``code`` is negative for a signal; ``lines`` are the first and the last that
    it printed, ``left_out`` were between them, and ``log`` has all, as it was printed."""

    arguments: tuple[str, ...]
    code: int
    lines: tuple[str, ...]
    left_out: int
    log: Path
    seconds: float

    @property
    def ended(self) -> str:
        """How it ended: its exit code, or the signal."""
        return ending(self.code)

    @property
    def errors(self) -> tuple[str, ...]:
        """The last lines that look like errors; where none does, the very last ones."""
        return error_lines(self.lines)

    def failure(self, found: str) -> Broken | Refused:
        """What to raise where the caller found that the tool did not do its work, and says in what way: ``Broken``
        where text or code blame the environment, else ``Refused``."""
        how = f"{found}; {self.ended} after {self.seconds:.1f} s"
        blamed = fault(self.lines, self.code)
        if blamed:
            how = f"{how}; {blamed.what}: {blamed.line}; {blamed.remedy}"
            return Broken(_told(self.arguments, how, self.log), log=self.log)
        return Refused(_told(self.arguments, f"{how}; {_joined(self.errors)}", self.log), log=self.log)


def run(
    arguments: Sequence[str | Path],
    *,
    folder: Path,
    log: Path,
    timeout: float,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Finished:
    """A program that has run to its end in ``folder``, with nothing left of what it started.

    The first argument is a name, looked for on PATH, or an absolute path. ``environment`` adds to ``PASSED_ON`` and
    ``FIXED`` or replaces them; standard input is empty; ``timeout`` is in seconds. Raises ``Broken`` where the program
    cannot be started, does not end in time, prints without end, or the log cannot be written; ``ValueError`` and
    ``TypeError`` where the caller is wrong. A program that fails is no error here: see ``Finished.failure``.
    """
    command = _checked(arguments)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no folder to run {command[0]} in")
    with Log(log) as file:
        cookie = new_cookie()
        process = _start(command, folder, declared(environment) | {cookie: "1"})
        with cast("IO[bytes]", process.stdout) as pipe:
            output, tree = Output(pipe, file), Tree(process, cookie)
            began = time.monotonic()
            try:
                stopped = _follow(tree, output, timeout)
                seconds = time.monotonic() - began
            finally:
                left = tree.end(output.take)
                output.drain()
    if left:
        notes.warning("%s left processes that SIGKILL does not end: %s", command[0], left)
    lines, left_out = output.lines.finish()
    if stopped:
        stuck = f"; {len(left)} of its processes cannot be ended and wait in the kernel: {left}" if left else ""
        last = f"; last printed: {_joined(lines[-3:])}" if lines else "; it printed nothing"
        raise Broken(_told(command, f"{stopped}{stuck}{last}", log), log=log)
    return Finished(command, process.returncode, lines, left_out, log, seconds)


def declared(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: what is passed on, what is fixed, and what its caller declares, which wins."""
    # Cookies are passed on too, so that whoever runs this very process finds what it ran.
    passed = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith(COOKIE)}
    return {**passed, **FIXED, **environment}


@contextmanager
def private_folder(parent: Path, name: str) -> Iterator[Path]:
    """A new folder below ``parent``, its path without links, that nobody else uses; removed on leaving.

    Its name begins with ``name`` and holds only letters, digits, dash and underscore, and nobody else may write to
    it: vendor tools refuse what pytest and people call their folders, symbolic links, and folders open to others.
    """
    if not PLAIN.fullmatch(name):
        raise ValueError(f"{name!r}: names of private folders have only letters, digits, - and _")
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent.resolve(strict=True)))
    try:
        folder.chmod(0o750)
        yield folder
    finally:
        # What a tool made as another user cannot be removed; that must not hide the answer.
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            notes.warning("%s cannot be removed wholly", folder)


def _checked(arguments: Sequence[str | Path]) -> tuple[str, ...]:
    """The arguments as texts. Raises for what no program can be given."""
    if isinstance(arguments, str) or not arguments:
        raise TypeError(f"{arguments!r}: a program and its arguments come as a list")
    if wrong := [argument for argument in arguments if not isinstance(argument, (str, Path))]:
        raise TypeError(f"{wrong[0]!r}: arguments are texts or paths")
    command = tuple(map(str, arguments))
    if nul := [argument for argument in command if "\0" in argument]:
        raise ValueError(f"{nul[0]!r}: an argument cannot hold NUL")
    if "/" in command[0] and not Path(command[0]).is_absolute():
        # It would be looked for in the folder that the program runs in.
        raise ValueError(f"{command[0]}: a program is given by its name or by an absolute path")
    return command


def _start(command: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The program, leading a session of its own. Raises ``Broken`` where it cannot be started."""
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            # Empty and not closed: the first file that a program opened would become its standard input.
            stdin=subprocess.DEVNULL,
            # A pipe and not the log itself: a script that writes to /dev/stderr would truncate a file.
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise Broken(_told(command, f"cannot be started: {_why(command[0], environment, error)}")) from error


def _why(program: str, environment: Mapping[str, str], error: OSError) -> str:
    """Why a program could not be started, and what to do."""
    where = Path(program)
    if error.errno == errno.ENOENT and where.exists():
        return f"{program} is there, but its loader or interpreter is not; install the build for this machine"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        looked = "" if where.is_absolute() else f" on PATH={environment.get('PATH', os.defpath)}"
        return f"not found{looked}; install it, or run the set-up script of its toolkit first"
    if error.errno == errno.EACCES:
        return f"{error.strerror}; make it executable (chmod +x), on a file system that is not mounted noexec"
    if error.errno == errno.ENOEXEC:
        return f"{error.strerror}; install the build for this machine, or give a script its #! line"
    return f"{error.strerror}; see what this machine lacks: memory, processes, or room for arguments"


def _follow(tree: Tree, output: Output, timeout: float) -> str:
    """Takes what is printed until the program has ended; why it has to be stopped, where it does not end by itself."""
    until = time.monotonic() + timeout
    while not tree.ended():
        if time.monotonic() >= until:
            return f"not finished after {timeout:g} s; raise its time limit, or see in the log why it hangs"
        if output.size > LOG_BYTES:
            return f"printed more than {LOG_BYTES >> 20} MiB; see in the log why it does not end"
        output.take(POLL)
    until = min(until, time.monotonic() + SETTLE)
    while not output.closed and time.monotonic() < until:
        output.take(POLL)
    return ""


def _told(command: Sequence[str], found: str, log: Path | None = None) -> str:
    return f"{shown(shlex.join(command))}: {found}" + (f"; log {log}" if log else "")


def _joined(lines: Sequence[str]) -> str:
    return " | ".join(map(shown, lines)) or "it printed nothing"
