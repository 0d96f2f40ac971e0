"""The detectors' saboteurs: each is caught by the check that exists for it, and named.

What hmean does not see on the rendered scenes (a shift by one pixel, another unclip ratio, exchanged thresholds) the
golden boxes do. An evaluator that takes an overlap of exactly a half for a match is caught by a crafted pair in
``test_detection_metric``, which no rendered scene holds.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.assets import Assets
from harness.cells import Ask, Scope
from harness.domains import asks
from harness.model import Model
from harness.registry import load_models
from harness.store import Store
from harness.verdict import Answer, Verdict
from harness.workbench import Wanted, Workbench
from tests.test_saboteurs import settle

SCENES = 24
"""So many tell, and are read in a second."""
SMALL = "bs1_96x160"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("scenes")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch", wanted=Wanted(samples=SCENES))


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return load_models()


def changed(model: Model, **changes: object) -> Model:
    """The model, its bundled reference changed."""
    found = (replace(each, **changes) if each.name == "bundled" else each for each in model.references)
    return replace(model, references=tuple(found))


def with_step(model: Model, form: str, name: str) -> Model:
    """The model, one of its forms made by another step."""
    forms = (
        replace(each, step=f"tests.saboteurs_scenes:{name}") if each.name == form else each for each in model.forms
    )
    return replace(model, forms=tuple(forms))


def question(name: str, model: Model, form: str, point: str) -> Ask:
    """The question on a form under the bundled reference, on ONNX Runtime."""
    return next(
        ask
        for ask in asks(name, {model.name: model}, Scope())
        if (ask.form.name, ask.reference, ask.at.backend, ask.at.point.id) == (form, "bundled", "ort", point)
    )


def accuracy(bench: Workbench, model: Model) -> Answer:
    reference = model.reference("bundled")
    return settle(bench, question("accuracy", model, model.deployed(reference).name, str(reference.point)))


class TestAccuracy:
    @pytest.mark.parametrize("name", ["db", "db_deform", "ppocr_det"])
    def test_a_bundled_reference_meets_its_figure_and_its_golden_boxes(self, name, bench, models):
        answer = accuracy(bench, models[name])
        assert answer.verdict is Verdict.INCONCLUSIVE, answer.line  # of a part of the scenes
        assert answer.figures["hmean"] > 0.98
        assert answer.figures["golden_same"] >= 0.98 * answer.figures["golden_either"]

    @pytest.mark.parametrize("fault", ["swapped", "mean_missing", "mean_reversed"])
    def test_hmean_sees_wrong_colours(self, fault, bench, models):
        answer = accuracy(bench, replace(models["db"], feed=f"tests.saboteurs_scenes:{fault}"))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["hmean"] < 0.95
        assert "lies below the floor" in answer.line
        assert "golden boxes: " in answer.line

    @pytest.mark.parametrize("fault", ["NoUnclip.found.decode", "sides_exchanged"])
    def test_hmean_sees_boxes_of_another_size(self, fault, bench, models):
        answer = accuracy(bench, changed(models["db"], decode=f"tests.saboteurs_scenes:{fault}"))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["hmean"] < 0.2

    @pytest.mark.parametrize("fault", ["Exchanged.found.decode", "WideUnclip.found.decode", "off_by_one"])
    def test_golden_boxes_see_what_hmean_does_not(self, fault, bench, models):
        answer = accuracy(bench, changed(models["db"], decode=f"tests.saboteurs_scenes:{fault}"))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["hmean"] > 0.98
        assert answer.figures["golden_same"] < 0.9 * answer.figures["golden_either"]
        assert "worst at scenes/" in answer.line

    def test_golden_boxes_see_a_picture_shifted_by_one_pixel(self, bench, models):
        answer = accuracy(bench, replace(models["db"], feed="tests.saboteurs_scenes:shifted"))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["hmean"] > 0.98
        assert answer.figures["golden_same"] < 0.1 * answer.figures["golden_either"]

    def test_boxes_that_are_not_rounded_are_no_answer(self, bench, models):
        with pytest.raises(ValueError, match=r"entry 0.*expected"):
            accuracy(bench, changed(models["db"], decode="tests.saboteurs_scenes:unrounded"))

    def test_hmean_sees_what_nobody_cares_about_counted(self, bench, models):
        whole = Workbench(bench.store, bench.assets, bench.scratch)
        answer = accuracy(whole, replace(models["db"], metric="tests.saboteurs_scenes:CARE_FOR_ALL"))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["hmean"] < 0.96


class TestGraphs:
    def test_offsets_of_one_layer_exchanged_break_agreement(self, bench, models):
        spoilt = with_step(models["db_deform"], "onnx", "swapped_offsets")
        answer = settle(bench, question("agreement", spoilt, "onnx", SMALL))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["max_abs"] > 10 * answer.figures["bound"]

    def test_one_resize_that_interpolates_is_not_exact(self, bench, models):
        spoilt = with_step(models["db"], "scales", "bilinear")
        answer = settle(bench, question("agreement", spoilt, "scales", SMALL))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["bound"] == 0 < answer.figures["max_abs"]

    def test_without_a_fault_the_same_edges_hold(self, bench: Workbench, models: dict[str, Model], tmp_path: Path):
        for name, form in (("db", "scales"), ("db_deform", "onnx")):
            answer = settle(bench, question("agreement", models[name], form, SMALL))
            assert answer.verdict is Verdict.PASS, answer.line
