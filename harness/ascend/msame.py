"""What msame prints, every execution's time and the folder of its outputs, and how it names these."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from statistics import fmean

from harness.ascend.printed import NUMBER, Printed, figure, lines_of, matches, unexpected
from harness.process.faults import ending, fault, shown
from harness.verdict import Broken, Refused

TOOL = "msame"
TIME = re.compile(rf"\bInference time: ({NUMBER})ms\b")
AVERAGE = re.compile(rf"\bInference average time ?: ({NUMBER}) ms")
WITHOUT_FIRST = re.compile(rf"\bInference average time without first time ?: ({NUMBER}) ms")
# A path, alone on its line, that ends with the time. That has been 20211111_224034, and later numbers without leading
# zeros (202262_18_19_23_73731), which no longer tell the day: it is never read, only found.
FOLDER = re.compile(r"^(?!\[)\S.*/[0-9]+(?:_[0-9]+)+$")
SUCCESS = re.compile(r"\[INFO\] (?:pid: ?[0-9]+ )?Execute sample success\b")
WRITTEN = "[INFO] output data success"
NO_DEVICE = re.compile(r"open device \S+ failed|SetDevice failed|acl init failed")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a run printed. ``samples`` are milliseconds of one execution each, by the host's clock around it, without
    copies, in six significant digits; the first is cold, as msame does not warm up. ``mean`` and
    ``mean_without_first`` are as printed (ms), nothing where they are not.

    ``succeeded`` and ``written`` say whether msame printed so: bad arguments exit with 0 all the same.
    """

    samples: tuple[float, ...]
    mean: float | None
    mean_without_first: float | None
    outputs: str | None
    succeeded: bool
    written: bool
    errors: tuple[str, ...]

    @property
    def warm(self) -> tuple[float, ...]:
        """The samples without the first, cold one."""
        return self.samples[1:]


def read_run(printed: Printed) -> Ran:
    """What a run printed, once its averages are those of its samples, as far as the printed digits go. Raises
    ``Broken`` with the numbers where they are not, and where two folders are named."""
    lines = lines_of(printed)
    times = tuple((found[1], figure(TOOL, found[1], found[0])) for found in matches(TIME, lines))
    folders = tuple(dict.fromkeys(found[0] for found in matches(FOLDER, lines)))
    if len(folders) > 1:
        raise Broken(f"{TOOL}: expected one folder of outputs, found {shown(', '.join(folders))}")
    return Ran(
        samples=tuple(value for _, value in times),
        mean=_average("average", matches(AVERAGE, lines), times),
        mean_without_first=_average("average without the first", matches(WITHOUT_FIRST, lines), times[1:]),
        outputs=folders[0] if folders else None,
        succeeded=any(SUCCESS.search(line) for line in lines),
        written=any(WRITTEN in line for line in lines),
        errors=tuple(shown(line) for line in lines if "[ERROR]" in line),
    )


def check_run(printed: Printed, code: int) -> Ran:
    """What a run printed, which succeeded: exit code 0, no error line, both lines that say so, and a time.

    The number of output files is for the caller to check beside this. Raises ``Broken`` where device or environment
    failed, else ``Refused``, with the lines.
    """
    ran = read_run(printed)
    timed = bool(ran.samples) or ran.mean is not None
    if code == 0 and not ran.errors and ran.succeeded and ran.written and timed:
        return ran
    lines = lines_of(printed)
    needed = (("Execute sample success", ran.succeeded), (WRITTEN, ran.written), ("Inference time", timed))
    said = [what for what, there in needed if not there]
    told = f"{TOOL}: expected exit code 0, no error and success, found {ending(code)}"
    told += f", no line {' and no line '.join(map(repr, said))}" if said else ""
    told += f"; {' | '.join((ran.errors or lines)[-4:]) or 'nothing printed'}"
    blamed = fault(lines, code)
    if blamed:
        raise Broken(f"{told}; {blamed.what}: {blamed.line}; {blamed.remedy}")
    if any(NO_DEVICE.search(line) for line in lines):
        raise Broken(f"{told}; the device cannot be opened: see npu-smi info")
    raise Refused(told)


def output_name(file: str, output: int, suffix: str = "bin") -> str:
    """The name of an output for an input file: its name up to the last dot, and the output's number; in runs without
    a folder of inputs, ``file`` is the model."""
    return f"{PurePosixPath(file).stem}_output_{output}.{suffix}"


def _average(name: str, found: tuple[re.Match[str], ...], times: tuple[tuple[str, float], ...]) -> float | None:
    """The printed average (ms), once it lies as near the samples' as the printed digits let it."""
    if not found:
        return None
    if not times and math.isnan(float(found[-1][1])):
        return None  # no execution succeeded: msame divides by their number
    printed = figure(TOOL, found[-1][1], found[-1][0])
    if printed <= 0:
        raise unexpected(TOOL, f"an {name} above 0", found[-1][0])
    if times:
        mean = fmean(value for _, value in times)
        allowed = fmean(_half_digit(value) for _, value in times) + 0.5 * _last_place(found[-1][1])
        if not abs(mean - printed) <= allowed * (1 + 1e-9):
            raise Broken(
                f"{TOOL}: expected {name} {mean:.6g} ms of {len(times)} samples to {allowed:.2g} ms, found {printed!r}"
            )
    return printed


def _half_digit(value: float) -> float:
    """Half of the sixth significant digit, which is the last that C++ prints."""
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - 5) if value else 0.0


def _last_place(text: str) -> float:
    """The worth of the last digit of a number in decimals."""
    return 10.0 ** -len(text.partition(".")[2])
