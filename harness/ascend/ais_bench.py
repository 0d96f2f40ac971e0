"""What ais_bench (and ais_infer before it) prints: which generation it is, its figures, and where outputs were written.

Versions say nothing: the package has been "0.0.2" since 2022. Five generations of output exist, G0 (2022-06) to G4
(2024-06), told apart by their options and by the form of the throughput line. What is printed holds figures only;
samples are in the JSON file, from G2 on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.ascend.printed import NUMBER, Printed, figure, lines_of, matches, unexpected
from harness.ascend.report import Latency, Report, Throughput, check_order, check_throughput
from harness.process.faults import ending, fault, shown
from harness.verdict import Broken, Refused

TOOL = "ais_bench"
HEADING = "Performance Summary"
COMPUTE, H2D, D2H = "NPU_compute_time", "H2D_latency", "D2H_latency"

OPTION = re.compile(r"(?<![\w-])--([A-Za-z][\w-]*)")
LATENCY = re.compile(rf"\[INFO\] ({COMPUTE}|{H2D}|{D2H}) \(ms\): (.*)")
FIGURE = re.compile(rf"(min|max|mean|median|percentile\(99%\)) = ({NUMBER})(?=,|\s|$)")
THROUGHPUT = re.compile(
    rf"\[INFO\] throughput (?:\(1000\*batchsize/NPU_compute_time\)"
    rf"|1000\*batchsize(?P<of_mean>\.mean)?\((?P<batch>{NUMBER})\)/NPU_compute_time\.mean\((?P<mean>{NUMBER})\))"
    rf": *(?P<value>{NUMBER})\s*$"
)
OUTPUT = re.compile(r"\[INFO\] output path:\s*(\S.*)$")
BATCHES = re.compile(
    r"\[INFO\] get filesperbatch files0 size:([0-9]{1,18}) tensor0size:([0-9]{1,18}) "
    r"filesperbatch:([0-9]{1,18}) runcount:([0-9]{1,18})"
)
MODEL_BATCH = re.compile(r"\[INFO\] try get model batchsize:([0-9]{1,18})")
WARM_UP = re.compile(r"\[INFO\] warm up ([0-9]{1,18}) (?:times )?done")
DEVICE = re.compile(rf"\bi:([0-9]{{1,9}}) device_([0-9]{{1,9}}) throughput:({NUMBER}) start_time:")
TOTAL = re.compile(rf"\[INFO\] summary throughput:({NUMBER})")
ENERGY = re.compile(rf"\[INFO\] NPU ID:([0-9]{{1,9}}) energy consumption\(J\):({NUMBER})")
ERROR = re.compile(r"\[ERROR\]|\bRuntimeError:|^E[0-9A-Z][0-9]{4}:|^E[A-Z][0-9]{3}:|\bSetDevice failed")
NO_DEVICE = re.compile(r"acl open device \d+ failed|SetDevice failed|[Ff]ailed to open device")


class Generation(StrEnum):
    """A generation of the tool by what it prints: the Ascend/tools and msit repositories from 2022-06 to 2024-06."""

    G0 = "G0"
    G1 = "G1"
    G2 = "G2"
    G3 = "G3"
    G4 = "G4"


OLD, NEW = frozenset({Generation.G0, Generation.G1}), frozenset({Generation.G2, Generation.G3, Generation.G4})
NEWEST = {"energy_consumption", "pipeline", "backend"}


@dataclass(frozen=True, kw_only=True)
class Features:
    """What ``--help`` offers: the options' names with underscores, and the generations that offer them."""

    options: frozenset[str]
    generations: frozenset[Generation]

    @property
    def gives_samples(self) -> bool:
        """Whether its JSON lists the time of every execution."""
        return self.generations <= NEW


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a run printed. ``reports`` has one for each device, in the order printed, without samples,
    and without copies where there are several; ``batch`` is what
    the model takes, ``files_per_batch`` and ``runs`` how the files were shared out (the last batch is filled up);
    ``devices`` and ``total`` are the throughputs that a run on several devices repeats; ``energy`` in joules by NPU id.
    """

    reports: tuple[Report, ...]
    generations: frozenset[Generation]
    outputs: str | None
    batch: int | None
    files_per_batch: int | None
    runs: int | None
    warm_up: int | None
    devices: tuple[tuple[int, float], ...]
    total: float | None
    energy: tuple[tuple[int, float], ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def read_features(printed: Printed) -> Features:
    """The generation by what ``--help`` offers; hyphens in names count as underscores. G2 and G3 have the same
    options: the throughput line of a run tells them apart. Raises ``Broken`` where this is not its help."""
    lines = lines_of(printed)
    options = frozenset(name.replace("-", "_") for line in lines for name in OPTION.findall(line))
    if not {"model", "loop"} <= options:
        raise unexpected(f"{TOOL} --help", "the options --model and --loop", lines[0] if lines else None)
    if options & NEWEST:
        found = {Generation.G4}
    elif "warmup_count" in options:
        found = {Generation.G2, Generation.G3}
    else:
        found = {Generation.G1 if "output_dirname" in options else Generation.G0}
    return Features(options=options, generations=frozenset(found))


def summary_path(outputs: str, generation: Generation) -> str:
    """Where the JSON of a run lies that wrote its outputs to the folder ``outputs``: inside it, misspelt, up to G1;
    beside it from G2 on."""
    folder = outputs.rstrip("/")
    return f"{folder}/sumary.json" if generation in OLD else f"{folder}_summary.json"


def read_run(printed: Printed, batch: float | None = None) -> Ran:
    """What a run printed, once its figures are consistent: throughput = 1000 * batch / mean, minimum <= median <=
    maximum, and the total of several devices is their sum. ``batch`` is what the caller asked for, if known.

    A run that failed has no report, and its errors. Raises ``Broken`` for figures that contradict each other, with the
    numbers, and for lines in no known layout. Whether the run succeeded is for ``check_run`` to say.
    """
    lines = lines_of(printed)
    throughputs = read_throughputs(lines)
    generations = frozenset(Generation)
    for _, form in throughputs:
        generations &= form
    reports = _reports(lines, tuple(found for found, _ in throughputs), batch)
    shared = matches(BATCHES, lines)
    ran = Ran(
        reports=reports,
        generations=generations,
        outputs=next((found[1].rstrip() for found in matches(OUTPUT, lines)), None),
        batch=next((int(found[1]) for found in matches(MODEL_BATCH, lines)), None),
        files_per_batch=int(shared[0][3]) if shared else None,
        runs=int(shared[0][4]) if shared else None,
        warm_up=next((int(found[1]) for found in matches(WARM_UP, lines)), None),
        devices=tuple((int(found[2]), figure(TOOL, found[3], found[0])) for found in matches(DEVICE, lines)),
        total=next((figure(TOOL, found[1], found[0]) for found in matches(TOTAL, lines)), None),
        energy=tuple((int(found[1]), figure(TOOL, found[2], found[0])) for found in matches(ENERGY, lines)),
        errors=tuple(shown(line) for line in lines if ERROR.search(line)),
        warnings=tuple(shown(line) for line in lines if "[WARNING]" in line),
    )
    _check_total(ran)
    return ran


def check_run(printed: Printed, code: int, devices: int = 1) -> Ran:
    """What a run on so many devices printed, which succeeded: exit code 0, no error line, one report a device.

    The exit code alone is not believed: profiler and shape-range modes exit with 0 whatever happens. The JSON, and
    the number of output files, are for the caller to check beside this. Raises ``Broken`` where device, driver or
    environment failed, else ``Refused``, with the lines.
    """
    ran = read_run(printed)
    if code == 0 and not ran.errors and len(ran.reports) == devices:
        return ran
    lines = lines_of(printed)
    told = f"{TOOL}: expected exit code 0, no error and {devices} {HEADING}, found {ending(code)}, "
    told += f"{len(ran.reports)} {HEADING}; {' | '.join((ran.errors or lines)[-4:]) or 'nothing printed'}"
    blamed = fault(lines, code)
    if blamed:
        raise Broken(f"{told}; {blamed.what}: {blamed.line}; {blamed.remedy}")
    if any(NO_DEVICE.search(line) for line in lines):
        raise Broken(f"{told}; the device cannot be opened: see npu-smi info, and compare driver and firmware")
    raise Refused(told)


def read_throughputs(printed: Printed) -> tuple[tuple[Throughput, frozenset[Generation]], ...]:
    """Every throughput line, with the generations that print this form, and not yet checked: see
    ``check_throughput``. Raises ``Broken`` for a line in another form."""
    found = []
    for line in lines_of(printed):
        if "[INFO] throughput" not in line:
            continue
        match = THROUGHPUT.search(line)
        if not match:
            raise unexpected(TOOL, "throughput 1000*batchsize(B)/NPU_compute_time.mean(M): T", line)
        batch, mean, value = match["batch"], match["mean"], match["value"]
        if batch is None:
            form = {Generation.G0}
        elif match["of_mean"]:
            form = {Generation.G3, Generation.G4}
        else:
            form = {Generation.G1, Generation.G2}
        throughput = Throughput(
            value=figure(TOOL, value, line),
            batch=None if batch is None else figure(TOOL, batch, line),
            mean=None if mean is None else figure(TOOL, mean, line),
            line=shown(line),
        )
        found.append((throughput, frozenset(form)))
    return tuple(found)


def _reports(lines: tuple[str, ...], throughputs: tuple[Throughput, ...], batch: float | None) -> tuple[Report, ...]:
    """One report a device: by order where each block is whole, else by the mean that both of its lines print."""
    latencies = [_latency(found) for found in matches(LATENCY, lines)]
    computes = [latency for name, latency in latencies if name == COMPUTE]
    headings = sum(HEADING in line for line in lines)
    if not len(computes) == len(throughputs) == headings:
        errors = [shown(line) for line in lines if ERROR.search(line)]
        raise Broken(
            f"{TOOL}: expected {COMPUTE} and throughput in every {HEADING}, found {headings} headings, "
            f"{len(computes)} {COMPUTE}, {len(throughputs)} throughputs: "
            f"{' | '.join(errors[-4:]) or 'the output is cut, or in no known layout'}"
        )
    # Several devices print at once, each from a process of its own: a block may lie within another.
    rest = list(computes)
    reports = []
    for throughput in throughputs:
        compute = next((one for one in rest if throughput.mean in (None, one.mean)), rest[0])
        rest.remove(compute)
        taken = check_throughput(TOOL, throughput, compute.mean, batch)
        # Which copies belong to which of several devices is not printed.
        alone = dict(latencies) if len(computes) == 1 else {}
        reports.append(
            Report(
                compute=compute,
                h2d=alone.get(H2D),
                d2h=alone.get(D2H),
                throughput=throughput.value,
                batch=taken,
                # Only a pipeline of several threads prints the mean alone.
                overlapping=compute.minimum is None,
            )
        )
    return tuple(reports)


def _latency(found: re.Match[str]) -> tuple[str, Latency]:
    """A line of figures, in order."""
    name, line = found[1], found[0]
    figures = {kind: figure(TOOL, value, line) for kind, value in FIGURE.findall(found[2])}
    if set(figures) not in ({"mean"}, {"min", "max", "mean", "median", "percentile(99%)"}):
        raise unexpected(TOOL, "min, max, mean, median and percentile(99%), or mean alone", line)
    latency = Latency(
        mean=figures["mean"],
        minimum=figures.get("min"),
        maximum=figures.get("max"),
        median=figures.get("median"),
        percentile_99=figures.get("percentile(99%)"),
    )
    check_order(TOOL, name, latency)
    return name, latency


def _check_total(ran: Ran) -> None:
    """What a run on several devices repeats at its end is what each printed."""
    printed = sorted(one.throughput for one in ran.reports)
    repeated = sorted(value for _, value in ran.devices)
    if ran.devices and printed != repeated:
        raise Broken(f"{TOOL}: expected the devices' throughputs {printed}, found {repeated} at the end")
    if ran.total is not None and not _equal(ran.total, printed):
        raise Broken(f"{TOOL}: expected summary throughput {sum(printed)!r}, found {ran.total!r}")


def _equal(total: float, parts: Sequence[float]) -> bool:
    return abs(total - sum(parts)) <= 1e-12 * abs(total)
