"""Every check of the suite can fail: each saboteur is caught by the question that exists for it, and named."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from harness.assets import Assets
from harness.backends import ort
from harness.cells import Ask, Scope
from harness.domains import asks
from harness.measure import Clocks
from harness.model import Model
from harness.registry import resolve
from harness.store import Store
from harness.verdict import Answer, Outcome, Verdict
from harness.workbench import Workbench
from tests import saboteurs
from tests.saboteurs import SabotagedBench, SpoiltSession, every_value


def settle(bench: Workbench, ask: Ask) -> Answer:
    try:
        found: Answer = resolve(f"harness.questions.{ask.question}:ask")(bench, ask)
    except Outcome as outcome:
        found = Answer(verdict=outcome.verdict, line=str(outcome))
    return found


def bundled(question: str, model: Model, batch: int = 8) -> Ask:
    wanted = "seeded" if question in ("build", "throughput") else "bundled"
    found = asks(question, {model.name: model}, Scope())
    return next(
        replace(ask, reference="bundled")
        for ask in found
        if ask.form.name == model.main and ask.reference == wanted and (not ask.cell or ask.cell.point.batch == batch)
    )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("bench")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch")


@pytest.fixture
def sabotaged(bench: Workbench, tmp_path: Path) -> SabotagedBench:
    return SabotagedBench(bench, tmp_path / "sabotaged")


@pytest.mark.parametrize("question", ["agreement", "accuracy", "batching", "throughput"])
def test_without_a_saboteur_every_question_passes(question: str, sabotaged: SabotagedBench, crnn: Model) -> None:
    answer = settle(sabotaged, bundled(question, crnn))
    assert answer.verdict is Verdict.PASS, answer.line


@pytest.mark.parametrize(
    ("field", "saboteur"),
    [("feed", "tests.saboteurs:unnormalised"), ("decode", "tests.saboteurs:decode_shifted")],
)
def test_accuracy_fails_with_figures_and_floor_for_a_wrong_recipe(
    field: str, saboteur: str, sabotaged: SabotagedBench, crnn: Model
) -> None:
    spoilt = replace(crnn, **{field: saboteur})
    answer = settle(sabotaged, bundled("accuracy", spoilt))
    claim = next(claim for claim in crnn.reference("bundled").claims if claim.metric == "acc")
    assert answer.verdict is Verdict.FAIL
    assert answer.figures["acc"] < claim.floor
    assert f"({answer.figures['hits']}/500" in answer.line
    assert f"floor {claim.floor:.4f}" in answer.line


SPOILT = {
    "batch transposed": (every_value(saboteurs.batch_transposed), "agreement", Verdict.FAIL, "max-abs"),
    "rounded to half": (every_value(saboteurs.rounded_to_half), "agreement", Verdict.FAIL, "bound"),
    "one NaN": (every_value(saboteurs.with_a_nan), "agreement", Verdict.FAIL, "NaN or infinite"),
    "one NaN, scored": (every_value(saboteurs.with_a_nan), "accuracy", Verdict.FAIL, "NaN or infinite"),
    "last item dropped": (saboteurs.without_last_item, "accuracy", Verdict.FAIL, "has shape [26, 7, 37], expected"),
    "last item dropped in a batch": (saboteurs.without_last_item, "batching", Verdict.FAIL, "has shape [26, 7, 37]"),
    "doubles": (saboteurs.in_doubles, "agreement", Verdict.FAIL, "output1 is float64, expected float32"),
    "another batch's ids": (saboteurs.for_another_batch, "throughput", Verdict.FAIL, "answered for another batch"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_outputs_are_refused_by_their_question(name: str, sabotaged: SabotagedBench, crnn: Model) -> None:
    spoil, question, verdict, words = SPOILT[name]
    sabotaged.wrap = lambda session: SpoiltSession(session, spoil)
    answer = settle(sabotaged, bundled(question, crnn))
    assert answer.verdict is verdict
    assert words in answer.line


@pytest.mark.parametrize("make", [saboteurs.Stale, saboteurs.Late])
@pytest.mark.parametrize("question", ["batching", "throughput"])
def test_a_session_that_answers_from_memory_is_caught(
    make: Callable[[], saboteurs.Spoil], question: str, sabotaged: SabotagedBench, crnn: Model
) -> None:
    sabotaged.wrap = lambda session: SpoiltSession(session, make())
    answer = settle(sabotaged, bundled(question, crnn))
    assert answer.verdict is Verdict.FAIL
    assert ("over the bound" if question == "batching" else "does not answer what it is asked") in answer.line


def test_answers_that_drift_within_the_bound_are_caught_by_asking_again(sabotaged: SabotagedBench, crnn: Model) -> None:
    sabotaged.wrap = lambda session: SpoiltSession(session, saboteurs.Drifting())
    answer = settle(sabotaged, bundled("batching", crnn))
    assert answer.verdict is Verdict.FAIL
    assert answer.line.startswith("repeated over the bound")
    assert answer.figures["reversed"] < answer.figures["bound"]


def test_a_dropped_recurrent_bias_breaks_agreement_though_cosine_hardly_sees_it(
    sabotaged: SabotagedBench, crnn: Model
) -> None:
    sabotaged.edit = saboteurs.drop_recurrent_bias
    answer = settle(sabotaged, bundled("agreement", crnn))
    assert answer.verdict is Verdict.FAIL
    assert answer.figures["max_abs"] > answer.figures["bound"]
    assert answer.figures["cosine"] > 0.9


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (saboteurs.raise_opset, "opset is 12, declared 11"),
        (saboteurs.fix_batch, "[1, 1, 32, 100]"),
        (saboteurs.rename_output, "logits"),
    ],
)
def test_build_names_what_is_not_as_declared(
    edit: Callable[[onnx.ModelProto], None], words: str, sabotaged: SabotagedBench, crnn: Model
) -> None:
    sabotaged.edit = edit
    answer = settle(sabotaged, bundled("build", crnn))
    assert answer.verdict is Verdict.FAIL
    assert words in answer.line
    assert "declared" in answer.line


@pytest.mark.parametrize(
    ("clocks", "words"), [(saboteurs.SLEEPING, "the calls waited"), (saboteurs.STOPPED, "the timer measured nothing")]
)
def test_times_that_mean_nothing_are_broken(clocks: Clocks, words: str, sabotaged: SabotagedBench, crnn: Model) -> None:
    sabotaged.wrap = lambda session: SpoiltSession(session, lambda outputs: outputs, clocks)
    answer = settle(sabotaged, bundled("throughput", crnn, batch=1))
    assert answer.verdict is Verdict.BROKEN
    assert words in answer.line


def test_words_that_another_pillow_drew_are_not_judged(sabotaged: SabotagedBench, crnn: Model) -> None:
    bundled_reference = crnn.reference("bundled")
    other = replace(bundled_reference, data=replace(bundled_reference.data, digest="0" * 64))
    answer = settle(sabotaged, bundled("accuracy", replace(crnn, references=(crnn.reference("seeded"), other))))
    assert answer.verdict is Verdict.BROKEN
    assert f"declared is {'0' * 64}" in answer.line
    assert bundled_reference.data.digest in answer.line


def test_a_session_on_another_provider_than_the_one_asked_for_is_broken(
    sabotaged: SabotagedBench, crnn: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime falls back to the processor on its own where a provider is not there."""
    monkeypatch.setattr(ort, "PROVIDER", "CUDAExecutionProvider")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = settle(sabotaged, bundled("accuracy", crnn))
    assert answer.verdict is Verdict.BROKEN
    assert "asked ONNX Runtime for CUDAExecutionProvider, it runs on CPUExecutionProvider" in answer.line


def test_agreement_with_a_dead_network_is_vacuous_and_not_a_pass(bench: Workbench, crnn: Model, tmp_path: Path) -> None:
    """A network whose outputs do not depend on the picture agrees with anything; that must not be green."""
    dead = replace(crnn.reference("seeded"), initialise="tests.saboteurs_networks:dead")
    model = replace(crnn, references=(dead, crnn.reference("bundled")))
    ask = next(
        ask
        for ask in asks("agreement", {"crnn": model}, Scope())
        if ask.reference == "seeded" and ask.at.point.batch == 4
    )
    answer = settle(SabotagedBench(bench, tmp_path), ask)
    assert answer.verdict is Verdict.INCONCLUSIVE
    assert "vacuous" in answer.line
    assert "another sample's output" in answer.line
