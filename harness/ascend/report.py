"""A report of times as an Ascend tool gives it, and the identities that its figures must keep to be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from harness.verdict import Broken

EXACT = 1e-12
"""Relative: the tool computes the throughput from the very mean that it prints, in double precision. All published
lines that are right keep the identity to the last bit."""
LARGEST = 1e9
"""No batch is as large; it keeps the arithmetic finite."""
LISTED = 1e-6
"""Relative: how far a summary may lie from the list that it sums up; the tool takes single-precision times."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Figures of one duration in milliseconds; all but the mean are nothing where the tool prints only that. ``count``
    is the number of executions, nothing where the tool does not say."""

    mean: float
    minimum: float | None = None
    maximum: float | None = None
    median: float | None = None
    percentile_99: float | None = None
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """A printed throughput in items a second, with the batch and the mean (ms) that it says it was computed from;
    both are nothing in the oldest form."""

    value: float
    batch: float | None
    mean: float | None
    line: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one device did. ``compute`` is the execution without copies, by the host's clock; the copies are nothing
    where they are not printed.

    ``samples`` are milliseconds, one an execution, and empty where the tool gives only figures: then no distribution
    may be made up. ``overlapping`` is set where executions ran at once: ``compute.mean`` is then the merged busy time
    over their number, which is no latency, and must not be compared with one.
    """

    compute: Latency
    h2d: Latency | None
    d2h: Latency | None
    throughput: float
    batch: float
    samples: tuple[float, ...] = ()
    overlapping: bool = False


def check_throughput(tool: str, found: Throughput, mean: float | None = None, batch: float | None = None) -> float:
    """The batch, where the throughput is ``1000 * batch / mean`` to ``EXACT``; ``mean`` in ms as printed elsewhere and
    ``batch`` as the caller knows it must be the same. In the oldest form, which names neither, the batch is the whole
    number that the throughput implies. Raises ``Broken`` with the numbers."""
    if mean is not None and found.mean is not None and mean != found.mean:
        raise Broken(f"{tool}: expected a throughput of the mean {mean!r} ms, found that of {found.mean!r} ms")
    used = found.mean if found.mean is not None else mean
    if used is None or used <= 0 or found.value <= 0:
        raise Broken(f"{tool}: expected a mean and a throughput above 0, found {used!r} ms and {found.value!r}/s")
    if batch is not None and found.batch is not None and batch != found.batch:
        raise Broken(f"{tool}: expected batch {batch:g}, found a throughput of batch {found.batch:g}: {found.line}")
    implied = found.value * used / 1000
    known = found.batch if found.batch is not None else batch
    if not implied < LARGEST:
        raise Broken(f"{tool}: expected a batch, found {found.value!r}/s at {used!r} ms, a batch of {implied:g}")
    taken = float(known if known is not None else max(1, round(implied)))
    if not math.isclose(found.value, 1000 * taken / used, rel_tol=EXACT):
        raise Broken(
            f"{tool}: expected throughput {1000 * taken / used!r}/s = 1000 * {taken:g} / {used!r} ms, "
            f"found {found.value!r}/s, as if the batch were {implied:g}"
        )
    return taken


def check_order(tool: str, name: str, latency: Latency) -> None:
    """The figures lie in order: minimum, median, 99th percentile, maximum, with the mean between the ends; none is
    negative or not finite. Raises ``Broken`` with the numbers."""
    ordered = [
        (kind, value)
        for kind, value in (
            ("min", latency.minimum),
            ("median", latency.median),
            ("percentile(99%)", latency.percentile_99),
            ("max", latency.maximum),
        )
        if value is not None
    ]
    between = [("min", latency.minimum), ("mean", latency.mean), ("max", latency.maximum)]
    for chain in (ordered, [(kind, value) for kind, value in between if value is not None]):
        for (low_kind, low), (high_kind, high) in pairwise(chain):
            # The mean of equal numbers can lie a rounding above them.
            if low > high and not math.isclose(low, high, rel_tol=EXACT):
                raise Broken(f"{tool}: {name}: expected {low_kind} <= {high_kind}, found {low!r} and {high!r} ms")
        for kind, value in chain:
            if not math.isfinite(value) or value < 0:
                raise Broken(f"{tool}: {name}: expected a time, found {kind} = {value!r} ms")


def check_samples(tool: str, latency: Latency, samples: tuple[float, ...], executions: int | None = None) -> None:
    """The list has one sample for each of ``loops * runs`` executions, and its figures are those printed, to
    ``LISTED``. Raises ``Broken`` with the numbers."""
    check_count(tool, latency.count, executions)
    if latency.count is not None and len(samples) != latency.count:
        raise Broken(f"{tool}: expected {latency.count} samples, as its count says, found {len(samples)}")
    if not samples or min(samples) <= 0 or not math.isfinite(max(samples)):
        shown = f"{min(samples)!r} to {max(samples)!r} ms" if samples else "none"
        raise Broken(f"{tool}: expected samples above 0, found {shown}")
    for kind, printed, listed in (
        ("min", latency.minimum, min(samples)),
        ("max", latency.maximum, max(samples)),
        ("mean", latency.mean, fmean(samples)),
        ("median", latency.median, median(samples)),
    ):
        if printed is not None and not math.isclose(printed, listed, rel_tol=LISTED):
            raise Broken(f"{tool}: expected {kind} {listed!r} ms of the listed samples, found {printed!r} ms printed")


def check_count(tool: str, count: int | None, executions: int | None) -> None:
    """``count`` is ``loops * runs``, where both are known. Raises ``Broken`` with the numbers."""
    if count is not None and (count <= 0 or (executions is not None and count != executions)):
        raise Broken(f"{tool}: expected count {executions or 'above 0'} (loops x runs), found {count}")
