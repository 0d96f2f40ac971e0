"""The played atc prints, writes and returns what atc's reader takes, and refuses what atc refuses, in its words."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from harness.ascend.atc import check_loads, judge
from harness.verdict import Broken, Refused
from tests.standin_host import FOLDER, MODULES, played
from tests.standin_networks import BIAS, WEIGHT, dense, sampled_at_itself, sampler

GOOD = ("--framework=5", "--output=net", "--soc_version=Ascend310P3")


def compiled(folder, model, *more, misbehave=""):
    """What the reader says of a compile, and the played tool's own log lines."""
    replaced = {option.partition("=")[0] for option in more}
    given = [option for option in GOOD if option.partition("=")[0] not in replaced]
    done = played(folder, "atc", *given, f"--model={model}", *more, misbehave=misbehave)
    return judge(done.lines, done.code, [path.name for path in folder.iterdir()], "net"), done


def parts(path):
    """The head of an artefact, and the graph behind it."""
    head, _, graph = path.read_bytes().partition(b"\n")
    return json.loads(head), graph


@pytest.fixture
def network(tmp_path):
    return dense(tmp_path / "dense.onnx")


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


class TestCompiles:
    def test_without_arguments_it_names_what_it_lacks(self, work):
        done = played(work, "atc")
        check_loads(done.lines, done.code)
        assert (done.code, list(work.iterdir())) == (255, [])

    def test_help_says_that_it_is_played(self, work):
        done = played(work, "atc", "--help")
        assert done.code == 0
        assert "stand-in" in done.lines[0]

    def test_a_fixed_shape_gives_one_artefact_in_half_precision(self, work, network):
        read, done = compiled(work, network, "--input_shape=x:8,4", "--input_format=ND", "--log=error")
        assert (read.checked(), read.warnings, done.code) == ("net.om", (), 0)
        head, graph = parts(work / "net.om")
        assert (head["standin"], head["soc_version"], head["precision"]) == (True, "Ascend310P3", "force_fp16")
        assert [(one["name"], one["dtype"], one["shape"]) for one in head["inputs"]] == [("x", "float32", [8, 4])]
        assert [(one["name"], one["dtype"], one["shape"]) for one in head["outputs"]] == [("y", "float32", [8, 3])]
        # A third of a third is not a half-precision number, and no product of one.
        x = np.full((8, 4), 1 / 9, np.float32)
        (y,) = onnxruntime.InferenceSession(graph).run(None, {"x": x})
        exact = x @ WEIGHT + BIAS
        assert 1e-6 < np.abs(y - exact).max() < 1e-3

    @pytest.mark.parametrize("precision", ["force_fp32", "must_keep_origin_dtype"])
    def test_single_precision_is_kept_where_asked_for(self, work, network, precision):
        compiled(work, network, "--input_shape=x:2,4", f"--precision_mode={precision}")
        x = np.full((2, 4), 1 / 9, np.float32)
        (y,) = onnxruntime.InferenceSession(parts(work / "net.om")[1]).run(None, {"x": x})
        np.testing.assert_allclose(y, x @ WEIGHT + BIAS, rtol=1e-6)

    @pytest.mark.parametrize(
        "shape", ["--input_shape=x:1~8,4", "--input_shape=x:-1,4", "--input_shape_range=x:[1~8,4]"]
    )
    def test_a_range_of_shapes_is_for_this_processor_alone(self, work, network, shape):
        read, _ = compiled(work, network, shape)
        assert read.checked() == f"net_linux_{platform.machine()}.om"
        (given,) = parts(work / read.artefact)[0]["inputs"]
        assert (given["shape"], given["ranges"]) == ([-1, 4], [[1, -1 if "-1" in shape else 8], [4, 4]])

    def test_outputs_may_be_asked_for_in_half_precision(self, work, network):
        compiled(work, network, "--input_shape=x:2,4", "--output_type=FP16")
        assert parts(work / "net.om")[0]["outputs"][0]["dtype"] == "float16"

    @pytest.mark.parametrize(("precision", "within"), [("force_fp32", 0), ("force_fp16", 1e-3)])
    def test_grid_sample_is_taken_below_the_opset_that_has_it(self, work, tmp_path, precision, within):
        vendor, plain = sampler(tmp_path / "vendor.onnx", 11), sampler(tmp_path / "plain.onnx", 16)
        with pytest.raises(Exception, match="GridSample"):
            onnxruntime.InferenceSession(vendor)
        read, _ = compiled(work, vendor, f"--precision_mode={precision}")
        x = np.random.default_rng(0).standard_normal((2, 1, 4, 4), dtype=np.float32)
        (y,) = onnxruntime.InferenceSession(parts(work / read.checked())[1]).run(None, {"x": x})
        (expected,) = onnxruntime.InferenceSession(plain).run(None, {"x": x})
        np.testing.assert_allclose(y, expected, rtol=0, atol=within)
        assert np.any(y != expected) == (within > 0)


class TestRefuses:
    def refused(self, folder, model, *more, misbehave=""):
        read, done = compiled(folder, model, *more, misbehave=misbehave)
        with pytest.raises(Refused):
            read.checked()
        assert (done.code, read.artefact) == (255, None)
        (error,) = read.errors
        return error

    @pytest.mark.parametrize(
        ("option", "code", "text"),
        [
            ("--bogus=1", "E10055", "unrecognized arguments: --bogus=1"),
            ("--soc_version=Ascend310310P3", "E10001", "Ascend310310P3"),
            ("--auto_tune_mode=GA,RL", "E10001", "deprecated. Please use the AOE tool"),
            ("--precision_mode=fast", "E10001", "must be in .force_fp16"),
            ("--log=loud", "E10001", r"\[loud\] for parameter \[--log\]"),
            ("--output=there/net", "E10001", "No such file or directory"),
            ("--model=gone.onnx", "E10001", "does not exist"),
            ("--framework=3", "E10001", "framework"),
            ("--input_shape=z:8,4", "E10016", r"Opname \[z\]"),
            ("--input_shape=x:8,5", "E10001", r"is \[-1, 4\]"),
            ("--input_shape=x:a,5", "E10001", "format"),
            ("--input_shape=", "E10001", r"Value \[-1\] for parameter \[Inputs\]"),
        ],
    )
    def test_an_argument_in_its_words(self, work, network, option, code, text):
        shape = () if "input_shape" in option else ("--input_shape=x:8,4",)
        error = self.refused(work, network, *shape, option)
        assert error.code == code
        assert re.search(text, error.text)

    def test_ranges_on_the_oldest_chip(self, work, network):
        error = self.refused(work, network, "--soc_version=Ascend310", "--input_shape=x:1~8,4")
        assert "Ascend310 does not support shape ranges" in error.text

    def test_what_is_no_graph(self, work, tmp_path):
        (tmp_path / "text.onnx").write_text("no graph")
        assert "is no ONNX graph" in self.refused(work, tmp_path / "text.onnx").text

    @pytest.mark.parametrize("opset", [7, 20])
    def test_an_opset_that_it_does_not_read_by_its_operators(self, work, tmp_path, opset):
        error = self.refused(work, dense(tmp_path / "new.onnx", opset), "--input_shape=x:8,4")
        assert (error.code, error.operators, error.optypes) == ("E19010", ("dense",), (f"ai.onnx::{opset}::Gemm",))

    def test_an_operator_of_somebody_else(self, work, tmp_path):
        error = self.refused(work, dense(tmp_path / "own.onnx", domain="own"), "--input_shape=x:8,4")
        assert (error.code, error.optypes) == ("E19010", ("own::11::Gemm",))

    def test_an_operator_that_it_is_told_to_refuse(self, work, network):
        error = self.refused(work, network, "--input_shape=x:8,4", misbehave="refuse:Relu,refuse:Gemm")
        assert (error.code, error.optypes) == ("EZ3003", ("Gemm",))
        assert "[dense]" in error.text

    def test_what_cannot_be_lowered_or_run(self, work, tmp_path):
        lowered = self.refused(work, sampled_at_itself(tmp_path / "itself.onnx"))
        assert (lowered.code, "come from the input x" in lowered.text) == ("E19999", True)
        mixed = dense(tmp_path / "mixed.onnx", weight=np.zeros((4, 3), np.int64))
        assert self.refused(work, mixed, "--input_shape=x:8,4", "--precision_mode=force_fp32").code == "E19999"


class TestMisbehaves:
    def judged(self, work, network, misbehave):
        return compiled(work, network, "--input_shape=x:8,4", misbehave=misbehave)

    def test_warnings_follow_a_success(self, work, network):
        read, _ = self.judged(work, network, "warnings")
        assert read.checked() == "net.om"
        assert [(one.code, one.operators) for one in read.warnings] == [("W11001", ("dense",))]

    def test_a_second_artefact(self, work, network):
        read, _ = self.judged(work, network, "second_name")
        with pytest.raises(Refused, match=r"found net.om, net_linux_\w+.om"):
            read.checked()

    def test_a_success_without_an_artefact(self, work, network):
        read, done = self.judged(work, network, "short")
        assert (done.code, read.problems) == (
            0,
            ("expected one file net.om or net_<system>_<processor>.om, found none",),
        )

    def test_half_an_artefact(self, work, network):
        read, _ = self.judged(work, network, "half")
        head, graph = parts(work / read.checked())
        assert 0 < len(graph) < head["bytes"]

    def test_a_network_without_its_bias(self, work, network):
        read, _ = self.judged(work, network, "wrong_numbers")
        x = np.zeros((8, 4), np.float32)
        (y,) = onnxruntime.InferenceSession(parts(work / read.checked())[1]).run(None, {"x": x})
        assert not y.any()

    @pytest.mark.parametrize(
        ("misbehave", "code", "told"),
        [
            ("exit0", 0, (Refused, "exit code 0 all the same")),
            ("garbage", 0, (Refused, "found neither")),
            ("crash", -11, (Refused, "SIGSEGV")),
            ("killed", -9, (Broken, "memory ran out: SIGKILL")),
            ("full_disk", 1, (Broken, "the disk is full")),
            ("unwritable", 1, (Broken, "a permission is missing")),
            ("no_library", 127, (Broken, "libascend_hal.so")),
        ],
    )
    def test_an_end_is_told_apart(self, work, network, misbehave, code, told):
        read, done = self.judged(work, network, misbehave)
        assert done.code == code
        with pytest.raises(told[0], match=told[1]):
            read.checked()


def test_tools_are_executable_and_start_light():
    assert all(path.stat().st_mode & 0o111 == 0o111 for path in (FOLDER / "bin").iterdir())
    script = (
        "import sys\n"
        "from ascend_standin import ais_bench, atc, msame, npu_smi\n"
        "print([name for name in ('numpy', 'onnx', 'onnxruntime', 'torch') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(MODULES)}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
