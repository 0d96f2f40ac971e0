"""The declaration of OCRNet says what its card, its guide and its files say."""

from __future__ import annotations

import json

import pytest

from harness.cells import Scope
from harness.domains import asks
from harness.model import Model
from harness.registry import PROJECT, load_models
from harness.store import file_digest
from suites.models import ocrnet as declaration


@pytest.fixture(scope="module")
def ocrnet() -> Model:
    return load_models()["ocrnet"]


class TestBundled:
    @pytest.fixture
    def card(self) -> dict:
        return json.loads((PROJECT / "suites/references/ocrnet/card.json").read_text())

    def test_the_card_the_file_and_the_declaration_say_the_same(self, card, ocrnet):
        bundled = ocrnet.reference("bundled")
        path = PROJECT / bundled.weights[0].patterns[0]
        assert card["file"]["sha256"] == file_digest(path) == bundled.weights[0].sha256
        assert card["file"]["size"] == path.stat().st_size <= 5_000_000
        assert card["held_out"] == {"name": "streets", **bundled.data.params, "pixels": bundled.data.digest}
        assert card["recipe"] == dict(ocrnet.training.params)
        assert card["network_params"] == dict(bundled.network_params)
        assert card["minutes"] <= 40

    def test_claims_are_the_cards_figures_truncated(self, card, ocrnet):
        figures = card["figures"]["streets"]
        claims = [claim for claim in ocrnet.reference("bundled").claims if claim.precisions == ("fp32",)]
        assert {claim.metric for claim in claims} == {"miou", "accuracy"}
        for claim in claims:
            assert 0 <= figures[claim.metric] - claim.value < 0.001

    def test_it_is_no_worse_than_was_asked_for(self, card):
        assert card["figures"]["streets"]["miou_present"] >= 0.72
        assert card["figures"]["streets"]["n"] == 50

    def test_training_and_held_out_streets_come_from_different_seeds(self, ocrnet):
        recipe = ocrnet.training.params
        assert recipe["held_out_seed"] == ocrnet.reference("bundled").data.params["seed"] != recipe["seed"]


class TestGuide:
    def test_fourteen_of_thirty_five_resize_are_rewritten(self, ocrnet):
        params = ocrnet.form("nearest").params
        places = [int(place) for place in params["places"].split(",")]
        scales = [int(scale) for scale in params["scales"].split(",")]
        assert (len(places), len(set(places)), len(scales)) == (14, 14, 35)
        # What is enlarged for the answer stays linear, and so does what is joined before it.
        assert max(places) == 32
        assert scales[-4:] == [2, 4, 8, 4]
        assert sorted(set(scales)) == [2, 4, 8]

    def test_the_guides_batches_are_asked_at_its_size_of_devices_and_smaller_here(self, ocrnet):
        asked = asks("throughput", {"ocrnet": ocrnet}, Scope())
        points = {
            backend: {ask.at.point.id for ask in asked if ask.at.backend == backend and ask.form.name == "onnx"}
            for backend in ("ort", "ascend")
        }
        assert {f"bs{batch}_1024x2048" for batch in (1, 4, 8, 16)} <= points["ascend"]
        assert {f"bs{batch}_256x512" for batch in (1, 4, 8, 16)} | {"bs1_1024x2048"} <= points["ort"]

    def test_the_guides_settings_are_in_the_recipe(self, ocrnet):
        recipe = ocrnet.recipes["ascend"]
        assert (recipe.outputs, recipe.loop, recipe.precision) == ("txt", 100, "fp16")

    def test_official_weights_are_judged_at_the_size_of_the_pictures(self, ocrnet):
        for name in ("official", "exported"):
            reference = ocrnet.reference(name)
            assert (reference.point, reference.data.n, dict(reference.data.options)) == (
                "bs1_1024x2048",
                500,
                {"split": "val"},
            )

    def test_both_ways_to_a_graph_go_through_the_same_steps(self, ocrnet):
        for form in declaration.deployable("onnx"):
            other = ocrnet.form(f"converted_{form.name}")
            assert (other.step, other.promise, other.equal, other.params) == (
                form.step,
                form.promise,
                form.equal,
                form.params,
            )
