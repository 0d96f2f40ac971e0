"""A program of others is started with what was declared and nothing else, or says why it cannot be."""

from __future__ import annotations

import os
import pickle
import re
import shutil

import pytest

from harness.process import PASSED_ON, private_folder, run
from harness.process.tree import COOKIE
from harness.verdict import Absent, Answer, Broken, Refused, Verdict
from tests.played import LOG, play, work

SHOW_ENVIRONMENT = "import os\nfor name in sorted(os.environ): print(f'{name}={os.environ[name]}')"


class TestStarting:
    def test_a_tool_that_is_not_there_is_broken_and_says_where_it_was_looked_for(self, tmp_path):
        where = {"folder": work(tmp_path), "log": tmp_path / LOG, "timeout": 60}
        with pytest.raises(Broken, match=r"^atc_no --model=x: cannot be started: not found on PATH=/nowhere; install"):
            run(["atc_no", "--model=x"], **where, environment={"PATH": "/nowhere"})
        with pytest.raises(Broken, match=r"^/no/atc: cannot be started: not found; install it"):
            run(["/no/atc"], **where)

    @pytest.mark.parametrize(
        ("content", "mode", "told"),
        [
            ("#!/bin/sh\n", 0o644, r"Permission denied; make it executable \(chmod \+x\)"),
            ("#!/no/such/python\n", 0o755, "is there, but its loader or interpreter is not; install the build"),
            ("\x7fELF of another machine", 0o755, "Exec format error; install the build for this machine"),
        ],
        ids=["not executable", "no interpreter", "not for this machine"],
    )
    def test_a_tool_that_cannot_be_executed_is_broken_and_says_why(self, tmp_path, content, mode, told):
        path = tmp_path / "msame"
        path.write_text(content)
        path.chmod(mode)
        with pytest.raises(Broken, match=f"msame: cannot be started: .*{told}"):
            run([path], folder=work(tmp_path), log=tmp_path / LOG, timeout=60)

    def test_arguments_that_are_too_long_for_the_machine_are_broken(self, tmp_path):
        with pytest.raises(Broken, match="Argument list too long; see what this machine lacks"):
            run(["true", "x" * (4 << 20)], folder=work(tmp_path), log=tmp_path / LOG, timeout=60)

    @pytest.mark.parametrize("below", ["file/tool.log", "absent/tool.log", "work"])
    def test_a_log_that_cannot_be_made_is_broken_and_nothing_is_run(self, tmp_path, below):
        (tmp_path / "file").write_text("not a folder")
        with pytest.raises(Broken, match=r"the log .* cannot be written: .*; free space, or choose another folder"):
            run(["touch", "made"], folder=work(tmp_path), log=tmp_path / below, timeout=60)
        assert list(work(tmp_path).iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "error", "told"),
        [
            ("ls -l", TypeError, "come as a list"),
            ([], TypeError, "come as a list"),
            (["ls", 3], TypeError, "3: arguments are texts or paths"),
            ([b"ls"], TypeError, "texts or paths"),
            (["ls", "a\0b"], ValueError, "NUL"),
            (["./ls"], ValueError, "by its name or by an absolute path"),
        ],
    )
    def test_a_wrong_call_is_refused_before_anything_is_run(self, tmp_path, arguments, error, told):
        with pytest.raises(error, match=told):
            run(arguments, folder=work(tmp_path), log=tmp_path / LOG, timeout=60)
        assert not (tmp_path / LOG).exists()

    def test_a_folder_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="no folder to run ls in"):
            run(["ls"], folder=tmp_path / "absent", log=tmp_path / LOG, timeout=60)

    def test_no_shell_reads_the_arguments(self, tmp_path):
        given = ["$(touch made)", "; touch made", "a b", "*", "'", "\n", "-c"]
        done = play(tmp_path, "import sys; print(ascii(sys.argv[1:]))", *given)
        assert done.lines == (ascii(given),)
        assert list(work(tmp_path).iterdir()) == []


class TestEnvironment:
    def test_a_tool_sees_what_is_passed_on_fixed_or_declared_and_nothing_else(self, tmp_path, monkeypatch):
        monkeypatch.setenv("API_TOKEN", "secret")
        monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/toolkit/lib64")
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        done = play(tmp_path, SHOW_ENVIRONMENT, ASCEND_OPP_PATH="/opp", USER="other")
        seen = dict(line.split("=", 1) for line in done.lines)
        (cookie,) = (name for name in seen if name.startswith(COOKIE))
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        fixed = {"LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        assert seen == {**passed, **fixed, "ASCEND_OPP_PATH": "/opp", "USER": "other", cookie: "1"}
        assert seen["LD_LIBRARY_PATH"] == "/opt/toolkit/lib64"

    def test_every_run_has_a_cookie_of_its_own(self, tmp_path):
        shown = (play(tmp_path, SHOW_ENVIRONMENT).lines for _ in range(2))
        first, second = ([line for line in lines if line.startswith(COOKIE)] for lines in shown)
        assert len(first) == len(second) == 1
        assert first != second

    def test_a_tool_runs_in_its_folder(self, tmp_path):
        assert play(tmp_path, "import os; print(os.getcwd())").lines == (str(work(tmp_path)),)

    def test_a_tool_reads_an_empty_input_whatever_ours_holds(self, tmp_path, python):
        script = "import sys; from tests.played import *\nprint(play(Path(sys.argv[1]), sys.argv[2]).lines)"
        with python(script, tmp_path, "import sys; print(repr(sys.stdin.read()))") as process:
            assert process.communicate("ours\n", timeout=60) == ("(\"''\",)\n", "")


class TestPrivateFolder:
    def test_its_name_is_plain_and_it_is_gone_afterwards(self, tmp_path):
        with private_folder(tmp_path, "crnn_bs-8") as one, private_folder(tmp_path, "crnn_bs-8") as two:
            assert one != two
            assert re.fullmatch(r"crnn_bs-8-[A-Za-z0-9_-]+", one.name)
            assert one.parent == tmp_path.resolve()
            assert one.stat().st_mode & 0o777 == 0o750
            (one / "kernel_meta").mkdir()
            (one / "kernel_meta" / "left").write_text("by atc")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["", "a/b", "..", "bs[8]", "a b", "a.b", "größe", "a\n"])
    def test_a_name_that_tools_break_on_is_refused(self, tmp_path, name):
        with pytest.raises(ValueError, match="only letters, digits, - and _"), private_folder(tmp_path, name):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_its_path_holds_no_links(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        with private_folder(tmp_path / "link", "atc") as made:
            assert made.parent == (tmp_path / "real").resolve()

    def test_it_is_gone_after_an_error_and_also_where_something_else_removed_it(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), private_folder(tmp_path, "atc"):
            raise KeyboardInterrupt
        with private_folder(tmp_path, "atc") as made:
            shutil.rmtree(made)
        assert list(tmp_path.iterdir()) == []


class TestVerdict:
    def test_answers_and_errors_carry_the_log_of_a_tool(self, tmp_path):
        log = tmp_path / LOG
        assert Answer(verdict=Verdict.PASS, line="said pass").log is None
        assert Answer(verdict=Verdict.PASS, line="said pass", log=log).log == log
        for kind in (Absent, Broken, Refused):
            assert (str(kind("text")), kind("text").log) == ("text", None)
            # Workers send them to each other pickled.
            again = pickle.loads(pickle.dumps(kind("text", log=log)))  # noqa: S301
            assert (type(again), str(again), again.log) == (kind, "text", log)
