"""A compile succeeded only where text, exit code and artefact say so together; a failure says code and operator."""

from __future__ import annotations

import pytest

from harness.ascend.atc import check_loads, judge
from harness.verdict import Broken, Refused

START = "ATC start working now, please wait for a moment.\n"
SUCCESS = START + "...\nATC run success, welcome to the next use.\n"
FAILURE = START + "ATC run failed, Please check the detail log, Try 'atc --help' for more information\n"
WARNING = (
    "W11001: Op [Slice_29] does not hit the high-priority operator information library, which might result in ..\n"
)
UNSUPPORTED = "EZ3003: [PID: 4711] 2025-03-18-09:02:18.501.341 No supported Ops kernel for Op [GridSample_7].\n"
UNPARSED = "E19010: No parser is registered for Op [Conv_52, optype [ai.onnx::11::Conv]].\n"
AGAIN = "        No parser is registered for Op [Conv_112, optype [ai.onnx::11::Conv]].\n"


def problems(text: str, code: int = 0, files: tuple[str, ...] = ("net.om",)) -> str:
    read = judge(text, code, files, "net")
    assert read.artefact is None
    assert not read.succeeded
    return "; ".join(read.problems)


class TestSuccess:
    @pytest.mark.parametrize("text", [SUCCESS, SUCCESS + WARNING, WARNING + SUCCESS, "x" + SUCCESS.splitlines()[-1]])
    def test_warnings_before_and_after_do_not_matter(self, text):
        assert judge(text, 0, ["net.om"], "net").checked() == "net.om"

    @pytest.mark.parametrize("name", ["net.om", "net_linux_x86_64.om", "net_linux_aarch64.om"])
    def test_code_for_the_host_shows_in_the_name(self, name):
        files = [name, "kernel_meta", "fusion_result.json", "kernel_meta/net.om"]
        assert judge(SUCCESS, 0, files, "net").checked() == name

    def test_the_suffix_is_appended_blindly(self):
        assert judge(SUCCESS, 0, ["net_bs1.om.om"], "net_bs1.om").checked() == "net_bs1.om.om"


class TestSaboteurs:
    def test_a_success_without_an_artefact_fails(self):
        expected = "expected one file net.om or net_<system>_<processor>.om, found none"
        assert problems(SUCCESS, files=()) == expected

    def test_a_second_artefact_fails_with_both_names(self):
        assert "found net.om, net_linux_x86_64.om" in problems(SUCCESS, files=("net_linux_x86_64.om", "net.om"))

    @pytest.mark.parametrize("name", ["net16.om", "net_bs16.om", "other.om", "net.om.om", "xnet.om"])
    def test_a_stale_file_of_another_name_fails(self, name):
        assert f"found {name}" in problems(SUCCESS, files=(name,))

    def test_exit_0_is_not_believed(self):
        told = problems(FAILURE + UNPARSED)
        assert "it says 'ATC run failed'" in told
        assert "exit code 0 all the same" in told

    def test_another_exit_code_is_not_passed_over(self):
        assert "exit code 255" in problems(SUCCESS, 255)

    def test_both_verdicts_fail(self):
        assert "and 'ATC run success'" in problems(SUCCESS + FAILURE)

    def test_an_error_after_the_success_fails(self):
        assert "prints E19999" in problems(SUCCESS + "E19999: Inner Error!\n")

    def test_silence_fails(self):
        assert "found neither; last line: nothing printed" in problems("")
        assert "ATC start working now" in problems(START)


class TestFailure:
    def test_a_variant_is_found_within_its_line(self):
        text = "xATC run failed, Make sure this is what you want: '--mode=0'.\n"
        assert "it says 'ATC run failed'" in problems(text, 255, ())

    def test_code_and_time_are_taken_off_the_message(self):
        (error,) = judge(FAILURE + UNSUPPORTED, 255, [], "net").errors
        assert (error.code, error.text) == ("EZ3003", "No supported Ops kernel for Op [GridSample_7].")
        assert error.operators == ("GridSample_7",)

    def test_both_spellings_of_an_operator_without_a_kernel_name_it(self):
        text = "EZ3003: No supported Ops kernel and engine are found for [Conv_9], optype [Conv2D].\n"
        (error,) = judge(FAILURE + text, 255, [], "net").errors
        assert (error.operators, error.optypes) == (("Conv_9",), ("Conv2D",))

    def test_the_model_is_refused_with_every_operator(self):
        with pytest.raises(Refused, match=r"E19010: No parser .*\[Conv_52, .*\(also Conv_112\)"):
            judge(FAILURE + UNPARSED + AGAIN, 255, [], "net").checked()

    def test_a_line_of_another_process_in_between_ends_no_trace(self):
        (error,) = judge(FAILURE + UNPARSED + "[INFO] GE(1,atc): slow\n" + AGAIN, 255, [], "net").errors
        assert error.operators == ("Conv_52", "Conv_112")

    @pytest.mark.parametrize(
        ("text", "code", "told"),
        [
            (FAILURE + "E40000: Failed to import te.platform.log_util.\n", 255, "the toolkit's Python"),
            ("atc.bin: error while loading shared libraries: libascend_hal.so: cannot open\n", 127, "libascend_hal.so"),
            (START + "BrokenPipeError: [Errno 32] Broken pipe\n", 255, "memory ran out"),
            (START, -9, "SIGKILL"),
        ],
    )
    def test_the_environment_is_never_the_model(self, text, code, told):
        with pytest.raises(Broken, match=told):
            judge(text, code, [], "net").checked()

    def test_a_deprecated_option_is_told(self):
        text = FAILURE + "E10001: Value [GA,RL] for parameter [--auto_tune_mode] is invalid. Reason: The Auto Tune "
        text += "function has been deprecated. Please use the AOE tool for tuning.\n"
        with pytest.raises(Refused, match="Please use the AOE tool"):
            judge(text, 255, [], "net").checked()


class TestLoads:
    def test_the_missing_argument_proves_it(self):
        check_loads(FAILURE + "E10007: [--framework] is required.\n", 255)

    @pytest.mark.parametrize("text", ["", SUCCESS, FAILURE, FAILURE + UNPARSED, "E10007: [--framework] is required.\n"])
    def test_nothing_else_does(self, text):
        with pytest.raises(Broken, match="for a call without arguments, found"):
            check_loads(text, 0)
