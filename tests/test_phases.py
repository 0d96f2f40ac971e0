"""Two phases and a report end with one status: nothing that failed, or was not measured, is lost on the way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.registry import PROJECT

PYTHON = """#!/bin/sh
# Notes what it is called with, and ends as the phase is told to.
echo "$@" >> "$CALLS"
case "$*" in
*"reports render"*) exit "$REPORT" ;;
*"not perf"*) exit "$ANSWERS" ;;
*) exit "$TIMES" ;;
esac
"""


def ended(folder: Path, answers: int, times: int, report: int = 0, **more: str) -> tuple[int, list[str], str]:
    """The status, what was called, and what was printed."""
    python = folder / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    calls = folder / "calls"
    told = {"PY": str(python), "CALLS": str(calls), "ANSWERS": str(answers), "TIMES": str(times), "WORKERS": "3"}
    done = subprocess.run(
        [PROJECT / ".ci" / "phases", folder / "a run", "--assets=the assets"],
        env=os.environ | told | {"REPORT": str(report)} | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, calls.read_text().splitlines(), done.stdout


@pytest.mark.parametrize(
    ("answers", "times", "status"),
    [
        *((0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 10, 1), (10, 1, 1), (10, 0, 10), (0, 10, 10), (10, 10, 10)),
        *((0, 5, 0), (5, 0, 0), (5, 5, 5), (5, 10, 10), (5, 1, 1), (1, 5, 1), (10, 5, 10)),
    ],
)
def test_the_worse_of_both_phases_is_the_status(tmp_path: Path, answers: int, times: int, status: int) -> None:
    found, calls, _ = ended(tmp_path, answers, times)
    assert found == status
    assert len(calls) == (2 if (answers, times) == (5, 5) else 3)


@pytest.mark.parametrize("status", [2, 3, 4])
def test_a_first_phase_that_could_not_be_asked_ends_at_once(tmp_path: Path, status: int) -> None:
    found, calls, _ = ended(tmp_path, status, 0)
    assert (found, len(calls)) == (status, 1)


def test_a_report_that_cannot_be_made_is_a_failure(tmp_path: Path) -> None:
    assert ended(tmp_path, 0, 0, report=1)[0] == 1


def test_both_phases_join_one_folder_with_the_same_options_and_selection(tmp_path: Path) -> None:
    _, (answers, times, report), printed = ended(tmp_path, 0, 0, SELECT="npu or desk")
    run = f"--run={tmp_path / 'a run'} --assets=the assets"
    assert answers == f"-m pytest -n 3 {run} -m not perf and (npu or desk)"
    benchmark = f"--benchmark-json={tmp_path / 'a run'}/benchmark.json"
    assert times == f"-m pytest {run} -m perf and (npu or desk) {benchmark}"
    assert report == f"-m reports render --html {tmp_path / 'a run'}"
    assert f"report: {tmp_path / 'a run'}/report.md" in printed
