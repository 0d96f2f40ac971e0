"""Reading what a tool left behind: the lines that look like errors, and whether the environment is to blame."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

ERROR_LINES = 8
LINE_SHOWN = 240

ERROR = re.compile(
    r"error|exception|fail|fatal|abort|terminate called|segmentation fault|core dumped|killed|denied|refused"
    r"|invalid|unsupported|unknown option|not found|not permitted|no such|no space|cannot|could not|unable to"
    r"|\[E\]|^E[0-9A-Z]\d{4}:|: undefined symbol|assert",
    re.IGNORECASE,
)
# Figures about errors are no errors: "0 errors", "max error 1.3e-2"; but "error 507033" is one.
NO_ERROR = re.compile(r"\b(?:0|no) (?:errors?|failures?|failed)\b|error:? (?:0|\d*\.\d+(?:e[-+]?\d+)?)$", re.IGNORECASE)


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with the environment: what it is, the line that shows it, and what to do."""

    what: str
    line: str
    remedy: str


_LIBRARY = (
    "a library cannot be loaded",
    "install it, or declare its folder in LD_LIBRARY_PATH (the toolkit's set-up script names it)",
)
_PYTHON = ("the tool's own Python lacks a module", "install the module for the Python that the tool runs on")
_SPACE = ("the disk is full", "free space, or choose another folder")
_PERMISSION = ("a permission is missing", "give this user the file or the device that the line names")
_MEMORY = ("memory ran out", "free memory, run fewer things at once, or raise the limit of the container")
_DEPENDENCY = ("a program that the tool calls cannot be run", "install what the lines name, or correct PATH")
_OUTSIDE = ("it was ended from outside", "run again, and see what ended it")
_PROCESSOR = ("it was built for another processor", "install the build for this machine")
_LIMIT = ("a limit of this session ended it", "raise the limit (ulimit -a)")

# As the C library, the loader and the interpreters of tools print them; LC_ALL is set so that they stay in English.
TEXTS: tuple[tuple[re.Pattern[str], tuple[str, str]], ...] = (
    (re.compile(r"error while loading shared libraries|cannot open shared object file|symbol lookup error"), _LIBRARY),
    (re.compile(r"version `(GLIBC|GLIBCXX|CXXABI|GCC)_[^']*' not found|wrong ELF class|invalid ELF header"), _LIBRARY),
    (re.compile(r"\b(ModuleNotFoundError|ImportError)\b"), _PYTHON),
    (re.compile(r"No space left on device|Disk quota exceeded"), _SPACE),
    (re.compile(r"Permission denied|Operation not permitted|Read-only file system"), _PERMISSION),
    (re.compile(r"[Oo]ut of memory|\bOOM\b|(?:annot|an't) allocate memory|bad_alloc|MemoryError"), _MEMORY),
    # What a shell says of a program that was killed, and what is left of a compiler whose worker was.
    (re.compile(r"^Killed$|: +\d+ Killed\b|BrokenPipeError"), _MEMORY),
    (re.compile(r"Exec format error|cannot execute binary file"), _PROCESSOR),
    (re.compile(r"command not found"), _DEPENDENCY),
)
SIGNALS = {
    "SIGKILL": _MEMORY,
    "SIGTERM": _OUTSIDE,
    "SIGINT": _OUTSIDE,
    "SIGHUP": _OUTSIDE,
    "SIGILL": _PROCESSOR,
    "SIGXCPU": _LIMIT,
    "SIGXFSZ": _LIMIT,
    "SIGBUS": ("a mapped file lost its storage", "free space on the disk and in /dev/shm"),
}
CODES = {126: _DEPENDENCY, 127: _DEPENDENCY}
"""What shells, and docker run, give for a program that cannot be run, or is not there."""


def fault(lines: Sequence[str], code: int) -> Fault | None:
    """What is wrong with the environment, by the last line that tells, else by the exit code; nothing where the tool
    seems to have run as it should."""
    for line in reversed(lines):
        for pattern, (what, remedy) in TEXTS:
            if pattern.search(line):
                return Fault(what, shown(line), remedy)
    known = SIGNALS.get(signal_name(code) or "") or CODES.get(code)
    return Fault(known[0], ending(code), known[1]) if known else None


def error_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """The last lines that look like errors; where none does, the very last ones."""
    found = [line for line in lines if ERROR.search(line) and not NO_ERROR.search(line)]
    return tuple(shown(line) for line in (found[-ERROR_LINES:] or lines[-3:]))


def shown(text: str) -> str:
    """A text as a failure line can bear it: in one line, and no longer than ``LINE_SHOWN``."""
    text = " ".join(text.split())
    return text if len(text) <= LINE_SHOWN else f"{text[:LINE_SHOWN]} ..."


def signal_name(code: int) -> str | None:
    """The signal behind an exit code: of the process itself (negative), or of what a shell ran for it (128 + n)."""
    with suppress(ValueError):
        return signal.Signals(-code if code < 0 else code - 128).name
    return None


def ending(code: int) -> str:
    """How a process ended, for people: ``exit code 255``, ``SIGSEGV``, ``exit code 137 (SIGKILL)``."""
    name = signal_name(code)
    if code < 0:
        return name or f"signal {-code}"
    return f"exit code {code} ({name})" if name else f"exit code {code}"
