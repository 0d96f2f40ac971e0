"""atc is given what its version takes of the guide's options, always a precision, and shapes as it reads them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ascend.options import SET_HERE, options_for
from harness.declaration import DeclarationError
from harness.recipe import Recipe
from harness.registry import load_models
from harness.verdict import Absent

GUIDE = Recipe(
    precision="fp16",
    toolkits=("5.0.4.6",),
    options={"auto_tune_mode": "GA,RL", "input_format": "NCHW", "log": "info"},
)
SHAPES, RANGES = "x:8,3,32,100", "x:1~64,3,32,100;size:1~64,2"
CHIP = "Ascend310P3"


@pytest.mark.parametrize("toolkit", ["3.2.0", "5.0.4.6", "6.0.RC1"])
def test_the_tuning_of_a_guide_is_asked_for_where_the_toolkit_has_it(toolkit):
    found = options_for(GUIDE, SHAPES, toolkit, CHIP)
    assert found.kept["auto_tune_mode"] == "GA,RL"
    assert found.dropped == {}


@pytest.mark.parametrize("toolkit", ["6.0.1", "6.3.RC1", "7.0.0", "7.0.stand-in", "8.0.RC2", "9.0.0"])
def test_the_tuning_of_a_guide_is_dropped_and_told_from_the_first_toolkit_without_it(toolkit):
    found = options_for(GUIDE, SHAPES, toolkit, CHIP)
    assert "auto_tune_mode" not in found.kept
    assert found.dropped == {
        "auto_tune_mode": f"GA,RL is not asked for: CANN {toolkit} has no Auto Tune, which ended with 6.0.1"
    }


def test_a_recipe_without_tuning_drops_nothing():
    recipe = replace(GUIDE, options={"log": "error"})
    assert options_for(recipe, SHAPES, "8.0.0", CHIP).dropped == {}


@pytest.mark.parametrize(("precision", "mode"), [("fp16", "force_fp16"), ("fp32", "force_fp32")])
@pytest.mark.parametrize("toolkit", ["5.0.4.6", "8.0.0"])
def test_the_precision_is_always_said(toolkit, precision, mode):
    found = options_for(replace(GUIDE, precision=precision), SHAPES, toolkit, CHIP)
    assert found.kept["precision_mode"] == mode
    assert "precision_mode_v2" not in found.kept
    assert found.precision == precision


def test_chip_shapes_and_the_rest_of_the_guide_are_kept_as_they_are():
    kept = options_for(GUIDE, SHAPES, "8.0.0", CHIP).kept
    assert kept == {
        "input_shape": SHAPES,
        "soc_version": CHIP,
        "precision_mode": "force_fp16",
        "input_format": "NCHW",
        "log": "info",
    }


@pytest.mark.parametrize("toolkit", ["6.3.RC1", "7.0.0", "8.0.RC2"])
def test_ranges_are_shapes_where_the_toolkit_reads_them_so(toolkit):
    kept = options_for(GUIDE, RANGES, toolkit, CHIP).kept
    assert kept["input_shape"] == RANGES
    assert "input_shape_range" not in kept


@pytest.mark.parametrize("toolkit", ["5.0.4.6", "6.0.RC1", "6.0.1"])
def test_ranges_are_an_option_of_their_own_before(toolkit):
    kept = options_for(GUIDE, RANGES, toolkit, CHIP).kept
    assert kept["input_shape_range"] == "x:[1~64,3,32,100];size:[1~64,2]"
    assert "input_shape" not in kept


@pytest.mark.parametrize("chip", ["Ascend310", "Ascend310B1", "Ascend310B4"])
@pytest.mark.parametrize("toolkit", ["6.0.RC1", "8.0.0"])
def test_a_chip_that_takes_no_ranges_is_told(toolkit, chip):
    with pytest.raises(Absent, match=f"{chip} takes no ranges of shapes .*Ascend310P3"):
        options_for(GUIDE, RANGES, toolkit, chip)
    assert options_for(GUIDE, SHAPES, toolkit, chip).kept["input_shape"] == SHAPES


@pytest.mark.parametrize("chip", ["Ascend310P3", "Ascend310P1", "Ascend910B3"])
def test_other_chips_take_them(chip):
    assert options_for(GUIDE, RANGES, "8.0.0", chip).kept["input_shape"] == RANGES


@pytest.mark.parametrize("name", sorted(SET_HERE))
def test_what_the_suite_says_itself_is_refused_in_a_recipe(name):
    with pytest.raises(DeclarationError, match=rf"Recipe\.options: {name}; the suite says"):
        options_for(replace(GUIDE, options={name: "x"}), SHAPES, "8.0.0", CHIP)


names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20).filter(lambda name: name not in SET_HERE)
versions = st.sampled_from(["3.2.0", "5.0.4.6", "6.0.RC1", "6.0.1", "6.3.RC1", "7.0.0", "8.0.0", "9.1.0"])


@given(st.dictionaries(names, st.sampled_from(["1", "NCHW", 2, True]), max_size=4), versions, st.booleans())
def test_every_option_is_kept_or_dropped_with_a_reason(options, toolkit, ranges):
    found = options_for(replace(GUIDE, options=options), RANGES if ranges else SHAPES, toolkit, CHIP)
    assert set(options) == {*found.kept, *found.dropped} - {"input_shape", "input_shape_range", *SET_HERE}
    assert not found.kept.keys() & found.dropped.keys()
    assert all(isinstance(value, str) for value in found.kept.values())
    assert all(found.dropped.values())
    assert len({"input_shape", "input_shape_range"} & found.kept.keys()) == 1


class TestRecipes:
    """The guides' options as they are printed: golden facts."""

    @pytest.fixture
    def recipe(self):
        return lambda name: load_models()[name].recipes["ascend"]

    def test_every_model_computes_in_half_precision_and_says_what_that_costs(self, recipe):
        for name in ("rare", "crnn", "ppocr_cls", "ppocr_rec"):
            assert recipe(name).precision == "fp16"
            assert (recipe(name).loop, recipe(name).dynamic) == (50, False)

    def test_guide_000(self, recipe):
        found = recipe("rare")
        assert found.options == {"input_format": "NCHW", "log": "error"}
        assert found.environment == {}
        assert found.toolkits[0] == "6.0.RC1"
        assert found.compiles == {"onnx": "vendor", "converted_restored": "converted_vendor"}

    def test_guide_001(self, recipe):
        found = recipe("crnn")
        assert found.options == {"auto_tune_mode": "GA,RL", "input_format": "NCHW", "log": "info"}
        assert found.environment == {"DUMP_GE_GRAPH": "2", "SLOG_PRINT_TO_STDOUT": "1", "REPEAT_TUNE": "true"}
        assert found.compiles == {}

    @pytest.mark.parametrize("name", ["ppocr_cls", "ppocr_rec"])
    def test_guide_004_has_no_step_for_this_device(self, recipe, name):
        assert recipe(name).options == {"input_format": "NCHW", "log": "error"}
        assert (recipe(name).environment, recipe(name).compiles) == ({}, {})

    def test_the_options_of_every_recipe_can_be_given_to_each_of_its_toolkits(self, recipe):
        for name in ("rare", "crnn", "ppocr_cls", "ppocr_rec"):
            for toolkit in recipe(name).toolkits:
                assert options_for(recipe(name), SHAPES, toolkit, CHIP).kept["soc_version"] == CHIP

    def test_a_compiled_form_is_opaque_at_opset_11_and_beside_the_form_that_is_deployed(self):
        model = load_models()["rare"]
        for deployed, compiled in model.recipes["ascend"].compiles.items():
            form = model.form(compiled)
            assert (form.promise, form.opset, form.operators["GridSample"]) == ("opaque", 11, 1)
            for reference in model.references:
                if model.deployed(reference).name == deployed:
                    assert model.makes(reference, form)
