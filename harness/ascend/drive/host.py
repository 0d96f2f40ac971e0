"""What an Ascend host has: devices and their health, chip, versions of driver and toolkit, and the tools that load.

Pure in what a probe saw, so recorded transcripts test it.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.ascend import atc
from harness.ascend.ais_bench import OLD, Features, read_features
from harness.ascend.npu_smi import Device, Info, read_info
from harness.ascend.npu_smi_queries import numbered, read_board, read_mapping, soc_version
from harness.ascend.versions import read_driver, read_firmware, read_running, read_toolkit
from harness.probe import Answered, Probe
from harness.process.faults import ending, error_lines, fault
from harness.provenance import STAND_IN
from harness.verdict import Absent, Broken

ROOT = "/usr/local/Ascend"
HOMES = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")
PASSED_ON = re.compile(r"ASCEND_\w+|PYTHONPATH|TOOLCHAIN_HOME")
"""Variables that the toolkit's ``set_env.sh`` sets, beside PATH and LD_LIBRARY_PATH, which every tool is given."""
REMEDY = "install driver and CANN toolkit, and source the toolkit's set_env.sh before"
NO_MODULE = re.compile(r"No module named '?ais_bench")


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host whose devices and tools answer. ``devices`` have their numbers for ACL tools (``logic``); ``chips`` are
    their names as atc takes them (``Ascend310P3``), in that order. ``runner`` is the command of ais_bench or msame,
    ``features`` what ais_bench offers, nothing for msame. ``environment`` is what every tool is given."""

    devices: tuple[Device, ...]
    chips: tuple[str, ...]
    atc: str
    npu_smi: str
    runner: tuple[str, ...]
    features: Features | None
    versions: Mapping[str, str]
    environment: Mapping[str, str]
    stand_in: bool

    def place(self, number: int) -> Place:
        """The device with that number for ACL tools. Raises ``Absent`` naming those that there are."""
        for device, chip in zip(self.devices, self.chips, strict=True):
            if device.logic == number:
                return Place(host=self, number=number, device=device, chip=chip)
        known = ", ".join(str(device.logic) for device in self.devices)
        raise Absent(f"no device {number}: npu-smi shows {known}; choose with --device=N")


@dataclass(frozen=True, kw_only=True)
class Place:
    """One device of a host: its ``number`` for ACL tools, and its ``chip`` as atc names it."""

    host: Host
    number: int
    device: Device
    chip: str

    @property
    def named(self) -> str:
        """The chip as claims name it; that of a stand-in is never taken for it."""
        return f"{STAND_IN} {self.chip}" if self.host.stand_in else self.chip


def environment(probe: Probe) -> dict[str, str]:
    """The variables that Ascend's tools need beside those that every process is given."""
    return {name: value for name, value in probe.variables.items() if PASSED_ON.fullmatch(name)}


def discover(probe: Probe) -> Host:
    """What this host has. Raises ``Absent`` where something is not there, with what was looked for and where;
    ``Broken`` where it is there and does not work."""
    given = environment(probe)
    npu_smi, compiler = probe.places("npu-smi"), probe.places("atc")
    if not npu_smi or not compiler:
        missing = " and no ".join(name for name, found in (("npu-smi", npu_smi), ("atc", compiler)) if not found)
        raise Absent(f"no {missing} on PATH; {_toolkit_looked_for(probe)}; {REMEDY}")
    shown = probe.run([npu_smi[0], "info"], given)
    info = read_info(shown.printed)
    mapping = read_mapping(probe.run([npu_smi[0], "info", "-m"], given).printed)
    devices = numbered(info.devices, [chip for chip in mapping if chip.logic is not None])
    answer = probe.run([compiler[0]], given)
    atc.check_loads(answer.printed, answer.code)
    runner, features, runner_help = _runner(probe, given)
    versions = _versions(probe, info)
    told = [shown.printed.decode(errors="replace"), runner_help, *versions.values()]
    return Host(
        devices=devices,
        chips=tuple(_chip(probe, npu_smi[0], given, device) for device in devices),
        atc=compiler[0],
        npu_smi=npu_smi[0],
        runner=runner,
        features=features,
        versions=versions,
        environment=given,
        stand_in=any(STAND_IN in text for text in told),
    )


def _chip(probe: Probe, npu_smi: str, given: Mapping[str, str], device: Device) -> str:
    if not device.name.endswith("910"):
        return soc_version(device.name)
    # A3 and later show the family alone; the board has the rest of the name.
    board = probe.run([npu_smi, "info", "-t", "board", "-i", str(device.npu), "-c", str(device.chip)], given)
    return soc_version(device.name, read_board(board.printed).npu_name)


def _runner(probe: Probe, given: Mapping[str, str]) -> tuple[tuple[str, ...], Features | None, str]:
    """The command that runs a compiled model, and what it offers: ais_bench of any Python on PATH, else msame."""
    pythons = probe.places("python3")
    for python in pythons:
        command = (python, "-m", "ais_bench")
        answer = probe.run([*command, "--help"], given)
        text = answer.printed.decode(errors="replace")
        if NO_MODULE.search(text):
            continue
        if answer.code != 0:
            raise _unloadable("ais_bench", command, answer)
        features = read_features(answer.printed)
        if features.generations <= OLD:
            raise Absent(
                f"{' '.join(command)} is ais_infer of before 2022-11, which lists no times; install ais_bench of "
                "2022-11 or later"
            )
        return command, features, text
    msame = probe.places("msame")
    if not msame:
        looked = ", ".join(pythons) or "no python3 on PATH"
        raise Absent(
            f"no module ais_bench for {looked}, and no msame on PATH; install ais_bench and aclruntime for one of them"
        )
    answer = probe.run([msame[0], "--help"], given)
    if answer.code != 0:
        raise _unloadable("msame", msame[:1], answer)
    return msame[:1], None, answer.printed.decode(errors="replace")


def _unloadable(tool: str, command: Sequence[str], answer: Answered) -> Broken:
    lines = tuple(answer.printed.decode(errors="replace").splitlines())
    blamed = fault(lines, answer.code)
    remedy = f"; {blamed.what}; {blamed.remedy}" if blamed else ""
    said = " | ".join(error_lines(lines)) or "nothing printed"
    return Broken(f"{tool} does not load: {' '.join(command)} --help: {ending(answer.code)}, {said}{remedy}")


def _homes(probe: Probe) -> tuple[str, ...]:
    """Folders that may hold the toolkit: those that its set-up script names, then where it is installed."""
    named = tuple(probe.variables[name] for name in HOMES if probe.variables.get(name))
    return (*named, f"{ROOT}/ascend-toolkit/latest", f"{ROOT}/cann")


def _toolkit_looked_for(probe: Probe) -> str:
    unset = [name for name in HOMES if not probe.variables.get(name)]
    return f"{', '.join(unset)} unset" if unset else "the toolkit's variables are set, so its set_env.sh is incomplete"


def _versions(probe: Probe, info: Info) -> dict[str, str]:
    """The versions that could be read; a file that is not there says nothing."""
    found = {"npu-smi": info.tool, "driver": info.driver}
    for name, read, paths in (
        ("driver", read_driver, (f"{ROOT}/driver/version.info",)),
        ("firmware", read_firmware, (f"{ROOT}/firmware/version.info",)),
        ("toolkit", read_running, tuple(f"{home}/version.cfg" for home in _homes(probe))),
        (
            "toolkit",
            read_toolkit,
            tuple(f"{home}/{platform.machine()}-linux/ascend_toolkit_install.info" for home in _homes(probe)),
        ),
    ):
        text = next((text for path in paths if (text := probe.read(path)) is not None), None)
        if text is not None:
            found[name] = read(text).version
    if "toolkit" not in found:
        # Which options atc takes depends on it, and so does what may be compared with what.
        raise Broken(
            f"atc loads, but its toolkit tells no version: no version.cfg and no {platform.machine()}-linux/"
            f"ascend_toolkit_install.info in {', '.join(_homes(probe))}; source its set_env.sh before"
        )
    return {name: version for name, version in found.items() if version}
