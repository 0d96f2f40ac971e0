"""The Ascend backend through tools that are only played: from ONNX to answers and times on a device."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.answers import answered as settled
from harness.agree import item_distances
from harness.ascend.drive import session
from harness.backends import Compute
from harness.store import Store
from harness.verdict import Broken, Outcome, Verdict
from tests.ascend_host import Played


class TestMap:
    def test_the_device_answers_every_item_as_onnx_runtime_does_in_single_precision(self, host):
        asked = host.batches(9)
        distances = item_distances(host.in_process(asked), host.outputs(asked))
        assert 0 < distances.max() < 0.05

    def test_one_start_of_the_tool_serves_many_batches_and_what_is_short_is_filled_up_by_us(self, host):
        host.outputs(host.batches(9))
        (call,) = host.called("ais_bench")
        told = dict(zip(call[::2], call[1::2], strict=True))
        assert told["--output_batchsize_axis"] == "1"
        assert told["--outfmt"] == "BIN"
        assert "--loop" not in told

    def test_windows_bound_what_lies_on_disk(self, host, monkeypatch):
        monkeypatch.setattr(session, "WINDOW_BATCHES", 2)
        host.outputs(host.batches(20))
        assert len(host.called("ais_bench")) == 3

    def test_an_item_is_answered_the_same_alone_and_in_a_batch(self, host):
        asked = host.batches(4)
        alone = host.batches(4, size=1)
        np.testing.assert_array_equal(host.outputs(alone), host.outputs(asked))

    def test_msame_gives_the_very_same_numbers(self, host, monkeypatch):
        asked = host.batches(9)
        expected = host.outputs(asked)
        host.without_ais_bench()
        np.testing.assert_array_equal(host.outputs(asked), expected)
        assert len(host.called("msame")) == 1

    @pytest.mark.parametrize("tool", ["ais_bench", "msame"])
    def test_text_is_as_exact_as_its_digits(self, host, tool):
        asked = host.batches(5)
        expected = host.outputs(asked)
        if tool == "msame":
            host.without_ais_bench()
        recipe = host.with_recipe(outputs="txt")
        distances = item_distances(expected, recipe.outputs(asked))
        assert 0 < distances.max() < 1e-3

    @pytest.mark.parametrize("tool", ["ais_bench", "msame"])
    def test_one_model_for_a_range_of_shapes_is_told_its_shapes_and_sizes(self, host, tool):
        asked = host.batches(5)
        expected = host.outputs(asked)
        if tool == "msame":
            host.without_ais_bench()
        found = host.with_recipe(dynamic=True).outputs(asked)
        # Half precision on this machine rounds elsewhere where shapes are open.
        assert item_distances(expected, found).max() < 0.02
        made = host.with_recipe(dynamic=True).compiled()
        assert made.facts["options"].startswith("--input_shape=actual_input_1:1~64,1,32,100 ")
        call = host.called(tool)[-1]
        told = dict(zip(call[::2], call[1::2], strict=True))
        assert told["--dymShape"] == "actual_input_1:4,1,32,100"
        assert told["--outputSize"] == str(4 * 26 * 4 * 37)


class TestMeasure:
    def timed(self, host: Played):
        (batch,) = host.batches(4)
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
        host.without_ais_bench()
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
        made = host.compiled(fresh)
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
        first = host.compiled(fresh)
        assert host.compiled(fresh).key == first.key
        assert len(host.called("atc")) == 1
        host.misbehave("chip:910B3")
        assert host.compiled(fresh).facts["chip"] == "Ascend910B3"
        assert len(host.called("atc")) == 2

    def test_warnings_after_a_success_are_kept_and_fail_nothing(self, host, tmp_path):
        fresh = Store(tmp_path / "fresh")
        host.misbehave("atc.warnings")
        assert "W11001" in host.compiled(fresh).facts["warned"]


class TestDevices:
    def test_processes_side_by_side_share_the_devices_out(self, host):
        asked = host.batches(4)
        for worker, compute in enumerate((Compute(worker=0), Compute(worker=1), Compute(devices=(1,), worker=0))):
            host.bench.compute = compute
            host.outputs(asked)
            call = host.called("ais_bench")[worker]
            assert call[call.index("--device") + 1] == ("0", "1", "1")[worker]

    def test_a_device_that_is_not_there_is_named(self, host):
        host.bench.compute = Compute(devices=(7,))
        answer = settled(host.bench, host.ask("throughput"))
        assert (answer.verdict, "no device 7" in answer.line) == (Verdict.SKIPPED, True)
