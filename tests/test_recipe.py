"""What a declaration says of a device that compiles: impossible recipes are refused, and its cells follow from it."""

from __future__ import annotations

import pytest

from harness.cells import Cell, cells
from harness.declaration import DeclarationError
from harness.form import Form
from harness.recipe import Recipe
from harness.registry import load_models
from tests.conftest import TOY_FORMS

HALF = Form(
    name="half",
    parent="onnx",
    step="toy:half",
    format="onnx",
    precision="fp16",
    promise="lossy",
    equal=0.9,
    because="it rounds",
)
VENDOR = Form(name="vendor", parent="onnx", step="toy:vendor", format="onnx", promise="opaque")


def on_ascend(toy, **said):
    recipe = Recipe(**{"precision": "fp16", "toolkits": ("7.0.0",), **said})
    return toy(forms=(*TOY_FORMS, HALF, VENDOR), recipes={"ascend": recipe})


def of_device(model) -> list[Cell]:
    return [cell for cell in cells(model) if cell.backend == "ascend"]


class TestRecipe:
    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ({"loop": 0}, r"Recipe\.loop: 0, expected 1 to 100"),
            ({"loop": 101}, r"Recipe\.loop: 101, expected 1 to 100"),
            ({"toolkits": ()}, r"Recipe\.toolkits: empty"),
            ({"toolkits": "7.0.0"}, r"Recipe\.toolkits: expected a tuple"),
            ({"precision": "fp61"}, r"Recipe\.precision: 'fp61' is not allowed.*did you mean 'fp16'"),
            ({"compiles": {"onxx": "vendor"}}, r"recipes\[ascend\]\.compiles: 'onxx' is not allowed.*'onnx'"),
            ({"compiles": {"onnx": "vendro"}}, r"compiles\[onnx\]: 'vendro' is not allowed.*'vendor'"),
        ],
    )
    def test_what_it_cannot_say_is_refused_with_what_it_can(self, toy, said, expected):
        with pytest.raises(DeclarationError, match=expected):
            on_ascend(toy, **said)

    def test_a_precision_needs_a_form_that_says_what_it_costs(self, toy):
        with pytest.raises(
            DeclarationError, match=r"precision: 'fp16', but no form is 'onnx' in it; declare one, lossy"
        ):
            toy(recipes={"ascend": Recipe(precision="fp16", toolkits=("7.0.0",))})


class TestCells:
    def test_a_backend_that_compiles_has_what_is_deployed_in_the_recipes_precision(self, toy):
        assert [cell.id for cell in of_device(on_ascend(toy))] == ["toy-ascend-fp16-bs1", "toy-ascend-fp16-bs8"]

    def test_without_a_recipe_it_has_none(self, toy):
        assert of_device(toy()) == []

    def test_it_is_given_the_vendors_spelling_where_the_recipe_says_so(self, toy):
        assert {cell.loaded.name for cell in of_device(on_ascend(toy))} == {"onnx"}
        found = of_device(on_ascend(toy, compiles={"onnx": "vendor"}))
        assert {(cell.form.name, cell.loaded.name) for cell in found} == {("onnx", "vendor")}

    @pytest.mark.parametrize(
        ("model", "compiled"),
        [
            ("crnn", {"onnx": "onnx"}),
            ("ppocr_cls", {"onnx": "onnx", "exported": "exported"}),
            ("rare", {"onnx": "vendor", "converted_restored": "converted_vendor"}),
        ],
    )
    def test_every_guide_compiles_what_it_deploys(self, model, compiled):
        found = of_device(load_models()[model])
        assert {cell.form.name: cell.loaded.name for cell in found} == compiled
