"""The Ascend backend through tools that are only played: from ONNX to answers and times, and what goes wrong."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from fixtures.answers import answered as settled
from harness.agree import item_distances
from harness.ascend.drive import compile as compiling
from harness.ascend.drive import runner, session
from harness.assets import Assets
from harness.backends import Batch, Compute, Room
from harness.evaluate import answered, stack
from harness.model import Model, Point
from harness.registry import load_models
from harness.store import Artefact, Store
from harness.verdict import Broken, Outcome, Refused, Verdict
from harness.workbench import Workbench
from tests.ascend_host import Played, host_in


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Forms are built once; what is compiled is kept too, where a test does not ask for a store of its own."""
    return Store(tmp_path_factory.mktemp("ascend") / "store")


@pytest.fixture
def host(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    with host_in(tmp_path, monkeypatch) as calls:
        bench = Workbench(store, Assets(), tmp_path / "scratch")
        yield Played(bench, load_models()["crnn"], calls, monkeypatch.setenv)


def batches(host: Played, count: int, size: int = 4) -> list[Batch]:
    """So many batches of the bundled data; the last is short where ``count`` items leave a rest."""
    items = host.bench.inputs(host.model, host.model.reference("bundled"), count)
    return stack(items, host.model, size)


def outputs(host: Played, asked: list[Batch], batch: int = 4) -> np.ndarray:
    with host.bench.open(host.cell(batch), host.model.reference("bundled")) as opened:
        found = list(answered(opened, asked, host.model, "fp16"))
    assert [one.ids for one in found] == [one.ids for one in asked]
    return np.concatenate([np.moveaxis(one.values["output1"], 1, 0) for one in found])


def in_process(host: Played, asked: list[Batch]) -> np.ndarray:
    cell = host.bench.runner(host.cell(), host.model.form("onnx"))
    with host.bench.open(cell, host.model.reference("bundled")) as opened:
        return np.concatenate([np.moveaxis(one.values["output1"], 1, 0) for one in opened.map(asked)])


class TestMap:
    def test_the_device_answers_every_item_as_onnx_runtime_does_in_single_precision(self, host):
        asked = batches(host, 9)
        distances = item_distances(in_process(host, asked), outputs(host, asked))
        assert 0 < distances.max() < 0.05

    def test_one_start_of_the_tool_serves_many_batches_and_what_is_short_is_filled_up_by_us(self, host):
        outputs(host, batches(host, 9))
        (call,) = host.called("ais_bench")
        told = dict(zip(call[::2], call[1::2], strict=True))
        assert told["--output_batchsize_axis"] == "1"
        assert told["--outfmt"] == "BIN"
        assert "--loop" not in told

    def test_windows_bound_what_lies_on_disk(self, host, monkeypatch):
        monkeypatch.setattr(session, "WINDOW_BATCHES", 2)
        outputs(host, batches(host, 20))
        assert len(host.called("ais_bench")) == 3

    def test_an_item_is_answered_the_same_alone_and_in_a_batch(self, host):
        asked = batches(host, 4)
        alone = batches(host, 4, size=1)
        np.testing.assert_array_equal(outputs(host, alone), outputs(host, asked))

    def test_msame_gives_the_very_same_numbers(self, host, monkeypatch):
        asked = batches(host, 9)
        expected = outputs(host, asked)
        without_ais_bench(host)
        np.testing.assert_array_equal(outputs(host, asked), expected)
        assert len(host.called("msame")) == 1

    @pytest.mark.parametrize("tool", ["ais_bench", "msame"])
    def test_text_is_as_exact_as_its_digits(self, host, tool):
        asked = batches(host, 5)
        expected = outputs(host, asked)
        if tool == "msame":
            without_ais_bench(host)
        recipe = replace_recipe(host, outputs="txt")
        distances = item_distances(expected, outputs(recipe, asked))
        assert 0 < distances.max() < 1e-3

    @pytest.mark.parametrize("tool", ["ais_bench", "msame"])
    def test_one_model_for_a_range_of_shapes_is_told_its_shapes_and_sizes(self, host, tool):
        asked = batches(host, 5)
        expected = outputs(host, asked)
        if tool == "msame":
            without_ais_bench(host)
        found = outputs(replace_recipe(host, dynamic=True), asked)
        # Half precision on this machine rounds elsewhere where shapes are open.
        assert item_distances(expected, found).max() < 0.02
        assert "--input_shape=actual_input_1:1~64,1,32,100" in host.called("atc")[-1]
        call = host.called(tool)[-1]
        told = dict(zip(call[::2], call[1::2], strict=True))
        assert told["--dymShape"] == "actual_input_1:4,1,32,100"
        assert told["--outputSize"] == str(4 * 26 * 4 * 37)


class TestMeasure:
    def timed(self, host: Played):
        (batch,) = batches(host, 4)
        with host.bench.open(host.cell(), host.model.reference("bundled")) as opened:
            return opened.measure(batch, None)

    def test_the_guides_loop_gives_as_many_times_of_the_device(self, host):
        found = self.timed(host)
        assert (found.clock, len(found.wall), found.warm_up, found.mean_of) == ("device", 50, 1, None)
        assert found.device == "stand-in Ascend310P3"
        assert min(found.wall) > 0
        (call,) = host.called("ais_bench")
        assert call[call.index("--loop") + 1] == "50"
        assert call[call.index("--batchsize") + 1] == "4"
        assert "--input" not in call

    def test_msame_does_not_warm_up_so_its_first_time_is_left_out(self, host):
        without_ais_bench(host)
        found = self.timed(host)
        assert (found.clock, len(found.wall), found.warm_up) == ("device", 50, 1)

    @pytest.mark.parametrize(
        ("how", "expected"),
        [
            ("busy", r"\(before\).*AI core at 87%|\(before\).*busy with"),
            ("alarm", r"\(before\).*health is Alarm"),
            # Discovery asks twice; the call before timing is the third, the one after it the fourth.
            ("busy_later:4", r"\(after\)"),
            ("alarm_later:4", r"\(after\).*health is Alarm"),
        ],
    )
    def test_a_device_that_is_or_turns_unfit_makes_the_time_broken(self, host, how, expected):
        host.misbehave(how)
        with pytest.raises(Broken, match=expected):
            self.timed(host)

    @pytest.mark.parametrize("how", ["exit0", "crash", "killed", "garbage", "full_disk"])
    def test_a_tool_that_fails_gives_no_time(self, host, how):
        host.misbehave(f"ais_bench.{how}")
        with pytest.raises(Outcome, match=r"ais_bench.*log "):
            self.timed(host)


class TestCompile:
    def test_atc_is_told_the_guides_options_as_far_as_this_toolkit_takes_them(self, host, tmp_path):
        fresh = Store(tmp_path / "fresh")
        made = compiled(host, fresh)
        (call,) = host.called("atc")
        assert [option.partition("=")[0] for option in call] == [
            *("--model", "--framework", "--output", "--input_shape", "--soc_version", "--precision_mode"),
            *("--input_format", "--log"),
        ]
        assert "--framework=5" in call
        assert made.facts["options"].startswith("--input_shape=actual_input_1:4,1,32,100 --soc_version=Ascend310P3")
        assert made.facts["precision"] == "fp16"
        assert "--auto_tune_mode: GA,RL is not asked for" in made.facts["dropped"]
        assert (made.folder / "atc.log").read_text().count("ATC run success") == 1

    def test_what_is_compiled_is_kept_and_compiled_anew_for_another_chip(self, host, tmp_path):
        fresh = Store(tmp_path / "fresh")
        first = compiled(host, fresh)
        assert compiled(host, fresh).key == first.key
        assert len(host.called("atc")) == 1
        host.misbehave("chip:910B3")
        assert compiled(host, fresh).facts["chip"] == "Ascend910B3"
        assert len(host.called("atc")) == 2

    def test_warnings_after_a_success_are_kept_and_fail_nothing(self, host, tmp_path):
        fresh = Store(tmp_path / "fresh")
        host.misbehave("atc.warnings")
        assert "W11001" in compiled(host, fresh).facts["warned"]

    @pytest.mark.parametrize(
        ("how", "kind", "expected"),
        [
            ("exit0", Refused, "ATC run failed.*E19999"),
            ("second_name", Refused, "expected one file"),
            ("crash", Refused, "SIGSEGV"),
            ("garbage", Refused, "found neither"),
            ("killed", Broken, "memory ran out"),
            ("full_disk", Broken, "disk is full"),
            ("unwritable", Broken, "permission is missing"),
            ("short", Refused, "expected one file compiled.om"),
            ("refuse:LSTM", Refused, r"EZ3003.*LSTM"),
        ],
    )
    def test_a_compile_that_fails_is_named_with_its_options_and_log(self, host, tmp_path, how, kind, expected):
        fresh = Store(tmp_path / "fresh")
        host.misbehave(f"atc.{how}")
        with pytest.raises(kind, match=rf"atc: .*{expected}.*options --input_shape=.*log ") as raised:
            compiled(host, fresh)
        assert raised.value.log is not None
        assert raised.value.log.exists()

    def test_a_compile_without_end_is_ended_with_all_that_it_started(self, host, tmp_path, monkeypatch):
        monkeypatch.setattr(compiling, "LIMIT", 1.5)
        fresh = Store(tmp_path / "fresh")
        host.misbehave("atc.hang")
        with pytest.raises(Broken, match=r"not finished after 1.5 s") as raised:
            compiled(host, fresh)
        child = int(raised.value.log.read_text().rpartition("with child ")[2].split()[0])
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


class TestRun:
    """A run that does not do what it should is named, with the tool, what was expected and the log."""

    @pytest.mark.parametrize("tool", ["ais_bench", "msame"])
    @pytest.mark.parametrize(
        ("how", "kind", "expected"),
        [
            ("exit0", Refused, "expected exit code 0, no error"),
            ("crash", Refused, "SIGSEGV"),
            ("killed", Broken, "memory ran out"),
            ("garbage", Outcome, "expected exit code 0"),
            ("full_disk", Broken, "disk is full"),
            ("unwritable", Broken, "permission is missing"),
            ("half", Refused, "of another size|holds"),
            ("short", Refused, "missing|no output"),
            ("wrong_dtype", Refused, "of another size|holds"),
            ("no_library", Broken, "does not load|libascend_hal"),
        ],
    )
    def test_it_is_named(self, host, tool, how, kind, expected):
        asked = batches(host, 5)
        compiled(host)
        if tool == "msame":
            without_ais_bench(host)
        host.misbehave(f"{tool}.{how}")
        with pytest.raises(kind, match=expected):
            outputs(host, asked)

    def test_a_run_without_end_is_ended_with_all_that_it_started(self, host, monkeypatch):
        asked = batches(host, 4)
        compiled(host)
        monkeypatch.setattr(runner, "START", 1.5)
        monkeypatch.setattr(runner, "EACH", 0.0)
        host.misbehave("ais_bench.hang")
        with pytest.raises(Broken, match=r"not finished after 1.5 s") as raised:
            outputs(host, asked)
        child = int(raised.value.log.read_text().rpartition("with child ")[2].split()[0])
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE

    def test_a_model_for_another_chip_is_named(self, host):
        made = compiled(host)
        host.misbehave("chip:310")
        backend, _ = host.bench.available("ascend")
        with pytest.raises(Outcome, match=r"load model from file failed|ACL"), opened(host, made) as found:
            list(found.map(batches(host, 4)))
        assert backend.name == "ascend"

    def test_input_files_of_another_size_than_the_models_are_named(self, host):
        made = compiled(host, batch=8)
        with pytest.raises(Outcome, match=r"expected 1 runs of 4 files, found"), opened(host, made) as found:
            list(found.map(batches(host, 4)))

    @pytest.mark.parametrize("tool", ["ais_bench", "msame"])
    def test_a_model_for_a_range_without_the_sizes_of_its_outputs_is_named(self, host, tool):
        made = compiled(replace_recipe(host, dynamic=True))
        if tool == "msame":
            without_ais_bench(host)
        with pytest.raises(Outcome, match=r"size is zero|dym|shape|not match"), opened(host, made) as found:
            list(found.map(batches(host, 4)))

    def test_a_temporary_folder_that_cannot_be_written_is_named_with_what_to_do(self, host, monkeypatch, tmp_path):
        compiled(host)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
        answer = settled(host.bench, host.ask("batching"))
        assert answer.verdict is Verdict.BROKEN
        assert "nowhere" in answer.line

    @pytest.mark.parametrize("generation", ["G2", "G4"])
    def test_every_generation_that_lists_times_is_driven(self, host, generation):
        asked = batches(host, 5)
        expected = outputs(host, asked)
        host.misbehave(f"generation:{generation}")
        np.testing.assert_array_equal(outputs(host, asked), expected)
        _, availability = host.bench.available("ascend")
        assert availability.provenance["runner"].endswith("G4" if generation == "G4" else "G2/G3")


class TestQuestions:
    """Saboteurs: a device that answers wrongly is caught, and named, by the question that exists for it."""

    @pytest.mark.parametrize("question", ["agreement", "batching", "throughput"])
    def test_an_honest_device_passes(self, host, question):
        answer = settled(host.bench, host.ask(question))
        assert answer.verdict is Verdict.PASS, answer.line

    def test_accuracy_is_that_of_the_device(self, host):
        host.bench.samples = 24
        answer = settled(host.bench, host.ask("accuracy"))
        assert answer.verdict is not Verdict.BROKEN, answer.line
        assert answer.figures["n"] == 24

    def test_a_network_that_lacks_a_bias_is_further_off_than_its_precision_costs(self, host):
        host.misbehave("ais_bench.wrong_numbers")
        answer = settled(host.bench, host.ask("agreement"))
        assert answer.verdict is Verdict.FAIL, answer.line

    def test_outputs_of_another_item_fail_agreement(self, host):
        host.misbehave("ais_bench.shifted")
        answer = settled(host.bench, host.ask("agreement"))
        assert answer.verdict is Verdict.FAIL, answer.line
        assert "0 of 32 answers stay the same" in answer.line or "answers stay the same" in answer.line

    def test_no_input_of_ours_lies_on_a_link_or_is_open_to_others(self, host):
        outputs(host, batches(host, 4))
        (call,) = host.called("ais_bench")
        told = dict(zip(call[::2], call[1::2], strict=True))
        assert Path(told["--model"]).is_relative_to(tempfile.gettempdir())
        assert os.fspath(told["--input"]).startswith(tempfile.gettempdir())


class TestDevices:
    def test_processes_side_by_side_share_the_devices_out(self, host):
        asked = batches(host, 4)
        for worker, compute in enumerate((Compute(worker=0), Compute(worker=1), Compute(devices=(1,), worker=0))):
            host.bench.compute = compute
            outputs(host, asked)
            call = host.called("ais_bench")[worker]
            assert call[call.index("--device") + 1] == ("0", "1", "1")[worker]

    def test_a_device_that_is_not_there_is_named(self, host):
        host.bench.compute = Compute(devices=(7,))
        answer = settled(host.bench, host.ask("throughput"))
        assert (answer.verdict, "no device 7" in answer.line) == (Verdict.SKIPPED, True)


def compiled(host: Played, store: Store | None = None, batch: int = 4) -> Artefact:
    """What the compiler makes of the deployed form; anew in a store of its own."""
    backend, _ = host.bench.available("ascend")
    form = host.bench.form(host.model, host.model.reference("bundled"), host.model.form("onnx"))
    room = Room(store or host.bench.store, host.bench.scratch, host.bench.compute)
    return backend.prepare(form, host.cell(batch), room)


def opened(host: Played, made: Artefact):
    backend, _ = host.bench.available("ascend")
    return backend.open(made, host.cell(), Room(host.bench.store, host.bench.scratch, host.bench.compute))


def without_ais_bench(host: Played) -> None:
    host.set_variable("PYTHONPATH", "")


def replace_recipe(host: Played, **changes) -> Played:
    recipe = replace(host.model.recipes["ascend"], **changes)
    model: Model = replace(
        host.model, recipes={"ascend": recipe}, points=(Point(batch=1), Point(batch=4), Point(batch=8), Point(batch=64))
    )
    return replace(host, model=model)
