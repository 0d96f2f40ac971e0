"""However a run ends, nothing that it started goes on, and nothing that it did not start is touched."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from harness.process import declared, run
from harness.process.output import Log, Output
from harness.process.tree import Tree, new_cookie
from harness.registry import PROJECT
from harness.verdict import Broken
from tests.played import FAMILY, LOG, PYTHON, noted, play, running, work

WHOLE_FAMILY = FAMILY + (
    "note('leader'); child('child'); child('daemon', session=True, orphan=True)\n"
    "import signal; signal.signal(signal.SIGTERM, lambda *_: (print('asked'), os._exit(0)))\n"
    "wait_for('child', 'daemon'); print('all there'); time.sleep(600)"
)

RUNNER = """
import signal, sys
from pathlib import Path
from harness.process import run

signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
try:
    run([sys.executable, "-S", "-c", sys.argv[2]], folder=folder, log=folder / "inner.log", timeout=600)
except KeyboardInterrupt:
    print("interrupted")
"""


@contextmanager
def started(tmp_path: Path, *command: str, stdout: int = subprocess.DEVNULL, **environment: str) -> Iterator[Tree]:
    """A tool in the middle of its work, in the hands of whoever ends it."""
    cookie = new_cookie()
    process = subprocess.Popen(
        command,
        cwd=work(tmp_path),
        env=declared(environment) | {cookie: "1"},
        stdout=stdout,
        start_new_session=True,
    )
    with process:
        yield Tree(process, cookie)


class TestEnding:
    def test_a_time_out_ends_the_whole_tree_and_keeps_the_log(self, tmp_path):
        for seconds in (1, 5, 25):  # a busy machine may not start all of them within one
            with pytest.raises(Broken, match=rf"not finished after {seconds} s; .*; last|it printed ") as raised:
                play(tmp_path, WHOLE_FAMILY, timeout=seconds)
            if "all there" in raised.value.log.read_text():
                break
        assert "; last printed: all there | asked; log " in str(raised.value)
        assert raised.value.log.read_text() == "all there\nasked\n"
        assert running(work(tmp_path), "leader", "child", "daemon") == []

    def test_an_interrupt_ends_the_whole_tree(self, tmp_path, python):
        with python(RUNNER, work(tmp_path), WHOLE_FAMILY) as process:
            noted(work(tmp_path), "leader", "child", "daemon")
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60) == ("interrupted\n", "")
        assert running(work(tmp_path), "leader", "child", "daemon") == []

    def test_a_log_that_fills_the_disk_is_broken_and_ends_the_whole_tree(self, tmp_path):
        script = FAMILY + "child('daemon', session=True, orphan=True); wait_for('daemon'); print('x'); time.sleep(600)"
        with pytest.raises(Broken, match=r"the log /dev/full cannot be written: .*No space left"):
            run((*PYTHON, script), folder=work(tmp_path), log=Path("/dev/full"), timeout=60)
        assert running(work(tmp_path), "daemon") == []

    def test_children_that_hold_the_output_are_ended_after_the_tool(self, tmp_path):
        script = FAMILY + "child('daemon', session=True, orphan=True); wait_for('daemon'); print('done')"
        done = play(tmp_path, script)
        assert (done.code, done.lines) == (0, ("done",))
        assert running(work(tmp_path), "daemon") == []

    @pytest.mark.parametrize(
        "kept",
        ["session=True, orphan=True", "orphan=True, bare=True", "session=True, bare=True"],
        ids=["cookie", "session", "descent"],
    )
    def test_a_child_is_found_by_the_one_mark_that_it_kept(self, tmp_path, kept):
        script = FAMILY + f"child('far', {kept}); wait_for('far'); note('near'); time.sleep(600)"
        with started(tmp_path, *PYTHON, script) as tree:
            noted(work(tmp_path), "near")
            assert tree.end(time.sleep) == []
        assert running(work(tmp_path), "near", "far") == []

    def test_a_tool_that_does_not_end_when_asked_is_killed(self, tmp_path, monkeypatch):
        monkeypatch.setattr("harness.process.tree.GRACE", 0.1)
        script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); note('deaf'); time.sleep(600)"
        with started(tmp_path, *PYTHON, FAMILY + script) as tree:
            noted(work(tmp_path), "deaf")
            assert tree.end(time.sleep) == []
        assert running(work(tmp_path), "deaf") == []

    def test_a_tool_whose_first_thread_has_ended_is_still_running(self, tmp_path):
        script = FAMILY + "import ctypes, threading\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
        with started(tmp_path, *PYTHON, script + "note('threads'); ctypes.CDLL(None).pthread_exit(None)") as tree:
            noted(work(tmp_path), "threads")
            while psutil.Process(tree.process.pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            assert not tree.ended()
            assert tree.end(time.sleep) == []
            assert tree.process.returncode is not None

    def test_a_second_interrupt_kills_at_once(self, tmp_path):
        def interrupt(_: float) -> None:
            raise KeyboardInterrupt

        script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); note('deaf'); time.sleep(600)"
        with started(tmp_path, *PYTHON, FAMILY + script) as tree:
            noted(work(tmp_path), "deaf")
            with pytest.raises(KeyboardInterrupt):
                tree.end(interrupt)
        assert running(work(tmp_path), "deaf") == []

    def test_a_tool_that_ends_when_asked_may_still_print_more_than_a_pipe_holds(self, tmp_path):
        script = FAMILY + (
            "import signal\n"
            "def release(*_): os.write(1, b'.' * 200_000 + b'\\nreleased\\n'); os._exit(0)\n"
            "signal.signal(signal.SIGTERM, release); note('ready'); time.sleep(600)"
        )
        with started(tmp_path, *PYTHON, script, stdout=subprocess.PIPE) as tree, Log(tmp_path / LOG) as log:
            noted(work(tmp_path), "ready")
            output = Output(tree.process.stdout, log)
            tree.end(output.take)
            output.drain()
        assert output.lines.finish()[0][-1] == "released"
        assert (tmp_path / LOG).read_bytes() == b"." * 200_000 + b"\nreleased\n"

    # What cannot be waited for is left to the interpreter, which says so.
    @pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
    def test_a_process_that_cannot_be_ended_is_told(self, tmp_path, monkeypatch):
        # Stands in for one that waits in a driver: it is given up before it is killed.
        monkeypatch.setattr("harness.process.tree.GRACE", 0)
        monkeypatch.setattr("harness.process.tree.STUCK", -1)
        monkeypatch.setattr("harness.process.LOG_BYTES", 0)
        script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); note('stuck'); print(); time.sleep(600)"
        with pytest.raises(Broken, match=r"; 1 of its processes cannot be ended and wait in the kernel: .*pid=\d+"):
            play(tmp_path, FAMILY + script)
        for pid in noted(work(tmp_path), "stuck"):
            psutil.Process(pid).kill()

    def test_a_run_within_a_run_is_ended_with_it(self, tmp_path):
        # The runner was killed and could end nothing; its tool sits in a session, and carries a cookie, of its own.
        command = (sys.executable, "-c", RUNNER, str(work(tmp_path)), FAMILY + "note('tool'); time.sleep(600)")
        with started(tmp_path, *command, PYTHONPATH=str(PROJECT)) as tree:
            noted(work(tmp_path), "tool")
            tree.process.send_signal(signal.SIGKILL)
            while not tree.ended():
                time.sleep(0.01)
            assert tree.end(time.sleep) == []
        assert running(work(tmp_path), "tool") == []

    def test_runs_in_threads_and_processes_of_others_are_left_alone(self, tmp_path):
        def finish(name: str, seconds: str, timeout: float) -> int | str:
            try:
                return run(["sleep", seconds], folder=work(tmp_path), log=tmp_path / name, timeout=timeout).code
            except Broken:
                return "ended"

        with subprocess.Popen(["sleep", "600"]) as bystander, ThreadPoolExecutor(3) as pool:
            ends = list(pool.map(finish, ("a", "b", "c"), ("0.5", "600", "0.5"), (60, 0.2, 60)))
            assert ends == [0, "ended", 0]
            assert bystander.poll() is None
            bystander.kill()

    def test_a_tool_that_has_ended_keeps_its_number_until_its_children_are_looked_for(self, tmp_path):
        with started(tmp_path, "true") as tree:
            while not tree.ended():
                time.sleep(0.01)
            assert psutil.Process(tree.process.pid).status() == psutil.STATUS_ZOMBIE
            assert tree.living() == []
            assert tree.end(time.sleep) == []
            assert tree.process.returncode == 0
