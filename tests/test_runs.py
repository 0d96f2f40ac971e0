"""Whole runs: the record, joined phases, restarts, exit status, and what pytest-benchmark is told."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.registry import PROJECT
from tests.suite import answers, clean_environment, run_suite

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
ABSENT_ORT = """
import importlib.metadata as metadata
real = metadata.version
def version(name):
    if name == "onnxruntime":
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
"""


FAULTS = """
import os, signal
from pathlib import Path
from harness.step import step
from harness.verdict import Broken

@step(revision=1)
def turning(given, out):
    if "DIE" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"parameters": int(os.environ.get("FOUND", "1"))}

@step(revision=1)
def denied(given, out):
    raise PermissionError(13, "Permission denied", "/dev/davinci0")

@step(revision=1)
def device(given, out):
    raise OSError(5, "Input/output error", "/data/words.lmdb")

@step(revision=1)
def memory(given, out):
    raise MemoryError("Unable to allocate 8.00 PiB")

@step(revision=1)
def native(given, out):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory:\\n you tried to allocate 4503599627370496 bytes")

@step(revision=1)
def library(given, out):
    raise ImportError("libascendcl.so: cannot open shared object file", name="acl")

@step(revision=1)
def misspelt(given, out):
    from harness.step import stepp

@step(revision=1)
def wrong(given, out):
    return {"parameters": len(1)}

@step(revision=1)
def tool(given, out):
    raise Broken("the tool ended with 1", log=Path(__file__).with_name("tool.log"))
"""
DECLARATION = """
from dataclasses import replace
from harness.registry import load_models
CRNN = load_models()["crnn"]
HEAD = replace(CRNN.forms[0], step="faults:{name}", parameters=1)
MODEL = replace(CRNN, name="{name}", forms=(HEAD, *CRNN.forms[1:]))
"""
ENVIRONMENT = {
    "denied": ("PermissionError: [Errno 13] Permission denied: '/dev/davinci0'", "give this user the rights"),
    "device": ("OSError: [Errno 5] Input/output error: '/data/words.lmdb'", "is there, whole and readable"),
    "memory": ("MemoryError: Unable to allocate 8.00 PiB", "memory is short"),
    "native": ("can't allocate memory: you tried to allocate 4503599627370496 bytes", "memory is short"),
    "library": ("ImportError: libascendcl.so: cannot open", "make the environment again"),
    "tool": ("the tool ended with 1", "; log "),
}
OURS = {"misspelt": "ImportError: cannot import name 'stepp'", "wrong": "TypeError: object of type 'int' has no len()"}


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

    second = run_suite(*options, "-m", "crnn and perf and bs1 and matmul", f"--benchmark-json={saved}")
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
    options = (store, f"--run={tmp_path}", "-m", "crnn and perf and bs1 and matmul", "--benchmark-disable")
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


def test_a_run_folder_that_cannot_be_written_is_broken_and_names_the_answer_that_is_lost(
    tmp_path: Path, store: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = run_suite(store, f"--run={tmp_path / 'file'}", "-m", "crnn and checkpoint")
    assert done.returncode == 1
    assert "build crnn.checkpoint: broken: the run folder" in done.stdout
    assert "choose another with --run=DIR; not kept: pass: as declared" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_record_that_cannot_be_written_ends_with_1_and_loses_no_answer(tmp_path: Path, store: str) -> None:
    (tmp_path / "record.json").mkdir()
    done = run_suite(store, f"--run={tmp_path}", "-m", "crnn and checkpoint")
    assert done.returncode == 1
    assert "no record, broken: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (tmp_path / "record.json").rmdir()
    (tmp_path / "fragments" / "torn.json").write_text('{"verdict": "pa')
    again = run_suite(store, f"--run={tmp_path}", "-m", "crnn and checkpoint", "--resume")
    assert again.returncode == 0, again.stdout
    assert "record.json; damaged and left out: torn.json" in again.stdout
    assert list(answers(tmp_path)) == [("build", "crnn.checkpoint", "seeded")]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_run_ended_in_the_middle_goes_on_with_nothing_lost(ending: signal.Signals, tmp_path: Path) -> None:
    """Stopped while it works on its second question at the earliest; the next run keeps what was answered."""
    run = tmp_path / "run"
    options = [
        f"--store={tmp_path / 'store'}",
        f"--run={run}",
        "-k",
        "bundled and not range",
        "-m",
        "crnn and ort and fp32 and bs8",
    ]
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
    options = (store, f"--run={tmp_path}", "--samples", "30", "-k", "accuracy and bundled", "-m", "crnn and ort")
    done = run_suite(*options, "-rs")
    assert done.returncode == 0, done.stdout
    answer = answers(tmp_path)["accuracy", "crnn-ort-fp32-bs8", "bundled"]
    assert (answer["verdict"], answer["n"], answer["complete"]) == ("inconclusive", 30, False)
    assert "all 500 samples would" in answer["line"]
    outcomes = (tmp_path / "outcomes" / answer["outcomes"]).read_text().splitlines()
    assert len(outcomes) == 30
    assert sum(json.loads(line)["hit"] for line in outcomes) == answer["hits"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with declarations of models that fail in every way, and with the code that does."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "models").mkdir()
    for name in ("turning", *ENVIRONMENT, *OURS):
        (folder / "models" / f"{name}.py").write_text(DECLARATION.format(name=name))
    (folder / "faults.py").write_text(FAULTS)
    (folder / "tool.log").write_text("E10001")
    return folder


def ask_of(work: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run_suite(f"--models={work / 'models'}", *options, env={"PYTHONPATH": str(work), **env})


def test_a_failure_says_since_when_and_the_command_that_asks_it_again(work, tmp_path):
    options = ("-m", "turning and checkpoint", f"--store={tmp_path / 'a store'}")
    green = ask_of(work, *options, f"--run={tmp_path / 'results' / 'run1'}")
    assert green.returncode == 0, green.stdout
    other = (*options[:2], f"--store={tmp_path / 'another store'}", "--threads=2")
    red = ask_of(work, *other, f"--run={tmp_path / 'results' / 'run2'}", FOUND="2")
    assert red.returncode == 1
    (line,) = re.findall(r"^build turning.checkpoint: fail: .*$", red.stdout, re.MULTILINE)
    said, _, command = line.partition("; rerun: ")
    fail = "build turning.checkpoint: fail: 2 parameters, declared 1; last green in run1"
    # The commit differs too where somebody works in this checkout meanwhile.
    assert re.fullmatch(rf"{re.escape(fail)} \({TIME}\), since then (commit \S+ -> \S+, )?threads 1 -> 2", said)
    kept = answers(tmp_path / "results" / "run2")["build", "turning.checkpoint", "seeded"]
    assert (kept["green_run"], kept["threads"]) == ("run1", 2)
    assert kept["since"] in line

    # In a shell, in the project's folder, as it is printed; only the run folder is added, to stay in ours.
    shell = clean_environment() | {"PYTHONPATH": str(work)}
    shell["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), shell["PATH"]])
    pasted = ["sh", "-c", f"{command} --run={tmp_path / 'results' / 'run3'}"]
    again = subprocess.run(pasted, cwd=PROJECT, env=shell, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 1, again.stdout + again.stderr
    assert fail in again.stdout
    assert list(answers(tmp_path / "results" / "run3")) == [("build", "turning.checkpoint", "seeded")]


def test_a_question_that_kills_its_worker_is_broken_and_no_older_pass_stands_for_it(work, tmp_path):
    options = ("-m", "turning and checkpoint", f"--run={tmp_path / 'results' / 'run1'}")
    assert ask_of(work, *options, f"--store={tmp_path / 'store'}").returncode == 0
    died = ask_of(work, *options, f"--store={tmp_path / 'other'}", "-n", "1", DIE="1")
    assert died.returncode == 1, died.stdout
    assert "build turning.checkpoint: broken: the process that asked it died" in died.stdout
    assert "last green in run1 " in died.stdout
    assert "verdicts: 1 broken" in died.stdout
    kept = answers(tmp_path / "results" / "run1")["build", "turning.checkpoint", "seeded"]
    assert (kept["verdict"], kept["green_run"]) == ("broken", "run1")


def test_faults_are_broken_and_say_what_to_do_and_errors_of_ours_keep_their_traceback(work, tmp_path):
    options = (f"--run={tmp_path / 'run'}", f"--store={tmp_path / 'store'}")
    done = ask_of(work, *options, "-m", f"checkpoint and ({' or '.join([*ENVIRONMENT, *OURS])})")
    assert done.returncode == 1
    assert f"verdicts: {len(ENVIRONMENT) + len(OURS)} broken" in done.stdout
    kept = answers(tmp_path / "run")
    reports = re.split(r"^_+ test_build\[(\w+)\.checkpoint\] _+$", done.stdout, flags=re.MULTILINE)
    shown = dict(zip(reports[1::2], reports[2::2], strict=True))
    for name, (fault, to_do) in ENVIRONMENT.items():
        line = shown[name].strip().splitlines()[0]
        assert line.startswith(f"build {name}.checkpoint: broken: ")
        assert all(text in line for text in (fault, to_do, "; no earlier run in ", "; rerun: pytest "))
        assert "Traceback" not in shown[name]
        assert "def " not in shown[name]
    for name, error in OURS.items():
        assert "faults.py" in shown[name]
        assert error in kept["build", f"{name}.checkpoint", "seeded"]["line"]
        assert f"build {name}.checkpoint: broken: {error}" in shown[name]
    log = kept["build", "tool.checkpoint", "seeded"]["log"]
    assert (tmp_path / "run" / log).read_text() == "E10001"
    assert f"; log {tmp_path / 'run' / log}; rerun" in done.stdout
