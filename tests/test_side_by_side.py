"""Two sessions answer the same samples in one pass: each is prepared once, few are held, and each arm is checked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import Outputs
from harness.datasets import Sample
from harness.evaluate import AHEAD, BEHIND, Task, side_by_side
from harness.verdict import Refused
from tests.saboteurs import for_another_batch
from tests.test_evaluate import Halves, Session, decode, feed, numbered, spoilt


@pytest.fixture(scope="session")
def task(toy) -> Task:
    return Task(toy(), feed, decode, Halves())


def plus_one(outputs: Outputs) -> Outputs:
    return Outputs(outputs.ids, {name: value + np.float32(1) for name, value in outputs.values.items()})


def every(change):
    return lambda answers: map(change, answers)


@given(st.integers(0, 30), st.integers(1, 7), st.integers(1, 5), st.integers(1, 5))
def test_each_sample_has_the_outcome_of_each_in_order_whatever_they_take_at_once(task, n, batch, first, last):
    sessions = [Session(first), Session(last, every(plus_one))]
    pairs = list(side_by_side(sessions, numbered(n), task, batch))
    assert [(one.id, other.id) for one, other in pairs] == [(f"set/{at:04d}", f"set/{at:04d}") for at in range(n)]
    assert [(one.predicted, other.predicted) for one, other in pairs] == [(str(at), str(at + 1)) for at in range(n)]
    assert sessions[0].sizes == sessions[1].sizes


def test_each_sample_is_prepared_once(toy):
    seen: list[bytes] = []

    def watched(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
        seen.append(content)
        return feed(content, shape)

    list(side_by_side([Session(), Session()], numbered(10), Task(toy(), watched, decode, Halves()), 3))
    assert seen == [sample.content for sample in numbered(10)]


@pytest.mark.parametrize("windows", [(1, 1), (1, 4), (4, 1)])
def test_few_batches_are_read_ahead_of_what_is_scored(task, windows):
    read: list[str] = []

    def endless() -> Iterator[Sample]:
        for sample in numbered(10_000):
            read.append(sample.id)
            yield sample

    pairs = side_by_side([Session(window) for window in windows], endless(), task, 2)
    for done, _ in enumerate(islice(pairs, 200), 1):
        assert len(read) <= done + 2 * (max(windows) + AHEAD + BEHIND)
    pairs.close()


@pytest.mark.parametrize("arm", [0, 1])
class TestEachArm:
    def sessions(self, arm: int, spoil) -> list[Session]:
        return [Session(spoil=spoil) if place == arm else Session() for place in (0, 1)]

    def test_one_that_answers_for_another_batch_is_caught_and_what_came_before_is_kept(self, task, arm):
        pairs = side_by_side(self.sessions(arm, spoilt(3, for_another_batch)), numbered(10), task, 2)
        kept: list[str] = []
        with pytest.raises(Refused, match="answered for another batch"):
            kept.extend(one.id for one, _ in pairs)
        assert kept == [sample.id for sample in numbered(6)]

    def test_one_that_stops_early_is_caught(self, task, arm):
        with pytest.raises(Refused, match="left 1 batches unanswered"):
            list(side_by_side(self.sessions(arm, lambda answers: islice(answers, 3)), numbered(8), task, 2))

    def test_one_that_answers_more_than_it_was_asked_is_caught(self, task, arm):
        def again(answers: Iterator[Outputs]) -> Iterator[Outputs]:
            for outputs in answers:
                yield outputs
            yield outputs

        with pytest.raises(Refused, match="more batches than it was given"):
            list(side_by_side(self.sessions(arm, again), numbered(8), task, 2))
