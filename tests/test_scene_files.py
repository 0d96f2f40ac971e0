"""A detector's samples are packed as its guide saves them, and what a tool made of them is scored as a run scores
its own answers, the places of each picture in that picture's size."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.__main__ import main
from harness.assets import Assets
from harness.backends import Batch
from harness.boxes import Region, read_boxes, read_truth, write_truth
from harness.cells import Cell
from harness.commands import pack as pack_command
from harness.datasets import Sample
from harness.datasets.icdar2015 import Icdar2015, write_scenes
from harness.evaluate import Task, evaluate
from harness.files.pack import pack
from harness.files.packed import MANIFEST
from harness.judging import Judging, write_outcomes
from harness.model import Model
from harness.registry import load_models
from harness.store import Store
from harness.workbench import Workbench
from tests.folders import listing
from tests.scene_folders import NAME, declare_scenes

POINT, SMALL = "bs1_256x384", "bs1_96x160"
Command = Callable[..., tuple[int, str]]


SPOILT = {
    "sides exchanged": (
        ".npy",
        lambda value: value.transpose(0, 1, 3, 2),
        "is float32 [1, 1, 384, 256], expected float32 [1, 256, 384]",
    ),
    "half of it": (".npy", lambda value: value[:, :, ::2, ::2], "is float32 [1, 1, 128, 192], expected float32 [1, "),
    "half precision": (".npy", lambda value: value.astype(np.float16), "is float16 [1, 1, 256, 384], expected float32"),
    "a column less": (".bin", lambda value: value[..., :-1], "has 392192 bytes, expected 393216 for float32 [1, 256, "),
}


class Place:
    """A folder with declaration, store and scenes, shared by the tests of this file."""

    def __init__(self, folder: Path) -> None:
        self.models = declare_scenes(folder / "models")
        self.model: Model = load_models([self.models])[NAME]
        self.reference = self.model.reference("bundled")
        self.bench = Workbench(Store(folder / "store"), Assets(), folder / "scratch")
        self.options = [f"--models={self.models}", f"--store={folder / 'store'}"]

    def cell(self, point: str) -> Cell:
        return Cell(self.model, self.model.form(self.model.main), "ort", "fp32", self.model.point(point))

    def samples(self, count: int) -> list[Sample]:
        with self.bench.data(self.reference.data) as reader:
            return list(islice(reader.samples(), count))

    def answer(self, packed: Path, to: Path, suffix: str = ".npy", point: str = POINT) -> Path:
        """What a tool does: reads each file of a folder, runs the graph on it, and writes what comes out."""
        to.mkdir()
        with self.bench.open(self.cell(point), self.reference) as session:
            for path in sorted((packed / "inputs").iterdir()):
                (found,) = session.map([Batch((path.name,), {"input": np.load(path)})])
                value = found.values["output"]
                file = to / f"{path.stem}_0{suffix}"
                value.tofile(file) if suffix == ".bin" else np.save(file, value)
        return to

    def run(self, samples: list[Sample], to: Path, point: str = POINT) -> dict[str, object]:
        """What a run answers of these samples in this process: its figures, with outcomes in a file."""
        task = Task.of(self.cell(point).sized, self.reference)
        with self.bench.open(self.cell(point), self.reference) as session:
            scored = write_outcomes(evaluate(session, samples, task, 1), to, task.metric)
            return dict(Judging(self.reference, task.metric, whole=False).answer(scored, to).figures)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("scenes") / "place")


@pytest.fixture
def command(place: Place, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command on the few scenes; its status and what it printed."""

    def run(name: str, *arguments: object) -> tuple[int, str]:
        status = main([name, NAME, *map(str, arguments), *place.options])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


@pytest.fixture
def packed(command: Command, tmp_path: Path) -> Path:
    """The first three scenes, packed where accuracy is asked."""
    assert command("pack", "--out", tmp_path / "packed", "--samples", 3)[0] == 0
    return tmp_path / "packed"


def manifest(folder: Path) -> dict:
    return json.loads((folder / MANIFEST).read_text())


class TestPack:
    def test_inputs_are_files_of_numpy_with_a_batch_of_one_as_a_run_feeds_them(self, place, packed):
        task = Task.of(place.cell(POINT).sized, place.reference)
        assert sorted(path.name for path in (packed / "inputs").iterdir()) == ["img_1.npy", "img_2.npy", "img_3.npy"]
        for number, sample in enumerate(place.samples(3), 1):
            found = np.load(packed / "inputs" / f"img_{number}.npy")
            assert (found.dtype.str, found.shape) == ("<f4", (1, 3, 256, 384))
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found[0], task.prepare(sample).value)

    def test_labels_are_a_truth_of_json_a_line(self, place, packed):
        lines = (packed / "labels.txt").read_text().splitlines()
        for number, (line, sample) in enumerate(zip(lines, place.samples(3), strict=True), 1):
            name, truth = line.split("\t")
            assert name == f"img_{number}.npy"
            assert read_truth(truth) == read_truth(sample.truth)
            assert read_truth(truth)

    def test_the_manifest_says_point_and_sizes(self, place, packed):
        found = manifest(packed)
        assert found["kind"] == "prepared samples, by python -m harness pack; version 4"
        assert (found["point"], found["input"]) == (POINT, "float32 [3, 256, 384]")
        assert found["sizes"] == [[320, 480]] * 3 == [list(sample.size) for sample in place.samples(3)]
        assert found["samples"] == ["scenes/img_1.png", "scenes/img_2.png", "scenes/img_3.png"]

    def test_another_point_binds_other_sizes(self, command, tmp_path):
        status, text = command("pack", "--out", tmp_path / "out", "--samples", 1, "--point", SMALL)
        assert status == 0
        assert f"packed 1 files of float32 [3, 96, 160] into {tmp_path / 'out' / 'inputs'}, 0.2 MB\n" in text
        assert np.load(tmp_path / "out" / "inputs" / "img_1.npy").shape == (1, 3, 96, 160)
        assert manifest(tmp_path / "out")["point"] == SMALL

    def test_a_point_that_is_not_declared_is_refused_with_the_nearest(self, command, tmp_path):
        status, text = command("pack", "--out", tmp_path / "out", "--point", "bs1_100x160")
        assert status == 1
        assert f"'bs1_100x160' is not allowed; allowed: bs1_736x1280, {SMALL}, " in text
        assert f"did you mean '{SMALL}'" in text
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("cut", [False, True], ids=["between files", "within a file"])
    def test_an_interrupted_pack_goes_on_to_the_same_folder(self, command, packed, tmp_path, monkeypatch, cut):
        asked = ["--out", tmp_path / "begun", "--samples", 3]
        with monkeypatch.context() as interrupted:
            interrupted.setattr(pack_command, "pack", lambda *given: islice(pack(*given), 2))
            command("pack", *asked)
        begun = tmp_path / "begun" / "inputs"
        assert sorted(path.name for path in begun.iterdir()) == ["img_1.npy", "img_2.npy"]
        if cut:
            (begun / "img_2.npy").write_bytes((begun / "img_2.npy").read_bytes()[:-4])
        kept = (begun / "img_1.npy").stat().st_mtime_ns
        (tmp_path / "none").mkdir()
        status, text = command("score", "--data", tmp_path / "begun", "--outputs", tmp_path / "none")
        assert (status, "not packed to its end; give the same pack command again, it goes on" in text) == (1, True)
        assert command("pack", *asked)[0] == 0
        assert listing(tmp_path / "begun") == listing(packed)
        assert (begun / "img_1.npy").stat().st_mtime_ns == kept

    def test_another_point_never_goes_into_the_same_folder(self, command, packed):
        before = listing(packed)
        status, text = command("pack", "--out", packed, "--samples", 3, "--point", SMALL)
        assert status == 1
        assert re.search(rf"packed from something else \(.*point {POINT}, now {SMALL}\); choose a new", text)
        assert listing(packed) == before

    @pytest.mark.parametrize("name", ["pack", "score"])
    def test_a_folder_of_an_earlier_version_is_named_and_left_alone(self, command, packed, tmp_path, name):
        old = {key: value for key, value in manifest(packed).items() if key not in ("point", "sizes")}
        old["kind"] = "prepared samples, by python -m harness pack; version 2"
        (packed / MANIFEST).write_text(json.dumps(old))
        before = listing(packed)
        (tmp_path / "none").mkdir()
        asked = {
            "pack": ["--out", packed, "--samples", 3],
            "score": ["--data", packed, "--outputs", tmp_path / "none"],
        }
        status, text = command(name, *asked[name])
        assert status == 1
        assert (
            f"{packed / MANIFEST}: not of the kind 'prepared samples, by python -m harness pack; version 4'; " in text
        )
        assert listing(packed) == before


class TestScore:
    def scored(self, command: Command, packed: Path, outputs: Path) -> tuple[int, dict, list[dict]]:
        """Status, what was said as JSON, and the outcomes."""
        said, outcomes = outputs.parent / "said.json", outputs.parent / "said.jsonl"
        status, _ = command("score", "--data", packed, "--outputs", outputs, "--json", said, "--outcomes", outcomes)
        return status, json.loads(said.read_text()), [json.loads(line) for line in outcomes.read_text().splitlines()]

    @pytest.mark.parametrize("suffix", [".npy", ".bin"])
    def test_outputs_of_a_tool_are_scored_as_a_run_scores_its_own(self, place, command, packed, tmp_path, suffix):
        status, said, outcomes = self.scored(command, packed, place.answer(packed, tmp_path / "out", suffix))
        figures = place.run(place.samples(3), tmp_path / "run.jsonl")
        assert outcomes == [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
        assert said["figures"] == figures
        assert (status, said["verdict"], said["format"]) == (10, "inconclusive", suffix)
        assert figures["hmean"] > 0.9
        assert figures["golden_same"] > 0.9 * figures["golden_either"] > 0

    def test_maps_without_the_batch_axis_are_taken_too(self, place, command, packed, tmp_path):
        out = place.answer(packed, tmp_path / "out")
        whole = self.scored(command, packed, out)
        for path in out.iterdir():
            np.save(path, np.load(path)[0])
        assert self.scored(command, packed, out) == whole

    def test_maps_at_another_point_are_scored_at_that_point(self, place, command, tmp_path):
        asked = ["--out", tmp_path / "small", "--samples", 2, "--point", SMALL]
        assert command("pack", *asked)[0] == 0
        out = place.answer(tmp_path / "small", tmp_path / "out", point=SMALL)
        _, said, outcomes = self.scored(command, tmp_path / "small", out)
        assert said["figures"] == place.run(place.samples(2), tmp_path / "run.jsonl", SMALL)
        assert outcomes == [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]

    @pytest.mark.parametrize("fault", SPOILT)
    def test_a_map_of_another_shape_is_named(self, place, command, packed, tmp_path, fault):
        suffix, change, told = SPOILT[fault]
        out = place.answer(packed, tmp_path / "out", suffix)
        spoilt = out / f"img_2_0{suffix}"
        value = np.load(spoilt) if suffix == ".npy" else np.fromfile(spoilt, np.float32).reshape(1, 1, 256, 384)
        changed = np.ascontiguousarray(change(value))
        changed.tofile(spoilt) if suffix == ".bin" else np.save(spoilt, changed)
        status, text = command("score", "--data", packed, "--outputs", out)
        assert status == 1
        assert f"img_2_0{suffix} of scenes/img_2.png {told}" in text

    def test_maps_of_another_picture_have_another_hmean(self, place, command, packed, tmp_path):
        out = place.answer(packed, tmp_path / "out")
        files = sorted(out.iterdir())
        for path, value in zip(files, [np.load(path) for path in [*files[1:], files[0]]], strict=True):
            np.save(path, value)
        status, said, _ = self.scored(command, packed, out)
        assert (status, said["verdict"]) == (1, "fail")
        assert said["figures"]["hmean"] < 0.2


class TestOwnSizes:
    SIZES = ((320, 480), (640, 480), (200, 300))

    @pytest.fixture
    def scenes(self, place: Place, tmp_path: Path) -> Path:
        """Somebody's scenes of several sizes: the rendered ones, stretched."""
        (tmp_path / "mine").mkdir()
        stretched = []
        for number, (sample, (height, width)) in enumerate(zip(place.samples(3), self.SIZES, strict=True), 1):
            picture = cv2.imdecode(np.frombuffer(sample.content, np.uint8), cv2.IMREAD_COLOR)
            down, along = height / picture.shape[0], width / picture.shape[1]
            regions = [
                Region(tuple((round(x * along), round(y * down)) for x, y in region.points), region.text)
                for region in read_truth(sample.truth)
            ]
            encoded = cv2.imencode(".png", cv2.resize(picture, (width, height)))[1].tobytes()
            stretched.append((f"img_{number}.png", encoded, write_truth(regions)))
        write_scenes(tmp_path / "mine", stretched)
        return tmp_path / "mine"

    def test_each_picture_is_scored_in_its_own_size(self, place, command, scenes, tmp_path):
        assert command("pack", "--out", tmp_path / "packed", "--data", scenes, "--reference=bundled")[0] == 0
        assert manifest(tmp_path / "packed")["sizes"] == [list(size) for size in self.SIZES]
        shutil.rmtree(scenes)  # the manifest alone knows
        out = place.answer(tmp_path / "packed", tmp_path / "out")
        _, said, outcomes = TestScore().scored(command, tmp_path / "packed", out)
        assert (said["own"], said["data"]) == (False, "mine")
        assert said["figures"]["hmean"] > 0.9
        for outcome, (height, width) in zip(outcomes, self.SIZES, strict=True):
            points = np.array([box.points for box in read_boxes(outcome["predicted"])]).reshape(-1, 2)
            assert (points >= 0).all()
            assert (points <= (width, height)).all()
        low = np.array([box.points for box in read_boxes(outcomes[1]["predicted"])])[..., 1].max()
        assert low > 320

    def test_it_is_the_answer_of_a_run(self, place, command, scenes, tmp_path):
        assert command("pack", "--out", tmp_path / "packed", "--data", scenes, "--reference=bundled")[0] == 0
        out = place.answer(tmp_path / "packed", tmp_path / "out")
        _, _, outcomes = TestScore().scored(command, tmp_path / "packed", out)
        place.run(list(Icdar2015(scenes, "mine").samples()), tmp_path / "run.jsonl")
        assert outcomes == [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]

    @pytest.mark.parametrize("size", [[640, 480], [480, 320], None, "320", 7, [320], [320, 480, 3]])
    def test_a_size_that_is_not_the_one_packed_is_named(self, command, packed, tmp_path, size):
        found = manifest(packed)
        found["sizes"][1] = size
        (packed / MANIFEST).write_text(json.dumps(found))
        (tmp_path / "none").mkdir()
        status, text = command("score", "--data", packed, "--outputs", tmp_path / "none")
        assert status == 1
        assert f"{packed / MANIFEST}: its samples are not those packed: digest " in text
