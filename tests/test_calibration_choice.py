"""Which samples a quantised form is calibrated on: chosen by seed, never judged, recorded, and fed as the model is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.assets import Assets
from harness.calibration import choose_samples, samples_differ, set_of
from harness.datasets import DataError
from harness.form import quantised
from harness.model import Model
from harness.quantisation import Quantisation
from harness.quantize.calibrate import SAMPLES
from harness.reference import DataSet
from harness.registry import load_models, resolve
from harness.store import Store
from harness.workbench import Wanted, Workbench

pytestmark = pytest.mark.usefixtures("one_thread")
HOW = Quantisation(rule="minmax", samples=4, loss=0.05)
FEW = DataSet(
    name="few_turned",
    reader="harness.datasets.picture_list:PictureList",
    make="harness.datasets.rendered.pictures:render",
    params={"seed": 9, "count": 12},
    n=12,
)


@pytest.fixture(scope="module")
def model() -> Model:
    declared = load_models()["ppocr_cls"]
    form = quantised("int8_few", HOW, equal=0.5, because="four samples are few")
    bundled = replace(declared.reference("bundled"), data=FEW, calibration=None, claims=())
    references = tuple(bundled if each.name == "bundled" else each for each in declared.references)
    return replace(declared, forms=(*declared.forms, form), references=references)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibrated")


def workbench(folder: Path, *, first: bool = False) -> Workbench:
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch", wanted=Wanted(first=first))


def chosen(folder: Path, model: Model, how: Quantisation = HOW, *, first: bool = False):
    data = set_of(model, model.reference("bundled"), first=first)
    with workbench(folder).data(data, exact=False) as reader:
        return choose_samples(data, reader, how, first=first)


class TestChoice:
    def test_it_is_by_seed_and_tells_how_many_of_how_many(self, folder: Path, model: Model) -> None:
        found = chosen(folder, model)
        assert found == chosen(folder, model)
        assert found.numbers != chosen(folder, model, replace(HOW, seed=1)).numbers
        assert found.told == "4 of 12 of few_turned"

    def test_with_the_guide_it_is_the_first_samples(self, folder: Path, model: Model) -> None:
        assert chosen(folder, model, first=True).numbers == (0, 1, 2, 3)

    def test_a_set_that_is_too_small_is_refused(self, folder: Path, model: Model) -> None:
        with pytest.raises(DataError, match="asks for 13 samples, of a set of 12"):
            chosen(folder, model, replace(HOW, samples=13))

    def test_or_gives_the_declared_share_and_says_so(self, folder: Path, model: Model) -> None:
        found = chosen(folder, model, replace(HOW, samples=50, share=0.5))
        assert found.told == "6 of 12 of few_turned (50 asked for)"

    def test_a_set_of_which_nothing_is_judged_gives_all_that_are_asked_for(self, folder: Path, model: Model) -> None:
        with workbench(folder).data(FEW, exact=False) as reader:
            found = choose_samples(FEW, reader, replace(HOW, samples=10, share=0.5), judged=False)
        assert found.told == "10 of 12 of few_turned"

    def test_a_declared_second_set_comes_before_the_references_own(self, model: Model) -> None:
        second = replace(FEW, name="second")
        reference = replace(model.reference("bundled"), calibration=second)
        assert set_of(model, reference, first=False) == second
        assert set_of(model, reference, first=True) == FEW
        assert set_of(model, model.reference("seeded"), first=False) == FEW


class TestJudgedSamples:
    def test_what_was_calibrated_on_is_not_judged(self, folder: Path, model: Model) -> None:
        bundled, form = model.reference("bundled"), model.form("int8_few")
        assert workbench(folder).calibrated_on(model, bundled, form) == set(chosen(folder, model).ids)

    def test_unless_it_is_of_a_second_set_or_the_guides_way_was_asked_for(self, folder: Path, model: Model) -> None:
        bundled, form = model.reference("bundled"), model.form("int8_few")
        second = replace(bundled, calibration=replace(FEW, name="second"))
        assert not workbench(folder).calibrated_on(model, second, form)
        assert not workbench(folder, first=True).calibrated_on(model, bundled, form)


@pytest.fixture(scope="module")
def told(folder: Path, model: Model) -> str:
    made = workbench(folder).ranges(model, model.reference("bundled"), model.form("int8_few"))
    return made.file(SAMPLES).read_text()


@pytest.fixture(scope="module")
def inputs(folder: Path, model: Model) -> list[str]:
    return workbench(folder).fed(model, model.reference("bundled"), model.form("int8_few"), 3)


class TestRecordedSamples:
    def test_they_are_those_that_were_chosen(self, folder: Path, model: Model, told: str, inputs: list[str]) -> None:
        assert list(samples_differ(json.loads(told), chosen(folder, model), inputs)) == []
        assert len(set(inputs)) == 3

    def test_ranges_of_another_seed_are_named(self, folder: Path, model: Model, told: str) -> None:
        other = chosen(folder, model, replace(HOW, seed=1))
        [line] = samples_differ(json.loads(told), other, [])
        assert line.startswith("calibrated on 4 samples, chosen are 4; few_turned/")

    def test_ranges_of_another_set_are_named(self, folder: Path, model: Model, told: str) -> None:
        found = replace(chosen(folder, model), data=replace(FEW, name="others"))
        assert list(samples_differ(json.loads(told), found, [])) == ["calibrated on few_turned, declared others"]

    def test_samples_of_other_content_are_named(self, folder: Path, model: Model, told: str) -> None:
        found = chosen(folder, model)
        changed = replace(found, digests=("0" * 64, *found.digests[1:]))
        [line] = samples_differ(json.loads(told), changed, [])
        assert line == f"calibrated on another {found.ids[0]}: 1 of 4 samples have other content"

    def test_swapped_colours_are_named_though_accuracy_would_not_tell(
        self, folder: Path, model: Model, told: str
    ) -> None:
        found, bench = chosen(folder, model), workbench(folder)
        feed = resolve(model.feed)
        with bench.data(FEW, exact=False) as reader:
            contents = [sample.content for sample in reader.samples() if sample.id in found.ids]
        swapped = [hashlib.sha256(feed(each, (3, 48, 192))[::-1].tobytes()).hexdigest() for each in contents[:3]]
        [line] = samples_differ(json.loads(told), found, swapped)
        # A grey picture has the same colours when they are swapped.
        assert line.startswith(f"calibrated on other inputs than the model is fed: {found.ids[0]}, ")


class TestInputsForToolsThatCalibrateThemselves:
    def test_they_are_those_that_we_calibrate_on_one_a_file(self, folder: Path, model: Model, told: str) -> None:
        bundled, form = model.reference("bundled"), model.form("int8_few")
        made = workbench(folder).calibration_inputs(model, bundled, form)
        assert made.facts["samples"] == 4
        assert json.loads(made.file(SAMPLES).read_text()) == json.loads(told)
        for number, digest in enumerate(json.loads(told)["inputs"]):
            held = np.load(made.file(f"{number}.npy"), allow_pickle=False)
            assert held.shape == (1, 3, 48, 192)
            assert hashlib.sha256(held.tobytes()).hexdigest() == digest
