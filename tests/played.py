"""Scripts that play vendor tools: real processes with children of every kind, run as the suite runs programs."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil

from harness.process import Finished, run

LOG = "tool.log"
PYTHON = (sys.executable, "-S", "-c")
"""Without its site packages Python starts in no time."""

FAMILY = """
import os, sys, time

def note(name):
    with open(name + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(name + ".part", name)

def wait_for(*names):
    while not all(map(os.path.exists, names)):
        time.sleep(0.01)

def child(name, *, session=False, orphan=False, bare=False):
    if os.fork():
        return
    if session:
        os.setsid()
    if orphan and os.fork():
        os._exit(0)
    if bare:
        os.execve("/bin/sh", ["sh", "-c", 'echo $$ > "$0".part; mv "$0".part "$0"; exec sleep 600', name], {})
    note(name)
    time.sleep(600)

"""
"""What tools do with their children: sessions of their own, double forks, cleared environments."""


def work(tmp_path: Path) -> Path:
    """The folder that played tools run in; their log is beside it."""
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    return folder


def play(tmp_path: Path, script: str, *arguments: str, timeout: float = 60, **environment: str) -> Finished:
    """Runs a script as a vendor tool is run."""
    command = (*PYTHON, script, *arguments)
    return run(command, folder=work(tmp_path), log=tmp_path / LOG, timeout=timeout, environment=environment)


def noted(folder: Path, *names: str) -> list[int]:
    """The process numbers that tools noted under these names, once they have."""
    until = time.monotonic() + 60
    while not all((folder / name).exists() for name in names) and time.monotonic() < until:
        time.sleep(0.01)
    return [int((folder / name).read_text()) for name in names]


def running(folder: Path, *names: str) -> list[str]:
    """Those of the names whose process still runs."""
    return [name for name, pid in zip(names, noted(folder, *names), strict=True) if _is_running(pid)]


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
