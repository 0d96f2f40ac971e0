"""Placement sees where every node ran, and fails where one ran elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from harness.assets import Assets
from harness.backends import Batch, Compute, Room
from harness.backends.ort import PROVIDER, OrtBackend
from harness.cells import Ask, Cell
from harness.declaration import DeclarationError
from harness.model import Model
from harness.ort_profile import OTHERS, Kernel, Profile, ProfileError
from harness.ort_session import session_options
from harness.quantisation import Quantisation
from harness.questions import placement
from harness.questions.placement import RUNS, judge
from harness.store import Artefact, Store
from harness.verdict import Broken, Refused, Verdict
from harness.workbench import Workbench
from tests.test_ort_session import product
from tests.test_profile import events

CUDA = "CUDAExecutionProvider"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("bench")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch")


def asked(model: Model, form: str = "onnx", backend: str = "ort") -> Ask:
    cell = Cell(model, model.form(form), backend, "fp32", model.points[0])
    return Ask("placement", model, cell.form, cell, "bundled")


def profile(*nodes: tuple[str, str, str, int]) -> Profile:
    return Profile(tuple(Kernel(*node) for node in nodes), RUNS)


class TestAsked:
    def test_every_node_of_the_session_is_seen_and_where_it_ran(
        self, bench: Workbench, crnn: Model, tmp_path: Path
    ) -> None:
        answer = placement.ask(bench, asked(crnn))
        assert answer.verdict is Verdict.PASS, answer.line
        options = session_options(1)
        options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        path = bench.form(crnn, crnn.reference("bundled"), crnn.form("onnx")).file("model.onnx")
        onnxruntime.InferenceSession(path, options, providers=[PROVIDER])
        graph = onnx.load(tmp_path / "optimised.onnx").graph
        wanted = Counter(node.op_type for node in graph.node)
        told = {
            name.removeprefix("nodes: "): count
            for name, count in answer.figures.items()
            if ": " in name and name.startswith("nodes")
        }
        assert answer.figures["nodes"] == len(graph.node)
        assert {name: count for name, count in told.items() if name != OTHERS}.items() <= wanted.items()
        assert sum(told.values()) == len(graph.node)
        assert answer.figures["providers"] == f"{PROVIDER}: {len(graph.node)}"
        assert (answer.figures["elsewhere"], answer.figures["runs"]) == (0, RUNS)
        assert sum(value for name, value in answer.figures.items() if name.startswith("share: ")) == pytest.approx(1)
        assert answer.line.startswith(f"all {len(graph.node)} nodes on {PROVIDER}; most of the time (and nodes): ")

    def test_a_backend_that_tells_nothing_is_not_asked(self, bench: Workbench, crnn: Model) -> None:
        with pytest.raises(DeclarationError, match="does not tell where nodes run"):
            placement.ask(bench, asked(crnn, "network", "torch"))


class TestJudged:
    """The saboteurs: profiles as a session would leave them that was set up otherwise than this project's."""

    def test_a_node_on_another_provider_fails_and_is_named(self) -> None:
        answer = judge(profile(("conv1", "Conv", PROVIDER, 90), ("resize7", "Resize", CUDA, 10)))
        assert answer.verdict is Verdict.FAIL
        assert answer.line == (
            f"1 of 2 nodes ran elsewhere than on {PROVIDER}: Resize resize7 on {CUDA}; expected none"
        )
        assert answer.figures["providers"] == f"{PROVIDER}: 1, {CUDA}: 1"
        assert answer.figures["elsewhere"] == 1

    def test_many_nodes_elsewhere_are_counted_and_some_named(self) -> None:
        answer = judge(profile(*((f"n{number}", "Conv", CUDA, 1) for number in range(90))))
        assert answer.line.startswith("90 of 90 nodes ran elsewhere")
        assert "n3 on CUDAExecutionProvider and 86 more; expected none" in answer.line

    def test_a_profile_without_a_node_says_nothing_and_is_broken(self) -> None:
        with pytest.raises(Broken, match="the profile holds no node in 5 runs"):
            judge(profile())

    def test_conversions_that_a_quantised_form_is_left_with_are_counted(self) -> None:
        nodes = [("c", "QLinearConv", PROVIDER, 10_000), ("q", "QuantizeLinear", PROVIDER, 2)]
        answer = judge(profile(*nodes, ("p", "QuantizeLinear", PROVIDER, 1)), quantised=True)
        assert answer.figures["left: QuantizeLinear"] == 2
        assert answer.figures["left: DequantizeLinear"] == 0
        assert "; 2 QuantizeLinear and 0 DequantizeLinear left; 5 runs" in answer.line
        # Told with the small ones, and counted all the same.
        assert "share: QuantizeLinear" not in answer.figures
        assert answer.figures[f"nodes: {OTHERS}"] == 2

    def test_of_floats_no_conversions_are_told(self) -> None:
        answer = judge(profile(("c", "Conv", PROVIDER, 1)))
        assert not any(name.startswith("left") for name in answer.figures)
        assert "left" not in answer.line


class TestProfiled:
    @pytest.fixture
    def form(self, tmp_path: Path) -> Artefact:
        onnx.save(product(np.full((64, 8), 127, np.int8)), tmp_path / "model.onnx")
        return Artefact("form", tmp_path, "key", "digest", {}, "made by the test", 1)

    @pytest.fixture
    def cell(self, toy: Callable[..., Model]) -> Cell:
        model = toy()
        form = replace(model.form(model.main), quantisation=Quantisation(rule="minmax", samples=1, loss=0.1))
        return Cell(model, form, "ort", "int8", model.points[0])

    @pytest.fixture
    def room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
        """Whose temporary files lie in ``temporary``, and nowhere else."""
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        monkeypatch.setattr("harness.backends.ort._outputs", lambda cell: ("y",))
        return Room(Store(tmp_path / "store"), tmp_path / "scratch", Compute())

    def batch(self, width: int = 64) -> Batch:
        return Batch(("a",), {"x": np.ones((1, width), np.float32)})

    def test_what_ran_is_told_and_no_file_stays(self, form: Artefact, cell: Cell, room: Room, tmp_path: Path) -> None:
        found = OrtBackend().profile(form, cell, room, self.batch(), 3)
        assert found.runs == 3
        assert "QLinearMatMul" in {each.operator for each in found.kernels}
        assert set(found.providers) == {PROVIDER}
        assert list((tmp_path / "temporary").iterdir()) == []

    def test_nothing_stays_of_a_graph_that_does_not_run(
        self, form: Artefact, cell: Cell, room: Room, tmp_path: Path
    ) -> None:
        with pytest.raises(Refused, match="does not run the graph on x"):
            OrtBackend().profile(form, cell, room, self.batch(63), 3)
        assert list((tmp_path / "temporary").iterdir()) == []

    def test_a_profiler_that_writes_something_else_is_named(
        self, form: Artefact, cell: Cell, room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = tmp_path / "elsewhere.json"

        class Other:
            def __init__(self, session: onnxruntime.InferenceSession) -> None:
                self.run = session.run

            def end_profiling(self) -> str:
                return str(elsewhere)

        real = onnxruntime.InferenceSession
        monkeypatch.setattr(
            "harness.backends.ort._opened",
            lambda path, options: Other(real(path, session_options(1), providers=[PROVIDER])),
        )
        with pytest.raises(ProfileError, match="cannot be read"):
            OrtBackend().profile(form, cell, room, self.batch(), 3)
        elsewhere.write_text(json.dumps(events([("n", "MatMul", CUDA, [1, 2, 3, 4])])))
        answer = judge(OrtBackend().profile(form, cell, room, self.batch(), 3))
        assert (answer.verdict, answer.figures["elsewhere"]) == (Verdict.FAIL, 1)
