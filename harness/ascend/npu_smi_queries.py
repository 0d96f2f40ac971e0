"""What ``npu-smi info -m`` and ``-t board``, ``-t health``, ``-t usages`` print: device numbers, names, versions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from harness.ascend.npu_smi import Device
from harness.ascend.npu_smi_values import WHOLE, Row, answered
from harness.ascend.printed import Printed, lines_of, pairs, unexpected
from harness.process.faults import shown
from harness.verdict import Broken


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One row of ``npu-smi info -m``. ``logic`` is the device number for ACL tools; a chip that manages the card
    (``Mcu``) has none."""

    npu: int
    chip: int
    logic: int | None
    name: str
    physical: int | None = None


@dataclass(frozen=True, kw_only=True)
class Board:
    """``-t board`` of a card, or of a chip (``-c``), which has the names; ``driver`` is its Software Version."""

    npu: int
    chip: int | None
    driver: str | None
    firmware: str | None
    chip_type: str | None
    chip_name: str | None
    npu_name: str | None


@dataclass(frozen=True, kw_only=True)
class Health:
    """``-t health`` of a chip; the code and its text are nothing where the tool prints ``NA``."""

    status: str
    error_code: str | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class Usages:
    """``-t usages`` of one chip: capacities in MB, the others in percent; nothing where it has no such memory."""

    npu: int
    chip: int
    memory_capacity: int | None
    memory: float | None
    hbm_capacity: int | None
    hbm: float | None
    ai_core: float | None


def read_mapping(printed: Printed) -> tuple[Chip, ...]:
    """The rows of ``npu-smi info -m``, read by the header's names: some versions have a column more. Raises
    ``Broken`` where there is no header or no row, and where a row does not fit."""
    tool = "npu-smi info -m"
    lines = answered(tool, lines_of(printed))
    needed = {"NPU ID", "Chip ID", "Chip Logic ID", "Chip Name"}
    at = next((at for at, line in enumerate(lines) if needed <= set(_columns(line))), None)
    if at is None:
        raise unexpected(tool, f"a header with {', '.join(sorted(needed))}", lines[0] if lines else None)
    header = _columns(lines[at])
    chips = []
    for line in lines[at + 1 :]:
        cells = _columns(line)
        if not WHOLE.fullmatch(cells[0]):
            continue
        if len(cells) != len(header):
            raise unexpected(tool, f"{len(header)} columns ({', '.join(header)})", line)
        row = Row(tool, line, dict(zip(header, cells, strict=True)))
        chips.append(
            Chip(
                npu=row.number("NPU ID"),
                chip=row.number("Chip ID"),
                logic=row.whole("Chip Logic ID"),
                name=row.values["Chip Name"],
                physical=row.whole("Chip Phy-ID"),
            )
        )
    if not chips:
        raise unexpected(tool, "a row for every chip", lines[-1])
    return tuple(chips)


def numbered(devices: Sequence[Device], chips: Sequence[Chip]) -> tuple[Device, ...]:
    """The devices with the numbers that ACL tools take. Raises ``Broken`` for a device that the mapping lacks."""
    logic = {(one.npu, one.chip): one.logic for one in chips}
    for one in devices:
        if logic.get((one.npu, one.chip)) is None:
            raise Broken(
                f"npu-smi info -m: expected a Chip Logic ID for NPU {one.npu} chip {one.chip} ({one.name}), "
                f"which npu-smi info shows; found {sorted(logic)}"
            )
    return tuple(replace(one, logic=logic[one.npu, one.chip]) for one in devices)


def read_board(printed: Printed) -> Board:
    """What ``npu-smi info -t board`` says of a card or a chip. Raises ``Broken`` where it is not that."""
    row = _fields("npu-smi info -t board", printed)
    return Board(
        npu=row.number("NPU ID"),
        chip=row.whole("Chip ID"),
        driver=row.known("Software Version"),
        firmware=row.known("Firmware Version"),
        chip_type=row.known("Chip Type"),
        chip_name=row.known("Chip Name"),
        npu_name=row.known("NPU Name"),
    )


def read_health(printed: Printed) -> Health:
    """What ``npu-smi info -t health`` says of a chip. Raises ``Broken`` where it is not that."""
    row = _fields("npu-smi info -t health", printed)
    status = row.known("Health Status") or row.known("Health")
    if status is None:
        raise unexpected(row.tool, "a line Health Status : ...", row.line)
    return Health(status=status, error_code=row.known("Error Code"), error=row.known("Error Information"))


def read_usages(printed: Printed) -> tuple[Usages, ...]:
    """What ``npu-smi info -t usages`` says of each chip of a card: a chip's figures end with its Chip ID. Raises
    ``Broken`` where it is not that."""
    tool = "npu-smi info -t usages"
    lines = answered(tool, lines_of(printed))
    fields = pairs(lines, ":")
    ends = [at for at, (key, _) in enumerate(fields) if key == "Chip ID"]
    found = []
    for start, end in pairwise([-1, *ends]):
        text = "; ".join(f"{key} : {value}" for key, value in fields[start + 1 : end + 1])
        row = Row(tool, text, dict(fields[:1]) | dict(fields[start + 1 : end + 1]))
        kind = "DDR" if "DDR Capacity(MB)" in row.values else "Memory"
        found.append(
            Usages(
                npu=row.number("NPU ID"),
                chip=row.number("Chip ID"),
                memory_capacity=row.whole(f"{kind} Capacity(MB)"),
                memory=row.decimal(f"{kind} Usage Rate(%)"),
                hbm_capacity=row.whole("HBM Capacity(MB)"),
                hbm=row.decimal("HBM Usage Rate(%)"),
                ai_core=row.decimal("Aicore Usage Rate(%)"),
            )
        )
    if not found:
        raise unexpected(tool, "figures that end with a line Chip ID : ...", lines[-1] if lines else None)
    return tuple(found)


def soc_version(name: str, npu_name: str | None = None) -> str:
    """What atc takes as ``--soc_version``: ``310P3`` and ``Ascend 310P3`` and ``Ascend310P3`` all give
    ``Ascend310P3``; with the NPU Name of ``-t board`` (A3 and later) ``Ascend910_9391``. Raises ``Broken`` for what is
    no chip name, such as the prefix alone, or twice."""
    bare = re.sub(r"\s+", "", name)
    bare = bare.removeprefix("Ascend")
    # A prefix that a script has doubled leaves the digits of a known chip twice: Ascend310${310P3}.
    if not re.fullmatch(r"[0-9]{3}[A-Z]?[0-9A-Za-z]{0,8}(?:_[0-9A-Za-z]+)?", bare) or re.match(r"([0-9]{3})\1", bare):
        raise Broken(f"npu-smi: expected the name of a chip, such as 310P3 or Ascend910, found {shown(name)!r}")
    return f"Ascend{bare}_{npu_name}" if npu_name else f"Ascend{bare}"


def _fields(tool: str, printed: Printed) -> Row:
    """The lines ``key : value``; where a key comes twice, the first."""
    lines = answered(tool, lines_of(printed))
    found = pairs(lines, ":")
    if not found:
        raise unexpected(tool, "lines key : value", lines[0] if lines else None)
    return Row(tool, lines[0], dict(reversed(found)))


def _columns(line: str) -> tuple[str, ...]:
    """Cells that tabs or several blanks divide: names of chips hold one blank."""
    return tuple(re.split(r"\t+|\s{2,}", line.strip()))
