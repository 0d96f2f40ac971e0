"""Declarations are found by path and code by name; what is wrong with either is told with its file or its name."""

from __future__ import annotations

import dataclasses
import re

import pytest

from harness.declaration import DeclarationError
from harness.model import Model
from harness.probe import machine
from harness.registry import MODELS, backends, choose_model, load_models, resolve

DECLARATION = """
from harness.form import Form
from harness.model import Model
from harness.sizes import BATCH, Point, TensorSpec
from harness.reference import Reference

TENSOR = TensorSpec(name="x", axes=(BATCH, 2), dtype="float32")
MODEL = Model(
    name="toy", title="Toy", guide="000", family="recognition", network="toy:Network", inputs=(TENSOR,),
    outputs=(TENSOR,), points=(Point(batch=1),), accuracy_batch=1, main="onnx",
    forms=(Form(name="onnx", parent=None, step="toy:export", format="onnx"),),
    references=(Reference(name="seeded", initialise="toy:draw"),),
    feed="toy:feed", decode="toy:decode", metric="toy:Metric", compare="toy:compare",
)
"""
CLAIM = "from harness.claim import Claim\nMODEL = Claim(metric='acc', source='s', {})\n"


def named(declared: object) -> set[str]:
    """Every ``package.module:name`` that a declaration holds, however deep."""
    if isinstance(declared, str):
        return {declared} if re.fullmatch(r"[a-z_]\w*(\.\w+)+:\w+(\.\w+)?", declared) else set()
    if dataclasses.is_dataclass(declared):
        return named([getattr(declared, field.name) for field in dataclasses.fields(declared)])
    if isinstance(declared, dict):
        return named(list(declared.values()))
    return set().union(*map(named, declared)) if isinstance(declared, list | tuple) else set()


@pytest.fixture
def folder(tmp_path):
    """A folder of declarations."""
    made = tmp_path / "declarations"
    made.mkdir()
    return made


class TestLoading:
    def test_a_folder_given_beside_the_projects_own_adds_its_models(self, folder):
        (folder / "toy.py").write_text(DECLARATION)
        found = load_models([folder])
        assert set(found) - set(load_models()) == {"toy"}
        assert found["toy"].form("onnx").step == "toy:export"

    def test_every_declaration_of_the_project_is_a_model_named_as_its_file(self):
        found = load_models()
        assert "crnn" in found
        assert sorted(found) == sorted(path.stem for path in MODELS.glob("*.py"))
        assert all(isinstance(model, Model) for model in found.values())

    def test_a_model_declared_twice_is_refused_with_the_second_file(self, folder):
        for name in ("first", "second"):
            (folder / f"{name}.py").write_text(DECLARATION)
        with pytest.raises(DeclarationError, match=r"second\.py: a model 'toy' is declared already"):
            load_models([folder])

    def test_a_folder_that_is_not_there_is_named_with_its_option(self, folder):
        with pytest.raises(DeclarationError, match=r"declarations/absent: no such folder .*--models=DIR"):
            load_models([folder / "absent"])

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (DECLARATION.replace("main=", "mian="), r"Model\.mian: no such field.*did you mean 'main'"),
            (DECLARATION.replace('format="onnx"', 'format="onxn"'), r"Form\.format: 'onxn' is not allowed"),
            (DECLARATION.replace("MODEL =", "MODLE ="), "MODEL"),
            (DECLARATION + "MODEL = TENSOR\n", "MODEL is a TensorSpec"),
            (DECLARATION + ")\n", "unmatched"),
            ("from harness.modle import Model\n", "harness.modle"),
            (DECLARATION.replace("Point(batch=1)", "Pont(batch=1)"), "Pont"),
            (DECLARATION.replace("points=(", "points=({}['small'], "), "small"),
            (CLAIM.format("printed='79.23 %', hits=2377, n=3000"), "79.23 %"),
            (CLAIM.format("printed='0.0', hits=0, n=0"), r"0\.0"),
            ("raise ValueError('no such thing')\n", "no such thing"),
        ],
        ids=[
            "unknown field",
            "value not allowed",
            "no MODEL",
            "MODEL of another type",
            "syntax",
            "import",
            "unknown name",
            "unknown key",
            "figure that is no number",
            "claim on no samples",
            "error of its own",
        ],
    )
    def test_whatever_is_wrong_with_a_declaration_is_told_with_its_file(self, folder, text, told):
        path = folder / "broken_one.py"
        path.write_text(text)
        with pytest.raises(DeclarationError, match=f"(?s)^{re.escape(str(path))}: .*{told}"):
            load_models([folder])

    @pytest.mark.parametrize("name", ["ort", "torch", "fp32", "bs1", "recognition", "perf", "slow", "npu", "desk"])
    @pytest.mark.parametrize("said", [["name='toy'"], ["name='onnx'", "main='onnx'"]], ids=["model", "form"])
    def test_a_model_or_form_with_the_name_of_a_marker_is_refused_with_its_file(self, folder, name, said):
        text = DECLARATION.replace('"', "'")
        for field in said:
            text = text.replace(field, f"{field[:4]}='{name}'")
        (folder / "toy.py").write_text(text)
        with pytest.raises(DeclarationError, match=rf"toy\.py: '{name}' is the name of a"):
            load_models([folder])

    def test_listing_what_can_be_asked_imports_no_heavy_library(self, python):
        script = (
            "import sys\n"
            "from harness.cells import Scope\n"
            "from harness.domains import QUESTIONS, asks\n"
            "from harness.registry import load_models\n"
            "assert all(asks(question, load_models(), Scope()) for question in QUESTIONS)\n"
            "print(*sorted({'torch', 'onnx', 'onnxruntime', 'cv2', 'scipy', 'lmdb', 'PIL'} & set(sys.modules)))\n"
        )
        out, err = python(script).communicate(timeout=60)
        assert (out.strip(), err) == ("", "")


class TestResolving:
    @pytest.mark.parametrize(
        "name", sorted({name for model in load_models().values() for name in named(model)}), ids=lambda name: name
    )
    def test_every_name_of_code_in_every_declaration_is_there(self, name):
        found = resolve(name)
        assert callable(found) or hasattr(found, "build") or hasattr(found, "count")

    def test_the_names_of_a_declaration_are_all_found(self, crnn):
        found = named(crnn)
        assert {crnn.network, crnn.feed, crnn.decode, crnn.metric, crnn.compare, crnn.training.function} <= found
        assert {form.step for form in crnn.forms} <= found
        assert {"harness.networks.seeded:condition", "harness.datasets.rendered.lmdb:render"} <= found

    @pytest.mark.parametrize(
        "name",
        [
            "harness.networks.crn:Crnn",
            "harness.networks.crnn:Crn",
            "harness.networks.crnn",
            "harness.networks.crnn:",
            "no_such_package:name",
            ":name",
            "",
        ],
    )
    def test_a_name_that_leads_nowhere_is_repeated_in_the_error(self, name):
        with pytest.raises(DeclarationError, match=f"^{re.escape(repr(name))} cannot be resolved: ."):
            resolve(name)

    def test_a_model_that_is_not_there_is_refused_with_the_nearest_name(self):
        with pytest.raises(DeclarationError, match=r"model: 'crn' .*did you mean 'crnn'"):
            choose_model(load_models(), "crn")


class TestBackends:
    def test_each_backend_goes_by_the_name_of_its_module(self):
        found = backends()
        assert {"torch", "ort"} <= set(found)
        assert all(type(backend).__module__ == f"harness.backends.{name}" for name, backend in found.items())

    @pytest.mark.parametrize("name", ["torch", "ort"])
    def test_a_backend_without_its_package_says_what_it_looked_for_and_how_to_get_it(self, name):
        absent = backends()[name].discover(dataclasses.replace(machine(), package=lambda _: None))
        assert not absent.present
        assert "no Python package" in absent.reason
        assert "pip install" in absent.remedy

    @pytest.mark.parametrize(("name", "package"), [("torch", "torch"), ("ort", "onnxruntime")])
    def test_a_backend_with_its_package_is_present_and_records_its_version(self, name, package):
        seen = backends()[name].discover(machine())
        assert seen.present
        assert seen.provenance[package] == machine().package(package)
