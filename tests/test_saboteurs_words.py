"""The recognisers' saboteurs: each is caught by the check that exists for it, and named.

Accuracy sees what turns words: channels, aspect, rectification, decoders, recurrent weights. What moves probabilities
by a few thousandths is seen by goldens alone: a pixel, a column, the colour of the padding.
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
from harness.verdict import Verdict
from harness.workbench import Workbench
from tests import saboteurs, saboteurs_words
from tests.saboteurs import SabotagedBench
from tests.test_saboteurs import settle

BATCH = {"rare": 8, "ppocr_rec": 8}


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return load_models()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("words")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch")


def question(name: str, model: Model) -> Ask:
    """The question on the form that the bundled reference deploys, on ONNX Runtime."""
    form = model.deployed(model.reference("bundled"))
    return next(
        ask
        for ask in asks(name, {model.name: model}, Scope(all_batches=True))
        if (ask.form, ask.reference, ask.at.backend, ask.at.point.batch) == (form, "bundled", "ort", BATCH[model.name])
    )


@pytest.mark.parametrize("name", ["rare", "ppocr_rec"])
def test_the_bundled_checkpoint_meets_its_figure_and_its_goldens(name: str, bench: Workbench, models) -> None:
    answer = settle(bench, question("accuracy", models[name]))
    assert answer.verdict is Verdict.PASS, answer.line
    assert answer.figures["golden_max_abs"] < models[name].reference("bundled").golden.max_abs / 5


@pytest.mark.parametrize(
    ("name", "field", "fault"),
    [
        ("rare", "feed", "swapped"),
        ("rare", "feed", "stretched"),
        ("rare", "network", "Unrectified"),
        ("rare", "decode", "stopping_at_the_end"),
        ("rare", "decode", "off_by_one"),
        ("ppocr_rec", "feed", "swapped"),
        ("ppocr_rec", "feed", "stretched"),
        ("ppocr_rec", "decode", "off_by_one_in_english"),
        ("ppocr_rec", "decode", "not_collapsed"),
    ],
)
def test_accuracy_sees_what_turns_words(name: str, field: str, fault: str, bench: Workbench, models) -> None:
    spoilt = replace(models[name], **{field: f"tests.saboteurs_words:{fault}"})
    # Without goldens: they would see these too, and hide whether the figure does.
    answer = settle(bench, question("accuracy", without_goldens(spoilt)))
    (claim,) = spoilt.reference("bundled").claims
    assert answer.verdict is Verdict.FAIL, answer.line
    assert answer.figures["acc"] < claim.floor
    assert f"({answer.figures['hits']}/500" in answer.line


@pytest.mark.parametrize(
    ("name", "field", "fault"),
    [
        ("rare", "feed", "padded_first"),
        ("rare", "feed", "rounded_down"),
        ("rare", "network", "ShiftedFiducials"),
        ("rare", "network", "CornersOff"),
        ("ppocr_rec", "feed", "padded_first"),
        ("ppocr_rec", "feed", "rounded_down"),
    ],
)
def test_goldens_see_what_moves_probabilities(name: str, field: str, fault: str, bench: Workbench, models) -> None:
    spoilt = replace(models[name], **{field: f"tests.saboteurs_words:{fault}"})
    answer = settle(bench, question("accuracy", spoilt))
    assert answer.verdict is Verdict.FAIL, answer.line
    assert answer.figures["golden_max_abs"] > 3 * answer.figures["golden_bound"]
    assert "; worst at " in answer.line


@pytest.mark.parametrize(
    ("edit", "asked"),
    [
        (saboteurs.drop_recurrent_bias, "agreement"),  # 483 words are right without it: accuracy cannot tell
        (saboteurs_words.swap_gates, "agreement"),
        (saboteurs_words.swap_gates, "accuracy"),
    ],
)
def test_recurrent_faults_are_seen(edit, asked, bench, models, tmp_path: Path) -> None:
    sabotaged = SabotagedBench(bench, tmp_path / "sabotaged")
    sabotaged.edit = edit
    answer = settle(sabotaged, question(asked, without_goldens(models["rare"])))
    assert answer.verdict is Verdict.FAIL, answer.line
    if asked == "agreement":
        assert answer.figures["max_abs"] > 10 * answer.figures["bound"]
        assert "worst at " in answer.line


def without_goldens(model: Model) -> Model:
    """The model, its bundled reference judged by its figure alone."""
    references = tuple(replace(each, golden=None) if each.name == "bundled" else each for each in model.references)
    return replace(model, references=references)


@pytest.mark.parametrize(("fault", "verdict"), [(None, Verdict.PASS), ("off_by_one_in_english", Verdict.FAIL)])
def test_the_vendors_prepared_words_are_read(fault, verdict, bench, models, shared: Path) -> None:
    model = models["ppocr_rec"]
    reference = model.reference("dequantised_samples")
    spoilt = replace(model, decode=f"tests.saboteurs_words:{fault}") if fault else model
    with_assets = Workbench(bench.store, Assets((shared / "assets",)), bench.scratch)
    found = Scope(found=frozenset({(model.name, reference.name)}))
    ask = next(
        ask
        for ask in asks("accuracy", {model.name: spoilt}, found)
        if (ask.reference, ask.at.backend) == (reference.name, "ort")
    )
    answer = settle(with_assets, ask)
    assert answer.verdict is verdict, answer.line
    assert f"({answer.figures['hits']}/10, " in answer.line
