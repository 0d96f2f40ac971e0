"""Dumps are written, compared and judged on the command line; each saboteur is caught, and the layer named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from harness.__main__ import main
from harness.assets import Assets
from harness.cells import Ask, Scope
from harness.declaration import DeclarationError
from harness.domains import asks
from harness.form import Form
from harness.model import Model
from harness.quantize.dump import FLOAT, QUANT, encoded, write_layer
from harness.quantize.side_by_side import SideBySide, dequantised_in
from harness.questions.layers import SAMPLES, ask, samples
from harness.reference import Reference
from harness.sizes import Point
from harness.store import Artefact, Store
from harness.verdict import Absent, Verdict
from harness.workbench import Workbench
from tests import saboteurs_quantised
from tests.layered import LAYERS, batches, files
from tests.quantised import directions
from tests.test_saboteurs import settle

Spoil = Callable[[NDArray], NDArray]
SPOILT: dict[str, Spoil] = {
    "permuted": lambda q: np.random.default_rng(0).permutation(q.ravel()).reshape(q.shape),
    "reversed": lambda q: q.ravel()[::-1].reshape(q.shape),
    "rolled": lambda q: np.roll(q.ravel(), 1).reshape(q.shape),
    "sorted": lambda q: np.sort(q.ravel()).reshape(q.shape),
    "doubled": lambda q: q * 2,
    "dead": np.zeros_like,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dump of a healthy network."""
    folder = tmp_path_factory.mktemp("dump")
    made = files(tmp_path_factory.mktemp("made"))
    both = SideBySide(made.single, made.quantised, 1)
    for number, batch in enumerate(batches()):
        for place, f, q in both.run(batch):
            write_layer(folder / FLOAT, place, number, f)
            write_layer(folder / QUANT, place, number, q)
    return folder


@pytest.fixture
def dump(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "dump"))


def layer_of(dump: Path, tensor: str, side: str = QUANT) -> Path:
    (found,) = (dump / side).glob(f"*:{encoded(tensor)}")
    return found


def compare(dump: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    status = main(["compare-layers", str(dump / FLOAT), str(dump / QUANT), *options])
    return status, capsys.readouterr().out.splitlines()


class TestVerdict:
    def test_a_healthy_dump_passes_and_is_ranked(self, dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, lines = compare(dump, capsys)
        assert status == 0
        assert lines[-1].startswith("pass: 11 layers, n=4; worst 7 scaled: cosine 0.99")
        ratios = [float(line.split()[4]) for line in lines[1:-1]]
        assert len(ratios) == len(LAYERS)
        assert ratios == sorted(ratios)

    @pytest.mark.parametrize("tensor", LAYERS[:7])
    @pytest.mark.parametrize("name", SPOILT)
    def test_one_spoilt_layer_is_named(
        self, name: str, tensor: str, dump: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for path in layer_of(dump, tensor).iterdir():
            np.save(path, SPOILT[name](np.load(path)))
        status, lines = compare(dump, capsys)
        assert status == 1
        assert lines[-1].startswith(
            f"fail: layer {1 + LAYERS.index(tensor) + (tensor != 'x')} {tensor} is the first over"
        )
        assert "; 1 of 11 layers, n=4" in lines[-1]
        assert (
            lines[1].split()[:3] == ["1", str(1 + LAYERS.index(tensor) + (tensor != "x")), tensor] or name == "rolled"
        )

    @pytest.mark.parametrize("tensor", LAYERS[:7])
    def test_one_file_that_is_another_s_is_named(
        self, tensor: str, dump: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        one, other = (layer_of(dump, tensor) / f"batch_{number}.npy" for number in (1, 2))
        shutil.copyfile(one, other)
        status, lines = compare(dump, capsys)
        assert status == 1
        assert f" {tensor} is the first over a bound: " in lines[-1]

    @pytest.mark.parametrize("side", [FLOAT, QUANT])
    def test_a_truncated_file_is_named(self, side: str, dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = layer_of(dump, "m2", side) / "batch_3.npy"
        path.write_bytes(path.read_bytes()[:-4])
        status, lines = compare(dump, capsys)
        assert status == 1
        assert lines[-1].startswith(f"fail: {path}: no whole array in NumPy's format")

    def test_one_number_that_is_none_is_named(self, dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = layer_of(dump, "gate") / "batch_1.npy"
        values = np.load(path)
        values.flat[5] = np.nan
        np.save(path, values)
        status, lines = compare(dump, capsys, "--json", str(dump / "said.json"))
        assert status == 1
        assert "6 gate is the first over a bound: holds what is no finite number" in lines[-1]
        assert json.loads((dump / "said.json").read_text())["first_over"] == "6 gate"

    def test_where_nothing_can_be_compared_it_is_no_success(
        self, tmp_path: Path, dump: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "empty").mkdir()
        for folder in (tmp_path / "empty", tmp_path / "nowhere"):
            assert main(["compare-layers", str(dump / FLOAT), str(folder)]) == 10
            assert capsys.readouterr().out.startswith(f"skipped: {folder}: no ")

    def test_dumps_without_a_layer_in_common_are_no_success_either(
        self, tmp_path: Path, dump: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "other" / "0001:z").mkdir(parents=True)
        np.save(tmp_path / "other" / "0001:z" / "batch_0.npy", np.ones(3))
        assert main(["compare-layers", str(dump / FLOAT), str(tmp_path / "other"), "--common"]) == 10
        said = capsys.readouterr().out
        assert said.startswith("inconclusive: nothing was compared: 0 layers, n=0; layers 11 in A alone, the first is")

    def test_the_folder_of_both_is_no_dump(self, dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare-layers", str(dump), str(dump)]) == 1
        assert "name the folders float and quant in it" in capsys.readouterr().out


class TestOptions:
    def test_a_layer_of_one_alone_fails_unless_those_in_common_are_meant(
        self, dump: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.rmtree(layer_of(dump, "gate"))
        status, lines = compare(dump, capsys)
        assert status == 1
        assert lines[-1].startswith("fail: layers 1 in A alone, the first is 0006:gate (expected the same layers")
        status, lines = compare(dump, capsys, "--common")
        assert status == 0
        assert lines[-1].startswith("pass: 10 layers")
        assert lines[-1].endswith("; layers 1 in A alone, the first is 0006:gate")

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--cosine", "0.99999"], "bound: cosine 1.0000, bound 1"),
            (["--snr", "44"], "bound: signal-to-noise ratio 43.5 dB, bound 44"),
            (["--gain", "0.9999", "1.0001"], "bound: gain 0.999, bounds 0.9999 to 1"),
        ],
    )
    def test_bounds_can_be_others(
        self, options: list[str], said: str, dump: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status, lines = compare(dump, capsys, *options)
        assert status == 1
        assert said in lines[-1]

    def test_bounds_that_bound_nothing_are_wrong(self, dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare-layers", str(dump / FLOAT), str(dump / QUANT), "--cosine", "1"]) == 1
        assert "expected a cosine below 1" in capsys.readouterr().err

    def test_a_table_has_as_many_rows_as_are_asked_for_and_json_all(
        self, dump: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = dump / "new" / "said.json"
        status, lines = compare(dump, capsys, "--rows", "2", "--json", str(path))
        assert (status, len(lines)) == (0, 4)
        said = json.loads(path.read_text())
        assert (said["verdict"], len(said["all"])) == ("pass", 11)
        assert said["all"][3]["tensor"] == "a/2"
        assert said["all"][0]["snr"] == pytest.approx(43.5, abs=0.1)

    def test_a_vendor_s_names_are_matched(self, dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for number, path in enumerate(sorted((dump / QUANT).iterdir()), 40):
            path.rename(path.with_name(f"{number:04}:Some_{path.name.partition(':')[2]}"))
        status, lines = compare(dump, capsys)
        assert (status, lines[-1][:21]) == (0, "pass: 11 layers, n=4;")


class SpoiltBench(Workbench):
    """A workbench whose quantised form is changed."""

    change: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None

    def form(self, model: Model, reference: Reference, form: Form, point: Point | None = None) -> Artefact:
        made = super().form(model, reference, form, point)
        if self.change is None or form.quantisation is None:
            return made
        folder = self.kept("changed")
        folder.mkdir(exist_ok=True)
        onnx.save(self.change(onnx.load(made.file("model.onnx"))), folder / "model.onnx")
        return Artefact(made.name, folder, made.key, "changed", made.facts, made.because, made.size)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


class TestAsked:
    """The question, of the direction classifier with its bundled weights."""

    @pytest.fixture
    def bench(self, store: Path, tmp_path: Path) -> SpoiltBench:
        return SpoiltBench(Store(store), Assets(), tmp_path)

    @pytest.fixture
    def asked(self) -> Ask:
        model = directions(samples=40)
        return next(ask for ask in asks("layers", {model.name: model}, Scope()) if ask.reference == "bundled")

    def test_a_healthy_form_passes(self, bench: SpoiltBench, asked: Ask) -> None:
        answer = settle(bench, asked)
        assert answer.verdict is Verdict.PASS, answer.line
        assert answer.figures["n"] == SAMPLES
        assert answer.figures["layers"] == 128
        assert answer.figures["least_cosine"] > 0.98

    def test_a_scale_that_is_doubled_behind_a_gate_is_named(self, bench: SpoiltBench, asked: Ask) -> None:
        gates: list[str] = []

        def doubled(graph: onnx.ModelProto) -> onnx.ModelProto:
            gates.extend(name for name in dequantised_in(graph) if name.endswith("activation/HardSigmoid_output_0"))
            return saboteurs_quantised.scale_doubled_behind(graph, gates[3])

        bench.change = doubled
        answer = settle(bench, asked)
        assert answer.verdict is Verdict.FAIL
        assert str(answer.figures["first_over"]).endswith(f" HardSigmoid {gates[3]}")
        assert "is the first over a bound: gain 1.999, bounds 0.9 to 1.1; cosine 0.9998" in answer.line

    def test_a_lost_relu_is_named(self, bench: SpoiltBench, asked: Ask) -> None:
        bench.change = lambda graph: saboteurs_quantised.relu_lost(graph, relus(graph)[-1])
        answer = settle(bench, asked)
        assert answer.verdict is Verdict.FAIL
        assert "1 of 128 layers of the float graph are not in the quantised one, the first is 139 Relu" in answer.line

    def test_samples_are_the_reference_s_own_or_what_everybody_has(self, bench: SpoiltBench, asked: Ask) -> None:
        sized = asked.at.sized
        own, lent = (samples(bench, sized, asked.model.reference(name), 3) for name in ("bundled", "seeded"))
        assert [item.id for item in own] == [item.id for item in lent]
        assert [item.id for item in own] == first_ids(bench, asked)
        assert len({item.value.tobytes() for item in own}) == 3

    def test_data_that_are_not_here_are_named(self, bench: SpoiltBench, asked: Ask) -> None:
        with pytest.raises(Absent, match=r"cls_b1\.pd"):
            samples(bench, asked.at.sized, asked.model.reference("official"), 3)

    def test_a_form_that_is_not_quantised_is_not_asked(self, bench: SpoiltBench, asked: Ask) -> None:
        with pytest.raises(DeclarationError, match="declares no quantisation"):
            ask(bench, replace(asked, form=asked.model.form("exported")))


def first_ids(bench: Workbench, asked: Ask) -> list[str]:
    with bench.data(asked.model.reference("bundled").data) as reader:
        return [sample.id for sample in islice(reader.samples(), 3)]


def relus(graph: onnx.ModelProto) -> list[str]:
    return [node.name for node in graph.graph.node if node.op_type == "Relu"]


class TestDumped:
    def test_both_forms_are_written_and_compare(
        self, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "dump"
        options = [f"--out={out}", f"--store={store}", "--samples=2"]
        assert main(["dump-layers", "ppocr_cls", "bundled", "int8_minmax", *options]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "wrote 128 layers of ppocr_cls.quantisable and int8_minmax, 2 samples",
            f"next: python -m harness compare-layers {out / FLOAT} {out / QUANT}",
        ]
        assert (out / "quant" / "0001:x" / "batch_1.npy").is_file()
        status, lines = compare(out, capsys)
        assert status in (0, 1)
        assert "128 layers, n=2" in lines[-1]
        assert main(["dump-layers", "ppocr_cls", "bundled", "int8_minmax", *options]) == 1
        assert "holds something already; name a new or empty folder" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("form", "options", "said"),
        [
            ("exported", [], "ppocr_cls.exported: no quantised form; those are int8_minmax"),
            ("int8_minmax", ["--samples=0"], "--samples 0: expected 1 or more"),
        ],
    )
    def test_what_cannot_be_dumped_is_said(
        self, form: str, options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["dump-layers", "ppocr_cls", "bundled", form, f"--out={tmp_path / 'dump'}", *options]) == 1
        assert said in capsys.readouterr().err
        assert not (tmp_path / "dump").exists()
