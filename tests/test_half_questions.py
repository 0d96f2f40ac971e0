"""What half precision costs is asked of the form in it, and a form that loses more, or something else, fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.assets import Assets
from harness.backends import Outputs, Session
from harness.cells import Ask, Cell, Scope
from harness.domains import asks
from harness.model import Model
from harness.questions.agreement import COARSER, item_noise
from harness.reference import Reference
from harness.registry import load_models
from harness.store import Store
from harness.verdict import Verdict
from harness.workbench import Wanted, Workbench
from tests.saboteurs import SpoiltSession
from tests.test_saboteurs import settle


class SpoiltHalf(Workbench):
    """A workbench that spoils what the form in half precision gives; everything else is real."""

    spoil: Callable[[Outputs], Outputs] = staticmethod(lambda outputs: outputs)

    @contextmanager
    def open(self, cell: Cell, reference: Reference) -> Iterator[Session]:
        with super().open(cell, reference) as session:
            yield SpoiltSession(session, self.spoil) if cell.precision == "fp16" else session


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> SpoiltHalf:
    folder = tmp_path_factory.mktemp("bench")
    return SpoiltHalf(Store(folder / "store"), Assets(), folder / "scratch", wanted=Wanted(samples=8))


@pytest.fixture
def half(bench: SpoiltHalf) -> Iterator[SpoiltHalf]:
    yield bench
    bench.spoil = SpoiltHalf.spoil


@pytest.fixture(scope="module")
def lines() -> Model:
    return load_models()["ppocr_rec"]


def asked(question: str, model: Model) -> Ask:
    """The question on the form in half precision of what the bundled reference deploys."""
    found = asks(question, {model.name: model}, Scope())
    return next(ask for ask in found if (ask.reference, ask.at.backend, ask.at.precision) == ("bundled", "ort", "fp16"))


def one_step_late(outputs: Outputs) -> Outputs:
    """Every column of a line one step to the right: read as text it is the same."""
    return Outputs(outputs.ids, {name: np.roll(value, 1, axis=1) for name, value in outputs.values.items()})


def with_infinity(outputs: Outputs) -> Outputs:
    """What overflows at the last operator."""
    return Outputs(outputs.ids, {name: np.full_like(value, np.inf) for name, value in outputs.values.items()})


class TestAgreement:
    def test_its_median_is_within_what_float_noise_lets_half_precision_cost(
        self, half: SpoiltHalf, lines: Model
    ) -> None:
        ask = asked("agreement", lines)
        answer = settle(half, ask)
        assert answer.verdict is Verdict.PASS, answer.line
        reference = lines.reference("bundled")
        noise = item_noise(half, ask.at, reference, half.inputs(lines, reference, 32))
        bound = COARSER["fp16"] * np.median(noise)
        assert f"median {answer.figures['median_abs']:.3g} (bound {bound:.3g})" in answer.line
        assert 1e-5 < answer.figures["median_abs"] < bound < 0.1

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [(one_step_late, "32 of 32 answers stay the same"), (with_infinity, "NaN or infinite")],
    )
    def test_what_rounding_does_not_explain_fails(
        self, spoil: Callable[[Outputs], Outputs], words: str, half: SpoiltHalf, lines: Model
    ) -> None:
        half.spoil = spoil
        answer = settle(half, asked("agreement", lines))
        assert answer.verdict is Verdict.FAIL
        assert words in answer.line

    def test_a_loss_of_another_kind_has_no_such_bound(self, half: SpoiltHalf, lines: Model) -> None:
        """A lossy form in the same precision changes more than float noise tells."""
        forms = tuple(replace(form, precision="fp32") if form.name == "exported_half" else form for form in lines.forms)
        ask = asked("agreement", lines)
        single = replace(lines, forms=forms, recipes={})
        cell = replace(ask.at, model=single, form=single.form("exported_half"), precision="fp32")
        answer = settle(half, replace(ask, model=single, form=cell.form, cell=cell))
        assert "(bound" not in answer.line


class TestAccuracy:
    def test_infinite_outputs_are_refused(self, half: SpoiltHalf, lines: Model, tmp_path: Path) -> None:
        half.spoil = with_infinity
        answer = settle(half, asked("accuracy", lines))
        assert answer.verdict is Verdict.FAIL
        assert "NaN or infinite" in answer.line

    def test_the_claims_of_half_precision_are_judged(self, half: SpoiltHalf, lines: Model) -> None:
        assert "claim 0.932 (466/500)" in settle(half, asked("accuracy", lines)).line
