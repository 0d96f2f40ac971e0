"""Every layer of a network gets the tensors that its published program has for it, and nothing is left over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import nn

from harness.checkpoints.paddle_layers import layers_of, state_of
from harness.checkpoints.paddle_program import Operator, Program, read_parameters, read_program
from harness.networks.direction_classifier import DirectionClassifier
from harness.networks.load import check_state
from harness.verdict import Refused


@pytest.fixture(scope="module")
def classifier(shared) -> tuple[Program, dict[str, Any]]:
    """The program and the tensors of the published direction classifier."""
    folder = shared / "assets" / "weights" / "ppocrv3" / "ch_ppocr_mobile_v2.0_cls_infer"
    program = read_program(folder / "inference.pdmodel")
    return program, read_parameters(folder / "inference.pdiparams", program)


class Toy(nn.Module):
    """A convolution with bias, one without, a normalisation, a transposed convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 3, groups=4, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 2, 2, bias=False)
        self.fc = nn.Linear(2, 5)


def toy() -> tuple[Program, dict[str, Any]]:
    """The program of ``Toy`` as Paddle would write it, and tensors for it."""
    shapes = {
        "conv2d_0.w_0": (4, 3, 3, 3),
        "conv2d_0.b_0": (1, 4, 1, 1),
        "conv2d_1.w_0": (4, 1, 3, 3),
        "bn_0.w_0": (4,),
        "bn_0.b_0": (4,),
        "bn_0.w_1": (4,),
        "bn_0.w_2": (4,),
        "conv2d_transpose_0.w_0": (4, 2, 2, 2),
        "fc_0.w_0": (2, 5),
        "fc_0.b_0": (5,),
    }
    shapes["conv2d_0.b_0"] = (4,)

    def run(kind: str, output: str, **inputs: str) -> Operator:
        return Operator(kind, {key: (name,) for key, name in inputs.items()}, {output: (kind[:4] + "_out",)})

    operators = (
        run("feed", "Out", X="feed"),
        run("conv2d", "Output", Input="x", Filter="conv2d_0.w_0"),
        run("elementwise_add", "Out", X="conv_out", Y="conv2d_0.b_0"),
        run("depthwise_conv2d", "Output", Input="elem_out", Filter="conv2d_1.w_0"),
        run(
            "batch_norm",
            "Y",
            X="dept_out",
            Scale="bn_0.w_0",
            Bias="bn_0.b_0",
            Mean="bn_0.w_1",
            Variance="bn_0.w_2",
        ),
        run("elementwise_add", "Out", X="batc_out", Y="elem_out"),
        run("conv2d_transpose", "Output", Input="elem_out", Filter="conv2d_transpose_0.w_0"),
        run("matmul_v2", "Out", X="conv_out", Y="elem_out"),
        run("matmul_v2", "Out", X="matm_out", Y="fc_0.w_0"),
        run("elementwise_add", "Out", X="matm_out", Y="fc_0.b_0"),
        run("softmax", "Out", X="elem_out"),
    )
    rng = np.random.default_rng(0)
    return Program(shapes, operators), {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


def without(program: Program, tensor: str) -> Program:
    """The program without the operators that take a tensor."""
    left = tuple(one for one in program.operators if (tensor,) not in one.inputs.values())
    assert len(left) == len(program.operators) - 1
    return replace(program, operators=left)


class TestLayers:
    def test_every_key_of_the_published_twin_is_given_and_every_tensor_is_used(self, classifier):
        program, tensors = classifier
        network = DirectionClassifier()
        state = state_of(network, program, tensors)
        check_state(network, state)
        counts = [key for key in state if key.endswith("num_batches_tracked")]
        assert set(state) == set(network.state_dict())
        assert len(state) - len(counts) == len(tensors) == 213
        given = sorted(value.numpy().tobytes() for key, value in state.items() if key != "head.fc.weight")
        stored = [tensor.tobytes() for name, tensor in tensors.items() if tensor.shape != (200, 2)]
        assert given == sorted(stored + [bytes(8)] * len(counts))
        (linear,) = (tensor for tensor in tensors.values() if tensor.shape == (200, 2))
        assert np.array_equal(state["head.fc.weight"].numpy(), linear.T)

    def test_the_first_and_the_last_convolution_are_where_they_were(self, classifier):
        program, tensors = classifier
        state = state_of(DirectionClassifier(), program, tensors)
        filters = [layer.tensors["weight"] for layer in layers_of(program) if layer.kind == "conv"]
        assert len(filters) == 53
        assert np.array_equal(state["backbone.conv1.conv.weight"].numpy(), tensors[filters[0]])
        assert np.array_equal(state["backbone.conv2.conv.weight"].numpy(), tensors[filters[-1]])

    @pytest.mark.parametrize("place", [0, 26, 52])
    def test_a_convolution_left_out_of_the_published_program_is_told(self, classifier, place):
        program, tensors = classifier
        convolutions = [layer.tensors["weight"] for layer in layers_of(program) if layer.kind == "conv"]
        with pytest.raises(Refused, match=r"52 conv, .* in the program, 53 conv, .*first difference at layer \d+: "):
            state_of(DirectionClassifier(), without(program, convolutions[place]), tensors)

    def test_the_tensors_of_a_toy_go_to_its_layers(self):
        program, tensors = toy()
        state = state_of(Toy(), program, tensors)
        check_state(Toy(), state)
        assert np.array_equal(state["first.bias"].numpy(), tensors["conv2d_0.b_0"])
        assert np.array_equal(state["norm.running_var"].numpy(), tensors["bn_0.w_2"])
        assert np.array_equal(state["fc.weight"].numpy(), tensors["fc_0.w_0"].T)
        assert state["fc.weight"].is_contiguous()
        tensors["bn_0.w_2"][:] = 0
        assert state["norm.running_var"].min() > 0

    def test_a_bias_may_be_reshaped_before_it_is_added(self):
        """So PaddlePaddle 2.6 writes programs."""
        program, tensors = toy()
        feed, first, add, *rest = program.operators
        reshape = Operator("reshape2", {"X": add.inputs["Y"]}, {"Out": ("shaped",), "XShape": ("was",)})

        def state(added: str) -> dict[str, Any]:
            changed = replace(add, inputs={**add.inputs, "Y": (added,)})
            return state_of(Toy(), replace(program, operators=(feed, first, reshape, changed, *rest)), tensors)

        assert np.array_equal(state("shaped")["first.bias"].numpy(), tensors["conv2d_0.b_0"])
        with pytest.raises(Refused, match=r"1 stored tensors belong to no layer .*'conv2d_0\.b_0'"):
            state("was")

    @pytest.mark.parametrize(
        ("tensor", "told"),
        [
            ("conv2d_0.w_0", "2 conv, 1 norm, .* 3 conv, 1 norm, .* layer 1: norm bn_0.w_0 .*, conv second in"),
            ("conv2d_1.w_0", "layer 1: norm bn_0.w_0 in the program, conv second in the network"),
            ("bn_0.w_0", "layer 2: conv conv2d_transpose_0.w_0 in the program, norm norm in the network"),
            ("fc_0.w_0", "1 linear in the network, .* layer 4: no layer in the program, linear fc in the network"),
        ],
    )
    def test_a_layer_left_out_of_the_program_is_told_with_what_stands_there(self, tensor, told):
        program, tensors = toy()
        with pytest.raises(Refused, match=told):
            state_of(Toy(), without(program, tensor), tensors)

    def test_a_layer_more_in_the_network_is_told(self):
        network = Toy()
        network.more = nn.Conv2d(2, 2, 1)
        with pytest.raises(
            Refused, match="first difference at layer 5: no layer in the program, conv more in the netw"
        ):
            state_of(network, *toy())

    def test_a_layer_less_in_the_network_is_told(self):
        network = Toy()
        del network.fc
        with pytest.raises(Refused, match=r"layer 4: linear fc_0\.w_0 in the program, no layer in the network"):
            state_of(network, *toy())

    def test_a_shape_that_differs_is_told_with_its_key(self):
        network = Toy()
        network.second = nn.Conv2d(4, 4, 5, groups=4, bias=False)
        with pytest.raises(Refused, match=r"second\.weight: .* shape \[4, 1, 3, 3\], the network \[4, 1, 5, 5\]"):
            check_state(network, state_of(network, *toy()))

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda network: setattr(network, "first", nn.Conv2d(3, 4, 3, bias=False)), r"1 unused \(first\.bias\)"),
            (lambda network: setattr(network, "up", nn.ConvTranspose2d(4, 2, 2)), r"1 keys missing \(up\.bias\)"),
        ],
    )
    def test_a_bias_on_one_side_alone_is_told_with_its_key(self, change, told):
        network = Toy()
        change(network)
        with pytest.raises(Refused, match=told):
            check_state(network, state_of(network, *toy()))

    def test_stored_tensors_that_no_layer_uses_are_told(self):
        program, tensors = toy()
        more = {"prior_box_0.w_0": np.ones(3, np.float32), "zz": np.ones(1, np.float32)}
        shapes = {**program.shapes, **{name: tensor.shape for name, tensor in more.items()}}
        with pytest.raises(Refused, match=r"2 stored tensors belong to no layer .*, the first is 'prior_box_0\.w_0'"):
            state_of(Toy(), replace(program, shapes=shapes), tensors | more)

    def test_a_weight_that_is_computed_is_told_with_its_operator(self):
        program, tensors = toy()
        del tensors["conv2d_1.w_0"]
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        with pytest.raises(
            Refused, match=r"operator 3, depthwise_conv2d: its Filter 'conv2d_1\.w_0' is no stored tensor"
        ):
            state_of(Toy(), replace(program, shapes=shapes), tensors)

    @pytest.mark.parametrize("kind", ["conv2d", "depthwise_conv2d", "conv2d_transpose", "batch_norm", "layer_norm"])
    def test_an_operator_without_its_inputs_is_told(self, kind):
        program = Program({}, (Operator("feed", {}, {}), Operator(kind, {}, {})))
        with pytest.raises(Refused, match=rf"operator 1, {kind}: its (Filter|Scale) '' is no stored tensor"):
            state_of(Toy(), program, {})

    def test_a_product_without_a_stored_factor_is_no_layer(self):
        program = Program({"w": (1, 1)}, (Operator("matmul_v2", {}, {}), Operator("mul", {"Y": ("x",)}, {})))
        assert list(layers_of(program)) == []
