"""The street network's saboteurs: each is caught by the check that exists for it, and named.

The mean IoU sees colours, normalisation and classes. It does not see corners that are aligned in one Resize of the
backbone, nor one that takes the nearest pixel: agreement does. What ignored pixels cost that are counted, the accuracy
of pixels shows best, which has a claim of its own beside it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.assets import Assets
from harness.backends import Batch
from harness.cells import Ask, Scope
from harness.domains import asks
from harness.model import Model
from harness.registry import load_models
from harness.store import Store
from harness.verdict import Answer, Verdict
from harness.workbench import Wanted, Workbench
from tests.saboteurs import SabotagedBench
from tests.test_saboteurs import settle

POINT = "bs1_128x256"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("streets")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch")


@pytest.fixture(scope="module")
def few(bench: Workbench) -> Workbench:
    """The same that reads as many streets as tell what is far off."""
    return Workbench(bench.store, bench.assets, bench.scratch, wanted=Wanted(samples=24))


@pytest.fixture(scope="module")
def ocrnet() -> Model:
    return load_models()["ocrnet"]


def with_step(model: Model, form: str, name: str) -> Model:
    """The model, one of its forms made by another step."""
    forms = (
        replace(each, step=f"tests.saboteurs_streets:{name}") if each.name == form else each for each in model.forms
    )
    return replace(model, forms=tuple(forms))


def question(name: str, model: Model, form: str = "onnx") -> Ask:
    """The question on a form under the bundled reference, on ONNX Runtime."""
    return next(
        ask
        for ask in asks(name, {model.name: model}, Scope())
        if (ask.form.name, ask.reference, ask.at.backend, ask.at.point.id) == (form, "bundled", "ort", POINT)
    )


def accuracy(bench: Workbench, model: Model) -> Answer:
    return settle(bench, question("accuracy", model))


class TestAccuracy:
    def test_the_bundled_reference_meets_its_figures(self, bench, ocrnet):
        answer = accuracy(bench, ocrnet)
        assert answer.verdict is Verdict.PASS, answer.line
        assert answer.figures["miou_present"] >= 0.72
        # Every class occurs, so none counts as absent.
        assert answer.figures["miou"] == answer.figures["miou_present"]

    @pytest.mark.parametrize("fault", ["swapped", "imagenet", "unnormalised", "turned"])
    def test_the_mean_iou_sees_a_wrong_picture(self, fault, few, ocrnet):
        answer = accuracy(few, replace(ocrnet, feed=f"tests.saboteurs_streets:{fault}"))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["miou"] < 0.6
        assert "miou 0." in answer.line
        assert "floor" in answer.line

    def test_classes_counted_from_one_are_seen(self, few, ocrnet):
        answer = accuracy(few, replace(ocrnet, decode="tests.saboteurs_streets:shifted_by_one"))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["miou"] < 0.1

    def test_a_picture_on_its_side_is_refused_by_the_shape_of_the_answer(self, bench, ocrnet):
        answer = accuracy(bench, replace(ocrnet, feed="tests.saboteurs_streets:on_its_side"))
        assert answer.verdict is Verdict.FAIL
        assert "logits has shape [1, 19, 256, 128], expected [1, 19, 128, 256]" in answer.line

    def test_the_largest_over_another_axis_is_refused_by_shape(self, bench, ocrnet):
        answer = accuracy(bench, replace(ocrnet, decode="tests.saboteurs_streets:argmax_of_rows"))
        assert answer.verdict is Verdict.FAIL
        assert "[19, 256] pixels, its label [128, 256]" in answer.line

    def test_ignored_pixels_that_are_counted_show_in_the_accuracy_of_pixels(self, bench, ocrnet):
        answer = accuracy(bench, replace(ocrnet, metric="tests.saboteurs_streets:IGNORED_COUNTED"))
        assert answer.verdict is Verdict.FAIL
        honest = accuracy(bench, ocrnet)
        assert answer.figures["counted"] > honest.figures["counted"]
        assert answer.figures["accuracy"] < honest.figures["accuracy"] - 0.02

    def test_a_last_picture_that_is_dropped_silently_is_named(self, few, ocrnet, tmp_path):
        class Short:
            """Leaves the last batch out."""

            def __init__(self, session):
                self._session = session

            def map(self, batches):
                def shortened():
                    before: Batch | None = None
                    for batch in batches:
                        if before is not None:
                            yield before
                        before = batch

                return self._session.map(shortened())

        sabotaged = SabotagedBench(few, tmp_path)
        sabotaged.samples = 4
        sabotaged.wrap = Short
        answer = settle(sabotaged, question("accuracy", ocrnet))
        assert answer.verdict is Verdict.FAIL
        assert "left 1 batches unanswered, the first is that of streets/" in answer.line


class TestAgreement:
    def test_each_form_keeps_its_promise(self, bench, ocrnet):
        for form in ("onnx", "classes", "nearest", "static"):
            answer = settle(bench, question("agreement", ocrnet, form))
            assert answer.verdict is Verdict.PASS, f"{form}: {answer.line}"

    @pytest.mark.parametrize("fault", ["corners_aligned_first", "corners_aligned_last", "one_nearest"])
    def test_another_way_to_enlarge_is_over_the_bound_of_float_noise(self, fault, bench, ocrnet):
        sabotaged = with_step(ocrnet, "onnx", fault)
        answer = settle(bench, question("agreement", sabotaged))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["max_abs"] > 10 * answer.figures["bound"]

    @pytest.mark.parametrize("fault", ["corners_aligned_first", "one_nearest"])
    def test_the_mean_iou_alone_would_not_have_seen_it(self, fault, bench, ocrnet):
        answer = accuracy(bench, with_step(ocrnet, "onnx", fault))
        assert answer.verdict is Verdict.PASS

    def test_more_nearest_than_declared_lose_more_pixels_than_declared(self, bench, ocrnet):
        answer = settle(bench, question("agreement", with_step(ocrnet, "nearest", "all_nearest"), "nearest"))
        assert answer.verdict is Verdict.FAIL
        assert "pixels stay the same, expected at least" in answer.line
