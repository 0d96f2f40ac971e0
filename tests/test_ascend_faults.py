"""What goes wrong with Ascend's tools, and what a device answers wrongly, is caught and named."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest

from fixtures.answers import answered as settled
from harness.ascend.drive import compile as compiling
from harness.ascend.drive import runner
from harness.store import Store
from harness.verdict import Broken, Outcome, Refused, Verdict


class TestCompile:
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
            host.compiled(fresh)
        assert raised.value.log is not None
        assert raised.value.log.exists()

    def test_a_compile_without_end_is_ended_with_all_that_it_started(self, host, tmp_path, monkeypatch):
        monkeypatch.setattr(compiling, "LIMIT", 1.5)
        fresh = Store(tmp_path / "fresh")
        host.misbehave("atc.hang")
        with pytest.raises(Broken, match=r"not finished after 1.5 s") as raised:
            host.compiled(fresh)
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
            ("half", Refused, r"of another size|has \d+ bytes, expected"),
            ("short", Refused, "missing|no output"),
            ("wrong_dtype", Refused, r"of another size|has \d+ bytes, expected"),
            ("no_library", Broken, "does not load|libascend_hal"),
        ],
    )
    def test_it_is_named(self, host, tool, how, kind, expected):
        asked = host.batches(5)
        host.compiled()
        if tool == "msame":
            host.without_ais_bench()
        host.misbehave(f"{tool}.{how}")
        with pytest.raises(kind, match=expected):
            host.outputs(asked)

    def test_a_run_without_end_is_ended_with_all_that_it_started(self, host, monkeypatch):
        asked = host.batches(4)
        host.compiled()
        monkeypatch.setattr(runner, "START", 1.5)
        monkeypatch.setattr(runner, "EACH", 0.0)
        host.misbehave("ais_bench.hang")
        with pytest.raises(Broken, match=r"not finished after 1.5 s") as raised:
            host.outputs(asked)
        child = int(raised.value.log.read_text().rpartition("with child ")[2].split()[0])
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE

    def test_a_model_for_another_chip_is_named(self, host):
        made = host.compiled()
        host.misbehave("chip:310")
        backend, _ = host.bench.available("ascend")
        with pytest.raises(Outcome, match=r"load model from file failed|ACL"), host.opened(made) as found:
            list(found.map(host.batches(4)))
        assert backend.name == "ascend"

    def test_input_files_of_another_size_than_the_models_are_named(self, host):
        made = host.compiled(batch=8)
        with pytest.raises(Outcome, match=r"expected 1 runs of 4 files, found"), host.opened(made) as found:
            list(found.map(host.batches(4)))

    @pytest.mark.parametrize("tool", ["ais_bench", "msame"])
    def test_a_model_for_a_range_without_the_sizes_of_its_outputs_is_named(self, host, tool):
        made = host.with_recipe(dynamic=True).compiled()
        if tool == "msame":
            host.without_ais_bench()
        with pytest.raises(Outcome, match=r"size is zero|dym|shape|not match"), host.opened(made) as found:
            list(found.map(host.batches(4)))

    def test_a_temporary_folder_that_cannot_be_written_is_named_with_what_to_do(self, host, monkeypatch, tmp_path):
        host.compiled()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
        answer = settled(host.bench, host.ask("batching"))
        assert answer.verdict is Verdict.BROKEN
        assert "nowhere" in answer.line

    @pytest.mark.parametrize("generation", ["G2", "G4"])
    def test_every_generation_that_lists_times_is_driven(self, host, generation):
        asked = host.batches(5)
        expected = host.outputs(asked)
        host.misbehave(f"generation:{generation}")
        np.testing.assert_array_equal(host.outputs(asked), expected)
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
        host.outputs(host.batches(4))
        (call,) = host.called("ais_bench")
        told = dict(zip(call[::2], call[1::2], strict=True))
        assert Path(told["--model"]).is_relative_to(tempfile.gettempdir())
        assert os.fspath(told["--input"]).startswith(tempfile.gettempdir())
