"""Open sizes: symbols take what they declare, points bind them, and nothing is asked at a size that is none."""

import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.cells import Cell, cells
from harness.declaration import DeclarationError
from harness.recipe import Recipe
from harness.sizes import BATCH, Point, Symbol, TensorSpec

HEIGHT = Symbol(name="height", low=64, high=512, multiple=32)
WIDTH = Symbol(name="width", low=32, high=1024, multiple=32)
OPEN = TensorSpec(name="x", axes=(BATCH, 3, HEIGHT, WIDTH), dtype="float32")
LATE = TensorSpec(name="y", axes=(HEIGHT, BATCH, 7), dtype="float32")


class TestSymbols:
    @given(st.integers(0, 2048))
    def test_a_size_is_taken_where_it_is_a_multiple_in_the_range_and_else_the_nearest_are_named(self, size):
        if 64 <= size <= 512 and size % 32 == 0:
            assert HEIGHT.bound(size) == size
            return
        with pytest.raises(DeclarationError, match="expected a multiple of 32 from 64 to 512") as refused:
            HEIGHT.bound(size)
        nearest = [int(found) for found in re.findall(r"\d+", str(refused.value).rpartition("such as")[2])]
        assert nearest
        assert all(HEIGHT.bound(found) == found for found in nearest)
        assert min(abs(found - size) for found in nearest) == min(abs(found - size) for found in range(64, 513, 32))

    @pytest.mark.parametrize(("low", "high", "multiple"), [(0, 64, 32), (96, 64, 32), (65, 96, 32), (64, 97, 32)])
    def test_a_range_begins_and_ends_at_a_multiple(self, low, high, multiple):
        with pytest.raises(DeclarationError, match=r"^Symbol\(height\)"):
            Symbol(name="height", low=low, high=high, multiple=multiple)


class TestPoints:
    def test_an_id_names_batch_height_and_width(self):
        assert (Point(batch=8).id, Point(batch=1, height=736, width=1280).id) == ("bs8", "bs1_736x1280")

    @pytest.mark.parametrize("given", [{"height": 64}, {"width": 64}])
    def test_height_and_width_go_together(self, given):
        with pytest.raises(DeclarationError, match="go together"):
            Point(batch=1, **given)

    @given(st.integers(1, 64), st.integers(2, 16), st.integers(1, 32))
    def test_a_point_binds_every_open_axis_in_its_place(self, batch, rows, columns):
        point = Point(batch=batch, height=32 * rows, width=32 * columns)
        assert OPEN.at(point).shape(batch) == (batch, 3, 32 * rows, 32 * columns)
        assert LATE.at(point).shape(batch) == (32 * rows, batch, 7)
        assert OPEN.at(point).item == (3, 32 * rows, 32 * columns)

    def test_a_tensor_with_open_sizes_has_no_shape_before(self):
        for ask in (lambda: OPEN.item, lambda: OPEN.shape(1)):
            with pytest.raises(DeclarationError, match="height is open; ask at a point"):
                ask()
        assert OPEN.smallest.shape(2) == (2, 3, 64, 32)
        assert OPEN.named == (BATCH, 3, "height", "width")


@pytest.fixture(scope="session")
def sized(toy):
    """A declaration of a model with open sizes, at these points."""
    return lambda *points, **given: toy(inputs=(OPEN,), outputs=(OPEN,), points=points, accuracy_batch=1, **given)


class TestModels:
    def test_a_point_that_a_symbol_does_not_take_is_no_declaration(self, sized):
        with pytest.raises(DeclarationError, match=r"width 100: expected a multiple of 32 .* such as 96 or 128"):
            sized(Point(batch=1, height=64, width=100))

    def test_a_point_without_sizes_is_none_where_axes_are_open(self, sized):
        with pytest.raises(DeclarationError, match="height 0: expected"):
            sized(Point(batch=1))

    @given(st.integers(2, 16), st.integers(1, 32))
    def test_a_cell_knows_what_goes_in_and_out_at_its_point(self, sized, rows, columns):
        assume((rows, columns) != (2, 1))
        small, large = Point(batch=1, height=64, width=32), Point(batch=1, height=32 * rows, width=32 * columns)
        model = sized(small, large)
        found = {cell.point: cell.sized.inputs[0].item for cell in cells(model)}
        assert found == {small: (3, 64, 32), large: (3, 32 * rows, 32 * columns)}

    def test_forms_are_made_of_the_open_model(self, sized):
        model = sized(Point(batch=1, height=64, width=32))
        cell = next(cells(model))
        assert cell.model.inputs == (OPEN,)
        assert cell.sized.forms == model.forms

    def test_a_model_without_open_sizes_stays_itself(self, toy):
        model = toy()
        assert Cell(model, model.form(model.main), "ort", "fp32", model.points[0]).sized is model

    def test_accuracy_is_asked_where_the_reference_says(self, sized):
        small, large = Point(batch=1, height=64, width=32), Point(batch=1, height=512, width=1024)
        model = sized(large, small)
        [reference, *_] = model.references
        assert model.judged(reference) == large
        assert model.judged(replace(reference, point=small.id)) == small
        with pytest.raises(DeclarationError, match="'bs1_1x1' is not allowed"):
            model.judged(replace(reference, point="bs1_1x1"))


class TestRecipes:
    def test_a_device_is_asked_within_its_sizes_alone(self):
        recipe = Recipe(precision="fp16", toolkits=("7.0.0",), dynamic=True, sizes=(64, 512))
        taken = {(64, 512): True, (512, 64): True, (32, 64): False, (64, 544): False}
        assert {size: recipe.takes(Point(batch=1, height=size[0], width=size[1])) for size in taken} == taken
        assert recipe.takes(Point(batch=1))

    @pytest.mark.parametrize("given", [{"sizes": (64, 32)}, {"sizes": (64,)}, {"sizes": (32, 64), "dynamic": False}])
    def test_sizes_are_a_range_of_a_dynamic_artefact(self, given):
        with pytest.raises(DeclarationError, match=r"Recipe\.sizes"):
            Recipe(precision="fp16", toolkits=("7.0.0",), **{"dynamic": True, **given})

    @pytest.mark.parametrize(
        ("sizes", "words"),
        [((64, 128), "no point lies within"), ((64, 500), "height 500: expected a multiple of 32"), ((32, 512), "32")],
        ids=["beside every point", "no multiple", "below the network's"],
    )
    def test_sizes_are_those_of_the_network_and_hold_a_point(self, sized, sizes, words):
        recipe = Recipe(precision="fp32", toolkits=("7.0.0",), dynamic=True, sizes=sizes)
        with pytest.raises(DeclarationError, match=words):
            sized(Point(batch=1, height=256, width=256), recipes={"ascend": recipe})

    def test_sizes_that_hold_a_point_are_taken(self, sized):
        recipe = Recipe(precision="fp32", toolkits=("7.0.0",), dynamic=True, sizes=(64, 512))
        assert sized(Point(batch=1, height=256, width=256), recipes={"ascend": recipe}).recipes == {"ascend": recipe}
