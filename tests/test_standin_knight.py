"""The vendor's chain through tools that are only played, end to end; and every way in which they are known to fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from harness.assets import Assets
from harness.backends import Batch, Outputs, Room
from harness.backends.knight import BACKEND
from harness.cells import Ask, Cell
from harness.form import Form
from harness.knight.configuration import CHIP
from harness.questions import accuracy, simulation
from harness.recipe import Recipe
from harness.registry import load_models
from harness.sizes import BATCH, Point, TensorSpec
from harness.store import Artefact, Store
from harness.verdict import Absent, Answer, Broken, Refused, Verdict
from harness.workbench import Workbench
from tests.conftest import TOY_FORMS
from tests.knight_host import FOLDER, Played, cell_of, host_in
from tests.standin_networks import answer, dense

PROGRAM = Form(name="program", parent=None, step="toy:program", format="paddle")
INTEGER = Form(
    name="integer",
    parent="onnx",
    step="toy:integer",
    format="onnx",
    precision="int8",
    promise="lossy",
    equal=0.5,
    because="8 bits",
)
OPTIONS = {"name": "toy", "infer_function": "infer_toy", "chip": "TX511", "iterations": 8, "output_float": True}
INPUTS = np.random.default_rng(4).standard_normal((12, 4), dtype=np.float32)


class Chain:
    """A small network on its way through the played tools of a generation."""

    def __init__(self, toy, folder: Path, store: Store, generation: str) -> None:
        self.toy, self.folder, self.store, self.generation = toy, folder, store, generation
        source = folder / "source"
        source.mkdir()
        dense(source / "model.onnx", 13)
        if generation != "json":
            # Played tools take an ONNX graph under this name where there are no weights beside it.
            (source / "model.onnx").rename(source / "inference.pdmodel")
            (source / "inference.pdiparams").touch()
        self.form = Artefact("toy.program", source, "key", "digest", {}, "test", 0)
        for number, item in enumerate(INPUTS[:8]):
            np.save(folder / f"{number}.npy", item)
        self.calibration = Artefact("calibration", folder, "key", "digest of the inputs", {}, "test", 0)
        self.room = Room(store, folder / "scratch", calibration=lambda: self.calibration)

    def cell(self, **options: object) -> Cell:
        compiles = {} if self.generation == "json" else {"onnx": "program"}
        recipe = Recipe(
            precision="int8", toolkits=("1.1.0.7",), options=OPTIONS | options, compiles=compiles, points=("bs1",)
        )
        model = self.toy(
            forms=(*TOY_FORMS, PROGRAM, INTEGER),
            inputs=(TensorSpec(name="x", axes=(BATCH, 4), dtype="float32"),),
            outputs=(TensorSpec(name="y", axes=(BATCH, 3), dtype="float32"),),
            points=(Point(batch=1),),
            accuracy_batch=1,
            recipes={"knight": recipe},
        )
        return Cell(model, model.form("onnx"), "knight", "int8", Point(batch=1))

    def made(self, **options: object) -> Artefact:
        return BACKEND.prepare(self.form, self.cell(**options), self.room)

    def mapped(self, **options: object) -> list[Outputs]:
        asked = [Batch((f"s{number}",), {"x": item[None]}) for number, item in enumerate(INPUTS)]
        with BACKEND.open(self.made(**options), self.cell(**options), self.room) as session:
            found = list(session.map(asked))
        assert [one.ids for one in found] == [one.ids for one in asked]
        return found

    def simulated(self) -> Answer:
        with BACKEND.open(self.made(), self.cell(), self.room) as session:
            return session.simulate(Batch(("s0",), {"x": INPUTS[:1]}))


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> Store:
    """What is quantised well is quantised once."""
    return Store(tmp_path_factory.mktemp("knight") / "store")


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Makes the environment of a generation and a network for it; with ``fresh`` nothing is quantised yet."""
    opened = []

    def make(toy, stores, generation="script", fresh=False):
        context = host_in(tmp_path, monkeypatch, generation)
        opened.append(context)
        calls = context.__enter__()
        store = Store(tmp_path / "store") if fresh else stores
        played = Played(Workbench(store, Assets(), tmp_path / "scratch"), calls, tmp_path, monkeypatch.setenv)
        return Chain(toy, tmp_path, store, generation), played

    yield make
    for context in opened:
        assert next(context.gen, None) is None


class TestChain:
    @pytest.mark.parametrize("generation", ["script", "json", "image"])
    def test_what_comes_back_is_the_network_in_eight_bits(self, toy, stores, host, generation):
        chain, played = host(toy, stores, generation)
        found = np.concatenate([one.values["y"] for one in chain.mapped()])
        assert found.dtype == np.float32
        distances = np.abs(found - answer(INPUTS)).max(axis=1)
        assert 0 < distances[:8].max() < 0.1
        # What it was not calibrated on is clipped, so these were the inputs that it was.
        assert distances[8:].max() > 0.5
        assert played.available().provenance["tools"].startswith("stand-in: ")
        starts = played.called("Knight" if generation == "json" else "run_quantization.py")
        # One start for all twelve inputs, whatever came before.
        assert len([call for call in starts if "infer" in " ".join(call)]) == 1 + (generation != "json")

    def test_the_script_is_told_the_guides_options_and_our_inputs(self, toy, stores, host):
        chain, played = host(toy, stores, fresh=True)
        made = chain.made(dump=True)
        (call,) = played.called("run_quantization.py")
        told = [Path(each).name if "/" in each else each for each in call]
        assert told[:10] == ["-f", "paddle", "-r", "all", "-ch", "TX511", "-od", "-if", "infer_toy", "-m"]
        assert told[10:16] == ["toy.pdmodel", "-w", "toy.pdiparams", "-s", "quantised", "-bs"]
        assert told[16:] == ["1", "-i", "8", "-is", "1", "4", "--dump", "-uds", "plug_in.py"]
        (call,) = played.called("Knight")
        assert call[:3] == ["--chip", "TX5368A", "rne-compile"]
        assert (made.facts["calibrated_on"], made.facts["generation"]) == (8, "script")
        assert made.facts["vendors_nodes"] > 0
        dumped = np.load(made.file("quantised/dump/float/0001:x/batch_0.npy"))
        np.testing.assert_array_equal(dumped, INPUTS[:1])
        assert not made.file("quantised/dump/float/0001:x/batch_1.npy").exists()
        assert {path.suffix for path in made.file("compiled").iterdir()} == {".weight", ".cfg"}

    def test_run_configurations_are_kept_beside_the_logs(self, toy, stores, host):
        chain, played = host(toy, stores, "json")
        made = chain.made()
        told = json.loads(made.file("build.json").read_text())
        assert (told["quant"]["output-dequant"], told["quant"]["iteration"]) == (True, 8)
        assert made.file("build.log").is_file()
        assert made.file("compiled/toy_quantize_r.tsmodel").is_file()
        assert all(call[:2] == ["--chip", CHIP["TX511"]] for call in played.called("Knight"))

    def test_it_is_quantised_once_and_anew_for_other_inputs_or_options(self, toy, stores, host):
        chain, played = host(toy, stores, fresh=True)
        keys = [chain.made().key, chain.made().key]
        assert len(played.called("run_quantization.py")) == 1
        chain.calibration = replace(chain.calibration, digest="other inputs")
        keys.append(chain.made().key)
        keys.append(chain.made(mode="mse").key)
        assert len(played.called("run_quantization.py")) == 3
        assert len(set(keys)) == 3

    def test_whole_numbers_need_a_scale_that_is_declared(self, toy, stores, host):
        chain, _ = host(toy, stores)
        with pytest.raises(Refused, match=r"y: whole numbers up to .*declare it as output_scale"):
            chain.mapped(output_float=False)
        graph = onnx.load(chain.made(output_float=False).file("quantised/toy_quantize.onnx")).graph
        scale = next(numpy_helper.to_array(each) for each in graph.initializer if each.name == "y/top_scale")
        found = np.concatenate([one.values["y"] for one in chain.mapped(output_float=False, output_scale=float(scale))])
        assert np.abs(found - answer(INPUTS))[:8].max() < 0.1

    def test_the_onnx_route_compiles_the_quantised_graph(self, toy, stores, host):
        chain, played = host(toy, stores)
        made = chain.made(route="onnx")
        assert made.file("compiled/toy_quantize_r.weight").is_file()
        assert "--onnx" in played.called("Knight")[-1]


class TestSimulation:
    @pytest.mark.parametrize("generation", ["script", "json"])
    def test_the_end_of_the_chain_gives_no_time_and_says_why(self, toy, stores, host, generation):
        chain, played = host(toy, stores, generation)
        answer = chain.simulated()
        assert answer.verdict is Verdict.PASS
        assert answer.line.startswith(
            "0 differ of 3 elements of the compiled network, simulated by its tools on s0; no time"
        )
        verbs = [call[2] for call in played.called("Knight")]
        expected = ["run", "profiling"] if generation == "json" else ["rne-sim", "rne-profiling"]
        assert verbs[-2:] == expected
        assert len(played.called("sim2quant_compare.py")) == (generation == "script")

    def test_the_other_layout_is_read_as_well(self, toy, stores, host):
        chain, played = host(toy, stores)
        played.habits("rows")
        assert chain.simulated().figures["elements"] == 3

    @pytest.mark.parametrize(
        ("habit", "expected"),
        [
            ("truncated", "result_0_p.txt.*(truncated|in the place of)"),
            ("longer", "result_0_p.txt: its header says SHAPE.*holds 4 numbers in 4 channels"),
            ("nan", "holds 'nan', which is no finite number"),
            ("off_by_one", "simulator: 1 of 3 numbers of y are not those of the quantised graph"),
            ("no_result", "expected result_0_p.txt or result-y_p.txt for the output y, found none"),
        ],
    )
    def test_results_that_are_not_those_promised_are_refused(self, toy, stores, host, habit, expected):
        chain, played = host(toy, stores)
        played.habits(habit)
        with pytest.raises(Refused, match=f"{expected}.*log "):
            chain.simulated()


class TestMisbehaviour:
    @pytest.mark.parametrize(
        ("habit", "expected"),
        [
            ("silent", r"expected a file toy_quantize\.onnx, found none; .*exit code 0 all the same"),
            ("unfinished", r"stage 3 \(Quantization\) never ended; expected a line with 'Quantize End'"),
            ("empty", r"toy_quantize\.onnx is empty"),
            ("no_dump", "expected a file dump, found none"),
            ("compile_silent", r"rne-compile: expected a file toy_r\.weight, found none"),
            ("crash", "SIGSEGV"),
        ],
    )
    def test_a_tool_that_does_not_do_its_work_is_refused_and_leaves_nothing(self, toy, stores, host, habit, expected):
        chain, played = host(toy, stores, fresh=True)
        played.habits(habit)
        with pytest.raises(Refused, match=f"{expected}.*log ") as raised:
            chain.made(dump=True)
        assert raised.value.log.is_file()
        assert list(chain.store.entries()) == []

    def test_the_newer_tools_that_write_nothing_are_refused(self, toy, stores, host):
        chain, played = host(toy, stores, "json", fresh=True)
        played.habits("compile_silent")
        with pytest.raises(
            Refused, match=r"Knight build: expected a file toy_quantize_r\.tsmodel, found .*toy_quantize.*log "
        ):
            chain.made()

    def test_an_input_without_an_output_is_named(self, toy, stores, host):
        chain, played = host(toy, stores)
        chain.made()
        played.habits("short")
        with pytest.raises(Refused, match=r"no output 11_0\.npy \(y\) among 11 files"):
            chain.mapped()

    def test_discovery_tells_what_works(self, toy, stores, host):
        _, played = host(toy, stores)
        for habit in ("no_version", "no_uds"):
            played.habits(habit)
            assert played.available().present
        played.habits("unloadable")
        with pytest.raises(Broken, match=r"does not load.*lacks a module"):
            played.available().required("knight")

    def test_a_script_of_the_guide_is_stopped_before_it_starts(self, toy, stores, host):
        chain, played = host(toy, stores, fresh=True)
        played.habits("no_uds")
        with pytest.raises(Absent, match="names no -uds in its help"):
            chain.made()
        assert played.called("run_quantization.py") == []

    def test_tools_of_another_generation_are_told_apart(self, toy, stores, host):
        _, played = host(toy, stores, "json")
        played.habits("no_run_config")
        assert "tools of 2.x" in played.available().reason


def test_the_direction_classifier_goes_from_its_declaration_to_an_accuracy(shared, tmp_path, monkeypatch):
    with host_in(tmp_path, monkeypatch, "script"):
        bench = Workbench(Store(tmp_path / "store"), Assets((shared / "assets",)), tmp_path / "scratch")
        model = load_models()["ppocr_cls"]
        cell = cell_of(model)
        found = accuracy.ask(bench, Ask("accuracy", model, cell.form, cell, "official", choice=True))
        simulated = simulation.ask(bench, Ask("simulation", model, cell.form, cell, "official", choice=True))
    assert found.figures["n"] == 30
    # Thirty samples judge nothing; broken models have 15 to 24, this one about 20.
    assert 15 <= found.figures["hits"] <= 25
    assert found.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
    assert (simulated.verdict, simulated.figures["elements"]) == (Verdict.PASS, 2)
    assert found.figures["calibrated on"] == "10 of 1000 of turned_shared_words"
    assert found.line.endswith("calibrated on: 10 of 1000 of turned_shared_words")


def test_tools_are_executable():
    assert all(path.stat().st_mode & 0o111 == 0o111 for path in (FOLDER / "bin").iterdir())
