"""A quantised form is declared in two lines, and what is wrong with one is said where it is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.cells import Scope
from harness.declaration import DeclarationError
from harness.domains import asks
from harness.form import QUANTISABLE, Form, quantisable, quantisation_of, quantised
from harness.model import Model
from harness.quantisation import LayerBounds, Quantisation
from harness.registry import load_models

BARE = Scope()


@pytest.fixture(scope="module")
def models() -> Mapping[str, Model]:
    return load_models()


def subjects(model: Model, question: str, scope: Scope = BARE) -> list[str]:
    return [f"{ask.subject} {ask.reference}" for ask in asks(question, {model.name: model}, scope)]


class TestDeclaration:
    def test_two_lines_make_a_model_quantised(self, models: Mapping[str, Model]) -> None:
        before = models["crnn"]
        how = Quantisation(rule="minmax", samples=10, loss=0.02)
        made = (quantisable("onnx"), quantised("int8_minmax", how, equal=0.5, because="8 bits turn near ties"))
        model = replace(before, forms=(*before.forms, *made))
        form = model.form("int8_minmax")
        assert (form.precision, form.promise, form.parent) == ("int8", "lossy", QUANTISABLE)
        assert model.against(form) == model.form(QUANTISABLE)
        assert "crnn.int8_minmax-ort-int8-bs8 bundled" in subjects(model, "accuracy")

    def test_sixteen_bits_are_of_the_activations(self) -> None:
        how = Quantisation(rule="minmax", samples=300, bits=16, loss=0.01)
        assert quantised("int16_minmax", how, equal=0.9, because="weights have 8").precision == "int16"

    @pytest.mark.parametrize(
        ("wrong", "named"),
        [
            ({"samples": 0}, "samples=0"),
            ({"share": 0.0}, "share=0"),
            ({"share": 1.5}, "share=1.5"),
            ({"percentile": 101.0}, "percentile=101"),
            ({"loss": 0.0}, "Quantisation.loss"),
            ({"bits": 16}, "'kl' with bits=16"),
            ({"left_float": {"Resize": ""}}, "Resize has no reason"),
        ],
    )
    def test_what_is_wrong_is_named(self, wrong: Mapping[str, Any], named: str) -> None:
        with pytest.raises(DeclarationError, match=named):
            Quantisation(**{"rule": "kl", "samples": 50, "loss": 0.05, **wrong})

    @pytest.mark.parametrize("wrong", [{"cosine": 1.0}, {"gain": (1.1, 1.2)}, {"gain": (0.8, 0.9)}])
    def test_bounds_that_nothing_meets_are_refused(self, wrong: Mapping[str, Any]) -> None:
        with pytest.raises(DeclarationError, match="LayerBounds"):
            LayerBounds(**wrong)

    def test_another_form_has_no_quantisation(self) -> None:
        with pytest.raises(DeclarationError, match="onnx: is not a quantised form"):
            quantisation_of(Form(name="onnx", parent=None, step="a:b", format="onnx"))


class TestQuestions:
    @pytest.mark.parametrize(("question", "of"), [("layers", ["bundled"]), ("simulation", ["seeded", "bundled"])])
    def test_what_is_inside_is_asked_of_quantised_forms_alone(
        self, models: Mapping[str, Model], question: str, of: list[str]
    ) -> None:
        assert [each for each in subjects(models["ppocr_cls"], question) if "-knight-" not in each] == [
            f"ppocr_cls.{form}-ort-int8-bs1 {reference}" for form in ("int8_minmax", "int8_mse") for reference in of
        ]
        assert not subjects(models["crnn"], question)

    def test_each_reference_is_asked_where_it_is_judged(self, models: Mapping[str, Model]) -> None:
        found = subjects(models["ppocr_det"], "layers", Scope(found=frozenset({("ppocr_det", "official")})))
        assert "ppocr_det.int8_kl-ort-int8-bs1_512x896 official" in found
        assert "ppocr_det.int8_kl-ort-int8-bs1_256x384 bundled" in found
        assert len(found) == 4

    def test_accuracy_is_asked_at_one_batch(self, models: Mapping[str, Model]) -> None:
        points = [each for each in subjects(models["ppocr_rec"], "accuracy") if ".int8_mse-" in each]
        assert points
        assert all("-bs1 " in each for each in points)

    def test_layers_are_asked_in_the_place_of_agreement(self, models: Mapping[str, Model]) -> None:
        for model in models.values():
            quantised = {form.name for form in model.forms if form.quantisation}
            assert quantised.isdisjoint(ask.form.name for ask in asks("agreement", {model.name: model}, BARE))

    def test_times_are_measured_of_quantised_forms_and_not_of_imitated_ones(self, models: Mapping[str, Model]) -> None:
        found = subjects(models["ppocr_det"], "throughput")
        assert any(".int8_kl-" in each for each in found)
        assert any(f".{QUANTISABLE}-" in each for each in found)
        assert not any("half" in each for each in found)

    def test_a_backend_without_times_is_asked_to_simulate_instead(self, models: Mapping[str, Model]) -> None:
        for name in ("ppocr_cls", "ppocr_det", "ppocr_rec"):
            assert any("-knight-" in each for each in subjects(models[name], "simulation"))
            assert not any("-knight-" in each for each in subjects(models[name], "throughput"))

    def test_placement_is_asked_of_all_that_onnx_runtime_runs_once(self, models: Mapping[str, Model]) -> None:
        for model in models.values():
            found = [ask.form.name for ask in asks("placement", {model.name: model}, BARE)]
            assert found
            assert len(found) == len(set(found))
            assert all(ask.at.backend == "ort" for ask in asks("placement", {model.name: model}, BARE))

    def test_tensors_are_left_float_in_forms_of_8_bits_alone(self, models: Mapping[str, Model]) -> None:
        assert subjects(models["ppocr_rec"], "keep_float") == ["ppocr_rec.int8_mse-ort-int8-bs1 bundled"]
