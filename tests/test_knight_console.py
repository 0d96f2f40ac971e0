"""What the quantiser prints, its exit code and its files are judged together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.knight.console import check_inferred, check_made, check_quantised, read_console
from harness.verdict import Broken, Refused

GOOD = (
    "Stage1: Convert Model.",
    "Stage1 Finished, It Take 1.5s.",
    "Stage2: Float Model Inference.",
    "metric: {'acc': 0.7, 'samples': 10}",
    "Stage2 Finished, It Take 12s.",
    "Quantize End.",
)
FILES = {"net.onnx": 10, "net_quantize.onnx": 10}


class TestRead:
    def test_stages_seconds_metrics_and_the_last_line(self):
        found = read_console(GOOD)
        assert found.stages == {1: "Convert Model", 2: "Float Model Inference"}
        assert found.seconds == {1: 1.5, 2: 12.0}
        assert found.ended
        assert found.metrics == ({"acc": 0.7, "samples": 10},)

    @given(st.lists(st.text(st.characters(exclude_characters="{"), max_size=40)))
    def test_other_lines_mean_nothing_and_break_nothing(self, lines):
        assert read_console([*lines, *GOOD]).ended

    @pytest.mark.parametrize("text", ["{'acc': }", "{1, 2}", "{'a': __import__('os')}"])
    def test_a_metric_is_data_and_never_run(self, text):
        with pytest.raises(Refused, match="is no dictionary"):
            read_console([f"metric: {text}"])


class TestQuantised:
    def test_a_success_is_told_by_text_code_and_files(self):
        assert check_quantised(GOOD, 0, FILES, list(FILES)).ended

    @pytest.mark.parametrize(
        ("lines", "code", "files", "expected"),
        [
            (GOOD[:4] + GOOD[5:], 0, FILES, r"stage 2 \(Float Model Inference\) never ended.*exit code 0 all the same"),
            (GOOD[:-1], 0, FILES, "expected a line with 'Quantize End', found none"),
            (GOOD, 0, {}, r"expected a file net.onnx, found none.*exit code 0 all the same"),
            (GOOD, 0, FILES | {"net_quantize.onnx": 0}, "net_quantize.onnx is empty"),
            (GOOD, 1, FILES, "exit code 1"),
            (GOOD, -11, FILES, "SIGSEGV"),
            ((*GOOD[:3], "AssertionError: OP:Conv q2:-12 must range in [0, 31]"), 1, {}, r"q2:-12 must range"),
        ],
    )
    def test_anything_against_it_is_refused_and_named(self, lines, code, files, expected):
        with pytest.raises(Refused, match=expected):
            check_quantised(lines, code, files, list(FILES))

    @pytest.mark.parametrize(
        ("line", "code"), [("OSError: [Errno 28] No space left on device", 1), ("ModuleNotFoundError: x", 1), ("", -9)]
    )
    def test_an_environment_to_blame_is_broken(self, line, code):
        with pytest.raises(Broken):
            check_quantised((*GOOD[:3], line), code, {}, list(FILES))


class TestOthers:
    def test_a_tool_of_which_nothing_is_published_must_leave_its_files(self):
        check_made("rne-compile", (), 0, {"net_r.cfg": 3}, ["net_r.cfg"])
        with pytest.raises(
            Refused, match=r"rne-compile: expected a file net_r.cfg, found net_r.weight; exit code 0 all"
        ):
            check_made("rne-compile", (), 0, {"net_r.weight": 3}, ["net_r.cfg"])

    def test_the_function_says_how_many_inputs_it_forwarded(self):
        check_inferred(["metric: {'samples': 3}"], 0, 3)
        for lines in ([], ["metric: {'samples': 2}"], ["metric: {'samples': 3}"] * 2, ["metric: {'acc': 0.1}"]):
            with pytest.raises(Refused, match="expected one line metric"):
                check_inferred(lines, 0, 3)
