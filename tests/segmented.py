"""Builds outcomes of pictures whose pixels are answered wrong as often as wanted, and the accuracy answers on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.claim import Claim
from harness.evaluate import Scored
from harness.judging import Judging, write_outcomes
from harness.metrics.segmentation import CITYSCAPES
from harness.model import Model
from harness.reference import Asset, DataSet, Reference
from harness.verdict import Answer
from tests.records import of_toy

STREETS = Asset(name="streets", patterns=("streets",), licence="none", source="the test")


def scene(name: str, predicted: np.ndarray, truth: np.ndarray) -> Scored:
    """The outcome of one picture."""
    return Scored(name, predicted, truth, CITYSCAPES.count(predicted, truth), np.zeros(1))


def streets(n: int = 30, classes: int = 6, wrong: Mapping[int, float] | None = None, seed: int = 0) -> list[Scored]:
    """So many pictures of blocks in the first classes. Of a class one pixel in ten is told to be the next class, or as
    many as ``wrong`` says; a pixel that is wrong at some rate is so at every higher one. Pictures vary."""
    rates, found = np.array([(wrong or {}).get(number, 0.1) for number in range(classes)]), []
    for place in range(n):
        rng = np.random.default_rng((seed, place))
        truth = rng.integers(0, classes, (4, 4), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        turned = rng.random(truth.shape) < rates[truth] * rng.uniform(0.5, 1.5)
        found.append(scene(f"streets/{place:03d}", np.where(turned, (truth + 1) % classes, truth), truth))
    return found


def official(*claims: Claim, n: int = 30) -> Reference:
    """A reference of so many pictures with these claims."""
    data = DataSet(name="streets", reader="toy:reader", asset=STREETS, n=n)
    return Reference(name="official", weights=(STREETS,), data=data, claims=claims)


def judged(
    scored: Sequence[Scored], of: Reference, path: Path, *, whole: bool = True, precision: str = "fp32"
) -> Answer:
    """The answer that the accuracy question gives, its outcomes written to ``path``."""
    judging = Judging(of, CITYSCAPES, whole=whole, precision=precision)
    return judging.answer(write_outcomes(iter(scored), path, CITYSCAPES), path)


def recorded(folder: Path, scored: Sequence[Scored], *claims: Claim, **given: Any) -> dict[str, Any]:
    """An accuracy answer of toy as a record holds it, its outcomes below the run folder."""
    name = given.setdefault("outcomes", "pixels.jsonl")
    (folder / "outcomes").mkdir(parents=True, exist_ok=True)
    whole = given.pop("whole", True)
    answer = judged(scored, official(*claims, n=len(scored)), folder / "outcomes" / name, whole=whole)
    said = {"reference": "official", "verdict": answer.verdict.value, "line": answer.line}
    return of_toy("accuracy", **{**said, **answer.figures, **given})


def segmenting_of(toy: Callable[..., Model], *claims: Claim, n: int = 30) -> dict[str, Model]:
    """Toy as a network that tells classes of pixels."""
    said = {"metric": "harness.metrics.segmentation:CITYSCAPES", "family": "segmentation"}
    return {"toy": toy(references=(official(*claims, n=n),), **said)}
