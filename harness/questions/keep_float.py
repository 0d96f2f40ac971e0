"""Keep float: do the tensors that cost most, left float, bring answers back that quantising turned?

Asked with ``--keep-float N`` alone, of forms of 8 bits. Judged by flips and by the error of the output: accuracy goes
up and down with each tensor, since a flip may also turn a wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice, takewhile

import numpy as np
import onnx

from harness.backends.ort import OrtSession
from harness.cells import Ask
from harness.datasets import part_of
from harness.datasets.held_out import HeldOut
from harness.declaration import DeclarationError
from harness.evaluate import Scored, Task, side_by_side
from harness.judging import as_text
from harness.metrics import Metric
from harness.paired import mcnemar
from harness.quantize.keep_float import session_of, without
from harness.quantize.ranking import RANKING, SAMPLES, Cost, read_ranking, squared
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

SIGNIFICANT = 0.05
SHOWN = 3
"""Tensors that a line names."""
NAMED = 10
"""Tensors that figures name."""


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Feeds the same batches to the single-precision form and to the quantised one with the worst 0, 1, 2, 4 and so on
    tensors left float, up to ``--keep-float``, and with all of them; of samples that it was not calibrated on."""
    cell, model, reference = ask.at, ask.model, ask.model.reference(ask.reference)
    against, data, most = model.against(cell.form), reference.data, bench.keep_float
    if against is None or data is None or most is None:
        raise DeclarationError(f"{ask.id}: expected a form that is compared with one, a reference's data, --keep-float")
    ranking = read_ranking(bench.ranking(model, reference, cell.form, SAMPLES).file(RANKING))
    quantised = onnx.load(bench.form(model, reference, cell.form).file("model.onnx"))
    outputs = tuple(spec.name for spec in cell.sized.outputs)
    arms = [Arm(kept) for kept in (*counts(most, len(ranking)), len(ranking))]
    task = Task.of(cell.sized, reference)
    curve = Curve(arms, ranking, task.metric, data.pooled)
    with ExitStack() as stack:
        sessions = [stack.enter_context(bench.open(bench.runner(cell, against), reference))]
        for arm in arms:
            kept = without(quantised, [cost.tensor for cost in ranking[: arm.kept]])
            sessions.append(OrtSession(session_of(kept, bench.compute.threads), outputs))
        reader = stack.enter_context(bench.data(data, exact=False))
        held_out = HeldOut(reader, bench.calibrated_on(model, reference, cell.form))
        samples = islice(held_out.samples(), bench.samples)
        for found in side_by_side(sessions, samples, task, cell.point.batch):
            curve.add(*found)
    return judge(curve)


def counts(most: int, tensors: int) -> list[int]:
    """0, 1, 2, 4 and so on, up to ``most``, below the number of tensors: all of them are left float besides."""
    powers = takewhile(lambda power: power <= most and power < tensors, (2**place for place in range(64)))
    return [0, *powers]


@dataclass
class Arm:
    """The quantised form with the worst ``kept`` tensors left float: what its answers count, which of them are not
    those of single precision, and the squared error of each output."""

    kept: int
    rows: list[tuple[float, ...]] = field(default_factory=list)
    flipped: list[bool] = field(default_factory=list)
    squared: list[float] = field(default_factory=list)

    @property
    def flips(self) -> int:
        """Answers that are not those of single precision."""
        return sum(self.flipped)

    @property
    def error(self) -> float:
        """The squared error of half of the outputs is no larger: that of one whose answer changes is a thousand times
        that of the others."""
        return float(np.median(self.squared))


@dataclass
class Curve:
    """Answers over the number of tensors left float; of the last arm, with all of them, only weights are integers."""

    arms: list[Arm]
    ranking: Sequence[Cost]
    metric: Metric
    pooled: tuple[str, ...] = ()
    single: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, single: Scored, *found: Scored) -> None:
        """Counts one sample, answered in single precision and by each arm; of other sets than are pooled, none."""
        if self.pooled and part_of(single.id) not in self.pooled:
            return
        self.single.append(single.counts)
        expected = as_text(single.predicted)
        for arm, scored in zip(self.arms, found, strict=True):
            arm.rows.append(scored.counts)
            arm.flipped.append(as_text(scored.predicted) != expected)
            arm.squared.append(squared(scored.output, single.output))

    @property
    def n(self) -> int:
        """Samples."""
        return len(self.single)

    @property
    def kept(self) -> list[Arm]:
        """All arms but the one that leaves everything float."""
        return self.arms[:-1]

    @property
    def repaired(self) -> float | None:
        """How much of the error that integer activations add is gone where the most of the worst are left float;
        nothing where they add none."""
        first, last, least = (arm.error for arm in (self.arms[0], self.kept[-1], self.arms[-1]))
        return (first - last) / (first - least) if first > least else None

    @property
    def at_random(self) -> float:
        """What that is of as many tensors drawn at random, on average, where errors add up."""
        return self.kept[-1].kept / len(self.ranking)

    def value(self, rows: Sequence[tuple[float, ...]]) -> float:
        """The metric's own value."""
        return float(self.metric.value(list(np.sum(rows, axis=0)))[self.name])

    @property
    def name(self) -> str:
        """Of that value."""
        return self.metric.name.partition(":")[0]


def judge(curve: Curve) -> Answer:
    """Pass where the most tensors left float turn no more answers than none left float, and repair more of the error
    than as many at random would; fail where they turn more answers beyond chance; else inconclusive."""
    if not curve.n:
        line = "no sample is left to judge: the form was calibrated on all of them, or its data has none that is pooled"
        return Answer(verdict=Verdict.INCONCLUSIVE, line=line, figures={"n": 0})
    first, last = curve.kept[0], curve.kept[-1]
    turned, back = (
        sum(not there and here for here, there in zip(a.flipped, b.flipped, strict=True))
        for a, b in ((last, first), (first, last))
    )
    p = mcnemar(turned, back)
    verdict, why = _verdict(curve, last.flips - first.flips, p)
    values = [f"{curve.value(rows):.4f}" for rows in (*(arm.rows for arm in curve.arms), curve.single)]
    line = (
        f"the worst {_listed([arm.kept for arm in curve.kept])} of {len(curve.ranking)} tensors left float: "
        f"{_listed([arm.flips for arm in curve.kept])} of {curve.n} answers change, {curve.name} "
        f"{_listed(values[:-2])}; all left float {curve.arms[-1].flips}, {values[-2]}; "
        f"single precision {values[-1]}; {why}"
        f"worst {_listed(curve.ranking[:SHOWN])}"
    )
    return Answer(verdict=verdict, line=line, figures=_figures(curve, p))


def _verdict(curve: Curve, more: int, p: float) -> tuple[Verdict, str]:
    """The verdict and why, to stand before what ends the line."""
    kept, repaired = curve.kept[-1].kept, curve.repaired
    if more > 0 and p < SIGNIFICANT:
        return Verdict.FAIL, f"{more} more answers change with {kept} left float than with none, McNemar p {p:.2g}; "
    if repaired is None:
        return Verdict.INCONCLUSIVE, "activations in integers add no error, so that there is none to repair; "
    told = f"{kept} repair {repaired:.1%} of the error that activations add, as many at random {curve.at_random:.1%}; "
    if repaired <= curve.at_random:
        return Verdict.INCONCLUSIVE, f"{told}the ranking does not tell which tensors cost most; "
    if more > 0:
        return Verdict.INCONCLUSIVE, f"{told}{more} more answers change than with none, McNemar p {p:.2g}; "
    return Verdict.PASS, told


def _figures(curve: Curve, p: float) -> dict[str, Figure]:
    kept, last = curve.kept, curve.arms[-1]
    hits = [sum(row[0] for row in rows) for rows in (*(arm.rows for arm in curve.arms), curve.single)]
    return {
        "kept_float": tuple(float(arm.kept) for arm in kept),
        "flips": tuple(float(arm.flips) for arm in kept),
        "hits": tuple(hits[: len(kept)]),
        "values": tuple(curve.value(arm.rows) for arm in kept),
        "errors": tuple(arm.error for arm in kept),
        "all_flips": last.flips,
        "all_hits": int(hits[-2]),
        "all_value": curve.value(last.rows),
        "all_error": last.error,
        "float_hits": int(hits[-1]),
        "float_value": curve.value(curve.single),
        "repaired": curve.repaired,
        "at_random": curve.at_random,
        "mcnemar_p": p,
        "tensors": len(curve.ranking),
        "n": curve.n,
        "metric": curve.metric.name,
        **dict(_worst(curve.ranking)),
    }


def _worst(ranking: Sequence[Cost]) -> Iterator[tuple[str, Figure]]:
    for place, cost in enumerate(ranking[:NAMED], 1):
        yield f"worst_{place}", f"{cost.tensor} ({cost.operator})"
    yield "costs", tuple(cost.error for cost in ranking[:NAMED])


def _listed(things: Sequence[object]) -> str:
    return ", ".join(map(str, things))
