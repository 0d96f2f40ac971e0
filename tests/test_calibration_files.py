"""Statistics and ranges on disk: read back as they were, read by ONNX Runtime, and refused where they are damaged."""

from __future__ import annotations

import json
import logging
import pickle
import string
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

from harness.quantize.histogram import BINS
from harness.quantize.observe import observe
from harness.quantize.ranges import read_ranges, write_ranges
from harness.quantize.rules import RangeRule, ranges_of
from harness.quantize.tensor_statistics import COLUMNS, read_statistics, statistics_of, write_statistics
from harness.verdict import Refused
from tests.calibration_graphs import batches, gated

NAMES = st.text(string.ascii_letters + "._/:@é ", min_size=1).map(lambda name: f"t{name}")
LOW = st.floats(-(2.0**100), 0, width=32)
RANGES = st.dictionaries(NAMES, st.tuples(LOW, LOW.map(abs)), max_size=5)


@given(ranges=RANGES)
def test_ranges_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, ranges: dict) -> None:
    path = tmp_path_factory.mktemp("ranges") / "ranges.json"
    write_ranges(path, ranges)
    assert read_ranges(path) == ranges


def test_the_quantiser_takes_its_parameters_from_the_file(tmp_path: Path) -> None:
    """Ranges that no calibration would find, so that none can have been made."""
    graph = gated(tmp_path / "model.onnx")
    logging.disable(logging.WARNING)
    ranges = {name: (-1.0, 0.25 * (place + 1)) for place, name in enumerate(observe(graph, batches(1), threads=1))}
    write_ranges(tmp_path / "ranges.json", ranges)
    quantize_static(
        graph,
        tmp_path / "quantised.onnx",
        None,
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        calibrate_method=CalibrationMethod.MinMax,
        calibration_cache_path=tmp_path / "ranges.json",
        extra_options={"QDQKeepRemovableActivations": True},
    )
    logging.disable(logging.NOTSET)
    held = {one.name: numpy_helper.to_array(one) for one in onnx.load(tmp_path / "quantised.onnx").graph.initializer}
    for name in ("x", "second", "product", "y"):
        lowest, highest = ranges[name]
        assert held[f"{name}_scale"] == pytest.approx((highest - lowest) / 255, rel=1e-6)


def changed(path: Path, **changes: object) -> Path:
    """The file with other entries."""
    said = json.loads(path.read_text())
    said.update(changes)
    path.write_text(json.dumps(said))
    return path


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_ranges(tmp_path / "ranges.json", {"a": (-1.0, 2.0), "b": (0.0, 3.0)})
    return tmp_path / "ranges.json"


def one(lowest: float, highest: float) -> dict:
    held = [{"data": [number], "dtype": "float32", "CLS": "numpy.array"} for number in (lowest, highest)]
    return {"a": {"lowest": held[0], "highest": held[1], "CLS": "TensorData"}}


@pytest.mark.parametrize(
    ("lowest", "highest"), [(0.5, 2.0), (-2.0, -0.5), (float("nan"), 1.0), (0.0, float("inf")), (2.0, -1.0)]
)
def test_ranges_that_make_no_scale_are_refused(written: Path, lowest: float, highest: float) -> None:
    with pytest.raises(Refused, match=r"ranges\.json: a has the range .*, expected finite and around zero"):
        read_ranges(changed(written, data=one(lowest, highest)))


def test_ranges_of_another_method_are_refused(written: Path) -> None:
    other = changed(written, calibration_method={"CLS": "CalibrationMethod", "value": "CalibrationMethod.Entropy"})
    with pytest.raises(Refused, match=r"Entropy, expected CalibrationMethod\.MinMax"):
        read_ranges(other)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"data": {"a": {"lowest": 1}}, "calibration_method": 3}'])
def test_what_is_no_cache_is_refused(written: Path, text: str) -> None:
    written.write_text(text)
    with pytest.raises(Refused, match=r"ranges\.json: "):
        read_ranges(written)


def test_a_truncated_cache_is_refused_and_so_is_none(written: Path, tmp_path: Path) -> None:
    written.write_bytes(written.read_bytes()[:-40])
    with pytest.raises(Refused, match="not a calibration cache"):
        read_ranges(written)
    with pytest.raises(Refused, match="not a calibration cache"):
        read_ranges(tmp_path / "nothing.json")


# --- statistics


def held(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {name: statistics_of(rng.normal(0, 9, 50).astype(np.float32)) for name in ("b", "a", "c/d:é")}


def test_statistics_are_read_as_they_were_written(tmp_path: Path) -> None:
    before = held(1)
    write_statistics(tmp_path / "statistics.npz", before)
    after = read_statistics(tmp_path / "statistics.npz")
    assert after.keys() == before.keys()
    for name, found in after.items():
        assert (found.lowest, found.highest) == (before[name].lowest, before[name].highest)
        assert np.array_equal(found.values.bins, before[name].values.bins)
        assert found.values.exponent == before[name].values.exponent
    for rule in ("minmax", "mse", "percentile"):
        assert ranges_of(after, RangeRule(rule), ()) == ranges_of(before, RangeRule(rule), ())


def test_the_same_statistics_are_the_same_bytes(tmp_path: Path) -> None:
    write_statistics(tmp_path / "one.npz", held(1))
    write_statistics(tmp_path / "other.npz", dict(reversed(held(1).items())))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


@pytest.mark.parametrize("kept", [0, 10, 400, -30])
def test_truncated_statistics_are_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "statistics.npz"
    write_statistics(path, held(1))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(Refused, match=r"statistics\.npz: not a file of statistics: .*; build it anew"):
        read_statistics(path)


def test_damaged_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    write_statistics(path, held(1))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(byte ^ 255 for byte in content[middle : middle + 8])
    path.write_bytes(content)
    with pytest.raises(Refused, match="not a file of statistics"):
        read_statistics(path)


def test_an_array_is_no_file_of_statistics(tmp_path: Path) -> None:
    np.save(tmp_path / "statistics.npy", np.zeros(3))
    with pytest.raises(Refused, match="not a file of statistics"):
        read_statistics(tmp_path / "statistics.npy")


def test_pickles_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    path.write_bytes(pickle.dumps({"names": []}))
    with pytest.raises(Refused, match="not a file of statistics"):
        read_statistics(path)
    columns = {name: np.array([None]) for name in COLUMNS}
    np.savez(path, **columns)
    with pytest.raises(Refused, match="not a file of statistics"):
        read_statistics(path)


@pytest.mark.parametrize(
    ("column", "array", "said"),
    [
        ("lowest", np.zeros(2, np.float32), r"lowest is float32\[2\], expected kind 'f' and \[3\]"),
        ("bins", np.zeros((3, BINS // 2), np.int64), r"bins is int64\[3, 2048\]"),
        ("bins", np.zeros((3, BINS), np.float64), r"bins is float64\[3, 4096\], expected kind 'i'"),
    ],
)
def test_arrays_of_another_shape_or_kind_are_refused(tmp_path: Path, column: str, array: object, said: str) -> None:
    path = tmp_path / "statistics.npz"
    write_statistics(path, held(1))
    with np.load(path) as columns:
        other = dict(columns) | {column: array}
    np.savez(path, **other)
    with pytest.raises(Refused, match=said):
        read_statistics(path)
