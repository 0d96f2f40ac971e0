"""A narrow OCRNet through every step that its graph takes: the same numbers, where the same are promised."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from harness.networks.ocrnet import OcrNet
from harness.onnx_graph.classes import add_argmax
from harness.onnx_graph.export import write_graph
from harness.onnx_graph.nearest import resize_to_nearest, resizes
from harness.onnx_graph.static import bind_sizes
from harness.sizes import BATCH, TensorSpec
from harness.step import StepInput
from harness.verdict import Refused
from tests.resized_graphs import bound, made, operators, pictures, run, spec, without_argmax

SCALES = ",".join(map(str, (2, *(2, 4, 2) * 4, *(2, 4, 8, 2, 4, 2) * 3, 2, 4, 8, 4)))
PLACES = "0,2,3,5,7,9,14,16,18,19,26,28,29,32"
PICTURES = spec("x", channels=3)
LOGITS = spec("logits", channels=19)
CLASSES = TensorSpec(name="classes", axes=(BATCH, *LOGITS.axes[2:]), dtype="int64")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> onnx.ModelProto:
    """A narrow OCRNet with all its layers, seeded and normalised on noise, as it is exported."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = OcrNet(width=0.0625)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(pictures(2, 3, 64, 96)))
    folder = tmp_path_factory.mktemp("ocrnet")
    given = StepInput(params={"opset": 11}, inputs=(PICTURES,), outputs=(LOGITS,))
    write_graph(network.eval(), given, folder)
    torch.set_num_threads(before)
    return onnx.load(folder / "model.onnx")


@pytest.fixture(scope="module")
def forms(exported, tmp_path_factory) -> dict[str, onnx.ModelProto]:
    """The graph through every step; ``logits`` is nearest without the classes at its end."""
    folder = tmp_path_factory.mktemp("forms")
    chosen = {"places": PLACES, "scales": SCALES}
    ends = {"inputs": (PICTURES,), "outputs": (CLASSES,)}
    classes, _ = made(add_argmax, exported, folder, **ends)
    nearest, facts = made(resize_to_nearest, classes, folder, params=chosen, **ends)
    assert facts == {"nearest": 14, "linear": 21}
    logits, _ = made(without_argmax, nearest, folder, inputs=(PICTURES,), outputs=(LOGITS,))
    given = {name: (bound(declared, 2, 64, 96),) for name, declared in (("inputs", PICTURES), ("outputs", LOGITS))}
    bound_logits, _ = made(bind_sizes, logits, folder, **given)
    return {"classes": classes, "nearest": nearest, "logits": logits, "static": bound_logits}


@pytest.fixture(scope="module")
def answers(exported, forms) -> dict[str, np.ndarray]:
    """Logits of two pictures."""
    graphs = {"linear": exported, "nearest": forms["logits"], "static": forms["static"]}
    return {name: run(graph, pictures(2, 3, 64, 96)) for name, graph in graphs.items()}


class TestOcrnet:
    def test_the_numbers_are_the_same_to_the_bit(self, answers):
        assert answers["nearest"].shape == (2, 19, 64, 96)
        assert np.array_equal(answers["static"], answers["nearest"])

    def test_what_is_compared_differs_from_pixel_to_pixel_and_from_what_is_linear(self, answers):
        linear, nearest = answers["linear"], answers["nearest"]
        assert nearest.std((2, 3)).min() > 0.01 * nearest.std()
        assert np.abs(nearest - linear).max() > 0.1 * linear.std()

    def test_nodes_are_the_same_at_any_width(self, exported, forms):
        assert [len(each.graph.node) for each in (exported, *forms.values())] == [1411, 1412, 1412, 1411, 889]
        assert operators(forms["static"]).keys() & {"Shape", "Gather", "Slice", "Cast"} == set()
        assert operators(forms["static"])["Resize"] == 35

    @pytest.mark.parametrize("place", [0, 13, 34])
    def test_one_resize_less_is_refused(self, exported, place, tmp_path):
        gone = onnx.ModelProto.FromString(exported.SerializeToString())
        changed = resizes(gone.graph)[place]
        changed.op_type = "Upsample"
        with pytest.raises(Refused, match=r"^34 Resize in the graph, expected 35$"):
            made(
                resize_to_nearest,
                gone,
                tmp_path,
                params={"places": PLACES, "scales": SCALES},
                inputs=(PICTURES,),
                outputs=(LOGITS,),
            )
