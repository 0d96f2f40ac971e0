"""Every cell of every recogniser on an Ascend device, through tools that are only played; and whole runs with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.answers import answered as settled
from harness.assets import Assets
from harness.cells import Ask, Scope
from harness.domains import QUESTIONS, asks
from harness.registry import load_models
from harness.store import Store
from harness.verdict import Verdict
from harness.workbench import Wanted, Workbench
from tests.ascend_host import host_in
from tests.standin_host import environment
from tests.suite import answers, run_suite

MODELS = ("crnn", "ppocr_cls", "ppocr_rec", "rare")
COMPILED = [name for name, model in load_models().items() if "ascend" in model.recipes]
"""Detectors too, whose sizes have tests of their own."""


def asked_of_devices(model: str) -> list[Ask]:
    """All that is asked of a model's cells on the device, with the bundled weights: times too, which are of the
    full-size network where nobody waits for a test."""
    models = {model: load_models()[model]}
    found = [ask for question in QUESTIONS for ask in asks(question, models, Scope())]
    of_devices = [ask for ask in found if ask.cell and ask.cell.backend == "ascend"]
    timed = [replace(ask, reference="bundled") for ask in of_devices if ask.question == "throughput"]
    return timed + [ask for ask in of_devices if ask.reference == "bundled"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    with host_in(tmp_path, monkeypatch):
        yield Workbench(Store(tmp_path / "store"), Assets(), tmp_path / "scratch", wanted=Wanted(samples=100))


@pytest.mark.parametrize("name", MODELS)
def test_the_whole_matrix_of_a_model_is_answered_on_the_device(bench: Workbench, name: str) -> None:
    asked = asked_of_devices(name)
    model = asked[0].model
    batches = [point.batch for point in model.points]
    for question in ("agreement", "batching", "throughput"):
        assert [ask.at.point.batch for ask in asked if ask.question == question] == batches
    assert [ask.at.point.batch for ask in asked if ask.question == "accuracy"] == [model.accuracy_batch]
    found = {ask.id: settled(bench, ask) for ask in asked}
    wrong = {name: answer.line for name, answer in found.items() if answer.verdict in (Verdict.FAIL, Verdict.BROKEN)}
    assert not wrong
    # A part of the samples cannot tell whether a figure is reached; everything else is told.
    untold = [ask.question for ask in asked if found[ask.id].verdict is not Verdict.PASS]
    assert set(untold) <= {"accuracy"}


class TestRuns:
    """pytest as a user starts it on a device runner."""

    @pytest.fixture
    def host(self, tmp_path: Path) -> dict[str, str]:
        temporary = tmp_path / "tmp"
        temporary.mkdir()
        return environment() | {"TMPDIR": str(temporary)}

    def test_a_device_gives_a_record_that_says_what_it_is_of_and_a_second_run_goes_on(self, tmp_path, host):
        options = ("--cell=crnn-ascend-fp16-bs1", f"--run={tmp_path / 'run'}", f"--store={tmp_path / 'store'}")
        chosen = ("-k", "bundled or throughput", "--samples=40", "--require=ascend", "-p", "no:cacheprovider")
        done = run_suite(*options, *chosen, env=host)
        assert done.returncode == 0, done.stdout
        found = answers(tmp_path / "run")
        timed = found["throughput", "crnn-ascend-fp16-bs1", "seeded"]
        assert (timed["clock"], timed["device"], timed["precision"]) == ("device", "stand-in Ascend310P3", "fp16")
        assert len(timed["latency_wall"]) == 50
        assert timed["compiled_options"].startswith("--input_shape=actual_input_1:1,1,32,100 --soc_version=Ascend310P3")
        assert timed["compiled_dropped"].startswith(
            "--auto_tune_mode: GA,RL is not asked for: CANN 7.0.stand-in has no"
        )
        assert timed["compiled_warned"] == ""
        record = json.loads((tmp_path / "run" / "record.json").read_text())
        (provenance,) = record["provenance"].values()
        told = {name: value for name, value in provenance.items() if name.startswith("ascend.")}
        assert {"ascend.chip", "ascend.driver", "ascend.toolkit", "ascend.runner"} <= told.keys()
        assert all(value.startswith("stand-in: ") for value in told.values())

        again = run_suite(*options, *chosen, "--resume", env=host)
        assert again.returncode == 0, again.stdout
        assert "passed already in this run folder" in again.stdout
        assert "built" not in again.stdout

    def test_tools_that_do_not_load_are_one_failure_a_model(self, tmp_path, host):
        broken = host | {"ASCEND_STANDIN": "atc.no_library"}
        done = run_suite("-m", "npu", f"--run={tmp_path / 'run'}", "-p", "no:cacheprovider", env=broken)
        assert done.returncode == 1
        assert f"{len(COMPILED)} failed" in done.stdout
        found = answers(tmp_path / "run")
        assert len(found) == len(COMPILED)
        for answer in found.values():
            assert answer["verdict"] == "broken"
            assert "backend ascend: atc: expected" in answer["line"]
            assert "libascend_hal.so" in answer["line"]

    def test_no_tools_are_one_skip_a_model_that_says_what_was_looked_for(self, tmp_path):
        done = run_suite("-m", "npu", f"--run={tmp_path / 'run'}", "-p", "no:cacheprovider")
        assert done.returncode == 0
        found = answers(tmp_path / "run")
        assert len(found) == len(COMPILED)
        for answer in found.values():
            assert answer["verdict"] == "skipped"
            assert "backend ascend is absent: no npu-smi and no atc on PATH" in answer["line"]
            assert "source the toolkit's set_env.sh" in answer["line"]

    def test_a_required_device_that_is_absent_ends_with_10(self, tmp_path):
        done = run_suite("-m", "npu", f"--run={tmp_path / 'run'}", "--require=ascend", "-p", "no:cacheprovider")
        assert done.returncode == 10
        assert "required, but absent: backend ascend: no npu-smi" in done.stdout
