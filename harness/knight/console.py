"""What the quantiser prints: stages, its last line, and what the inference function reports."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.process.faults import ending, error_lines, fault, shown
from harness.verdict import Broken, Refused

STAGE = re.compile(r"Stage(\d+): *(.*?)\.?\s*$")
FINISHED = re.compile(r"Stage(\d+) Finished, It Take ([0-9.]+)s")
END = "Quantize End"
METRIC = re.compile(r"metric: *(\{.*\})")


@dataclass(frozen=True, kw_only=True)
class Console:
    """``stages`` are those that began, by number, with their names; ``seconds`` those of the ones that ended; ``ended``
    says that the last line was there; ``metrics`` are what the inference function printed, call by call."""

    stages: Mapping[int, str]
    seconds: Mapping[int, float]
    ended: bool
    metrics: tuple[Mapping[str, object], ...]


def read_console(lines: Sequence[str]) -> Console:
    """What the lines tell; others mean nothing here. Raises ``Refused`` for a metric that is no dictionary."""
    stages: dict[int, str] = {}
    seconds: dict[int, float] = {}
    metrics = []
    for line in lines:
        if found := FINISHED.search(line):
            # The sentence may end behind the unit, but a number never ends with its point.
            seconds[int(found[1])] = float(found[2].rstrip("."))
        elif found := STAGE.search(line):
            stages[int(found[1])] = found[2]
        elif found := METRIC.search(line):
            metrics.append(_metric(found[1]))
    return Console(stages=stages, seconds=seconds, ended=any(END in line for line in lines), metrics=tuple(metrics))


def check_quantised(lines: Sequence[str], code: int, files: Mapping[str, int], expected: Sequence[str]) -> Console:
    """What a quantising run printed, where text, exit code and files agree that it did its work.

    ``files`` are those found afterwards, by name, with their sizes; ``expected`` must be among them. Raises ``Broken``
    where the environment is to blame, else ``Refused``, with everything that speaks against a success.
    """
    console = read_console(lines)
    problems = [
        f"stage {number} ({name}) never ended"
        for number, name in console.stages.items()
        if number not in console.seconds
    ]
    if not console.ended:
        problems.append(f"expected a line with {END!r}, found none")
    raise_for("quantiser", [*problems, *missing(files, expected)], lines, code)
    return console


def check_made(tool: str, lines: Sequence[str], code: int, files: Mapping[str, int], expected: Sequence[str]) -> None:
    """A tool of which nobody has published what it prints has done its work: it ended with 0, and left what it should.

    Arguments and errors are those of ``check_quantised``.
    """
    raise_for(tool, missing(files, expected), lines, code)


def check_inferred(lines: Sequence[str], code: int, count: int) -> None:
    """The inference function forwarded ``count`` inputs, by its own words. Errors are those of ``check_quantised``."""
    found = [metric.get("samples") for metric in read_console(lines).metrics]
    problems = (
        [] if found == [count] else [f"expected one line metric: {{'samples': {count}}}, found {found or 'none'}"]
    )
    raise_for("quantiser -r infer", problems, lines, code)


def missing(files: Mapping[str, int], expected: Sequence[str]) -> list[str]:
    """What is wrong with the files of a tool."""
    there = shown(", ".join(sorted(files))) or "none"
    absent = [f"expected a file {name}, found {there}" for name in expected if name not in files]
    return absent + [f"{name} is empty" for name in expected if files.get(name) == 0]


def raise_for(tool: str, problems: Sequence[str], lines: Sequence[str], code: int) -> None:
    """Raises where anything speaks against a success: ``Broken`` where that is the environment, else ``Refused``."""
    found = list(problems)
    if code != 0:
        found.append(ending(code))
    elif found:
        found.append("exit code 0 all the same")
    if not found:
        return
    blamed = fault(lines, code)
    if blamed:
        raise Broken(f"{tool}: {'; '.join(found)}; {blamed.what}: {blamed.line}; {blamed.remedy}")
    raise Refused(f"{tool}: {'; '.join(found)}; {' | '.join(error_lines(lines)) or 'nothing printed'}")


def _metric(text: str) -> Mapping[str, object]:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refused(f"quantiser: metric {text[:60]!r} is no dictionary")
    return found
