"""Golden boxes: the places that a reference's weights find in its own samples, kept beside the declaration.

A picture shifted by one pixel, boxes that are not rounded, or another way of enlarging features move every box and
hardly any match, so hmean does not see them; and exchanged thresholds may even raise it. The boxes do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.boxes import Box, read_boxes
from harness.evaluate import Scored
from harness.reference import GoldenBoxes
from harness.verdict import Figure, Verdict


@dataclass
class BoxesCheck:
    """Compares the boxes of samples as they stream by with the golden ones of the same samples.

    A box is the same where all its corners are. Float noise that decides a pixel moves a few.
    """

    golden: GoldenBoxes
    boxes: Mapping[str, str]
    seen: set[str] = field(default_factory=set)
    same: int = 0
    either: int = 0
    worst: float = 1.0
    worst_id: str = ""

    def watch(self, scored: Iterable[Scored]) -> Iterator[Scored]:
        """Passes outcomes through, and compares each that has golden boxes."""
        for outcome in scored:
            if outcome.id in self.boxes:
                self.seen.add(outcome.id)
                self._compare(outcome.id, read_boxes(outcome.predicted), read_boxes(self.boxes[outcome.id]))
            yield outcome

    def _compare(self, name: str, found: Iterable[Box], golden: Iterable[Box]) -> None:
        left, right = ({box.points for box in boxes} for boxes in (found, golden))
        both, either = len(left & right), len(left | right)
        self.same, self.either = self.same + both, self.either + either
        share = both / either if either else 1.0
        if share < self.worst:
            self.worst, self.worst_id = share, name

    def answer(self, *, whole: bool) -> tuple[Verdict, str, dict[str, Figure]]:
        """Pass where enough of all boxes, found or golden, are in both; of the ``whole`` data set every golden sample
        must have been read. With a line and figures."""
        share = self.same / self.either if self.either else 0.0
        line = f"golden boxes: {self.same} of {self.either} the same, at least {self.golden.equal:.0%} expected"
        figures: dict[str, Figure] = {"golden_same": self.same, "golden_either": self.either}
        unseen = [name for name in self.boxes if name not in self.seen]
        if not self.seen or (whole and unseen):
            first = f", the first is {unseen[0]}" if unseen else ""
            line = f"{len(unseen)} samples with golden boxes were not read{first}; {line}"
            return Verdict.FAIL, line, figures
        if share < self.golden.equal:
            worst = f"worst at {self.worst_id}, {self.worst:.0%}" if self.either else "no box in any"
            return Verdict.FAIL, f"{line}; {worst}", figures
        return Verdict.PASS, line, figures
