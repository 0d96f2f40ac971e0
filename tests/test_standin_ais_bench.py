"""The played ais_bench computes true numbers, shares files out as the tool does, and prints what readers take."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from harness.ascend import ais_bench
from harness.ascend.ais_bench_summary import read_summary
from harness.process import private_folder
from harness.verdict import Broken, Refused
from tests.standin_host import AIS_BENCH, played
from tests.standin_networks import answer, centred, compile_for, dense, steps


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
def items(work):
    """Five items in files whose order by number is not that of their letters."""
    values = np.random.default_rng(0).standard_normal((5, 4), dtype=np.float32)
    (work / "in").mkdir()
    for name, value in zip(("img_1", "img_2", "img_9", "img_10", "img_11"), values, strict=True):
        value.tofile(work / "in" / f"{name}.bin")
    return values


def bench(work, model, *more, misbehave=""):
    return played(work, *AIS_BENCH, f"--model={model}", *more, misbehave=misbehave)


def graph_of(artefact):
    return onnxruntime.InferenceSession(artefact.read_bytes().partition(b"\n")[2])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def read(path, shape=(3,)):
    return np.fromfile(path, np.float32).reshape(shape)


class TestAisBench:
    def test_its_help_is_that_of_its_generation_and_says_that_it_is_played(self, work):
        for generation, expected in (("", {"G2", "G3"}), ("generation:G4", {"G4"})):
            done = played(work, *AIS_BENCH, "--help", misbehave=generation)
            assert {one.value for one in ais_bench.read_features(done.lines).generations} == expected
            assert "stand-in" in " ".join(done.lines)

    def test_files_are_shared_out_in_natural_order_and_the_last_batch_is_filled_up(self, work, exact, items):
        done = bench(work, exact, "--input=in", "--output=out", "--output_dirname=first", "--loop=3")
        ran = ais_bench.check_run(done.lines, done.code)
        assert (ran.outputs, ran.batch, ran.files_per_batch, ran.runs, ran.warm_up) == ("out/first", 2, 2, 3, 1)
        assert ran.generations == {"G3", "G4"}
        names = ["img_1", "img_2", "img_9", "img_10", "img_11"]
        assert names_in(work / "out/first") == sorted(f"{name}_0.bin" for name in names)
        for name, item in zip(names, items, strict=True):
            np.testing.assert_allclose(read(work / f"out/first/{name}_0.bin"), answer(item), rtol=1e-6)
        content = (work / ais_bench.summary_path(ran.outputs, "G3")).read_bytes()
        summary = read_summary(content, batch=2, executions=9)
        assert summary.report.throughput == ran.reports[0].throughput
        assert len(summary.report.samples) == 9
        infiles = [one["infiles"] for one in json.loads(content)["filesinfo"].values()]
        assert infiles == [[f"in/{name}.bin"] for name in names]
        assert summary.files["4"] == ("out/first/img_11_0.bin",)

    def test_numbers_are_those_of_the_stored_graph_split_along_the_axis_asked_for(self, work, stepped, items):
        done = bench(work, stepped, "--input=in", "--output=out", "--output_dirname=o", "--output_batchsize_axis=1")
        ais_bench.check_run(done.lines, done.code)
        session = graph_of(stepped)
        # The fifth item is alone in its batch, whose rest are copies of it.
        padded = np.stack([*items, items[4]]).reshape(3, 2, 4)
        expected = np.concatenate([session.run(None, {"x": batch})[0] for batch in padded], axis=1)
        for index, name in enumerate(("img_1", "img_2", "img_9", "img_10", "img_11")):
            found = read(work / f"out/o/{name}_0.bin", (2, 1, 3))
            np.testing.assert_array_equal(found, expected[:, index : index + 1])

    def test_the_last_batch_is_filled_up_with_its_first_file(self, work, items):
        model = compile_for(work, centred, "x:2,4", "--precision_mode=force_fp32")
        bench(work, model.name, "--input=in", "--output=out", "--output_dirname=o")
        np.testing.assert_allclose(read(work / "out/o/img_1_0.bin", 4), (items[0] - items[1]) / 2, atol=1e-6)
        # Alone with a copy of itself, an item is its batch's mean.
        assert not read(work / "out/o/img_11_0.bin", 4).any()

    def test_an_axis_that_cannot_be_split_is_told(self, work, exact, items):
        done = bench(work, exact, "--input=in", "--output=out", "--output_batchsize_axis=1")
        with pytest.raises(Refused, match=r"save out files error array shape:\(2, 3\)"):
            ais_bench.check_run(done.lines, done.code)

    def test_without_inputs_zeros_are_executed_and_without_output_nothing_is_written(self, work, exact):
        done = bench(work, exact, "--loop=50", "--warmup_count=5")
        ran = ais_bench.check_run(done.lines, done.code)
        assert (ran.outputs, ran.files_per_batch, ran.warm_up, list(work.iterdir())) == (None, None, 5, [])
        done = bench(work, exact, "--loop=50", "--output=out", "--output_dirname=pure")
        summary = read_summary((work / "out/pure_summary.json").read_bytes(), batch=2, executions=50)
        assert list(summary.files.values()) == [("out/pure/pure_infer_data_0.bin",)]
        # They are those of one execution, and differ all the same.
        assert 1 < len(set(summary.report.samples)) <= 50
        np.testing.assert_array_equal(read(work / "out/pure/pure_infer_data_0.bin", (2, 3)), answer(np.zeros((2, 4))))

    def test_whole_batches_in_files_of_either_kind(self, work, exact, items):
        np.save(work / "a.npy", items[:2])
        items[2:4].tofile(work / "b.bin")
        done = bench(work, exact, "--input=a.npy,b.bin", "--output=out", "--output_dirname=o", "--outfmt=NPY")
        assert ais_bench.check_run(done.lines, done.code).runs == 2
        np.testing.assert_allclose(np.load(work / "out/o/a_0.npy"), answer(items[:2]), rtol=1e-6)
        np.testing.assert_allclose(np.load(work / "out/o/b_0.npy"), answer(items[2:4]), rtol=1e-6)

    def test_text_has_six_decimals(self, work, exact):
        np.full((2, 4), 1 / 3, np.float32).tofile(work / "a.bin")
        bench(work, exact, "--input=a.bin", "--output=out", "--output_dirname=o", "--outfmt=TXT")
        assert (work / "out/o/a_0.txt").read_text() == "0.916667 0.333333 1.291667 \n" * 2

    def test_the_batch_of_the_throughput_may_be_given(self, work, exact):
        done = bench(work, exact, "--batchsize=16")
        ran = ais_bench.check_run(done.lines, done.code)
        assert (ran.reports[0].batch, ran.batch) == (16, None)

    @pytest.mark.parametrize(("generation", "batch"), [("G2", 1.0), ("G4", 2.0)])
    def test_another_generation_prints_its_own_throughput(self, work, exact, generation, batch):
        # The artefact lies in a folder of pytest, whose name may hold what G4 refuses.
        (work / "m.om").write_bytes(exact.read_bytes())
        done = bench(work, "m.om", misbehave=f"generation:{generation}")
        ran = ais_bench.check_run(done.lines, done.code)
        assert generation in ran.generations
        assert ran.reports[0].batch == batch

    @pytest.mark.parametrize(
        ("more", "code", "told"),
        [
            (("--input=odd",), 1, "arg0 tensorsize: 32 filesize: 12 not match"),
            (("--input=odd/odd.bin",), 1, "arg0 tensorsize: 32 filesize: 12 not match"),
            (("--input=gone",), 1, "gone  of --input is invalid"),
            (("--input=odd,odd",), 1, "input dir num:2 not equal"),
            (("--output_dirname=o",), 1, "cann't be used alone"),
            (("--device=2",), 1, "acl open device 2 failed"),
            (("--dymShape=x:2,4", "--outputSize=99"), 1, "static"),
            (("--loop=0",), 2, "invalid positive int"),
            (("--profiler=true",), 2, "does not play --profiler"),
        ],
    )
    def test_what_it_does_not_take_is_told(self, work, exact, more, code, told):
        (work / "odd").mkdir()
        np.zeros(3, np.float32).tofile(work / "odd/odd.bin")
        done = bench(work, exact, *more)
        assert (done.code, told in "\n".join(done.lines)) == (code, True)
        with pytest.raises((Refused, Broken)):
            ais_bench.check_run(done.lines, done.code)

    def test_a_model_for_another_chip_is_not_loaded(self, work, exact):
        done = bench(work, exact, misbehave="chip:310")
        assert (done.code, done.lines[-1]) == (1, "RuntimeError: [1][ACL:invalid parameter]")
        with pytest.raises(Refused, match=r"the model is for Ascend310P3, the device is Ascend310 \|.*load model from"):
            ais_bench.check_run(done.lines, done.code)

    def test_half_a_model_is_not_loaded(self, work, exact):
        (work / "half.om").write_bytes(exact.read_bytes()[:-9])
        done = bench(work, "half.om")
        with pytest.raises(Refused, match="load model from file failed"):
            ais_bench.check_run(done.lines, done.code)

    def test_a_dynamic_model_needs_shape_and_size(self, work, dynamic, items):
        def run(*more):
            return bench(work, dynamic, "--input=in", "--output=out", "--output_dirname=o", *more)

        assert dynamic.name == f"dense_linux_{platform.machine()}.om"
        done = run("--dymShape=x:3,4", "--outputSize=1000")
        ran = ais_bench.check_run(done.lines, done.code)
        assert (ran.files_per_batch, ran.runs, ran.reports[0].batch) == (3, 2, 3)
        np.testing.assert_allclose(read(work / "out/o/img_11_0.bin"), answer(items[4]), rtol=1e-6)
        for more, told in (
            (("--dymShape=x:3,4",), "out i:0 size is zero"),
            (("--dymShape=x:3,4", "--outputSize=8"), "out size:8 needsize:36 not match"),
            (("--dymShape=x:5,4", "--outputSize=1000"), "set dynamic shape failed"),
            ((), "needs --dymShape"),
        ):
            done = run(*more)
            with pytest.raises(Refused, match=told):
                ais_bench.check_run(done.lines, done.code)


class TestNewestPaths:
    def run(self, folder, *more):
        return bench(folder, *more, misbehave="generation:G4")

    def test_a_private_folder_of_the_suite_is_taken(self, tmp_path, exact):
        with private_folder(tmp_path.parent, "private") as folder:
            (folder / "m.om").write_bytes(exact.read_bytes())
            (folder / "out").mkdir(0o750)
            done = self.run(folder, folder / "m.om", f"--output={folder / 'out'}", "--output_dirname=o")
            ais_bench.check_run(done.lines, done.code)

    @pytest.mark.parametrize(
        ("name", "more", "told"),
        [
            ("a[1].om", (), "illegal characters"),
            ("link.om", (), "symbolic link"),
            ("open.om", (), "written by group or others"),
            ("m.om", ("--output=.", "--output_dirname=/tmp/o"), "not a relative path"),
        ],
    )
    def test_what_it_refuses(self, work, exact, name, more, told):
        for made in ("a[1].om", "m.om", "open.om"):
            (work / made).write_bytes(exact.read_bytes())
        (work / "open.om").chmod(0o666)
        (work / "link.om").symlink_to("m.om")
        done = self.run(work, name, *more)
        assert (done.code, told in "\n".join(done.lines)) == (2, True)


def test_stored_models_are_no_pickles(exact):
    head = Path(exact).read_bytes().partition(b"\n")[0]
    assert "stand-in" in json.loads(head)["note"]
