"""What the played tools are told to do wrong they do, each thing as it is named, and nothing else."""

from __future__ import annotations

import json
import re

import numpy as np
import psutil
import pytest

from harness.ascend import ais_bench, atc, msame
from harness.verdict import Broken, Refused
from tests.standin_host import AIS_BENCH, played
from tests.standin_networks import BIAS, answer, dense


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Takes two items of four numbers, in half precision."""
    folder = tmp_path_factory.mktemp("artefact")
    network = dense(folder / "dense.onnx")
    options = ("--framework=5", "--output=net", "--soc_version=Ascend310P3", "--input_shape=x:2,4")
    assert played(folder, "atc", f"--model={network}", *options).code == 0
    return folder / "net.om"


@pytest.fixture
def work(tmp_path):
    """A folder with three batches of whole numbers, which are exact in half precision."""
    folder = tmp_path / "work"
    (folder / "in").mkdir(parents=True)
    for index in range(3):
        batch(index).tofile(folder / f"in/{index}.bin")
    return folder


def batch(index):
    return np.full((2, 4), index + 1, np.float32)


def ran(tool, work, model, misbehave):
    """A run of either runner on the three batches, and its outputs by input file."""
    if tool == "msame":
        done = played(work, "msame", f"--model={model}", "--input=in", "--output=out", misbehave=misbehave)
        folder = msame.read_run(done.lines).outputs
        ending = "_output_0.bin"
    else:
        options = (f"--model={model}", "--input=in", "--output=out", "--output_dirname=o")
        done = played(work, *AIS_BENCH, *options, misbehave=misbehave)
        folder, ending = "out/o", "_0.bin"
    found = {path.name.removesuffix(ending): path for path in (work / folder).glob("*.bin")} if folder else {}
    return done, dict(sorted(found.items()))


def check(tool, done):
    return (msame if tool == "msame" else ais_bench).check_run(done.lines, done.code)


@pytest.mark.parametrize("tool", ["ais_bench", "msame"])
class TestOutputs:
    def outputs(self, tool, work, model, misbehave):
        done, found = ran(tool, work, model, misbehave)
        # All of it looks like a success.
        check(tool, done)
        return found

    def values(self, tool, work, model, misbehave, dtype="float32"):
        found = self.outputs(tool, work, model, misbehave)
        return [np.fromfile(path, dtype).reshape(2, 3) for path in found.values()]

    def test_nothing_is_wrong_where_nothing_is_asked(self, tool, work, model):
        found = self.values(tool, work, model, "atc.short,no_dcmi,busy,refuse:Gemm,chip:310P3")
        np.testing.assert_allclose(found, [answer(batch(index)) for index in range(3)], rtol=1e-6)

    def test_half_of_the_last_file(self, tool, work, model):
        found = self.outputs(tool, work, model, "half")
        assert [path.stat().st_size for path in found.values()] == [24, 24, 12]

    def test_one_file_less(self, tool, work, model):
        assert list(self.outputs(tool, work, model, f"{tool}.short")) == ["0", "1"]

    @pytest.mark.parametrize("dtype", ["float16", "float64"])
    def test_another_type(self, tool, work, model, dtype):
        asked = "wrong_dtype" if dtype == "float16" else f"wrong_dtype:{dtype}"
        found = self.values(tool, work, model, asked, dtype)
        np.testing.assert_allclose(found, [answer(batch(index)) for index in range(3)], rtol=1e-3)

    def test_numbers_that_are_finite_and_wrong(self, tool, work, model):
        found = self.values(tool, work, model, "wrong_numbers")
        np.testing.assert_allclose(found, [answer(batch(index)) - BIAS for index in range(3)], rtol=1e-6)

    def test_outputs_of_the_file_before(self, tool, work, model):
        found = self.values(tool, work, model, "shifted")
        np.testing.assert_allclose(found, [answer(batch(index)) for index in (2, 0, 1)], rtol=1e-6)


@pytest.mark.parametrize("tool", ["ais_bench", "msame"])
class TestEnds:
    @pytest.mark.parametrize(
        "end",
        [
            ("exit0", 0, Refused, r"exit code 0.*\[ERROR\]"),
            ("garbage", 0, Refused, "exit code 0"),
            ("crash", -11, Refused, "SIGSEGV"),
            ("killed", -9, Broken, "memory ran out"),
            ("full_disk", 1, Broken, "the disk is full"),
            ("unwritable", 1, Broken, "a permission is missing"),
            ("no_library", 127, Broken, "libascend_hal.so"),
        ],
    )
    def test_an_end_is_told_apart(self, tool, work, model, end):
        misbehave, code, error, told = end
        done, found = ran(tool, work, model, misbehave)
        assert (done.code, found) == (code, {})
        with pytest.raises(error, match=told):
            check(tool, done)


def test_a_tool_does_not_end_and_neither_does_its_child(work, model):
    with pytest.raises(Broken, match="not finished after 4 s") as told:
        played(work, "msame", f"--model={model}", misbehave="hang", timeout=4)
    child = int(re.search(r"stand-in hangs, with child (\d+)", str(told.value))[1])
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


class TestAsking:
    def test_questions_are_answered_by_a_tool_that_cannot_work(self, tmp_path):
        done = played(tmp_path, "atc", misbehave="crash,hang,exit0")
        atc.check_loads(done.lines, done.code)
        assert played(tmp_path, *AIS_BENCH, "--help", misbehave="crash,ais_bench.killed").code == 0

    def test_questions_can_be_spoilt_too(self, tmp_path):
        for misbehave, code in (("atc-probe.crash", -11), ("no_library", 127), ("msame-probe.crash", 255)):
            assert played(tmp_path, "atc", misbehave=misbehave).code == code

    @pytest.mark.parametrize("misbehave", ["crahs", "npu-smi.half", "nothing.crash", "busy,,alarms"])
    def test_a_name_that_is_not_known_ends_every_tool(self, tmp_path, misbehave):
        done = played(tmp_path, "npu-smi", "info", misbehave=misbehave)
        assert (done.code, done.lines[0].startswith("stand-in: ASCEND_STANDIN=")) == (2, True)

    def test_calls_are_noted(self, tmp_path):
        calls = tmp_path / "calls"
        played(tmp_path, "npu-smi", "info", "-m", ASCEND_STANDIN_CALLS=str(calls))
        played(tmp_path, "atc", misbehave="no_library", ASCEND_STANDIN_CALLS=str(calls))
        noted = [json.loads(line) for line in calls.read_text().splitlines()]
        assert [(one["tool"], one["arguments"]) for one in noted] == [("npu-smi", ["info", "-m"]), ("atc", [])]
        assert noted[0]["folder"] == str(tmp_path)
