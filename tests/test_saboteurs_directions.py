"""The direction classifier's saboteurs: each is caught by the check that exists for it, and named."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.assets import Assets
from harness.cells import Ask, Scope
from harness.domains import asks
from harness.model import Model
from harness.reference import Reference
from harness.registry import load_models
from harness.store import Store
from harness.verdict import Verdict
from harness.workbench import Workbench
from tests.test_saboteurs import settle

HERE = Scope(found=frozenset({("ppocr_cls", "official")}))
SAME_HITS = ("swapped", "unnormalised", "negated")
"""Faults with which the vendor's 30 samples have as many hits as without: only the goldens see them."""


@pytest.fixture(scope="module")
def direction() -> Model:
    return load_models()["ppocr_cls"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("directions")


@pytest.fixture
def bench(folder: Path, shared: Path) -> Workbench:
    return Workbench(Store(folder / "store"), Assets((shared / "assets",)), folder / "scratch")


@pytest.fixture
def bare_bench(folder: Path) -> Workbench:
    """Without other people's files."""
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch")


def question(name: str, model: Model, reference: str, batch: int = 1) -> Ask:
    """The question on the form that the reference deploys, on ONNX Runtime."""
    form = model.deployed(model.reference(reference))
    return next(
        ask
        for ask in asks(name, {model.name: model}, HERE)
        if (ask.form, ask.reference, ask.at.backend, ask.at.point.batch) == (form, reference, "ort", batch)
    )


def with_official(model: Model, **changes: object) -> Model:
    """The model, its official reference changed."""
    return replace(model, references=tuple(_changed(each, changes) for each in model.references))


def _changed(reference: Reference, changes: dict[str, object]) -> Reference:
    return replace(reference, **changes) if reference.name == "official" else reference


class TestVendorSamples:
    def test_the_published_figure_and_the_goldens_are_met(self, bench: Workbench, direction: Model) -> None:
        answer = settle(bench, question("accuracy", direction, "official"))
        assert answer.verdict is Verdict.PASS, answer.line
        assert (answer.figures["hits"], answer.figures["n"]) == (21, 30)
        assert answer.figures["acc"] == pytest.approx(0.69999977, abs=1e-8)
        assert answer.figures["golden_max_abs"] < 1e-5

    @pytest.mark.parametrize("fault", SAME_HITS)
    def test_goldens_see_what_the_hits_do_not(self, fault: str, bench: Workbench, direction: Model) -> None:
        data = direction.reference("official").data
        fed = replace(data, feed=f"tests.saboteurs_directions:stored_{fault}")
        answer = settle(bench, question("accuracy", with_official(direction, data=fed), "official"))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["golden_max_abs"] > 0.01
        assert "worst at cls_b1/" in answer.line

    @pytest.mark.parametrize("batch", [1, 32])
    def test_twin_and_converted_graph_agree_on_samples_and_pictures(
        self, batch: int, bench: Workbench, direction: Model
    ) -> None:
        answer = settle(bench, question("agreement", direction, "official", batch))
        assert answer.verdict is Verdict.PASS, answer.line
        assert answer.figures["max_abs"] < 1e-5

    def test_one_epsilon_of_the_twin_breaks_agreement(self, bench: Workbench, direction: Model) -> None:
        spoilt = replace(direction, network="tests.saboteurs_directions:OtherEpsilon")
        answer = settle(bench, question("agreement", spoilt, "official", 8))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["max_abs"] > 10 * answer.figures["bound"]


class TestRenderedPictures:
    def test_the_bundled_checkpoint_meets_its_figure(self, bare_bench: Workbench, direction: Model) -> None:
        answer = settle(bare_bench, question("accuracy", direction, "bundled"))
        assert answer.verdict is Verdict.PASS, answer.line
        assert answer.figures["hits"] >= 490

    @pytest.mark.parametrize("fault", ["swapped", "unnormalised", "negated", "padded_with_black"])
    def test_accuracy_sees_wrong_preprocessing(self, fault: str, bare_bench: Workbench, direction: Model) -> None:
        spoilt = replace(direction, feed=f"tests.saboteurs_directions:{fault}")
        answer = settle(bare_bench, question("accuracy", spoilt, "bundled"))
        assert answer.verdict is Verdict.FAIL
        assert f"({answer.figures['hits']}/500" in answer.line

    def test_accuracy_sees_turned_labels(self, bare_bench: Workbench, direction: Model) -> None:
        spoilt = replace(direction, decode="tests.saboteurs_directions:turned")
        answer = settle(bare_bench, question("accuracy", spoilt, "bundled"))
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["hits"] < 25


class TestDamagedFiles:
    @pytest.fixture
    def copy(self, tmp_path: Path, shared: Path) -> Path:
        """An assets folder of one's own, to damage."""
        name = "ch_ppocr_mobile_v2.0_cls_infer"
        shutil.copytree(shared / "assets" / "weights" / "ppocrv3" / name, tmp_path / name)
        return tmp_path

    def built(self, copy: Path, model: Model, form: str) -> tuple[Verdict, str]:
        bench = Workbench(Store(copy / "store"), Assets((copy,)), copy / "scratch")
        ask = next(ask for ask in asks("build", {model.name: model}, HERE) if ask.form.name == form)
        answer = settle(bench, ask)
        return answer.verdict, answer.line

    @pytest.mark.parametrize("name", ["inference.pdmodel", "inference.pdiparams"])
    def test_a_file_with_another_sha256_is_broken_and_named(self, name: str, copy: Path, direction: Model) -> None:
        path = next(copy.rglob(name))
        path.chmod(0o644)
        content = bytearray(path.read_bytes())
        content[1000] ^= 1
        path.write_bytes(content)
        verdict, line = self.built(copy, direction, "program")
        assert verdict is Verdict.BROKEN
        assert name in line
        assert "sha256" in line

    @pytest.mark.parametrize(
        ("name", "damage", "words"),
        [
            ("inference.pdiparams", lambda content: content[:-1000], "truncated"),
            ("inference.pdmodel", lambda content: b"no program at all", "not a Paddle"),
            ("inference.pdiparams", lambda content: content + content[:500], "another model"),
        ],
    )
    def test_what_no_digest_guards_is_refused_by_its_reader(
        self, name: str, damage, words: str, copy: Path, direction: Model
    ) -> None:
        path = next(copy.rglob(name))
        path.chmod(0o644)
        path.write_bytes(damage(path.read_bytes()))
        official = direction.reference("official")
        trusting = tuple(replace(asset, sha256=None, size=None) for asset in official.weights)
        model = with_official(direction, weights=trusting, golden=None)
        verdict, line = self.built(copy, model, "onnx")
        assert verdict is Verdict.FAIL
        assert words in line
