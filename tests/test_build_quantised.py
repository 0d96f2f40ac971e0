"""*build* of a quantised form names what is not what its ranges and weights imply; accuracy hardly shows half of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import onnx
import pytest

from harness.assets import Assets
from harness.cells import Ask, Scope
from harness.domains import asks
from harness.form import Form
from harness.model import Model
from harness.onnx_graph.edit import MODEL
from harness.reference import Reference
from harness.registry import load_models
from harness.sizes import Point
from harness.store import Artefact, Store
from harness.verdict import Answer, Verdict
from harness.workbench import Workbench
from tests import saboteurs_quantised as saboteurs
from tests.test_saboteurs import settle


class BrokenBench(Workbench):
    """A workbench whose ``edit`` breaks the quantised file."""

    edit: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None

    def form(self, model: Model, reference: Reference, form: Form, point: Point | None = None) -> Artefact:
        made = super().form(model, reference, form, point)
        if self.edit is None or form.quantisation is None:
            return made
        folder = self.kept(made.digest)
        shutil.copytree(made.folder, folder, dirs_exist_ok=True)
        onnx.save(self.edit(onnx.load(folder / MODEL)), folder / MODEL)
        return replace(made, folder=folder, digest="broken")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> BrokenBench:
    folder = tmp_path_factory.mktemp("bench")
    return BrokenBench(Store(folder / "store"), Assets(), folder / "scratch")


@pytest.fixture(scope="module")
def ask() -> Ask:
    declared = load_models()["ppocr_cls"]
    bundled = declared.reference("bundled")
    few = replace(bundled.calibration, name="few_words", params={"seed": 5, "count": 12}, n=12)
    references = tuple(replace(bundled, calibration=few) if each == bundled else each for each in declared.references)
    found = asks("build", {"ppocr_cls": replace(declared, references=references)}, Scope())
    return replace(next(ask for ask in found if ask.form.quantisation), reference="bundled")


def built(bench: BrokenBench, ask: Ask, edit: Callable[[onnx.ModelProto], onnx.ModelProto] | None = None) -> Answer:
    bench.edit = edit
    return settle(bench, ask)


def test_what_is_as_implied_passes_and_the_line_says_what_is_an_integer(bench, ask):
    answer = built(bench, ask)
    assert answer.verdict is Verdict.PASS, answer.line
    assert "152 values and 54 weights in integers, left float HardSigmoid 18, ReduceMean 1" in answer.line
    assert f"{answer.figures['single_size']} bytes in single precision" in answer.line
    assert answer.figures["size"] < answer.figures["single_size"]
    assert (answer.figures["quantize_linear"], answer.figures["dequantize_linear"]) == (152, 261)


@pytest.mark.parametrize("saboteur", saboteurs.OF_VALUES)
def test_a_value_that_is_broken_is_named(bench, ask, saboteur):
    answer = built(bench, ask, lambda model: saboteur(model, "x"))
    assert answer.verdict is Verdict.FAIL
    assert answer.line.startswith(("x: QuantizeLinear has", "x: DequantizeLinear has"))
    assert answer.line.count(";") <= 1


@pytest.mark.parametrize(
    "saboteur",
    [
        saboteurs.weight_scale_doubled,
        saboteurs.channel_scales_shifted,
        saboteurs.axis_wrong,
        # The largest bias of this layer has 11 bits.
        partial(saboteurs.bias_clipped, bits=8),
    ],
)
def test_a_layer_that_is_broken_is_named(bench, ask, saboteur):
    def edit(model: onnx.ModelProto) -> onnx.ModelProto:
        return saboteur(model, next(node.name for node in model.graph.node if node.op_type == "Conv"))

    answer = built(bench, ask, edit)
    assert answer.verdict is Verdict.FAIL
    assert answer.line.count(";") == 0
    assert " expected " in answer.line


def test_a_relu_that_is_lost_is_named(bench, ask):
    def edit(model: onnx.ModelProto) -> onnx.ModelProto:
        relu = next(node for node in model.graph.node if node.op_type == "Relu")
        return saboteurs.relu_lost(model, relu.name)

    answer = built(bench, ask, edit)
    assert answer.verdict is Verdict.FAIL
    assert answer.line.startswith("563 nodes, declared 564; Relu ")
    assert "is missing, expected as in single precision" in answer.line
    assert "more such differences" in answer.line


def test_samples_that_were_not_chosen_are_named(bench, ask, monkeypatch):
    bundled = ask.model.reference("bundled")
    chosen, made = bench.calibrated(ask.model, bundled, ask.form), bench.ranges(ask.model, bundled, ask.form)
    monkeypatch.setattr(bench, "ranges", lambda *_: made)
    other = replace(chosen, ids=(*chosen.ids[:-1], "few_words/another"))
    monkeypatch.setattr(bench, "calibrated", lambda *_: other)
    answer = built(bench, ask)
    assert answer.verdict is Verdict.FAIL
    assert "calibrated on 10 samples, chosen are 10; few_words/" in answer.line


def test_inputs_that_the_model_is_not_fed_are_named(bench, ask, monkeypatch):
    monkeypatch.setattr(bench, "fed", lambda *_: ["0" * 64] * 3)
    answer = built(bench, ask)
    assert answer.verdict is Verdict.FAIL
    assert "calibrated on other inputs than the model is fed: few_words/" in answer.line


def test_an_operator_that_is_left_float_without_a_reason_is_named(bench, ask):
    how = replace(ask.form.quantisation, left_float={"HardSigmoid": "no integer form"})
    form = replace(ask.form, quantisation=how)
    forms = tuple(form if each.name == form.name else each for each in ask.model.forms)
    answer = built(bench, replace(ask, form=form, model=replace(ask.model, forms=forms)))
    assert answer.verdict is Verdict.FAIL
    assert answer.line.startswith("left float: ReduceMean 1; name it in Quantisation.left_float with the reason")
