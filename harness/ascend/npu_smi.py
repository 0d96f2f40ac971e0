"""What ``npu-smi info`` prints: the devices of a host, their health and load, and whether one may be timed.

Two layouts exist, told apart by the words of their headers and never by column widths: chips without HBM (310, 310P3,
310B: columns ``Chip Device``) and with it (910: ``Chip``, or ``Chip Phy-ID``). Version 21 has no Hugepages column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.ascend.npu_smi_values import Row, Share, answered
from harness.ascend.printed import Printed, lines_of, matches, unexpected
from harness.process.faults import shown

BANNER = re.compile(r"\bnpu-smi (\S+)\s+Version:\s*([^\s|]+)")
HEALTHY = "OK"
"""The only health under which a time means anything; ``Warning`` and ``Alarm`` may throttle the chip."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process on a chip; ``memory`` in MB, nothing where the tool does not know it."""

    npu: int
    chip: int
    pid: int
    name: str
    memory: int | None


@dataclass(frozen=True, kw_only=True)
class Device:
    """One chip. ``npu`` is the number for ``npu-smi -i``; ``logic`` is the one for ACL tools, which only ``info -m``
    tells; ``device`` and ``physical`` are the columns Device and Phy-ID where the layout has them.

    Power in W, temperature in degrees Celsius, ``ai_core`` in percent, memory and HBM in MB, huge pages in pages;
    nothing where the tool prints ``NA`` or ``-``, or has no such column. ``processes`` are nothing where this version
    lists none.
    """

    npu: int
    chip: int
    name: str
    health: str
    logic: int | None = None
    device: int | None = None
    physical: int | None = None
    bus: str | None = None
    power: float | None = None
    temperature: float | None = None
    ai_core: float | None = None
    memory: Share | None = None
    hbm: Share | None = None
    hugepages: Share | None = None
    processes: tuple[Process, ...] | None = None

    @property
    def why_not_timed(self) -> str | None:
        """Why no time may be taken on it: its health, a process that runs on it, or an AI core that works for
        somebody whose processes are not seen from here (another container). Nothing where it may be timed."""
        at = f"NPU {self.npu} chip {self.chip} ({self.name})"
        if self.health != HEALTHY:
            return f"{at}: health is {shown(self.health)}, expected {HEALTHY}"
        if self.processes:
            told = ", ".join(f"{one.name} (pid {one.pid})" for one in self.processes)
            return f"{at}: busy with {shown(told)}, expected no process"
        if self.ai_core:
            return f"{at}: AI core at {self.ai_core:g}%, expected 0%"
        return None


@dataclass(frozen=True, kw_only=True)
class Info:
    """What ``npu-smi info`` shows. The first line has the versions of the tool and of the driver, which can differ;
    both are nothing where that line was left out."""

    tool: str | None
    driver: str | None
    devices: tuple[Device, ...]


def read_info(printed: Printed) -> Info:
    """The devices that ``npu-smi info`` shows, in either layout, with the processes that run on them.

    Lines that belong to no table are passed over. Raises ``Broken`` where the driver does not answer, where there is
    no table, and where a row does not fit its header; the error has the line.
    """
    lines = answered("npu-smi info", lines_of(printed))
    banner = matches(BANNER, lines)
    table = tuple(line.strip() for line in lines if line.lstrip().startswith(("|", "+")))
    if not table:
        raise unexpected("npu-smi info", "a table", lines[0] if lines else None)
    split = next((at for at, line in enumerate(table) if "Process id" in line), None)
    processes = None if split is None else tuple(_processes(table[split + 1 :]))
    devices = tuple(_devices(table[:split]))
    if not devices:
        raise unexpected("npu-smi info", "two rows for every chip", lines[-1] if lines else None)
    if processes is not None:
        devices = tuple(
            replace(one, processes=tuple(p for p in processes if (p.npu, p.chip) == (one.npu, one.chip)))
            for one in devices
        )
    tool, driver = banner[0].groups() if banner else (None, None)
    return Info(tool=tool, driver=driver, devices=devices)


def _cells(line: str) -> list[str]:
    if not line.endswith("|") or len(line) < 2:
        raise unexpected("npu-smi info", "a row that ends with |", line)
    return [cell.strip() for cell in line[1:-1].split("|")]


def _words(line: str, first: int | None = None) -> list[str]:
    """The values of a row: words, with both numbers of ``0    / 0`` in one; of the first cell at most ``first``."""
    cells = _cells(line)
    if len(cells) != 3:
        raise unexpected("npu-smi info", "a row of three cells", line)
    split = cells[0].split(None, -1 if first is None else first - 1)
    return [*split, cells[1], *re.sub(r"\s*/\s*", "/", cells[2]).split()]


def _devices(table: tuple[str, ...]) -> Iterator[Device]:
    """A device for every two rows below the header."""
    at = next((at for at, line in enumerate(table) if re.match(r"\|\s*NPU\s+Name\s*\|\s*Health\s*\|", line)), None)
    if at is None or at + 1 >= len(table):
        raise unexpected("npu-smi info", "the header NPU Name | Health", table[0] if table else None)
    upper, lower = _words(table[at]), _words(table[at + 1])
    if lower[0] != "Chip" or "Bus-Id" not in lower:
        raise unexpected("npu-smi info", "the header Chip | Bus-Id", table[at + 1])
    waiting: str | None = None
    for line in table[at + 2 :]:
        if line.startswith("|") and waiting is None:
            waiting = line
        elif line.startswith("|") and waiting is not None:
            yield _device(_fitted(upper, 2, waiting), _fitted(lower, lower.index("Bus-Id"), line))
            waiting = None
        elif waiting is not None:
            raise unexpected("npu-smi info", f"the second row of {shown(waiting)!r}", line)
    if waiting is not None:
        raise unexpected("npu-smi info", f"the second row of {shown(waiting)!r}", None)


def _fitted(names: list[str], first: int, line: str) -> Row:
    values = _words(line, first)
    if len(values) != len(names):
        raise unexpected("npu-smi info", f"{len(names)} values ({', '.join(names)})", line)
    return Row("npu-smi info", line, dict(zip(names, values, strict=True)))


def _device(upper: Row, lower: Row) -> Device:
    return Device(
        npu=upper.number("NPU"),
        chip=lower.number("Chip"),
        name=upper.values["Name"],
        health=upper.values["Health"],
        device=lower.whole("Device"),
        physical=lower.whole("Phy-ID"),
        bus=lower.known("Bus-Id"),
        power=upper.decimal("Power(W)"),
        temperature=upper.decimal("Temp(C)"),
        ai_core=lower.decimal("AICore(%)"),
        memory=lower.share("Memory-Usage(MB)"),
        hbm=lower.share("HBM-Usage(MB)"),
        hugepages=upper.share("Hugepages-Usage(page)"),
    )


def _processes(table: tuple[str, ...]) -> Iterator[Process]:
    """The rows below the header of the processes; ``No running processes found in NPU 0`` is none."""
    for line in table:
        if not line.startswith("|") or "No running processes" in line:
            continue
        cells = _cells(line)
        place = cells[0].split()
        if len(cells) != 4 or len(place) != 2:
            raise unexpected("npu-smi info", "NPU Chip | Process id | Process name | Process memory(MB)", line)
        names = ("NPU", "Chip", "Process id", "Process name", "Process memory(MB)")
        row = Row("npu-smi info", line, dict(zip(names, (*place, *cells[1:]), strict=True)))
        yield Process(
            npu=row.number("NPU"),
            chip=row.number("Chip"),
            pid=row.number("Process id"),
            name=row.values["Process name"],
            memory=row.whole("Process memory(MB)"),
        )
