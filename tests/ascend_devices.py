"""What is known of every recorded output about devices and versions, and how it is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.ascend import npu_smi, npu_smi_queries, versions
from harness.ascend.npu_smi_values import Share
from harness.verdict import Outcome

Facts = Mapping[str, Any]


def captures(text: str) -> list[str]:
    """The captures in a sample, each below its own mark."""
    return re.split(r"^----8<----.*$", text, flags=re.MULTILINE)


def commands(text: str) -> dict[str, str]:
    """What each command of a sample printed."""
    found = re.split(r"^\$ (.*)$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def told(call: Callable[[], object]) -> str:
    """The class and the text of the error, on one line."""
    with pytest.raises(Outcome) as raised:
        call()
    return f"{raised.value.verdict}: {raised.value}"


def info(text: str) -> Facts:
    read = npu_smi.read_info(text)
    return {"tool": read.tool, "driver": read.driver, "devices": list(read.devices)}


def timed(text: str) -> Facts:
    return {**info(text), "why not": [one.why_not_timed for one in npu_smi.read_info(text).devices]}


def queried(text: str) -> Facts:
    card, chip, usages, health = commands(text).values()
    return {
        "card": npu_smi_queries.read_board(card),
        "chip": npu_smi_queries.read_board(chip),
        "usages": list(npu_smi_queries.read_usages(usages)),
        "health": npu_smi_queries.read_health(health),
        "masked": told(lambda: npu_smi_queries.soc_version(npu_smi_queries.read_board(chip).chip_name or "")),
    }


def running(text: str) -> Facts:
    toolkit, driver = commands(text).values()
    read = versions.read_running(toolkit)
    return {
        "running": read.version,
        "components": dict(read.components),
        "mixed": read.mixed,
        "driver": versions.read_driver(driver),
    }


def installed(text: str) -> Facts:
    older, newer, firmware = captures(text)
    return {
        "older": versions.read_toolkit(older),
        "newer": versions.read_toolkit(newer),
        "firmware": versions.read_firmware(firmware),
    }


HEALTHY = npu_smi_queries.Health(status="OK", error_code=None, error=None)
FACTS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "npu-smi-1.txt": (
        timed,
        {
            "tool": "21.0.3.1",
            "driver": "21.0.3.1",
            "devices": [
                npu_smi.Device(
                    npu=0,
                    chip=0,
                    name="310",
                    health="OK",
                    device=0,
                    power=12.8,
                    temperature=58,
                    ai_core=0,
                    memory=Share(5324, 8192),
                )
            ],
            "why not": [None],
        },
    ),
    "npu-smi-3.txt": (
        timed,
        {
            "tool": "22.0.4.1",
            "driver": "22.0.4.1",
            "devices": [
                npu_smi.Device(
                    npu=0,
                    chip=0,
                    name="910B",
                    health="OK",
                    bus="0000:81:00.0",
                    power=79.4,
                    temperature=82,
                    ai_core=0,
                    memory=Share(1979, 15039),
                    hbm=Share(0, 32768),
                    hugepages=Share(0, 0),
                )
            ],
            "why not": [None],
        },
    ),
    "npu-smi-4.txt": (
        timed,
        {
            "tool": "23.0.2.1",
            "driver": "23.0.2.1",
            "devices": [
                npu_smi.Device(
                    npu=0,
                    chip=0,
                    name="910B2C",
                    health="OK",
                    bus="0000:5A:00.0",
                    power=88.6,
                    temperature=51,
                    ai_core=0,
                    memory=Share(0, 0),
                    hbm=Share(20701, 65536),
                    hugepages=Share(0, 0),
                    processes=(npu_smi.Process(npu=0, chip=0, pid=124528, name="python3.8", memory=17400),),
                ),
                npu_smi.Device(
                    npu=1,
                    chip=0,
                    name="910B2C",
                    health="OK",
                    bus="0000:19:00.0",
                    power=99.6,
                    temperature=50,
                    ai_core=0,
                    memory=Share(0, 0),
                    hbm=Share(20687, 65536),
                    hugepages=Share(0, 0),
                    processes=(),
                ),
            ],
            "why not": ["NPU 0 chip 0 (910B2C): busy with python3.8 (pid 124528), expected no process", None],
        },
    ),
    "npu-smi-5.txt": (
        timed,
        {
            "tool": "23.0.0",
            "driver": "23.0.0",
            "devices": [
                npu_smi.Device(
                    npu=0,
                    chip=0,
                    name="310B4",
                    health="Alarm",
                    device=0,
                    power=0,
                    temperature=65,
                    ai_core=0,
                    memory=Share(3628, 15609),
                    hugepages=Share(15, 15),
                )
            ],
            "why not": ["NPU 0 chip 0 (310B4): health is Alarm, expected OK"],
        },
    ),
    "npu-smi-7.txt": (
        lambda text: [(one.npu, one.chip, one.logic, one.name) for one in npu_smi_queries.read_mapping(text)],
        [(0, 0, 0, "Ascend 910B3"), (0, 1, None, "Mcu"), (1, 0, 1, "Ascend 910B3"), (1, 1, None, "Mcu")],
    ),
    "npu-smi-8.txt": (
        queried,
        {
            "card": npu_smi_queries.Board(
                npu=0, chip=None, driver="23.0.5", firmware="7.1.0.7.220", chip_type=None, chip_name=None, npu_name=None
            ),
            "chip": npu_smi_queries.Board(
                npu=0, chip=0, driver=None, firmware="7.1.0.7.220", chip_type="Ascend", chip_name="xxx", npu_name=None
            ),
            "usages": [
                npu_smi_queries.Usages(
                    npu=0, chip=0, memory_capacity=13553, memory=6, hbm_capacity=32768, hbm=0, ai_core=0
                )
            ],
            "health": HEALTHY,
            "masked": "broken: npu-smi: expected the name of a chip, such as 310P3 or Ascend910, found 'xxx'",
        },
    ),
    "ascend-versions-1.txt": (
        running,
        {
            "running": "8.0.T63",
            "components": dict.fromkeys(("runtime", "compiler", "opp", "toolkit"), "8.0.T63"),
            "mixed": False,
            "driver": versions.Version(version="24.1.rc2.2", field="package_version", inner="V100R001C18SPC001B233"),
        },
    ),
    "ascend-versions-2.txt": (
        installed,
        {
            "older": versions.Version(
                version="8.0.RC3",
                field="version",
                inner="V100R001C19SPC001B155",
                package="Ascend-cann-toolkit",
                path="/usr/local/Ascend/ascend-toolkit/8.0.RC3/aarch64-linux",
            ),
            "newer": versions.Version(
                version="8.5.0",
                field="version",
                inner="V100R001C25SPC001B212",
                package="Ascend-cann-toolkit",
                path="/usr/local/Ascend/cann-8.5.0/x86_64-linux",
            ),
            "firmware": versions.Version(version="23.0.7", field="package_version"),
        },
    ),
}
