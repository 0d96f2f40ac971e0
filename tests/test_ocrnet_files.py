"""OCRNet's weights are read from what Paddle saves, and its graph enlarges in the order of Paddle's."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.checkpoints.collect import collect
from harness.checkpoints.paddle_layers import state_of
from harness.checkpoints.paddle_program import Operator, Program
from harness.networks.load import WEIGHTS, network_of
from harness.networks.ocrnet import OcrNet
from harness.networks.seeded import condition
from harness.onnx_graph.export import write_graph
from harness.sizes import BATCH, Symbol, TensorSpec
from harness.step import StepInput
from harness.verdict import Refused

SMALL = {"width": 0.125}
NETWORK = {"network": "harness.networks.ocrnet:OcrNet", "network_params": SMALL}
CHANNELS = (2, 4, 9, 18)
"""Of the branches at this width."""
STATISTICS = {"running_mean": "_mean", "running_var": "_variance"}
HEIGHT, WIDTH = (Symbol(name=name, low=32, high=4096, multiple=32) for name in ("height", "width"))
INPUT = TensorSpec(name="x", axes=(BATCH, 3, HEIGHT, WIDTH), dtype="float32")
OUTPUT = TensorSpec(name="logits", axes=(BATCH, 19, HEIGHT, WIDTH), dtype="float32")

Arrays = dict[str, Any]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def narrow() -> OcrNet:
    """An eighth of the published width, with weights of a seed."""
    network = OcrNet(**SMALL)
    network.load_state_dict(condition(network, 7))
    return network.eval()


@pytest.fixture
def arrays(narrow: OcrNet) -> Arrays:
    """What Paddle would have saved of the network, for the test to change."""
    found: Arrays = {}
    for key, tensor in narrow.state_dict().items():
        owner, _, name = key.rpartition(".")
        if name != "num_batches_tracked":
            found[f"{owner}.{STATISTICS.get(name, name)}"] = tensor.numpy().copy()
    return found | {"StructuredToParameterName@@": {key: f"conv2d_{at}.w_0" for at, key in enumerate(found)}}


@pytest.fixture
def through(tmp_path: Path) -> Callable[[Arrays], dict[str, Tensor]]:
    """Takes a saved file through both steps from a checkpoint to a network, and returns the network's weights."""

    def build(content: Arrays) -> dict[str, Tensor]:
        path, weights, network = (tmp_path / name for name in ("model.pdparams", "weights", "network"))
        path.write_bytes(pickle.dumps(content, 4))
        weights.mkdir()
        network.mkdir()
        collect.build(StepInput(sources=(path,), **NETWORK), weights)
        network_of.build(StepInput(sources=(weights,), **NETWORK), network)
        return load_file(network / WEIGHTS)

    return build


def same(found: dict[str, Tensor], network: nn.Module) -> bool:
    """Whether these are exactly the network's weights."""
    expected = network.state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


class TestTrained:
    def test_a_whole_file_is_the_whole_network(self, narrow, arrays, through):
        assert len(arrays) == 1583 + 1
        assert same(through(arrays), narrow)

    @pytest.mark.parametrize(
        ("gone", "told"),
        [
            ("head.cls_head.bias", "head.cls_head.bias"),
            (
                "backbone.st4.stage_st4_3.fuse_func.residual_st4_3_layer_4_1_3._batch_norm._variance",
                "backbone.st4.stage_st4_3.fuse_func.residual_st4_3_layer_4_1_3._batch_norm.running_var",
            ),
        ],
    )
    def test_a_weight_that_is_missing_is_told_by_the_networks_name(self, arrays, through, gone, told):
        del arrays[gone]
        with pytest.raises(Refused) as refused:
            through(arrays)
        assert f"1 keys missing ({told}), 0 unused" in str(refused.value)

    def test_a_weight_that_nothing_uses_is_told_by_its_name_in_the_file(self, arrays, through):
        arrays["backbone.st2.stage_st2_2.fuse_func._mean"] = np.ones(2, np.float32)
        with pytest.raises(Refused, match=r"0 keys missing , 1 unused \(backbone.st2.stage_st2_2.fuse_func._mean\)"):
            through(arrays)

    def test_a_weight_of_another_width_is_told(self, arrays, through):
        arrays["head.aux_head.1.weight"] = np.ones((19, 270, 1, 1), np.float32)
        with pytest.raises(Refused, match=r"aux_head\.1\.weight: the checkpoint has shape \[19, 270, 1, 1\], the net"):
            through(arrays)


def ran(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The convolutions and normalisations of a network in the order in which they run."""
    order: list[tuple[str, nn.Module]] = []
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    hooks = [
        layer.register_forward_pre_hook(lambda *_, found=(name, layer): order.append(found)) for name, layer in layers
    ]
    with torch.inference_mode():
        network(torch.zeros(1, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return order


def program(network: nn.Module) -> tuple[Program, Arrays]:
    """A program of the network's layers as PaddlePaddle 2.6 writes it: biases are reshaped before they are added."""
    tensors: Arrays = {}
    operators = [Operator("feed", {"X": ("feed",)}, {"Out": ("x",)})]

    def store(name: str, tensor: Tensor) -> tuple[str, ...]:
        tensors[name] = tensor.detach().numpy().copy()
        return (name,)

    for at, (_, layer) in enumerate(ran(network)):
        given = (f"given_{at}",)
        if isinstance(layer, nn.Conv2d):
            weight = store(f"conv2d_{at}.w_0", layer.weight)
            operators.append(Operator("conv2d", {"Filter": weight}, {"Output": given}))
            if layer.bias is not None:
                bias, shaped = store(f"conv2d_{at}.b_0", layer.bias), (f"shaped_{at}",)
                operators.append(Operator("reshape2", {"X": bias}, {"Out": shaped}))
                operators.append(Operator("elementwise_add", {"X": given, "Y": shaped}, {"Out": (f"sum_{at}",)}))
            continue
        parts = zip(("Scale", "Bias", "Mean", "Variance"), (*layer.parameters(), *layer.buffers()), strict=False)
        inputs = {part: store(f"bn_{at}.{part}", tensor) for part, tensor in parts}
        operators.append(Operator("batch_norm", inputs, {"Y": given}))
    return Program({name: tensor.shape for name, tensor in tensors.items()}, tuple(operators)), tensors


class TestProgram:
    def test_its_layers_are_registered_in_the_order_in_which_they_run(self, narrow):
        registered = [name for name, layer in narrow.named_modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
        assert [name for name, _ in ran(narrow)] == registered
        assert len(registered) == 630

    def test_every_tensor_of_a_program_has_its_place(self, narrow):
        found, tensors = program(narrow)
        assert len(tensors) == 1583
        assert same(state_of(narrow, found, tensors), narrow)

    def test_a_bias_that_is_reshaped_and_not_added_is_told(self, narrow):
        found, tensors = program(narrow)
        last = found.operators[-1]
        assert (found.operators[-2].type, last.type) == ("reshape2", "elementwise_add")
        for other in (
            Operator("elementwise_mul", last.inputs, last.outputs),
            Operator(last.type, {**last.inputs, "X": ("x",)}, last.outputs),
        ):
            with pytest.raises(Refused, match=r"1 stored tensors belong to no layer .*'conv2d_629\.b_0'"):
                state_of(narrow, Program(found.shapes, (*found.operators[:-1], other)), tensors)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """The graph as it is: rewriting so many nodes takes longer than running them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def model(narrow: OcrNet, tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    out = tmp_path_factory.mktemp("exported")
    write_graph(narrow, StepInput(params={"opset": 11}, inputs=(INPUT,), outputs=(OUTPUT,)), out)
    return onnx.load(out / "model.onnx")


class TestExported:
    def test_its_nodes_are_counted(self, model):
        found = Counter(node.op_type for node in model.graph.node)
        names = ("Conv", "BatchNormalization", "Resize", "Relu", "Pad", "MatMul", "Softmax", "Identity")
        assert len(model.graph.node) == 1411
        assert [found[name] for name in names] == [316, 0, 35, 277, 0, 3, 2, 0]

    def test_what_halves_is_padded_as_in_paddles_graph(self, model):
        said = [
            {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute} for node in _convs(model)
        ]
        halving = [entries for entries in said if entries["strides"] == [2, 2]]
        assert len(halving) == 52
        assert all(entries["auto_pad"] == b"SAME_UPPER" and entries["kernel_shape"] == [3, 3] for entries in halving)

    def test_its_resizes_stand_in_the_order_of_paddles_graph(self, model):
        """Channels and factor of each: coarser branches into finer ones, before the head, and the last."""
        resizes = [node for node in model.graph.node if node.op_type == "Resize"]
        for node in resizes:
            said = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
            assert (said["mode"], said["coordinate_transformation_mode"]) == (b"linear", b"half_pixel")
        watched = onnx.ModelProto()
        watched.CopyFrom(model)
        names = [name for node in resizes[:-1] for name in (node.input[0], node.output[0])]
        watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        logits, *tensors = session(watched).run(None, {"x": np.zeros((1, 3, 64, 96), np.float32)})
        shapes = [tensor.shape for tensor in tensors]
        found = [(before[1], after[2] // before[2]) for before, after in zip(shapes[::2], shapes[1::2], strict=True)]
        one, two, four, eight = CHANNELS
        third = [(one, 2), (one, 4), (two, 2)]
        fourth = [(one, 2), (one, 4), (one, 8), (two, 2), (two, 4), (four, 2)]
        assert found == [(one, 2), *4 * third, *3 * fourth, (two, 2), (four, 4), (eight, 8)]
        assert logits.shape == (1, 19, 64, 96)
        assert resizes[-1].output[0] == "logits"

    def test_one_graph_serves_every_size_and_batch(self, narrow, model):
        """It was traced at one size; nothing of it may stay in the graph."""
        rng, running = np.random.default_rng(2), session(model)
        for shape in ((1, 3, 32, 32), (3, 3, 64, 96), (2, 3, 44, 70)):
            fed = rng.standard_normal(shape).astype(np.float32)
            with torch.inference_mode():
                expected = narrow(torch.from_numpy(fed)).numpy()
            (found,) = running.run(None, {"x": fed})
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() < 1e-4 < 0.01 * np.abs(expected).max()


def _convs(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "Conv"]
