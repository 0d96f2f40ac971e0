"""Forms that give classes where those before gave logits, forms that are made for each point, points for devices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.agree import Decoded, Loss, agree, item_distances, lossy
from harness.cells import Cell, Scope, cells
from harness.claim import Claim
from harness.declaration import DeclarationError
from harness.domains import asks
from harness.form import Form
from harness.markers import marker_names
from harness.measure import Measurement
from harness.model import Model
from harness.onnx_graph.inspect import Summary, Tensor
from harness.questions.agreement import as_given_by, least_items
from harness.questions.build import differ
from harness.questions.throughput import claimed
from harness.registry import load_models
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Answer, Verdict

MAPS = arrays(np.int64, (3, 4, 5), elements=st.integers(0, 18))
SPEC = TensorSpec(name="classes", axes=(BATCH, 4, 5), dtype="int64")


def pixels(expected: np.ndarray, actual: np.ndarray, bound: float) -> Decoded:
    return Decoded(n=expected.size, compared=expected.size, equal=int((expected == actual).sum()), unit="pixels")


@pytest.fixture(scope="module")
def ocrnet() -> Model:
    return load_models()["ocrnet"]


def cell(model: Model, form: str, point: str = "bs1_128x256", backend: str = "ort") -> Cell:
    found = model.form(form)
    recipe = model.recipes.get(backend)
    return Cell(model, found, backend, recipe.precision if recipe else found.precision, model.point(point))


class TestDistancesOfClasses:
    @given(MAPS, MAPS)
    def test_the_distance_of_two_maps_is_the_share_of_pixels_that_differ(self, left, right):
        expected = [
            sum(a != b for a, b in zip(x.flat, y.flat, strict=True)) / 20 for x, y in zip(left, right, strict=True)
        ]
        assert item_distances(left, right).tolist() == pytest.approx(expected)

    def test_a_class_further_off_is_no_further_away(self):
        left, near, far = np.zeros((1, 4, 5), int), np.zeros((1, 4, 5), int), np.zeros((1, 4, 5), int)
        near[0, 0, 0], far[0, 0, 0] = 1, 18
        assert item_distances(left, near) == item_distances(left, far) == 1 / 20

    def test_equal_maps_pass_an_exact_promise_and_one_other_pixel_fails_it(self):
        maps = np.random.default_rng(0).integers(0, 19, (3, 4, 5))
        answer = agree(maps, maps.copy(), 0.0, SPEC, pixels).answer(("a", "b", "c"), "exact to onnx")
        assert answer.verdict is Verdict.PASS
        turned = maps.copy()
        turned[1, 2, 3] = (turned[1, 2, 3] + 1) % 19
        answer = agree(maps, turned, 0.0, SPEC, pixels).answer(("a", "b", "c"), "exact to onnx")
        assert answer.verdict is Verdict.FAIL
        assert "share of others 0.05, bound 0" in answer.line
        assert answer.line.endswith("worst at b")

    def test_maps_of_one_class_alone_show_nothing(self):
        maps = np.full((3, 4, 5), 7)
        answer = agree(maps, maps.copy(), 0.0, SPEC, pixels).answer(("a", "b", "c"), "exact to onnx")
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert "a constant, another sample's output, the output shifted by one would pass too" in answer.line

    def test_a_loss_is_a_share_of_pixels_and_says_so(self):
        rng = np.random.default_rng(0)
        maps = rng.integers(0, 19, (4, 4, 5))
        turned = maps.copy()
        turned[:, 0, 0] = (turned[:, 0, 0] + 1) % 19
        loss = Loss(equal=0.9, because="some take the nearest")
        answer = lossy(maps, turned, loss, SPEC, pixels)
        assert answer.verdict is Verdict.PASS
        assert answer.line.startswith(
            "lossy: 76 of 80 pixels stay the same, expected at least 90% (some take the nearest)"
        )
        turned[:, 1:3, 0] = (turned[:, 1:3, 0] + 1) % 19
        assert lossy(maps, turned, loss, SPEC, pixels).verdict is Verdict.FAIL


class TestOutputsOfForms:
    def test_what_a_form_gives_is_its_own_or_that_of_the_form_before(self, ocrnet):
        names = {form.name: ocrnet.outputs_of(form)[0].name for form in ocrnet.forms if form.runs}
        logits = {name for name, output in names.items() if output == "logits"}
        assert logits == {"network", "onnx", "converted"}
        assert set(names.values()) == {"logits", "classes"}

    def test_a_session_is_asked_for_the_outputs_of_what_it_loads(self, ocrnet):
        assert cell(ocrnet, "onnx").sized.outputs[0].shape(2) == (2, 19, 128, 256)
        assert cell(ocrnet, "nearest").sized.outputs[0].shape(2) == (2, 128, 256)
        # The device is given another form than the one that it answers for.
        device = cell(ocrnet, "onnx", backend="ascend").sized.outputs[0]
        assert (device.name, device.dtype) == ("classes", "int64")

    def test_logits_are_compared_with_classes_as_the_declaration_makes_classes_of_them(self, ocrnet):
        logits = np.random.default_rng(0).normal(size=(1, 19, 128, 256)).astype(np.float32)
        child, parent = cell(ocrnet, "classes"), cell(ocrnet, "onnx")
        assert np.array_equal(as_given_by(child, parent, logits), logits.argmax(axis=1))
        assert as_given_by(parent, parent, logits) is logits

    def test_the_model_itself_has_no_reduction(self, ocrnet):
        with pytest.raises(DeclarationError, match=r"forms\[onnx\]: gives the model's own outputs"):
            ocrnet.reduction(ocrnet.form("onnx"))

    @pytest.mark.parametrize("wrong", [{"outputs": (SPEC,)}, {"reduce": "harness.postprocess.segmentation:argmax"}])
    def test_outputs_of_its_own_and_what_makes_them_go_together(self, ocrnet, wrong):
        form = Form(name="odd", parent="network", step="x:y", format="onnx", **wrong)
        with pytest.raises(DeclarationError, match=r"forms\[odd\]: outputs .* with reduce="):
            replace(ocrnet, forms=(*ocrnet.forms, form))

    def test_outputs_of_a_form_take_every_point(self, ocrnet):
        narrow = TensorSpec(name="c", axes=(BATCH, replace(ocrnet.inputs[0].symbols[0], high=96)), dtype="int64")
        form = Form(name="odd", parent="network", step="x:y", format="onnx", outputs=(narrow,), reduce="x:y")
        with pytest.raises(DeclarationError, match=r"height 128: expected a multiple of 32 from 64 to 96"):
            replace(ocrnet, forms=(*ocrnet.forms, form))

    def test_files_of_a_device_hold_what_its_compiler_was_given(self, ocrnet):
        for name in ("official", "exported", "bundled"):
            answering = ocrnet.answering(ocrnet.reference(name))
            assert [(spec.name, spec.dtype) for spec in answering.outputs] == [("classes", "int64")]
        crnn = load_models()["crnn"]
        assert crnn.answering(crnn.reference("bundled")).outputs == crnn.outputs

    def test_noise_of_the_largest_pictures_is_measured_on_two(self, ocrnet):
        found = {point.id: least_items(cell(ocrnet, "onnx", point.id).sized) for point in ocrnet.points}
        assert (found["bs1_256x512"], found["bs1_1024x2048"]) == (4, 2)


class TestStaticForms:
    def test_build_is_asked_of_one_at_every_point_that_runs_here(self, ocrnet):
        asked = asks("build", {"ocrnet": ocrnet}, Scope())
        static = [ask.subject for ask in asked if ask.form.name == "static"]
        here = [point for point in ocrnet.points if not point.compiled]
        assert static == [f"ocrnet.static-ort-fp32-{point.id}" for point in here]
        assert [ask.subject for ask in asked if ask.form.name == "classes"] == ["ocrnet.classes"]

    @pytest.mark.parametrize("wrong", [{"format": "torch"}, {"parent": "static"}])
    def test_one_is_a_graph_and_the_last_of_its_way(self, ocrnet, wrong):
        form = Form(**{"name": "odd", "parent": "nearest", "step": "x:y", "format": "onnx", "static": True, **wrong})
        with pytest.raises(DeclarationError, match=r"static: expected a form in ONNX, and none that is made from it"):
            replace(ocrnet, forms=(*ocrnet.forms, form))

    def test_every_axis_is_bound_the_batch_too(self, ocrnet):
        point = ocrnet.point("bs4_256x512")
        assert [spec.bound(point).axes for spec in ocrnet.inputs] == [(4, 3, 256, 512)]
        assert ocrnet.outputs_of(ocrnet.form("static"))[0].bound(point).axes == (4, 256, 512)

    def test_a_graph_whose_batch_stayed_open_is_none(self, ocrnet):
        found = Summary(
            opset=11,
            inputs=(Tensor("x", ("batch", 3, 128, 256), "float32"),),
            outputs=(Tensor("classes", (1, 128, 256), "int64"),),
            operators={"ArgMax": 1, "Resize": 35},
            size=1,
        )
        form = replace(ocrnet.form("static"), nodes=None, operators={})
        (line,) = differ(ocrnet, form, found, ocrnet.point("bs1_128x256"))
        assert line.startswith("inputs are x float32['batch', 3, 128, 256], declared x float32[1, 3, 128, 256]")


class TestPointsForDevices:
    def test_only_a_backend_that_compiles_is_asked_at_one(self, ocrnet):
        found = {(each.backend, each.point.id) for each in cells(ocrnet) if each.point.compiled}
        assert found == {("ascend", f"bs{batch}_1024x2048") for batch in (4, 8, 16)}

    def test_batches_whose_float_noise_needs_too_much_memory_are_timed_alone(self, ocrnet):
        asked = {
            question
            for question in ("agreement", "batching", "throughput")
            for ask in asks(question, {"ocrnet": ocrnet}, Scope())
            if ask.at.point.compiled
        }
        assert asked == {"throughput"}

    def test_a_device_is_timed_where_a_processor_is_too_slow(self, ocrnet):
        asked = asks("throughput", {"ocrnet": ocrnet}, Scope())
        slow = {ask.at.backend: "slow" in ask.markers for ask in asked if ask.at.point.id == "bs1_1024x2048"}
        assert slow == {"ort": True, "ascend": False}

    def test_every_point_has_a_marker(self, ocrnet):
        assert {point.id for point in ocrnet.points} <= set(marker_names({"ocrnet": ocrnet}))


class TestClaims:
    def test_per_cent_is_a_share_and_stays_as_printed(self):
        claim = Claim(metric="miou", printed="80.67", unit="%", source="a guide", allow=0.01, because="the guide's")
        assert (claim.printed, claim.value) == ("80.67", 0.8067)
        assert claim.floor == pytest.approx(0.7967)

    @given(st.integers(0, 10_000))
    def test_every_printed_per_cent_is_exactly_its_share(self, hundredths):
        printed = f"{hundredths // 100}.{hundredths % 100:02d}"
        assert Claim(metric="miou", printed=printed, unit="%", source="a guide").value == hundredths / 10_000

    def test_a_failure_stands_in_the_place_of_a_figure(self):
        said = {"metric": "throughput", "source": "a guide", "clock": "device", "batch": 16}
        assert Claim(printed="/", fails="too large", **said).floor == 0
        for wrong in ({"printed": "/"}, {"printed": "9.4", "fails": "too large"}):
            with pytest.raises(DeclarationError, match="needs ``fails``"):
                Claim(**said, **wrong)

    def test_a_device_that_does_what_was_published_to_fail_passes_and_it_is_said(self, ocrnet):
        measured = Measurement(clock="device", wall=(2.0,), device="Tesla T4")
        timed = Answer(verdict=Verdict.PASS, line="8.0/s", figures={})
        answer = claimed(timed, ocrnet.reference("official"), measured, ocrnet.point("bs16_1024x2048"))
        assert answer.verdict is Verdict.PASS
        assert answer.line == (
            "8.0/s; it was published to fail: an operator's input is over the largest shape that it takes"
        )
        slow = claimed(timed, ocrnet.reference("official"), measured, ocrnet.point("bs8_1024x2048"))
        assert slow.verdict is Verdict.FAIL
        assert "claim 11.980 pictures/s on Tesla T4" in slow.line

    def test_the_guides_rule_is_a_loss_within_one_per_cent_of_the_reference(self, ocrnet):
        single, half = (
            next(claim for claim in ocrnet.reference("official").claims if claim.precisions == (precision,))
            for precision in ("fp32", "fp16")
        )
        assert (single.printed, half.printed) == ("80.67", "79.89")
        assert half.floor == pytest.approx(0.99 * single.value, abs=1e-6)
        assert round(single.value - half.value, 4) == 0.0078
        assert round((single.value - half.value) / single.value, 4) == 0.0097

    def test_the_published_ratio_is_that_of_the_published_times(self, ocrnet):
        claims = ocrnet.reference("official").claims
        times = {(claim.device, claim.batch): claim for claim in claims if claim.metric == "throughput"}
        ratio = next(claim for claim in claims if claim.metric == "speedup")
        found = times["Ascend310P3", 1].value / times["Tesla T4", 1].value
        assert f"{found:.2f}" == ratio.printed
        assert times["Tesla T4", 16].fails
