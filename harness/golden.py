"""Golden outputs: what a reference's weights give on its own samples, kept beside the declaration.

They catch what accuracy cannot: 30 samples have the same hits with the colours of a picture swapped. They are the torch
twin's outputs in double precision, written by ``python -m harness golden``, and name the weights that they are of.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.boxes import read_boxes
from harness.declaration import DeclarationError
from harness.evaluate import Scored
from harness.golden_boxes import BoxesCheck
from harness.reference import Golden, GoldenBoxes, Reference
from harness.registry import PROJECT
from harness.verdict import Figure, Verdict


@dataclass
class GoldenCheck:
    """Compares outputs as they stream by with the golden ones of the same samples; the worst is kept."""

    golden: Golden
    outputs: Mapping[str, NDArray[np.float64]]
    seen: set[str] = field(default_factory=set)
    worst: float = 0.0
    worst_id: str = ""

    def watch(self, scored: Iterable[Scored]) -> Iterator[Scored]:
        """Passes outcomes through, and compares each that has a golden output."""
        for outcome in scored:
            expected = self.outputs.get(outcome.id)
            if expected is not None:
                self.seen.add(outcome.id)
                distance = _distance(outcome.output, expected)
                # NaN is the worst there is, and stays so.
                if not (distance <= self.worst or math.isnan(self.worst)):
                    self.worst, self.worst_id = distance, outcome.id
            yield outcome

    def answer(self, *, whole: bool) -> tuple[Verdict, str, dict[str, Figure]]:
        """Pass where every golden output was met within the bound, or where not the ``whole`` data set was read, one at
        least; with a line and figures."""
        line = f"goldens: max-abs {self.worst:.3g}, bound {self.golden.max_abs:g}, n={len(self.seen)}"
        # Records hold no number that is not finite.
        worst = self.worst if math.isfinite(self.worst) else None
        figures: dict[str, Figure] = {"golden_max_abs": worst, "golden_bound": self.golden.max_abs}
        unseen = [name for name in self.outputs if name not in self.seen]
        if not self.seen or (whole and unseen):
            first = f", the first is {unseen[0]}" if unseen else ""
            line = f"{len(unseen)} golden outputs are of samples that were not read{first}; {line}"
            return Verdict.FAIL, line, figures
        if not self.worst <= self.golden.max_abs:
            return Verdict.FAIL, f"{line}; worst at {self.worst_id}", figures
        return Verdict.PASS, line, figures


def check_of(reference: Reference) -> GoldenCheck | BoxesCheck | None:
    """The check that a reference declares. Raises ``DeclarationError`` where the file is none, or of other weights."""
    if reference.golden is None:
        return None
    path = PROJECT / reference.golden.file
    try:
        content = json.loads(path.read_text())
        weights, kept = content["weights"], dict(content["outputs"])
        places = isinstance(reference.golden, GoldenBoxes)
        boxes = {name: _boxes(value) for name, value in kept.items()} if places else {}
        outputs = {} if places else {name: np.asarray(value, np.float64) for name, value in kept.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DeclarationError(
            f"{path}: no golden outputs, {type(error).__name__} {error}; write it with python -m harness golden"
        ) from error
    declared = {asset.name: asset.sha256 for asset in reference.weights}
    if weights != declared:
        raise DeclarationError(
            f"{path}: outputs of the weights {weights}, declared are {declared}; write it again with "
            "python -m harness golden"
        )
    if isinstance(reference.golden, GoldenBoxes):
        return BoxesCheck(reference.golden, boxes)
    return GoldenCheck(reference.golden, outputs)


def write_golden(path: Path, reference: Reference, outputs: Mapping[str, NDArray[Any] | list[Any]]) -> None:
    """Writes outputs, or lists of boxes, by sample id, a line each, with the sha256 of the weights that gave them."""
    head = {
        "weights": {asset.name: asset.sha256 for asset in reference.weights},
        "made_by": "python -m harness golden: the torch twin in double precision",
    }
    values = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in outputs.items()}
    lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
    text = json.dumps(head, indent=1).removesuffix("\n}") + ',\n "outputs": {\n' + ",\n".join(lines) + "\n }\n}\n"
    path.write_text(text)


def _boxes(value: Any) -> str:
    """The line of one picture's boxes. Raises ``ValueError`` where they are none."""
    line = json.dumps(value)
    read_boxes(line)
    return line


def _distance(actual: NDArray[Any], expected: NDArray[np.float64]) -> float:
    """The largest absolute difference; infinite where the shapes differ, NaN where a number is none."""
    if actual.shape != expected.shape:
        return float("inf")
    return float(np.abs(actual.astype(np.float64) - expected).max())
