"""Plays docker with one image, which has the tools of the older generation under the paths of the vendor's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from knight_standin import say
from knight_standin.habits import called

IMAGE = "knight-standin:1.0"
FOLDER = Path(__file__).parents[2] / "knight"
PATHS = {"/TS-Knight/Quantize/Onnx": FOLDER / "tools", "/TS-Knight-software/tools": FOLDER / "tools"}
FLAGS = ("--rm", "--init")


def main(arguments: Sequence[str]) -> int:
    """The exit code of the command, or docker's own."""
    called("docker", arguments)
    if arguments[:1] != ["run"]:
        return 0
    rest = list(arguments[1:])
    folder = None
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        value = "" if option in FLAGS else rest.pop(0)
        folder = value if option == "-w" else folder
    if not rest or rest[0] != IMAGE:
        say(f"Unable to find image '{rest[0] if rest else ''}' locally")
        return 125
    command = [_inside(argument) for argument in rest[1:]]
    if command[0] == "python":
        command[0] = sys.executable
    environment = {**os.environ, "PATH": f"{FOLDER / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def _inside(argument: str) -> str:
    """An argument with a path of the image as that of what plays it; the older images have one folder of tools."""
    for path, real in PATHS.items():
        if argument.startswith(f"{path}/") and "onnx_quantize_tool" not in argument:
            return argument.replace(path, str(real), 1)
    return argument
