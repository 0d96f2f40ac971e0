"""Every sample that goes in comes out with one outcome, or the stream says which batch was not answered as promised."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import count, islice
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import Batch, Outputs
from harness.datasets import DataError, Sample
from harness.evaluate import AHEAD, BEHIND, Scored, Task, answered, check_outputs, evaluate, stack
from harness.judge import Hits
from harness.preprocess.text_line import stretch_grey
from harness.verdict import Refused


def feed(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Two numbers of a sample's bytes."""
    number = int(content)
    return np.array([number, -number], dtype=np.float32)


def decode(item: np.ndarray) -> str:
    """The number that the toy network was fed, from its 3 x 2 output."""
    return str(int(item[0, 0]))


class Halves:
    """A metric: hits, n, and how many truths are even."""

    name = "halves; version 1"
    columns = ("hits", "n", "even")
    measures = MappingProxyType({"acc": Hits()})

    def count(self, predicted: str, truth: str) -> tuple[float, ...]:
        return (int(predicted == truth), 1, int(int(truth) % 2 == 0))

    def value(self, sums):
        return {"acc": sums[0] / sums[1]}


class Session:
    """Answers with what it was fed, three steps of it; ``window`` batches are taken before the first is answered."""

    def __init__(self, window: int = 1, spoil=lambda answers: answers) -> None:
        self.window = window
        self.spoil = spoil
        self.sizes: list[int] = []

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        return self.spoil(self._answers(iter(batches)))

    def _answers(self, batches: Iterator[Batch]) -> Iterator[Outputs]:
        while taken := list(islice(batches, self.window)):
            for batch in taken:
                fed = batch.inputs["x"]
                self.sizes.append(len(fed))
                yield Outputs(batch.ids, {"y": np.stack([fed, fed + 1, fed * 2])})


@pytest.fixture(scope="session")
def task(toy) -> Task:
    """How the toy model is fed and scored."""
    return Task(toy(), feed, decode, Halves())


def numbered(n: int) -> list[Sample]:
    return [Sample(f"set/{number:04d}", str(number).encode(), str(number)) for number in range(n)]


def spoilt(at: int, change):
    """A saboteur: changes the answer to batch number ``at``."""

    def spoil(answers: Iterator[Outputs]) -> Iterator[Outputs]:
        for index, outputs in enumerate(answers):
            yield change(outputs) if index == at else outputs

    return spoil


def with_value(change):
    return lambda outputs: Outputs(outputs.ids, {"y": change(outputs.values["y"].copy())})


def with_nan(value: np.ndarray, bad: float = np.nan) -> np.ndarray:
    value[1, 0, 1] = bad
    return value


def scores(task: Task, session: Session, samples: Iterable[Sample], batch: int) -> list[Scored]:
    return list(evaluate(session, samples, task, batch))


class TestOutcomes:
    @given(st.integers(0, 40), st.integers(1, 12), st.integers(1, 6))
    def test_one_outcome_a_sample_in_order_at_any_size_batch_and_window(self, task, n, batch, window):
        session = Session(window)
        found = scores(task, session, numbered(n), batch)
        assert found == [
            Scored(f"set/{at:04d}", str(at), str(at), (1, 1, int(at % 2 == 0)), np.empty(0)) for at in range(n)
        ]
        assert session.sizes == [batch] * (n // batch) + ([n % batch] if n % batch else [])

    def test_a_wrong_answer_is_a_miss_of_its_own_sample(self, task):
        def off(value):
            value[0, 1, 0] += 1
            return value

        found = scores(task, Session(spoil=spoilt(1, with_value(off))), numbered(9), 3)
        assert [(outcome.id, outcome.predicted) for outcome in found if not outcome.counts[0]] == [("set/0004", "5")]

    @pytest.mark.parametrize("n", [1, 3, 4, 7, 8])
    def test_stacked_batches_hold_every_sample_and_the_last_may_be_short(self, task, n):
        batches = stack([task.prepare(sample) for sample in numbered(n)], task.model, 4)
        assert [len(batch.ids) for batch in batches] == [4] * (n // 4) + ([n % 4] if n % 4 else [])
        assert [name for batch in batches for name in batch.ids] == [sample.id for sample in numbered(n)]
        assert np.concatenate([batch.inputs["x"] for batch in batches])[:, 1].tolist() == [-at for at in range(n)]

    def test_the_task_of_a_declaration_feeds_decodes_and_scores(self, crnn, words):
        found = Task.of(crnn)
        assert found.prepare(words[0]).value.shape == crnn.inputs[0].shape(1)[1:]
        assert found.decode(np.zeros((26, 37))) == ""
        assert found.metric.columns[:2] == ("hits", "n")

    def test_doubles_are_an_answer_where_double_precision_was_asked_for_and_nowhere_else(self, task):
        value = {spec.name: np.zeros(spec.shape(2), np.float64) for spec in task.model.outputs}
        check_outputs(Outputs(("a", "b"), value), ("a", "b"), task.model, "fp64")
        with pytest.raises(Refused, match="is float64, expected float32"):
            check_outputs(Outputs(("a", "b"), value), ("a", "b"), task.model)
        single = {name: array.astype(np.float32) for name, array in value.items()}
        with pytest.raises(Refused, match="is float32, expected float64"):
            check_outputs(Outputs(("a", "b"), single), ("a", "b"), task.model, "fp64")


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (with_value(lambda value: value[:, :-1]), r"y has shape \[3, 3, 2\], expected \[3, 4, 2\]"),
            (with_value(lambda value: value[:2]), r"y has shape \[2, 4, 2\], expected \[3, 4, 2\]"),
            (with_value(lambda value: np.moveaxis(value, 0, 1)), r"y has shape \[4, 3, 2\], expected \[3, 4, 2\]"),
            (with_value(with_nan), "y holds 1 of 24 numbers that are NaN or infinite"),
            (with_value(lambda value: with_nan(value, np.inf)), "y holds 1 of 24 numbers that are NaN or infinite"),
            (with_value(lambda value: value.astype(np.float16)), "y is float16, expected float32"),
            (with_value(lambda value: value.astype(np.int64)), "y is int64, expected float32"),
            (lambda outputs: Outputs(outputs.ids, {"z": outputs.values["y"]}), "no output 'y', found z"),
            (lambda outputs: Outputs(outputs.ids, {}), "no output 'y', found"),
            (lambda outputs: Outputs(outputs.ids[::-1], outputs.values), "answered for another batch, 4 from set/0007"),
            (lambda outputs: Outputs(outputs.ids[:3], outputs.values), "answered for another batch, 3 from set/0004"),
            (lambda outputs: Outputs((), outputs.values), "answered for another batch, 0 from nothing"),
        ],
        ids=[
            "dropped item",
            "dropped step",
            "exchanged axes",
            "NaN",
            "infinite",
            "half precision",
            "integers",
            "another name",
            "no outputs",
            "reversed ids",
            "fewer ids",
            "no ids",
        ],
    )
    def test_a_batch_that_is_not_answered_as_declared_is_refused_by_its_first_sample(self, task, change, told):
        outcomes = evaluate(Session(spoil=spoilt(1, change)), numbered(12), task, 4)
        assert [next(outcomes).id for _ in range(4)] == [f"set/{at:04d}" for at in range(4)]
        with pytest.raises(Refused, match=f"^batch of 4 from set/0004: {told}"):
            next(outcomes)

    def test_batches_answered_in_another_order_are_refused(self, task):
        def exchange(answers):
            first, second, *rest = answers
            yield from (second, first, *rest)

        with pytest.raises(Refused, match="batch of 2 from set/0000: answered for another batch, 2 from set/0002"):
            scores(task, Session(window=9, spoil=exchange), numbered(6), 2)

    @pytest.mark.parametrize("left", [1, 2])
    def test_batches_that_are_not_answered_are_refused_by_their_number(self, task, left):
        def drop_last(answers):
            yield from list(answers)[:-left]

        expected = f"left {left} batches unanswered, the first is that of set/{6 - 2 * left:04d}"
        with pytest.raises(Refused, match=expected):
            scores(task, Session(window=9, spoil=drop_last), numbered(6), 2)

    def test_a_batch_skipped_in_the_middle_is_refused(self, task):
        def skip(answers):
            yield from (outputs for index, outputs in enumerate(answers) if index != 1)

        with pytest.raises(Refused, match="batch of 2 from set/0002: answered for another batch, 2 from set/0004"):
            scores(task, Session(spoil=skip), numbered(6), 2)

    def test_an_answer_that_nobody_asked_for_is_refused(self, task):
        def repeat_last(answers):
            for outputs in answers:
                yield outputs
            yield outputs

        with pytest.raises(Refused, match="answered more batches than it was given"):
            scores(task, Session(spoil=repeat_last), numbered(6), 2)

    def test_an_answer_before_any_question_is_refused(self, task):
        class Eager(Session):
            def map(self, batches):
                yield Outputs(("set/0000",), {"y": np.zeros((3, 1, 2), np.float32)})

        with pytest.raises(Refused, match="answered more batches than it was given"):
            list(answered(Eager(), stack([task.prepare(sample) for sample in numbered(1)], task.model, 1), task.model))

    def test_outputs_as_declared_are_not_refused(self, task):
        outputs = Outputs(("a", "b"), {"y": np.zeros((3, 2, 2), np.float32)})
        assert check_outputs(outputs, ("a", "b"), task.model) is None


class TestStream:
    @pytest.mark.parametrize("batch", [1, 4])
    def test_an_endless_data_set_is_read_only_a_few_batches_ahead(self, task, batch):
        taken = []

        def endless():
            for number in count():
                taken.append(number)
                yield Sample(f"set/{number}", str(number).encode(), str(number))

        outcomes = evaluate(Session(), endless(), task, batch)
        for asked in range(1, 6 * batch):
            next(outcomes)
            started = -(-asked // batch)
            assert len(taken) <= (started + AHEAD + BEHIND) * batch
        outcomes.close()

    def test_a_picture_that_cannot_be_decoded_is_named_by_its_sample(self, crnn, words):
        broken = Sample("words/broken", words[0].content[:200], "truth")
        with pytest.raises(DataError, match=r"^words/broken: cannot be prepared: .*; 200 bytes$"):
            Task.of(crnn).prepare(broken)

    def test_a_picture_that_claims_an_enormous_size_is_named_by_its_sample(self, crnn, words):
        header = bytearray(words[0].content)
        header[16:24] = struct.pack(">II", 60_000, 60_000)
        header[29:33] = struct.pack(">I", zlib.crc32(bytes(header[12:29])))
        with pytest.raises(DataError, match=r"^words/enormous: cannot be prepared"):
            Task.of(crnn).prepare(Sample("words/enormous", bytes(header), "truth"))

    def test_a_sample_that_cannot_be_decoded_ends_the_stream_where_it_lies(self, task):
        samples = numbered(12)
        samples[9] = Sample("set/0009", b"no number", "9")
        outcomes = evaluate(Session(), samples, task, 2)
        assert [next(outcomes).truth for _ in range(8)] == [str(at) for at in range(8)]
        with pytest.raises(DataError, match=r"^set/0009: cannot be prepared: invalid literal"):
            next(outcomes)

    def test_an_error_of_the_data_set_passes_through(self, task):
        def damaged():
            yield from numbered(3)
            raise DataError("set: the key 'label-000000004' is missing")

        with pytest.raises(DataError, match="label-000000004"):
            scores(task, Session(), damaged(), 2)

    def test_the_picture_decoder_is_the_declared_one(self, crnn, words):
        task = Task.of(crnn)
        (batch,) = stack([task.prepare(word) for word in words], crnn, len(words))
        assert batch.inputs["actual_input_1"].shape == (len(words), 1, 32, 100)
        assert np.array_equal(batch.inputs["actual_input_1"][3], stretch_grey(words[3].content, (1, 32, 100)))
