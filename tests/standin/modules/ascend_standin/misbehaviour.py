"""What the stand-ins do wrong when they are asked to.

``ASCEND_STANDIN`` is a list with commas of names, each with a value behind a colon where it takes one. A name concerns
every tool that it makes sense for; ``tool.name`` only that one. Work is spoilt, questions are answered: a call without
arguments or with ``--help`` misbehaves only where the name begins with ``tool-probe.``, and where the tool cannot be
loaded at all. A name that is not known ends every tool with exit code 2.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ascend_standin import say

if TYPE_CHECKING:
    import numpy as np

    Results = list[tuple[str, list[np.ndarray]]]

ASKED, CALLS, STATE = "ASCEND_STANDIN", "ASCEND_STANDIN_CALLS", "ASCEND_STANDIN_STATE"
PROBE = "-probe"
FOREVER = 600.0
"""Seconds after which even what never ends does, where a test forgets it."""

RUNNERS = ("ais_bench", "msame")
TOOLS = ("atc", "npu-smi", *RUNNERS)
FIRST = {
    "atc": "ATC start working now, please wait for a moment.",
    "ais_bench": "[INFO] acl init success",
    "msame": "[INFO] acl init success",
}
FAILED = {
    "atc": "ATC run failed, Please check the detail log, Try 'atc --help' for more information\nE19999: Inner Error!",
    "ais_bench": "[ERROR] load model from file failed",
    "msame": "[ERROR] Sample process failed.",
    "npu-smi": "DrvMngGetConsoleLogLevel failed. (ret=4)",
}


def crash(tool: str) -> NoReturn:
    """The tool ends with SIGSEGV."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _end_by(signal.SIGSEGV)


def killed(tool: str) -> NoReturn:
    """The tool ends with SIGKILL, as the kernel ends it where memory runs out."""
    _end_by(signal.SIGKILL)


def hang(tool: str) -> NoReturn:
    """The tool does not end, and a child of it in a session of its own neither."""
    sleep = f"import time; time.sleep({FOREVER})"
    child = subprocess.Popen([sys.executable, "-S", "-c", sleep], start_new_session=True)
    say(FIRST.get(tool, ""), f"stand-in hangs, with child {child.pid}")
    time.sleep(FOREVER)
    sys.exit(1)


def garbage(tool: str) -> NoReturn:
    """The tool prints what is no text, and exits with 0."""
    sys.stdout.buffer.write(bytes(range(256)) * 16 + b"\xff\xfe\x1b[2J\r\n")
    sys.exit(0)


def exit0(tool: str) -> NoReturn:
    """The tool prints that it failed, and exits with 0."""
    say(*_lines(FIRST.get(tool)), FAILED[tool])
    sys.exit(0)


def full_disk(tool: str) -> NoReturn:
    """The tool has no space left to write to, and exits with 1."""
    say(*_lines(FIRST.get(tool)), "OSError: [Errno 28] No space left on device", FAILED[tool])
    sys.exit(1)


def unwritable(tool: str) -> NoReturn:
    """The tool may not write where it should, and exits with 1."""
    say(*_lines(FIRST.get(tool)), "PermissionError: [Errno 13] Permission denied", FAILED[tool])
    sys.exit(1)


def no_library(tool: str) -> NoReturn:
    """The tool cannot be loaded, whatever it is asked, and says nothing else."""
    name = f"{tool}.bin" if tool == "atc" else tool
    say(
        f"{name}: error while loading shared libraries: libascend_hal.so: cannot open shared object file: "
        "No such file or directory"
    )
    sys.exit(127)


def no_dcmi(tool: str) -> NoReturn:
    """The driver does not answer."""
    say("dcmi module initialize failed. ret is -8005")
    sys.exit(1)


def shifted(results: Results, value: str) -> Results:
    """Every input file gets the outputs of the one before it."""
    names, outputs = [name for name, _ in results], [output for _, output in results]
    return list(zip(names, outputs[-1:] + outputs[:-1], strict=True))


def wrong_dtype(results: Results, value: str) -> Results:
    """Outputs are written as float16, or as the type that the value names."""
    return [(name, [output.astype(value or "float16") for output in outputs]) for name, outputs in results]


def half(files: Sequence[Path]) -> None:
    """The last file that was written has only its first half."""
    for path in files[-1:]:
        os.truncate(path, path.stat().st_size // 2)


def short(files: Sequence[Path]) -> None:
    """The last file that should have been written is not there."""
    for path in files[-1:]:
        path.unlink()


ENDS: dict[str, tuple[Callable[[str], NoReturn], tuple[str, ...]]] = {
    "crash": (crash, TOOLS),
    "killed": (killed, TOOLS),
    "hang": (hang, TOOLS),
    "garbage": (garbage, TOOLS),
    "exit0": (exit0, TOOLS),
    "full_disk": (full_disk, ("atc", *RUNNERS)),
    "unwritable": (unwritable, ("atc", *RUNNERS)),
    "no_library": (no_library, TOOLS),
    "no_dcmi": (no_dcmi, ("npu-smi",)),
}
LOADING = ("no_library", "no_dcmi")
RESULTS: dict[str, Callable[[Any, str], Any]] = {"shifted": shifted, "wrong_dtype": wrong_dtype}
FILES: dict[str, Callable[[Sequence[Path]], None]] = {"half": half, "short": short}
TOLD: dict[str, tuple[str, tuple[str, ...]]] = {
    "warnings": ("W11001 after a success, for a few operators", ("atc",)),
    "second_name": ("a second artefact, with another name, beside the first", ("atc",)),
    "refuse": ("an operator type that has no kernel: refuse:GridSample; may be given several times", ("atc",)),
    "wrong_numbers": ("the network lacks a bias", ("atc", *RUNNERS)),
    "busy": ("the first device works for another process", ("npu-smi",)),
    "busy_later": ("the same from the call of npu-smi with this number on: busy_later:3", ("npu-smi",)),
    "alarm": ("the first device is not healthy", ("npu-smi",)),
    "alarm_later": ("the same from the call of npu-smi with this number on", ("npu-smi",)),
    "chip": ("no misbehaviour: the chip of the devices, such as chip:310 or chip:910B3", ("npu-smi", *RUNNERS)),
    "generation": ("no misbehaviour: that of ais_bench, generation:G2 or generation:G4", ("ais_bench",)),
}
CONCERNED = (
    {name: tools for name, (_, tools) in ENDS.items()}
    | dict.fromkeys(RESULTS, RUNNERS)
    | dict.fromkeys(FILES, ("atc", *RUNNERS))
    | {name: tools for name, (_, tools) in TOLD.items()}
)
"""Every name, with the tools that it makes sense for."""


class Misbehaviour:
    """What one call of a tool does wrong. ``probe`` says that the call only asks the tool about itself."""

    def __init__(self, tool: str, probe: bool) -> None:
        self.tool, self.probe = tool, probe
        self._asked = [_entry(text) for text in os.environ.get(ASKED, "").split(",") if text]

    def values(self, name: str) -> tuple[str, ...]:
        """What is asked of this call under a name: a value for each time, empty where the name takes none."""
        if self.tool not in CONCERNED[name]:
            return ()
        work = not self.probe or name in (*LOADING, "generation")
        scopes = {self.tool: work, "": work, self.tool + PROBE: self.probe}
        return tuple(value for scope, asked, value in self._asked if asked == name and scopes.get(scope))

    def asked(self, name: str) -> bool:
        """Whether a name is asked of this call."""
        return bool(self.values(name))

    def end(self) -> None:
        """Ends the process where the tool is to end before it works."""
        for name, (act, _) in ENDS.items():
            if self.asked(name):
                act(self.tool)

    def results(self, results: Results) -> Results:
        """The outputs by the file that they belong to, spoilt as asked."""
        for name, spoil in RESULTS.items():
            for value in self.values(name):
                results = spoil(results, value)
        return results

    def written(self, files: Sequence[Path]) -> None:
        """Spoils written files as asked."""
        for name, spoil in FILES.items():
            if self.asked(name):
                spoil(files)


def called(tool: str, arguments: Sequence[str], probe: bool) -> Misbehaviour:
    """Notes a call in the file named by ``ASCEND_STANDIN_CALLS``, if any, and says what the call does wrong; where
    that is to end at once, it has ended."""
    if os.environ.get(CALLS):
        line = json.dumps({"tool": tool, "arguments": list(arguments), "folder": str(Path.cwd())})
        with Path(os.environ[CALLS]).open("a") as file:
            file.write(f"{line}\n")
    asked = Misbehaviour(tool, probe)
    asked.end()
    return asked


def counted() -> int:
    """How many calls were counted in the file named by ``ASCEND_STANDIN_STATE``, this one included."""
    if not os.environ.get(STATE):
        _unknown(f"what comes later needs {STATE}, a file to count calls in")
    with Path(os.environ[STATE]).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        count = int(file.read() or 0) + 1
        file.truncate(0)
        file.write(str(count))
    return count


def _entry(text: str) -> tuple[str, str, str]:
    """Scope, name and value."""
    place, _, value = text.strip().partition(":")
    scope, _, name = place.rpartition(".")
    tools = CONCERNED.get(name)
    if tools is None:
        _unknown(f"{ASKED}={text}: known are {', '.join(sorted(CONCERNED))}")
    if scope and scope.removesuffix(PROBE) not in tools:
        _unknown(f"{ASKED}={text}: {name} concerns {', '.join(tools)}")
    return scope, name, value


def _lines(line: str | None) -> tuple[str, ...]:
    return (line,) if line else ()


def _end_by(number: signal.Signals) -> NoReturn:
    sys.stdout.flush()
    os.kill(os.getpid(), number)
    time.sleep(FOREVER)
    sys.exit(1)


def _unknown(text: str) -> NoReturn:
    sys.stderr.write(f"stand-in: {text}\n")
    sys.exit(2)
