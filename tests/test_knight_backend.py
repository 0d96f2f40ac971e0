"""What goes into the tools and what comes out of them is checked before it counts."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import helper

from harness.backends import Room
from harness.backends.knight import BACKEND
from harness.form import Form
from harness.knight.drive.compile import check_askable, is_program, pack, sizes, vendors_nodes
from harness.knight.drive.session import read_output, scaled
from harness.knight.plan import plan_of
from harness.quantize.quantisable import refuse_vendors
from harness.sizes import BATCH, TensorSpec
from harness.store import Artefact, Store
from harness.verdict import Absent, Refused
from tests.knight_host import cell_of, declared
from tests.test_knight_host import discover, new, old

SPEC = TensorSpec(name="x", axes=(BATCH, 2, 3), dtype="float32")


def artefact(folder, *files: str) -> Artefact:
    for name in files:
        (folder / name).write_bytes(b"x")
    return Artefact("net.program", folder, "key", "digest", {}, "test", 0)


def plan(**options: object):
    return plan_of(cell_of(declared("ppocr_cls", **options)))


class TestCalibration:
    @pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3)])
    def test_items_become_batches_of_one_as_many_as_the_recipe_says(self, tmp_path, shape):
        for number in range(5):
            np.save(tmp_path / f"{number}.npy", np.full(shape, number, np.float32))
        out = tmp_path / "out"
        assert pack(artefact(tmp_path), SPEC, plan(iterations=3), out) == 3
        assert [np.load(out / f"{number}.npy")[0, 0, 0] for number in range(3)] == [0, 1, 2]
        assert np.load(out / "0.npy").shape == (1, 2, 3)
        assert sorted(sizes(out)) == ["0.npy", "1.npy", "2.npy"]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (np.zeros((3, 2), np.float32), r"input 1 is float32 \[3, 2\], expected finite float32 \[1, 2, 3\]"),
            (np.zeros((2, 3), np.float64), "is float64"),
            (np.full((2, 3), np.nan, np.float32), "expected finite"),
        ],
    )
    def test_an_input_that_is_none_is_refused(self, tmp_path, value, expected):
        np.save(tmp_path / "0.npy", np.zeros((2, 3), np.float32))
        np.save(tmp_path / "1.npy", value)
        with pytest.raises(Refused, match=expected):
            pack(artefact(tmp_path), SPEC, plan(), tmp_path / "out")

    @pytest.mark.parametrize("names", [(), ("1.npy",)])
    def test_none_or_a_gap_is_refused(self, tmp_path, names):
        for name in names:
            np.save(tmp_path / name, np.zeros((2, 3), np.float32))
        with pytest.raises(Refused, match=r"expected calibration inputs 0.npy, 1.npy and so on, found"):
            pack(artefact(tmp_path), SPEC, plan(), tmp_path / "out")

    def test_without_inputs_to_calibrate_on_it_does_not_start(self, tmp_path):
        room = Room(Store(tmp_path / "store"), tmp_path / "scratch")
        with pytest.raises(Absent, match=r"no calibration inputs"):
            BACKEND.prepare(artefact(tmp_path), cell_of(declared("ppocr_cls")), room)


class TestAskable:
    def test_a_script_of_the_guide_without_functions_of_ours_stops_with_what_is_not_published(self, tmp_path):
        machine = old()
        machine.answers["--help"] = (0, "usage: run_quantization.py [-f F]\n")
        with pytest.raises(Absent, match=r"names no -uds.*how another one is added is not published"):
            check_askable(artefact(tmp_path, "inference.pdmodel"), discover(machine.probe()))

    def test_onnx_is_for_the_newer_tools(self, tmp_path):
        form = artefact(tmp_path, "model.onnx")
        with pytest.raises(Absent, match=r"is ONNX.*name the Paddle program in the recipe's compiles"):
            check_askable(form, discover(old().probe()))
        check_askable(form, discover(new().probe()))

    def test_what_is_neither_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"neither inference\.pdmodel and inference\.pdiparams nor model\.onnx"):
            is_program(artefact(tmp_path))


class TestOutputs:
    def test_floats_are_taken_as_they_are(self):
        value = np.array([[[0.25, 1, 0], [0, 0, 0.5]]])
        np.testing.assert_array_equal(scaled(value, SPEC, plan(output_float=True)), value.astype(np.float32))

    @pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32])
    def test_whole_numbers_are_multiplied_by_the_declared_scale_whatever_their_type(self, dtype):
        value = np.array([[[-2, 1, 0], [0, 0, 100]]], dtype)
        found = scaled(value, SPEC, plan(output_scale=0.5))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, value * np.float32(0.5))

    def test_a_scale_that_nobody_declared_is_not_guessed(self):
        with pytest.raises(Refused, match=r"x: whole numbers up to 7, .*\(top_scale\); declare it as output_scale"):
            scaled(np.full((1, 2, 3), 7, np.float32), SPEC, plan())

    def test_numbers_that_should_be_whole_and_are_not_are_refused(self):
        with pytest.raises(Refused, match=r"expected whole numbers.*found 0.5"):
            scaled(np.full((1, 2, 3), 0.5, np.float32), SPEC, plan(output_scale=0.5))

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (None, r"no output 3_0\.npy \(x\) among 1 files; the tool said that it inferred"),
            (b"", "not a whole .npy file"),
            (np.zeros((1, 3, 2)), r"float64 \[1, 3, 2\], expected \[1, 2, 3\]"),
            (np.zeros((1, 2, 3), "U1"), "expected"),
            (np.full((1, 2, 3), np.inf), "NaN or infinite"),
            ({"a": 1}, "not a whole .npy file"),
        ],
    )
    def test_what_the_plug_in_kept_is_checked(self, tmp_path, content, expected):
        np.save(tmp_path / "2_0.npy", np.zeros(1))
        path = tmp_path / "3_0.npy"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            np.save(path, np.array(content), allow_pickle=True)
        with pytest.raises(Refused, match=expected):
            read_output(tmp_path, 3, 0, SPEC)

    def test_half_a_file_is_refused(self, tmp_path):
        path = tmp_path / "0_0.npy"
        np.save(path, np.zeros((1, 2, 3)))
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(Refused, match=r"not a whole .npy file"):
            read_output(tmp_path, 0, 0, SPEC)


class TestVendorsNodes:
    def test_they_are_counted_and_told_from_onnx(self, tmp_path):
        nodes = [helper.make_node("PyOp", ["x"], ["y"], class_name="Conv"), helper.make_node("Relu", ["y"], ["z"])]
        model = helper.make_model(helper.make_graph(nodes, "net", [], []))
        onnx.save(model, tmp_path / "net_quantize.onnx")
        assert vendors_nodes(tmp_path / "net_quantize.onnx") == 1
        with pytest.raises(Refused, match=r"1 nodes of type PyOp, expected operators of ONNX.*replace_operator\.py"):
            refuse_vendors(model)


def test_listing_cells_needs_no_arrays(python):
    script = "import sys, harness.registry as r; r.backends(); print('numpy' in sys.modules, 'onnx' in sys.modules)"
    assert re.match("False False", python(script).communicate()[0])


def test_a_form_that_is_given_is_the_program():
    cell = cell_of(declared("ppocr_cls"))
    loaded: Form = cell.loaded
    assert (cell.id, loaded.name, loaded.format) == ("ppocr_cls-knight-int8-bs1", "program", "paddle")
