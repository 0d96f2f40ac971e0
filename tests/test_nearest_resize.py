"""Resize at declared places take the nearest neighbour and nothing else changes, or the graph is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from harness.declaration import DeclarationError
from harness.onnx_graph.edit import attribute
from harness.onnx_graph.nearest import resize_to_nearest, resizes
from harness.verdict import Refused
from tests.resized_graphs import SPELLINGS, fused, made, model_of, pictures, run, spec

SCALES = (2, 4, 2, 8)
PLACES = (0, 3)


def rewritten(graph: onnx.ModelProto, folder: Path, places=PLACES, scales=SCALES) -> onnx.ModelProto:
    params = {name: ",".join(map(str, numbers)) for name, numbers in (("places", places), ("scales", scales))}
    found, facts = made(resize_to_nearest, graph, folder, params=params, inputs=(spec("x"),), outputs=(spec("y"),))
    assert facts == {"nearest": len(places), "linear": len(scales) - len(places)}
    return found


def modes_of(places: tuple[int, ...], count: int) -> list[str]:
    return ["nearest" if place in places else "linear" for place in range(count)]


def names_of_the_vendor(graph: onnx.ModelProto, places: tuple[int, ...]) -> int:
    """Does what the vendor's script does, and says how many nodes it found."""
    found = [node for node in graph.graph.node if node.name in {f"Resize_{place}" for place in places}]
    for node in found:
        attribute_of(node, "mode").s = b"nearest"
    return len(found)


def attribute_of(node: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    return next(each for each in node.attribute if each.name == name)


class TestRewriting:
    # At most four; their sides divide those of the smallest picture.
    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.booleans()), min_size=1, max_size=4),
        st.sampled_from(SPELLINGS),
        st.sampled_from(["", "floor", "ceil"]),
    )
    def test_the_numbers_are_those_of_a_graph_that_is_written_so(self, resized, spelling, nearest_mode):
        scales = [scale for scale, _ in resized]
        places = tuple(place for place, (_, chosen) in enumerate(resized) if chosen) or (0,)
        graph = fused(scales, spelling=spelling, nearest_mode=nearest_mode)
        with tempfile.TemporaryDirectory() as folder:
            found = rewritten(graph, Path(folder), places, scales)
        fed = pictures(2, 2, 32, 64)
        assert np.array_equal(run(found, fed), run(fused(scales, modes_of(places, len(scales))), fed))

    @pytest.mark.parametrize("nearest_mode", ["", "floor"])
    @pytest.mark.parametrize("scale", [2, 4, 8])
    def test_nearest_is_the_pixel_that_the_centre_lies_in(self, scale, nearest_mode, tmp_path):
        graph = fused([scale], nearest_mode=nearest_mode)
        fed = pictures(1, 2, 32, 64)
        small = by_name(graph, "small0", fed)
        found = by_name(rewritten(graph, tmp_path, (0,), (scale,)), "large0", fed)
        assert np.array_equal(found, small.repeat(scale, 2).repeat(scale, 3))
        assert not np.array_equal(found, by_name(graph, "large0", fed))

    def test_only_the_modes_are_another(self, tmp_path):
        graph = fused(SCALES, nearest_mode="floor")
        found = rewritten(graph, tmp_path)
        onnx.checker.check_model(found, full_check=True)
        assert [attribute(node, "mode") for node in resizes(found.graph)] == modes_of(PLACES, 4)
        for node, before in zip(resizes(found.graph), resizes(graph.graph), strict=True):
            assert attribute(node, "coordinate_transformation_mode") == "half_pixel"
            del node.attribute[:], before.attribute[:]
        assert found == graph

    def test_names_do_not_matter(self, tmp_path):
        graph = fused(SCALES)
        expected = run(rewritten(graph, tmp_path), fed := pictures(1, 2, 64, 32))
        for node, name in zip(resizes(graph.graph), ("Resize_2", "", "Resize_0", "Resize_1"), strict=True):
            node.name = name
        assert np.array_equal(run(rewritten(graph, tmp_path), fed), expected)

    def test_names_of_another_converter_leave_the_script_of_the_vendor_without_a_node(self, tmp_path):
        graph = fused(SCALES)
        fed = pictures(1, 2, 32, 32)
        for node in resizes(graph.graph):
            node.name = node.name.replace("_", ".")
        theirs, linear = onnx.ModelProto.FromString(graph.SerializeToString()), run(graph, fed)
        assert names_of_the_vendor(theirs, PLACES) == 0
        assert np.array_equal(run(theirs, fed), linear)
        assert not np.array_equal(run(rewritten(graph, tmp_path), fed), linear)

    def test_on_the_names_that_it_knows_the_script_of_the_vendor_does_the_same(self, tmp_path):
        graph = fused(SCALES)
        fed = pictures(1, 2, 32, 32)
        ours = run(rewritten(graph, tmp_path), fed)
        assert names_of_the_vendor(graph, PLACES) == 2
        assert np.array_equal(run(graph, fed), ours)

    def test_centres_in_the_spelling_of_torch_are_centres(self, tmp_path):
        graph = fused(SCALES)
        for node in resizes(graph.graph):
            attribute_of(node, "coordinate_transformation_mode").s = b"pytorch_half_pixel"
        fed = pictures(1, 2, 32, 32)
        expected = run(rewritten(fused(SCALES), tmp_path), fed)
        assert np.array_equal(run(rewritten(graph, tmp_path), fed), expected)


def by_name(graph: onnx.ModelProto, name: str, fed: np.ndarray) -> np.ndarray:
    """A value inside a graph."""
    copy = onnx.ModelProto.FromString(graph.SerializeToString())
    del copy.graph.output[:]
    copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4))
    return run(copy, fed)


class TestRefusals:
    @pytest.mark.parametrize("scales", [(2, 4, 2), (2, 4, 2, 8, 2), ()], ids=len)
    def test_another_number_of_them_is_refused(self, scales, tmp_path):
        with pytest.raises(Refused, match=f"^{len(scales)} Resize in the graph, expected 4$"):
            rewritten(fused(scales), tmp_path)

    @pytest.mark.parametrize("place", range(4))
    def test_another_scale_at_one_place_is_refused(self, place, tmp_path):
        scales = [*SCALES]
        scales[place] = 16
        told = rf"Resize {place}, Resize_{place}, of .*to \[1, 2, 32, 32\]; expected .* {SCALES[place]} times$"
        with pytest.raises(Refused, match=told):
            rewritten(fused(scales), tmp_path)

    def test_two_that_changed_places_are_refused(self, tmp_path):
        with pytest.raises(Refused, match=r"Resize 0, .* which is 2 times"):
            rewritten(fused((4, 2, 2, 8)), tmp_path)

    @pytest.mark.parametrize("place", range(4))
    def test_another_mode_at_one_place_is_refused(self, place, tmp_path):
        graph = fused(SCALES, modes_of((place,), 4))
        with pytest.raises(Refused, match=f"Resize {place}, Resize_{place}, .*nearest, half_pixel, .*expected linear"):
            rewritten(graph, tmp_path)

    def test_a_graph_that_was_rewritten_is_refused(self, tmp_path):
        with pytest.raises(Refused, match=r"Resize 0, .*nearest"):
            rewritten(rewritten(fused(SCALES), tmp_path), tmp_path)

    @pytest.mark.parametrize("coordinates", ["align_corners", "asymmetric"])
    def test_other_coordinates_at_one_place_are_refused(self, coordinates, tmp_path):
        graph = fused(SCALES)
        attribute_of(resizes(graph.graph)[2], "coordinate_transformation_mode").s = coordinates.encode()
        with pytest.raises(
            Refused, match=f"Resize 2, Resize_2, .*linear, {coordinates}, .*expected linear, half_pixel"
        ):
            rewritten(graph, tmp_path)

    def test_a_node_without_a_name_is_told_by_its_output(self, tmp_path):
        graph = fused(SCALES, modes_of((1,), 4))
        for node in graph.graph.node:
            node.name = ""
        with pytest.raises(Refused, match="Resize 1, large1, "):
            rewritten(graph, tmp_path)

    def test_a_scale_that_holds_at_the_smallest_size_alone_is_refused(self, tmp_path):
        """To 32 x 32, whatever the picture: twice what is left of the smallest."""
        node = helper.make_node
        graph = model_of(
            [
                node("AveragePool", ["x"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
                node("Shape", ["small"], ["own"]),
                node("Slice", ["own", "zero", "two", "zero"], ["kept"]),
                node("Concat", ["kept", "sides"], ["size"], axis=0),
                node("Resize", ["small", "none", "none", "size"], ["y"], mode="linear"),
            ],
            [("x", "float32", 4)],
            [("y", "float32", 4)],
            [
                onnx.numpy_helper.from_array(np.array(value, kind), name)
                for name, value, kind in (
                    ("zero", [0], np.int64),
                    ("two", [2], np.int64),
                    ("sides", [32, 32], np.int64),
                    ("none", [], np.float32),
                )
            ],
        )
        with pytest.raises(Refused, match=r"of \[1, 2, 48, 48\]: .*to \[1, 2, 32, 32\]; expected .*\[1, 2, 96, 96\]"):
            rewritten(graph, tmp_path, (0,), (2,))

    @pytest.mark.parametrize("place", [-1, 4])
    def test_a_place_that_is_none_of_them_is_an_error_of_the_declaration(self, place, tmp_path):
        with pytest.raises(DeclarationError, match=f"places: {place}, expected places among the 4 of scales"):
            rewritten(fused(SCALES), tmp_path, (place,))

    def test_nothing_is_written_where_one_is_refused(self, tmp_path):
        with pytest.raises(Refused):
            rewritten(fused((2, 4, 2, 16)), tmp_path)
        assert not (tmp_path / "out" / "model.onnx").exists()
