"""DB at any size: ONNX Runtime keeps to the torch twin, in memory that grows with the pixels; no size that the network
does not take reaches a runtime, and a graph that has lost its open sizes is caught at the second one.

Large sizes take minutes and run with ``--slow``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.agree import NOISE_FACTOR, item_distances
from harness.assets import Assets
from harness.backends import Session
from harness.cells import Ask, Cell
from harness.datasets import DataError, Sample
from harness.datasets.rendered.scenes import scenes
from harness.datasets.rendered.words import encode_png
from harness.declaration import DeclarationError
from harness.evaluate import Prepared, Task, answered
from harness.evaluate import stack as stacked
from harness.memory import watched_memory
from harness.model import Model
from harness.questions.agreement import least_items
from harness.reference import Reference
from harness.registry import load_models, resolve
from harness.sizes import Point
from harness.store import Store
from harness.verdict import Verdict
from harness.workbench import Workbench
from tests.test_saboteurs import settle
from tests.test_saboteurs_scenes import with_step

LEAST_MIB, BYTES_A_PIXEL = 30, 110
"""The most that the bundled networks may hold on one thread; measured are 53 MiB at 640x640, 205 at 1152x2048, 370 at
2048x2048, 1403 at 4096x4096, at most 93 bytes a pixel: a quarter less."""
STRIDE = 32
SMALL = st.integers(1, 10).map(lambda steps: STRIDE * steps)
LARGE = st.integers(20, 128).map(lambda steps: STRIDE * steps)
BOTH = pytest.mark.parametrize("name", ["db", "db_deform"])


class DrawnBench(Workbench):
    """A workbench whose inputs are a few scenes at the size that is asked for; counts the sessions it opened."""

    opened = 0

    def inputs(self, model: Model, reference: Reference, count: int) -> list[Prepared]:
        fed = [resolve(model.feed)(content, model.inputs[0].item) for content in PICTURES]
        moves = ((at % len(fed), at // len(fed)) for at in range(count))
        return [Prepared(f"scene {of} moved {by}", np.roll(fed[of], 5 * by, axis=2)) for of, by in moves]

    @contextmanager
    def open(self, cell: Cell, reference: Reference) -> Iterator[Session]:
        self.opened += 1
        with super().open(cell, reference) as session:
            yield session


PICTURES = [encode_png(picture) for picture, _ in scenes(2, 4)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> DrawnBench:
    folder = tmp_path_factory.mktemp("sizes")
    return DrawnBench(Store(folder / "store"), Assets(), folder / "scratch")


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return load_models()


def deployed(model: Model, height: int, width: int) -> Cell:
    """What is deployed, on ONNX Runtime at a size."""
    return Cell(model, model.form(model.main), "ort", "fp32", Point(batch=1, height=height, width=width))


class Arms:
    """What is deployed on ONNX Runtime, and the torch twin in single and in double precision, open at any size."""

    def __init__(self, bench: DrawnBench, model: Model, stack: ExitStack) -> None:
        self.bench, self.model, self.reference = bench, model, model.reference("bundled")
        cell = deployed(model, 32, 32)
        twin = model.twin(cell.form)
        cells = (cell, bench.runner(cell, twin), bench.runner(cell, twin, "fp64"))
        self.sessions = [stack.enter_context(bench.open(each, self.reference)) for each in cells]

    def apart(self, height: int, width: int, count: int | None = None) -> tuple[float, float]:
        """How far ONNX Runtime is from the twin at most, and the float noise of the twin on the same inputs."""
        sized = self.model.at(Point(batch=1, height=height, width=width))
        batches = stacked(self.bench.inputs(sized, self.reference, count or least_items(sized)), sized, 1)
        actual, single, double = (
            np.concatenate([outputs.values["output"] for outputs in answered(session, batches, sized, precision)])
            for session, precision in zip(self.sessions, ("fp32", "fp32", "fp64"), strict=True)
        )
        assert actual.shape == (len(batches), 1, height, width)
        return float(item_distances(single, actual).max()), float(item_distances(single, double).max())


@pytest.fixture(scope="module")
def arms(bench: DrawnBench, models: dict[str, Model]) -> Iterator[dict[str, Arms]]:
    """Of both models."""
    with ExitStack() as stack:
        yield {name: Arms(bench, models[name], stack) for name in ("db", "db_deform")}


def held(bench: DrawnBench, cell: Cell) -> float:
    """The MiB that a session holds at most, from opening it to its first answer."""
    reference = cell.model.reference("bundled")
    batches = stacked(bench.inputs(cell.sized, reference, 1), cell.model, 1)
    bench.form(cell.model, reference, cell.form)
    with watched_memory() as peak, bench.open(cell, reference) as session:
        (found,) = answered(session, batches, cell.sized, cell.precision)
    assert found.values["output"].shape == (1, 1, cell.point.height, cell.point.width)
    if peak.mib is None:
        pytest.skip("this system does not tell what a process held")
    return peak.mib


def allowed(height: int, width: int) -> float:
    return LEAST_MIB + BYTES_A_PIXEL * height * width / 2**20


class TestSmall:
    # One picture's float noise is a matter of luck where its map is empty: of as many as agreement takes it is not.
    @BOTH
    @settings(max_examples=3)
    @given(height=SMALL, width=SMALL)
    @example(height=32, width=32)
    @example(height=320, width=32)
    def test_onnx_runtime_is_no_further_from_the_twin_than_float_noise_explains(self, name, arms, height, width):
        distance, noise = arms[name].apart(height, width)
        assert 0 < distance <= NOISE_FACTOR * noise

    @pytest.mark.parametrize("size", [(640, 640), (1152, 2048)])
    def test_it_holds_memory_by_the_pixel(self, bench, models, size):
        assert held(bench, deployed(models["db"], *size)) <= allowed(*size)

    def test_a_session_in_double_precision_holds_more(self, bench, models):
        cell = deployed(models["db"], 640, 640)
        assert held(bench, bench.runner(cell, models["db"].form("network"), "fp64")) > allowed(640, 640)


@pytest.mark.slow
class TestLarge:
    @BOTH
    @settings(max_examples=6)
    @given(height=LARGE, width=LARGE)
    @example(height=4096, width=4096)
    def test_it_holds_memory_by_the_pixel(self, name, bench, models, height, width):
        assert held(bench, deployed(models[name], height, width)) <= allowed(height, width)

    @settings(max_examples=3)
    @given(height=LARGE, width=LARGE)
    @example(height=640, width=4096)
    def test_onnx_runtime_is_no_further_from_the_twin_than_float_noise_explains(self, arms, height, width):
        distance, noise = arms["db"].apart(height, width, 1)
        assert 0 < distance <= NOISE_FACTOR * noise


class TestNoSize:
    @BOTH
    @given(height=st.integers(1, 4500), width=SMALL)
    def test_a_size_that_is_none_is_named_with_the_nearest_and_no_session_is_opened(
        self, name, bench, models, height, width
    ):
        before, model = bench.opened, models[name]
        if height % STRIDE == 0 and height <= 4096:
            assert model.at(Point(batch=1, height=height, width=width)).inputs[0].item == (3, height, width)
            return
        ask = Ask("agreement", model, model.form("scales"), deployed(model, height, width), "bundled", choice=True)
        with pytest.raises(
            DeclarationError, match=rf"height {height}: expected a multiple of 32 from 32 to 4096, such"
        ):
            resolve("harness.questions.agreement:ask")(bench, ask)
        assert bench.opened == before

    def test_a_declaration_with_such_a_point_is_none(self, models):
        points = (*models["db"].points, Point(batch=1, height=96, width=150))
        with pytest.raises(DeclarationError, match=r"width 150: .* such as 128 or 160"):
            replace(models["db"], points=points)

    @given(height=st.integers(-32, 400), width=st.integers(-32, 400))
    @example(height=96, width=150)
    @example(height=0, width=96)
    def test_the_feed_refuses_it_too_and_names_the_sample(self, models, height, width):
        model = models["db"]
        if height > 0 < width and not height % STRIDE and not width % STRIDE:
            assert resolve(model.feed)(PICTURES[0], (3, height, width)).shape == (3, height, width)
            return
        told = rf"both multiples of 32, found 3x{height}x{width}; the nearest is 3x(\d+)x(\d+)"
        with pytest.raises(ValueError, match=told):
            resolve(model.feed)(PICTURES[0], (3, height, width))
        spec = replace(model.inputs[0], axes=("batch", 3, height, width))
        task = Task.of(replace(model.at(model.points[0]), inputs=(spec,)))
        with pytest.raises(DataError, match=f"scenes/1: cannot be prepared: .*{told}"):
            task.prepare(Sample("scenes/1", PICTURES[0], "[]"))


class TestLostSizes:
    def question(self, model: Model, form: str, size: tuple[int, int]) -> Ask:
        cell = replace(deployed(model, *size), form=model.form(form))
        return Ask("agreement", model, model.form(form), cell, "bundled", choice=True)

    @pytest.mark.parametrize(
        ("form", "fault", "told"),
        [
            ("onnx", "fixed", r"on input \[1, 3, 96, 160\]: .*Got: 96 Expected: 32"),
            ("scales", "frozen", r"on input \[1, 3, 96, 160\]: .*Concat"),
        ],
    )
    def test_agreement_sees_a_graph_for_one_size_at_the_second(self, bench, models, form, fault, told):
        spoilt = with_step(models["db"], form, fault)
        at_home = settle(bench, self.question(spoilt, form, (32, 32)))
        assert at_home.figures["max_abs"] <= at_home.figures["bound"]
        away = settle(bench, self.question(spoilt, form, (96, 160)))
        assert away.verdict is Verdict.FAIL
        assert re.search(f"ONNX Runtime does not run the graph {told}", away.line, re.DOTALL)

    def test_build_sees_it_before_anything_runs(self, bench, models):
        spoilt = with_step(models["db"], "onnx", "fixed")
        for form in ("onnx", "scales"):
            built = settle(bench, Ask("build", spoilt, spoilt.form(form), None, "bundled"))
            assert built.verdict is Verdict.FAIL
            told = "inputs are input float32['batch', 3, 32, 32], declared input float32['batch', 3, 'height', 'width']"
            assert told in built.line
