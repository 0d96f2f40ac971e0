"""What the stand-ins do otherwise when they are asked to, by a list with commas in ``KNIGHT_STANDIN``."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from knight_standin import say

ASKED, CALLS = "KNIGHT_STANDIN", "KNIGHT_STANDIN_CALLS"
KNOWN = {
    "silent": "the quantiser says that it has done its work, and writes nothing",
    "unfinished": "the quantiser ends in its third stage, with exit code 0",
    "empty": "the quantised graph is an empty file",
    "no_dump": "the quantiser dumps nothing",
    "compile_silent": "the compiler says nothing, writes nothing, and exits with 0",
    "short": "the last input that is inferred has no output",
    "swapped": "outputs are reversed along their last axis",
    "truncated": "the simulator's results end in the middle",
    "longer": "the simulator's results have one more channel",
    "nan": "the simulator's results hold nan",
    "off_by_one": "one simulated number is larger by one",
    "rows": "no misbehaviour: results are written row by row",
    "no_result": "the simulator writes nothing",
    "crash": "the tool that works ends with SIGSEGV",
    "no_uds": "no misbehaviour: a script that takes no inference function of the user",
    "no_run_config": "no misbehaviour: a Knight of 2.x",
    "unloadable": "the tool lacks a module, whatever it is asked",
    "no_version": "no misbehaviour: Knight does not know -v",
}


def asked(name: str) -> bool:
    """Whether a habit is asked for. A name that is not known ends the tool with exit code 2."""
    found = [text for text in os.environ.get(ASKED, "").split(",") if text]
    for text in (*found, name):
        if text not in KNOWN:
            sys.stderr.write(f"stand-in: {ASKED}={text}: known are {', '.join(KNOWN)}\n")
            sys.exit(2)
    return name in found


def called(tool: str, arguments: Sequence[str]) -> None:
    """Notes a call in the file named by ``KNIGHT_STANDIN_CALLS``, if any; ends the tool where it cannot be loaded."""
    if os.environ.get(CALLS):
        with Path(os.environ[CALLS]).open("a") as file:
            file.write(json.dumps({"tool": tool, "arguments": list(arguments)}) + "\n")
    if asked("unloadable"):
        say("ModuleNotFoundError: No module named 'onnx_quantize_tool'")
        sys.exit(1)


def works() -> None:
    """Ends the process where a tool that works is to crash."""
    if asked("crash"):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), signal.SIGSEGV)
