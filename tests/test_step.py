"""The key of a step changes with what its product depends on, and with nothing else."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from harness.registry import resolve
from harness.sizes import BATCH, TensorSpec
from harness.step import StepInput, source_digest, step

PACKAGE = {
    "__init__": "",
    "first": "from harness.step import step\nfrom tiny.second import two\n",
    "second": "import json\nfrom tiny.third import THREE\n",
    "third": "THREE = 3\n",
    "other": "OTHER = 4\n",
}
DIGEST = "import sys\nfrom harness.step import source_digest\nprint(source_digest(sys.argv[1]))\n"


def tensor(dtype: str = "float32", axes: tuple[int | str, ...] = (BATCH, 2)) -> TensorSpec:
    return TensorSpec(name="x", axes=axes, dtype=dtype)


@step(revision=3, tools=("numpy",))
def make(given, out):
    """A step that writes one of its parameters."""
    (out / "made.txt").write_text(str(given.params["opset"]))
    return {"opset": given.params["opset"]}


@pytest.fixture
def digest_of(tmp_path, python):
    """The digest that a process of its own gives the module ``tiny.first``, some of its sources replaced."""
    versions = iter(range(100))

    def digest(module: str = "tiny.first", **changed: str) -> str:
        path = tmp_path / str(next(versions))
        (path / "tiny").mkdir(parents=True)
        for name, source in {**PACKAGE, **changed}.items():
            (path / "tiny" / f"{name}.py").write_text(source)
        out, err = python(DIGEST, module, path=path).communicate(timeout=60)
        assert len(out.strip()) == 64, err
        return out.strip()

    return digest


class TestSource:
    def test_the_same_source_elsewhere_has_the_same_digest(self, digest_of):
        assert digest_of() == digest_of()

    @pytest.mark.parametrize("module", ["first", "second"])
    def test_a_changed_module_changes_it(self, digest_of, module):
        assert digest_of() != digest_of(**{module: PACKAGE[module] + "# changed\n"})

    @pytest.mark.parametrize(
        "spelling",
        [
            "import tiny.third\n",
            "import tiny.third as three\n",
            "from tiny.third import THREE\n",
            "def late():\n    import tiny.third\n",
            "from tiny import third\n",
            "from .third import THREE\n",
            "from . import third\n",
        ],
        ids=lambda spelling: spelling.strip().replace("\n    ", " "),
    )
    def test_a_changed_module_two_imports_away_changes_it_however_it_is_imported(self, digest_of, spelling):
        assert digest_of(second=spelling) != digest_of(second=spelling, third="THREE = 4\n")

    def test_a_changed_module_that_nothing_imports_does_not(self, digest_of):
        assert digest_of() == digest_of(other="OTHER = 5\n")

    def test_modules_that_import_each_other_have_a_digest(self, digest_of):
        assert digest_of(third="import tiny.first\n") != digest_of(third="import tiny.second\n")

    def test_two_modules_differ_although_their_sources_are_equal(self, digest_of):
        assert digest_of("tiny.third", other=PACKAGE["third"]) != digest_of("tiny.other", other=PACKAGE["third"])

    def test_a_module_that_is_not_there_is_named(self):
        with pytest.raises(ModuleNotFoundError, match=r"harness\.no_such_module"):
            source_digest("harness.no_such_module")

    def test_the_steps_of_a_model_are_all_readable(self, crnn):
        digests = {form.step: source_digest(form.step.partition(":")[0]) for form in crnn.forms}
        assert digests["harness.onnx_graph.export:torch_to_onnx"] != digests["harness.networks.load:network_of"]


class TestKey:
    def test_the_same_input_has_the_same_key(self):
        assert make.key_parts(StepInput(params={"opset": 11})) == make.key_parts(StepInput(params={"opset": 11}))

    @pytest.mark.parametrize(
        ("before", "after", "part"),
        [
            (StepInput(params={"opset": 11}), StepInput(params={"opset": 13}), "param.opset"),
            (StepInput(params={"fold": 1}), StepInput(params={"fold": True}), "param.fold"),
            (StepInput(params={"seed": 7}), StepInput(params={"seed": "7"}), "param.seed"),
            (StepInput(inputs=(tensor(),)), StepInput(inputs=(tensor("float64"),)), "tensor.x"),
            (StepInput(outputs=(tensor(),)), StepInput(outputs=(tensor(axes=(2, BATCH)),)), "tensor.x"),
        ],
        ids=["parameter", "one and true", "number and text", "dtype", "batch axis"],
    )
    def test_a_changed_input_changes_exactly_the_part_that_is_named_for_it(self, before, after, part):
        old, new = make.key_parts(before), make.key_parts(after)
        assert {name for name in old if old[name] != new[name]} == {part}

    def test_a_narrower_network_changes_the_key(self):
        wide, narrow = (
            make.key_parts(StepInput(network="harness.networks.crnn:Crnn", network_params={"width": width}))
            for width in (1.0, 0.25)
        )
        assert {name for name in wide if wide[name] != narrow[name]} == {"network.width"}
        assert wide["network.source"] == source_digest("harness.networks.crnn")

    def test_a_parameter_that_names_code_brings_its_source_into_the_key(self):
        parts = make.key_parts(StepInput(params={"initialise": "harness.networks.seeded:condition"}))
        assert parts["param.initialise.source"] == source_digest("harness.networks.seeded")

    def test_revision_tools_and_source_of_the_step_are_in_the_key(self):
        parts = make.key_parts(StepInput())
        assert parts["step.revision"] == "3"
        assert parts["tool.numpy"] == version("numpy")
        assert parts["step.source"] == source_digest(make.function.__module__)
        assert parts["step"].endswith(":make")

    def test_every_declared_step_is_keyed_by_its_tools(self, crnn):
        export = resolve(crnn.form("onnx").step).key_parts(StepInput(params={"opset": 11}))
        assert (export["tool.torch"], export["tool.onnx"]) == (version("torch"), version("onnx"))

    def test_a_step_builds_into_the_folder_it_is_given_and_returns_facts(self, tmp_path):
        assert make.build(StepInput(params={"opset": 11}), tmp_path) == {"opset": 11}
        assert (tmp_path / "made.txt").read_text() == "11"
