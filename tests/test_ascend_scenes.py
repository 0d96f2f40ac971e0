"""Detectors of scene text on an Ascend device: one artefact for a range of sizes, and what is claimed of its outputs.

The tools are only played, and run the narrow network of the bundled reference.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.answers import answered as settled
from harness.ascend.drive.compile import order
from harness.ascend.drive.host import Host, Place
from harness.ascend.drive.runner import Job
from harness.ascend.npu_smi import read_info
from harness.backends import Outputs, Room, Session
from harness.backends.ascend import BACKEND
from harness.cells import Ask, Cell, Scope, cells
from harness.domains import QUESTIONS, asks
from harness.evaluate import stack
from harness.model import Model
from harness.questions.agreement import alike
from harness.reference import Reference
from harness.registry import load_models
from harness.sizes import Point
from harness.store import Store
from harness.verdict import Absent, Answer, Verdict
from harness.workbench import Workbench
from tests.ascend_host import Played
from tests.saboteurs import SpoiltSession
from tests.standin_host import TOOLKIT
from tests.test_ascend_npu_smi import INFO

RANGE = "input:1,3,640~4096,640~4096"
RANGE_BEFORE = "input:[1,3,640~4096,640~4096]"
INSIDE = ["bs1_736x1280", "bs1_640x640", "bs1_1152x2048", "bs1_4096x4096"]
CHIP = "Ascend310P3"


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return dict(load_models())


@pytest.fixture(scope="module")
def db(models: dict[str, Model]) -> Model:
    return models["db"]


@pytest.fixture(scope="module")
def ppocr_det(models: dict[str, Model]) -> Model:
    return models["ppocr_det"]


def on_the_device(model: Model) -> dict[str, Cell]:
    """The cells on the device of what the bundled reference deploys, by their points."""
    form = model.deployed(model.reference("bundled"))
    return {cell.point.id: cell for cell in cells(model) if (cell.backend, cell.form) == ("ascend", form)}


def asked(question: str, cell: Cell) -> Ask:
    return Ask(question, cell.model, cell.form, cell, "bundled", choice=True)


def place(toolkit: str, chip: str = CHIP) -> Place:
    """A device of that chip on a host with that toolkit, where nothing is run."""
    device = read_info(INFO).devices[0]
    host = Host(
        devices=(device,),
        chips=(chip,),
        atc="atc",
        npu_smi="npu-smi",
        runner=("msame",),
        features=None,
        versions={"toolkit": toolkit},
        environment={},
        stand_in=True,
    )
    return Place(host=host, number=0, device=device, chip=chip)


class TestCells:
    def test_only_points_within_the_range_are_asked_of_the_device(self, db: Model) -> None:
        assert list(on_the_device(db)) == INSIDE
        assert {cell.point.id for cell in cells(db) if cell.backend == "ort"} >= {"bs1_96x160", "bs1_256x384"}

    @pytest.mark.parametrize("found", [frozenset(), frozenset({("db", "official")})])
    @pytest.mark.parametrize("all_batches", [False, True])
    def test_accuracy_is_asked_of_the_device_with_the_official_weights_alone(
        self, db: Model, found: frozenset[tuple[str, str]], all_batches: bool
    ) -> None:
        """The bundled network was trained for pictures smaller than the range, and is judged at their size."""
        scope = Scope(all_batches=all_batches, found=found)
        subjects = [ask.id for ask in asks("accuracy", {"db": db}, scope) if ask.at.backend == "ascend"]
        assert subjects == (["db-ascend-fp16-bs1_736x1280-official"] if found else [])

    def test_deformable_convolutions_are_not_asked_of_the_device(self, models: dict[str, Model]) -> None:
        """No known toolkit takes its operator."""
        deform = {"db_deform": models["db_deform"]}
        scope = Scope(all_batches=True, found=frozenset({("db_deform", "official")}))
        found = [ask for question in QUESTIONS for ask in asks(question, deform, scope)]
        assert found
        assert not [ask.id for ask in found if ask.question == "operators" or "npu" in ask.markers]

    @given(height=st.integers(32, 4200), width=st.integers(32, 4200))
    def test_a_point_is_taken_where_both_its_sizes_are(self, db: Model, height: int, width: int) -> None:
        recipe = db.recipes["ascend"]
        inside = min(height, width) >= 640 and max(height, width) <= 4096
        assert recipe.takes(Point(batch=1, height=height, width=width)) is inside


class TestOrder:
    @pytest.mark.parametrize("toolkit", ["6.0.RC1", "6.0.1"])
    def test_a_toolkit_of_guide_003_is_given_its_very_range(self, db: Model, toolkit: str) -> None:
        wanted = order(on_the_device(db)["bs1_640x640"], place(toolkit))
        assert wanted.options == (
            f"--input_shape_range={RANGE_BEFORE}",
            "--soc_version=Ascend310P3",
            "--precision_mode=force_fp16",
            "--input_format=ND",
            "--log=error",
        )
        assert (wanted.dropped, wanted.precision) == ((), "fp16")

    @pytest.mark.parametrize("toolkit", ["6.3.RC1", "7.0.0", "8.0.0"])
    def test_newer_ones_read_it_as_a_shape(self, db: Model, toolkit: str) -> None:
        options = order(on_the_device(db)["bs1_640x640"], place(toolkit)).options
        assert options[0] == f"--input_shape={RANGE}"
        assert {"--input_format=ND", "--log=error"} <= set(options)
        assert not [option for option in options if "range" in option]

    @pytest.mark.parametrize("toolkit", ["6.0.1", "8.0.0"])
    def test_it_is_the_same_at_every_point(self, db: Model, toolkit: str) -> None:
        found = {order(cell, place(toolkit)).options for cell in on_the_device(db).values()}
        assert len(found) == 1

    @pytest.mark.parametrize("toolkit", ["6.0.1", "8.0.0"])
    @pytest.mark.parametrize("chip", ["Ascend310", "Ascend310B4"])
    def test_a_chip_without_ranges_takes_one_detector_and_not_the_other(
        self, db: Model, ppocr_det: Model, toolkit: str, chip: str
    ) -> None:
        with pytest.raises(Absent, match=rf"{chip} takes no ranges of shapes \({RANGE}\); use a chip that does"):
            order(on_the_device(db)["bs1_640x640"], place(toolkit, chip))
        assert f"--soc_version={chip}" in order(on_the_device(ppocr_det)["bs1_512x896"], place(toolkit, chip)).options

    @pytest.mark.parametrize(
        ("point", "shape"),
        [("bs1_512x896", "1,3,512,896"), ("bs1_736x1312", "1,3,736,1312"), ("bs8_256x384", "8,3,256,384")],
    )
    def test_the_detector_of_guide_004_is_compiled_for_each_point(
        self, ppocr_det: Model, point: str, shape: str
    ) -> None:
        cell = on_the_device(ppocr_det)[point]
        for toolkit in ppocr_det.recipes["ascend"].toolkits:
            options = order(cell, place(toolkit)).options
            assert options[0] == f"--input_shape=x:{shape}"
            assert {"--input_format=NCHW", "--log=error"} <= set(options)


@pytest.mark.parametrize(
    ("point", "shape", "size"),
    [
        ("bs1_640x640", "1,3,640,640", 1_638_400),
        # The guide sets aside 1655609 bytes, which is less than one map of this size.
        ("bs1_736x1280", "1,3,736,1280", 3_768_320),
        ("bs1_4096x4096", "1,3,4096,4096", 67_108_864),
    ],
)
def test_a_runner_is_told_the_shape_and_the_bytes_of_the_point(
    db: Model, ppocr_det: Model, point: str, shape: str, size: int
) -> None:
    cell = on_the_device(db)[point]
    job = Job(
        om=Path("model.om"),
        compiled={},
        cell=cell,
        recipe=db.recipes["ascend"],
        place=place("8.0.0"),
        log=Path("log"),
    )
    assert job.shapes == ["--dymShape", f"input:{shape}", "--outputSize", str(size)]
    still = on_the_device(ppocr_det)["bs1_512x896"]
    assert replace(job, cell=still, recipe=ppocr_det.recipes["ascend"]).shapes == []


@pytest.fixture
def played(host: Played, db: Model) -> Played:
    """A host whose Ascend tools are only played, for DB with the bundled weights."""
    return replace(host, model=db)


class TestCompile:
    def test_all_points_share_one_artefact(self, played: Played, db: Model, tmp_path: Path) -> None:
        home = shutil.copytree(TOOLKIT, tmp_path / "toolkit")
        for file in (home / "version.cfg", *home.glob("*/*.info")):
            file.write_text(file.read_text().replace("7.0.stand-in", "6.0.1.stand-in"))
        played.set_variable("ASCEND_TOOLKIT_HOME", str(home))
        room = Room(Store(tmp_path / "fresh"), played.bench.scratch, played.bench.compute)
        form = played.bench.form(db, db.reference("bundled"), db.form("scales"))
        first, *others = (BACKEND.prepare(form, on_the_device(db)[point], room) for point in INSIDE)
        assert {other.key for other in others} == {first.key}
        assert first.name.endswith("-ascend-fp16-range")
        (call,) = played.called("atc")
        assert {f"--input_shape_range={RANGE_BEFORE}", "--input_format=ND", "--log=error"} <= set(call)
        assert first.facts["toolkit"] == "6.0.1.stand-in"

    def test_a_chip_without_ranges_is_a_skip_that_says_so(self, played: Played, db: Model) -> None:
        played.misbehave("chip:310")
        answer = settled(played.bench, asked("throughput", on_the_device(db)["bs1_640x640"]))
        assert answer.verdict is Verdict.SKIPPED
        assert f"Ascend310 takes no ranges of shapes ({RANGE})" in answer.line
        assert played.called("atc") == []


class SpoiltDevice(Workbench):
    """A workbench that spoils what the device gives; everything else is real."""

    def __init__(self, honest: Workbench, spoil: Callable[[Outputs], Outputs]) -> None:
        super().__init__(honest.store, honest.assets, honest.scratch, compute=honest.compute)
        self._spoil = spoil

    @contextmanager
    def open(self, cell: Cell, reference: Reference) -> Iterator[Session]:
        with super().open(cell, reference) as session:
            yield SpoiltSession(session, self._spoil) if cell.backend == "ascend" else session


def with_the_claim(model: Model) -> Model:
    """The model with what is claimed of the official network's likeness claimed of the bundled one."""
    likeness = [claim for claim in model.reference("official").claims if claim.is_likeness]
    references = [
        replace(each, claims=(*each.claims, *likeness)) if each.name == "bundled" else each for each in model.references
    ]
    return replace(model, references=tuple(references))


class TestAgreement:
    def test_the_device_keeps_the_boxes_and_is_as_alike_as_is_claimed(self, played: Played, db: Model) -> None:
        answer = settled(played.bench, asked("agreement", on_the_device(with_the_claim(db))["bs1_640x640"]))
        assert answer.verdict is Verdict.PASS, answer.line
        figures = answer.figures
        assert 0.99999 < figures["mean_cosine"] < 1
        assert 0.99 < figures["mask_iou"] <= 1
        assert (figures["n"], figures["decoded_equal"], figures["likeness_judged"]) == (4, 4, True)
        assert answer.line.endswith("mean cosine 1.000000, claim 0.99, floor 0.9900")

    def test_maps_of_other_pictures_fail_and_miss_the_claim(self, played: Played, db: Model) -> None:
        played.misbehave("ais_bench.shifted")
        answer = settled(played.bench, asked("agreement", on_the_device(with_the_claim(db))["bs1_640x640"]))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["mean_cosine"] < 0.5
        assert answer.line.endswith("claim 0.99, floor 0.9900")

    def test_one_lost_map_of_four_keeps_the_promise_and_misses_the_claim(self, played: Played, db: Model) -> None:
        cell = on_the_device(db)["bs1_640x640"]
        (first,) = played.bench.inputs(cell.sized, db.reference("bundled"), 1)

        def lose(outputs: Outputs) -> Outputs:
            kept = np.float32(outputs.ids != (first.id,))
            return Outputs(outputs.ids, {name: value * kept for name, value in outputs.values.items()})

        promised = settled(SpoiltDevice(played.bench, lose), asked("agreement", cell))
        assert promised.verdict is Verdict.PASS, promised.line
        assert (promised.figures["decoded_equal"], promised.figures["mask_iou"]) == (3, 0)
        assert alike(promised, cell, db.reference("bundled")) == promised
        claimed = alike(promised, cell, with_the_claim(db).reference("bundled"))
        assert claimed.verdict is Verdict.FAIL
        assert claimed.line.endswith("mean cosine 0.750000, claim 0.99, floor 0.9900")


def test_both_runners_answer_and_time_a_range_at_a_point(played: Played, db: Model) -> None:
    cell, reference = on_the_device(db)["bs1_640x640"], db.reference("bundled")
    (batch,) = stack(played.bench.inputs(cell.sized, reference, 1), db, 1)
    found: dict[str, np.ndarray] = {}
    for tool in ("ais_bench", "msame"):
        with played.bench.open(cell, reference) as opened:
            (outputs,) = opened.map([batch])
            timed = opened.measure(batch, None)
        found[tool] = outputs.values["output"]
        assert (timed.clock, len(timed.wall), timed.warm_up) == ("device", 50, 1)
        answering, timing = (dict(zip(call[::2], call[1::2], strict=True)) for call in played.called(tool))
        for told in (answering, timing):
            assert (told["--dymShape"], told["--outputSize"]) == ("input:1,3,640,640", "1638400")
        # msame makes no inputs of its own for a range.
        assert ("--input" in timing) is (tool == "msame")
        played.without_ais_bench()
    assert found["msame"].shape == (1, 1, 640, 640)
    np.testing.assert_array_equal(found["msame"], found["ais_bench"])


class TestDesk:
    @pytest.mark.parametrize(("name", "first"), [("db", ["6.0.RC1"]), ("ppocr_det", [])])
    def test_every_toolkit_takes_what_is_compiled(
        self, host: Played, models: dict[str, Model], name: str, first: list[str]
    ) -> None:
        """That of the guide too, which names 6.0.RC1 for DB."""
        found = [replace(ask, reference="bundled") for ask in asks("operators", {name: models[name]}, Scope())]
        assert [ask.toolkit for ask in found] == [*first, "6.0.1", "7.0.0", "8.0.0"]
        answers: Sequence[Answer] = [settled(host.bench, ask) for ask in found]
        assert [answer.verdict for answer in answers] == [Verdict.PASS] * len(found), answers
        assert {answer.figures["opset"] for answer in answers} == {11}
