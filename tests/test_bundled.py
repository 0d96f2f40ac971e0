"""The bundled references are what their cards and declarations say."""

from __future__ import annotations

import json

import pytest

from harness.declaration import DeclarationError
from harness.model import Model
from harness.registry import PROJECT, load_models
from harness.store import file_digest

MOST_BYTES = 3_000_000
LEAST_ACCURACY = {"crnn": 0.93, "ppocr_cls": 0.98, "ppocr_rec": 0.85, "rare": 0.93}


@pytest.fixture(params=sorted(LEAST_ACCURACY))
def model(request: pytest.FixtureRequest) -> Model:
    return load_models()[request.param]


@pytest.fixture
def card(model: Model) -> dict:
    return json.loads((PROJECT / "suites" / "references" / model.name / "card.json").read_text())


def test_the_card_the_file_and_the_declaration_say_the_same(card: dict, model: Model) -> None:
    bundled = model.reference("bundled")
    path = PROJECT / bundled.weights[0].patterns[0]
    claim = next(claim for claim in bundled.claims if "fp32" in claim.precisions)
    assert card["file"]["sha256"] == file_digest(path) == bundled.weights[0].sha256
    assert card["file"]["size"] == path.stat().st_size <= MOST_BYTES
    figures = card["figures"][bundled.data.name]
    assert (figures["hits"], figures["n"]) == (claim.hits, claim.n)
    assert card["held_out"] == {"name": bundled.data.name, **bundled.data.params, "pixels": bundled.data.digest}
    assert card["recipe"] == dict(model.training.params)
    assert card["network_params"] == dict(bundled.network_params)


def test_the_bundled_reference_reads_and_its_floor_is_three_points_below(model: Model) -> None:
    claims = model.reference("bundled").claims
    assert sorted(precision for claim in claims for precision in claim.precisions) == ["fp16", "fp32"]
    for claim in claims:
        assert claim.n == 500
        assert claim.hits / claim.n >= LEAST_ACCURACY[model.name]
        assert claim.floor == pytest.approx(claim.hits / claim.n - 0.03)


def test_training_and_held_out_words_come_from_different_seeds(model: Model) -> None:
    recipe = model.training.params
    assert recipe["held_out_seed"] == model.reference("bundled").data.params["seed"] != recipe["seed"]


def test_a_form_with_the_name_of_a_backend_is_refused_with_its_file(tmp_path) -> None:
    path = tmp_path / "clash.py"
    path.write_text(
        "from dataclasses import replace\n"
        "from harness.registry import load_models\n"
        "CRNN = load_models()['crnn']\n"
        "FORMS = tuple(replace(form, name='torch' if form.name == 'network' else form.name,\n"
        "    parent='torch' if form.parent == 'network' else form.parent) for form in CRNN.forms)\n"
        "MODEL = replace(CRNN, name='clash', forms=FORMS)\n"
    )
    with pytest.raises(DeclarationError, match=r"clash\.py: 'torch' is the name of a backend"):
        load_models([tmp_path])
