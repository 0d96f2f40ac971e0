"""Observing a graph: what ONNX Runtime's own calibration finds, bit for bit, and samples that nothing is made of."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from harness.backends import Batch
from harness.datasets import DataError
from harness.quantize import observe as module
from harness.quantize.observe import calibrated, observe
from harness.quantize.rules import RangeRule, ranges_of
from harness.verdict import Refused
from tests.calibration_graphs import ITEM, batches, gated, ranges_of_onnx_runtime, saved


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gated(tmp_path_factory.mktemp("gated") / "model.onnx")


def test_ranges_are_those_of_onnx_runtime_bit_for_bit(graph: Path, tmp_path: Path) -> None:
    found = observe(graph, batches(4), threads=1)
    theirs = ranges_of_onnx_runtime(graph, batches(4), tmp_path)
    assert {name: (held.lowest, held.highest) for name, held in found.items()} == theirs
    whole = {name: (min(lowest, 0.0), max(highest, 0.0)) for name, (lowest, highest) in theirs.items()}
    assert ranges_of(found, RangeRule("minmax"), ()) == whole
    assert {"x", "conv", "gate", "y"} <= found.keys()
    assert sorted(found) == calibrated(graph)


def test_the_order_of_samples_changes_no_bit(graph: Path) -> None:
    found, turned = (observe(graph, order, threads=1) for order in (batches(3), batches(3)[::-1]))
    for name, held in found.items():
        other = turned[name]
        assert (held.lowest, held.highest, held.values.exponent) == (
            other.lowest,
            other.highest,
            other.values.exponent,
        )
        assert np.array_equal(held.values.bins, other.values.bins)
        assert held.values.count % 3 == 0, "every batch counts once"


def test_the_folder_of_the_graph_stays_as_it_was(graph: Path) -> None:
    calibrated(graph)
    assert [path.name for path in graph.parent.iterdir()] == [graph.name]


def test_arrays_of_a_batch_are_gone_before_the_next_one_runs(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever keeps them needs memory by the number of batches."""
    living: list[weakref.ref[NDArray]] = []
    real: Callable = module.session_giving

    class Watched:
        def __init__(self, session: object) -> None:
            self._session = session

        def get_inputs(self) -> list:
            return self._session.get_inputs()

        def run(self, names: list[str], inputs: dict) -> list[NDArray]:
            gc.collect()
            assert not [one for one in living if one() is not None]
            given = self._session.run(names, inputs)
            living.extend(map(weakref.ref, given))
            return given

    monkeypatch.setattr(module, "session_giving", lambda *args, **kwargs: Watched(real(*args, **kwargs)))
    observe(graph, iter(batches(4)), threads=1)
    assert len(living) > 4


def spoiled(place: int, **changes: object) -> Iterator[Batch]:
    """Five batches, of which one is not as it should be."""
    for number, batch in enumerate(batches(5)):
        array = batch.inputs["x"].copy()
        if number == place:
            if "value" in changes:
                array[0, 1, 2, 3] = changes["value"]
            array = array.astype(changes.get("dtype", np.float32)).reshape(changes.get("shape", array.shape))
        yield Batch(batch.ids, {str(changes.get("name", "x")) if number == place else "x": array})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": np.nan}, r"set/3: 1 of 192 numbers of x are NaN or infinite; leave the sample out"),
        ({"value": np.inf}, r"set/3: 1 of 192 numbers of x are NaN or infinite"),
        ({"dtype": np.float64}, r"set/3: x is float64 \[1, 3, 8, 8\], expected float32"),
        ({"dtype": np.uint8}, r"set/3: x is uint8"),
        ({"shape": (1, 3, 4, 16)}, r"set/3: x is float32 \[1, 3, 4, 16\], expected float32 \['batch', 3, 8, 8\]"),
        ({"shape": ITEM}, r"set/3: x is float32 \[3, 8, 8\]"),
        ({"name": "image"}, r"set/3: inputs \['image'\], expected \['x'\]"),
    ],
)
def test_a_sample_that_is_not_as_it_should_be_is_named(graph: Path, changes: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        observe(graph, spoiled(3, **changes), threads=1)


def test_no_sample_is_told(graph: Path) -> None:
    with pytest.raises(DataError, match="no sample to calibrate on; expected at least one"):
        observe(graph, [], threads=1)


def test_an_overflow_inside_the_graph_is_named_with_tensor_and_sample(tmp_path: Path) -> None:
    """A finite sample: the range of what it makes would be infinite, and so the scale."""
    nodes = [helper.make_node("Mul", ["x", "big"], ["huge"]), helper.make_node("Relu", ["huge"], ["y"])]
    path = saved(tmp_path / "model.onnx", nodes, {"big": np.float32([1e38])}, ["batch", 2])
    given = [Batch((f"set/{number}",), {"x": np.float32([[number, 5 * number]])}) for number in range(3)]
    with pytest.raises(Refused, match=r"set/1: 1 of 2 numbers are NaN or infinite in tensor huge"):
        observe(path, given, threads=1)


def test_a_constant_tensor_is_no_error(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "none"], ["nothing"]),
        helper.make_node("Add", ["nothing", "three"], ["y"]),
    ]
    weights = {"none": np.float32([0]), "three": np.float32([3])}
    found = observe(saved(tmp_path / "model.onnx", nodes, weights, ["batch", 2]), _rows(2), threads=1)
    assert {name: held.constant for name, held in found.items()} == {"x": False, "nothing": True, "y": True}


def test_a_graph_without_operators_that_are_quantised_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.onnx", [helper.make_node("Erf", ["x"], ["y"])], {}, ["batch", 2])
    with pytest.raises(Refused, match="nothing can be calibrated"):
        observe(path, _rows(1), threads=1)


def _rows(count: int) -> list[Batch]:
    return [Batch((f"set/{number}",), {"x": np.float32([[number, 1]])}) for number in range(count)]
