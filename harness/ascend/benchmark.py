"""What benchmark.x86_64 and benchmark.aarch64 print and write: means, and never a sample.

A throughput of theirs is that of one chip. The figures of a pass with pictures are in a file of five lines; those of a
pure inference are printed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.ascend.printed import NUMBER, Printed, figure, lines_of, matches, unexpected
from harness.process.faults import shown
from harness.verdict import Broken

TOOL = "benchmark"
STAGE = re.compile(r"\[(e2e|data read|preprocess|inference|infer|postprocess|post)\] (throughputRate:.*)")
FIGURE = re.compile(rf"(Interface throughputRate|throughputRate|moduleLatency|latency): ({NUMBER})(?=,|\s|$)")
OLDER = {"infer": "inference", "post": "postprocess"}
PURE = re.compile(rf"\[INFO\] ave_throughputRate: ({NUMBER})samples/s, ave_latency: ({NUMBER})ms")
SAVED = re.compile(r"\[INFO\] PureInfer result saved in (\S.*)$")
CHIPS = {"Ascend310": 4, "Ascend310P3": 1}
"""Chips of a card whose throughputs published tables add up: the 310 carries four."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Means of one stage: items a second over the whole pass, and milliseconds of one call."""

    throughput: float
    latency: float


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One pass over a set of pictures. ``throughput`` in items a second and ``seconds`` are of the whole of it, by the
    wall; ``interface`` is the throughput of the calls that execute the model, of one chip: the published figure."""

    throughput: float
    seconds: float
    interface: float
    stages: Mapping[str, Stage]

    @property
    def items(self) -> int:
        """How many items the pass had, as far as six digits tell."""
        return round(self.throughput * self.seconds)


@dataclass(frozen=True, kw_only=True)
class Pure:
    """Means of a pure inference with made-up inputs: items a second of one chip, milliseconds of one execution, and
    the file that they were written to. The two need not be each other's inverse: each is averaged by itself."""

    throughput: float
    latency: float
    saved: str | None


def read_pass(content: Printed) -> Pass:
    """The figures in ``perf_vision_batchsize_B_device_D.txt``, with the older names of stages too. Raises ``Broken``
    with the line where it is no such file."""
    lines = lines_of(content)
    found: dict[str, dict[str, float]] = {}
    texts: dict[str, str] = {}
    for match in matches(STAGE, lines):
        name = OLDER.get(match[1], match[1])
        if name in found:
            raise unexpected(TOOL, f"one line [{name}]", match[0])
        found[name] = {kind: _above_0(value, match[0]) for kind, value in FIGURE.findall(match[2])}
        texts[name] = match[0]
    for name, kinds in (
        ("e2e", {"throughputRate", "latency"}),
        ("inference", {"throughputRate", "Interface throughputRate", "moduleLatency"}),
    ):
        if found.get(name, {}).keys() != kinds:
            last = lines[-1] if lines else None
            raise unexpected(TOOL, f"a line [{name}] with {', '.join(sorted(kinds))}", texts.get(name, last))
    stages = {}
    for name, figures in found.items():
        if name == "e2e":
            continue
        if not {"throughputRate", "moduleLatency"} <= figures.keys():
            raise unexpected(TOOL, f"throughputRate and moduleLatency of [{name}]", texts[name])
        stages[name] = Stage(throughput=figures["throughputRate"], latency=figures["moduleLatency"])
    return Pass(
        throughput=found["e2e"]["throughputRate"],
        seconds=found["e2e"]["latency"] / 1000,
        interface=found["inference"]["Interface throughputRate"],
        stages=stages,
    )


def read_pure(printed: Printed) -> Pure:
    """The figures that a pure inference prints. Raises ``Broken`` with the last line where there are none, and where
    there are several that differ."""
    lines = lines_of(printed)
    found = matches(PURE, lines)
    if not found:
        raise unexpected(
            TOOL, "[INFO] ave_throughputRate: ..samples/s, ave_latency: ..ms", lines[-1] if lines else None
        )
    if len({one[0] for one in found}) > 1:
        raise unexpected(TOOL, f"one result, {shown(found[0][0])!r}", found[-1][0])
    return Pure(
        throughput=_above_0(found[0][1], found[0][0]),
        latency=_above_0(found[0][2], found[0][0]),
        saved=next((one[1] for one in matches(SAVED, lines)), None),
    )


def card_throughput(chip: float, soc_version: str) -> float:
    """Items a second of a card, as published tables count: four chips on a 310, one on a 310P. Raises ``Broken`` for
    another chip, whose cards are not known here."""
    if soc_version not in CHIPS:
        raise Broken(f"{TOOL}: expected one of {', '.join(CHIPS)}, whose chips a card are known, found {soc_version}")
    return CHIPS[soc_version] * chip


def _above_0(text: str, line: str) -> float:
    value = figure(TOOL, text, line)
    if value <= 0:
        raise unexpected(TOOL, "figures above 0", line)
    return value
