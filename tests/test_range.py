"""The largest number of every layer is found, named, and compared with the largest half."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from harness.assets import Assets
from harness.backends import Batch
from harness.cells import Ask, Scope
from harness.domains import asks
from harness.model import Model
from harness.networks.load import load_network
from harness.onnx_graph.activations import Peak, peaks
from harness.onnx_graph.half import in_half, lowered
from harness.questions.range import SAMPLES, judge
from harness.reference import Asset
from harness.registry import load_models
from harness.store import Store
from harness.verdict import Verdict
from harness.workbench import Wanted, Workbench
from tests.saboteurs import SabotagedBench
from tests.test_saboteurs import settle

SCALE = np.float32(2.0**14)
"""A power of two: single precision loses no digit by it."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("bench")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch")


def asked(question: str, model: Model, precision: str = "fp32", reference: str = "bundled") -> Ask:
    """The question on ONNX Runtime at the accuracy batch."""
    return next(
        ask
        for ask in asks(question, {model.name: model}, Scope())
        if (ask.at.backend, ask.at.precision, ask.at.point.batch) == ("ort", precision, model.accuracy_batch)
        and (ask.reference, ask.form.name) == (reference, "onnx" if precision == "fp32" else "half")
    )


def scale_a_layer_up_and_the_next_one_down(model: onnx.ModelProto) -> None:
    """The sixth convolution of CRNN gives 16384 times as much, and the seventh undoes it: the network is the same."""
    sixth, seventh = [node for node in model.graph.node if node.op_type == "Conv"][5:7]
    factors = dict.fromkeys(sixth.input[1:], SCALE) | {seventh.input[1]: 1 / SCALE}
    for tensor in model.graph.initializer:
        if tensor.name in factors:
            scaled = numpy_helper.to_array(tensor) * factors[tensor.name]
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))


class TestOverflow:
    """A network that single precision computes as before, and half precision not at all."""

    @pytest.fixture
    def overflowing(self, bench: Workbench, tmp_path: Path) -> SabotagedBench:
        store = Workbench(Store(tmp_path / "store"), Assets(), tmp_path / "scratch")
        sabotaged = SabotagedBench(store, tmp_path / "sabotaged")
        sabotaged.edit = scale_a_layer_up_and_the_next_one_down
        return sabotaged

    def test_accuracy_in_single_precision_is_unharmed(self, overflowing: SabotagedBench, crnn: Model) -> None:
        answer = settle(overflowing, asked("accuracy", crnn))
        assert answer.verdict is Verdict.PASS
        assert answer.figures["hits"] == 488

    def test_range_fails_and_names_the_layer_the_number_and_the_sample(
        self, overflowing: SabotagedBench, bench: Workbench, crnn: Model
    ) -> None:
        honest, answer = (settle(each, asked("range", crnn)) for each in (bench, overflowing))
        assert honest.verdict is Verdict.PASS, honest.line
        assert honest.figures["operator"] == answer.figures["operator"] == "Conv"
        assert answer.verdict is Verdict.FAIL
        assert answer.figures["largest"] == pytest.approx(SCALE * honest.figures["largest"])
        assert answer.figures["tensor"] == honest.figures["tensor"] == "/cnn/conv5/Conv_output_0"
        assert answer.figures["over"] == 1
        named = "over 65504, the largest half: 6.55e+05 in Conv /cnn/conv5/Conv_output_0 at rendered_words/"
        assert answer.line.startswith(named)

    @pytest.mark.parametrize("question", ["accuracy", "agreement"])
    def test_the_form_in_half_precision_fails(self, question: str, overflowing: SabotagedBench, crnn: Model) -> None:
        """Though none of its infinite numbers reaches the outputs: LSTM makes finite ones of them."""
        answer = settle(overflowing, asked(question, crnn, "fp16"))
        assert answer.verdict is Verdict.FAIL, answer.line


class TestAsked:
    def test_the_largest_number_is_that_of_the_network(self, bench: Workbench, crnn: Model) -> None:
        """Met by hooks on the twin in torch, over the same samples: in front of its ReLUs, and at its end."""
        answer = settle(with_samples(bench, 8), asked("range", crnn))
        reference = crnn.reference("bundled")
        network = load_network(bench.form(crnn, reference, crnn.form("network")).folder)
        seen: list[float] = []
        for module in network.modules():
            if isinstance(module, torch.nn.ReLU):
                module.register_forward_pre_hook(lambda _, given: seen.append(float(given[0].abs().max())))
        with torch.inference_mode():
            for item in bench.inputs(crnn, reference, 8):
                seen.append(float(network(torch.from_numpy(item.value)[None]).abs().max()))
        assert answer.figures["largest"] == pytest.approx(max(seen), rel=1e-4)
        assert answer.figures["n"] == 8

    def test_so_many_samples_are_looked_at_as_is_said(self, bench: Workbench, crnn: Model) -> None:
        few, usual = (settle(with_samples(bench, count), asked("range", crnn)) for count in (3, None))
        assert (few.figures["n"], usual.figures["n"]) == (3, SAMPLES)
        assert few.figures["largest"] <= usual.figures["largest"]

    def test_all_of_a_small_set_are_looked_at_whoever_drew_them(self, bench: Workbench, crnn: Model) -> None:
        """A range is compared with no published figure, so that other pixels are samples as good."""
        bundled = crnn.reference("bundled")
        few = replace(bundled.data, name="few_words", params={"seed": 2, "count": 3}, n=3, digest="0" * 64)
        model = replace(crnn, references=(crnn.reference("seeded"), replace(bundled, data=few, claims=())))
        answer = settle(bench, asked("range", model))
        assert answer.verdict is Verdict.PASS
        assert answer.figures["n"] == 3
        assert answer.figures["sample"].startswith("few_words/")

    def test_weights_without_data_are_fed_what_everybody_has(self, bench: Workbench, crnn: Model) -> None:
        answer = settle(with_samples(bench, 2), asked("range", crnn, reference="seeded"))
        assert answer.verdict is Verdict.PASS
        assert answer.figures["n"] == 2
        assert answer.figures["sample"].startswith("rendered_words/")

    def test_weights_without_data_are_fed_all_of_a_small_set(self, bench: Workbench, crnn: Model) -> None:
        bundled = crnn.reference("bundled")
        few = replace(bundled.data, name="few_words", params={"seed": 2, "count": 3}, n=3, digest="0" * 64)
        references = (crnn.reference("seeded"), replace(bundled, data=few, claims=()))
        answer = settle(bench, asked("range", replace(crnn, references=references), reference="seeded"))
        assert answer.verdict is Verdict.PASS, answer.line
        assert answer.figures["n"] == 3

    def test_data_that_are_not_here_are_named(self, bench: Workbench, crnn: Model) -> None:
        absent = Asset(name="words of others", patterns=("**/nowhere",), licence="none", source="the test")
        official = replace(crnn.reference("official"), weights=crnn.reference("bundled").weights)
        official = replace(official, network_params={"width": 0.25}, data=replace(official.data, asset=absent))
        model = replace(crnn, references=(official, crnn.reference("bundled")))
        answer = settle(bench, asked("range", model, reference="official"))
        assert answer.verdict is Verdict.SKIPPED
        assert "words of others" in answer.line

    def test_coordinates_that_stay_in_single_precision_are_not_counted(self, bench: Workbench) -> None:
        rare = load_models()["rare"]
        reference = rare.reference("bundled")
        half = onnx.load(bench.form(rare, reference, rare.form("half")).file("model.onnx"))
        single = onnx.load(bench.form(rare, reference, rare.form("onnx")).file("model.onnx"))
        sampler = next(node for node in single.graph.node if node.op_type == "GridSample")
        assert sampler.input[1] not in in_half(half)
        assert sampler.output[0] in in_half(half)


def with_samples(bench: Workbench, samples: int | None) -> Workbench:
    return Workbench(bench.store, bench.assets, bench.scratch, wanted=Wanted(samples=samples))


class TestPeaks:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """``x`` times 1000 is ``v``, of which the logarithm is ``y``; ``w`` is the factor."""
        nodes = [helper.make_node("Mul", ["x", "w"], ["v"]), helper.make_node("Log", ["v"], ["y"])]
        graph = helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
            [numpy_helper.from_array(np.float32(-1000), "w")],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8), tmp_path / "m")
        return tmp_path / "m"

    def batch(self, name: str, *numbers: float) -> Batch:
        return Batch((name,), {"x": np.array([numbers], np.float32)})

    def found(self, path: Path, *batches: Batch) -> dict[str, Peak]:
        return {peak.value: peak for peak in peaks(path, {"x", "w", "v", "y"}, batches, 1)}

    def test_the_largest_size_of_each_value_is_kept_with_its_sample(self, path: Path) -> None:
        batches = [self.batch("a", -1, -2, -3), self.batch("b", -70, -1, -1), self.batch("c", -5, -4, -1)]
        found = self.found(path, *batches)
        assert found["x"] == Peak("x", "input", 70.0, "b")
        assert found["v"] == Peak("v", "Mul", 70000.0, "b")
        assert found["w"] == Peak("w", "weight", 1000.0)
        assert found["y"].largest == pytest.approx(np.log(70000))

    def test_what_is_no_number_is_never_forgotten(self, path: Path) -> None:
        found = self.found(path, self.batch("a", -1, -1, -1), self.batch("b", 1, -1, -1), self.batch("c", -9, -9, -9))
        assert np.isnan(found["y"].largest)
        assert (found["y"].sample, found["v"].sample) == ("b", "c")

    def test_only_named_values_are_looked_at(self, path: Path) -> None:
        assert [peak.value for peak in peaks(path, {"v"}, [self.batch("a", 1, 2, 3)], 1)] == ["v"]

    def test_a_half_form_says_which(self, path: Path) -> None:
        assert in_half(lowered(onnx.load(path))) == {"x", "w", "v", "y"}
        assert in_half(lowered(onnx.load(path), {"v", "y"})) == set()

    def test_of_the_samples_before_only_the_peaks_are_held(self, path: Path) -> None:
        before: list[weakref.ref] = []

        def batches():
            for number in range(4):
                gc.collect()
                assert sum(each() is not None for each in before) <= 1
                given = self.batch(str(number), number, 1, 1)
                before.append(weakref.ref(given.inputs["x"]))
                yield given

        assert self.found(path, *[])["w"].largest == 1000.0
        assert len(peaks(path, {"x", "v"}, batches(), 1)) == 2


class TestJudge:
    @given(st.lists(st.floats(0, 2**18) | st.sampled_from([np.inf, np.nan]), min_size=1, max_size=6))
    def test_it_fails_exactly_where_a_number_is_over_or_none(self, sizes: list[float]) -> None:
        answer = judge([Peak(f"v{place}", "Conv", size, "s") for place, size in enumerate(sizes)], 1)
        over = [size for size in sizes if not size <= 65504]
        assert (answer.verdict is Verdict.FAIL) is bool(over)
        assert answer.figures["over"] == len(over)
        worst = next((size for size in sizes if np.isnan(size)), max(sizes))
        assert answer.figures["largest"] == (worst if np.isfinite(worst) else None)
        # A record is JSON, which has neither.
        json.dumps(dict(answer.figures), allow_nan=False)

    def test_all_that_is_over_is_counted_and_the_worst_are_named(self) -> None:
        sizes = [70000.0, 1.0, float("inf"), float("nan"), 65504.0, 65505.0, 99999.0]
        answer = judge([Peak(f"v{place}", "Mul", size, f"s/{place}") for place, size in enumerate(sizes)], 9)
        assert answer.line == (
            "over 65504, the largest half: nan in Mul v3 at s/3, inf in Mul v2 at s/2, 1e+05 in Mul v6 at s/6 and 2 "
            "more; 5 of 7 layers and 0 weights, n=9"
        )

    def test_a_weight_is_named_as_one(self) -> None:
        answer = judge([Peak("w", "weight", 1e5), Peak("v", "Add", 1.0, "s")], 1)
        assert answer.line.startswith("over 65504, the largest half: 1e+05 in weight w; 1 of 1 layers and 1 weights")

    def test_the_line_says_how_near_the_largest_comes_and_what_half_precision_loses(self) -> None:
        found = [Peak("v", "Conv", 655.04, "s/1"), Peak("w", "weight", 1e-6), Peak("z", "Mul", 0.0, "s/0")]
        answer = judge(found, 64)
        assert answer.verdict is Verdict.PASS
        assert answer.line == (
            "largest 655 in Conv v at s/1: 1.00% of 65504; 2 layers and 1 weights, n=64; 1 of them stay below 6.1e-05, "
            "where half precision loses digits, the least 1e-06 in weight w"
        )
        assert (answer.figures["share"], answer.figures["small"]) == (pytest.approx(0.01), 1)
