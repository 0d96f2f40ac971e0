"""How far a value that is pooled over pictures moves from A to B, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.judge import OverPictures
from harness.paired import Counts, PairedPictures, bootstrap

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The value ``name`` of the same n pictures in A and B, of which ``changed`` count otherwise.

    ``interval`` is the two-sided 95% interval of B - A, by a bootstrap over pictures that draws each with what it
    counts in both: boxes or pixels of one picture are no independent samples. Of fewer than ``LEAST_PICTURES`` it is
    all that is possible.
    """

    name: str
    values: tuple[float, float]
    interval: tuple[float, float]
    changed: int
    n: int

    @property
    def difference(self) -> float:
        """B - A: below 0 is worse."""
        return self.values[1] - self.values[0]

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.interval[1] < 0

    def __str__(self) -> str:
        """``hmean 0.8108 -> 0.7952, -0.0156 (95% -0.0210..-0.0101, n=500)``."""
        before, after = self.values
        low, high = self.interval
        moved = f"{self.name} {before:.4f} -> {after:.4f}, {self.difference:+.4f}"
        return f"{moved} (95% {low:+.4f}..{high:+.4f}, n={self.n})"


def drift(name: str, measure: OverPictures, before: Sequence[Counts], after: Sequence[Counts]) -> Drift:
    """The drift of a value, from what each picture counts in A and in B, in one order of pictures."""
    pair = PairedPictures.of(measure, before, after)
    interval = bootstrap(measure, pair.sides, CONFIDENCE)
    return Drift(name=name, values=pair.values, interval=interval, changed=pair.changed, n=pair.n)
