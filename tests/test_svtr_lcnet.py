"""The recogniser's twin gives what the published program gives, from the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from harness.checkpoints.paddle_layers import state_of
from harness.checkpoints.paddle_program import read_parameters, read_program
from harness.datasets.vendor_samples import read_batches
from harness.model import BATCH, TensorSpec
from harness.networks.svtr_lcnet import SvtrLcnet
from harness.onnx_graph.paddle import paddle_to_onnx
from harness.step import StepInput

INPUT = TensorSpec(name="x", axes=(BATCH, 3, 48, 320), dtype="float32")
OUTPUT = TensorSpec(name="softmax_5.tmp_0", axes=(BATCH, 40, 97), dtype="float32")


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
