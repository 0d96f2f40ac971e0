"""Time: calls repeated after a warm-up by rule, timed by wall and CPU together; and whether the times mean anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from harness.verdict import Answer, Broken, Figure, Verdict

WAITED = 3.0
"""On one thread the smallest wall time may be at most this many times the smallest CPU time. Neighbours' load
stretches single calls, but hardly the smallest of many; a session that sleeps or waits stretches them all."""


@dataclass(frozen=True, kw_only=True)
class TimingPlan:
    """When to stop: after ``rounds`` calls or ``seconds``, whichever is first, but not before ``at_least`` calls."""

    rounds: int = 50
    seconds: float = 3.0
    at_least: int = 5


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """Where time is read, in seconds; tests inject their own."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Seconds a call, as they were taken, and the clock they were taken with.

    ``mean_of`` is set where a tool gave only the mean of that many calls: ``wall`` then holds that one figure, and no
    distribution is invented. ``device`` names the chip, where it is not this machine's processor, and ``compiled`` what
    was compiled for it: with which options, and which of the guide's were left out.
    """

    clock: str
    wall: tuple[float, ...]
    cpu: tuple[float, ...] = ()
    warm_up: int = 0
    mean_of: int | None = None
    device: str = ""
    compiled: Mapping[str, str] = field(default_factory=dict)


def time_calls(call: Callable[[], object], plan: TimingPlan, clocks: Clocks | None = None) -> Measurement:
    """Times ``call`` by wall and CPU together; clock ``host``: one call, from outside."""
    clocks = clocks or Clocks()
    warm_up = _warm_up(call, clocks)
    wall: list[float] = []
    cpu: list[float] = []
    began = clocks.wall()
    while len(wall) < plan.rounds and (len(wall) < plan.at_least or clocks.wall() - began < plan.seconds):
        before_cpu, before = clocks.cpu(), clocks.wall()
        call()
        after, after_cpu = clocks.wall(), clocks.cpu()
        wall.append(after - before)
        cpu.append(after_cpu - before_cpu)
    return Measurement(clock="host", wall=tuple(wall), cpu=tuple(cpu), warm_up=warm_up)


def _warm_up(call: Callable[[], object], clocks: Clocks) -> int:
    """Calls until the medians of two neighbouring windows of three lie within 5%; at most ten calls, and no third
    one where a call takes over a second. Returns how many calls that took."""
    spent: list[float] = []
    while len(spent) < 10:
        before = clocks.wall()
        call()
        spent.append(clocks.wall() - before)
        if len(spent) >= 2 and max(spent) > 1.0:
            break
        if len(spent) >= 6 and abs(median(spent[-3:]) / max(median(spent[-6:-3]), 1e-12) - 1) < 0.05:
            break
    return len(spent)


def judge(measurement: Measurement, batch: int, threads: int) -> Answer:
    """An answer with the samples: ``pass`` where they are times, ``broken`` where the timer measured nothing or the
    calls mostly waited. How fast is never a verdict here: comparing runs is the reports' work."""
    wall, cpu = measurement.wall, measurement.cpu
    if not wall or min(wall) <= 0:
        shown = f"smallest sample {min(wall)} s" if wall else "no sample"
        raise Broken(f"the timer measured nothing: {len(wall)} samples, {shown}; expected every call to take time")
    figures: dict[str, Figure] = {
        "clock": measurement.clock,
        "device": measurement.device or None,
        **measurement.compiled,
        "rounds": len(wall),
        "warm_up": measurement.warm_up,
        "mean_of": measurement.mean_of,
        "latency_median": median(wall),
        "latency_cpu_median": median(cpu) if cpu else None,
        "throughput": batch / median(wall),
        "latency_wall": wall,
        "latency_cpu": cpu,
    }
    if cpu and threads == 1 and min(wall) > WAITED * min(cpu):
        line = (
            f"the calls waited: smallest wall time {min(wall) * 1e3:.2f} ms, smallest CPU time {min(cpu) * 1e3:.2f} ms "
            f"on one thread, expected at most {WAITED:g} times that; n={len(wall)}; another process holds the "
            "processor, or the backend sleeps"
        )
        return Answer(verdict=Verdict.BROKEN, line=line, figures=figures)
    kind, calls = ("mean", measurement.mean_of) if measurement.mean_of else ("median", len(wall))
    line = (
        f"{batch / median(wall):.1f}/s at batch {batch} ({kind} of {calls} calls {median(wall) * 1e3:.2f} ms, "
        f"clock {measurement.clock}{f' on {measurement.device}' if measurement.device else ''})"
    )
    return Answer(verdict=Verdict.PASS, line=line, figures=figures)
