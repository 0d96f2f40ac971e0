"""Maps become boxes as the published postprocess of DB makes them, and two maps compare by the boxes they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from harness.agree import NEVER_UNDECIDED
from harness.boxes import read_boxes
from harness.datasets.icdar2015 import Icdar2015
from harness.metrics.detection import ICDAR_IOU
from harness.onnx_graph.edit import MODEL
from harness.onnx_graph.paddle import paddle_to_onnx
from harness.postprocess import db
from harness.postprocess.db import BUNDLED, ICDAR15, PPOCR, DbPostprocess
from harness.preprocess.scene import stretch_normalised
from harness.sizes import BATCH, TensorSpec
from harness.step import StepInput

SIZE = (300, 500)
"""Of the picture: neither the map's size nor a multiple of it, so that rounding is seen."""
SEEDS = st.integers(0, 2**32 - 1)


def scene() -> np.ndarray:
    """A map, 1 x 128 x 256, with a rectangle for each rule; values are exact in float32."""
    grid = np.zeros((1, 128, 256), np.float32)
    grid[0, 20:30, 20:60] = 0.875  # plainly text
    grid[0, 60:80, 20:60] = 0.4375  # over the threshold, and not sure enough
    grid[0, 60:90, 100:150] = 0.5  # text with an edge that counts as text, and as no part of its core
    grid[0, 65:85, 105:145] = 1.0
    grid[0, 110:126, 150:255] = 0.875  # reaches outside, once it is grown
    grid[0, 20:22, 100:150] = 1.0  # too narrow
    grid[0, 20:23, 180:183] = 1.0  # too small
    return grid


BOXES = [
    ((273, 234), (500, 234), (500, 300), (273, 300)),
    ((168, 108), (318, 108), (318, 241), (168, 241)),
    ((29, 35), (125, 35), (125, 80), (29, 80)),
]
"""Of the scene, worked out by hand below."""


def found(postprocess: DbPostprocess, probabilities: np.ndarray, size: tuple[int, int] = SIZE) -> list:
    return [box.points for box in postprocess.boxes(probabilities, size)]


def blobs(seed: int, shape: tuple[int, int] = (64, 96)) -> np.ndarray:
    """A map of smooth blobs, 1 x 1 x height x width, as a network might give it."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return (1 / (1 + np.exp(-4 * smooth / smooth.std())))[np.newaxis, np.newaxis].astype(np.float32)


class TestBoxes:
    def test_the_scene_has_the_boxes_of_the_rules(self):
        assert found(PPOCR, scene()) == BOXES

    @pytest.mark.parametrize(
        ("place", "left", "top", "right", "bottom"),
        [(0, 150, 110, 254, 125), (1, 100, 60, 149, 89), (2, 20, 20, 59, 29)],
    )
    def test_a_box_is_what_the_rule_gives_by_hand(self, place, left, top, right, bottom):
        # Outlines run through the middles of pixels. The last is 39 x 9, area 351, perimeter 96: it grows by 351 * 1.5
        # / 96 = 5.48 on each side, to (15, 15)..(64, 34) in whole pixels; then 500 / 256 across and 300 / 128 down.
        width, height = right - left, bottom - top
        grows = width * height * 1.5 / (2 * (width + height))
        across = [min(500, round(round(x) * 500 / 256)) for x in (left - grows, right + grows)]
        down = [min(300, round(round(y) * 300 / 128)) for y in (top - grows, bottom + grows)]
        corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
        assert BOXES[place] == tuple((across[x], down[y]) for x, y in corners)

    @pytest.mark.parametrize(
        ("ratio", "rows", "columns", "boxes"),
        [(2.0, 3, 100, 0), (2.0, 4, 100, 1), (0.0, 5, 5, 0), (0.0, 6, 6, 1), (1.5, 4, 4, 1)],
    )
    def test_a_candidate_is_three_pixels_and_a_box_five(self, ratio, rows, columns, boxes):
        grid = np.zeros((1, 64, 128), np.float32)
        grid[0, 10 : 10 + rows, 10 : 10 + columns] = 1
        assert len(found(DbPostprocess(0.3, 0.6, ratio), grid)) == boxes

    def test_scores_are_the_mean_inside(self):
        scores = [box.score for box in PPOCR.boxes(scene(), SIZE)]
        edge = (50 * 30 * 0.5 + 40 * 20 * 0.5) / (50 * 30)
        assert scores == pytest.approx([0.875, edge, 0.875])

    def test_an_answer_is_the_boxes_as_a_text(self):
        told = read_boxes(PPOCR.decode(scene(), SIZE))
        assert [box.points for box in told] == BOXES
        assert [box.score for box in told] == [0.875, 0.7667, 0.875]

    @pytest.mark.parametrize("value", [0.0, 0.3, 0.25])
    def test_a_map_that_is_nowhere_over_the_threshold_has_none(self, value):
        assert PPOCR.decode(np.full((1, 32, 64), value, np.float32), SIZE) == "[]"

    def test_a_map_that_is_text_everywhere_has_one_box_of_all(self):
        assert found(PPOCR, np.ones((1, 32, 64), np.float32)) == [((0, 0), (500, 0), (500, 300), (0, 300))]

    def test_a_picture_upright_and_lying_are_told_apart(self):
        upright = np.ascontiguousarray(scene().transpose(0, 2, 1))
        swapped = {frozenset((y, x) for x, y in points) for points in found(PPOCR, upright, SIZE[::-1])}
        assert swapped == set(map(frozenset, BOXES))

    def test_only_the_first_candidates_are_looked_at(self):
        assert found(DbPostprocess(0.3, 0.6, 1.5, 1), scene()) == BOXES[:1]

    def test_the_published_constants(self):
        assert PPOCR == ICDAR15 == DbPostprocess(0.3, 0.6, 1.5, 1000)
        assert DbPostprocess(0.3, 0.5, 1.5, 1000) == BUNDLED

    @pytest.mark.parametrize("dtype", [np.float16, np.float64])
    def test_other_number_types_are_read_as_float32(self, dtype):
        assert found(PPOCR, scene().astype(dtype)) == BOXES

    @given(
        st.tuples(st.floats(70, 130), st.floats(70, 130)),
        st.tuples(st.floats(24, 90), st.floats(10, 20)),
        st.floats(-90, 90),
        st.sampled_from([(200, 200), (400, 400), (600, 300)]),
    )
    def test_a_turned_rectangle_comes_back_grown_by_the_rule(self, centre, sides, angle, size):
        rows, columns = np.mgrid[:200, :200]
        inside = shapely.intersects_xy(shapely.Polygon(cv2.boxPoints((centre, sides, angle))), columns, rows)
        (box,) = found(PPOCR, inside[np.newaxis].astype(np.float32), size)
        distance = sides[0] * sides[1] * 1.5 / (2 * sum(sides))
        wanted = cv2.boxPoints((centre, tuple(side + 2 * distance for side in sides), angle))
        scale = np.array([size[1], size[0]]) / 200
        moved = shapely.Polygon(np.array(box) / scale)
        # Pixels are whole, and corners are cut off to whole ones before they grow: 2.7 in the worst of 1,500.
        assert moved.hausdorff_distance(shapely.Polygon(wanted).intersection(shapely.box(0, 0, 200, 200))) < 3.5

    @given(SEEDS)
    def test_corners_go_round_inside_the_picture(self, seed):
        for points in found(PPOCR, blobs(seed)[0]):
            assert all(0 <= x <= SIZE[1] and 0 <= y <= SIZE[0] for x, y in points)
            ring = shapely.Polygon(points)
            # To the right first, with y down: the other way round than mathematicians go.
            assert not ring.is_valid or ring.exterior.is_ccw


class TestCompare:
    def test_a_map_equals_itself(self):
        maps = np.stack([scene(), scene()])
        for bound in (0.0, 1e-3, NEVER_UNDECIDED):
            decoded = PPOCR.compare(maps, maps, bound)
            assert (decoded.n, decoded.compared, decoded.equal) == (2, 2, 2)
            assert decoded.shown == {"mask_iou": 1.0}

    def test_a_box_that_is_gone_or_moved_is_seen(self):
        gone, moved = scene(), np.roll(scene(), 1, axis=2)
        gone[0, 20:30, 20:60] = 0
        for other in (gone, moved):
            decoded = PPOCR.compare(scene()[np.newaxis], other[np.newaxis], 1e-3)
            assert (decoded.compared, decoded.equal) == (1, 0)

    @pytest.mark.parametrize(("pixels", "equal"), [(0, 1), (2, 1), (3, 0)])
    def test_a_declared_change_may_move_boxes_by_two_pixels(self, pixels, equal):
        grid = scene()
        grid[0, 100:] = 0
        for axis in (1, 2):
            decoded = PPOCR.compare(grid[np.newaxis], np.roll(grid, pixels, axis)[np.newaxis], NEVER_UNDECIDED)
            assert (decoded.n, decoded.compared, decoded.equal) == (1, 1, equal)

    def test_a_declared_change_keeps_the_number_of_boxes(self):
        fewer, none = scene(), np.zeros_like(scene())
        fewer[0, 20:30, 20:60] = 0
        for one, other in ((scene(), fewer), (fewer, scene()), (scene(), none), (none, scene())):
            assert PPOCR.compare(one[np.newaxis], other[np.newaxis], NEVER_UNDECIDED).equal == 0
        assert PPOCR.compare(none[np.newaxis], none[np.newaxis], NEVER_UNDECIDED).equal == 1

    def test_boxes_are_paired_one_to_one_in_any_order_from_any_corner(self):
        one = [((0, 0), (9, 0), (9, 9), (0, 9)), ((3, 0), (12, 0), (12, 9), (3, 9))]
        other = [((2, 0), (11, 0), (11, 9), (2, 9)), ((10, 0), (10, 9), (1, 9), (1, 0))]
        assert db._paired(one, other)
        assert db._paired(other, one)
        # Each of two has a box near by, and it is the same.
        assert not db._paired(one, [other[0], ((40, 0), (49, 0), (49, 9), (40, 9))])

    @pytest.mark.parametrize(
        ("change", "decided"),
        [
            ((slice(0, 2), slice(0, 2), 0.3005), True),  # a speck that makes no box
            ((slice(20, 30), slice(60, 63), 0.3005), False),  # it would be longer
            ((slice(20, 30), slice(60, 63), 0.2995), False),
            ((slice(60, 80), slice(20, 60), 0.5995), False),  # a box, were it surer
            ((slice(60, 80), slice(20, 60), 0.6005), False),
            ((slice(60, 80), slice(20, 60), 0.598), True),
        ],
    )
    def test_a_map_is_compared_where_nothing_within_the_bound_makes_other_boxes(self, change, decided):
        rows, columns, value = change
        grid = scene()
        grid[0, rows, columns] = value
        assert PPOCR.compare(grid[np.newaxis], grid[np.newaxis], 1e-3).compared == int(decided)

    @pytest.mark.parametrize(("value", "decided"), [(0.0, True), (0.2985, True), (0.2995, False), (0.3, False)])
    def test_a_map_without_boxes_is_compared_where_all_of_it_is_decided(self, value, decided):
        grid = np.zeros((1, 1, 32, 64), np.float32)
        grid[..., 3, 3] = value
        assert PPOCR.compare(grid, grid, 1e-3).compared == int(decided)

    @given(SEEDS, st.sampled_from([1e-5, 1e-3, 1e-2]))
    def test_whatever_lies_within_the_bound_has_the_boxes_of_a_decided_map(self, seed, bound):
        expected = blobs(seed)
        draw = np.random.default_rng(seed)
        for noise in (draw.uniform(-bound, bound, expected.shape), bound * draw.choice([-1, 1], expected.shape)):
            decoded = PPOCR.compare(expected, expected + noise * 0.999, bound)
            assert decoded.equal == decoded.compared

    def test_of_no_items_decided_none_is_equal(self):
        grid = np.full((3, 1, 32, 64), 0.3, np.float32)
        decoded = PPOCR.compare(grid, grid, 1e-3)
        assert (decoded.n, decoded.compared, decoded.equal) == (3, 0, 0)

    def test_mask_iou_is_that_of_what_lies_over_the_threshold(self):
        one, other = np.zeros((2, 4, 1, 8, 8), np.float32)
        one[0, 0, :4], other[0, 0, 2:6] = 0.31, 0.9
        one[1, 0, :4], other[1, 0, :4] = 0.31, 0.29
        one[3], other[3] = 0.3, 0.2
        assert PPOCR.mask_iou(one, other).tolist() == [pytest.approx(1 / 3), 0, 1, 1]
        assert PPOCR.compare(one, other, 0.0).shown == {"mask_iou": 0.0}


def bent(name: str, make: Callable) -> Callable:
    """The postprocess with something of its module made another."""
    return lambda monkeypatch: monkeypatch.setattr(db, name, make(getattr(db, name))) or PPOCR


def unclipped(corners, shape, size):
    moved = np.round(corners / np.array(shape[::-1]) * np.array(size[::-1])).astype(int).tolist()
    return tuple((x, y) for x, y in moved)


def unrounded(corners, shape, size):
    limits = np.array(size[::-1])
    moved = np.clip(corners / np.array(shape[::-1]) * limits, 0, limits).astype(int).tolist()
    return tuple((x, y) for x, y in moved)


SABOTEURS = {
    "threshold and box threshold exchanged": lambda _: DbPostprocess(0.6, 0.3, 1.5),
    "no unclip": lambda _: DbPostprocess(0.3, 0.6, 0.0),
    "unclip ratio of the class": lambda _: DbPostprocess(0.3, 0.6, 2.0),
    "no box threshold": lambda _: DbPostprocess(0.3, 0.0, 1.5),
    "width and height exchanged": bent("_scaled", lambda true: lambda c, shape, size: true(c, shape, size[::-1])),
    "sizes of the map exchanged": bent("_scaled", lambda true: lambda c, shape, size: true(c, shape[::-1], size)),
    "not scaled": bent("_scaled", lambda true: lambda c, shape, size: true(c, shape, shape)),
    "not clipped": bent("_scaled", lambda true: unclipped),
    "not rounded": bent("_scaled", lambda true: unrounded),
    "no least size": bent("MIN_SIDE", lambda true: 0),
    "corners from another one on": bent("_rectangle", lambda true: lambda o: (np.roll(true(o)[0], 1, 0), true(o)[1])),
}


class TestSaboteurs:
    @pytest.mark.parametrize("name", SABOTEURS)
    def test_a_postprocess_that_is_bent_gives_other_boxes(self, monkeypatch, name):
        postprocess = SABOTEURS[name](monkeypatch)
        with pytest.raises(AssertionError):
            assert found(postprocess, scene()) == BOXES

    def test_over_the_threshold_is_not_at_it(self):
        at = scene()
        at[0, 20:30, 60:80] = np.float32(0.3)
        assert found(PPOCR, at) == BOXES
        assert found(DbPostprocess(float(np.nextafter(np.float32(0.3), np.float32(0))), 0.6, 1.5), at) != BOXES

    def test_at_the_box_threshold_is_enough(self):
        for value, boxes in ((0.5, 1), (float(np.nextafter(np.float32(0.5), np.float32(0))), 0)):
            grid = np.zeros((1, 64, 64), np.float32)
            grid[0, 20:40, 20:40] = value
            assert len(found(BUNDLED, grid)) == boxes


@pytest.fixture(scope="module")
def published(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[np.ndarray, tuple[int, int], str]]:
    """Map, size and truth of the first 40 pictures of ICDAR 2015, through the published network at 512 x 896."""
    import onnxruntime

    out = tmp_path_factory.mktemp("detector")
    axes = (BATCH, 3, 512, 896)
    given_ = StepInput(
        sources=(shared / "assets" / "weights" / "ppocrv3" / "ch_PP-OCRv3_det_infer",),
        params={"opset": 11},
        inputs=(TensorSpec(name="x", axes=axes, dtype="float32"),),
        outputs=(TensorSpec(name="map", axes=(BATCH, 1, 512, 896), dtype="float32"),),
    )
    paddle_to_onnx.build(given_, out)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(out / MODEL, options, providers=["CPUExecutionProvider"])
    samples = Icdar2015(shared / "assets" / "icdar2015").samples()
    return [
        (session.run(None, {"x": stretch_normalised(each.content, axes[1:])[np.newaxis]})[0][0], each.size, each.truth)
        for each in samples
    ]


def pooled(published, postprocess: DbPostprocess) -> tuple[int, ...]:
    rows = [ICDAR_IOU.count(postprocess.decode(grid, size), truth) for grid, size, truth in published]
    return tuple(sum(column) for column in zip(*rows, strict=True))[2:5]


def test_the_published_weights_give_the_figures_of_the_published_code(published):
    assert pooled(published, PPOCR) == (60, 178, 118)


def test_boxes_that_are_not_rounded_and_not_clipped_are_seen_in_the_figures(published, monkeypatch):
    monkeypatch.setattr(db, "_scaled", unrounded)
    assert pooled(published, PPOCR) != (60, 178, 118)
