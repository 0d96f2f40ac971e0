"""Runs at the same time, on one store and one results folder, do not disturb each other."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import harness.run
from harness.cells import Ask, Scope
from harness.domains import asks
from harness.run import RECORD, Run, write_json
from harness.verdict import Answer, Verdict
from tests.suite import answers, run_suite

MACHINE = {"commit": "abc", "threads": "1"}
WAIT = 0.2
"""Seconds that another writer gets to slip in between, which it uses up only where the lock holds."""
DEPLOYED = "crnn and ort and fp32 and (bs1 or bs8) and not split_lstm and not matmul"
SELECTION = ("-n", "2", "-m", DEPLOYED, "-k", "bundled and (accuracy or (agreement and bs1))")
ASKED = {("accuracy", "crnn-ort-fp32-bs8", "bundled"), ("agreement", "crnn-ort-fp32-bs1", "bundled")}


def test_whole_runs_at_once_on_one_store_answer_as_if_alone_in_one_folder_and_in_two(tmp_path: Path) -> None:
    """Two runs share a folder, in which each file is then written twice; a third has a folder of its own beside it.
    They begin with an empty store."""
    runs = [tmp_path / "results" / name for name in ("run1", "run1", "run2")]
    options = [(*SELECTION, f"--store={tmp_path / 'store'}", f"--run={run}") for run in runs]
    with ThreadPoolExecutor(len(runs)) as pool:
        done = list(pool.map(lambda given: run_suite(*given), options))
    printed = "".join(process.stdout for process in done)
    assert [process.returncode for process in done] == [0, 0, 0], printed
    built = re.findall(r"^built (\S+): first time$", printed, re.MULTILINE)
    assert "crnn.onnx-bundled" in built
    assert len(built) == len(set(built)) == printed.count("\nbuilt ")

    for run in set(runs):
        found = answers(run)
        assert set(found) == ASKED
        assert {answer["verdict"] for answer in found.values()} == {"pass"}
        outcomes = run / "outcomes" / found["accuracy", "crnn-ort-fp32-bs8", "bundled"]["outcomes"]
        assert len(outcomes.read_text().splitlines()) == 500
        fragments = [json.loads(path.read_text()) for path in sorted((run / "fragments").iterdir())]
        assert fragments == json.loads((run / RECORD).read_text())["answers"]
        # What writers have under names that only they know is given its name or removed.
        assert not list((run / ".partial").iterdir())
        assert {path.name for path in run.rglob(".*")} == {".partial", ".lock"}


class TestRaces:
    """Each opens the window of one race: a second writer starts while the first is about to write what it has read."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> Callable[[], Run]:
        return lambda: Run(tmp_path / "run", MACHINE)

    @pytest.fixture
    def questions(self, crnn) -> list[Ask]:
        return asks("accuracy", {"crnn": crnn}, Scope())

    @pytest.fixture
    def meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], threading.Thread]:
        """Lets a thread act just before the first file with this word in its path is written."""

        def arrange(word: str, act: Callable[[], object]) -> threading.Thread:
            other = threading.Thread(target=act)

            def interrupted(path: Path, content: dict[str, object]) -> None:
                if word in str(path) and other.ident is None:
                    other.start()
                    other.join(WAIT)
                write_json(path, content)

            monkeypatch.setattr(harness.run, "write_json", interrupted)
            return other

        return arrange

    def test_a_skip_does_not_replace_an_answer_that_came_after_it_looked(self, run, questions, meanwhile):
        passed, skipped = (Answer(verdict=verdict, line="") for verdict in (Verdict.PASS, Verdict.SKIPPED))
        other = meanwhile("fragments", lambda: run().add(questions[0], "any", passed, 1))
        run().add(questions[0], "any", skipped, 1)
        other.join()
        (kept,) = json.loads(run().record().read_text())["answers"]
        assert kept["verdict"] == "pass"

    def test_the_record_written_last_is_the_one_read_last(self, run, questions, meanwhile, tmp_path):
        passed = Answer(verdict=Verdict.PASS, line="")
        run().add(questions[0], "any", passed, 1)
        other = meanwhile(RECORD, lambda: (run().add(questions[1], "any", passed, 1), run().record()))
        run().record()
        other.join()
        assert len(json.loads((tmp_path / "run" / RECORD).read_text())["answers"]) == 2

    def test_threads_that_write_one_file_leave_one_of_their_contents_whole(self, tmp_path):
        path, contents = tmp_path / "file.json", [{"who": who, "what": "x" * 10**5} for who in range(8)]
        with ThreadPoolExecutor(len(contents)) as pool:
            list(pool.map(lambda content: write_json(path, content), contents * 4))
        assert json.loads(path.read_text()) in contents
        assert list(tmp_path.iterdir()) == [path]
