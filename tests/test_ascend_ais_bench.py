"""ais_bench is known by what it prints, and figures that contradict each other are refused with the numbers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ascend.ais_bench import Generation, check_run, read_features, read_run, read_throughputs, summary_path
from harness.ascend.ais_bench_summary import read_summary
from harness.ascend.report import Latency, Throughput, check_throughput
from harness.verdict import Broken, Refused

MEAN = 13.476432624680307
COMPUTE = f"[INFO] NPU_compute_time (ms): min = 13.38, max = 13.64, mean = {MEAN}, median = 13.47, "
COMPUTE += "percentile(99%) = 13.55\n"
THROUGHPUT = f"[INFO] throughput 1000*batchsize.mean(64)/NPU_compute_time.mean({MEAN}): 4749.03127425521\n"
HEADING = "[INFO] -----------------Performance Summary------------------\n"
RUN = HEADING + COMPUTE + THROUGHPUT + "[INFO] ------------------------------------------------------\n"
OTHER = RUN.replace(str(MEAN), "13.5").replace("4749.03127425521", repr(1000 * 64 / 13.5))
HELP = "usage: ais_bench [-h] --model MODEL [--input INPUT] [--output OUTPUT] [--loop LOOP]"


def summary(**changes: object) -> str:
    """What the writer of G2 to G4 writes: three executions at batch 2."""
    samples = [4.0, 5.0, 9.0]
    compute = {"min": 4.0, "max": 9.0, "mean": 6.0, "median": 5.0, "percentile(99%)": 8.92, "count": 3}
    said = {
        "filesinfo": {"0": {"infiles": [["img_0.bin"]], "outfiles": ["out/img_0_0.bin"]}},
        "args": ["--model", "net.om"],
        "NPU_compute_time": compute,
        "H2D_latency": compute,
        "D2H_latency": compute,
        "throughput": 1000 * 2 / 6.0,
        "npu_compute_time_list": samples,
        "pid": 4711,
    }
    return json.dumps(said | changes)


def figures(**changes: float) -> dict[str, float]:
    return {"min": 4.0, "max": 9.0, "mean": 6.0, "median": 5.0, "percentile(99%)": 8.92, "count": 3} | changes


class TestGeneration:
    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            ("", "G0"),
            (" [--output_dirname NAME]", "G1"),
            (" [--output_dirname NAME] [--warmup_count N]", "G2 G3"),
            (" [--output-dirname NAME] [--warmup-count N]", "G2 G3"),
            (" [--warmup_count N] [--energy_consumption]", "G4"),
            (" [--warmup_count N] [--pipeline PIPELINE]", "G4"),
            (" [--warmup-count N] [--backend {trtexec}]", "G4"),
        ],
    )
    def test_the_options_tell(self, more, expected):
        read = read_features(HELP + more)
        assert " ".join(sorted(read.generations)) == expected
        assert read.gives_samples == ("warmup" in more)

    @pytest.mark.parametrize("text", ["", "python3: No module named ais_bench", "usage: x --model --loops"])
    def test_another_help_is_told(self, text):
        with pytest.raises(Broken, match="--help: expected the options --model and --loop"):
            read_features(text)

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("[INFO] throughput (1000*batchsize/NPU_compute_time): 171.5691219234638", "G0"),
            (
                "[INFO] throughput 1000*batchsize(1)/NPU_compute_time.mean(0.4343369999527931): 2302.359688694924",
                "G1 G2",
            ),
            (THROUGHPUT, "G3 G4"),
            (THROUGHPUT.replace("mean(64)", "mean(64.0)"), "G3 G4"),
        ],
    )
    def test_the_throughput_line_tells(self, line, expected):
        ((_, generations),) = read_throughputs(line)
        assert " ".join(sorted(generations)) == expected

    def test_the_summary_lies_inside_then_beside(self):
        assert summary_path("./out/2022_07_09-18_23_06/", Generation.G0) == "./out/2022_07_09-18_23_06/sumary.json"
        assert summary_path("./result", Generation.G3) == "./result_summary.json"


class TestRun:
    def test_a_bar_and_colours_do_not_matter(self):
        spoilt = "\x1b[2Kinfer: 10%|#\r\x1b[32m20%|##\rloop inference exec: (3/10)\r" + RUN.replace("\n", "\r\n")
        assert read_run(spoilt) == read_run(RUN)
        bar = RUN.replace("[INFO] NPU_compute", "Processing: 100%|##| 1/1 [INFO] NPU_compute")
        assert read_run(bar) == read_run(RUN)

    def test_blocks_of_two_devices_within_each_other_are_told_apart_by_their_means(self):
        lines = [*zip(RUN.splitlines(), OTHER.splitlines(), strict=True)]
        mixed = "\n".join(line for pair in (lines[0], lines[1], lines[2][::-1], lines[3]) for line in pair)
        assert sorted(one.compute.mean for one in read_run(mixed).reports) == [MEAN, 13.5]
        assert {one.batch for one in read_run(mixed).reports} == {64.0}

    def test_a_pipeline_gives_no_latency(self):
        text = HEADING + f"[INFO] NPU_compute_time (ms): mean = {MEAN}\n" + THROUGHPUT
        (report,) = read_run(text).reports
        assert report.overlapping
        assert report.compute == Latency(mean=MEAN)

    def test_no_sample_is_made_up(self):
        assert read_run(RUN).reports[0].samples == ()

    def test_what_was_asked_for_must_be_what_ran(self):
        assert read_run(RUN, batch=64).reports[0].batch == 64
        with pytest.raises(Broken, match="expected batch 1, found a throughput of batch 64"):
            read_run(RUN, batch=1)


class TestSaboteurs:
    @pytest.mark.parametrize(
        ("old", "new", "told"),
        [
            ("4749.03127425521", "4749.0312742", "expected throughput 4749.0312742552"),
            ("4749.03127425521", "nan", "a finite number"),
            ("4749.03127425521", "0", "above 0"),
            ("4749.03127425521", "1e999", "a finite number"),
            (
                f"time.mean({MEAN})",
                "time.mean(13.5)",
                "a throughput of the mean 13.476432624680307 ms, found that of 13.5",
            ),
            ("mean(64)", "mean(32)", "1000 * 32 / 13.476"),
            ("min = 13.38", "min = 13.48", "min <= median, found 13.48 and 13.47"),
            ("max = 13.64", "max = 13.46", "<= max"),
            ("min = 13.38", "min = -1", "expected a time, found min = -1.0 ms"),
            ("median = 13.47, ", "", "or mean alone"),
            (THROUGHPUT, "", "1 headings, 1 NPU_compute_time, 0 throughputs"),
            (COMPUTE, COMPUTE + COMPUTE, "2 NPU_compute_time, 1 throughputs"),
            ("throughput 1000", "throughput 60", "throughput 1000*batchsize"),
        ],
    )
    def test_figures_that_contradict_each_other_are_refused(self, old, new, told):
        assert old in RUN
        with pytest.raises(Broken) as raised:
            read_run(RUN.replace(old, new))
        assert told in str(raised.value)

    def test_a_wrong_total_of_two_devices_is_refused(self):
        total = repr(4749.03127425521 + 1000 * 64 / 13.5)
        assert read_run(RUN + OTHER + f"[INFO] summary throughput:{total}\n").total == float(total)
        with pytest.raises(Broken, match="expected summary throughput"):
            read_run(RUN + OTHER + "[INFO] summary throughput:4749.03127425521\n")

    @pytest.mark.parametrize("line", ["[ERROR] load model from file failed", "RuntimeError:[1][ACL:invalid parameter]"])
    def test_exit_0_with_an_error_is_no_success(self, line):
        assert check_run(RUN, 0) == read_run(RUN)
        with pytest.raises(
            Refused, match="expected exit code 0, no error and 1 Performance Summary, found exit code 0"
        ):
            check_run(RUN + line, 0)

    def test_a_device_without_its_report_is_no_success(self):
        with pytest.raises(Refused, match="2 Performance Summary, found exit code 0, 1 Performance Summary"):
            check_run(RUN, 0, devices=2)

    def test_another_exit_code_is_no_success(self):
        with pytest.raises(Refused, match="found exit code 1"):
            check_run(RUN, 1)

    def test_a_device_that_does_not_open_is_not_the_model(self):
        with pytest.raises(Broken, match="the device cannot be opened"):
            check_run(
                "EL003: The argument is invalid.\n[ERROR] acl open device 0 failed\nSetDevice failed.ret=507033", 1
            )


class TestSummary:
    def test_samples_are_milliseconds_as_listed(self):
        read = read_summary(summary(), batch=2, executions=3)
        assert read.report.samples == (4.0, 5.0, 9.0)
        assert read.report.compute.count == 3
        assert read.files == {"0": ("out/img_0_0.bin",)}
        assert (read.arguments, read.pid) == (("--model", "net.om"), 4711)

    def test_pairs_are_no_latency(self):
        pipelined = {"mean": 6.0, "count": 3}
        pairs = [[0.0, 4.0], [1.0, 6.0], [2.0, 11.0]]
        read = read_summary(summary(NPU_compute_time=pipelined, npu_compute_time_list=pairs), batch=2, executions=3)
        assert read.report.overlapping
        assert read.report.samples == ()

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"throughput": 112.5}, "expected throughput 333.3333333333333/s = 1000 * 2 / 6.0 ms, found 112.5/s"),
            ({"npu_compute_time_list": [4.0, 9.0]}, "expected 3 samples, as its count says, found 2"),
            ({"npu_compute_time_list": [4.0, 5.0, 9.1]}, "expected max 9.1 ms of the listed samples, found 9.0"),
            ({"npu_compute_time_list": [4.0, 5.5, 9.0]}, "expected mean"),
            ({"npu_compute_time_list": [0.0, 5.0, 9.0]}, "expected samples above 0"),
            ({"npu_compute_time_list": []}, "a list of times"),
            ({"npu_compute_time_list": [4.0, "5", 9.0]}, "a finite number as npu_compute_time_list"),
            ({"npu_compute_time_list": [[4.0, 3.0]]}, "pairs of start and end"),
            ({"NPU_compute_time": figures(median=3.0)}, "expected min <= median, found 4.0 and 3.0 ms"),
            ({"NPU_compute_time": figures(max=8.0)}, "percentile(99%) <= max, found 8.92 and 8.0"),
            ({"NPU_compute_time": figures(count=0)}, "expected count above 0"),
            ({"NPU_compute_time": figures(count=2.5)}, "a whole number as count"),
            ({"NPU_compute_time": figures(mean=float("nan"))}, "a finite number as mean"),
            ({"NPU_compute_time": None}, "the key NPU_compute_time"),
            ({"H2D_latency": [1]}, "figures with a mean as H2D_latency"),
            ({"throughput": None}, "a finite number as throughput"),
            ({"filesinfo": [1]}, "outfiles by sample"),
        ],
    )
    def test_what_contradicts_itself_is_refused(self, changes, told):
        with pytest.raises(Broken) as raised:
            read_summary(summary(**changes), batch=2)
        assert told in str(raised.value)

    def test_fewer_executions_than_asked_for_are_refused(self):
        with pytest.raises(Broken, match=r"expected count 100 \(loops x runs\), found 3"):
            read_summary(summary(), executions=100)

    @pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", b"\xff"])
    def test_another_file_is_told(self, text):
        with pytest.raises(Broken, match="expected"):
            read_summary(text)


class TestIdentity:
    @given(st.integers(1, 4096), st.floats(1e-3, 1e5))
    def test_what_the_tool_computes_is_believed(self, batch, mean):
        found = Throughput(value=1000 * batch / mean, batch=batch, mean=mean, line="")
        oldest = Throughput(value=1000 * batch / mean, batch=None, mean=None, line="")
        assert check_throughput("tool", found, mean) == batch
        assert check_throughput("tool", oldest, mean) == batch

    @given(st.integers(1, 4096), st.floats(1e-3, 1e5), st.floats(1e-9, 1e-2))
    def test_a_figure_a_billionth_away_is_not(self, batch, mean, away):
        found = Throughput(value=1000 * batch / mean * (1 + away), batch=batch, mean=mean, line="")
        with pytest.raises(Broken, match="expected throughput"):
            check_throughput("tool", found)
