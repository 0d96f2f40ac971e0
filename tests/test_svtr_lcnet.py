"""The recogniser's twin gives what the published program gives, from the same files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from harness.checkpoints.paddle_layers import state_of
from harness.checkpoints.paddle_program import read_parameters, read_program
from harness.datasets.rendered.curved import LINES, draw_curved
from harness.datasets.vendor_samples import read_batches
from harness.networks.seeded import condition
from harness.networks.svtr_lcnet import SvtrLcnet
from harness.onnx_graph.export import write_graph
from harness.onnx_graph.paddle import paddle_to_onnx
from harness.sizes import BATCH, TensorSpec
from harness.step import StepInput
from harness.training.glyphs import pictures_of

INPUT = TensorSpec(name="x", axes=(BATCH, 3, 48, 320), dtype="float32")
OUTPUT = TensorSpec(name="softmax_5.tmp_0", axes=(BATCH, 40, 97), dtype="float32")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def files(shared: Path) -> Path:
    return shared / "assets" / "weights" / "ppocrv3" / "en_PP-OCRv3_rec_dequantised"


@pytest.fixture(scope="module")
def twin(files: Path) -> SvtrLcnet:
    network = SvtrLcnet().eval()
    program = read_program(files / "inference.pdmodel")
    network.load_state_dict(state_of(network, program, read_parameters(files / "inference.pdiparams", program)))
    return network


def test_the_published_network_has_the_published_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in SvtrLcnet().parameters()) == 2_215_345


def test_the_twin_agrees_with_the_converted_graph_on_the_vendors_words(
    files: Path, twin: SvtrLcnet, shared: Path, tmp_path: Path
) -> None:
    words = np.concatenate([batch[0] for batch in read_batches(shared / "assets" / "knight" / "rec_b1_10.pd")])
    given = StepInput(sources=(files,), params={"opset": 11}, inputs=(INPUT,), outputs=(OUTPUT,))
    paddle_to_onnx.build(given, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (converted,) = session.run(None, {"x": words})
    with torch.inference_mode():
        single = twin(torch.from_numpy(words)).numpy()
        double = twin.double()(torch.from_numpy(words).double()).numpy()
        twin.float()
    noise = np.abs(single - double).max()
    assert converted.shape == (10, 40, 97)
    assert np.abs(converted - double).max() < 8 * noise < 1e-4
    assert np.array_equal(converted.argmax(axis=2), double.argmax(axis=2))


def test_width_and_blocks_scale_and_the_shape_of_the_output_stays() -> None:
    small = SvtrLcnet(width=0.25, hidden=40, classes=63).eval()
    with torch.inference_mode():
        found = small(torch.zeros(2, 3, 48, 320))
    assert found.shape == (2, 40, 63)
    assert torch.allclose(found.sum(dim=2), torch.ones(2, 40), atol=1e-5)


class TestReluForHardSwish:
    """The network that guide 004 retrained: the same layers with a ReLU for each hard swish."""

    SWISHES = 27

    def test_its_weights_have_the_same_keys_and_shapes(self):
        states = [SvtrLcnet(width=0.125, hidden=16, relu=relu).state_dict() for relu in (False, True)]
        shapes = [{key: tensor.shape for key, tensor in state.items()} for state in states]
        assert shapes[0] == shapes[1]
        assert list(states[0]) == list(states[1])

    def test_its_graph_has_a_relu_for_each_hard_swish_and_differs_in_nothing_else(self, tmp_path):
        operators = []
        for relu in (False, True):
            network = SvtrLcnet(width=0.125, hidden=16, relu=relu).eval()
            write_graph(network, StepInput(params={"opset": 11}, inputs=(INPUT,), outputs=(OUTPUT,)), tmp_path)
            operators.append(Counter(node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node))
        swish, plain = operators
        # Opset 11 has no hard swish: it is written as x * HardSigmoid(x). Squeeze and excitation's gates are Clips.
        assert swish - plain == {"HardSigmoid": self.SWISHES, "Mul": self.SWISHES}
        assert plain - swish == {"Relu": self.SWISHES}
        assert plain["HardSigmoid"] == plain["HardSwish"] == 0

    def test_its_convolutions_give_nothing_below_zero(self):
        seen = {}
        for relu in (False, True):
            network = SvtrLcnet(width=0.125, hidden=16, relu=relu)
            network.load_state_dict(condition(network, 7))
            layer = network.eval().backbone.conv1
            with torch.inference_mode():
                seen[relu] = layer(torch.rand(1, 3, 48, 320) * 2 - 1)
        assert (seen[True].min(), seen[False].min() < -0.1) == (0, True)


def test_seeded_weights_do_not_make_it_blind() -> None:
    """What is compared must depend on the picture by far more than float noise."""
    network = SvtrLcnet()
    network.load_state_dict(condition(network, 7))
    words = pictures_of([draw_curved(2, index, LINES) for index in range(4)], (3, 48, 320))
    with torch.inference_mode():
        single = network.eval()(words).numpy()
        double = network.double()(words.double()).numpy()
    noise = np.abs(single - double).max()
    between = [np.abs(double[one] - double[other]).max() for one in range(4) for other in range(one)]
    assert noise > 0
    assert min(between) > 100 * noise
    assert all(len(set(scores.argmax(axis=1))) > 1 for scores in double)
