"""Where the vendor's tools are, on this machine or in an image, and of which generation. Pure in what a probe saw."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.knight.configuration import CHIP
from harness.knight.script import COMPARE, FOLDERS, NPY2BIN, SCRIPT, Tools
from harness.probe import Answered, Probe
from harness.process import Finished, run
from harness.process.faults import ending, error_lines, fault
from harness.provenance import STAND_IN
from harness.verdict import Absent, Broken

IMAGE, FOLDER = "KNIGHT_IMAGE", "KNIGHT_TOOLS"
"""Variables that name a loaded image, and a folder of the script other than those of the vendor's images."""
PASSED_ON = re.compile(r"KNIGHT_\w+|PYTHONPATH")
REMEDY = (
    "run the suite inside of the vendor's container, or name its image in KNIGHT_IMAGE; images come from the vendor's "
    "technical support, docker load -i reads them"
)
VERSION = re.compile(r"\d+(?:\.\w+)+")
OWN_SCRIPT = "-uds"
CHIP_ASKED = next(iter(CHIP.values()))


@dataclass(frozen=True, kw_only=True)
class Host:
    """Tools that answer. ``image`` is the container's where they run in one. ``own_script`` says whether the quantiser
    takes a user's Python file; ``version`` is what ``Knight -v`` tells. ``docker`` is its command."""

    generation: Literal["script", "json"]
    tools: Tools
    version: str
    own_script: bool
    image: str
    docker: str
    environment: Mapping[str, str]
    stand_in: bool

    def start(self, arguments: Sequence[str], folder: Path, log: Path, timeout: float) -> Finished:
        """A tool, run to its end in ``folder``, which a container sees under the same path, and nothing else."""
        if not self.image:
            return run(arguments, folder=folder, log=log, timeout=timeout, environment=self.environment)
        name = f"knight-{uuid.uuid4().hex}"
        command = [*contained(self.docker, self.image, folder, name), *arguments]
        try:
            return run(command, folder=folder, log=log, timeout=timeout, environment=self.environment)
        except BaseException:
            # What is ended is docker's client; the container goes on without it.
            run(
                [self.docker, "rm", "-f", name],
                folder=folder,
                log=log.with_suffix(".rm.log"),
                timeout=60,
                environment=self.environment,
            )
            raise


def contained(docker: str, image: str, folder: Path, name: str) -> list[str]:
    """The beginning of a command line that runs a program in a container without network, as this user, with one folder
    under its own path."""
    user = f"{os.getuid()}:{os.getgid()}"
    return [
        *(docker, "run", "--rm", "--init", "--network", "none", "--ipc", "host", "--name", name, "--user", user),
        # Tools keep caches below it, and this user has no home there.
        *("-e", "HOME=/tmp", "-v", f"{folder}:{folder}", "-w", str(folder), image),
    ]


def discover(probe: Probe) -> Host:
    """The tools of this machine, or those of the image that ``KNIGHT_IMAGE`` names. Raises ``Absent`` where there are
    none, with what was looked for and where; ``Broken`` where they are there and do not work."""
    given = {name: value for name, value in probe.variables.items() if PASSED_ON.fullmatch(name)}
    image = given.get(IMAGE, "")
    if image:
        places = probe.places("docker")
        if not places:
            raise Absent(f"{IMAGE}={image}, but no docker on PATH; install docker 19.03 or later, or unset {IMAGE}")
        # Nothing is mounted while tools are only asked about themselves.
        asked = [places[0], "run", "--rm", "--network", "none", "-e", "HOME=/tmp", image]
        inside = Asked(lambda arguments: probe.run([*asked, *arguments], given))
        return _host(inside, _tools_of(inside), image=image, docker=places[0], given=given)
    tools = _tools_here(probe, given)
    return _host(Asked(lambda arguments: probe.run(arguments, given)), tools, given=given)


@dataclass(frozen=True)
class Asked:
    """What tools answer about themselves, wherever they are."""

    run: Callable[[Sequence[str]], Answered]

    def loads(self, command: Sequence[str], *, known: bool = True) -> str:
        """What a tool prints. Raises ``Broken`` where it fails; a question that is not ``known`` to be one of its own
        it may refuse, unless the environment is to blame."""
        answer = self.run(command)
        text = answer.printed.decode(errors="replace")
        lines = text.splitlines()
        blamed = fault(lines, answer.code)
        if answer.code == 0 or not (known or blamed):
            return text
        remedy = f"; {blamed.what}; {blamed.remedy}" if blamed else ""
        said = " | ".join(error_lines(lines)) or "nothing printed"
        raise Broken(f"{' '.join(command)}: does not load: {ending(answer.code)}, {said}{remedy}")


def _tools_here(probe: Probe, given: Mapping[str, str]) -> Tools:
    """The tools of this machine; without a script where there is none."""
    folders = (given[FOLDER],) if given.get(FOLDER) else FOLDERS
    folder = next((each for each in folders if probe.read(f"{each}/{SCRIPT}") is not None), None)
    knight = probe.places("Knight")
    if not knight:
        found = (
            f"{folder}/{SCRIPT} is here, but" if folder else f"no {SCRIPT} in {' or '.join(folders)}, {IMAGE} unset,"
        )
        raise (Broken if folder else Absent)(f"{found} no Knight on PATH; {REMEDY}")
    python3 = (probe.places("python3") or ("python3",))[0]
    python = (probe.places("python") or (python3,))[0]
    tools = Tools(python=python, python3=python3, script="", knight=knight[0])
    if folder is None:
        return tools
    beside = f"{folder}/npy2bin.py"
    npy2bin = beside if probe.read(beside) is not None else NPY2BIN
    return replace(tools, script=f"{folder}/{SCRIPT}", compare=f"{folder}/{COMPARE}", npy2bin=npy2bin)


def _tools_of(inside: Asked) -> Tools:
    """The tools of an image; without a script where it has none."""
    folder = next((each for each in FOLDERS if inside.run(["ls", f"{each}/{SCRIPT}"]).code == 0), None)
    if folder is None:
        return Tools(script="")
    return Tools(script=f"{folder}/{SCRIPT}", compare=f"{folder}/{COMPARE}")


def _host(asked: Asked, tools: Tools, *, given: Mapping[str, str], image: str = "", docker: str = "") -> Host:
    """The host with what its tools say of themselves."""
    # Told by the manual of 3.x; whether 1.1 knows it, nobody says.
    version = asked.loads([tools.knight, "-v"], known=False)
    scripted = bool(tools.script)
    # The Knight that belongs to the script does not quantise itself.
    way = [tools.python, tools.script] if scripted else [tools.knight, "--chip", CHIP_ASKED, "quant"]
    helped = asked.loads([*way, "--help"])
    if not scripted and "--run-config" not in helped:
        raise Absent(
            f"{tools.knight} quant --help names no --run-config, and there is no {SCRIPT}: tools of 2.x, whose command "
            "lines are neither those of guide 004 (1.1 to 1.3) nor those of 3.x; use an image of one of these"
        )
    numbers = VERSION.search(version)
    return Host(
        generation="script" if scripted else "json",
        tools=tools,
        version=numbers[0] if numbers else "not told",
        own_script=not scripted or OWN_SCRIPT in helped,
        image=image,
        docker=docker,
        environment=given,
        stand_in=STAND_IN in version or STAND_IN in helped,
    )
