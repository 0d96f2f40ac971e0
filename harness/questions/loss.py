"""Loss: how far does a quantised form fall below the form that it was made from, on the same samples?

Asked in the place of *accuracy* of forms that are quantised here. A figure of a vendor's quantiser binds no other one,
and float accuracy has an answer of its own; what is judged is the difference of the two, sample by sample.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from harness.calibration import Calibrated
from harness.cells import Ask
from harness.datasets import DataError, part_of
from harness.datasets.held_out import HeldOut
from harness.declaration import DeclarationError
from harness.evaluate import Scored, Task, side_by_side
from harness.judge import Hits, OverPictures, Share, upper_bound
from harness.judging import SINGLE, Judging, accuracy_claims, as_fields, noted
from harness.metrics import Matching, Metric
from harness.paired import Lost, PairedHits, PairedPictures
from harness.quantisation import Quantisation
from harness.reference import Reference
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench
from harness.worst import Worst

CONFIDENCE = 0.95
"""Of each of the two bounds of a loss, one-sided."""
QUANTISED = ("int8", "int16")


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Feeds both forms the same batches, of the samples that the quantised one was not calibrated on, and judges by how
    much its accuracy is lower."""
    cell, model, reference = ask.at, ask.model, ask.model.reference(ask.reference)
    against, how, data = model.against(cell.form), cell.form.quantisation, reference.data
    if against is None or how is None or data is None:
        raise DeclarationError(f"{ask.id}: expected a quantised form, made from one that runs, and a reference's data")
    task, outcomes = Task.of(cell.sized, reference), bench.kept(f"{ask.question}-{ask.id}.jsonl")
    sides, worst = Sides(task.metric, data.pooled), Worst(task.metric)
    left_out = bench.calibrated_on(model, reference, cell.form)
    with (
        bench.open(bench.runner(cell, against), reference) as single,
        bench.open(cell, reference) as quantised,
        bench.data(data) as reader,
    ):
        held_out = HeldOut(reader, left_out)
        pairs = side_by_side([single, quantised], islice(held_out.samples(), bench.samples), task, cell.point.batch)
        unclaimed = replace(reference, claims=(), golden=None)
        counting = Judging(unclaimed, task.metric, whole=False, precision=cell.precision)
        counted = counting.answer(worst.watch(sides.watch(pairs, outcomes)), outcomes)
        whole = sides.read + len(held_out.met) == len(reader)
        if whole or bench.samples is None:
            check_left_out(left_out, held_out.met, data.name)
        told, figures = calibration(bench.calibrated(model, reference, cell.form), how, first=bench.first)
        figures |= {"against": against.name, "whole": whole, "complete": whole and sides.read == data.n}
        pair = f"{cell.form.name} against {against.name}"
        answer = judge(sides, pair, how.loss, told, cell.form.equal or 0.0)
        line = "; ".join([answer.line, *claimed(reference)])
        figures = {**counted.figures, **figures, **answer.figures}
        answer = noted(replace(answer, line=line, figures=figures, outcomes=outcomes), reader.facts())
        if model.overlay is None:
            return answer
        return replace(answer, pictures=worst.drawn(held_out, model.overlay, bench.kept(f"{ask.question}-{ask.id}")))


def calibration(chosen: Calibrated, how: Quantisation, *, first: bool) -> tuple[str, dict[str, Figure]]:
    """What a form was calibrated on, as a text and as figures; the ``first`` samples are the judged ones too."""
    text = f"calibrated on {chosen.told} by seed {how.seed}"
    if first:
        text = f"calibrated on the first {chosen.told}, which are judged too"
    figures: dict[str, Figure] = {"calibration_n": len(chosen.ids), "calibration_set": chosen.data.name}
    return text, figures | {"calibration_seed": None if first else how.seed}


def check_left_out(left_out: Collection[str], met: Collection[str], data: str) -> None:
    """Raises ``DataError`` where samples that were calibrated on were not met in their own set, and so not left out."""
    if missing := sorted(set(left_out) - set(met)):
        raise DataError(
            f"{data}: {len(missing)} of the {len(left_out)} samples calibrated on are not in it, the first is "
            f"{missing[0]}; expected to leave them all out, but its reader gives other ids each time"
        )


@dataclass
class Sides:
    """What both forms answer, added up as it streams by: of the sets that are ``pooled``, all where none is named.

    ``matched`` counts the places in pictures that both match, that only the first does, and only the second.
    """

    metric: Metric
    pooled: tuple[str, ...] = ()
    read: int = 0
    n: int = 0
    changed: int = 0
    rows: tuple[list[tuple[float, ...]], list[tuple[float, ...]]] = field(default_factory=lambda: ([], []))
    matched: list[int] = field(default_factory=lambda: [0, 0, 0])

    @property
    def name(self) -> str:
        """The value that is compared: the metric's own."""
        return self.metric.name.partition(":")[0]

    def watch(self, pairs: Iterable[tuple[Scored, ...]], path: Path) -> Iterator[Scored]:
        """Passes the quantised outcomes through and writes each with the float one: see ``write_outcomes``."""
        with path.open("w", encoding="utf-8") as file:
            for single, quantised in pairs:
                told = {
                    key: value for key, value in as_fields(single, self.metric).items() if key not in ("id", "truth")
                }
                line = {**as_fields(quantised, self.metric), "float": told}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                self.read += 1
                if not self.pooled or part_of(quantised.id) in self.pooled:
                    self._add(single, quantised)
                    self.changed += line["predicted"] != told["predicted"]
                yield quantised

    def _add(self, single: Scored, quantised: Scored) -> None:
        self.n += 1
        for rows, scored in zip(self.rows, (single, quantised), strict=True):
            rows.append(scored.counts)
        if isinstance(self.metric, Matching):
            first, last = (self.metric.matched(each.predicted, each.truth) for each in (single, quantised))
            for place, only in enumerate((first & last, first - last, last - first)):
                self.matched[place] += len(only)

    def lost(self) -> PairedHits | PairedPictures:
        """By how much the metric's own value fell. Raises ``DeclarationError`` where it is none of right answers, and
        none that pictures have together."""
        measure, columns = self.metric.measures.get(self.name), self.metric.columns
        single, quantised = (np.array(rows, np.float64) for rows in self.rows)
        if isinstance(measure, OverPictures):
            summed = [columns.index(name) for name in measure.summed]
            return PairedPictures(measure, np.stack([single[:, summed], quantised[:, summed]]))
        if not isinstance(measure, Hits):
            raise DeclarationError(f"{self.name}: no share of right answers, and no value over pictures; expected one")
        before, after = (side[:, columns.index(measure.column)] > 0 for side in (single, quantised))
        lost, gained = int((before & ~after).sum()), int((after & ~before).sum())
        return PairedHits(int(before.sum()), lost, gained, len(before))


def judge(sides: Sides, pair: str, bound: float, calibrated: str, equal: float = 0.0) -> Answer:
    """Pass where the upper bound of the loss is within what may be lost, fail where the lower bound is not; else
    inconclusive, saying how many samples would tell.

    Fail also where fewer answers than a share of ``equal`` stay the same, by more than chance explains: as many that
    are lost may be gained. Of pictures it is those whose counts stay.
    """
    if not sides.n:
        line = f"{pair}: no sample is left to judge; {calibrated}"
        return Answer(verdict=Verdict.INCONCLUSIVE, line=line, figures={"loss_bound": bound})
    lost = sides.lost()
    low, high = lost.interval(2 * CONFIDENCE - 1)
    figures: dict[str, Figure] = {
        "loss": lost.loss,
        "loss_lower": low,
        "loss_upper": high,
        "loss_bound": bound,
        f"float_{sides.name}": lost.values[0],
        "answers_changed": sides.changed,
    }
    line = f"loss {lost.loss:.4f}, at most {high:.4f} with {CONFIDENCE:.0%}, bound {bound:.4f}"
    if isinstance(lost, PairedHits):
        figures |= {"float_hits": lost.hits, "lost": lost.lost, "gained": lost.gained, "mcnemar_p": lost.p}
        line = f"{_hits(lost, sides.changed)}; {line}; McNemar p {lost.p:.2g}"
    else:
        figures["pictures_changed"] = lost.changed
        line = f"{_pictures(lost, sides)}; {line}"
    staying = Share(sides.n - (lost.changed if isinstance(lost, PairedPictures) else sides.changed), sides.n, False)
    figures |= {"equal": staying.value, "equal_bound": equal}
    if isinstance(sides.metric, Matching):
        figures |= dict(zip(("matched_both", "matched_float", "matched_quantised"), sides.matched, strict=True))
    verdict, why, enough = _verdict(lost, bound, low, high)
    if upper_bound(staying, CONFIDENCE) < equal:
        verdict, why = (
            Verdict.FAIL,
            f"{why}; {staying.value:.1%} of answers stay the same, expected {equal:.1%} at least",
        )
    figures["samples_to_tell"] = enough
    return Answer(verdict=verdict, line=f"{pair}: {line}{why}; {calibrated}, n={sides.n}", figures=figures)


def claimed(reference: Reference) -> Iterator[str]:
    """What is published of a vendor's quantiser and of single precision, which is not judged here."""
    for precisions, whose in ((QUANTISED, "published of the vendor's quantiser"), ((SINGLE,), f"claimed in {SINGLE}")):
        for precision in precisions:
            for claim in accuracy_claims(reference, precision):
                hits = f" ({claim.hits}/{claim.n})" if claim.hits is not None else ""
                part = f"{claim.part} " if claim.part else ""
                yield f"{whose}: {part}{claim.metric} {claim.printed}{claim.unit}{hits}"


def _verdict(lost: Lost, bound: float, low: float, high: float) -> tuple[Verdict, str, int | None]:
    """The verdict, why, and how many samples would tell."""
    if high <= bound:
        return Verdict.PASS, "", None
    if low > bound:
        return Verdict.FAIL, f"; even at least {low:.4f} with {CONFIDENCE:.0%}", None
    enough = lost.enough(bound, 2 * CONFIDENCE - 1)
    wanted = f", about {enough} like these would" if enough else ""
    return Verdict.INCONCLUSIVE, f"; {lost.n} samples cannot tell{wanted}", enough


def _hits(lost: PairedHits, changed: int) -> str:
    right = lost.hits - lost.lost + lost.gained
    flips = f"lost {lost.lost}, gained {lost.gained}, {changed} answers changed"
    return f"{right}/{lost.n} and {lost.hits}/{lost.n}, {flips}"


def _pictures(lost: PairedPictures, sides: Sides) -> str:
    first, last = lost.values
    text = f"{sides.name} {last:.4f} and {first:.4f}, {lost.changed} pictures changed"
    if not isinstance(sides.metric, Matching):
        return text
    both, before, after = sides.matched
    return f"{text}, places matched by both {both}, by this one alone {after}, by the other alone {before}"
