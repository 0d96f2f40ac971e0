"""Each model's network in half precision: every number that is not a coordinate is a half, in what really runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from harness.backends import Batch, Room
from harness.backends.ort import BACKEND
from harness.cells import Cell
from harness.form import Form
from harness.model import Model
from harness.onnx_graph.edit import Graph
from harness.onnx_graph.half import HALF, PASSED_ON, coordinates, joined, lowered, to_half
from harness.registry import load_models, resolve
from harness.sizes import Point
from harness.step import StepInput
from harness.store import Artefact, Store
from tests.half_graphs import are_halves, in_library, run, types_of

SMALL = {
    "crnn": {"width": 0.0625},
    "rare": {"width": 0.125, "hidden": 16},
    "ppocr_cls": {},
    "ppocr_rec": {"width": 0.25, "hidden": 64},
    "ppocr_det": {"scale": 0.35},
    "db": {"width": 0.125},
}


@pytest.fixture(scope="module")
def parents(tmp_path_factory) -> dict[str, Path]:
    """A small network of each model with seeded weights, exported: folder by name."""
    made = {}
    for name, params in SMALL.items():
        model = load_models()[name]
        forms = {form.name: form for form in model.forms}
        exported = forms["exported" if "exported" in forms else "onnx"]
        folder = None
        for form in (forms["checkpoint"], forms["network"], exported):
            out = tmp_path_factory.mktemp(form.name)
            given = StepInput(
                sources=(folder,) if folder else (),
                params=dict(form.params) | ({} if folder else {"initialise": "harness.networks.seeded:condition"}),
                network=model.network,
                network_params=params,
                inputs=model.inputs,
                outputs=model.outputs,
            )
            resolve(form.step).build(given, out)
            folder = out
        made[name] = folder
    return made


def form_of(model: Model) -> Form:
    """The form in half precision of what seeded weights deploy."""
    found = model.lowered(model.deployed(model.reference("seeded")), "fp16")
    assert found is not None
    return found


class Lowered:
    """A small network in both precisions, and pictures for it."""

    def __init__(self, name: str, folder: Path, out: Path) -> None:
        self.model = load_models()[name]
        self.single = onnx.load(folder / "model.onnx")
        self.folder = out
        self.facts = to_half.build(StepInput(sources=(folder,), params=form_of(self.model).params), out)
        self.half = onnx.load(out / "model.onnx")
        self.kept = coordinates(self.single, "GridSample", 1, "Relu") if name == "rare" else frozenset()
        shape = self.model.inputs[0].at(Point(batch=2, height=96, width=160)).shape(2)
        self.fed = np.random.default_rng(3).uniform(-1, 1, shape).astype(np.float32)

    def values(self, *names: str) -> dict[str, NDArray]:
        return dict(zip(names, run(self.half, self.fed, *names), strict=True))


@pytest.fixture(scope="module", params=SMALL)
def small(request, parents, tmp_path_factory) -> Lowered:
    return Lowered(request.param, parents[request.param], tmp_path_factory.mktemp("half"))


def escaped(optimised: onnx.ModelProto, small: Lowered) -> list[str]:
    """Operators whose results another one reads before they are rounded to half."""
    whole = {name for name, kind in types_of(small.single).items() if kind != TensorProto.FLOAT}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in optimised.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def read(name: str) -> Iterator[onnx.NodeProto]:
        """Who reads a value, also in another layout."""
        for node in readers.get(name, []):
            yield from read(node.output[0]) if node.op_type.startswith("Reorder") else [node]

    return [
        node.op_type
        for node in optimised.graph.node
        if node.op_type not in {*PASSED_ON, "Cast", "ReorderInput", "ReorderOutput", "Shape"}
        and not {name.removesuffix(".exact") for name in node.output} & (small.kept | whole)
        and not all(_rounds(reader) for name in node.output for reader in read(name))
    ]


def _rounds(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT16


def made_by(model: onnx.ModelProto) -> list[str]:
    """The floating-point values that nodes make, by name; constants and casts apart."""
    types = types_of(model)
    made = (name for node in model.graph.node if node.op_type not in ("Constant", "Cast") for name in node.output)
    return [name for name in made if types.get(name) == TensorProto.FLOAT]


class TestNetworks:
    def test_every_value_that_is_not_kept_holds_halves(self, small):
        still = {name for node in small.half.graph.node for name in node.output}
        between = set(joined(Graph(small.single)))
        names = [name for name in made_by(small.single) if name in still - small.kept - between]
        assert len(names) > 25
        unrounded = [name for name, value in small.values(*names).items() if not are_halves(value)]
        assert unrounded == []

    def test_every_operator_reads_halves_unless_it_is_kept(self, small):
        """Weights too: what is no half is read by casts alone, and by what stays in single precision."""
        loose = {tensor.name for tensor in small.half.graph.initializer if tensor.data_type == TensorProto.FLOAT}
        loose |= {value.name for value in small.half.graph.input} | small.kept
        loose |= {name for name in types_of(small.half) if name.endswith((".exact", HALF))}
        for node in small.half.graph.node:
            # Mean and variance of a normalisation are no operands.
            read = node.input[: 3 if node.op_type == "BatchNormalization" else None]
            assert node.op_type == "Cast" or not small.kept.isdisjoint(node.output) or loose.isdisjoint(read)

    def test_what_really_runs_rounds_every_result(self, small, tmp_path):
        """After all that the runtime optimises, and with the answers of the session that the suite opens."""
        run(small.half, small.fed, optimised=tmp_path / "optimised.onnx")
        assert escaped(onnx.load(tmp_path / "optimised.onnx"), small) == []
        form = Form(name="half", parent=None, step="x", format="onnx", precision="fp16")
        cell = Cell(small.model, form, "ort", "fp16", small.model.points[0])
        artefact = Artefact("half", small.folder, "", "", {}, "", 0)
        with BACKEND.open(artefact, cell, Room(store=Store(tmp_path / "store"), scratch=tmp_path)) as session:
            asked = next(iter(session.map([Batch(("a", "b"), {small.model.inputs[0].name: small.fed})])))
        assert np.array_equal(run(small.half, small.fed)[0], next(iter(asked.values.values())))

    def test_in_a_graph_that_silently_stays_in_single_precision_most_results_escape(self, small, tmp_path):
        run(in_library(small.single), small.fed, optimised=tmp_path / "optimised.onnx")
        assert escaped(onnx.load(tmp_path / "optimised.onnx"), small).count("Conv") >= 6

    def test_answers_are_near_those_in_single_precision_and_not_the_same(self, small):
        single, half = (run(model, small.fed)[0] for model in (small.single, small.half))
        assert are_halves(half)
        assert 0 < np.abs(single - half).max() < 0.1

    def test_interface_opset_and_integers_are_the_parents(self, small):
        assert small.half.graph.input == small.single.graph.input
        assert small.half.graph.output == small.single.graph.output
        assert small.half.opset_import == small.single.opset_import
        integers = [
            name for name, kind in types_of(small.single).items() if kind in (TensorProto.INT64, TensorProto.INT32)
        ]
        read = {name for node in small.half.graph.node if node.op_type == "Cast" for name in node.input}
        assert read.isdisjoint(set(integers) - _cast_by(small.single))

    def test_weights_take_half_the_space(self, small):
        assert small.half.ByteSize() < 0.75 * small.single.ByteSize()

    def test_facts_count_what_was_done(self, small):
        assert small.facts["nodes"] == len(small.half.graph.node)
        assert small.facts["halves"] == sum(
            node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT16 for node in small.half.graph.node
        ) + sum(tensor.data_type == TensorProto.FLOAT16 for tensor in small.half.graph.initializer)
        assert small.facts["infinite_weights"] == 0

    def test_the_same_file_is_written_again(self, small, parents, tmp_path):
        again = Lowered(small.model.name, parents[small.model.name], tmp_path)
        assert again.half == small.half


def _cast_by(model: onnx.ModelProto) -> set[str]:
    """What the parent itself casts."""
    return {name for node in model.graph.node if node.op_type == "Cast" for name in node.input}


@pytest.fixture(scope="module")
def rare(parents, tmp_path_factory) -> Lowered:
    return Lowered("rare", parents["rare"], tmp_path_factory.mktemp("rare"))


class TestCoordinates:
    """Those of RARE's grid stay in single precision, from the fiducials to the sampled picture."""

    def test_they_are_what_the_grid_is_computed_from_behind_the_last_relu(self, rare):
        kept = coordinates(rare.single, "GridSample", 1, "Relu")
        made = [node.op_type for node in rare.single.graph.node if not kept.isdisjoint(node.output)]
        assert sorted(set(made)) == ["Concat", "Flatten", "Gemm", "GridSample", "MatMul", "Reshape"]
        assert made.count("MatMul") == made.count("Gemm") == 2
        assert rare.facts["kept_single"] == len(kept)

    def test_they_are_those_of_single_precision_and_would_not_be_without_declaration(self, rare):
        sampler = next(node for node in rare.single.graph.node if node.op_type == "GridSample")
        relu = next(node for node in reversed(rare.single.graph.node) if "loc_net/Relu" in node.output[0])
        grid = sampler.input[1]
        everywhere = run(lowered(rare.single), rare.fed, grid)[0]
        assert are_halves(everywhere)
        features, found = rare.values(relu.output[0], grid).values()
        assert not are_halves(found)
        assert np.array_equal(_continued(rare.single, relu.output[0], features, grid), found)
        assert np.abs(everywhere - found).max() > 1e-4

    def test_the_sampled_picture_is_rounded_where_the_backbone_reads_it(self, rare):
        sampler = next(node for node in rare.half.graph.node if node.op_type == "GridSample")
        [after] = [node for node in rare.half.graph.node if sampler.output[0] in node.input]
        assert (after.op_type, after.attribute[0].i) == ("Cast", TensorProto.FLOAT16)
        assert sampler.input[0] == "x"


def _continued(model: onnx.ModelProto, start: str, value: NDArray, end: str) -> NDArray:
    """A value of a graph, where another one is given in place of what the graph makes it."""
    extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model))
    part = extractor.extract_model([start], [end])
    return run(part, value)[0]
