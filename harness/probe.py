"""What a backend may ask of the machine; tests hand in a probe with recorded answers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType

LIMIT = 120.0
"""Seconds a tool may take to say what it is: those in Python import half a toolkit first."""


@dataclass(frozen=True)
class Answered:
    """How a program ended, negative for a signal, and all that it printed."""

    code: int
    printed: bytes


@dataclass(frozen=True, kw_only=True)
class Probe:
    """``package`` gives the version of a Python package, ``places`` every path of a program on PATH, ``run`` what a
    program answers in a given environment, ``read`` the text of a file; nothing where there is none. ``variables`` are
    those of the environment."""

    package: Callable[[str], str | None]
    places: Callable[[str], tuple[str, ...]]
    run: Callable[[Sequence[str], Mapping[str, str]], Answered]
    read: Callable[[str], str | None]
    variables: Mapping[str, str]


_ANSWERED: dict[tuple[object, ...], Answered] = {}
"""What programs of this machine answered to this process, by arguments and environment."""


def machine(*, fresh: bool = False) -> Probe:
    """A probe of this machine. Each program is run once a process with the same environment, unless ``fresh``: what a
    device does changes, what is installed does not."""
    variables = MappingProxyType(dict(os.environ))

    def run(arguments: Sequence[str], environment: Mapping[str, str]) -> Answered:
        key = (tuple(arguments), tuple(sorted(environment.items())), tuple(sorted(variables.items())))
        if fresh or key not in _ANSWERED:
            _ANSWERED[key] = _run(tuple(arguments), environment)
        return _ANSWERED[key]

    return Probe(package=_package, places=_places, run=run, read=_read, variables=variables)


def _run(arguments: tuple[str, ...], environment: Mapping[str, str]) -> Answered:
    """Raises ``Broken`` where the program cannot be started or does not end."""
    from harness.process import private_folder, run

    with private_folder(Path(tempfile.gettempdir()), "probe") as folder:
        done = run(arguments, folder=folder, log=folder / "log", timeout=LIMIT, environment=environment)
        return Answered(done.code, done.log.read_bytes())


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _places(program: str) -> tuple[str, ...]:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    found = (shutil.which(program, path=folder) for folder in folders if folder)
    return tuple(dict.fromkeys(str(Path(path).absolute()) for path in found if path))


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
