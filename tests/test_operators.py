"""Each operator that a toolkit refuses is named with its nodes and who takes it; none that is unknown passes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from harness.__main__ import main
from harness.assets import Assets
from harness.cells import Scope
from harness.domains import asks
from harness.onnx_graph.inspect import operators_used
from harness.questions.operators import SHOWN, answer
from harness.questions.operators import ask as ask_operators
from harness.recipe import Recipe
from harness.reference import Asset, Reference
from harness.registry import load_models
from harness.store import Store
from harness.verdict import Answer, Refused, Verdict
from harness.workbench import Workbench

RECIPE = Recipe(precision="fp32", toolkits=("7.0.0", "8.0.RC2"))


def node(operator: str, name: str = "", **said: object) -> onnx.NodeProto:
    """A node that nobody runs."""
    return helper.make_node(operator, ["x"], [f"{name or operator}_out"], name=name, **said)


def body(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    out = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    return helper.make_graph(nodes, "body", [], [out])


@pytest.fixture
def file(tmp_path):
    """Writes a graph of nodes at an opset, with further domains by name; nobody checks it."""

    def write(*nodes: onnx.NodeProto, opset: int = 11, **domains: int) -> Path:
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in ("x", "y")]
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(*pair) for pair in domains.items())]
        graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:])
        path = tmp_path / "model.onnx"
        onnx.save(helper.make_model(graph, opset_imports=imports), path)
        return path

    return write


def refused(found: Answer) -> str:
    assert found.verdict is Verdict.FAIL, found.line
    return str(found.figures["refused"])


def unknown(found: Answer) -> str:
    assert found.verdict is Verdict.INCONCLUSIVE, found.line
    return str(found.figures["unknown"])


class TestAnswers:
    def test_known_operators_pass_with_their_number_opset_and_sources(self, file):
        found = answer(file(node("Conv", "a"), node("Conv", "b"), node("Relu")), "5.0.4.6")
        assert found.verdict is Verdict.PASS
        assert found.line == (
            "CANN 5.0.4.6 takes 2 operators in 3 nodes at opset 11: ATC guide of 5.0.4.6 (atlasatc_16_0164): v9 to v13"
            "; operator list of 5.0.4.6 (operatorlist_0071)"
        )
        assert found.figures == {
            "toolkit": "5.0.4.6", "opset": 11, "operators": 2, "nodes": 3, "refused": "", "unknown": "",
        }  # fmt: skip

    def test_a_refused_operator_is_named_with_its_nodes_and_who_takes_it(self, file):
        found = answer(file(node("Conv"), node("GridSample", "rectify")), "5.0.4.6")
        assert refused(found) == "GridSample"
        assert "GridSample (1 node: rectify): not on the operator list of 5.0.4.6" in found.line
        assert "taken by 6.0.RC1, 6.0.1, 7.0.0" in found.line
        assert found.line.endswith("the graph has 2 operators in 2 nodes at opset 11")

    def test_the_same_file_passes_where_the_operator_is_taken(self, file):
        assert answer(file(node("GridSample")), "6.0.RC1").verdict is Verdict.PASS

    @pytest.mark.parametrize("toolkit", ["5.0.4.6", "6.0.1", "7.0.0", "8.0.0"])
    def test_deformable_convolution_is_refused_by_every_toolkit(self, file, toolkit):
        found = answer(file(node("DeformConv", "dcn"), opset=11), toolkit)
        assert refused(found) == "DeformConv"
        assert "no known version takes it" in found.line

    @pytest.mark.parametrize("toolkit", ["6.0.1", "7.0.0", "8.0.0"])
    def test_an_opset_that_is_not_read_is_told_once_for_the_whole_graph(self, file, toolkit):
        found = answer(file(node("Conv"), node("Relu"), opset=19), toolkit)
        assert refused(found) == "opset 19"
        assert "opset 19 (the whole graph)" in found.line

    @pytest.mark.parametrize("toolkit", ["3.2.0", "12.0.0"])
    def test_a_toolkit_of_which_nothing_is_known_passes_nothing(self, file, toolkit):
        found = answer(file(node("Conv"), node("Relu")), toolkit)
        assert unknown(found) == "opset 11, Conv, Relu"
        assert found.line.startswith(f"not known of CANN {toolkit}: opset 11")

    def test_an_unknown_domain_is_told_with_its_name(self, file):
        path = file(node("Conv"), node("Gelu", domain="com.microsoft"), opset=11, **{"com.microsoft": 1})
        found = answer(path, "8.0.0")
        assert unknown(found) == "com.microsoft::Gelu"
        assert "a plugin of its own" in found.line
        assert found.figures["opset"] == 11

    def test_what_is_refused_counts_more_than_what_is_unknown(self, file):
        path = file(node("Loop"), node("Gelu", domain="com.microsoft"), **{"com.microsoft": 1})
        assert refused(answer(path, "8.0.0")) == "Loop"

    def test_many_operators_and_nodes_are_counted_where_they_are_not_named(self, file):
        names = ("One", "Two", "Three", "Four", "Five")
        found = answer(file(*(node(name) for name in names), *(node("Aaa", str(each)) for each in range(7))), "8.0.0")
        assert f"Aaa (7 nodes: 0, 1, 2, {7 - SHOWN} more)" in found.line
        assert f" | {len(names) + 1 - SHOWN} more;" in found.line
        assert str(found.figures["refused"]).split(", ") == sorted((*names, "Aaa"))


class TestOperatorsUsed:
    def test_operators_in_the_bodies_of_if_and_loop_are_seen(self, file):
        inner = node("If", "inner", then_branch=body(node("DeformConv", "deep")), else_branch=body(node("Relu")))
        path = file(node("If", "outer", then_branch=body(inner), else_branch=body(node("Tanh"))), opset=11)
        found = {used.operator: used.nodes for used in operators_used(path)}
        assert found == {
            "If": ("outer", "inner"),
            "DeformConv": ("deep",),
            "Relu": ("Relu_out",),
            "Tanh": ("Tanh_out",),
        }
        assert refused(answer(path, "8.0.0")) == "DeformConv"
        looped = file(node("Loop", "steps", body=body(node("GridSample", "deep"))))
        assert refused(answer(looped, "5.0.4.6")) == "GridSample, Loop"

    def test_a_node_without_a_name_is_named_by_what_it_makes(self, file):
        assert operators_used(file(node("Relu")))[0].nodes == ("Relu_out",)

    def test_both_spellings_of_the_domain_have_the_opset_of_the_file(self, file):
        used = operators_used(file(node("Relu"), node("Relu", "b", domain="ai.onnx"), opset=13))
        assert [(each.domain, each.opset) for each in used] == [("", 13), ("ai.onnx", 13)]

    def test_a_domain_without_an_opset_is_refused_with_its_name(self, file):
        with pytest.raises(Refused, match=r"model\.onnx: imports no opset for the domain 'vendor'"):
            operators_used(file(node("Relu"), node("Own", domain="vendor")))


class TestDomain:
    def asked(self, model, **scope) -> list[tuple[str, str]]:
        return [(ask.subject, ask.reference) for ask in asks("operators", {model.name: model}, Scope(**scope))]

    def test_the_deployed_form_is_asked_of_every_toolkit_of_its_recipe_and_without_one_of_none(self, toy):
        assert self.asked(toy(recipes={"ascend": RECIPE})) == [
            ("toy.onnx-cann7.0.0", "seeded"),
            ("toy.onnx-cann8.0.RC2", "seeded"),
        ]
        assert self.asked(toy()) == []
        assert self.asked(toy(recipes={"other": RECIPE})) == []

    def test_the_form_that_is_compiled_in_its_place_is_asked_instead(self):
        rare = load_models()["rare"]
        assert self.asked(rare)[0] == ("rare.vendor-cann6.0.RC1", "seeded")
        assert {subject.partition("-")[0] for subject, _ in self.asked(rare)} == {"rare.vendor"}

    def test_each_form_that_some_reference_compiles_is_asked_once(self):
        found = frozenset({("rare", "exported"), ("ppocr_cls", "official")})
        models = load_models()
        for name, expected in (("rare", ["converted_vendor", "vendor"]), ("ppocr_cls", ["exported", "onnx"])):
            model = models[name]
            forms = [subject.partition("-")[0] for subject, _ in self.asked(model, found=found)]
            assert sorted(set(forms)) == [f"{name}.{form}" for form in expected]
            assert len(forms) == len(expected) * len(model.recipes["ascend"].toolkits)
            assert all(
                model.makes(model.reference(ask.reference), ask.form)
                for ask in asks("operators", {name: model}, Scope(found=found))
            )

    def test_it_needs_no_device_and_is_selected_by_model_form_and_its_own_marker(self):
        ask = asks("operators", {"rare": load_models()["rare"]}, Scope())[0]
        assert ask.cell is None
        assert ask.id == ask.subject == "rare.vendor-cann6.0.RC1"
        assert {"rare", "recognition", "vendor", "desk"} <= ask.markers
        assert not ask.markers & {"npu", "ascend", "gpu", "perf", "slow", "ort"}

    def test_no_other_question_has_its_marker(self):
        for question in ("build", "agreement", "throughput"):
            assert not any("desk" in ask.markers for ask in asks(question, load_models(), Scope()))

    def test_a_reference_whose_weights_are_absent_asks_for_nothing_of_its_own(self, toy):
        absent = Reference(name="official", weights=(Asset(name="w", patterns=("w",), licence="l", source="s"),))
        model = toy(references=(absent, *toy().references), recipes={"ascend": RECIPE})
        assert {reference for _, reference in self.asked(model)} == {"seeded"}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


class TestWhole:
    def test_crnn_passes_for_every_toolkit_of_its_recipe(self, store, crnn, tmp_path):
        bench = Workbench(Store(store), Assets(), tmp_path)
        for ask in asks("operators", {"crnn": crnn}, Scope()):
            found = ask_operators(bench, ask)
            assert found.verdict is Verdict.PASS, found.line
            assert (found.figures["toolkit"], found.figures["opset"]) == (ask.toolkit, 11)

    def test_the_command_prints_a_row_a_toolkit_and_marks_those_of_the_recipe(self, store, capsys):
        assert main(["operators", "crnn", f"--store={store}"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "crnn.onnx"
        rows = {line[3:].split()[0]: (line[2], line[3:].split(maxsplit=1)[1]) for line in lines[1:]}
        assert rows["5.0.4.6"] == ("*", "pass")
        assert rows["8.0.0"] == ("*", "pass")
        assert rows["6.0.RC1"] == (" ", "pass")

    def test_the_command_says_all_of_one_toolkit(self, store, capsys):
        assert main(["operators", "crnn", "--toolkit", "3.2.0", f"--store={store}"]) == 0
        assert "  inconclusive: not known of CANN 3.2.0: opset 11" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["crnn", "--form", "network"], "crnn.network: no ONNX form that drawn weights make"),
            (["crnn", "--form", "onxn"], "did you mean 'onnx'?"),
            (["crn"], "did you mean 'crnn'?"),
            (["crnn", "--toolkit", "latest"], "expected numbers first"),
        ],
    )
    def test_what_cannot_be_answered_ends_with_1_and_why(self, store, capsys, options, told):
        assert main(["operators", *options, f"--store={store}"]) == 1
        assert told in capsys.readouterr().err

    def test_a_form_without_a_model_is_wrong_usage(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            main(["operators", "--form", "onnx"])
        assert "name the model too" in capsys.readouterr().err
