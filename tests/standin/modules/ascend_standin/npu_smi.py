"""Plays npu-smi: ``info``, ``info -m``, and ``info -t board|health|usages -i N [-c C]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ascend_standin import VERSION, say
from ascend_standin.devices import HBM, LOAD, MEMORY, PROCESS, Device, devices
from ascend_standin.misbehaviour import called

TOOL = "npu-smi"
WIDTHS = (25, 17, 58)
PROCESS_WIDTHS = (25, 17, 28, 29)


def main(arguments: Sequence[str]) -> int:
    """Answers one call."""
    probe = not arguments or arguments[0] in ("-h", "--help", "help")
    asked = called(TOOL, arguments, probe)
    if probe:
        say(f"npu-smi {VERSION}", "Usage: npu-smi info [-m] [-t board|health|usages -i NPU_ID [-c CHIP_ID]]")
        return 0
    options = _options(arguments)
    found = devices(asked)
    if options.mapping:
        say(*_mapping(found))
        return 0
    if options.type is None:
        say(*_info(found))
        return 0
    device = next((one for one in found if one.npu == options.npu and options.chip in (None, 0)), None)
    if device is None:
        say(f"Invalid npu id {options.npu} or chip id {options.chip}.")
        return 1
    tables = {"board": _chip_board if options.chip is not None else _board, "health": _health, "usages": _usages}
    say(*tables[options.type](device))
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=TOOL, allow_abbrev=False)
    parser.add_argument("info", choices=["info"])
    parser.add_argument("-m", dest="mapping", action="store_true")
    parser.add_argument("-t", dest="type", choices=["board", "health", "usages"])
    parser.add_argument("-i", dest="npu", type=int)
    parser.add_argument("-c", dest="chip", type=int)
    return parser.parse_args(arguments)


def _info(found: Sequence[Device]) -> list[str]:
    """The tables of devices and of processes; chips without HBM have a column Device, the others one for HBM."""
    hbm = found[0].has_hbm
    thin, thick = _rule("-", WIDTHS), _rule("=", WIDTHS)
    inner = len(thin) - 4
    lines = [
        "+" + "-" * (inner + 2) + "+",
        f"| {f'npu-smi {VERSION}':<33}{f'Version: {VERSION}':<{inner - 33}} |",
        thin,
        _row(WIDTHS, "NPU     Name", "Health", "Power(W)     Temp(C)           Hugepages-Usage(page)"),
        _row(
            WIDTHS,
            "Chip" if hbm else "Chip    Device",
            "Bus-Id",
            "AICore(%)    Memory-Usage(MB)" + ("  HBM-Usage(MB)" if hbm else ""),
        ),
        thick,
    ]
    for one in found:
        used = 1236 + (1200 if one.ai_core else 0)
        memory = f"{0:<5}/ {0:<12}{used:>5}/ {HBM}" if hbm else f"{used:>4} / {MEMORY}"
        lines += [
            _row(WIDTHS, f"{one.npu:<8}{one.chip}", one.health, f"{12.8:<13}{45 + one.logic:<18}{0:<5}/ {0}"),
            _row(
                WIDTHS,
                "0" if hbm else f"{0:<8}{one.logic}",
                f"0000:{0x81 + one.npu:02X}:00.0",
                f"{one.ai_core:<13}{memory}",
            ),
            thick,
        ]
    return [*lines, *_processes(found, inner)]


def _processes(found: Sequence[Device], inner: int) -> list[str]:
    rule = _rule("=", PROCESS_WIDTHS)
    lines = [
        _rule("-", PROCESS_WIDTHS),
        _row(PROCESS_WIDTHS, "NPU     Chip", "Process id", "Process name", "Process memory(MB)"),
        rule,
    ]
    for one in found:
        if one.ai_core:
            lines.append(_row(PROCESS_WIDTHS, f"{one.npu:<8}0", str(PROCESS), "python3", "1200"))
        else:
            lines.append(f"| {f'No running processes found in NPU {one.npu}':<{inner}} |")
        lines.append(rule)
    return lines


def _mapping(found: Sequence[Device]) -> list[str]:
    rows = [("NPU ID", "Chip ID", "Chip Logic ID", "Chip Name")]
    for one in found:
        rows += [(str(one.npu), "0", str(one.logic), f"Ascend {one.chip}"), (str(one.npu), "1", "-", "Mcu")]
    return ["\t" + "".join(f"{cell:<31}" for cell in row) for row in rows]


def _board(one: Device) -> list[str]:
    return _fields(
        ("NPU ID", one.npu),
        ("Software Version", VERSION),
        ("Firmware Version", VERSION),
        ("Compatibility", "OK"),
        ("PCIe Bus Info", f"0000:{0x81 + one.npu:02X}:00.0"),
        ("Chip Count", 1),
    )


def _chip_board(one: Device) -> list[str]:
    return _fields(
        ("NPU ID", one.npu),
        ("Chip ID", 0),
        ("Chip Type", "Ascend"),
        ("Chip Name", one.chip),
        ("Chip Version", "V1"),
        ("Firmware Version", VERSION),
    )


def _health(one: Device) -> list[str]:
    bad = one.health != "OK"
    return _fields(
        (" Health Status", one.health),
        (" Error Code", "80E01801" if bad else "NA"),
        (" Error Information", "node type=AICORE, sensor type=RAS, event state=fault" if bad else "NA"),
    )


def _usages(one: Device) -> list[str]:
    hbm = (("HBM Capacity(MB)", HBM), ("HBM Usage Rate(%)", 0)) if one.has_hbm else ()
    return _fields(
        ("NPU ID", one.npu),
        ("Chip Count", 1),
        ("DDR Capacity(MB)", 15039 if one.has_hbm else MEMORY),
        ("DDR Usage Rate(%)", 6),
        *hbm,
        ("Aicore Usage Rate(%)", LOAD if one.ai_core else 0),
        ("Aicpu Usage Rate(%)", 0),
        ("Ctrlcpu Usage Rate(%)", 0),
        ("Chip ID", 0),
    )


def _fields(*fields: tuple[str, object]) -> list[str]:
    return [f"{key:<31}: {value}" for key, value in fields]


def _rule(sign: str, widths: Sequence[int]) -> str:
    return "+" + "+".join(sign * width for width in widths) + "+"


def _row(widths: Sequence[int], *cells: str) -> str:
    return "|" + "|".join(f" {cell:<{width - 1}}" for cell, width in zip(cells, widths, strict=True)) + "|"
