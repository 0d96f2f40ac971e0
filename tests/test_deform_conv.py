"""Deformable convolution is that of its paper, in torch and as the one ONNX operator that is exported for it."""

from __future__ import annotations

from itertools import product
from math import floor

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from harness.networks.deform_conv import DeformConv2d, Window, deform_conv, gathered
from harness.onnx_graph.edit import attribute
from harness.onnx_graph.export import write_graph
from harness.sizes import BATCH, Symbol, TensorSpec
from harness.step import StepInput

Array = NDArray[np.float64]
OPSET = 19
DOUBLE = 1e-12
"""What two orders of summing at most a few hundred doubles may differ by; measured 3e-14."""
SINGLE = 1e-5
"""The same in single precision; measured 1e-6."""


pytestmark = pytest.mark.usefixtures("one_thread")


def sampled(picture: Array, y: float, x: float) -> Array:
    """The value of C x H x W between its pixels; a pixel outside is 0."""
    found = np.zeros(len(picture))
    for row, column in product((floor(y), floor(y) + 1), (floor(x), floor(x) + 1)):
        if 0 <= row < picture.shape[1] and 0 <= column < picture.shape[2]:
            found += (1 - abs(y - row)) * (1 - abs(x - column)) * picture[:, row, column]
    return found


def by_hand(tensors: list[Array], window: Window) -> Array:
    """The convolution point by point, as the paper has it; offsets are y before x for each tap."""
    features, weight, offset, mask = tensors
    found = np.zeros((len(features), len(weight), *offset.shape[2:]))
    for item, row, column in product(range(len(features)), *map(range, offset.shape[2:])):
        for tap, (down, right) in enumerate(product(*map(range, weight.shape[2:]))):
            dy, dx = offset[item, 2 * tap : 2 * tap + 2, row, column]
            y = row * window.stride - window.padding + down * window.dilation + dy
            x = column * window.stride - window.padding + right * window.dilation + dx
            value = mask[item, tap, row, column] * sampled(features[item], y, x)
            found[item, :, row, column] += weight[:, :, down, right] @ value
    return found


def in_torch(tensors: list[Array], window: Window) -> Array:
    features, weight, offset, mask = map(torch.from_numpy, tensors)
    return gathered(features, weight, offset, mask, window).numpy()


def in_runtime(tensors: list[Array], window: Window) -> Array:
    """ONNX Runtime's operator, in the precision of the tensors."""
    kind = helper.np_dtype_to_tensor_dtype(tensors[0].dtype)
    names = ("features", "weight", "offset", "mask")
    node = helper.make_node(
        "DeformConv",
        [*names[:3], "", names[3]],
        ["found"],
        kernel_shape=tensors[1].shape[2:],
        strides=[window.stride] * 2,
        pads=[window.padding] * 4,
        dilations=[window.dilation] * 2,
    )
    inputs = [helper.make_tensor_value_info(name, kind, each.shape) for name, each in zip(names, tensors, strict=True)]
    outputs = [helper.make_tensor_value_info("found", kind, None)]
    graph = helper.make_graph([node], "one", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return run(model, dict(zip(names, tensors, strict=True)))


def run(model: onnx.ModelProto, fed: dict[str, Array]) -> Array:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, fed)[0]


def drawn(window: Window, size: tuple[int, int], kernel: tuple[int, int] = (3, 3), spread: float = 2.0) -> list[Array]:
    """Features, weight, offset and mask for two pictures of three channels; a wide spread leaves the picture."""
    rng = np.random.default_rng(3)
    reach = [(count - 1) * window.dilation + 1 for count in kernel]
    rows, columns = (
        (side + 2 * window.padding - by) // window.stride + 1 for side, by in zip(size, reach, strict=True)
    )
    taps = kernel[0] * kernel[1]
    return [
        rng.normal(size=(2, 3, *size)),
        rng.normal(size=(4, 3, *kernel)),
        rng.normal(scale=spread, size=(2, 2 * taps, rows, columns)),
        rng.uniform(size=(2, taps, rows, columns)),
    ]


def far(found: Array, expected: Array) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


windows = st.builds(Window, stride=st.integers(1, 2), padding=st.integers(0, 2), dilation=st.integers(1, 2))
sides = st.integers(5, 8)
kernels = st.tuples(st.integers(1, 3), st.integers(1, 3))
WINDOWS = [Window(stride, padding) for stride in (1, 2) for padding in (0, 1, 2)]


class TestNumbers:
    @given(windows, st.tuples(sides, sides), kernels, st.sampled_from((0.3, 4.0)))
    def test_torch_and_the_runtime_compute_what_the_formula_says(self, window, size, kernel, spread):
        tensors = drawn(window, size, kernel, spread)
        expected = by_hand(tensors, window)
        assert far(in_torch(tensors, window), expected) < DOUBLE
        assert far(in_runtime(tensors, window), expected) < DOUBLE

    @pytest.mark.parametrize("window", WINDOWS, ids=str)
    def test_single_precision_is_close(self, window):
        tensors = drawn(window, (9, 11))
        single = [tensor.astype(np.float32) for tensor in tensors]
        expected = by_hand([tensor.astype(np.float64) for tensor in single], window)
        assert far(in_torch(single, window), expected) < SINGLE
        assert far(in_runtime(single, window), expected) < SINGLE

    @pytest.mark.parametrize("window", [Window(1, 1), Window(2, 1), Window(1, 2, 2)], ids=str)
    def test_without_offsets_and_mask_it_is_a_convolution(self, window):
        features, weight, offset, mask = drawn(window, (7, 10))
        found = in_torch([features, weight, 0 * offset, np.ones_like(mask)], window)
        plain = nn.functional.conv2d(
            torch.from_numpy(features), torch.from_numpy(weight), None, window.stride, window.padding, window.dilation
        )
        assert far(found, plain.numpy()) < DOUBLE

    @pytest.mark.parametrize(
        ("dy", "dx", "expected"),
        [(0, 0, 0.0), (1, 0, 10.0), (0, 2, 2.0), (0.5, 0.25, 5.25), (-0.5, 0, 0.0), (2.5, 0, 10.0), (3, 0, 0.0)],
    )
    def test_the_first_pixel_of_rows_of_ten_is_looked_up_where_the_offset_says(self, dy, dx, expected):
        # Rows 0, 1, 2 hold 0..2, 10..12, 20..22; half a pixel below the last row half of it is left.
        picture = np.add.outer(np.arange(3) * 10.0, np.arange(3.0))[None, None]
        offset = np.zeros((1, 2, 3, 3))
        offset[0, :, 0, 0] = dy, dx
        found = in_torch([picture, np.ones((1, 1, 1, 1)), offset, np.ones((1, 1, 3, 3))], Window())
        assert found[0, 0, 0, 0] == expected


def taps_apart(offset: Array) -> Array:
    """B x 2*taps x rows x columns as B x taps x 2 x rows x columns."""
    return offset.reshape(len(offset), -1, 2, *offset.shape[2:])


MISTAKES = {
    "x before y": lambda offset, mask: (taps_apart(offset)[:, :, ::-1].reshape(offset.shape), mask),
    "all y before all x": lambda offset, mask: (taps_apart(offset).swapaxes(1, 2).reshape(offset.shape), mask),
    "other sign": lambda offset, mask: (-offset, mask),
    "offsets ignored": lambda offset, mask: (0 * offset, mask),
    "half a pixel further": lambda offset, mask: (offset + 0.5, mask),
    "nearest pixel": lambda offset, mask: (np.round(offset), mask),
    "mask ignored": lambda offset, mask: (offset, np.ones_like(mask)),
    "mask not squashed": lambda offset, mask: (offset, np.log(mask / (1 - mask))),
    "taps of the mask turned": lambda offset, mask: (offset, mask[:, ::-1]),
}


class TestMistakes:
    @pytest.mark.parametrize("stride", [1, 2])
    @pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
    @pytest.mark.parametrize("compute", [in_torch, in_runtime])
    def test_a_mistaken_layout_is_far_off(self, mistake, stride, compute):
        window = Window(stride, padding=1)
        features, weight, offset, mask = drawn(window, (9, 11), spread=0.5)
        broken = [np.ascontiguousarray(each) for each in (features, weight, *mistake(offset, mask))]
        assert far(compute(broken, window), by_hand([features, weight, offset, mask], window)) > 0.5

    @pytest.mark.parametrize("window", [Window(1, 1), Window(2, 1)], ids=str)
    def test_the_edge_repeated_outside_is_far_off(self, window):
        features, weight, offset, mask = drawn(window, (9, 11))
        wide = [np.pad(features, ((0, 0), (0, 0), (9, 9), (9, 9)), mode="edge"), weight, offset, mask]
        repeated = in_torch(wide, Window(window.stride, window.padding - 9))
        assert far(repeated, by_hand([features, weight, offset, mask], window)) > 0.5

    def test_offsets_of_the_unstrided_size_are_refused_by_the_runtime(self):
        tensors = drawn(Window(1, 1), (8, 8))
        with pytest.raises(Exception, match=r"(?i)offset"):
            in_runtime(tensors, Window(2, 1))


class TestGradients:
    @pytest.mark.parametrize("window", [Window(1, 1), Window(2, 0), Window(1, 2, 2)], ids=str)
    def test_all_four_tensors_have_the_gradients_of_the_numbers(self, window):
        tensors = [tensor[:1] for tensor in drawn(window, (4, 5), kernel=(2, 3))]
        # Between pixels: on one of them, the value has a kink.
        tensors[2] = np.floor(tensors[2]) + 0.2 + 0.6 * np.random.default_rng(4).uniform(size=tensors[2].shape)
        leaves = [torch.from_numpy(tensor).requires_grad_() for tensor in tensors]
        assert torch.autograd.gradcheck(lambda *each: deform_conv(*each, window), leaves, fast_mode=True)


class Guided(nn.Module):
    """A deformable layer told where to look by a convolution of the same stride."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.say = nn.Conv2d(3, 27, 3, stride, 1)
        self.look = DeformConv2d(3, 4, stride)

    def forward(self, pictures: Tensor) -> Tensor:
        offset, mask = self.say(pictures).split((18, 9), dim=1)
        found: Tensor = self.look(pictures, 5 * offset, mask.sigmoid())
        return found


@pytest.mark.parametrize("stride", [1, 2])
class TestExport:
    @pytest.fixture
    def network(self, stride: int) -> Guided:
        return Guided(stride).eval()

    @pytest.fixture
    def exported(self, network: Guided, tmp_path) -> onnx.ModelProto:
        height, width = (Symbol(name=name, low=8, high=64, multiple=2) for name in ("height", "width"))
        given = StepInput(
            params={"opset": OPSET},
            inputs=(TensorSpec(name="x", axes=(BATCH, 3, height, width), dtype="float32"),),
            outputs=(TensorSpec(name="y", axes=(BATCH, 4, height, width), dtype="float32"),),
        )
        write_graph(network, given, tmp_path)
        return onnx.load(tmp_path / "model.onnx")

    def test_it_is_one_operator_with_its_window_written_out(self, exported, stride):
        (node,) = [node for node in exported.graph.node if node.op_type == "DeformConv"]
        said = {name: attribute(node, name) for name in ("kernel_shape", "strides", "pads", "dilations")}
        assert said == {
            "kernel_shape": [3, 3],
            "strides": [stride, stride],
            "pads": [1, 1, 1, 1],
            "dilations": [1, 1],
        }
        assert (attribute(node, "group"), attribute(node, "offset_group"), node.input[3]) == (1, 1, "")
        assert not {node.op_type for node in exported.graph.node} & {"Gather", "GatherElements", "Floor", "Shape"}
        assert exported.opset_import[0].version == OPSET
        (spec,) = exported.graph.output
        assert [axis.dim_param or axis.dim_value for axis in spec.type.tensor_type.shape.dim][2:] == ["height", "width"]
        assert spec.type.tensor_type.elem_type == TensorProto.FLOAT

    @pytest.mark.parametrize("size", [(8, 8), (10, 24), (33, 17)], ids=str)
    def test_other_sizes_and_batches_give_the_numbers_of_the_network(self, network, exported, size):
        pictures = torch.from_numpy(np.random.default_rng(6).normal(size=(3, 3, *size)).astype(np.float32))
        with torch.inference_mode():
            expected = network(pictures).numpy()
        assert far(run(exported, {"x": pictures.numpy()}), expected) < SINGLE
