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

from harness.declaration import DeclarationError
from harness.evaluate import Scored
from harness.reference import Golden, Reference
from harness.registry import PROJECT
from harness.verdict import Figure, Verdict


@dataclass
class GoldenCheck:
    """Compares outputs as they stream by with the golden ones of the same samples; the worst is kept."""

    golden: Golden
    outputs: Mapping[str, NDArray[np.float64]]
    seen: int = 0
    worst: float = 0.0
    worst_id: str = ""
    unknown: list[str] = field(default_factory=list)

    def watch(self, scored: Iterable[Scored]) -> Iterator[Scored]:
        """Passes outcomes through, and compares each."""
        for outcome in scored:
            expected = self.outputs.get(outcome.id)
            if expected is None:
                self.unknown.append(outcome.id)
            else:
                self.seen += 1
                distance = _distance(outcome.output, expected)
                # NaN is the worst there is, and stays so.
                if not (distance <= self.worst or math.isnan(self.worst)):
                    self.worst, self.worst_id = distance, outcome.id
            yield outcome

    def answer(self) -> tuple[Verdict, str, dict[str, Figure]]:
        """Pass where outputs were seen and each has a golden one within the bound; with a line and figures."""
        line = f"goldens: max-abs {self.worst:.3g}, bound {self.golden.max_abs:g}, n={self.seen}"
        # Records hold no number that is not finite.
        worst = self.worst if math.isfinite(self.worst) else None
        figures: dict[str, Figure] = {"golden_max_abs": worst, "golden_bound": self.golden.max_abs}
        if self.unknown:
            line = f"{len(self.unknown)} samples have no golden output, the first is {self.unknown[0]}; {line}"
            return Verdict.FAIL, line, figures
        if not self.seen:
            return Verdict.FAIL, f"no output was compared with its golden one; {line}", figures
        if not self.worst <= self.golden.max_abs:
            return Verdict.FAIL, f"{line}; worst at {self.worst_id}", figures
        return Verdict.PASS, line, figures


def check_of(reference: Reference) -> GoldenCheck | None:
    """The check that a reference declares. Raises ``DeclarationError`` where the file is none, or of other weights."""
    if reference.golden is None:
        return None
    path = PROJECT / reference.golden.file
    try:
        content = json.loads(path.read_text())
        weights = content["weights"]
        outputs = {name: np.asarray(value, np.float64) for name, value in content["outputs"].items()}
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
    return GoldenCheck(reference.golden, outputs)


def write_golden(path: Path, reference: Reference, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Writes outputs by sample id, with the sha256 of the weights that gave them."""
    content = {
        "weights": {asset.name: asset.sha256 for asset in reference.weights},
        "made_by": "python -m harness golden: the torch twin in double precision",
        "outputs": {name: value.tolist() for name, value in outputs.items()},
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def _distance(actual: NDArray[Any], expected: NDArray[np.float64]) -> float:
    """The largest absolute difference; infinite where the shapes differ, NaN where a number is none."""
    if actual.shape != expected.shape:
        return float("inf")
    return float(np.abs(actual.astype(np.float64) - expected).max())
