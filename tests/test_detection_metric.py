"""Detections are counted as ICDAR's evaluator counts them: pooled, over a half, in turn, ignored ones aside."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.boxes import Box, Region, write_boxes, write_truth
from harness.judge import Hits, Ratio
from harness.metrics import detection
from harness.metrics.detection import COUNTED, ICDAR_IOU

Corners = Sequence[tuple[int, int]]
HALF = Fraction(1, 2)


def rectangle(left: int, top: int, width: int, height: int) -> Corners:
    return ((left, top), (left + width, top), (left + width, top + height), (left, top + height))


def counts(found: Sequence[Corners], places: Sequence[Corners] = (), ignored: Sequence[Corners] = (), *, scores=None):
    """Matched, truths and detections of a picture."""
    boxes = [Box(each, scores[place] if scores else 0.9) for place, each in enumerate(found)]
    regions = [*(Region(each, "a") for each in places), *(Region(each, "###") for each in ignored)]
    _, n, *counted = ICDAR_IOU.count(write_boxes(boxes), write_truth(regions))[:5]
    assert n == 1
    return tuple(counted)


# A slow reference, exact in fractions: polygons of whole numbers, cut into triangles, which are cut by half planes.


def turn(a, b, c) -> Fraction:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def meet(a, b, c, d) -> bool:
    """Whether two closed segments share a point."""
    if max(a[0], b[0]) < min(c[0], d[0]) or max(c[0], d[0]) < min(a[0], b[0]):
        return False
    if max(a[1], b[1]) < min(c[1], d[1]) or max(c[1], d[1]) < min(a[1], b[1]):
        return False
    return turn(a, b, c) * turn(a, b, d) <= 0 and turn(c, d, a) * turn(c, d, b) <= 0


def simple(corners: Corners) -> list[tuple[int, int]] | None:
    """The corners without repeated ones, or nothing where they are no valid polygon."""
    ring = [corner for place, corner in enumerate(corners) if corner != corners[place - 1]]
    if len(ring) < 3:
        return None
    for before, corner, after in zip([ring[-1], *ring[:-1]], ring, [*ring[1:], ring[0]], strict=True):
        back = (before[0] - corner[0]) * (after[0] - corner[0]) + (before[1] - corner[1]) * (after[1] - corner[1])
        if turn(before, corner, after) == 0 and back > 0:
            return None
    if len(ring) == 4 and (meet(*ring[:2], *ring[2:]) or meet(ring[1], ring[2], ring[3], ring[0])):
        return None
    return ring


def triangles(ring: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    if len(ring) == 3:
        return [ring]
    a, b, c, d = ring
    inner = turn(a, b, c) * turn(a, c, d) >= 0
    return [[a, b, c], [a, c, d]] if inner else [[b, c, d], [b, d, a]]


def cut(polygon, a, b) -> list:
    """What of a convex polygon lies to the left of a line (Sutherland and Hodgman)."""
    left = []
    for start, end in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
        here, there = turn(a, b, start), turn(a, b, end)
        if here >= 0:
            left.append(start)
        if here * there < 0:
            share = Fraction(here, here - there)
            left.append((start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share))
    return left


def area(polygon) -> Fraction:
    return sum((turn(polygon[0], b, c) for b, c in pairwise(polygon[1:])), Fraction(0)) / 2


def positive(triangle):
    return triangle if area(triangle) > 0 else triangle[::-1]


def shared_area(one, other) -> Fraction:
    total = Fraction(0)
    for left in map(positive, triangles(one)):
        for right in map(positive, triangles(other)):
            rest = left
            for a, b in zip(right, [*right[1:], right[0]], strict=True):
                rest = cut(rest, a, b) if rest else rest
            total += area(rest) if rest and area(right) else 0
    return total


def whole(ring) -> Fraction:
    return sum((abs(area(each)) for each in triangles(ring)), Fraction(0))


def plain(found, places, ignored) -> tuple[int, int, int]:
    """The published evaluation, step by step; nothing is drawn where a share lies at a half, which floats decide."""
    found, places, ignored = ([ring for ring in map(simple, each) if ring] for each in (found, places, ignored))
    shares = [[Fraction(shared_area(ring, each)) / whole(ring) for each in ignored] for ring in found]
    found = [ring for ring, own in zip(found, shares, strict=True) if not any(share > HALF for share in own)]
    taken, matched = set(), 0
    for place in places:
        for number, ring in enumerate(found):
            both = shared_area(place, ring)
            share = both / (whole(place) + whole(ring) - both)
            assume(share != HALF)
            if number not in taken and share > HALF:
                taken.add(number)
                matched += 1
                break
    assume(all(share != HALF for own in shares for share in own))
    return matched, len(places), len(found)


COORDINATES = st.tuples(st.integers(0, 12), st.integers(0, 12))
QUADS = st.tuples(*[COORDINATES] * 4) | st.builds(
    rectangle, st.integers(0, 8), st.integers(0, 8), st.integers(1, 9), st.integers(1, 9)
)
PLACES = st.lists(QUADS, max_size=4)


@st.composite
def moved(draw, quads):
    """A place with corners a little off, as detectors find it."""
    quad = draw(st.sampled_from(quads))
    return tuple((x + draw(st.integers(-1, 1)), y + draw(st.integers(-1, 1))) for x, y in quad)


@st.composite
def pictures(draw):
    places, ignored = draw(PLACES), draw(st.lists(QUADS, max_size=2))
    near = moved([*places, *ignored]) if places or ignored else QUADS
    return draw(st.permutations(draw(st.lists(near, max_size=4)) + draw(PLACES)[:1])), places, ignored


class TestAgainstThePlainReference:
    @given(pictures())
    def test_every_picture_counts_the_same(self, picture):
        found, places, ignored = picture
        assert counts(found, places, ignored) == plain(found, places, ignored)

    @given(QUADS)
    def test_polygons_are_valid_alike_and_valid_ones_are_simple(self, quad):
        ring = simple(quad)
        polygon = shapely.Polygon(quad)
        assert polygon.is_valid is (ring is not None)
        if ring:
            assert polygon.is_simple
            assert polygon.area == whole(ring)


class TestRules:
    def test_a_match_overlaps_by_more_than_a_half(self):
        # 10 x 10 and 10 x 5 in it share exactly a half; one row more is a match.
        assert counts([rectangle(0, 0, 10, 5)], [rectangle(0, 0, 10, 10)]) == (0, 1, 1)
        assert counts([rectangle(0, 0, 10, 6)], [rectangle(0, 0, 10, 10)]) == (1, 1, 1)

    def test_a_detection_is_ignored_by_more_than_half_of_its_own_area(self):
        ignored = [rectangle(0, 0, 100, 100)]
        assert counts([rectangle(95, 0, 10, 10)], [], ignored) == (0, 0, 1)
        assert counts([rectangle(94, 0, 10, 10)], [], ignored) == (0, 0, 0)

    def test_two_ignored_places_do_not_add_up(self):
        assert counts([rectangle(0, 0, 10, 10)], [], [rectangle(0, 0, 5, 10), rectangle(5, 0, 5, 10)]) == (0, 0, 1)

    def test_an_ignored_detection_matches_nothing(self):
        place = rectangle(0, 0, 10, 10)
        assert counts([place], [place], [place]) == (0, 1, 0)

    def test_truths_take_detections_in_turn(self):
        # The first truth takes the first detection that will do, though the second fits it better and is surer.
        places = [rectangle(10, 0, 10, 10), rectangle(13, 0, 10, 10)]
        found = [rectangle(12, 0, 9, 10), rectangle(9, 0, 10, 10)]
        for scores in ((0.9, 0.8), (0.7, 0.99)):
            assert counts(found, places, scores=scores) == (1, 2, 2)
        assert counts(found[::-1], places) == (2, 2, 2)
        assert counts(found, places[::-1]) == (2, 2, 2)

    def test_one_detection_is_one_match(self):
        place = rectangle(0, 0, 10, 10)
        assert counts([place], [place, place]) == (1, 2, 1)
        assert counts([place, place], [place]) == (1, 1, 2)

    @pytest.mark.parametrize(
        "quad",
        [((0, 0), (9, 9), (9, 0), (0, 9)), ((0, 0), (9, 0), (4, 0), (2, 0)), ((5, 5),) * 4],
        ids=["crossing", "without area", "a point"],
    )
    def test_polygons_that_are_none_are_left_out_on_both_sides(self, quad):
        place = rectangle(0, 0, 10, 10)
        assert counts([place, quad], [place, quad], [quad]) == (1, 1, 1)

    def test_direction_and_first_corner_do_not_matter(self):
        place = rectangle(0, 0, 10, 10)
        assert counts([place[::-1]], [(*place[2:], *place[:2])]) == (1, 1, 1)


class TestCounts:
    def test_columns_are_as_they_are_named(self):
        place = rectangle(0, 0, 10, 10)
        line = write_boxes([Box(place, 0.9), Box(rectangle(50, 0, 10, 10), 0.9), Box(rectangle(90, 0, 10, 10), 0.9)])
        row = dict(zip(ICDAR_IOU.columns, ICDAR_IOU.count(line, write_truth([Region(place, "a")] * 2)), strict=True))
        counted = {"hits": 0, "n": 1, "matched": 1, "truths": 2, "detections": 3}
        squares = {"matched*matched": 1, "truths*truths": 4, "detections*detections": 9}
        assert row == counted | squares | {"matched*truths": 2, "detections*matched": 3, "detections*truths": 6}

    @pytest.mark.parametrize(
        ("found", "places", "ignored", "hit"),
        [
            ([], [], [], 1),
            ([rectangle(0, 0, 9, 9)], [], [], 0),
            ([], [rectangle(0, 0, 9, 9)], [], 0),
            ([rectangle(0, 0, 9, 9)], [rectangle(0, 0, 9, 9)], [], 1),
            ([rectangle(0, 0, 9, 9)], [], [rectangle(0, 0, 9, 9)], 1),
            ([rectangle(0, 0, 9, 9)], [rectangle(50, 0, 9, 9)], [], 0),
        ],
    )
    def test_a_hit_is_a_picture_without_a_fault(self, found, places, ignored, hit):
        truth = write_truth([*(Region(each, "a") for each in places), *(Region(each, "###") for each in ignored)])
        row = ICDAR_IOU.count(write_boxes([Box(each, 0.9) for each in found]), truth)
        assert row[0] == hit
        assert (ICDAR_IOU.faults(row) == 0) is bool(hit)

    def test_faults_are_places_and_boxes_without_a_partner(self):
        place = rectangle(0, 0, 10, 10)
        found = write_boxes([Box(place, 0.9), Box(rectangle(50, 0, 10, 10), 0.9), Box(rectangle(90, 0, 10, 10), 0.9)])
        assert ICDAR_IOU.faults(ICDAR_IOU.count(found, write_truth([Region(place, "a")] * 2))) == 3

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1))
    def test_values_are_of_the_sums_of_all_pictures(self, rows):
        matched, truths, found = (sum(row[place] for row in rows) for place in range(3))
        matched = min(matched, truths, found)
        sums = [0, len(rows), matched, truths, found, *[0] * 6]
        precision, recall = matched / found if found else 0, matched / truths if truths else 0
        hmean = 2 * precision * recall / (precision + recall) if matched else 0
        expected = {"box_precision": precision, "box_recall": recall, "hmean": hmean}
        assert ICDAR_IOU.value(sums) == pytest.approx(expected)

    def test_every_value_says_how_it_is_judged_by_columns_that_are_counted(self):
        assert set(ICDAR_IOU.value([0] * len(ICDAR_IOU.columns))) == set(ICDAR_IOU.measures)
        for measure in ICDAR_IOU.measures.values():
            assert set(measure.columns) <= set(ICDAR_IOU.columns)
        assert ICDAR_IOU.columns[:2] == (Hits().columns[0], "n")
        assert ICDAR_IOU.measures["hmean"] == Ratio(("matched", "matched"), ("truths", "detections"))

    @pytest.mark.parametrize("line", ["", "GENAXIS", '[{"points": []}]'])
    def test_what_is_no_answer_or_truth_is_told(self, line):
        with pytest.raises(ValueError, match="expected"):
            ICDAR_IOU.count(line, "[]")
        with pytest.raises(ValueError, match="expected"):
            ICDAR_IOU.count("[]", line)


class TestSaboteurs:
    """An evaluator with one rule bent is seen by a test above."""

    @pytest.mark.parametrize("at", [np.nextafter(0.5, 0)], ids=[">="])
    def test_a_half_that_is_enough_is_seen(self, monkeypatch, at):
        monkeypatch.setattr(detection, "LEAST_IOU", at)
        with pytest.raises(AssertionError, match=r"\(1, 1, 1\) == \(0, 1, 1\)"):
            TestRules().test_a_match_overlaps_by_more_than_a_half()

    def test_half_of_a_detection_that_is_enough_is_seen(self, monkeypatch):
        monkeypatch.setattr(detection, "IGNORED_SHARE", np.nextafter(0.5, 0))
        with pytest.raises(AssertionError, match=r"\(0, 0, 0\) == \(0, 0, 1\)"):
            TestRules().test_a_detection_is_ignored_by_more_than_half_of_its_own_area()

    def test_counting_ignored_places_is_seen(self, monkeypatch):
        monkeypatch.setattr(Region, "ignored", False)
        with pytest.raises(AssertionError, match=r"\(0, 1, 1\) == \(0, 0, 1\)"):
            TestRules().test_a_detection_is_ignored_by_more_than_half_of_its_own_area()

    def test_counting_detections_in_ignored_places_is_seen(self, monkeypatch):
        monkeypatch.setattr(detection, "_inside", lambda found, ignored: np.zeros(len(found), dtype=bool))
        with pytest.raises(AssertionError, match=r"\(0, 0, 1\) == \(0, 0, 0\)"):
            TestRules().test_a_detection_is_ignored_by_more_than_half_of_its_own_area()

    def test_polygons_that_are_kept_though_they_are_none_are_seen(self, monkeypatch):
        monkeypatch.setattr(shapely, "is_valid", lambda polygons: np.ones(len(polygons), dtype=bool))
        with pytest.raises((AssertionError, shapely.errors.GEOSException)):
            TestRules().test_polygons_that_are_none_are_left_out_on_both_sides(((0, 0), (9, 9), (9, 0), (0, 9)))

    def test_taking_the_best_or_the_surest_first_is_seen(self, monkeypatch):
        def most(truths, found):
            over = np.array(
                [[shapely.area(a & b) / shapely.area(a | b) > detection.LEAST_IOU for b in found] for a in truths]
            )
            pairs = list(zip(*np.nonzero(over), strict=True))
            return max(
                size
                for size in range(len(truths) + 1)
                for some in combinations(pairs, size)
                if all(len({pair[side] for pair in some}) == size for side in (0, 1))
            )

        monkeypatch.setattr(detection, "_matches", most)
        with pytest.raises(AssertionError, match=r"\(2, 2, 2\) == \(1, 2, 2\)"):
            TestRules().test_truths_take_detections_in_turn()


def test_columns_are_those_that_a_ratio_needs():
    assert set(Ratio(COUNTED, COUNTED).columns) | {"hits", "n"} == set(ICDAR_IOU.columns)
