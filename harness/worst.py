"""The samples that were answered worst, drawn for people to look at."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from harness.datasets import DataSetReader
from harness.evaluate import Scored
from harness.metrics import Metric
from harness.registry import resolve

MOST = 6
NOTHING = np.empty(0)


@dataclass
class Worst:
    """Keeps the outcomes with the most faults, at most ``MOST``, as they stream by; of equal ones the first.

    Of each it keeps what is drawn and not the output, which may be a hundred times as large.
    """

    metric: Metric
    kept: list[tuple[float, int, Scored]] = field(default_factory=list)

    def watch(self, scored: Iterable[Scored]) -> Iterator[Scored]:
        """Passes outcomes through."""
        for place, outcome in enumerate(scored):
            faults = self.metric.faults(outcome.counts)
            if faults > 0:
                heapq.heappush(self.kept, (faults, -place, replace(outcome, output=NOTHING)))
                if len(self.kept) > MOST:
                    heapq.heappop(self.kept)
            yield outcome

    def drawn(self, reader: DataSetReader, overlay: str, folder: Path) -> tuple[Path, ...]:
        """Files with the worst drawn, the very worst first, by the declaration's ``overlay``; each named by its rank
        and its sample."""
        draw = resolve(overlay)
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        for rank, (_, place, outcome) in enumerate(sorted(self.kept, key=lambda each: each[:2], reverse=True), 1):
            sample = next(reader.samples(-place))
            path = folder / f"{rank}-{sample.id.replace('/', '-')}.jpg"
            path.write_bytes(draw(sample.content, outcome.predicted, outcome.truth))
            found.append(path)
        return tuple(found)
