"""Attention in four axes gives the numbers that it gave in five, in the graphs of both exporters."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import nn

from harness.networks.load import network_of
from harness.networks.seeded import condition
from harness.networks.svtr_lcnet import SvtrLcnet
from harness.onnx_graph.attention import attention_in_four_axes
from harness.onnx_graph.edit import attribute
from harness.onnx_graph.export import torch_to_onnx
from harness.onnx_graph.paddle import paddle_to_onnx
from harness.sizes import BATCH, TensorSpec
from harness.step import StepInput
from harness.verdict import Refused

INPUT = TensorSpec(name="x", axes=(BATCH, 3, 48, 320), dtype="float32")
BATCHES = (1, 3)
NETWORKS = {
    "opset 11, 8 heads of 5": (11, {"width": 0.125, "hidden": 40, "classes": 30}),
    "opset 16, 8 heads of 3": (16, {"width": 0.125, "hidden": 24, "classes": 30}),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).uniform(-1, 1, (batch, 3, 48, 320)).astype(np.float32)


def run(graph: onnx.ModelProto, *fed: np.ndarray) -> list[np.ndarray]:
    """The outputs in ONNX Runtime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    content = graph.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {value.name: array for value, array in zip(session.get_inputs(), fed, strict=True)})


def exported(folder: Path, opset: int, params: dict[str, object]) -> onnx.ModelProto:
    """A narrow recogniser, normalised over noise and with a steep head: what it says depends on what it sees."""
    network = SvtrLcnet(**params)
    network.load_state_dict(condition(network, 5))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.inference_mode():
        network.train()(torch.from_numpy(pictures(4)))
        network.head.ctc_head.fc.weight.mul_(8)
    save_file(network.state_dict(), folder / "weights.safetensors")
    given = StepInput(sources=(folder,), network="harness.networks.svtr_lcnet:SvtrLcnet", network_params=params)
    network_of.build(given, folder)
    output = TensorSpec(name="y", axes=(BATCH, 40, int(params["classes"])), dtype="float32")
    said = StepInput(sources=(folder,), params={"opset": opset}, inputs=(INPUT,), outputs=(output,))
    torch_to_onnx.build(said, folder)
    return onnx.load(folder / "model.onnx")


def converted(folder: Path, shared: Path) -> onnx.ModelProto:
    """The published recogniser through Paddle's converter."""
    source = shared / "assets" / "weights" / "ppocrv3" / "en_PP-OCRv3_rec_dequantised"
    if importlib.util.find_spec("paddle2onnx") is None:
        pytest.skip("no Python package paddle2onnx: pip install -c constraints.txt paddle2onnx (Python below 3.13)")
    if not source.is_dir():
        pytest.skip(f"no folder {source}: it holds the published recogniser")
    output = TensorSpec(name="softmax_5.tmp_0", axes=(BATCH, 40, 97), dtype="float32")
    given = StepInput(sources=(source,), params={"opset": 11}, inputs=(INPUT,), outputs=(output,))
    paddle_to_onnx.build(given, folder)
    return onnx.load(folder / "model.onnx")


@pytest.fixture(scope="module", params=[*NETWORKS, "paddle"])
def five(request, tmp_path_factory) -> onnx.ModelProto:
    """A whole recogniser whose attention has five axes."""
    folder = tmp_path_factory.mktemp("five")
    if request.param == "paddle":
        return converted(folder, request.getfixturevalue("shared"))
    return exported(folder, *NETWORKS[request.param])


@pytest.fixture(scope="module")
def rewrite(tmp_path_factory) -> Callable[[onnx.ModelProto], onnx.ModelProto]:
    def apply(graph: onnx.ModelProto) -> onnx.ModelProto:
        source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
        onnx.save(graph, source / "model.onnx")
        facts = attention_in_four_axes.build(StepInput(sources=(source,)), out)
        found = onnx.load(out / "model.onnx")
        assert facts["nodes"] == len(found.graph.node)
        return found

    return apply


@pytest.fixture(scope="module")
def four(five, rewrite) -> onnx.ModelProto:
    return rewrite(five)


def nodes(graph: onnx.ModelProto, operator: str) -> list[onnx.NodeProto]:
    return [node for node in graph.graph.node if node.op_type == operator]


def copy(graph: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(graph.SerializeToString())


def most_axes(graph: onnx.ModelProto, *fed: np.ndarray) -> int:
    """Of any tensor of the graph, as it runs."""
    shown = copy(graph)
    outputs = [name for node in graph.graph.node for name in node.output if name]
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return max(found.ndim for found in run(shown, *fed))


def most_axes_inferred(graph: onnx.ModelProto) -> int:
    """Of any tensor of the graph whose shape the standard infers."""
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True)
    return max(len(value.type.tensor_type.shape.dim) for value in inferred.graph.value_info)


class TestRecogniser:
    @pytest.mark.parametrize("batch", BATCHES)
    def test_the_numbers_are_the_same_to_the_bit(self, five, four, batch):
        assert np.array_equal(run(five, pictures(batch))[0], run(four, pictures(batch))[0])

    def test_no_tensor_has_more_than_four_axes_where_some_had_five(self, five, four):
        assert (most_axes(five, pictures(1)), most_axes(four, pictures(1))) == (5, 4)
        assert most_axes_inferred(four) <= 4

    def test_each_block_has_three_slices_and_the_interface_stays(self, five, four):
        assert len(nodes(four, "Transpose")) - len(nodes(five, "Transpose")) == 2 * 2
        assert len(nodes(four, "Reshape")) - len(nodes(five, "Reshape")) == 2 * 2
        assert not [node for node in nodes(four, "Transpose") if len(attribute(node, "perm")) > 4]
        assert (four.graph.input, four.graph.output) == (five.graph.input, five.graph.output)
        assert four.opset_import == five.opset_import

    def test_query_and_key_swapped_are_caught_by_their_numbers(self, five, four):
        swapped = copy(four)
        slices = [node for node in nodes(swapped, "Slice") if node.output[0].endswith(".columns")]
        assert len(slices) == 6
        for query, key in zip(slices[::3], slices[1::3], strict=True):
            query.input[1:3], key.input[1:3] = key.input[1:3], query.input[1:3]
        before, after = run(five, pictures(3))[0], run(swapped, pictures(3))[0]
        assert np.abs(before - after).max() > 1e-2

    def test_the_lines_that_are_compared_are_read_differently(self, five):
        found = run(five, pictures(3))[0]
        assert np.abs(found - np.roll(found, 1, axis=0)).max(axis=(1, 2)).min() > 1e-2

    def test_a_graph_that_is_rewritten_already_is_refused(self, four, rewrite):
        with pytest.raises(Refused, match="no Reshape to more than 4 axes in the graph: looked for Reshape to"):
            rewrite(four)


HEADS, SIZE, COLUMNS = 2, 3, 5
WEIGHTS = np.random.default_rng(0).standard_normal((HEADS * SIZE, 3 * HEADS * SIZE)).astype(np.float32)
BIAS = np.linspace(-1, 1, 3 * HEADS * SIZE, dtype=np.float32)


def lines(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, COLUMNS, HEADS * SIZE)).astype(np.float32)


def attention(
    *,
    target: tuple[int, ...] = (0, -1, 3, HEADS, SIZE),
    computed: bool = False,
    perm: tuple[int, ...] = (2, 0, 3, 1, 4),
    picked: str = "slice",
    parts: tuple[int, ...] = (0, 1, 2),
    copied: bool = False,
    weights: str = "constant",
    beside: str = "",
) -> onnx.ModelProto:
    """One block, B x 5 x 6 -> B x 2 x 5 x 3, as Paddle's converter or torch's exporter splits it.

    ``computed`` and ``copied`` put Concat and Identity nodes in; ``beside`` names a value that something else uses too.
    """
    made: list[onnx.NodeProto] = []

    def then(operator: str, *given: str, **attributes: object) -> str:
        name = f"{operator.lower()}.{len(made)}"
        made.append(helper.make_node(operator, [*given], [name], name=name, **attributes))
        return then("Identity", name) if copied and operator in ("Add", "Constant") else name

    def held(array: object) -> str:
        return then("Constant", value=numpy_helper.from_array(np.asarray(array)))

    def pick(value: str, part: int) -> str:
        if picked == "gather":
            return then("Gather", value, held(part), axis=0)
        if picked == "gather that keeps the axis":
            return then("Squeeze", then("Gather", value, held([part]), axis=0), axes=[0])
        axis = 4 if picked == "slice of another axis" else 0
        return then("Squeeze", then("Slice", value, held([part]), held([part + 1]), held([axis])), axes=[axis])

    factor = held(WEIGHTS) if weights == "constant" else then("Relu", held(WEIGHTS))
    product = then("MatMul", "x", factor)
    product = then("Add", held(BIAS), product) if weights == "constant" else product
    batch = then("Unsqueeze", then("Gather", then("Shape", "x"), held(0), axis=0), axes=[0])
    shape = then("Concat", batch, held([*target[1:]]), axis=0) if computed else held([*target])
    reshaped = then("Reshape", product, shape)
    split = then("Transpose", reshaped, perm=perm)
    query, key, value = (pick(split, part) for part in parts)
    scores = then("Softmax", then("MatMul", query, then("Transpose", key, perm=[0, 1, 3, 2])), axis=3)
    outputs = [helper.make_tensor_value_info(then("MatMul", scores, value), TensorProto.FLOAT, [None] * 4)]
    used = {"reshaped": reshaped, "split": split, "wide": then("Unsqueeze", "x", axes=[0, 1])}
    if beside:
        outputs.append(helper.make_tensor_value_info(then("Shape", used[beside]), TensorProto.INT64, [None]))
    graph = helper.make_graph(
        made,
        "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", COLUMNS, HEADS * SIZE])],
        outputs,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)


class TestBlock:
    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"picked": "gather"},
            {"picked": "gather", "parts": (0, -2, -1)},
            {"parts": (2, 0, 1)},
            {"target": (0, COLUMNS, 3, HEADS, -1)},
            {"computed": True},
            {"computed": True, "copied": True, "picked": "gather"},
        ],
        ids=str,
    )
    def test_a_block_is_rewritten_however_the_exporter_spells_it(self, rewrite, said):
        graph = attention(**said)
        found = rewrite(graph)
        assert (most_axes(graph, lines(1)), most_axes(found, lines(1))) == (5, 4)
        assert (len(nodes(found, "Slice")), len(nodes(found, "Squeeze")), len(nodes(found, "Reshape"))) == (3, 0, 3)
        for batch in BATCHES:
            assert np.array_equal(run(graph, lines(batch))[0], run(found, lines(batch))[0])

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ({"perm": (2, 0, 1, 3, 4)}, r"followed by Transpose \[2, 0, 1, 3, 4\]; looked for"),
            ({"target": (0, -1, HEADS, 3, SIZE)}, r"reshapes to \[0, -1, 2, 3, 3\]; looked for"),
            ({"target": (0, COLUMNS, 3, -1, SIZE)}, r"reshapes to \[0, 5, 3, -1, 3\]; looked for"),
            ({"target": (0, -1, 3, HEADS, SIZE, 1)}, r"reshapes to \[0, -1, 3, 2, 3, 1\]; looked for"),
            ({"target": (0, -1, 3, 1, SIZE)}, "reshapes 18 columns to .*, which is not 3 parts of 1 heads"),
            ({"target": (0, -1, 3, 4, SIZE)}, "reshapes 18 columns to .*, which is not 3 parts of 4 heads"),
            ({"weights": "computed"}, "no product with constant weights, so its columns are unknown"),
            ({"picked": "gather that keeps the axis"}, "3 nodes use its parts, 0 of them pick one along axis 0"),
            ({"picked": "slice of another axis"}, "3 nodes use its parts, 0 of them pick one along axis 0"),
            ({"beside": "split"}, "4 nodes use its parts, 3 of them pick one"),
            ({"beside": "reshaped"}, r"followed by Transpose \[2, 0, 3, 1, 4\], Shape; looked for"),
            ({"beside": "wide"}, "1 tensors of more than 4 axes would stay, expected none: unsqueeze"),
        ],
        ids=str,
    )
    def test_a_graph_that_would_keep_more_than_four_axes_is_refused(self, rewrite, said, reason):
        with pytest.raises(Refused, match=reason):
            rewrite(attention(**said))
