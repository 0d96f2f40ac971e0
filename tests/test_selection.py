"""What ``-m``, ``--cell`` and the other options select, and how wrong ones end."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.registry import PROJECT
from tests.suite import run_suite

DECLARATIONS = PROJECT / "tests" / "declarations"
HEAVY = ("torch", "onnxruntime", "cv2", "paddle", "paddle2onnx", "hypothesis", "scipy", "onnx")


def collected(*options: str) -> set[str]:
    done = run_suite("--collect-only", "-q", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return {line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line}


def test_markers_select_the_questions_of_a_backend_at_a_batch() -> None:
    forms = ("crnn-ort-fp32", "crnn.split_lstm-ort-fp32", "crnn.matmul-ort-fp32", "crnn.half-ort-fp16")
    expected = {f"test_agreement[{form}-bs8-{name}]" for form in forms for name in ("seeded", "bundled")}
    expected |= {f"test_batching[crnn-ort-fp32-bs8-{name}]" for name in ("seeded", "bundled")}
    expected |= {f"test_accuracy[crnn-ort-fp32-bs8-{name}]" for name in ("official", "bundled")}
    expected |= {f"test_range[crnn-ort-fp32-bs8-{name}]" for name in ("seeded", "bundled")}
    expected |= {"test_accuracy[crnn.half-ort-fp16-bs8-bundled]", "test_throughput[crnn-ort-fp32-bs8]"}
    assert collected("-m", "crnn and ort and bs8") == expected


def test_what_half_precision_costs_is_asked_by_its_markers() -> None:
    assert collected("-m", "rare and ort and fp16") == {
        "test_agreement[rare.half-ort-fp16-bs8-seeded]",
        "test_agreement[rare.half-ort-fp16-bs8-bundled]",
        "test_accuracy[rare.half-ort-fp16-bs8-bundled]",
    }


def test_what_a_compiler_refuses_is_asked_by_its_marker_and_needs_no_device() -> None:
    toolkits = ("6.0.RC1", "7.0.0", "8.0.0")
    assert collected("-m", "rare and desk") == {f"test_operators[rare.vendor-cann{toolkit}]" for toolkit in toolkits}


def test_a_cell_selects_all_its_questions_and_no_others() -> None:
    found = collected("--cell", "crnn-ort-fp32-bs4")
    assert found == {
        "test_agreement[crnn-ort-fp32-bs4-seeded]",
        "test_agreement[crnn-ort-fp32-bs4-bundled]",
        "test_batching[crnn-ort-fp32-bs4-seeded]",
        "test_batching[crnn-ort-fp32-bs4-bundled]",
        "test_throughput[crnn-ort-fp32-bs4]",
    }


def test_all_batches_asks_accuracy_at_every_point() -> None:
    found = collected("--all-batches", "-m", "ort and crnn", "-k", "test_accuracy and bundled")
    cells = ("crnn-ort-fp32", "crnn.half-ort-fp16")
    assert found == {f"test_accuracy[{cell}-bs{batch}-bundled]" for cell in cells for batch in (1, 4, 8, 16, 32, 64)}


def test_the_full_size_network_is_official_where_its_weights_are_found(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "gpu_checkpoint_12_acc_0.7923.pth").write_bytes(b"not yet looked into")
    found = collected(f"--assets={tmp_path}", "-m", "crnn and bs4")
    assert "test_agreement[crnn-ort-fp32-bs4-official]" in found
    assert not [name for name in found if "seeded" in name]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-m", "crn and ort"), "'crn' is no marker (did you mean 'crnn'?)"),
        (("-m", "not (ort or bs9)"), "'bs9' is no marker"),
        (("--cell", "crnn-ort-fp32-bs9"), "did you mean 'crnn-ort-fp32-bs"),
        (("--require", "otr"), "did you mean 'ort'?"),
        (("--threads", "0"), "--threads=0: expected a number of at least 1"),
        (("--models=no/such/folder",), "no such folder of declarations"),
        (("--assets=no/such/folder",), "no such folder"),
    ],
)
def test_a_wrong_name_ends_with_4_and_the_nearest_spelling(options: tuple[str, ...], words: str) -> None:
    done = run_suite("--collect-only", "-q", *options)
    assert done.returncode == 4
    assert words in done.stdout + done.stderr


def test_a_wrong_declaration_ends_with_4_and_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("from harness.model import Point\nMODEL = Point(bacth=1)\n")
    done = run_suite("--collect-only", "-q", f"--models={tmp_path}")
    assert done.returncode == 4
    assert f"{tmp_path / 'broken.py'}: Point.bacth: no such field" in done.stdout + done.stderr
    assert "did you mean 'batch'?" in done.stdout + done.stderr


def test_nothing_selected_ends_with_5() -> None:
    assert run_suite("--collect-only", "-q", "-m", "bs1 and bs4").returncode == 5


def test_slow_questions_are_collected_and_skipped_unless_asked_for(tmp_path: Path) -> None:
    options = (f"--models={DECLARATIONS}", f"--run={tmp_path / 'run'}", "-rs", "-m", "slow and slowpoke and perf")
    done = run_suite(*options)
    assert done.returncode == 0
    assert "1 skipped" in done.stdout
    assert "run it with --slow" in done.stdout
    asked = run_suite(*options, "--slow", f"--store={tmp_path / 'store'}")
    assert asked.returncode == 0, asked.stdout
    assert "1 passed" in asked.stdout


def test_collecting_imports_no_heavy_library(tmp_path: Path) -> None:
    (tmp_path / "watch.py").write_text(
        "import sys\n"
        "def pytest_unconfigure():\n"
        f"    print('HEAVY', sorted(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    done = run_suite("--collect-only", "-q", "-p", "watch", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HEAVY []" in done.stdout


def test_a_folder_option_with_a_space_loses_the_settings_and_with_equals_does_not(tmp_path: Path) -> None:
    """pytest takes an existing folder after a space for a path to collect from, and its root from there."""
    lost = run_suite("--collect-only", "-q", "--assets", str(tmp_path))
    assert lost.returncode == 4
    assert "unrecognized arguments: --assets" in lost.stdout + lost.stderr
    assert run_suite("--collect-only", "-q", f"--assets={tmp_path}").returncode == 0


def test_every_marker_is_registered_and_explained() -> None:
    done = run_suite("--markers", f"--models={DECLARATIONS}")
    for name in ("crnn", "slowpoke", "recognition", "ort", "torch", "fp32", "bs64", "split_lstm", "perf", "npu", "gpu"):
        assert f"@pytest.mark.{name}: " in done.stdout
