"""What the suite itself costs: ``python -m tests.benchmarks overhead | stream | memory | collect | integers``.

Figures, not tests: nothing here passes or fails. Times are CPU time or ratios taken in turn within one process, because
wall time on a shared machine says more about the neighbours.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from statistics import median

from harness.assets import Assets
from harness.backends import Compute
from harness.cells import Cell
from harness.evaluate import Task, evaluate, stack
from harness.measure import TimingPlan, time_calls
from harness.model import Model
from harness.provenance import INTEGERS, provenance
from harness.registry import PROJECT, load_models
from harness.sizes import Point
from harness.store import Store
from harness.workbench import Workbench


def main() -> int:
    """Prints one figure with what it was measured on."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("figure", choices=sorted(FIGURES))
    parser.add_argument("--model", default="crnn", help="name of a declaration; default crnn")
    parser.add_argument("--form", default="", help="name of a quantised form (integers)")
    parser.add_argument("--reference", default="seeded", help="seeded (full size, default) or bundled (narrow)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--count", type=int, default=1024, help="words by one start of a tool (files)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    FIGURES[options.figure](options)
    return 0


def overhead(options: argparse.Namespace) -> None:
    """Latency as the suite measures it, divided by a bare ``InferenceSession.run`` loop, in turn, CPU time."""
    import onnxruntime

    model, bench, cell = _deployed(options)
    items = bench.inputs(model, model.reference("seeded"), options.batch)
    (batch,) = stack(items, model, options.batch)
    reference = model.reference(options.reference)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = options.threads
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = bench.form(model, reference, cell.form).file("model.onnx")
    bare = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    plan = TimingPlan(rounds=10, seconds=60, at_least=5)
    output = model.outputs[0].name
    ratios: list[float] = []
    walls: list[tuple[float, float]] = []
    with bench.open(cell, reference) as session:
        for _ in range(options.rounds):
            ours = session.measure(batch, plan)
            loop = time_calls(lambda: bare.run([output], dict(batch.inputs)), plan)
            ratios.append(median(ours.cpu) / median(loop.cpu))
            walls.append((median(ours.wall), median(loop.wall)))
    shown = " ".join(f"{ratio:.4f}" for ratio in ratios)
    wall, bare_wall = (median(times) for times in zip(*walls, strict=True))
    print(
        f"{model.name} {options.reference}, batch {options.batch}, {options.threads} threads: "
        f"{wall * 1e3:.1f} ms a batch, {options.batch / wall:.1f}/s; bare loop {bare_wall * 1e3:.1f} ms, "
        f"{options.batch / bare_wall:.1f}/s (medians, wall); suite / bare loop, CPU time: "
        f"median {median(ratios):.4f} of {shown}"
    )


def stream(options: argparse.Namespace) -> None:
    """Words a second of the whole evaluation divided by those of inference alone on prepared batches, in turn, wall."""
    model, bench, cell = _deployed(options)
    task = Task.of(model)
    data = model.reference("bundled").data
    with bench.data(data) as reader:
        words = list(islice(reader.samples(), 10 * options.batch))
    batches = stack([task.prepare(word) for word in words], model, options.batch)
    ratios: list[float] = []
    with bench.open(cell, model.reference(options.reference)) as session:
        _seconds(lambda: list(session.map(batches)))
        for _ in range(options.rounds):
            pure = _seconds(lambda: list(session.map(batches)))
            whole = _seconds(lambda: list(evaluate(session, words, task, options.batch)))
            ratios.append(pure / whole)
    shown = " ".join(f"{ratio:.3f}" for ratio in ratios)
    print(
        f"{model.name}: evaluation / pure inference, words/s, batch {options.batch}, {options.reference}, "
        f"{len(words)} words: "
        f"median {median(ratios):.3f} of {shown}"
    )


def files(options: argparse.Namespace) -> None:
    """Words a second through a device's tools, over files, divided by those of the same form in the same precision in
    this process, in turn, wall. With tools that are only played, this is what files and processes cost."""
    model, bench, here = _deployed(options)
    device = replace(here, backend="ascend", precision=model.recipes["ascend"].precision)
    lowered = model.lowered(here.form, device.precision)
    assert lowered is not None
    here = replace(here, form=lowered, precision=device.precision)
    items = bench.inputs(model, model.reference(options.reference), options.batch)
    batches = stack(items, model, options.batch) * (options.count // options.batch)
    reference = model.reference(options.reference)
    ratios: list[float] = []
    with bench.open(here, reference) as session, bench.open(device, reference) as played:
        for _ in range(options.rounds):
            inside = _seconds(lambda: list(session.map(batches)))
            ratios.append(inside / _seconds(lambda: list(played.map(batches))))
    shown = " ".join(f"{ratio:.3f}" for ratio in ratios)
    print(
        f"{model.name}: over files / in process, words/s, batch {options.batch}, {options.reference}, "
        f"{len(batches) * options.batch} words by one start of the tool: median {median(ratios):.3f} of {shown}"
    )


def memory(options: argparse.Namespace) -> None:
    """Peak resident memory of evaluating 100 and 10,000 words, each in a process of its own."""
    peaks: dict[int, int] = {}
    for count in (100, 10_000):
        command = [sys.executable, "-c", f"from tests.benchmarks.__main__ import _peak; _peak({count})"]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
        peaks[count] = json.loads(done.stdout.splitlines()[-1])["peak_kib"]
        print(f"{count} words: peak {peaks[count] / 1024:.1f} MiB")
    print(f"difference {(peaks[10_000] - peaks[100]) / 1024:.1f} MiB")


def collect(options: argparse.Namespace) -> None:
    """CPU seconds of ``pytest --collect-only -q``."""
    spent: list[float] = []
    for _ in range(options.rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-q"], cwd=PROJECT, capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"collecting: median {median(spent):.2f} CPU s of {' '.join(f'{value:.2f}' for value in spent)}")


def integers(options: argparse.Namespace) -> None:
    """CPU time of a quantised form beside the form that it is made of, with and without exact integers, in turn."""
    from tests.benchmarks.integers import compared

    model, bench, _ = _deployed(options)
    form, reference = model.form(options.form), model.reference(options.reference)
    single = model.against(form)
    assert form.quantisation is not None
    assert single is not None
    cell = Cell(model, form, "ort", form.precision, _point(model, options))
    (batch,) = stack(bench.inputs(cell.sized, reference, options.batch), cell.sized, options.batch)
    paths = (bench.form(model, reference, each, cell.point).file("model.onnx") for each in (single, form))
    found = provenance(1)
    print(f"{cell.id}, {options.reference}, one thread, {found['cpu']}, {', '.join(found[name] for name in INTEGERS)}")
    for line in compared(*paths, batch.inputs, options.rounds):
        print(f"  {line}")


MEASURED = (overhead, stream, files, memory, collect, integers)
FIGURES = {each.__name__: each for each in MEASURED}


def _peak(count: int) -> None:
    """Evaluates so many rendered words on the bundled reference and prints the peak memory of this process."""
    model, bench, cell = _deployed(argparse.Namespace(model="crnn", reference="bundled", batch=32, threads=1))
    data = model.reference("bundled").data
    assert data is not None
    data = replace(data, name=f"rendered_{count}", params={**data.params, "count": count}, n=count, digest=None)
    with bench.data(data) as reader, bench.open(cell, model.reference("bundled")) as session:
        scored = sum(1 for _ in evaluate(session, reader.samples(), Task.of(model), 32))
    assert scored == count
    print(json.dumps({"peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


def _point(model: Model, options: argparse.Namespace) -> Point:
    """The point at which the reference is judged where that has so many items, else the first that has."""
    points = (model.judged(model.reference(options.reference)), *model.points)
    return next(point for point in points if point.batch == options.batch)


def _deployed(options: argparse.Namespace) -> tuple[Model, Workbench, Cell]:
    model = load_models()[options.model]
    point = _point(model, options)
    scratch = PROJECT / "results" / ".benchmarks"
    bench = Workbench(Store(PROJECT / ".store"), Assets(), scratch, compute=Compute(threads=options.threads))
    return model, bench, Cell(model, model.deployed(model.reference(options.reference)), "ort", "fp32", point)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
