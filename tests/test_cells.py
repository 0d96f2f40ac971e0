"""Cells have one id everywhere, and every question is asked of all that it is about."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.cells import Ask, Scope, cells
from harness.declaration import DeclarationError
from harness.domains import QUESTIONS, asks
from harness.form import Form
from harness.markers import marker_names
from harness.reference import Asset, Reference
from harness.registry import load_models
from harness.sizes import Point

HERE = {"ort", "torch"}
"""Backends that run on any machine; further ones only add cells."""
EVERY_SCOPE = [Scope(), Scope(all_batches=True), Scope(found=frozenset((name, "official") for name in load_models()))]


@pytest.fixture
def asked(crnn):
    """What a question asks of CRNN."""
    return lambda question, **scope: asks(question, {"crnn": crnn}, Scope(**scope))


class TestIds:
    def test_the_main_form_is_not_named_and_the_others_are(self, crnn):
        ids = {cell.id for cell in cells(crnn)}
        assert {"crnn-ort-fp32-bs8", "crnn.split_lstm-ort-fp32-bs8", "crnn.network-torch-fp32-bs1"} <= ids

    def test_a_cell_is_every_form_on_every_backend_that_takes_it_at_every_point(self, crnn):
        found = [(cell.form.name, cell.backend, cell.point.batch) for cell in cells(crnn) if cell.backend in HERE]
        taken = [("network", "torch"), *((form, "ort") for form in ("onnx", "split_lstm", "matmul", "half"))]
        assert sorted(found) == sorted((*pair, point.batch) for pair in taken for point in crnn.points)

    @pytest.mark.parametrize("scope", EVERY_SCOPE, ids=["plain", "all batches", "official"])
    @pytest.mark.parametrize("question", QUESTIONS)
    def test_no_two_tests_of_a_question_share_an_id(self, question, scope):
        names = Counter(ask.id for ask in asks(question, load_models(), scope))
        assert names
        assert names.most_common(1)[0][1] == 1

    def test_an_id_splits_at_its_dashes_into_subject_backend_precision_and_point(self):
        for model in load_models().values():
            for cell in cells(model):
                subject, backend, precision, point = cell.id.split("-")
                assert subject.partition(".")[0] == model.name
                assert (backend, precision, point) == (cell.backend, cell.precision, cell.point.id)

    def test_a_test_is_named_by_its_reference_where_there_is_a_choice(self, asked):
        assert {ask.id for ask in asked("accuracy")} >= {"crnn-ort-fp32-bs8-official", "crnn-ort-fp32-bs8-bundled"}
        assert "crnn-ort-fp32-bs8" in {ask.id for ask in asked("throughput")}
        assert "crnn.split_lstm" in {ask.id for ask in asked("build")}

    def test_a_question_about_a_form_has_no_cell(self, asked):
        with pytest.raises(DeclarationError, match=r"crnn\.checkpoint: build is asked of a cell, not of a form"):
            _ = asked("build")[0].at


class TestDomains:
    def test_build_asks_every_form_once(self, asked, crnn):
        assert [ask.form.name for ask in asked("build")] == [form.name for form in crnn.forms]

    def test_agreement_asks_every_promise_at_every_point_with_full_size_and_bundled_weights(self, asked, crnn):
        found = {(ask.form.name, ask.at.point.batch, ask.reference) for ask in asked("agreement")}
        promised = [form.name for form in crnn.forms if form.promise != "none"]
        assert promised == ["onnx", "split_lstm", "matmul", "half"]
        assert found == {
            (form, point.batch, reference)
            for form in promised
            for point in crnn.points
            for reference in ("seeded", "bundled")
            if form != "half" or point.batch == crnn.accuracy_batch
        }

    def test_what_another_precision_costs_is_asked_at_one_batch_and_at_all_on_demand(self, asked, crnn):
        for question in ("agreement", "accuracy"):
            found = [ask.at.point.batch for ask in asked(question) if ask.form.name == "half"]
            assert found == [crnn.accuracy_batch] * len(found)
            everywhere = {ask.at.point for ask in asked(question, all_batches=True) if ask.form.name == "half"}
            assert everywhere == set(crnn.points)

    def test_a_form_in_half_precision_is_asked_for_no_times_and_none_in_another_for_batching(self):
        found = frozenset((model.name, each.name) for model in load_models().values() for each in model.references)
        for question in ("throughput", "batching", "range"):
            for ask in asks(question, load_models(), Scope(found=found, all_batches=True)):
                assert ask.form.precision == "fp32" or (ask.form.quantisation and question == "throughput")

    def test_half_precision_of_what_each_reference_deploys_is_asked_for_accuracy(self):
        here = frozenset({("ppocr_rec", "dequantised"), ("ppocr_cls", "official"), ("rare", "exported")})
        found = {
            (ask.form.name, ask.reference)
            for ask in asks("accuracy", load_models(), Scope(found=here))
            if ask.at.precision == "fp16" and ask.at.backend == "ort"
        }
        assert found == {
            ("half", "bundled"), ("half", "dequantised"), ("half", "official"), ("exported_half", "bundled"),
            ("converted_half", "exported"),
        }  # fmt: skip

    def test_range_asks_what_is_deployed_once_of_each_reference_with_weights(self, asked):
        assert [ask.id for ask in asked("range")] == ["crnn-ort-fp32-bs8-seeded", "crnn-ort-fp32-bs8-bundled"]
        here = frozenset({("crnn", "official")})
        official = [ask.id for ask in asked("range", found=here, all_batches=True)]
        assert official == ["crnn-ort-fp32-bs8-official", "crnn-ort-fp32-bs8-bundled"]

    def test_range_is_asked_on_the_first_backend_that_runs_the_file_as_it_is(self, crnn, monkeypatch):
        plain = {"formats": ("onnx",), "markers": (), "timed": True}
        kinds = {"chip": True, "first": False, "second": False}
        backends = {name: SimpleNamespace(compiles=compiles, **plain) for name, compiles in kinds.items()}
        for module in ("cells", "domains"):
            monkeypatch.setattr(f"harness.{module}.backends", lambda: backends)
        model = replace(crnn, recipes={"chip": crnn.recipes["ascend"]})
        assert [ask.id for ask in asks("range", {"crnn": model}, Scope())] == [
            "crnn-first-fp32-bs8-seeded",
            "crnn-first-fp32-bs8-bundled",
        ]

    def test_range_needs_a_form_in_half_precision_to_ask_what_it_holds(self, toy):
        model = toy()
        assert asks("range", {"toy": model}, Scope()) == []
        half = Form(
            name="half", parent="onnx", step="toy:half", format="onnx", precision="fp16", promise="lossy", equal=0.5,
            because="it rounds",
        )  # fmt: skip
        assert [ask.id for ask in asks("range", {"toy": toy(forms=(*model.forms, half))}, Scope())] == [
            "toy-ort-fp32-bs8-seeded"
        ]

    def test_accuracy_asks_each_reference_with_data_at_the_declared_batch_on_every_backend(self, asked):
        here = frozenset({("crnn", "official")})
        found = {(ask.at.id, ask.reference) for ask in asked("accuracy", found=here) if ask.at.backend in HERE}
        assert found == {
            (cell, reference)
            for cell in ("crnn-ort-fp32-bs8", "crnn.network-torch-fp32-bs8", "crnn.half-ort-fp16-bs8")
            for reference in ("official", "bundled")
        }

    def test_accuracy_asks_a_reference_whose_weights_are_absent_once(self, asked):
        assert [ask.id for ask in asked("accuracy") if ask.reference == "official"] == ["crnn-ort-fp32-bs8-official"]

    def test_accuracy_asks_at_every_batch_on_demand(self, asked, crnn):
        assert {ask.at.point for ask in asked("accuracy", all_batches=True)} == set(crnn.points)

    def test_batching_asks_the_deployed_form_at_every_point(self, asked, crnn):
        assert {ask.form.name for ask in asked("batching")} == {"onnx"}
        assert {ask.at.point for ask in asked("batching")} == set(crnn.points)

    def test_throughput_asks_the_deployed_form_everywhere_and_the_others_at_the_smallest_point(self, asked, crnn):
        found = {(ask.form.name, ask.at.point.batch) for ask in asked("throughput")}
        deployed = {("onnx", point.batch) for point in crnn.points}
        assert found == deployed | {("network", 1), ("split_lstm", 1), ("matmul", 1)}

    @pytest.mark.parametrize("question", ["build", "agreement", "batching", "throughput"])
    def test_official_weights_take_the_place_of_seeded_ones_where_they_were_found(self, asked, question):
        assert "official" not in {ask.reference for ask in asked(question)}
        assert "seeded" not in {ask.reference for ask in asked(question, found=frozenset({("crnn", "official")}))}


class TestPromises:
    """An opaque form is built and asked nothing else; what is made of it is asked as any other form."""

    @pytest.fixture
    def hollow(self, toy):
        """A placeholder, what it becomes, and a loss that only published weights come to."""
        model = toy()
        published = Reference(name="exported", weights=(Asset(name="w", patterns=("w",), licence="l", source="s"),))
        forms = (
            Form(name="hollow", parent="network", step="toy:empty", format="onnx", promise="opaque"),
            Form(name="restored", parent="hollow", step="toy:fill", format="onnx", promise="close", against="onnx"),
            Form(
                name="lossy", parent="hollow", step="toy:round", format="onnx", promise="lossy", equal=0.5,
                because="it rounds", references=("exported",),
            ),
        )  # fmt: skip
        return toy(forms=(*model.forms, *forms), references=(*model.references, published))

    def asked(self, model, question, **scope) -> set[str]:
        return {ask.form.name for ask in asks(question, {model.name: model}, Scope(**scope))}

    def test_an_opaque_form_is_built_and_asked_nothing_else(self, hollow):
        assert {question for question in QUESTIONS if "hollow" in self.asked(hollow, question)} == {"build"}
        assert "hollow" not in {cell.form.name for cell in cells(hollow)}
        assert hollow.against(hollow.form("lossy")) == hollow.form("network")

    def test_no_opaque_form_of_any_model_is_asked_anything_but_build_and_operators(self):
        for model in load_models().values():
            opaque = {form.name for form in model.forms if form.promise == "opaque"}
            found = frozenset((model.name, reference.name) for reference in model.references)
            for question in set(QUESTIONS) - {"build", "operators"}:
                assert opaque.isdisjoint(self.asked(model, question, found=found, all_batches=True))

    def test_a_form_that_is_restored_from_it_is_asked_for_agreement(self, hollow):
        assert self.asked(hollow, "agreement") == {"onnx", "restored"}

    def test_a_loss_is_asked_for_agreement_where_its_reference_can_make_it(self, hollow):
        changed = replace(hollow, references=hollow.references[::-1])
        assert "lossy" in self.asked(changed, "agreement", found=frozenset({("toy", "exported")}))
        assert "lossy" not in self.asked(changed, "agreement")


class TestMarkers:
    def test_every_marker_of_every_question_has_a_meaning(self):
        names = marker_names(load_models())
        for scope in EVERY_SCOPE:
            for question in QUESTIONS:
                assert all(ask.markers <= set(names) for ask in asks(question, load_models(), scope))
        assert all(names.values())

    def test_a_cell_is_selected_by_model_family_backend_precision_and_point(self, asked):
        ask = next(ask for ask in asked("agreement") if ask.id == "crnn.split_lstm-ort-fp32-bs4-seeded")
        assert {"crnn", "recognition", "split_lstm", "ort", "fp32", "bs4"} <= ask.markers
        assert "perf" not in ask.markers

    @pytest.mark.parametrize("name", ["crnn", "rare", "ppocr_cls", "ppocr_rec"])
    def test_half_precision_here_is_selected_by_backend_and_precision(self, name):
        wanted = {name, "ort", "fp16"}
        found = [
            ask for question in QUESTIONS for ask in asks(question, load_models(), Scope()) if wanted <= ask.markers
        ]
        assert {ask.question for ask in found} == {"agreement", "accuracy"}
        assert {ask.at.form.precision for ask in found} == {"fp16"}

    def test_only_throughput_is_a_performance_question_and_slow_points_are_slow(self, crnn, toy):
        model = toy(points=(Point(batch=8), Point(batch=64, slow=True)))
        found = {(ask.question, ask.at.point.batch): ask.markers for ask in _of_cells(model)}
        assert found["throughput", 8] & {"perf", "slow"} == {"perf"}
        assert found["throughput", 64] & {"perf", "slow"} == {"perf", "slow"}
        assert found["agreement", 64] & {"perf", "slow"} == {"slow"}
        assert found["agreement", 8] & {"perf", "slow"} == set()


def _of_cells(model) -> list[Ask]:
    return [ask for name in ("agreement", "throughput") for ask in asks(name, {model.name: model}, Scope())]


class TestPaddleRoute:
    """A model whose forms not every reference can make."""

    @pytest.fixture
    def direction(self):
        return load_models()["ppocr_cls"]

    def asked(self, direction, question: str, **scope) -> set[tuple[str, str]]:
        return {(ask.form.name, ask.reference) for ask in asks(question, {direction.name: direction}, Scope(**scope))}

    def test_a_published_program_is_asked_of_official_weights_alone(self, direction):
        here = frozenset({("ppocr_cls", "official")})
        made = {"checkpoint", "network", "exported"}
        published = {"program", "onnx", "half"}
        made |= {form.name for form in direction.forms if form.quantisation} | {"quantisable"}
        assert {form for form, _ in self.asked(direction, "build")} == made | {"exported_half"}
        assert {form for form, _ in self.asked(direction, "build", found=here)} == made | published
        assert ("onnx", "bundled") not in self.asked(direction, "agreement", found=here)
        assert {("onnx", "official"), ("exported", "official")} <= self.asked(direction, "agreement", found=here)

    def test_each_reference_is_deployed_in_the_form_that_it_can_make(self, direction):
        here = frozenset({("ppocr_cls", "official")})
        assert self.asked(direction, "batching", found=here) == {("onnx", "official"), ("exported", "bundled")}
        assert self.asked(direction, "batching") == {("exported", "seeded"), ("exported", "bundled")}
        assert ("onnx", "official") in self.asked(direction, "accuracy", found=here)
        assert ("network", "official") in self.asked(direction, "accuracy", found=here)

    def test_absent_official_weights_are_asked_for_once(self, direction):
        found = [ask.id for ask in asks("accuracy", {"ppocr_cls": direction}, Scope()) if ask.reference == "official"]
        assert found == ["ppocr_cls-ort-fp32-bs1-official"]

    def test_a_converted_graph_is_compared_with_the_twin(self, direction):
        form = direction.form("onnx")
        assert direction.against(form) == direction.twin(form) == direction.form("network")
