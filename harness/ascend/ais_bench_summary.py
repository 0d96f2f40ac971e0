"""The JSON file that ais_bench writes beside a run's outputs: the same figures, and every execution's time from G2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.ascend.ais_bench import COMPUTE, D2H, H2D
from harness.ascend.printed import LARGEST, unexpected
from harness.ascend.report import (
    Latency,
    Report,
    Throughput,
    check_count,
    check_order,
    check_samples,
    check_throughput,
)

FILE = "ais_bench summary"
LIST = "npu_compute_time_list"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One summary file. ``report`` has samples from G2 on; ``files`` are the written outputs by the tool's own number
    of the sample, ``arguments`` and ``pid`` of the run, where it says."""

    report: Report
    files: Mapping[str, tuple[str, ...]]
    arguments: tuple[str, ...]
    pid: int | None


def read_summary(content: str | bytes, batch: float | None = None, executions: int | None = None) -> Summary:
    """A summary file, once its figures are consistent: throughput = 1000 * batch / mean, count = number of samples =
    ``executions`` (loops x runs), the samples' figures those of the summary, minimum <= median <= maximum.

    ``batch`` and ``executions`` are what the caller asked for, if known; all times in milliseconds. Before G2 there is
    no count and no list: the report then has no samples. A list of [start, end] pairs (several threads) gives none
    either, as executions overlapped. Raises ``Broken`` with the numbers or the text where it is not such a file.
    """
    root = _object(content)
    compute = _latency(root, COMPUTE)
    if compute is None:
        raise unexpected(FILE, f"the key {COMPUTE}", ", ".join(root))
    throughput = Throughput(value=_number(root.get("throughput"), "throughput"), batch=None, mean=None, line="")
    samples, overlapping = _samples(root)
    if samples:
        check_samples(FILE, compute, samples, executions)
    elif executions is not None:
        check_count(FILE, compute.count, executions)
    report = Report(
        compute=compute,
        h2d=_latency(root, H2D),
        d2h=_latency(root, D2H),
        throughput=throughput.value,
        batch=check_throughput(FILE, throughput, compute.mean, batch),
        samples=samples,
        overlapping=overlapping,
    )
    arguments, pid = root.get("args", []), root.get("pid")
    return Summary(
        report=report,
        files=_files(root.get("filesinfo", {})),
        arguments=tuple(map(str, arguments)) if isinstance(arguments, list) else (str(arguments),),
        pid=pid if isinstance(pid, int) else None,
    )


def _object(content: str | bytes) -> dict[str, Any]:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    try:
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Python refuses what is nested too deep, or a number of thousands of digits, in words of its own.
        raise unexpected(FILE, "a JSON object", f"{text[:80]} ({error})") from error
    if not isinstance(root, dict):
        raise unexpected(FILE, "a JSON object", text[:80])
    return root


def _number(value: object, name: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST:
        return float(value)
    raise unexpected(FILE, f"a finite number as {name}", repr(value)[:80])


def _count(value: object) -> int:
    number = _number(value, "count")
    if number != int(number):
        raise unexpected(FILE, "a whole number as count", repr(value)[:80])
    return int(number)


def _latency(root: Mapping[str, Any], name: str) -> Latency | None:
    figures = root.get(name)
    if figures is None:
        return None
    if not isinstance(figures, dict) or "mean" not in figures:
        raise unexpected(FILE, f"figures with a mean as {name}", repr(figures)[:80])
    kinds = ("min", "max", "median", "percentile(99%)")
    low, high, middle, late = (_number(figures[kind], kind) if kind in figures else None for kind in kinds)
    latency = Latency(
        mean=_number(figures["mean"], "mean"),
        minimum=low,
        maximum=high,
        median=middle,
        percentile_99=late,
        count=_count(figures["count"]) if "count" in figures else None,
    )
    check_order(FILE, name, latency)
    check_count(FILE, latency.count, None)
    return latency


def _samples(root: Mapping[str, Any]) -> tuple[tuple[float, ...], bool]:
    """The time of every execution, and whether they overlapped; then there is none that is a latency."""
    listed = root.get(LIST)
    if listed is None:
        return (), False
    if not isinstance(listed, list) or not listed:
        raise unexpected(FILE, f"a list of times as {LIST}", repr(listed)[:80])
    if any(isinstance(one, list) for one in listed):
        for one in listed:
            if not isinstance(one, list) or len(one) != 2 or _number(one[0], LIST) > _number(one[1], LIST):
                raise unexpected(FILE, f"pairs of start and end in {LIST}", repr(one)[:80])
        return (), True
    return tuple(_number(one, LIST) for one in listed), False


def _files(listed: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(listed, dict):
        raise unexpected(FILE, "outfiles by sample as filesinfo", repr(listed)[:80])
    found = {}
    for sample, files in listed.items():
        outputs = files.get("outfiles", []) if isinstance(files, dict) else None
        if not isinstance(outputs, list):
            raise unexpected(FILE, "a list of outfiles in filesinfo", repr(files)[:80])
        found[sample] = tuple(map(str, outputs))
    return found
