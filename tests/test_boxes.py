"""Truths and answers of detectors are one line of JSON, read back as they were written, and refused where malformed."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.boxes import FARTHEST, Box, Region, read_boxes, read_truth, write_boxes, write_truth

COORDINATES = st.integers(-FARTHEST, FARTHEST)
POINTS = st.tuples(*[st.tuples(COORDINATES, COORDINATES)] * 4)
TEXTS = st.text(max_size=9) | st.sampled_from(["###", "a\nb", "\u2028", '"]}'])
REGIONS = st.lists(st.builds(Region, POINTS, TEXTS), max_size=3)
BOXES = st.lists(st.builds(Box, POINTS, st.floats(0, 1)), max_size=3)
QUAD = "[[0, 0], [9, 0], [9, 5], [0, 5]]"


class TestRoundTrip:
    @given(REGIONS)
    def test_a_truth_comes_back(self, regions):
        assert read_truth(write_truth(regions)) == regions

    @given(BOXES)
    def test_boxes_come_back_with_scores_of_four_digits(self, boxes):
        found = read_boxes(write_boxes(boxes))
        assert [box.points for box in found] == [box.points for box in boxes]
        assert [box.score for box in found] == [round(box.score, 4) for box in boxes]
        assert read_boxes(write_boxes(found)) == found

    @given(REGIONS)
    def test_whatever_a_text_holds_it_is_one_line_of_ascii(self, regions):
        line = write_truth(regions)
        assert line.isascii()
        assert len(line.splitlines()) == 1

    def test_a_truth_reads_as_paddleocr_writes_its_labels(self):
        line = '[{"transcription": "GENÄXIS", "points": [[377, 117], [463, 117], [465, 130], [378, 130]]}]'
        assert read_truth(line) == [Region(((377, 117), (463, 117), (465, 130), (378, 130)), "GENÄXIS")]
        assert json.loads(write_truth(read_truth(line))) == json.loads(line)

    def test_an_answer_reads_as_it_is_declared(self):
        box = Box(((0, 0), (9, 0), (9, 5), (0, 5)), 0.87312)
        assert write_boxes([box]) == f'[{{"points": {QUAD}, "score": 0.8731}}]'

    @pytest.mark.parametrize(("text", "ignored"), [("###", True), ("*", False), ("", False), ("####", False)])
    def test_only_the_published_mark_makes_a_place_ignored(self, text, ignored):
        assert Region(((0, 0), (9, 0), (9, 5), (0, 5)), text).ignored is ignored


class TestRefusals:
    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("", "'' is no JSON: .*; expected a list of points and score"),
            ("GENAXIS", "'GENAXIS' is no JSON"),
            ("[" * 100_000, "is no JSON: maximum recursion"),
            ("{}", "'{}' is no list"),
            ("[1]", "entry 0: '1'; expected an object with points and score"),
            (f'[{{"points": {QUAD}}}]', "entry 0: .*; expected an object with points and score"),
            (f'[{{"points": {QUAD}, "score": 1, "more": 2}}]', "entry 0: .*; expected an object"),
            (f'[{{"points": {QUAD}, "score": 1}}, {{"points": [], "score": 1}}]', r"entry 1: points '\[\]'; expected"),
            ('[{"points": [[0, 0], [9, 0], [9, 5]], "score": 1}]', "entry 0: points .*; expected four"),
            ('[{"points": [[0, 0], [9, 0], [9, 5], [0]], "score": 1}]', "entry 0: points .*; expected four"),
            ('[{"points": [[0, 0], [9, 0], [9, 5], [0.5, 5]], "score": 1}]', "of whole numbers"),
            ('[{"points": [[0, 0], [9, 0], [9, 5], [true, 5]], "score": 1}]', "of whole numbers"),
            ('[{"points": [[0, 0], [9, 0], [9, 5], [10000001, 5]], "score": 1}]', "at most 10000000 from 0"),
            (f'[{{"points": {QUAD}, "score": "1"}}]', "entry 0: score '1'; expected a finite number"),
            (f'[{{"points": {QUAD}, "score": NaN}}]', "entry 0: score 'nan'; expected a finite number"),
            (f'[{{"points": {QUAD}, "score": true}}]', "entry 0: score 'True'; expected a finite number"),
        ],
    )
    def test_an_answer_that_is_none_is_told(self, line, told):
        with pytest.raises(ValueError, match=told):
            read_boxes(line)

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            (f'[{{"points": {QUAD}, "score": 0.5}}]', "expected an object with transcription and points"),
            (f'[{{"points": {QUAD}, "transcription": null}}]', "entry 0: transcription 'None'; expected a text"),
            ('[{"points": null, "transcription": "a"}]', "entry 0: points 'None'; expected four"),
        ],
    )
    def test_a_truth_that_is_none_is_told(self, line, told):
        with pytest.raises(ValueError, match=told):
            read_truth(line)

    @given(
        st.sampled_from([read_truth, read_boxes]),
        st.text(max_size=40) | st.recursive(st.none() | st.integers(), st.lists, max_leaves=8).map(json.dumps),
    )
    def test_nothing_else_is_raised(self, read, line):
        assume(line.strip() != "[]")
        with pytest.raises(ValueError, match="expected"):
            read(line)
