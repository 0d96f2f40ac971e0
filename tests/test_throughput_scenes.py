"""Throughput of a detector: beside the time of a call stand the clock end-to-end with its stages and the memory that
was held, judged where its point says how much it may be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.assets import Assets
from harness.backends import Batch, Outputs, Session
from harness.cells import Ask, Cell
from harness.end_to_end import STAGES
from harness.measure import Measurement, TimingPlan
from harness.memory import Peak
from harness.model import Model
from harness.questions import throughput
from harness.questions.throughput import held
from harness.registry import load_models
from harness.sizes import Point
from harness.store import Store
from harness.verdict import Answer, Verdict
from harness.workbench import Workbench
from tests.saboteurs import SabotagedBench, SpoiltSession, Stale
from tests.scene_folders import NAME, declare_scenes
from tests.test_saboteurs import settle

SMALL = "bs1_96x160"
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells a process its peak")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_models([declare_scenes(tmp_path_factory.mktemp("declared") / "models")])[NAME]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("throughput")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch")


@pytest.fixture
def bench(honest: Workbench, tmp_path: Path) -> SabotagedBench:
    """A workbench whose sessions a test may change."""
    return SabotagedBench(honest, tmp_path / "scratch")


@pytest.fixture(autouse=True)
def few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a call takes is nothing that these tests look at."""
    monkeypatch.setattr(throughput, "TimingPlan", lambda: TimingPlan(rounds=5, seconds=0.5))


def asked(model: Model, reference: str = "bundled", **changes: object) -> Ask:
    """Throughput of what is deployed at the small point, the point perhaps changed."""
    point = replace(model.point(SMALL), **changes)
    found = replace(model, points=(point, *(each for each in model.points if each.id != SMALL)))
    cell = Cell(found, found.form(found.main), "ort", "fp32", point)
    return Ask("throughput", found, cell.form, cell, reference)


class TestAnswer:
    def test_it_holds_the_clock_end_to_end_and_shares_of_stages(self, bench, model):
        answer = settle(bench, asked(model))
        figures = answer.figures
        assert answer.verdict is Verdict.PASS, answer.line
        assert (figures["clock"], figures["end_to_end_n"]) == ("host", 5)
        assert figures["end_to_end"] > 0 < figures["throughput"]
        assert figures["end_to_end_share"] == pytest.approx(figures["end_to_end"] / figures["throughput"])
        shares = {name: figures[f"stage_{name}"] for name in STAGES}
        assert sum(shares.values()) == pytest.approx(1)
        assert all(share > 0 for share in shares.values())
        assert f"; end-to-end {figures['end_to_end']:.2f}/s, " in answer.line
        assert f"(read {shares['read']:.0%}, prepare " in answer.line

    def test_a_reference_without_data_takes_the_bundled_pictures(self, bench, model):
        seeded = replace(model.reference("seeded"), network_params={"width": 0.0625})
        others = tuple(each for each in model.references if each.name != "seeded")
        answer = settle(bench, asked(replace(model, references=(seeded, *others)), "seeded"))
        assert answer.verdict is Verdict.PASS, answer.line
        assert answer.figures["end_to_end_n"] == 5


class TestMemory:
    @LINUX
    def test_what_a_session_held_is_told_beside_no_bound(self, bench, model):
        answer = settle(bench, asked(model))
        assert answer.figures["memory"] > 0
        assert answer.figures["memory_bound"] is None
        assert answer.line.endswith(f"; held {answer.figures['memory']:.0f} MiB")

    @LINUX
    def test_more_than_the_point_allows_fails_and_says_how_much_it_was(self, bench, model):
        answer = settle(bench, asked(model, memory=1))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["memory"] > answer.figures["memory_bound"] == 1
        assert answer.line.endswith(f"; held {answer.figures['memory']:.0f} MiB, at most 1 MiB allowed")

    @LINUX
    def test_as_much_as_the_point_allows_passes(self, bench, model):
        answer = settle(bench, asked(model, memory=4096))
        assert (answer.verdict, answer.figures["memory_bound"]) == (Verdict.PASS, 4096)
        assert answer.line.endswith("MiB, at most 4096 MiB allowed")

    @pytest.mark.parametrize(("mib", "verdict"), [(100.0, Verdict.PASS), (100.1, Verdict.FAIL)])
    def test_the_bound_itself_is_allowed(self, mib, verdict):
        passed = Answer(verdict=Verdict.PASS, line="as fast as it is")
        point = Point(batch=1, memory=100)
        assert held(passed, Peak(mib), point).verdict is verdict

    @pytest.mark.parametrize("before", [Verdict.BROKEN, Verdict.FAIL])
    def test_what_is_wrong_already_stays_so(self, before):
        answer = Answer(verdict=before, line="the calls waited")
        assert held(answer, Peak(200.0), Point(batch=1, memory=100)).verdict is before

    def test_a_system_that_does_not_tell_gives_no_figure(self):
        answer = Answer(verdict=Verdict.PASS, line="as fast as it is")
        assert held(answer, Peak(), Point(batch=1, memory=1)) is answer


class Silent:
    """A session that can be timed and answers nothing; it may take the batches all the same."""

    def __init__(self, session: Session, *, takes: bool) -> None:
        self._session = session
        self._takes = takes

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        if self._takes:
            list(batches)
        return iter(())

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        return self._session.measure(batch, plan)


SILENT: dict[str, tuple[Callable[[Session], Session], Verdict, str]] = {
    "takes nothing": (
        lambda session: Silent(session, takes=False),
        Verdict.FAIL,
        "the session left 1 batches unanswered, the first is that of scenes/img_1.png",
    ),
    "takes all": (
        lambda session: Silent(session, takes=True),
        Verdict.FAIL,
        "the session left 5 batches unanswered, the first is that of scenes/img_1.png",
    ),
}


class TestSessions:
    @pytest.mark.parametrize("kind", SILENT)
    def test_one_that_answers_nothing_is_no_pass(self, bench, model, kind):
        bench.wrap, verdict, told = SILENT[kind]
        answer = settle(bench, asked(model))
        assert answer.verdict is verdict
        assert told in answer.line

    def test_one_that_answers_what_it_answered_before_is_named(self, bench, model):
        bench.wrap = lambda session: SpoiltSession(session, Stale())
        answer = settle(bench, asked(model))
        assert answer.verdict is Verdict.FAIL
        assert "does not answer what it is asked" in answer.line
