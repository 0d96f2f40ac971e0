"""Classes of pixels on an Ascend device: the guide's rewritten graph of one batch, text files, a hundred loops.

The tools are only played, and run the narrow network of the bundled reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from fixtures.answers import answered as settled
from harness.ascend.drive.compile import order
from harness.backends import Outputs, Session
from harness.cells import Ask, Cell, Scope, cells
from harness.domains import asks
from harness.evaluate import stack
from harness.model import Model
from harness.reference import Reference
from harness.registry import load_models
from harness.verdict import Verdict
from harness.workbench import Wanted, Workbench
from tests.ascend_host import Played
from tests.saboteurs import SpoiltSession
from tests.test_ascend_scenes import place

POINT = "bs1_128x256"


@pytest.fixture(scope="module")
def ocrnet() -> Model:
    return load_models()["ocrnet"]


@pytest.fixture
def played(host: Played, ocrnet: Model) -> Played:
    """A host whose Ascend tools are only played, for OCRNet with the bundled weights."""
    return replace(host, model=ocrnet)


def device(model: Model) -> Cell:
    """The bundled reference's cell on the device."""
    return next(cell for cell in cells(model) if (cell.backend, cell.point.id) == ("ascend", POINT))


def asked(question: str, model: Model) -> Ask:
    cell = device(model)
    return Ask(question, model, cell.form, cell, "bundled", choice=True)


class SpoiltDevice(Workbench):
    """A workbench that spoils what the device gives; everything else is real."""

    def __init__(self, honest: Workbench, spoil: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__(
            honest.store, honest.assets, honest.scratch, compute=honest.compute, wanted=Wanted(samples=honest.samples)
        )
        self._spoil = spoil

    @contextmanager
    def open(self, cell: Cell, reference: Reference) -> Iterator[Session]:
        def spoilt(outputs: Outputs) -> Outputs:
            return Outputs(outputs.ids, {name: self._spoil(value) for name, value in outputs.values.items()})

        with super().open(cell, reference) as session:
            yield SpoiltSession(session, spoilt) if cell.backend == "ascend" else session


class TestAgreement:
    def test_the_device_keeps_the_pixels_that_its_precision_and_the_rewrite_keep_here(
        self, played: Played, ocrnet: Model
    ) -> None:
        answer = settled(played.bench, asked("agreement", ocrnet))
        assert answer.verdict is Verdict.PASS, answer.line
        figures = answer.figures
        assert figures["n"] == 4
        assert figures["decoded_compared"] == 4 * 128 * 256
        assert 0.97 < figures["pixels_equal"] < 1
        assert abs(figures["decoded_equal"] - figures["here_equal"]) < 0.005 * figures["decoded_compared"]
        assert "pixels stay the same, expected at least 95%" in answer.line

    def test_pixels_that_only_the_device_turns_fail(self, played: Played, ocrnet: Model) -> None:
        def turn(classes: np.ndarray) -> np.ndarray:
            classes = classes.copy()
            classes[:, ::8] = (classes[:, ::8] + 1) % 19
            return classes

        answer = settled(SpoiltDevice(played.bench, turn), asked("agreement", ocrnet))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["pixels_equal"] < 0.9


class TestAccuracy:
    def test_it_is_judged_by_what_is_claimed_of_half_precision(self, played: Played, ocrnet: Model) -> None:
        played.bench.samples = 4
        answer = settled(played.bench, asked("accuracy", ocrnet))
        assert answer.verdict is Verdict.INCONCLUSIVE, answer.line  # of a part of the streets
        assert "claim 0.752" in answer.line
        assert "in fp32 miou 0.757 is claimed" in answer.line

    def test_what_is_no_class_is_refused_by_the_name_of_its_picture(self, played: Played, ocrnet: Model) -> None:
        played.bench.samples = 4
        answer = settled(SpoiltDevice(played.bench, lambda classes: classes + 19), asked("accuracy", ocrnet))
        assert answer.verdict is Verdict.FAIL
        assert answer.line.startswith("streets/rendered/")
        assert "no class, expected whole numbers from 0 to 18" in answer.line


def test_the_guides_runner_writes_text_and_loops_a_hundred_times(played: Played, ocrnet: Model) -> None:
    played.without_ais_bench()
    cell, reference = device(ocrnet), ocrnet.reference("bundled")
    (batch,) = stack(played.bench.inputs(cell.sized, reference, 1), cell.sized, 1)
    with played.bench.open(cell, reference) as opened:
        (outputs,) = opened.map([batch])
        timed = opened.measure(batch, None)
    found = outputs.values["classes"]
    assert (found.dtype, found.shape) == (np.int64, (1, 128, 256))
    assert len(np.unique(found)) > 3
    # msame does not warm up: the first is left out, and it takes no more than a hundred.
    assert (timed.clock, len(timed.wall), timed.warm_up) == ("device", 99, 1)
    answering, timing = (dict(zip(call[::2], call[1::2], strict=True)) for call in played.called("msame"))
    assert (answering["--outfmt"], timing["--loop"]) == ("TXT", "100")


@pytest.mark.parametrize("batch", [1, 4, 8, 16])
def test_every_batch_of_the_guide_is_compiled_for_itself(ocrnet: Model, batch: int) -> None:
    cell = next(each for each in cells(ocrnet) if (each.backend, each.point.id) == ("ascend", f"bs{batch}_1024x2048"))
    assert (cell.form.name, cell.loaded.name) == ("onnx", "static")
    options = order(cell, place("8.0.0")).options
    assert options[0] == f"--input_shape=x:{batch},3,1024,2048"
    assert {"--precision_mode=force_fp16", "--input_format=NCHW"} <= set(options)


def test_every_toolkit_takes_what_is_compiled(played: Played, ocrnet: Model) -> None:
    found = [replace(ask, reference="bundled") for ask in asks("operators", {"ocrnet": ocrnet}, Scope())]
    assert [(ask.form.name, ask.toolkit) for ask in found] == [("static", name) for name in ("6.0.1", "7.0.0", "8.0.0")]
    for ask in found:
        answer = settled(played.bench, ask)
        assert answer.verdict is Verdict.PASS, answer.line
