"""A tool that cannot work is broken and says what to do; a tool that will not take the model refuses it."""

from __future__ import annotations

import re
import signal

import pytest

from harness.process import run
from harness.process.faults import error_lines
from harness.verdict import Broken, Refused
from tests.played import LOG, play, work

LIBRARY, SPACE, PERMISSION = "a library cannot be loaded", "the disk is full", "a permission is missing"
MEMORY, MISSING = "memory ran out", "a program that the tool calls cannot be run"

ENVIRONMENT = {
    "library": ("atc.bin: error while loading shared libraries: libascend_hal.so: cannot open", 127, LIBRARY),
    "symbol": ("./msame: symbol lookup error: ./libacl.so: undefined symbol: aclInit", 127, LIBRARY),
    "glibc": ("trtexec: /lib64/libc.so.6: version `GLIBC_2.34' not found (required by trtexec)", 1, LIBRARY),
    "module": ("EC0010: [ModuleNotFoundError: No module named 'decorator'.]", 255, "lacks a module"),
    "space": ("[ERROR] write model.om: No space left on device", 255, SPACE),
    "quota": ("OSError: [Errno 122] Disk quota exceeded: 'model.om'", 1, SPACE),
    "permission": ("[ERROR] open /dev/davinci0: Permission denied", 1, PERMISSION),
    "memory": ("terminate called after throwing an instance of 'std::bad_alloc'", 134, MEMORY),
    "killed worker": ("BrokenPipeError: [Errno 32] Broken pipe", 255, MEMORY),
    "killed in a script": ("/opt/atc: line 12: 4711 Killed atc.bin", 1, MEMORY),
    "missing": ("/opt/atc: line 12: atc.bin: command not found", 1, MISSING),
}


class TestEnvironment:
    @pytest.mark.parametrize(("text", "code", "told"), ENVIRONMENT.values(), ids=ENVIRONMENT)
    def test_what_the_text_blames_is_broken_and_says_what_to_do(self, tmp_path, text, code, told):
        script = "import sys; print(sys.argv[1]); print('atc ended'); sys.exit(int(sys.argv[2]))"
        error = play(tmp_path, script, text, str(code)).failure("wrote no model")
        assert type(error) is Broken
        assert error.log == tmp_path / LOG
        how = rf": wrote no model; exit code {code}.* after [0-9.]+ s; .*{told}: {re.escape(text)}; .+; log (.*)$"
        assert re.search(how, str(error)).group(1) == str(tmp_path / LOG)

    def test_a_library_that_really_is_missing_is_broken(self, tmp_path):
        error = play(tmp_path, "import ctypes; ctypes.CDLL('libascend_hal_no.so')").failure("printed no summary")
        assert type(error) is Broken
        assert f"{LIBRARY}: OSError: libascend_hal_no.so: cannot open shared object" in str(error)

    @pytest.mark.parametrize(
        ("name", "told"),
        [("SIGKILL", f"{MEMORY}: SIGKILL; free"), ("SIGTERM", "ended from outside"), ("SIGILL", "another processor")],
    )
    def test_a_signal_from_the_machine_is_broken(self, tmp_path, name, told):
        done = play(tmp_path, f"import os, signal; print('compiling'); os.kill(os.getpid(), signal.{name})")
        assert (done.ended, done.code) == (name, -getattr(signal, name))
        assert type(done.failure("wrote no model")) is Broken
        assert told in str(done.failure("wrote no model"))

    @pytest.mark.parametrize(
        ("code", "told"), [(126, MISSING), (127, MISSING), (137, f"{MEMORY}: exit code 137 (SIGKILL)")]
    )
    def test_an_exit_code_of_a_shell_that_could_not_run_the_tool_is_broken(self, tmp_path, code, told):
        error = play(tmp_path, f"raise SystemExit({code})").failure("wrote no model")
        assert type(error) is Broken
        assert told in str(error)


class TestModel:
    def test_what_the_tool_says_of_the_model_is_refused(self, tmp_path):
        printed = (
            "ATC start working now\nATC run failed\nE19010: No parser is registered for Op [Conv_52].\nW11001: slow"
        )
        done = play(tmp_path, "import sys; print(sys.argv[1]); sys.exit(255)", printed)
        assert done.errors == ("ATC run failed", "E19010: No parser is registered for Op [Conv_52].")
        error = done.failure("wrote no model")
        assert type(error) is Refused
        assert error.log == tmp_path / LOG
        how = r": wrote no model; exit code 255 after [0-9.]+ s; ATC run failed \| E19010: .* \[Conv_52\]\.; log (.*)$"
        assert re.search(how, str(error)).group(1) == str(tmp_path / LOG)

    def test_a_crash_of_the_tool_is_refused_and_named(self, tmp_path):
        error = play(tmp_path, "import os; os.kill(os.getpid(), 11)").failure("wrote no model")
        assert type(error) is Refused
        assert re.search(r"; SIGSEGV after [0-9.]+ s; it printed nothing; log ", str(error))

    def test_an_exit_code_of_nought_excuses_nothing(self, tmp_path):
        done = play(tmp_path, "print('[Paddle2ONNX] Failed to load program of PaddlePaddle model.')")
        assert re.search("exit code 0 after .*Failed to load program", str(done.failure("wrote no model")))

    def test_a_failure_line_stays_short_whatever_was_called_and_printed(self, tmp_path):
        done = play(tmp_path, "for i in range(99): print('[ERROR]', i, 'x' * 500)", "y" * 9000)
        assert [line[:11] for line in done.errors] == [f"[ERROR] {i} " for i in range(91, 99)]
        assert len(str(done.failure("wrote no model"))) < 3000

    @pytest.mark.parametrize(
        ("sample", "told"),
        [
            ("atc-2", (Refused, "E19010: No parser is registered")),
            ("atc-7", (Refused, "E19025: Input tensor is invalid")),
            ("atc-10", (Broken, "libascend_hal.so: cannot open")),
            ("ais_bench-7", (Refused, "[ERROR] load model from file failed")),
            ("trtexec-6", (Refused, "[E] Failed to parse onnx file")),
            ("benchmark_app-5", (Broken, "libOpenCL.so.1: cannot open")),
        ],
    )
    def test_recorded_output_of_vendor_tools_is_read(self, tmp_path, shared, sample, told):
        printed = shared / "samples" / f"{sample}.txt"
        error = run(["cat", printed], folder=work(tmp_path), log=tmp_path / LOG, timeout=60).failure("no summary")
        assert (type(error), told[1] in str(error)) == (told[0], True)


class TestErrorLines:
    @pytest.mark.parametrize(
        "line",
        [
            "RuntimeError:[1][ACL:invalid parameter]",
            "ACL error 507033",
            "E40000: te.platform.log_util",
            "[02/06/2024-17:33:20] [E] Engine set up",
            "Segmentation fault (core dumped)",
        ],
    )
    def test_an_error_is_found_among_other_lines(self, line):
        assert error_lines(["[INFO] start", line, "[INFO] end", "max error 1.3e-2", "0 errors", "error: 0"]) == (line,)

    def test_where_no_line_looks_like_one_the_last_ones_are_told(self):
        assert error_lines(["one", "two", "three", "four"]) == ("two", "three", "four")
        assert error_lines([]) == ()
