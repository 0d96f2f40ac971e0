"""Layers that lie too far from single precision are found, and the first of them is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from harness.quantisation import LayerBounds
from harness.quantize.layers import ALONE, Layer, Place
from harness.quantize.side_by_side import SideBySide, dequantised_in
from harness.questions.layers import RANKED, judge, ranked
from harness.verdict import Refused, Verdict
from tests import saboteurs_quantised
from tests.layered import LAYERS, Files, batches, files, network

BOUNDS = LayerBounds()


def layer(*pairs: tuple[object, object], step: float | None = None, number: int = 1) -> Layer:
    """A layer of these samples, float and quantised."""
    found = Layer(Place(number, f"t{number}", "Conv", step=step))
    for sample, (f, q) in enumerate(pairs):
        found.add(f"s/{sample}", np.asarray(f, np.float64), np.asarray(q, np.float64))
    return found


class TestLayer:
    def test_one_permuted_sample_of_many_is_found_and_named(self) -> None:
        draw = np.random.default_rng(0).standard_normal((60, 500))
        pairs = [(each, each + 0.001) for each in draw]
        pairs[7] = (draw[7], np.roll(draw[7], 1))
        found = layer(*pairs)
        assert found.likeness > BOUNDS.cosine
        assert found.worst[0] == "s/7"
        assert found.over(BOUNDS).endswith(
            f"at s/7 alone, bound {1 - ALONE**2 * 0.03:.4g}; {found.likeness:.4f} over all"
        )

    @pytest.mark.parametrize("spoil", [np.flip, np.sort, lambda q: np.roll(q, 1), np.random.default_rng(1).permutation])
    def test_a_permuted_gate_is_found_though_its_cosine_is_high(self, spoil: Callable[[NDArray], NDArray]) -> None:
        gate = np.random.default_rng(0).uniform(0.8, 1, 2000)
        found = layer((gate, spoil(gate)))
        assert found.whole.cosine > 0.99
        assert found.whole.snr > BOUNDS.snr
        assert "of what deviates from the mean, bound 0.88; 0.99" in found.over(BOUNDS)

    def test_what_deviates_less_than_the_steps_has_no_order(self) -> None:
        draw = np.random.default_rng(0)
        f = 1 + draw.uniform(0, 0.01, 500)
        q = np.round(f / 0.01) * 0.01
        assert layer((f, q), step=0.01).over(BOUNDS) == ""
        assert layer((f, np.flip(f)), step=1e-5).over(BOUNDS) != ""

    def test_a_sample_without_signal_is_not_looked_at_by_itself(self) -> None:
        f = np.random.default_rng(0).standard_normal(500)
        found = layer((f, f), (f * 0.01, -f * 0.01), (f * 0, f * 0 + 1e-3))
        assert found.worst[0] == "s/0"
        assert found.over(BOUNDS) == ""

    @pytest.mark.parametrize(
        ("f", "q", "step", "silent"),
        [
            (np.zeros(9), np.zeros(9), None, True),
            (np.zeros(9), np.full(9, 0.1), 0.2, True),
            (np.zeros(9), np.full(9, 0.1), 0.01, False),
            (np.zeros(9), np.full(9, 0.1), None, False),
            (np.full(9, 0.1), np.zeros(9), None, False),
            (np.full(9, 5.0), np.full(9, 5.0), 0.1, False),
        ],
    )
    def test_silent_is_what_holds_no_more_than_a_step(
        self, f: NDArray, q: NDArray, step: float | None, silent: bool
    ) -> None:
        found = layer((f, q), step=step)
        assert found.silent is silent
        assert bool(found.over(BOUNDS)) is (not silent and not np.array_equal(f, q))

    @pytest.mark.parametrize("what", [np.nan, np.inf, -np.inf, 1e200])
    def test_what_is_no_finite_number_is_over_whatever_else_it_is(self, what: float) -> None:
        f = np.arange(9.0)
        spoilt = np.where(f == 4, what, f)
        for pair in ((f, spoilt), (spoilt, spoilt)):
            found = layer((f, f), pair, (f, f), step=0.1)
            assert found.over(LayerBounds(cosine=0.01, snr=-500, gain=(-1e9, 1e9))).endswith("at s/1"), found.over(
                BOUNDS
            )

    @pytest.mark.parametrize(
        ("missed", "said"),
        [
            ({"cosine": 0.99}, "cosine 0.9877, bound 0.99"),
            ({"snr": 18.0}, "signal-to-noise ratio 16.0 dB, bound 18"),
            ({"gain": (0.97, 1.1)}, "gain 0.949, bounds 0.97 to 1.1"),
        ],
    )
    def test_each_bound_is_one_by_itself(self, missed: dict[str, object], said: str) -> None:
        draw = np.random.default_rng(0)
        f = draw.standard_normal(4000)
        found = layer((f, 0.95 * f + 0.14 * draw.standard_normal(4000) + 0.05))
        met = LayerBounds(cosine=0.975, snr=15.0, gain=(0.9, 1.1))
        assert found.over(met) == ""
        assert found.over(replace(met, **missed)).startswith(said), found.over(replace(met, **missed))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return files(tmp_path_factory.mktemp("layered"))


@pytest.fixture(scope="module")
def graph(both: Files) -> onnx.ModelProto:
    return onnx.load(both.quantised)


def first_over(layers: list[Layer]) -> str:
    """The tensor of the first layer that the judge names; that it fails is looked at."""
    answer = judge(layers, BOUNDS, 4)
    assert answer.verdict is Verdict.FAIL, answer.line
    assert answer.line.startswith(f"layer {answer.figures['first_over']} is the first over a bound: ")
    return str(answer.figures["first_over"]).split()[2]


class TestSideBySide:
    def test_a_healthy_form_passes_and_says_the_worst(self, both: Files) -> None:
        layers = both.compared()
        assert tuple(each.place.tensor for each in layers) == LAYERS
        answer = judge(layers, BOUNDS, 4)
        assert answer.verdict is Verdict.PASS
        assert answer.line.startswith("11 layers, n=4; worst 7 Mul scaled: cosine 0.99")
        assert answer.figures["least_snr"] > 25

    def test_what_feeds_a_relu_alone_is_no_layer(self, both: Files) -> None:
        """Its range is that of what comes out: below zero nothing is left of it, and nothing is lost by that."""
        assert "c1" not in {each.place.tensor for each in both.compared()}
        assert "c1" in dequantised_in(onnx.load(both.quantised))

    def test_steps_are_those_of_the_file_and_outputs_are_said_to_be_some(self, both: Files) -> None:
        places = {each.place.tensor: each.place for each in both.compared()}
        assert places["y"].step == pytest.approx(1 / 255)
        assert str(places["y"]) == "12 Softmax y (output)"
        assert (str(places["x"]), places["r1"].number) == ("1 Input x", 3)

    def test_sixteen_bits_lie_nearer(self, both: Files, tmp_path: Path) -> None:
        eight, sixteen = ranked(both.compared()), ranked(files(tmp_path, 16).compared())
        assert sixteen[0].whole.snr > eight[0].whole.snr + 10

    @pytest.mark.parametrize("tensor", LAYERS)
    def test_a_scale_doubled_behind_is_named_by_its_gain(
        self, tensor: str, both: Files, graph: onnx.ModelProto
    ) -> None:
        layers = both.compared(saboteurs_quantised.scale_doubled_behind(graph, tensor))
        found = next(each for each in layers if each.place.tensor == tensor)
        assert found.whole.cosine > 0.999
        assert found.whole.gain == pytest.approx(2, abs=0.02)
        assert first_over(layers) == tensor

    @pytest.mark.parametrize(
        ("node", "tensor"), [("conv1", "r1"), ("conv2", "m1"), ("conv3", "m2"), ("gemm", "scores")]
    )
    @pytest.mark.parametrize("name", ["weight_scale_doubled", "channel_scales_shifted"])
    def test_a_wrong_weight_is_named_where_it_first_shows(
        self, name: str, node: str, tensor: str, both: Files, graph: onnx.ModelProto
    ) -> None:
        layers = both.compared(getattr(saboteurs_quantised, name)(graph, node))
        assert first_over(layers) == tensor

    def test_a_wrong_axis_is_seen_though_integer_kernels_do_not_look_at_it(
        self, both: Files, graph: onnx.ModelProto
    ) -> None:
        assert first_over(both.compared(saboteurs_quantised.axis_wrong(graph, "conv2"))) == "m1"

    def test_a_wrong_axis_that_cannot_be_computed_is_said(
        self, both: Files, graph: onnx.ModelProto, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(Refused, match="does not run node by node"):
            both.compared(saboteurs_quantised.axis_wrong(graph, "conv1"))
        capfd.readouterr()  # ONNX Runtime says it too

    def test_a_clipped_bias_is_seen(self, both: Files, graph: onnx.ModelProto) -> None:
        assert first_over(both.compared(saboteurs_quantised.bias_clipped(graph, "gemm"))) == "scores"

    def test_a_lost_relu_is_a_lost_layer(self, both: Files, graph: onnx.ModelProto) -> None:
        with pytest.raises(Refused, match=r"1 of 11 layers .* the first is 3 Relu r1: expected"):
            both.compared(saboteurs_quantised.relu_lost(graph, "relu1"))

    def test_half_the_resolution_shows_as_6_db(self, both: Files, graph: onnx.ModelProto) -> None:
        """Healthy all the same: only the recorded parameters tell that it was not meant."""
        before, after = (
            {each.place.tensor: each.whole.snr for each in both.compared(changed)}
            for changed in (None, saboteurs_quantised.scale_doubled(graph, "x"))
        )
        assert before["x"] - after["x"] == pytest.approx(6, abs=1)

    def test_a_zero_point_that_is_off_shows_as_a_mean_error_of_a_step(
        self, both: Files, graph: onnx.ModelProto
    ) -> None:
        layers = both.compared(saboteurs_quantised.zero_point_moved_behind(graph, "x"))
        assert next(each for each in layers if each.place.tensor == "x").steps == pytest.approx(-1, abs=0.1)

    def test_another_network_is_told_from_a_form_of_this(self, both: Files, tmp_path: Path) -> None:
        other = network()
        for node in other.graph.node:
            node.output[:] = [name.replace("m2", "other") for name in node.output]
            node.input[:] = [name.replace("m2", "other") for name in node.input]
        onnx.save(other, tmp_path / "other.onnx")
        with pytest.raises(Refused, match="the first is 8 Conv other"):
            SideBySide(tmp_path / "other.onnx", both.quantised, 1)

    def test_a_file_that_is_no_graph_is_named(self, both: Files, tmp_path: Path) -> None:
        broken = onnx.load(both.quantised)
        del broken.graph.initializer[:]
        onnx.save(broken, tmp_path / "broken.onnx")
        with pytest.raises(Refused, match=r"does not load .*broken\.onnx"):
            SideBySide(both.single, tmp_path / "broken.onnx", 1)

    def test_layers_of_another_shape_are_refused(self, both: Files) -> None:
        found = SideBySide(both.single, both.quantised, 1)

        class Cut:
            def run(self, names: list[str], feed: object) -> list[NDArray]:
                return [np.zeros((1, 2), np.float32) for _ in names]

        found._quantised = Cut()
        with pytest.raises(
            Refused, match=r"layer 1 Input x: \[1, 2\] in the quantised graph, expected \[1, 3, 12, 12\]"
        ):
            list(found.run(batches(1)[0]))


class TestJudge:
    def test_the_first_in_order_is_named_though_a_later_one_is_worse(self) -> None:
        f = np.random.default_rng(0).standard_normal(100)
        layers = [layer((f, f)), layer((f, f * 1.2), number=2), layer((f, -f), number=3)]
        answer = judge(layers, BOUNDS, 1)
        assert answer.verdict is Verdict.FAIL
        assert answer.line == (
            "layer 2 Conv t2 is the first over a bound: gain 1.200, bounds 0.9 to 1.1; cosine 1.0000; 2 of 3 layers, "
            "n=1"
        )
        assert answer.figures["worst"].split("\n")[0] == "3 Conv t3"
        assert (answer.figures["over"], answer.figures["worst_gain"][0]) == (2, pytest.approx(-1))

    def test_where_all_is_silent_nothing_was_compared(self) -> None:
        answer = judge([layer((np.zeros(3), np.zeros(3)))], BOUNDS, 1)
        assert answer.verdict is Verdict.INCONCLUSIVE
        assert answer.line == "nothing was compared: 1 layers, 1 of them silent and not judged, n=1"
        assert judge([], BOUNDS, 0).verdict is Verdict.INCONCLUSIVE

    def test_silent_layers_are_said_and_in_no_figure(self) -> None:
        f = np.random.default_rng(0).standard_normal(100)
        answer = judge([layer((f, f * 1.01)), layer((f * 0, f * 0), number=2)], BOUNDS, 1)
        assert answer.verdict is Verdict.PASS
        assert "2 layers, 1 of them silent and not judged" in answer.line
        assert answer.figures["worst"] == "1 Conv t1"
        assert answer.figures["least_gain"] == pytest.approx(1.01)

    def test_figures_are_json_whatever_layers_hold(self) -> None:
        f = np.random.default_rng(0).standard_normal(9)
        spoilt = np.where(f == f.max(), np.nan, f)
        layers = [layer((f, f)), layer((f, spoilt)), layer((f * 0, f)), layer((f, f * 0)), layer((f * 0, f * 0))]
        for some in (layers, layers[1:2], layers[4:], []):
            json.dumps(dict(judge(some, BOUNDS, 1).figures), allow_nan=False)

    def test_as_many_worst_layers_are_kept_as_a_page_shows(self) -> None:
        f = np.random.default_rng(0).standard_normal(9)
        layers = [layer((f, f * (1 + number / 1000)), number=number) for number in range(1, RANKED + 5)]
        figures = judge(layers, BOUNDS, 1).figures
        assert figures["worst"].split("\n") == [f"{number} Conv t{number}" for number in range(RANKED + 4, 4, -1)]
        assert all(len(figures[f"worst_{name}"]) == RANKED for name in ("cosine", "snr", "gain", "saturation"))
