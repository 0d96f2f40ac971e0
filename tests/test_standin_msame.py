"""The played msame computes true numbers, takes whole batches, exits as msame exits, and prints what readers take."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from harness.ascend import msame
from harness.files.formats import read_items
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Refused
from tests.standin_host import played
from tests.standin_networks import answer, compile_for, dense, steps


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("artefacts")


@pytest.fixture(scope="module")
def exact(folder):
    """Takes two items of four numbers, in single precision."""
    return compile_for(folder, dense, "x:2,4", "--precision_mode=force_fp32")


@pytest.fixture(scope="module")
def stepped(tmp_path_factory):
    """Gives 2 steps x 2 items x 3 numbers, in half precision."""
    return compile_for(tmp_path_factory.mktemp("stepped"), steps, "x:2,4")


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    """Takes one to four items."""
    return compile_for(tmp_path_factory.mktemp("dynamic"), dense, "x:1~4,4", "--precision_mode=force_fp32")


@pytest.fixture
def work(tmp_path):
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.fixture
def items():
    return np.random.default_rng(0).standard_normal((5, 4), dtype=np.float32)


def graph_of(artefact):
    return onnxruntime.InferenceSession(artefact.read_bytes().partition(b"\n")[2])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def read(path, shape=(3,)):
    return np.fromfile(path, np.float32).reshape(shape)


class TestMsame:
    def run(self, work, model, *more, misbehave=""):
        done = played(work, "msame", f"--model={model}", *more, misbehave=misbehave)
        return done, msame.read_run(done.lines)

    def test_zeros_as_often_as_asked(self, work, exact):
        done, ran = self.run(work, exact, "--output", "out/", "--loop", "10")
        assert msame.check_run(done.lines, done.code) == ran
        assert (len(ran.samples), ran.samples[0] > max(ran.warm), ran.mean > ran.mean_without_first) == (10, True, True)
        path = work / ran.outputs / msame.output_name("dense.om", 0)
        np.testing.assert_array_equal(read(path, (2, 3)), answer(np.zeros((2, 4))))

    def test_a_file_holds_a_whole_batch(self, work, exact, items):
        items[:2].tofile(work / "a.bin")
        done, ran = self.run(work, exact, "--input=a.bin", "--output=out", "--outfmt=TXT")
        msame.check_run(done.lines, done.code)
        spec = TensorSpec(name="y", axes=(BATCH, 3), dtype="float32")
        rows = list(read_items(work / ran.outputs / "dense_output_0.txt", spec, 2))
        np.testing.assert_allclose(rows, answer(items[:2]), rtol=1e-5)

    def test_a_folder_is_one_run_a_file(self, work, stepped, items):
        (work / "whole").mkdir()
        items[:2].tofile(work / "whole/a.bin")
        items[2:4].tofile(work / "whole/b.1.bin")
        done, ran = self.run(work, stepped, "--input=whole", "--output=out", "--loop=7")
        msame.check_run(done.lines, done.code)
        assert len(ran.samples) == 2
        session = graph_of(stepped)
        for name, batch in (("a", items[:2]), ("b.1", items[2:4])):
            path = work / ran.outputs / msame.output_name(f"{name}.bin", 0)
            np.testing.assert_array_equal(read(path, (2, 2, 3)), session.run(None, {"x": batch})[0])

    def test_a_dynamic_model_needs_its_shape(self, work, dynamic, items):
        items[:3].tofile(work / "a.bin")
        more = ("--input=a.bin", "--output=out", "--outputSize=1000")
        done, ran = self.run(work, dynamic, *more, "--dymShape=x:3,4")
        msame.check_run(done.lines, done.code)
        np.testing.assert_allclose(
            read(work / ran.outputs / msame.output_name(dynamic.name, 0), (3, 3)), answer(items[:3]), rtol=1e-6
        )
        done, ran = self.run(work, dynamic, *more)
        assert (done.code, "set dynamic shape failed" in ran.errors[0]) == (1, True)

    @pytest.mark.parametrize(
        "more",
        [
            ("--loop=101",),
            ("--loop=none",),
            ("--bogus=1",),
            ("--model=net.onnx",),
            ("--input=gone",),
            ("--dymShape=x:2,4",),
            ("--profiler=true",),
            # Its outputs would be written to the root of the file system.
            ("--loop=2",),
        ],
    )
    def test_wrong_arguments_exit_with_0(self, work, exact, more):
        done, ran = self.run(work, exact, *more)
        assert (done.code, ran.succeeded, len(ran.errors) > 0) == (0, False, True)
        with pytest.raises(Refused):
            msame.check_run(done.lines, done.code)

    def test_a_run_that_fails_exits_with_1(self, work, exact):
        np.zeros(3, np.float32).tofile(work / "odd.bin")
        assert self.run(work, exact, "--input=odd.bin", "--output=out")[0].code == 1
        assert self.run(work, exact, "--output=out", misbehave="chip:310")[0].code == 1
        assert self.run(work, exact, "--output=out", "--device=9")[0].code == 1

    def test_a_folder_passes_over_what_does_not_fit(self, work, exact, items):
        (work / "mixed").mkdir()
        items[:2].tofile(work / "mixed/good.bin")
        items[:1].tofile(work / "mixed/bad.bin")
        done, ran = self.run(work, exact, "--input=mixed", "--output=out")
        assert (done.code, len(ran.samples), ran.errors) == (0, 1, ("[ERROR] model execute failed",))
        assert names_in(work / ran.outputs) == ["good_output_0.bin"]

    def test_help_says_that_it_is_played(self, work):
        done = played(work, "msame", "--help")
        assert (done.code, "stand-in" in done.lines[0]) == (0, True)
