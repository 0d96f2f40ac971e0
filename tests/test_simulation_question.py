"""The question passes where every known node is exact, and otherwise names the node, the elements and the steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from harness.assets import Assets
from harness.backends import Batch
from harness.cells import Ask, Cell
from harness.evaluate import Prepared
from harness.form import Form
from harness.model import Model
from harness.quantize.simulate.compare import Compared, Simulation
from harness.quantize.simulate.executed import Engine, executed
from harness.questions import simulation
from harness.reference import Reference
from harness.sizes import BATCH, Point, TensorSpec
from harness.store import Artefact, Store
from harness.verdict import Verdict
from harness.workbench import Workbench
from tests.conftest import TOY_FORMS
from tests.integer_graphs import SHAPE, batches, copied, edit, network, node, quantised, saturating
from tests.saboteurs import Spoil, SpoiltSession, every_value


class Bench(Workbench):
    """A workbench whose quantised form is a file, and whose items are drawn."""

    def __init__(self, folder: Path, file: Path) -> None:
        super().__init__(Store(folder / "store"), Assets(), folder / "scratch")
        self._folder = folder / "form"
        self._folder.mkdir()
        (self._folder / "model.onnx").write_bytes(file.read_bytes())
        self.spoil: Spoil = lambda outputs: outputs

    def form(self, model: Model, reference: Reference, form: Form, point: Point | None = None) -> Artefact:
        return Artefact(form.name, self._folder, "key", "digest", {}, "made", 1)

    def inputs(self, model: Model, reference: Reference, count: int) -> list[Prepared]:
        drawn = np.random.default_rng(2).normal(0, 1, (count, *SHAPE)).astype(np.float32)
        return [Prepared(f"words/{at}", value) for at, value in enumerate(drawn)]

    def open(self, cell: Cell, reference: Reference) -> Any:
        return Opened(super().open(cell, reference), self.spoil)


class Opened:
    """A session whose answers are spoilt."""

    def __init__(self, opened: Any, spoil: Spoil) -> None:
        self._opened, self._spoil = opened, spoil

    def __enter__(self) -> SpoiltSession:
        return SpoiltSession(self._opened.__enter__(), self._spoil)

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)


@pytest.fixture
def asked(toy: Callable[..., Model]) -> Callable[..., Ask]:
    """The question about the network of 8 bits at a batch."""

    def ask(batch: int = 1) -> Ask:
        form = Form(
            name="int8_minmax",
            parent="onnx",
            step="toy:quantise",
            format="onnx",
            promise="lossy",
            equal=0.5,
            because="of 8 bits",
            precision="int8",
        )
        model = toy(
            inputs=(TensorSpec(name="x", axes=(BATCH, *SHAPE), dtype="float32"),),
            outputs=(TensorSpec(name="y", axes=(BATCH, 5), dtype="float32"),),
            forms=(*TOY_FORMS, form),
        )
        return Ask("simulation", model, form, Cell(model, form, "ort", "int8", Point(batch=batch)), "seeded")

    return ask


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the network in 8 bits."""
    return quantised(8, tmp_path_factory.mktemp("quantised"))


@pytest.fixture
def bench(eight: Path, tmp_path: Path) -> Bench:
    return Bench(tmp_path, eight)


@pytest.mark.parametrize(("batch", "stacked"), [(1, 1), (8, 3)])
def test_an_honest_session_passes(bench: Bench, asked: Callable[..., Ask], batch: int, stacked: int) -> None:
    answer = simulation.ask(bench, asked(batch))
    assert answer.verdict is Verdict.PASS, answer.line
    assert (answer.figures["differing"], answer.figures["nodes"], answer.figures["nodes_differing"]) == (0, 11, 0)
    assert (answer.figures["n"], answer.figures["batch"]) == (3, stacked)
    assert "QLinearConv 4, DequantizeLinear 1" in answer.line
    assert "not simulated: Transpose 3, Flatten 1, NhwcMaxPool 1; n=3" in answer.line
    assert "session.x64quantprecision=1" in str(answer.figures["integers"])


def test_kernels_that_saturate_fail_and_are_named(
    bench: Bench, asked: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "Engine", lambda graph, threads: saturating(graph, "wide"))
    answer = simulation.ask(bench, asked())
    assert answer.verdict is Verdict.FAIL
    assert answer.figures["first"] == "wide"
    assert answer.figures["differing"] > 0
    assert "differ of" in answer.line
    assert "first QLinearConv wide (" in answer.line
    assert "session.x64quantprecision" in answer.line


def test_what_is_no_number_fails_and_is_not_in_the_record() -> None:
    found = [Compared("y", "DequantizeLinear", 10, 1, float("inf"), "words/1")]
    answer = simulation.judge(found, {}, {"cpu.integers": "avx2"}, [Batch(("words/1",), {})])
    assert answer.verdict is Verdict.FAIL
    assert answer.figures["steps"] is None
    assert "first DequantizeLinear y (1 of 10 elements by up to inf steps at words/1)" in answer.line


def test_the_worst_node_is_named_beside_the_first(bench: Bench, asked: Callable[..., Ask]) -> None:
    found = [
        Compared("a", "QLinearConv", 100, 0),
        Compared("b", "QLinearConv", 100, 7, 2.0, "words/1"),
        Compared("c", "QGemm", 10, 1, 42.0, "words/2", "which reads x with zero point 2, written with 1"),
    ]
    answer = simulation.judge(found, {"Softmax": 1}, {"cpu.integers": "avx2"}, [Batch(("words/1",), {})])
    assert answer.verdict is Verdict.FAIL
    assert answer.figures["worst"] == "c"
    assert answer.line.startswith(
        "8 differ of 210 elements of 3 nodes (QLinearConv 2, QGemm 1), in 2 nodes: first QLinearConv b (7 of 100 "
        "elements by up to 2 steps at words/1), worst QGemm c (1 of 10 elements by up to 42 steps at words/2, which "
        "reads x with zero point 2, written with 1); expected none"
    )


def test_no_integer_operator_is_said(tmp_path: Path, asked: Callable[..., Ask]) -> None:
    answer = simulation.ask(Bench(tmp_path, quantised(16, tmp_path)), asked())
    assert answer.verdict is Verdict.PASS
    assert "has no integer operators: between them it is computed in single precision" in answer.line
    assert set(str(answer.figures["simulated"]).split()) & {"QLinearConv", "QGemm"} == set()


def test_nothing_simulated_is_inconclusive(tmp_path: Path, asked: Callable[..., Ask]) -> None:
    onnx.save(network(), tmp_path / "single.onnx")
    answer = simulation.ask(Bench(tmp_path, tmp_path / "single.onnx"), asked())
    assert answer.verdict is Verdict.INCONCLUSIVE
    assert "nothing can be simulated" in answer.line


def test_a_session_that_answers_otherwise_than_its_graph_fails(bench: Bench, asked: Callable[..., Ask]) -> None:
    """One bit of one number is enough: its tensors are then not those that are looked at."""

    def change(value: Any) -> Any:
        value = value.copy()
        value.flat[3] = np.nextafter(value.flat[3], np.float32(9))
        return value

    bench.spoil = every_value(change)
    answer = simulation.ask(bench, asked())
    assert answer.verdict is Verdict.FAIL
    assert answer.line.startswith("the session answers 1 of 5 numbers of y otherwise than the graph")


def test_a_session_of_another_file_fails(
    bench: Bench, asked: Callable[..., Ask], eight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session computes with other weights than the graph that is looked at; each is exact for itself."""
    spoilt = copied(executed(eight, 1))
    edit(spoilt, node(spoilt, "y").input[3], lambda weights: 255 - weights)
    assert not any(found.differing for found in Simulation(spoilt).against(Engine(spoilt, 1), batches(1)))
    monkeypatch.setattr(simulation, "executed", lambda path, threads: spoilt)
    answer = simulation.ask(bench, asked())
    assert answer.verdict is Verdict.FAIL
    assert "it was given another file" in answer.line
