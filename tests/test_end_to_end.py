"""The clock end-to-end: every picture is answered once, every stage has its time, and nothing measured is no figure."""

import time
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import Batch, Outputs
from harness.datasets import Sample
from harness.end_to_end import LEAST, MOST, STAGES, EndToEnd, end_to_end, pictures_for
from harness.evaluate import Task
from harness.metrics.classification import CLASS_ACCURACY
from harness.verdict import Broken

NAP = 0.02


class Slow:
    """A session, a feed, a decoder and a reader, one of which is slow; what each was asked is kept."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.answered: list[str] = []

    def nap(self, stage: str) -> None:
        if stage == self.stage:
            time.sleep(NAP)

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        for batch in batches:
            self.nap("infer")
            yield Outputs(batch.ids, {"y": np.stack([batch.inputs["x"]] * 3)})

    def feed(self, content: bytes, shape: tuple[int, ...]) -> np.ndarray:
        self.nap("prepare")
        return np.full(shape, int(content), np.float32)

    def decode(self, item: np.ndarray) -> str:
        self.nap("answer")
        self.answered.append(str(int(item[0, 0])))
        return self.answered[-1]

    def read(self, count: int) -> Iterator[Sample]:
        for number in range(count):
            self.nap("read")
            yield Sample(f"set/{number}", str(number).encode(), str(number))


def measured(toy, stage: str, count: int = 6, batch: int = 2) -> tuple[EndToEnd, Slow]:
    slow = Slow(stage)
    task = Task(toy(), slow.feed, slow.decode, CLASS_ACCURACY)
    return end_to_end(slow, slow.read(count), task, batch), slow


@pytest.mark.parametrize("stage", STAGES)
def test_the_slow_stage_has_the_largest_share(toy, stage):
    found, _ = measured(toy, stage)
    assert set(found.spent) == set(STAGES)
    assert max(found.spent, key=lambda name: found.spent[name]) == stage


@given(st.integers(1, 12), st.integers(1, 5))
def test_every_picture_is_answered_once_and_in_order(toy, count, batch):
    found, slow = measured(toy, "none", count, batch)
    assert found.pictures == count
    assert slow.answered == [str(number) for number in range(count)]


def test_shares_add_up_and_the_rate_stands_beside_inference_alone(toy):
    found, _ = measured(toy, "infer")
    figures = found.figures(alone=2 * found.rate)
    assert sum(figures[f"stage_{name}"] for name in STAGES) == pytest.approx(1)
    assert figures["end_to_end_share"] == pytest.approx(0.5)
    assert (figures["end_to_end"], figures["end_to_end_n"]) == (found.rate, 6)
    assert "0.50 of inference alone (read " in found.told(alone=2 * found.rate)


def test_nothing_answered_is_no_figure(toy):
    with pytest.raises(Broken, match="0 pictures answered"):
        measured(toy, "none", 0)


@given(st.floats(0, 100), st.integers(1, 64))
def test_whole_batches_of_bounded_number_are_taken(seconds, batch):
    found = pictures_for(seconds, batch)
    assert found % batch == 0
    assert LEAST <= found < MOST + batch
