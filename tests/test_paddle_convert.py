"""Paddle to ONNX through the published converter: the file is judged, not what the converter says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from harness.model import Model
from harness.onnx_graph.paddle import paddle_to_onnx
from harness.registry import load_models
from harness.step import StepInput
from harness.store import Store
from harness.verdict import Refused


@pytest.fixture(scope="module")
def direction() -> Model:
    return load_models()["ppocr_cls"]


@pytest.fixture
def program(shared: Path) -> Path:
    return shared / "assets" / "weights" / "ppocrv3" / "ch_ppocr_mobile_v2.0_cls_infer"


def given(folder: Path, model: Model, opset: int = 11, **changes: object) -> StepInput:
    said: dict[str, object] = {
        "sources": (folder,),
        "params": {"opset": opset},
        "inputs": model.inputs,
        "outputs": model.outputs,
    }
    return StepInput(**{**said, **changes})


def test_the_graph_has_the_opset_asked_for_and_the_declared_axes(
    direction: Model, program: Path, tmp_path: Path
) -> None:
    facts = paddle_to_onnx.build(given(program, direction), tmp_path)
    graph = onnx.load(tmp_path / "model.onnx")
    assert facts["opset"] == 11 == graph.opset_import[0].version
    axes = [dimension.dim_param or dimension.dim_value for dimension in graph.graph.input[0].type.tensor_type.shape.dim]
    assert axes == ["batch", 3, 48, 192]
    assert (tmp_path / "paddle2onnx.log").stat().st_size
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "paddle2onnx.log"}


@pytest.mark.parametrize("content", [b"", b"no program", bytes(5000)], ids=["empty", "text", "zeros"])
def test_a_program_that_is_none_is_refused_whatever_the_exit_code(
    content: bytes, direction: Model, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "inference.pdmodel").write_bytes(content)
    (source / "inference.pdiparams").write_bytes(content)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Refused, match="paddle2onnx wrote no graph") as caught:
        paddle_to_onnx.build(given(source, direction), out)
    assert caught.value.log == out / "paddle2onnx.log"
    assert not (out / "model.onnx").exists()


def test_the_log_of_a_failed_conversion_outlives_its_folder(direction: Model, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    store = Store(tmp_path / "store")
    with pytest.raises(Refused, match="wrote no graph") as caught:
        store.get("toy", {}, lambda out: paddle_to_onnx.build(given(source, direction), out))
    assert caught.value.log is not None
    assert caught.value.log.is_file()
    assert str(caught.value.log) in str(caught.value)
    assert not list((tmp_path / "store" / ".partial").iterdir())
    assert list(store.prune(1)) == []
    assert [path for path, _ in store.prune(0)] == [caught.value.log]
    assert not caught.value.log.exists()


def test_outputs_that_paddle_numbers_get_their_declared_names(direction: Model, program: Path, tmp_path: Path) -> None:
    (declared,) = direction.outputs
    other = replace(declared, name="probabilities")
    paddle_to_onnx.build(given(program, direction, outputs=(other,)), tmp_path)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [value.name for value in graph.output] == ["probabilities"]
    assert "softmax_0.tmp_0" not in {name for node in graph.node for name in (*node.input, *node.output)}
    assert sum("probabilities" in node.output for node in graph.node) == 1


def test_a_graph_with_another_interface_than_declared_is_refused(
    direction: Model, program: Path, tmp_path: Path
) -> None:
    (declared,) = direction.outputs
    more = (declared, replace(declared, name="features"))
    with pytest.raises(Refused, match=r"the graph has softmax_0\.tmp_0, declared are softmax_0\.tmp_0, features"):
        paddle_to_onnx.build(given(program, direction, outputs=more), tmp_path)
    taken = replace(declared, name="x")
    with pytest.raises(Refused, match="x is the name of another value of the graph already"):
        paddle_to_onnx.build(given(program, direction, outputs=(taken,)), tmp_path)
