"""The end of the chain: the compiled network simulated on one input, compared with the quantised graph, and profiled.

The vendor says of the comparison that all numbers are the same. The profiler's figure is an estimate of its own: no
time is made of it here.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.cells import Cell
from harness.knight import configuration, script
from harness.knight.console import check_made
from harness.knight.drive.compile import COMPILED, INPUTS, Job, sizes
from harness.knight.results import differing, read_result, result_files
from harness.store import Artefact
from harness.verdict import Outcome, Refused

OUTPUTS, RESULTS, BINARY = "outputs", "results", "input.bin"
ESTIMATE = "layer_cycles_NPU_0.txt"
"""What the profiler writes, by the manual of 3.x; its layout is shown there in a picture alone."""
NO_TIME = (
    "no time was measured: there is no board, and rne-profiling estimates by simulation, leaves out operators that run "
    f"on the host's processor, and writes it ({ESTIMATE}) in a layout that is not published"
)


def simulated(job: Job, made: Artefact, cell: Cell, quantised: Sequence[NDArray[Any]]) -> tuple[int, Path]:
    """How many numbers were simulated, and the profiler's log, beside which its estimate is kept.

    The folder of the job holds the input (``inputs/0.npy``) and the outputs of the quantised graph, which are also
    given. Raises ``Refused`` where a simulated number is another one, or a result cannot be read.
    """
    results = job.folder / RESULTS
    results.mkdir(mode=0o750)
    shutil.copytree(made.file(COMPILED), job.compiled)
    step = "npy2bin"
    try:
        _to_binary(job)
        step = "simulate"
        _simulate(job)
        count = _compare(job, cell, quantised)
        step = "profile"
        _profile(job)
    except Outcome as outcome:
        log = job.logs / f"{step}.log"
        raise type(outcome)(f"{outcome}; log {log}", log=log) from None
    log, estimate = job.logs / "profile.log", results / ESTIMATE
    if estimate.is_file():
        shutil.copyfile(estimate, job.logs / ESTIMATE)
    return count, log


def _to_binary(job: Job) -> None:
    """The input as the simulator takes it. The JSON generation has no tool for it: its manual says that these are the
    numbers themselves, one after the other."""
    array = job.folder / INPUTS / "0.npy"
    if job.host.generation == "json":
        np.load(array, allow_pickle=False).tofile(job.folder / BINARY)
        return
    done = job.start("npy2bin", script.npy2bin(job.host.tools, str(array), str(job.folder / BINARY)))
    check_made("npy2bin", done.lines, done.code, sizes(job.folder), [BINARY])


def _simulate(job: Job) -> None:
    binary, results = str(job.folder / BINARY), str(job.folder / RESULTS)
    if job.host.generation == "json":
        told = configuration.simulate(configuration.compiled(job.plan, str(job.compiled)), binary, results)
        done = job.configured("simulate", "run", told)
    else:
        files = script.compiled(job.plan, str(job.compiled))
        done = job.start("simulate", script.rne_sim(job.host.tools, job.plan, binary, files, results))
    check_made("simulator", done.lines, done.code, sizes(job.folder / RESULTS), [])


def _compare(job: Job, cell: Cell, quantised: Sequence[NDArray[Any]]) -> int:
    """How many simulated numbers there are, all of them those of the quantised graph."""
    results, specs = job.folder / RESULTS, cell.sized.outputs
    names = result_files(sorted(sizes(results)), [spec.name for spec in specs])
    count = 0
    for k, (spec, name, expected) in enumerate(zip(specs, names, quantised, strict=True)):
        found = read_result((results / name).read_text(errors="replace"), prod(spec.shape(1)), name)
        if others := differing(found, expected):
            raise Refused(
                f"simulator: {others} of {expected.size} numbers of {spec.name} are not those of the quantised graph; "
                "the vendor promises none"
            )
        count += expected.size
        if job.host.generation == "script":
            # Its log is for people: what it prints is published as a picture alone.
            array = str(job.folder / OUTPUTS / f"0_{k}.npy")
            job.start(f"compare_{k}", script.sim2quant_compare(job.host.tools, array, str(results / name)))
    return count


def _profile(job: Job) -> None:
    results = str(job.folder / RESULTS)
    if job.host.generation == "json":
        model = configuration.compiled(job.plan, str(job.compiled))
        done = job.configured("profile", "profiling", configuration.simulate(model, str(job.folder / BINARY), results))
    else:
        files = script.compiled(job.plan, str(job.compiled))
        done = job.start("profile", script.rne_profiling(job.host.tools, job.plan, files, results))
    check_made("rne-profiling", done.lines, done.code, sizes(job.folder / RESULTS), [])
