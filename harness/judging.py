"""What the outcomes of samples are judged by, and how they are written down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from harness.claim import Claim
from harness.datasets import part_of
from harness.declaration import DeclarationError
from harness.evaluate import Scored
from harness.golden import check_of
from harness.iou import MeanIou
from harness.judge import OverPictures, Similarity, judge
from harness.metrics import Metric
from harness.reference import Reference
from harness.verdict import Answer, Figure, Verdict

SINGLE = "fp32"
WORST_FIRST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


@dataclass(frozen=True)
class Judging:
    """What outcomes are judged by: a reference's claims and goldens.

    ``whole`` says that these are all samples of the data set that was read. Goldens, and claims that name a precision,
    are judged where ``precision`` is theirs; beside other ones stands what is claimed of single precision.
    """

    reference: Reference
    metric: Metric
    whole: bool
    precision: str = SINGLE

    def answer(self, scored: Iterable[Scored], outcomes: Path) -> Answer:
        """The answer of outcomes in a stream, which were written to ``outcomes``: their counts against the claims,
        pooled and part by part, and their outputs against the goldens."""
        check = check_of(self.reference) if self.precision == SINGLE else None
        parts = tally(check.watch(scored) if check else scored, self.metric)
        counts = {name: self._summed(rows) for name, rows in parts.items()}
        pool = self._pool(list(counts))
        pooled = self._summed([row for part in pool for row in parts[part]])
        found: list[tuple[Verdict, str, Mapping[str, Figure]]] = [(*self._judge(counts, pooled), {})]
        found += [check.answer(whole=self.whole)] if check else []
        figures: dict[str, Figure] = {
            "complete": self._complete(pooled),
            "whole": self.whole,
            "metric": self.metric.name,
        }
        figures |= self._figures(pooled)
        apart = len(counts) > 1 or not pooled["n"] or any(claim.part for claim in self.reference.claims)
        for name, values in counts.items() if apart else ():
            figures |= {f"{name}: {figure}": value for figure, value in self._figures(values).items()}
        if len(pool) < len(counts):
            hit = self.metric.columns[0]
            figures["outcomes_n"] = int(sum(values["n"] for values in counts.values()))
            figures["outcomes_hits"] = int(sum(values[hit] for values in counts.values()))
        if pooled.get("unspellable"):
            note = f"{pooled['unspellable']:.0f} labels hold characters outside the alphabet and can never be hit"
            found.append((Verdict.PASS, note, {}))
        for _, _, more in found:
            figures |= more
        worst = min((verdict for verdict, _, _ in found), key=WORST_FIRST.index)
        line = "; ".join(line for _, line, _ in found)
        return Answer(verdict=worst, line=line, figures=figures, outcomes=outcomes)

    def _pool(self, parts: Sequence[str]) -> list[str]:
        """The parts that the reference's figures are of."""
        data = self.reference.data
        return [part for part in parts if data is None or not data.pooled or part in data.pooled]

    def _summed(self, rows: Sequence[Sequence[float]]) -> dict[str, float]:
        """The sums of rows by column, and of each mean IoU how it varies with the pictures; of nothing zeros."""
        columns = self.metric.columns
        pictures = dict(zip(columns, np.array(rows, np.float64).reshape(-1, len(columns)).T, strict=True))
        counts = {column: float(sum(found)) for column, found in pictures.items()}
        for measure in self.metric.measures.values():
            if isinstance(measure, MeanIou):
                counts[measure.spread] = measure.variance(pictures) if rows else 0.0
        return counts

    def _complete(self, pooled: Mapping[str, float]) -> bool:
        return self.whole and self.reference.data is not None and pooled["n"] == self.reference.data.n

    def _figures(self, counts: Mapping[str, float]) -> dict[str, Figure]:
        """Counts and values; of nothing there are none but n."""
        fractional = {
            name
            for measure in self.metric.measures.values()
            if isinstance(measure, Similarity)
            for name in measure.columns
        }
        whole = set(self.metric.columns) - fractional
        figures: dict[str, Figure] = {name: int(value) if name in whole else value for name, value in counts.items()}
        sums = [counts[column] for column in self.metric.columns]
        return figures | dict(self.metric.value(sums)) if counts["n"] else figures

    def _judge(self, parts: Mapping[str, Mapping[str, float]], pooled: Mapping[str, float]) -> tuple[Verdict, str]:
        """The worst verdict over the claims, and their lines. A claim on a value that the metric does not give raises
        ``DeclarationError``."""
        found = []
        for claim in accuracy_claims(self.reference, self.precision):
            if claim.metric not in self.metric.measures:
                given = ", ".join(self.metric.measures)
                raise DeclarationError(f"claim on {claim.metric}: not among the values of its metric: {given}")
            counts = parts.get(claim.part) if claim.part else pooled
            if not counts or not counts["n"]:
                missing = claim.part or ", ".join(self.reference.data.pooled if self.reference.data else ())
                nothing = f"{claim.metric} {claim.printed}{claim.unit}: no sample of {missing} was read"
                found.append((Verdict.INCONCLUSIVE, nothing))
                continue
            all_of_it = self.whole and counts["n"] == claim.n if claim.part else self._complete(pooled)
            found.append(judge(claim, self.metric.measures[claim.metric].of(counts, complete=all_of_it)))
        if not found:
            nothing = f"{self._told(pooled)}: the reference {self.reference.name} claims no figure to judge"
            found.append((Verdict.INCONCLUSIVE, f"{nothing} in {self.precision}"))
        found += [(Verdict.PASS, beside) for beside in self._beside()]
        if len(parts) > 1 or not pooled["n"]:
            found.append((Verdict.PASS, f"by set: {self._by_part(parts)}"))
        return min((each[0] for each in found), key=WORST_FIRST.index), "; ".join(text for _, text in found)

    def _beside(self) -> Iterator[str]:
        """What is claimed of single precision alone, where another one was measured."""
        for claim in accuracy_claims(self.reference):
            if self.precision not in claim.precisions:
                hits = f" ({claim.hits}/{claim.n})" if claim.hits is not None else ""
                part = f"{claim.part} " if claim.part else ""
                yield f"in {SINGLE} {part}{claim.metric} {claim.printed}{claim.unit}{hits} is claimed"

    def _by_part(self, parts: Mapping[str, Mapping[str, float]]) -> str:
        outside = set(parts) - set(self._pool(list(parts)))
        return ", ".join(
            f"{name} {self._told(counts)}{' (not pooled)' if name in outside else ''}" for name, counts in parts.items()
        )

    def _told(self, counts: Mapping[str, float]) -> str:
        """``450/500``, or where whole samples say little of the metric's own value that: ``miou 0.7551 over n=50``."""
        name = self.metric.name.partition(":")[0]
        measure = self.metric.measures.get(name)
        if isinstance(measure, OverPictures) and counts["n"]:
            return f"{name} {measure.of(counts, complete=False).value:.4f} over n={counts['n']:.0f}"
        return f"{counts[self.metric.columns[0]]:.0f}/{counts['n']:.0f}"


def noted(answer: Answer, facts: Mapping[str, Figure]) -> Answer:
    """The answer with what its data set is known for: labels that were replaced, pictures that occur twice."""
    if not facts:
        return answer
    line = "; ".join([answer.line, *(f"{name}: {value}" for name, value in facts.items())])
    return replace(answer, line=line, figures={**answer.figures, **facts})


def tally(scored: Iterable[Scored], metric: Metric) -> dict[str, list[tuple[float, ...]]]:
    """The counts of all outcomes by the part of the data that a sample is of, which begins its id: in one row, summed;
    in a row for each sample where a value of the metric is judged by how these vary."""
    apart = any(isinstance(measure, MeanIou) for measure in metric.measures.values())
    parts: dict[str, list[tuple[float, ...]]] = {}
    for outcome in scored:
        rows = parts.setdefault(part_of(outcome.id), [])
        if rows and not apart:
            rows[0] = tuple(total + count for total, count in zip(rows[0], outcome.counts, strict=True))
        else:
            rows.append(outcome.counts)
    return parts


def write_outcomes(scored: Iterable[Scored], path: Path, metric: Metric) -> Iterator[Scored]:
    """Passes outcomes through and writes each as a JSON line: id, predicted, truth, hit; of a metric with values that
    pictures have together also the counts by column, every one, which two runs are compared by."""
    with path.open("w", encoding="utf-8") as file:
        for outcome in scored:
            file.write(json.dumps(as_fields(outcome, metric), ensure_ascii=False) + "\n")
            yield outcome


def as_fields(outcome: Scored, metric: Metric) -> dict[str, object]:
    """An outcome as ``write_outcomes`` writes it."""
    fields: dict[str, object] = {
        "id": outcome.id,
        "predicted": as_text(outcome.predicted),
        "truth": as_text(outcome.truth),
        "hit": bool(outcome.counts[0]),
    }
    if any(isinstance(measure, OverPictures) for measure in metric.measures.values()):
        fields["counts"] = dict(zip(metric.columns, outcome.counts, strict=True))
    return fields


def as_text(answer: Any) -> str:
    """A text itself; a map of classes by its size and digest, as in ``128x256 sha256:0123456789abcdef``: two runs can
    tell whether an answer changed."""
    if isinstance(answer, str):
        return answer
    size = "x".join(map(str, answer.shape))
    return f"{size} sha256:{sha256(np.ascontiguousarray(answer).data).hexdigest()[:16]}"


def accuracy_claims(reference: Reference, precision: str = SINGLE) -> list[Claim]:
    """The claims that accuracy judges of a form in this precision: all but times, sizes and likeness."""
    elsewhere = [claim for claim in reference.claims if claim.is_time or claim.is_size or claim.is_likeness]
    return [claim for claim in reference.claims if claim not in elsewhere and precision in claim.precisions]
