"""A declaration that says something impossible is refused, with the field, what it allows, and the nearest spelling."""

from __future__ import annotations

import dataclasses

import pytest

from harness.claim import Claim
from harness.declaration import DeclarationError, choose
from harness.form import Form
from harness.reference import Asset, DataSet, Reference
from harness.sizes import BATCH, Point, TensorSpec

FORM = {"name": "onnx", "parent": None, "step": "toy:export", "format": "onnx"}
ASSET = Asset(name="a", patterns=("a",), licence="none", source="nowhere")


def form_named(name: str, **said: object) -> Form:
    return Form(**{**FORM, "name": name, **said})


class TestFields:
    @pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Form)])
    def test_a_field_with_a_letter_missing_is_refused_and_its_spelling_is_offered(self, field):
        misspelt = field[:-1]
        with pytest.raises(DeclarationError) as refused:
            Form(**{**FORM, misspelt: "x"})
        assert f"Form.{misspelt}: no such field" in str(refused.value)
        assert f"did you mean {field!r}?" in str(refused.value)

    def test_an_unknown_field_is_refused_with_all_that_are_allowed(self):
        with pytest.raises(DeclarationError) as refused:
            Form(**FORM, zzzzzz=1)
        assert all(field.name in str(refused.value) for field in dataclasses.fields(Form))
        assert "did you mean" not in str(refused.value)

    @pytest.mark.parametrize("field", sorted(FORM))
    def test_a_missing_field_is_named(self, field):
        said = {name: value for name, value in FORM.items() if name != field}
        with pytest.raises(DeclarationError, match=rf"^Form\.{field}: missing"):
            Form(**said)

    def test_a_value_without_its_name_is_refused(self):
        with pytest.raises(DeclarationError, match="Point takes named fields only, got 8 without a name"):
            Point(8)

    def test_a_declaration_cannot_be_changed_later(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            Point(batch=8).batch = 9


class TestValues:
    @pytest.mark.parametrize(
        ("make", "where", "meant"),
        [
            (lambda: Form(**{**FORM, "promise": "exactly"}), "Form.promise", "exact"),
            (lambda: Form(**{**FORM, "format": "onxx"}), "Form.format", "onnx"),
            (lambda: Form(**{**FORM, "precision": "fp23"}), "Form.precision", "fp32"),
            (lambda: TensorSpec(name="x", axes=(BATCH,), dtype="float23"), "TensorSpec.dtype", "float32"),
            (lambda: Reference(name="oficial", weights=(ASSET,)), "Reference.name", "official"),
            (lambda: TensorSpec(name="x", axes=("bach", 1), dtype="float32"), "TensorSpec(x).axes", "batch"),
            (lambda: Claim(metric="throughput", printed="1", source="s", clock="devise"), "Claim.clock", "device"),
        ],
        ids=["promise", "format", "precision", "dtype", "reference", "axis", "clock"],
    )
    def test_a_value_outside_the_allowed_ones_is_refused_and_the_nearest_is_offered(self, make, where, meant):
        with pytest.raises(DeclarationError) as refused:
            make()
        assert str(refused.value).startswith(f"{where}: ")
        assert "allowed: " in str(refused.value)
        assert f"did you mean {meant!r}?" in str(refused.value)

    def test_a_family_outside_the_allowed_ones_is_refused(self, toy):
        with pytest.raises(DeclarationError, match=r"Model\.family: 'recogniton' .*did you mean 'recognition'"):
            toy(family="recogniton")

    @pytest.mark.parametrize("value", [None, 32, ("exact",)], ids=str)
    def test_a_value_of_another_type_is_refused_with_its_field(self, value):
        with pytest.raises(DeclarationError, match=r"Form\.promise"):
            Form(**{**FORM, "promise": value})

    def test_a_choice_without_a_close_spelling_offers_none(self):
        with pytest.raises(DeclarationError) as refused:
            choose("here", "qqqq", ["exact", "close"])
        assert str(refused.value) == "here: 'qqqq' is not allowed; allowed: exact, close"


class TestTree:
    @pytest.mark.parametrize("parent", ["matmul", "onnx", "nowhere"])
    def test_a_parent_must_be_a_form_declared_before(self, toy, parent):
        forms = (form_named("weights", format="weights"), form_named("onnx", parent=parent), form_named("matmul"))
        with pytest.raises(DeclarationError, match=rf"Model\(toy\)\.forms\[onnx\]\.parent: '{parent}'"):
            toy(forms=forms)

    @pytest.mark.parametrize("promise", ["exact", "close"])
    def test_a_promise_needs_an_ancestor_that_runs(self, toy, promise):
        forms = (form_named("weights", format="weights"), form_named("onnx", parent="weights", promise=promise))
        with pytest.raises(DeclarationError, match=r"forms\[onnx\]\.promise: .*no form before it runs"):
            toy(forms=forms)

    def test_a_root_cannot_promise_anything(self, toy):
        with pytest.raises(DeclarationError, match=r"forms\[onnx\]\.promise"):
            toy(forms=(form_named("onnx", promise="close"),))

    def test_two_forms_of_one_name_are_refused(self, toy):
        with pytest.raises(DeclarationError, match=r"Model\(toy\)\.forms: 'onnx' is declared 2 times"):
            toy(forms=(form_named("onnx"), form_named("onnx")))

    def test_two_points_of_one_size_are_refused(self, toy):
        with pytest.raises(DeclarationError, match=r"Model\(toy\)\.points: 'bs8' is declared 2 times"):
            toy(points=(Point(batch=8), Point(batch=8, slow=True)))

    def test_two_references_of_one_name_are_refused(self, toy):
        twice = Reference(name="seeded", initialise="toy:draw")
        with pytest.raises(DeclarationError, match=r"Model\(toy\)\.references: 'seeded' is declared 2 times"):
            toy(references=(twice, twice))

    def test_the_main_form_must_be_declared(self, toy):
        with pytest.raises(DeclarationError, match=r"Model\(toy\)\.main: 'onxx' .*did you mean 'onnx'"):
            toy(main="onxx")

    def test_the_accuracy_batch_must_be_a_point(self, toy):
        with pytest.raises(DeclarationError, match=r"Model\(toy\)\.accuracy_batch: '7' .*allowed: 1, 8"):
            toy(accuracy_batch=7)

    @pytest.mark.parametrize("name", ["crnn-small", "crnn.small", "1crnn", ""])
    def test_a_model_is_named_by_an_identifier(self, toy, name):
        with pytest.raises(DeclarationError, match=r"\.name: not an identifier"):
            toy(name=name)

    @pytest.mark.parametrize("name", ["split-lstm", "split.lstm", "split lstm", ""])
    def test_a_form_is_named_by_an_identifier_because_ids_are_split_at_dashes(self, toy, name):
        with pytest.raises(DeclarationError, match="identifier"):
            toy(forms=(form_named(name),), main=name)

    def test_a_form_is_compared_with_the_nearest_ancestor_that_runs(self, crnn):
        against = {form.name: crnn.against(form) for form in crnn.forms}
        names = {name: found.name if found else None for name, found in against.items()}
        assert names == {
            "checkpoint": None,
            "network": None,
            "onnx": "network",
            "split_lstm": "onnx",
            "matmul": "split_lstm",
            "half": "onnx",
        }

    def test_float_noise_is_measured_in_the_nearest_ancestor_in_torch(self, crnn):
        assert {crnn.twin(form).name for form in crnn.forms if form.format == "onnx"} == {"network"}
        assert crnn.twin(crnn.form("network")) == crnn.form("network")
        assert crnn.twin(crnn.form("checkpoint")) is None

    def test_a_form_that_is_not_declared_is_refused_by_name(self, crnn):
        with pytest.raises(DeclarationError, match=r"Model\(crnn\): form: 'split_lst' .*did you mean 'split_lstm'"):
            crnn.form("split_lst")

    def test_a_reference_that_is_not_declared_is_refused_by_name(self, crnn):
        with pytest.raises(DeclarationError, match=r"Model\(crnn\): reference: 'bundle' .*did you mean 'bundled'"):
            crnn.reference("bundle")


class TestLoss:
    """A form that keeps most answers says how many, and why not all; no other form may."""

    def declare(self, toy, **said: object):
        return toy(forms=(form_named("network", format="torch"), form_named("onnx", parent="network", **said)))

    def test_a_lossy_form_declares_its_share_and_its_reason(self, toy):
        model = self.declare(toy, promise="lossy", equal=0.85, because="it rounds")
        form = model.form("onnx")
        assert (form.equal, form.because, model.against(form)) == (0.85, "it rounds", model.form("network"))

    @pytest.mark.parametrize("said", [{}, {"equal": 0.85}, {"because": "it rounds"}, {"equal": 0.85, "because": ""}])
    def test_a_lossy_form_without_share_or_reason_is_refused(self, toy, said):
        with pytest.raises(
            DeclarationError, match=r"forms\[onnx\]: promise 'lossy' with equal=.*, because=.*lossy form"
        ):
            self.declare(toy, promise="lossy", **said)

    @pytest.mark.parametrize("promise", ["none", "exact", "close", "opaque"])
    @pytest.mark.parametrize(
        "said", [{"equal": 0.85, "because": "it rounds"}, {"equal": 0.85}, {"equal": 0.0}, {"because": "it rounds"}]
    )
    def test_no_other_promise_has_either(self, toy, promise, said):
        with pytest.raises(DeclarationError, match=rf"forms\[onnx\]: promise '{promise}' with equal=.*no other"):
            self.declare(toy, promise=promise, **said)

    def test_a_loss_needs_a_form_that_it_is_a_loss_of(self, toy):
        lost = form_named("onnx", promise="lossy", equal=0.85, because="it rounds")
        with pytest.raises(DeclarationError, match=r"forms\[onnx\]\.promise: 'lossy', but no form before it runs"):
            toy(forms=(lost,))


class TestOpaque:
    """A form that means nothing on its own is a step on the way, and nothing is compared with it."""

    FORMS = (
        form_named("network", format="torch"),
        form_named("hollow", parent="network", promise="opaque"),
        form_named("onnx", parent="hollow", promise="close"),
    )

    def test_it_does_not_run_although_its_format_does(self):
        assert [form.runs for form in self.FORMS] == [True, False, True]
        assert [form_named("x", format=kind).runs for kind in ("weights", "paddle", "torch", "onnx")] == [
            False, False, True, True,
        ]  # fmt: skip

    def test_what_comes_after_it_is_compared_with_what_came_before(self, toy):
        model = toy(forms=self.FORMS)
        assert model.against(model.form("onnx")) == model.twin(model.form("onnx")) == model.form("network")

    def test_it_cannot_be_what_another_form_is_compared_with(self, toy):
        after = dataclasses.replace(self.FORMS[2], against="hollow")
        with pytest.raises(DeclarationError, match=r"forms\[onnx\]\.against: 'hollow' .*'opaque', and runs nowhere"):
            toy(forms=(*self.FORMS[:2], after))

    def test_alone_it_is_no_form_that_a_promise_could_be_about(self, toy):
        forms = (form_named("hollow", promise="opaque"), form_named("onnx", parent="hollow", promise="close"))
        with pytest.raises(DeclarationError, match=r"forms\[onnx\]\.promise: .*no form before it runs"):
            toy(forms=forms)


class TestDataAndWeights:
    @pytest.mark.parametrize("said", [{}, {"asset": ASSET, "make": "toy:render"}], ids=["neither", "both"])
    def test_a_data_set_is_found_or_made_and_not_both(self, said):
        with pytest.raises(DeclarationError, match=r"DataSet\(toy\): declare either asset or make"):
            DataSet(name="toy", reader="toy:Reader", n=3, **said)

    @pytest.mark.parametrize("said", [{}, {"weights": (ASSET,), "initialise": "toy:draw"}], ids=["neither", "both"])
    def test_weights_are_found_or_drawn_and_not_both(self, said):
        with pytest.raises(DeclarationError, match=r"Reference\(bundled\): declare either weights or initialise"):
            Reference(name="bundled", **said)

    @pytest.mark.parametrize("n", [None, 29, 31])
    def test_a_claim_is_on_exactly_the_samples_of_its_reference(self, n):
        claim = Claim(metric="acc", printed="0.7", hits=21, n=30, source="s")
        data = None if n is None else DataSet(name="toy", reader="toy:Reader", n=n, asset=ASSET)
        with pytest.raises(DeclarationError, match=r"Reference\(official\): claim acc is on n=30, its data has"):
            Reference(name="official", weights=(ASSET,), data=data, claims=(claim,))

    @pytest.mark.parametrize("n", [1, 29, 30, 31, 3000])
    def test_a_claim_on_one_set_is_not_on_all_samples_of_its_reference(self, n):
        claim = Claim(metric="acc", printed="1", hits=n, n=n, source="s", part="SVT")
        data = DataSet(name="toy", reader="toy:Reader", n=30, asset=ASSET)
        assert Reference(name="official", weights=(ASSET,), data=data, claims=(claim,)).claims == (claim,)

    @pytest.mark.parametrize("name", ["official", "exported", "dequantised", "bundled", "seeded"])
    def test_references_have_names_of_their_own(self, name):
        assert Reference(name=name, weights=(ASSET,)).name == name

    @pytest.mark.parametrize("name", ["dequantized", "export", "Official", ""])
    def test_no_other_names_are_allowed(self, name):
        with pytest.raises(
            DeclarationError, match=r"Reference\.name: .*exported, dequantised, dequantised_samples, bundled, seeded"
        ):
            Reference(name=name, weights=(ASSET,))

    def test_all_sets_are_pooled_unless_some_are_named(self):
        said = {"name": "toy", "reader": "toy:Reader", "n": 3, "asset": ASSET}
        assert DataSet(**said).pooled == ()
        assert DataSet(**said, pooled=("a", "b")).pooled == ("a", "b")
        with pytest.raises(
            DeclarationError, match=r"DataSet\.pooled: expected a tuple, found one str; write \(value,\)"
        ):
            DataSet(**said, pooled="a")

    @pytest.mark.parametrize(("named", "near"), [("onxx", "onnx"), ("networks", "network")])
    def test_a_size_is_of_a_form_that_is_declared(self, toy, named, near):
        claim = Claim(metric="size", printed="34", unit="MB", form=named, source="s")
        reference = Reference(name="seeded", initialise="toy:draw", claims=(claim,))
        with pytest.raises(DeclarationError) as refused:
            toy(references=(reference,))
        assert str(refused.value).startswith(f"Model(toy).references[seeded]: form of the claim 34: '{named}' is not")
        assert f"did you mean {near!r}?" in str(refused.value)
        kept = dataclasses.replace(reference, claims=(dataclasses.replace(claim, form=near),))
        assert toy(references=(kept,)).reference("seeded").claims[0].form == near


class TestTensors:
    def test_the_batch_is_bound_where_the_declaration_puts_it(self, crnn):
        assert crnn.inputs[0].shape(8) == (8, 1, 32, 100)
        assert crnn.outputs[0].shape(8) == (26, 8, 37)
        assert (crnn.inputs[0].batch_axis, crnn.outputs[0].batch_axis) == (0, 1)

    def test_a_point_is_named_by_its_batch(self):
        assert Point(batch=64).id == "bs64"
