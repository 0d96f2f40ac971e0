"""What is known of every recorded output about times, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.ascend import ais_bench, benchmark, msame
from harness.ascend.ais_bench_summary import read_summary
from harness.ascend.report import check_throughput
from tests.ascend_devices import captures, told

Facts = Mapping[str, Any]


def ran(text: str) -> Facts:
    """A run's facts without those that are nothing."""
    read = ais_bench.read_run(text)
    facts = {
        "mean": [one.compute.mean for one in read.reports],
        "min": [one.compute.minimum for one in read.reports],
        "max": [one.compute.maximum for one in read.reports],
        "median": [one.compute.median for one in read.reports],
        "p99": [one.compute.percentile_99 for one in read.reports],
        "h2d": [one.h2d.mean for one in read.reports if one.h2d],
        "d2h": [one.d2h.mean for one in read.reports if one.d2h],
        "throughput": [one.throughput for one in read.reports],
        "batch": [one.batch for one in read.reports],
        "samples": [one for report in read.reports for one in report.samples],
        "generations": "".join(sorted(read.generations)),
        "outputs": read.outputs,
        "model batch": read.batch,
        "files": read.files_per_batch,
        "runs": read.runs,
        "warm up": read.warm_up,
        "devices": read.devices,
        "total": read.total,
        "energy": read.energy,
        "errors": read.errors,
        "warnings": read.warnings,
    }
    return {name: value for name, value in facts.items() if value not in (None, [], ())}


def faulty(text: str) -> list[Facts]:
    return [
        {"errors": len(facts.get("errors", ())), "warnings": len(facts.get("warnings", ())), "judged": judged}
        for capture in captures(text)
        for facts, judged in [(ran(capture), told(lambda one=capture: ais_bench.check_run(one, 1)).split(":")[0])]
    ]


def summary(text: str) -> Facts:
    content = "{" + text.partition("\n")[2]
    read = read_summary(content, batch=16)
    return {
        "compute": vars(read.report.compute),
        "h2d": read.report.h2d and read.report.h2d.mean,
        "d2h": read.report.d2h and read.report.d2h.maximum,
        "throughput": read.report.throughput,
        "batch": read.report.batch,
        "implied": read_summary(content).report.batch,
        "samples": read.report.samples,
        "wrong": told(lambda: read_summary(content, batch=8)).split(":")[0],
    }


def lines_of_readmes(text: str) -> Facts:
    (right, _), (wrong, _) = ais_bench.read_throughputs(text)
    return {
        "batch": check_throughput("ais_bench", right),
        "value": right.value,
        "mean": right.mean,
        "wrong": told(lambda: check_throughput("ais_bench", wrong)),
    }


def sampled(text: str) -> Facts:
    read = msame.read_run(text)
    return {
        "n": len(read.samples),
        "first": read.samples[:1],
        "slowest": max(read.samples, default=None),
        "warm": len(read.warm),
        "mean": read.mean,
        "without first": read.mean_without_first,
        "outputs": read.outputs,
        "succeeded": read.succeeded,
        "written": read.written,
        "errors": read.errors,
    }


def passed(text: str) -> Facts:
    read = benchmark.read_pass(text)
    return {
        "throughput": read.throughput,
        "seconds": read.seconds,
        "items": read.items,
        "interface": read.interface,
        "stages": {name: (one.throughput, one.latency) for name, one in read.stages.items()},
        "card": benchmark.card_throughput(read.interface, "Ascend310"),
    }


FACTS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "ais_bench-1.txt": (
        ran,
        {
            "mean": [13.476432624680307],
            "min": [13.384765625],
            "max": [13.640625],
            "median": [13.4765625],
            "p99": [13.55142578125],
            "throughput": [4749.03127425521],
            "batch": [64.0],
            "generations": "G3G4",
            "outputs": "./result",
            "model batch": 64,
            "files": 64,
            "runs": 782,
            "warm up": 1,
        },
    ),
    "ais_bench-10.txt": (
        ran,
        {
            "mean": [3.5538000106811523],
            "min": [2.4769999980926514],
            "max": [3.937000036239624],
            "median": [3.7230000495910645],
            "p99": [3.936680030822754],
            "throughput": [281.38893494131406],
            "batch": [1.0],
            "generations": "G3G4",
            "energy": ((4, 59.88656545251415),),
        },
    ),
    "ais_bench-12.txt": (
        lines_of_readmes,
        {
            "batch": 16.0,
            "value": 1546.0550355958437,
            "mean": 10.348920078277589,
            "wrong": "broken: ais_bench: expected throughput 1546.0550355958437/s = 1000 * 16 / 10.348920078277589 ms, "
            "found 112.53087529912726/s, as if the batch were 1.16457",
        },
    ),
    "ais_bench-2.txt": (
        ran,
        {
            "mean": [0.4343369999527931],
            "min": [0.40299999713897705],
            "max": [3.2839999198913574],
            "median": [0.42399999499320984],
            "p99": [0.5660099846124649],
            "h2d": [0.10275840759277344],
            "d2h": [0.07843971252441406],
            "throughput": [2302.359688694924],
            "batch": [1.0],
            "generations": "G1G2",
        },
    ),
    "ais_bench-4.txt": (
        ran,
        {
            "mean": [5.828554630279541],
            "min": [5.828554630279541],
            "max": [5.828554630279541],
            "median": [5.828554630279541],
            "p99": [5.828554630279541],
            "h2d": [0.2384185791015625],
            "d2h": [0.08606910705566406],
            "throughput": [171.5691219234638],
            "batch": [1.0],
            "generations": "G0",
            "outputs": "test/2022_07_09-18_23_06",
        },
    ),
    "ais_bench-6.txt": (
        ran,
        {
            "mean": [3.5538000106811523, 3.616000032424927],
            "min": [2.4769999980926514, 3.3889999389648438],
            "max": [3.937000036239624, 3.9230000972747803],
            "median": [3.7230000495910645, 3.555000066757202],
            "p99": [3.936680030822754, 3.9134000968933105],
            "throughput": [281.38893494131406, 276.54867008654026],
            "batch": [1.0, 1.0],
            "generations": "G3G4",
            "devices": ((1, 281.38893494131406), (2, 276.54867008654026)),
            "total": 557.9376050278543,
        },
    ),
    "ais_bench-7.txt": (
        faulty,
        [
            {"errors": 0, "warnings": 1, "judged": "fail"},
            {"errors": 1, "warnings": 0, "judged": "fail"},
            {"errors": 3, "warnings": 0, "judged": "broken"},
            {"errors": 1, "warnings": 0, "judged": "fail"},
            {"errors": 3, "warnings": 0, "judged": "fail"},
        ],
    ),
    "ais_bench-8.txt": (
        summary,
        {
            "compute": {
                "mean": 4.652794558563232,
                "minimum": 3.8949999809265137,
                "maximum": 81.9729995727539,
                "median": 3.9760000705718994,
                "percentile_99": 9.564919853210439,
                "count": None,
            },
            "h2d": 4.154865646362305,
            "d2h": 17.41957664489746,
            "throughput": 3438.7935677393734,
            "batch": 16.0,
            "implied": 16.0,
            "samples": (),
            "wrong": "broken",
        },
    ),
    "msame-1.txt": (
        sampled,
        {
            "n": 10,
            "first": (105.365,),
            "slowest": 105.504,
            "warm": 9,
            "mean": 105.4171,
            "without first": 105.422889,
            "outputs": "output//20211111_224034",
            "succeeded": True,
            "written": True,
            "errors": (),
        },
    ),
    "msame-3.txt": (
        sampled,
        {
            "n": 0,
            "first": (),
            "slowest": None,
            "warm": 0,
            "mean": 92.93,
            "without first": 92.92,
            "outputs": None,
            "succeeded": True,
            "written": False,
            "errors": (),
        },
    ),
    "msame-4.txt": (
        sampled,
        {
            "n": 0,
            "first": (),
            "slowest": None,
            "warm": 0,
            "mean": 2.24548,
            "without first": 2.24301,
            "outputs": None,
            "succeeded": True,
            "written": True,
            "errors": (),
        },
    ),
    "benchmark.x86_64-1.txt": (
        passed,
        {
            "throughput": 87.7802,
            "seconds": 569.604,
            "items": 50000,
            "interface": 103.795,
            "stages": {
                "data read": (92.9318, 10.7606),
                "preprocess": (92.6819, 10.7896),
                "inference": (88.0032, 10.7968),
                "postprocess": (88.0046, 11.363),
            },
            "card": 415.18,
        },
    ),
    "benchmark.x86_64-3.txt": (
        lambda text: vars(benchmark.read_pure(text)),
        {
            "throughput": 36.0774,
            "latency": 27.7591,
            "saved": "./result/PureInfer_perf_of_TextSnake_bs1_in_device_0.txt",
        },
    ),
}
