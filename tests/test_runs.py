"""Whole runs: the record, joined phases, restarts, exit status, and what pytest-benchmark is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.registry import PROJECT
from tests.suite import answers, clean_environment, run_suite

ABSENT_ORT = """
import importlib.metadata as metadata
real = metadata.version
def version(name):
    if name == "onnxruntime":
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One store for the runs of this module."""
    return f"--store={tmp_path_factory.mktemp('store')}"


def test_two_phases_join_one_record_and_replay_samples_bit_for_bit(tmp_path: Path, store: str) -> None:
    run, saved = tmp_path / "run", tmp_path / "benchmark.json"
    options = (store, f"--run={run}", "-k", "bundled or throughput")
    first = run_suite("-n", "2", *options, "-m", "crnn and ort and bs1 and not split_lstm and not matmul")
    assert first.returncode == 0, first.stdout
    assert first.stdout.count("built crnn.onnx-bundled: first time") == 1
    skipped = answers(run)["throughput", "crnn-ort-fp32-bs1", "seeded"]
    assert skipped["verdict"] == "skipped"
    assert "without -n" in skipped["line"]

    second = run_suite(*options, "-m", "perf and bs1 and matmul", f"--benchmark-json={saved}")
    assert second.returncode == 0, second.stdout
    found = answers(run)
    assert found["agreement", "crnn-ort-fp32-bs1", "bundled"]["verdict"] == "pass"
    timed = found["throughput", "crnn.matmul-ort-fp32-bs1", "seeded"]
    (entry,) = json.loads(saved.read_text())["benchmarks"]
    assert entry["stats"]["data"] == timed["latency_wall"]
    assert entry["params"] == {"cell": "crnn.matmul", "backend": "ort", "precision": "fp32", "point": "bs1"}
    info = entry["extra_info"]
    assert (info["clock"], info["batch"], info["threads"], info["weights"]) == ("host", 1, 1, "seeded")
    assert info["latency_cpu_median"] == timed["latency_cpu_median"]

    again = Path(shutil.copy(saved, tmp_path / "again.json"))
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(saved), str(again)]
    compared = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert compared.stdout.count("crnn.matmul-ort-fp32-bs1") >= 2


def test_a_timing_cell_without_a_sample_ends_with_10(tmp_path: Path, store: str) -> None:
    options = (store, f"--run={tmp_path}", "-m", "perf and bs1 and matmul", "--benchmark-disable")
    done = run_suite(*options)
    assert done.returncode == 10
    assert "not measured: throughput crnn.matmul-ort-fp32-bs1" in done.stdout


@pytest.mark.parametrize(("required", "status"), [((), 0), (("--require", "ort"), 10)])
def test_an_absent_backend_is_one_skip_a_model_and_10_only_where_required(
    required: tuple[str, ...], status: int, tmp_path: Path, store: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(ABSENT_ORT)
    options = (store, f"--run={tmp_path / 'run'}", "-m", "crnn and ort", "-rs", *required)
    done = run_suite(*options, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == status, done.stdout
    assert "1 skipped" in done.stdout
    assert "no Python package onnxruntime; pip install" in done.stdout


def test_a_failure_wins_over_what_is_absent_and_says_how_to_rerun(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    options = (f"--store={blocked}", f"--run={tmp_path / 'run'}", "-m", "crnn and checkpoint", "--require", "ort")
    (tmp_path / "sitecustomize.py").write_text(ABSENT_ORT)
    done = run_suite(*options, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "build crnn.checkpoint: broken: the store" in done.stdout
    assert "choose another folder with --store=DIR" in done.stdout
    assert "rerun: pytest 'suites/test_build.py::test_build[crnn.checkpoint]'" in done.stdout
    assert answers(tmp_path / "run")["build", "crnn.checkpoint", "seeded"]["verdict"] == "broken"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_run_ended_in_the_middle_goes_on_with_nothing_lost(ending: signal.Signals, tmp_path: Path) -> None:
    """Stopped while it works on its second question at the earliest; the next run keeps what was answered."""
    run = tmp_path / "run"
    options = [f"--store={tmp_path / 'store'}", f"--run={run}", "-k", "bundled", "-m", "crnn and ort and bs8"]
    command = [sys.executable, "-m", "pytest", *options]
    with subprocess.Popen(command, cwd=PROJECT, env=clean_environment(), stdout=subprocess.DEVNULL) as process:
        while not list((run / "fragments").glob("*.json")) and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, ending)
        process.wait(timeout=60)
    before = {path.name: path.read_bytes() for path in (run / "fragments").glob("*.json")}
    assert before
    assert (run / "record.json").exists() is (ending is signal.SIGINT)

    done = run_suite(*options, "--resume", "-rs")
    assert done.returncode == 0, done.stdout
    assert "passed already in this run folder (--resume)" in done.stdout
    assert {name: (run / "fragments" / name).read_bytes() for name in before} == before
    assert {answer["verdict"] for answer in answers(run).values()} == {"pass"}
    assert len(answers(run)) == 5


def test_an_evaluation_killed_in_the_middle_is_asked_again_and_counts_every_word_once(
    tmp_path: Path, store: str
) -> None:
    run = tmp_path / "run"
    options = [store, f"--run={run}", "-k", "accuracy and bundled", "-m", "crnn and ort"]
    command = [sys.executable, "-m", "pytest", *options]
    with subprocess.Popen(command, cwd=PROJECT, env=clean_environment(), stdout=subprocess.DEVNULL) as process:
        while not list(run.glob(".partial/*/accuracy-*.jsonl")) and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.wait(timeout=60)
    assert not list((run / "fragments").glob("*.json"))

    assert run_suite(*options, "--resume").returncode == 0
    answer = answers(run)["accuracy", "crnn-ort-fp32-bs8", "bundled"]
    assert (answer["verdict"], answer["n"], answer["complete"]) == ("pass", 500, True)
    ids = [json.loads(line)["id"] for line in (run / "outcomes" / answer["outcomes"]).read_text().splitlines()]
    assert ids == [f"rendered_words/{number:09d}" for number in range(1, 501)]


def test_a_part_of_the_samples_is_inconclusive_and_says_what_would_tell(tmp_path: Path, store: str) -> None:
    options = (store, f"--run={tmp_path}", "--samples", "30", "-k", "accuracy and bundled", "-m", "ort")
    done = run_suite(*options, "-rs")
    assert done.returncode == 0, done.stdout
    answer = answers(tmp_path)["accuracy", "crnn-ort-fp32-bs8", "bundled"]
    assert (answer["verdict"], answer["n"], answer["complete"]) == ("inconclusive", 30, False)
    assert "all 500 samples would" in answer["line"]
    outcomes = (tmp_path / "outcomes" / answer["outcomes"]).read_text().splitlines()
    assert len(outcomes) == 30
    assert sum(json.loads(line)["hit"] for line in outcomes) == answer["hits"]
