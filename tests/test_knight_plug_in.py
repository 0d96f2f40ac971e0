"""The generated plug-in is Python, whatever the paths, and forwards what it should in order, no more."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.knight.plug_in import plug_in
from tests.knight_host import MODULES


class Executor(SimpleNamespace):
    """Answers with the sum and the double of what it is given."""

    def forward(self, array: np.ndarray) -> list[np.ndarray]:
        self.fed.append(array)
        return [array.sum(keepdims=True), 2 * array]


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.syspath_prepend(str(MODULES))
    from onnx_quantize_tool.common.register import onnx_infer_func

    yield onnx_infer_func
    onnx_infer_func.clear()
    for name in [name for name in sys.modules if name.startswith("onnx_quantize_tool")]:
        monkeypatch.delitem(sys.modules, name)


@given(folder=st.text(st.characters(blacklist_categories=("Cs",)), min_size=1), count=st.integers(1, 10**6))
def test_it_is_python_of_the_tools_version_whatever_the_paths(folder, count):
    source = plug_in("infer_ocr_cls_model", Path(folder), count, Path(folder) / "out")
    tree = ast.parse(source, feature_version=(3, 8))
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert function.name == function.decorator_list[0].args[0].value == "infer_ocr_cls_model"
    told = {node.targets[0].id: node.value.value for node in tree.body if isinstance(node, ast.Assign)}
    assert told == {"INPUTS": str(Path(folder)), "OUTPUTS": str(Path(folder) / "out"), "COUNT": count}


@pytest.mark.parametrize(("iterations", "expected"), [(2, 2), (3, 3), (9, 3)])
def test_it_forwards_in_order_keeps_every_output_and_stops(registered, tmp_path, capsys, iterations, expected):
    inputs, outputs = tmp_path / "in 'quoted'", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    for number in range(3):
        np.save(inputs / f"{number}.npy", np.full((1, 2), number, np.float32))
    exec(compile(plug_in("infer_toy", inputs, 3, outputs), "plug_in", "exec"), {})  # noqa: S102
    executor = Executor(iteration=iterations, batch_size=1, fed=[])
    assert registered["infer_toy"](executor) == expected
    assert [array[0, 0] for array in executor.fed] == list(range(expected))
    assert sorted(path.name for path in outputs.iterdir()) == [f"{n}_{k}.npy" for n in range(expected) for k in (0, 1)]
    assert np.load(outputs / "1_1.npy").tolist() == [[2.0, 2.0]]
    assert capsys.readouterr().out == f"metric: {{'samples': {expected}}}\n"


def test_without_a_place_for_outputs_it_keeps_none(registered, tmp_path):
    np.save(tmp_path / "0.npy", np.ones((1, 2), np.float32))
    exec(compile(plug_in("infer_toy", tmp_path, 1), "plug_in", "exec"), {})  # noqa: S102
    assert registered["infer_toy"](Executor(iteration=1, batch_size=1, fed=[])) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["0.npy"]
