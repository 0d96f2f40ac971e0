"""Tensors are ranked by what each costs alone, and leaving the worst float brings answers back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.assets import Assets
from harness.backends.ort import OrtSession
from harness.calibration import Calibrated
from harness.cells import Ask, Cell
from harness.datasets import DataError
from harness.declaration import DeclarationError
from harness.form import QUANTISABLE, Form, quantisable, quantised
from harness.model import Model
from harness.onnx_graph.edit import MODEL
from harness.ort_session import session_options
from harness.quantisation import Quantisation
from harness.quantize.keep_float import pairs, without
from harness.quantize.ranking import RANKING, Alone, Cost, ranking, read_ranking
from harness.questions.keep_float import Arm, Curve, ask, counts, judge
from harness.reference import Asset, DataSet, Reference
from harness.step import StepInput
from harness.store import Store
from harness.verdict import Refused, Verdict
from harness.workbench import Workbench
from tests import quantised_graphs
from tests.fed_back import Rows
from tests.quantised_graphs import X, Y, ranges_of, scored

COARSE = "l1"
"""The tensor whose range is far too wide, so that it has a few steps left."""
ROWS = 60
METRIC = SimpleNamespace(name="acc: version 1", columns=("hits", "n"), value=lambda sums: {"acc": sums[0] / sums[1]})


def feed(content: bytes, shape: tuple[int, ...]) -> Any:
    return np.frombuffer(content, np.float32).reshape(shape)


def decode(scores: Any) -> str:
    return f"{scores[0] * 30:.0f}"


class Metric:
    """A hit is an answer that is the truth."""

    name, columns = "acc: version 1", ("hits", "n")

    def count(self, predicted: str, truth: str) -> tuple[float, ...]:
        return int(predicted == truth), 1

    def faults(self, counted: Any) -> float:
        return 1 - counted[0]

    def value(self, sums: Any) -> dict[str, float]:
        return {"acc": sums[0] / sums[1]}


OUR_METRIC = Metric()


class Folders:
    """A network in both forms with one tensor that has lost its steps, and rows that it is fed."""

    def __init__(self, folder: Path) -> None:
        self.single, self.quantised, self.rows = folder / "single", folder / "out8", folder / "rows.npy"
        rows = np.random.default_rng(1).standard_normal((ROWS, 3, 8, 8)).astype(np.float32)
        with self.rows.open("wb") as file:
            np.save(file, rows)
        graph = scored(spread=0.5)
        ranges = ranges_of(graph, rows)
        low, high = ranges[COARSE]
        quantised_graphs.quantised(folder, graph, {**ranges, COARSE: (64 * low, 64 * high)})

    def given(self, numbers: str = "0 3 4 9", **changes: Any) -> StepInput:
        params = {"reader": "tests.fed_back:Rows", "name": "rows", "feed": f"{__name__}:feed", "numbers": numbers}
        sources = {"sources": (self.quantised, self.single, self.rows), "inputs": (X,), "outputs": (Y,)}
        return StepInput(params=params, **{**sources, **changes})

    def alone(self) -> Alone:
        fed = [{"x": row[None]} for row in np.load(self.rows)[:4]]
        return Alone(onnx.load(self.quantised / MODEL), onnx.load(self.single / MODEL), ("y",), fed)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return Folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="module")
def ranked(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cost, ...]:
    out = tmp_path_factory.mktemp("ranking")
    ranking.build(folders.given(), out)
    return read_ranking(out / RANKING)


class TestRanking:
    def test_the_tensor_that_lost_its_steps_is_the_worst(self, folders: Folders, ranked: tuple[Cost, ...]) -> None:
        assert (ranked[0].tensor, ranked[0].operator) == (COARSE, "Gemm")
        assert ranked[0].error > 10 * ranked[1].error
        assert {cost.tensor for cost in ranked} == set(pairs(onnx.load(folders.quantised / MODEL)))
        assert [cost.error for cost in ranked] == sorted((cost.error for cost in ranked), reverse=True)
        assert next(cost for cost in ranked if cost.tensor == "x").operator == "Input"

    def test_a_cost_is_the_squared_error_with_that_tensor_alone_in_integers(
        self, folders: Folders, ranked: tuple[Cost, ...]
    ) -> None:
        """Computed again with no optimisation, on the samples of these numbers."""
        import onnxruntime

        options = session_options(1)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        model, rows = onnx.load(folders.quantised / MODEL), np.load(folders.rows)[[0, 3, 4, 9]]
        for cost in (ranked[0], ranked[5]):
            alone = without(model, [name for name in pairs(model) if name != cost.tensor])
            found, expected = (
                onnxruntime.InferenceSession(each.SerializeToString(), options).run(["y"], {"x": rows})[0]
                for each in (alone, onnx.load(folders.single / MODEL))
            )
            assert cost.error == pytest.approx(np.square(found - expected).sum() / len(rows), rel=1e-3)

    def test_weights_alone_cost_less_than_with_every_tensor(self, folders: Folders) -> None:
        alone = folders.alone()
        none, one, every = (alone.error(names) for names in ((), (COARSE,), list(alone.tensors)))
        assert 0 < none < one < 10 * every

    def test_it_says_how_far_it_is_and_tells_its_facts(
        self, folders: Folders, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, logger="harness"):
            facts = ranking.build(folders.given("1 2"), tmp_path)
        tensors = len(pairs(onnx.load(folders.quantised / MODEL)))
        assert f"ranking: 0 of {tensors} tensors" in caplog.text
        assert (facts["samples"], facts["tensors"]) == (2, tensors)
        assert str(facts["worst"]).startswith(f"{COARSE} (Gemm)")
        assert json.loads((tmp_path / RANKING).read_text())["weights"] == facts["weights"]

    def test_a_graph_that_lost_a_relu_is_refused(self, folders: Folders, tmp_path: Path) -> None:
        model = onnx.load(folders.quantised / MODEL)
        relu = next(node for node in model.graph.node if node.op_type == "Relu")
        relu.op_type = "Identity"
        onnx.save(model, tmp_path / MODEL)
        lost = folders.given(sources=(tmp_path, folders.single, folders.rows))
        with pytest.raises(Refused, match="1 Identity for 0, 0 Relu for 1 of single precision"):
            ranking.build(lost, tmp_path)

    def test_a_graph_without_integers_is_refused(self, folders: Folders, tmp_path: Path) -> None:
        with pytest.raises(Refused, match="no tensor is quantised"):
            ranking.build(folders.given(sources=(folders.single, folders.single, folders.rows)), tmp_path)

    def test_samples_that_the_set_has_not_are_named(self, folders: Folders, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=f"up to number {ROWS}, of a set of {ROWS}"):
            ranking.build(folders.given(f"1 {ROWS}"), tmp_path)


class Located(Workbench):
    """A workbench on which the forms and the data are these folders."""

    folders: Folders
    numbers: tuple[int, ...] = (1, 3, 4, 8)

    def form(self, model: Model, reference: Reference, form: Form, point: Any = None) -> Any:
        folder = self.folders.quantised if form.quantisation else self.folders.single
        return SimpleNamespace(folder=folder, digest=form.name)

    def calibrated(self, model: Model, reference: Reference, form: Form) -> Calibrated:
        ids = tuple(f"rows/{number}" for number in self.numbers)
        return Calibrated(reference.data, self.numbers, ids, ids, len(ids), ROWS)

    def _located(self, data: DataSet, *, exact: bool = False) -> Path:
        return self.folders.rows


class TestKept:
    def test_a_ranking_is_made_once_for_a_form_and_the_first_samples(
        self, folders: Folders, question: Ask, tmp_path: Path
    ) -> None:
        bench = Located(Store(tmp_path / "store"), Assets(), tmp_path)
        bench.folders = folders
        given = (question.model, question.model.reference("official"), question.form)
        first = bench.ranking(*given, 2)
        assert first.facts["samples"] == 2
        bench.numbers = (1, 3, 5)
        assert bench.ranking(*given, 2) == first
        bench.numbers = (1, 2, 5)
        assert bench.ranking(*given, 2).folder != first.folder
        assert [told.partition(":")[0] for told in bench.store.built] == ["toy.int8_minmax-official-ranking"] * 2


class Bench:
    """A workbench on these folders: a quantised form was calibrated on every third row; truth is what float answers."""

    compute = SimpleNamespace(threads=1)

    def __init__(self, folders: Folders, ranked: tuple[Cost, ...], folder: Path, most: int | None = 4) -> None:
        self.folders, self.keep_float, self.samples = folders, most, None
        told = {"tensors": [vars(cost) for cost in ranked]}
        (folder / RANKING).write_text(json.dumps(told))
        self.ranked = folder
        self.left_out = frozenset(f"rows/{number}" for number in range(0, ROWS, 3))
        self.read: list[str] = []

    def ranking(self, model: Model, reference: Reference, form: Form, count: int) -> Any:
        return SimpleNamespace(file=lambda name: self.ranked / name)

    def form(self, model: Model, reference: Reference, form: Form) -> Any:
        return SimpleNamespace(file=lambda name: self.folders.quantised / name)

    def runner(self, cell: Cell, form: Form) -> Cell:
        assert form.name == QUANTISABLE
        return cell

    @contextmanager
    def open(self, cell: Cell, reference: Reference) -> Iterator[OrtSession]:
        import onnxruntime

        yield OrtSession(onnxruntime.InferenceSession(self.folders.single / MODEL, session_options(1)), ("y",))

    @contextmanager
    def data(self, data: DataSet, *, exact: bool = True) -> Iterator[Rows]:
        bench = self

        class Noted(Rows):
            def samples(self, start: int = 0) -> Iterator[Any]:
                for sample in super().samples(start):
                    bench.read.append(sample.id)
                    yield sample

        yield Noted(self.folders.rows, "rows")

    def calibrated_on(self, model: Model, reference: Reference, form: Form) -> frozenset[str]:
        return self.left_out


@pytest.fixture(scope="module")
def question(toy: Callable[..., Model]) -> Ask:
    how = Quantisation(rule="minmax", samples=ROWS // 3, loss=0.1)
    quantising = (quantisable("onnx"), quantised("int8_minmax", how, equal=0.5, because="of the test"))
    asset = Asset(name="rows", patterns=("rows",), licence="none", source="the test")
    official = Reference(
        name="official",
        weights=(asset,),
        data=DataSet(name="rows", reader="tests.fed_back:Rows", n=ROWS, asset=asset),
    )
    plain = toy()
    model = toy(
        inputs=(X,),
        outputs=(Y,),
        forms=(*plain.forms, *quantising),
        references=(official, *plain.references),
        feed=f"{__name__}:feed",
        decode=f"{__name__}:decode",
        metric=f"{__name__}:OUR_METRIC",
    )
    cell = Cell(model, model.form("int8_minmax"), "ort", "int8", model.point("bs8"))
    return Ask("keep_float", model, cell.form, cell, "official", choice=True)


class TestAsked:
    def test_the_worst_tensors_left_float_bring_answers_back(
        self, folders: Folders, ranked: tuple[Cost, ...], question: Ask, tmp_path: Path
    ) -> None:
        bench = Bench(folders, ranked, tmp_path)
        answer = ask(bench, question)
        assert answer.verdict is Verdict.PASS, answer.line
        figures = answer.figures
        assert figures["kept_float"] == (0.0, 1.0, 2.0, 4.0)
        flips = figures["flips"]
        assert flips[1] < flips[0] / 2
        assert figures["all_flips"] < flips[0] / 2
        assert figures["n"] == ROWS - len(bench.left_out)
        assert sorted(bench.read) == sorted(f"rows/{number}" for number in range(ROWS))
        assert figures["repaired"] > 0.9 > figures["at_random"]
        assert figures["worst_1"] == f"{COARSE} (Gemm)"
        assert answer.line.startswith(f"the worst 0, 1, 2, 4 of {len(ranked)} tensors left float: {flips[0]:.0f}, ")

    def test_a_ranking_in_reverse_order_does_not_help_and_says_so(
        self, folders: Folders, ranked: tuple[Cost, ...], question: Ask, tmp_path: Path
    ) -> None:
        answer = ask(Bench(folders, ranked[::-1], tmp_path), question)
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert answer.figures["flips"][-1] > answer.figures["flips"][0] / 2
        assert answer.figures["repaired"] < answer.figures["at_random"]
        assert "the ranking does not tell which tensors cost most" in answer.line

    def test_a_graph_that_leaves_no_tensor_is_refused(
        self, folders: Folders, ranked: tuple[Cost, ...], question: Ask, tmp_path: Path
    ) -> None:
        strange = (replace(ranked[0], tensor="p3"), *ranked[1:])
        with pytest.raises(Refused, match="'p3' has no Q/DQ pair"):
            ask(Bench(folders, strange, tmp_path), question)

    def test_where_all_was_calibrated_on_nothing_is_judged(
        self, folders: Folders, ranked: tuple[Cost, ...], question: Ask, tmp_path: Path
    ) -> None:
        bench = Bench(folders, ranked, tmp_path)
        bench.left_out = frozenset(f"rows/{number}" for number in range(ROWS))
        answer = ask(bench, question)
        assert (answer.verdict, answer.figures["n"]) == (Verdict.INCONCLUSIVE, 0)

    def test_without_the_option_it_is_a_mistake_to_ask(
        self, folders: Folders, ranked: tuple[Cost, ...], question: Ask, tmp_path: Path
    ) -> None:
        with pytest.raises(DeclarationError, match="--keep-float"):
            ask(Bench(folders, ranked, tmp_path, most=None), question)


RANKED = tuple(Cost(f"t{place}", "Conv", 1.0 / (place + 1)) for place in range(100))


def curve(flipped: list[list[bool]], errors: list[float]) -> Curve:
    """Arms with so many left float, and all; in single precision every sample is a hit."""
    kept = [*counts(2 ** (len(flipped) - 3), len(RANKED)), len(RANKED)]
    arms = [
        Arm(number, [(int(not turned), 1) for turned in turns], turns, [error] * len(turns))
        for number, turns, error in zip(kept, flipped, errors, strict=True)
    ]
    return Curve(arms, RANKED, METRIC, single=[(1, 1)] * len(flipped[0]))


def turns(count: int, of: int = 50, start: int = 0) -> list[bool]:
    return [start <= place < start + count for place in range(of)]


class TestJudge:
    def test_fewer_flips_and_a_smaller_error_pass(self) -> None:
        answer = judge(curve([turns(20), turns(10), turns(5), turns(1)], [1.0, 0.5, 0.2, 0.1]))
        assert answer.verdict is Verdict.PASS
        assert answer.line == (
            "the worst 0, 1, 2 of 100 tensors left float: 20, 10, 5 of 50 answers change, acc 0.6000, 0.8000, 0.9000; "
            "all left float 1, 0.9800; single precision 1.0000; 2 repair 88.9% of the error that activations add, as "
            "many at random 2.0%; worst t0 (Conv) 1, t1 (Conv) 0.5, t2 (Conv) 0.333"
        )
        assert answer.figures["flips"] == (20.0, 10.0, 5.0)
        assert answer.figures["hits"] == (30, 40, 45)
        assert (answer.figures["all_hits"], answer.figures["float_hits"]) == (49, 50)
        json.dumps(dict(answer.figures), allow_nan=False)

    def test_as_many_flips_pass(self) -> None:
        assert judge(curve([turns(5), turns(5), turns(0)], [1.0, 0.5, 0.1])).verdict is Verdict.PASS

    def test_more_flips_beyond_chance_fail(self) -> None:
        answer = judge(curve([turns(2), turns(12, start=2), turns(0)], [1.0, 0.5, 0.1]))
        assert answer.verdict is Verdict.FAIL
        assert "10 more answers change with 1 left float than with none, McNemar p 0.013" in answer.line

    def test_more_flips_that_chance_explains_are_inconclusive(self) -> None:
        answer = judge(curve([turns(2), turns(3), turns(0)], [1.0, 0.5, 0.1]))
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert "1 more answers change than with none, McNemar p 1" in answer.line

    @pytest.mark.parametrize(("last", "verdict"), [(0.98, Verdict.PASS), (0.995, Verdict.INCONCLUSIVE)])
    def test_no_more_repaired_than_at_random_is_inconclusive(self, last: float, verdict: Verdict) -> None:
        assert judge(curve([turns(5), turns(5), turns(0)], [1.0, last, 0.0])).verdict is verdict

    def test_activations_that_cost_nothing_are_inconclusive(self) -> None:
        answer = judge(curve([turns(0), turns(0), turns(0)], [0.1, 0.1, 0.1]))
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert "activations in integers add no error" in answer.line
        assert answer.figures["repaired"] is None

    def test_of_sets_that_are_not_pooled_nothing_is_counted(self) -> None:
        made = replace(curve([[], [], []], [0, 0, 0]), pooled=("words",))
        scored_one = SimpleNamespace(id="others/1", counts=(1, 1), predicted="a", output=np.zeros(2))
        made.add(scored_one, scored_one, scored_one, scored_one)
        assert made.n == 0
        same, other = (replace_id(scored_one, id="words/1", predicted=word) for word in "ab")
        made.add(same, other, same, same)
        assert (made.n, [arm.flips for arm in made.arms]) == (1, [1, 0, 0])

    @given(most=st.integers(1, 10**6), tensors=st.integers(1, 10**6))
    def test_counts_are_none_and_powers_of_two(self, most: int, tensors: int) -> None:
        found = counts(most, tensors)
        assert found[0] == 0
        assert found[1:] == [2**place for place in range(21) if 2**place <= most and 2**place < tensors]


def replace_id(scored_one: SimpleNamespace, **changes: Any) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(scored_one), **changes})
