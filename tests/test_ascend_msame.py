"""msame's times are samples, its averages those of the samples, and exit 0 after an error is no success."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ascend.msame import check_run, output_name, read_run
from harness.verdict import Broken, Refused

TIMES = "[INFO] model execute success\nInference time: 4.5ms\n[INFO] model execute success\nInference time: 2.25ms\n"
AVERAGE = "Inference average time: 3.375000 ms\nInference average time without first time: 2.250000 ms\n"
SUCCESS = "[INFO] output data success\n" + AVERAGE + "[INFO] Execute sample success\n"
FOLDER = "output//20211111_224034\n"
RUN = FOLDER + TIMES + SUCCESS


class TestRun:
    @pytest.mark.parametrize("stamp", ["20211111_224034", "202262_18_19_23_73731"])
    @pytest.mark.parametrize("output", ["output/", "./out", "/data/run_1"])
    def test_the_folder_is_taken_as_printed(self, output, stamp):
        assert read_run(RUN.replace(FOLDER, f"{output}/{stamp}\r\n")).outputs == f"{output}/{stamp}"

    def test_two_folders_are_told(self):
        with pytest.raises(Broken, match="expected one folder of outputs, found output//1_2, output//3_4"):
            read_run("output//1_2\noutput//3_4\n")

    def test_the_first_sample_is_cold(self):
        read = read_run(RUN)
        assert (read.samples, read.warm, read.mean) == ((4.5, 2.25), (2.25,), 3.375)

    @pytest.mark.parametrize("line", ["[INFO] Execute sample success.", "[INFO] pid: 4711 Execute sample success"])
    def test_every_form_of_success_counts(self, line):
        assert check_run(RUN.replace("[INFO] Execute sample success", line), 0).succeeded

    def test_a_folder_of_inputs_has_a_blank_more_and_two_decimals(self):
        text = TIMES + "Inference average time : 3.38 ms\nInference average time without first time: 2.25 ms\n"
        assert read_run(text).mean == 3.38

    @given(st.lists(st.floats(0.01, 9999), min_size=2, max_size=100))
    def test_what_the_tool_computes_is_believed(self, times):
        text = "".join(f"Inference time: {time:.6g}ms\n" for time in times)
        text += f"Inference average time: {sum(times) / len(times):f} ms\n"
        text += f"Inference average time without first time: {sum(times[1:]) / (len(times) - 1):.2f} ms\n"
        assert len(read_run(text).samples) == len(times)


class TestSaboteurs:
    @pytest.mark.parametrize(
        ("old", "new"), [("time: 3.375000", "time: 3.376000"), ("first time: 2.250000", "first time: 3.375000")]
    )
    def test_another_average_is_refused_with_the_numbers(self, old, new):
        assert old in RUN
        with pytest.raises(Broken, match=r"expected average.* ms of \d samples to .* ms, found 3.37"):
            read_run(RUN.replace(old, new))

    @pytest.mark.parametrize("time", ["nan", "inf", "-nan"])
    def test_a_time_that_is_none_is_told(self, time):
        with pytest.raises(Broken, match=f"found 'Inference time: {time}ms'"):
            read_run(RUN.replace("4.5", time))

    def test_exit_0_with_an_error_is_no_success(self):
        with pytest.raises(Refused, match=r"found exit code 0.*\[ERROR\] Invalid args"):
            check_run("[ERROR] Invalid args. --loop 1000\n", 0)
        with pytest.raises(Refused, match="find input"):
            check_run(RUN + "[ERROR] find input 3 failed\n", 0)

    @pytest.mark.parametrize("line", ["[INFO] output data success", "[INFO] Execute sample success"])
    def test_each_line_of_success_is_needed(self, line):
        with pytest.raises(Refused, match="no line"):
            check_run(RUN.replace(line, ""), 0)

    def test_nothing_measured_is_no_success(self):
        text = RUN.replace(TIMES, "").replace("3.375000", "-nan").replace("2.250000", "-nan")
        with pytest.raises(Refused, match="no line 'Inference time'"):
            check_run(text, 0)

    def test_a_device_that_does_not_open_is_not_the_model(self):
        with pytest.raises(Broken, match="the device cannot be opened"):
            check_run("[ERROR] open device 0 failed\n", 1)


class TestFiles:
    def test_names_keep_all_but_the_last_dot(self):
        assert output_name("in/img_1.5.bin", 0) == "img_1.5_output_0.bin"
        assert output_name("model.om", 2, "txt") == "model_output_2.txt"
