"""A network that is fed its own answers is compared where these are decided, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.backends import Batch, Outputs, Session
from harness.measure import Measurement, TimingPlan
from harness.model import Model
from harness.questions.agreement import float_noise
from harness.verdict import Answer, Broken, Verdict
from harness.workbench import Workbench
from tests import fed_back
from tests.fed_back import BOUND, CLOSE, COARSER, FED, NOISE, TIED, TURNED, asked, bench_on, certain, declared
from tests.saboteurs import SabotagedBench, SpoiltSession
from tests.test_saboteurs import settle

LOSSY = replace(COARSER, promise="lossy", equal=0.5, because="it rounds")


@pytest.fixture
def model(toy) -> Model:
    return declared(toy)


@pytest.fixture
def on(tmp_path: Path) -> Callable[..., SabotagedBench]:
    """A workbench on these rows, whose exported graph can be changed."""
    return lambda *rows: SabotagedBench(bench_on(tmp_path, rows), tmp_path / "sabotaged")


class TestTheNetwork:
    """What the other tests build on."""

    def outputs(self, row: np.ndarray, dtype: torch.dtype) -> np.ndarray:
        return fed_back.FedBack().to(dtype)(torch.from_numpy(row[np.newaxis]).to(dtype))[:, 0].detach().numpy()

    def test_its_precisions_differ_by_the_noise_where_it_is_certain(self):
        for row in certain(32):
            found = np.abs(self.outputs(row, torch.float32) - self.outputs(row, torch.float64))
            assert found.max() == NOISE

    def test_they_part_where_single_precision_decides_otherwise(self):
        found = np.abs(self.outputs(TURNED, torch.float32) - self.outputs(TURNED, torch.float64)).max(axis=1)
        assert found[0] < NOISE
        assert found[1] == pytest.approx(FED, rel=1e-3)


class TestNoise:
    def noise(self, bench: Workbench, model: Model) -> float:
        ask = asked("agreement", model)
        reference = model.reference("seeded")
        return float_noise(bench, ask.at, reference, bench.inputs(model, reference, 32))

    @pytest.mark.parametrize("turned", [0, 1, 31])
    def test_rows_that_single_precision_decides_otherwise_are_no_noise(self, on, model, turned):
        assert self.noise(on(*certain(32 - turned), *[TURNED] * turned), model) == NOISE

    def test_of_a_network_that_is_not_fed_its_answers_every_row_counts(self, on, model):
        plain = replace(model, decided=None)
        assert self.noise(on(*certain(31), TURNED), plain) == pytest.approx(FED, rel=1e-3)

    def test_where_every_row_is_decided_otherwise_there_is_no_noise(self, on, model):
        with pytest.raises(Broken, match="no item is decided the same in single and double precision"):
            self.noise(on(*[TURNED] * 32), model)


class TestAgreement:
    def answer(self, bench: Workbench, model: Model, form: str = "onnx") -> Answer:
        return settle(bench, asked("agreement", model, form))

    def test_an_honest_graph_agrees_and_nothing_is_undecided(self, on, model):
        answer = self.answer(on(*certain(32)), model)
        assert answer.verdict is Verdict.PASS
        assert "undecided" not in answer.figures
        assert (answer.figures["n"], answer.figures["noise"], answer.figures["bound"]) == (32, NOISE, BOUND)

    @pytest.mark.parametrize("close", [1, 24])
    def test_undecided_rows_are_left_out_and_counted(self, on, model, close):
        bench = on(*certain(32 - close), *[CLOSE] * close)
        bench.edit = fed_back.round_coarser
        answer = self.answer(bench, model)
        assert answer.verdict is Verdict.PASS, answer.line
        assert answer.figures["undecided"] == close
        assert answer.figures["n"] == answer.figures["decoded_compared"] == 32 - close
        assert answer.figures["max_abs"] <= answer.figures["bound"]

    def test_without_saying_what_is_decided_one_near_tie_makes_an_honest_graph_fail(self, on, model):
        bench = on(*certain(31), CLOSE)
        bench.edit = fed_back.round_coarser
        answer = self.answer(bench, replace(model, decided=None))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["max_abs"] == pytest.approx(FED, rel=1e-3)

    def test_a_fault_is_seen_in_the_rows_that_are_left(self, on, model):
        bench = on(*[CLOSE] * 20, *certain(12))
        bench.edit = fed_back.follow_another
        answer = self.answer(bench, model)
        assert answer.verdict is Verdict.FAIL
        assert (answer.figures["undecided"], answer.figures["n"]) == (20, 12)

    def test_the_worst_row_is_named_by_its_own_id(self, on, model):
        def spoil(outputs: Outputs) -> Outputs:
            values = outputs.values["y"].copy()
            values[:, [name == "rows/30" for name in outputs.ids]] += 1
            return Outputs(outputs.ids, {"y": values})

        bench = on(*[CLOSE] * 20, *certain(12))
        bench.wrap = lambda session: SpoiltSession(session, spoil)
        answer = self.answer(bench, model)
        assert answer.verdict is Verdict.FAIL
        assert answer.line.endswith("worst at rows/30")

    @pytest.mark.parametrize(("left", "verdict"), [(8, Verdict.PASS), (7, Verdict.INCONCLUSIVE)])
    def test_a_quarter_must_be_decided(self, on, model, left, verdict):
        answer = self.answer(on(*certain(left), *[CLOSE] * (32 - left)), model)
        assert answer.verdict is verdict
        assert answer.figures["undecided"] == 32 - left
        assert answer.figures["noise"] == NOISE
        if verdict is Verdict.INCONCLUSIVE:
            assert "close to network: only 7 of 32 items are decided beyond the bound 0.000977" in answer.line

    @pytest.mark.parametrize(("promise", "verdict"), [("close", Verdict.PASS), ("exact", Verdict.FAIL)])
    def test_an_exact_promise_is_about_every_row(self, on, toy, promise, verdict):
        model = declared(toy, replace(COARSER, promise=promise))
        answer = self.answer(on(*certain(30), CLOSE, TIED), model, "coarser")
        assert answer.verdict is verdict, answer.line
        assert answer.figures["n"] == (30 if promise == "close" else 32)

    @pytest.mark.parametrize(("close", "verdict"), [(16, Verdict.PASS), (17, Verdict.FAIL)])
    def test_a_declared_loss_is_judged_by_the_answers_of_every_row(self, on, toy, close, verdict):
        rows = [row for pair in zip([CLOSE] * 16, certain(16), strict=True) for row in pair]
        rows[1] = CLOSE if close == 17 else rows[1]
        answer = self.answer(on(*rows), declared(toy, LOSSY), "coarser")
        assert answer.verdict is verdict, answer.line
        assert f"{32 - close} of 32 answers stay the same, expected at least 50% (it rounds)" in answer.line
        assert (answer.figures["decoded_equal"], answer.figures["n"]) == (32 - close, 32)
        assert "noise" not in answer.figures


class OfTwoKernels:
    """A session that answers some of its batches with another graph, as kernels are chosen by sizes."""

    def __init__(self, session: Session, other: Session, takes: Callable[[int, int], bool]) -> None:
        self._sessions = (session, other)
        self._takes = takes

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        for number, batch in enumerate(batches):
            yield from self._sessions[self._takes(number, len(batch.ids))].map([batch])

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        return self._sessions[0].measure(batch, plan)


class TestBatching:
    """Twelve rows are asked, in a batch of eight and one of four, and some of both alone."""

    @pytest.fixture
    def answer(self, on, model, tmp_path) -> Callable[..., Answer]:
        """The answer where the batches that ``takes`` names go to a graph that rounds otherwise."""

        def ask(rows: Sequence[np.ndarray], takes: Callable[[int, int], bool]) -> Answer:
            bench, question = on(*rows, *certain(32 - len(rows))), asked("batching", model)
            other = SabotagedBench(bench, tmp_path / "other")
            other.edit = fed_back.round_coarser
            with other.open(question.at, model.reference("seeded")) as coarse:
                bench.wrap = lambda session: OfTwoKernels(session, coarse, takes)
                return settle(bench, question)

        return ask

    def alone(self, number: int, size: int) -> bool:
        return size == 1

    def test_certain_rows_are_answered_alike(self, answer):
        found = answer(certain(12), self.alone)
        assert found.verdict is Verdict.PASS, found.line
        assert (found.figures["bound"], found.figures["n"]) == (BOUND, 12)

    @pytest.mark.parametrize("place", [0, 7])
    def test_an_undecided_row_may_be_answered_otherwise_alone(self, answer, place):
        rows = certain(12)
        rows[place] = CLOSE
        found = answer(rows, self.alone)
        assert found.verdict is Verdict.PASS, found.line
        assert found.figures["alone"] <= BOUND

    def test_but_not_when_the_same_batch_is_asked_again(self, answer):
        found = answer([CLOSE, *certain(11)], lambda number, size: number == 2)
        assert found.verdict is Verdict.FAIL
        assert found.line.startswith("repeated over the bound")
        assert found.figures["repeated"] == pytest.approx(FED, rel=1e-3)
        assert max(found.figures[name] for name in ("alone", "reversed", "short_last")) <= BOUND

    @pytest.mark.parametrize(
        ("close", "named"),
        [
            (range(12), "alone, reversed, short_last"),
            ((0, 2, 4, 7), "alone"),
            (range(8), "alone, reversed"),
            (range(8, 12), "short_last"),
        ],
        ids=["all", "those asked alone", "the batch", "the short one"],
    )
    def test_ways_of_asking_in_which_nothing_is_decided_are_named(self, answer, close, named):
        rows = [CLOSE if place in close else row for place, row in enumerate(certain(12))]
        found = answer(rows, self.alone)
        assert found.verdict is Verdict.INCONCLUSIVE, found.line
        assert found.line.startswith(f"no item is decided at every step among those of {named}; ")
        assert set(named.split(", ")).isdisjoint(found.figures)
        assert found.figures["repeated"] == 0.0

    def test_a_fault_fails_also_where_another_way_is_undecided(self, answer):
        rows = [CLOSE, *certain(7), *[CLOSE] * 4]
        found = answer(rows, lambda number, size: number == 2)
        assert found.verdict is Verdict.FAIL
        assert "short_last" not in found.figures
