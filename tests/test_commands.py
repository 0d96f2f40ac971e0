"""``python -m harness``: helps that explain, and what the commands say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.registry import PROJECT, load_models
from harness.store import Store


def test_alone_it_explains_itself_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    text = capsys.readouterr().out
    for command in ("doctor", "cells", "store"):
        assert command in text


def test_doctor_names_backends_and_what_each_reference_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "backend ort" in text
    assert "backend torch" in text
    assert "weights absent: gpu_checkpoint_12_acc_0.7923.pth not found" in text
    assert "pass --assets=DIR" in text
    assert "bundled              weights found:" in text


def test_cells_lists_each_subject_with_questions_and_markers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "--model", "crnn"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["crnn.onnx"].startswith("build")
    eight = lines["crnn-ort-fp32-bs8"]
    for word in ("agreement:seeded", "accuracy:official", "accuracy:bundled", "batching:bundled", "throughput", "bs8"):
        assert word in eight
    assert "accuracy" not in lines["crnn-ort-fp32-bs4"]


def test_an_unknown_model_ends_with_1_and_the_nearest_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "--model", "crn"]) == 1
    assert "did you mean 'crnn'?" in capsys.readouterr().err


def test_store_lists_and_prunes_with_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def build(out: Path) -> dict[str, int]:
        (out / "model.bin").write_bytes(b"x" * 2_000_000)
        return {}

    Store(tmp_path).get("toy", {"opset": "11"}, build)
    assert main(["store", "list", f"--store={tmp_path}"]) == 0
    listed = capsys.readouterr().out
    assert "toy" in listed
    assert "2.00 MB  first time" in listed
    assert main(["store", "prune", f"--store={tmp_path}"]) == 0
    assert "freed 0.0 MB" in capsys.readouterr().out
    assert main(["store", "prune", f"--store={tmp_path}", "--unused-days=0"]) == 0
    assert "freed 2.0 MB" in capsys.readouterr().out
    assert main(["store", "list", f"--store={tmp_path}"]) == 0
    assert capsys.readouterr().out == f"0.0 MB in {tmp_path}\n"


def test_golden_writes_what_is_shipped(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "golden.json"
    asked = ["golden", "ppocr_cls", "official", f"--assets={shared / 'assets'}", f"--store={tmp_path / 'store'}"]
    assert main([*asked, f"--out={out}", "--samples=2"]) == 0
    assert f"wrote {out}: 2 outputs" in capsys.readouterr().out
    found = json.loads(out.read_text())
    shipped = json.loads((PROJECT / load_models()["ppocr_cls"].reference("official").golden.file).read_text())
    assert found["weights"] == shipped["weights"]
    assert set(found["outputs"]) == {"cls_b1/0000", "cls_b1/0001"}
    for name, output in found["outputs"].items():
        assert output == pytest.approx(shipped["outputs"][name], abs=1e-7)
        assert output == [round(number, 7) for number in output]


def test_golden_of_a_reference_that_declares_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["golden", "crnn", "bundled"]) == 1
    assert "crnn bundled: declares no golden file" in capsys.readouterr().err
