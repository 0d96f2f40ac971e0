"""Result files of the simulator: both layouts come back number for number, and whatever is cut or bent is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from harness.knight.results import Result, differing, read_result, result_files
from harness.verdict import Refused

SHAPES = array_shapes(min_dims=3, max_dims=3, max_side=5)
WHOLE = SHAPES.flatmap(lambda shape: arrays(np.int32, shape, elements=st.integers(-(2**31), 2**31 - 1)))
FLOATS = SHAPES.flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-1e6, 1e6).map(lambda value: round(value, 6)))
)
VALUES = st.one_of(WHOLE, FLOATS)


def told(value) -> str:
    return str(int(value)) if isinstance(value, np.integer) else f"{value:.6f}"


def in_lines(values, header=True) -> str:
    """A header, then each channel on a line, a comma after each value."""
    c, h, w = values.shape
    lines = [f"SHAPE:(N:1, C:{c}, H:{h}, W:{w})"] if header else []
    for number, channel in enumerate(values):
        lines += [f"C[{number}]:", "".join(f"{told(each)}," for each in channel.ravel())]
    return "\n".join(lines) + "\n"


def in_rows(values, header=False) -> str:
    """Each row on a line, with blanks."""
    c, h, w = values.shape
    lines = [f"SHAPE:(N:1, C:{c}, H:{h}, W:{w})"] if header else []
    for number, channel in enumerate(values):
        lines += [f"C[{number}]:", *(" ".join(map(told, row)) for row in channel)]
    return "\n".join(lines) + "\n"


LAYOUTS = st.sampled_from([in_lines, in_rows])


class TestRead:
    @given(write=LAYOUTS, values=VALUES, header=st.booleans())
    def test_every_number_comes_back_in_order(self, write, values, header):
        found = read_result(write(values, header), values.size)
        np.testing.assert_array_equal(found.values, values.ravel())
        assert found.whole == (values.dtype.kind == "i")

    @given(write=LAYOUTS, values=WHOLE, data=st.data())
    def test_a_file_that_ends_early_is_refused(self, write, values, data):
        text = write(values).rstrip()
        cut = text[: data.draw(st.integers(0, text.rstrip(",").rindex(told(values.ravel()[-1]))))]
        with pytest.raises(Refused, match=r"truncated|expected a line C|in the place of"):
            read_result(cut, values.size)

    @given(write=LAYOUTS, values=VALUES, more=st.integers(-3, 3).filter(bool))
    def test_another_count_is_refused(self, write, values, more):
        with pytest.raises(Refused, match=rf"holds {values.size} numbers in {len(values)} channels, expected"):
            read_result(write(values), values.size + more)

    @pytest.mark.parametrize(
        ("text", "count", "expected"),
        [
            ("", 1, "expected a line C.0.: first, found 'nothing'"),
            ("1 2 3\n", 3, "neither of the layouts that are known"),
            ("C[0]:\n1 2\n3\n", 3, "channel 0: row 1 has 1 values, row 0 has 2; ragged"),
            ("C[0]:\n1 nan\n", 2, "channel 0: row 0 holds 'nan', which is no finite number"),
            ("C[0]:\n1,inf,\n", 2, "holds 'inf'"),
            ("C[0]:\n1,,2,\n", 3, "holds ''"),
            ("C[0]:\n0x10 1_0\n", 2, "holds '0x10'"),
            ("C[0]:\n1,2\n", 2, "one line with a comma after each value"),
            ("C[0]:\n1,\n2,\n", 2, "found 2 lines"),
            ("C[0]:\n1 2\nC[2]:\n3 4\n", 4, "'C.2.:' in the place of channel 1; one is missing or twice"),
            ("C[0]:\n1\nC[0]:\n2\n", 2, "'C.0.:' in the place of channel 1"),
            ("C[0]:\nC[1]:\n2\n", 1, "channel 0: holds nothing"),
            ("SHAPE:(N:1, C:2, H:1, W:2)\nC[0]:\n1,2,\n", 2, "its header says SHAPE.*holds 2 numbers in 1 channels"),
            ("SHAPE:(N:2, C:1, H:1, W:2)\nC[0]:\n1,2,\n", 2, "its header says"),
            ("SHAPE:(N:1, C:1, H:2, W:1)\nC[0]:\n1 2\n", 2, "its header says"),
        ],
    )
    def test_what_is_bent_is_named(self, text, count, expected):
        with pytest.raises(Refused, match=expected):
            read_result(text, count)

    def test_values_may_stand_behind_the_name_of_their_channel(self):
        assert read_result("C[0]: 1,2,\nC[1]: 3,4,\n", 4).values.tolist() == [1, 2, 3, 4]


class TestFiles:
    def test_both_generations_names_are_found(self):
        assert result_files(["result_0_p.txt", "result_1_p.txt", "log"], ["a", "b"]) == [
            "result_0_p.txt",
            "result_1_p.txt",
        ]
        new = ["result-softmax_0.tmp_0_p.txt", "result-softmax_0.tmp_0_hwc_p.txt", "result-_head_out_p.txt"]
        assert result_files(new, ["/head/out", "softmax_0.tmp_0"]) == [new[2], new[0]]

    @pytest.mark.parametrize(
        "found", [[], ["result_1_p.txt"], ["result-y_hwc_p.txt"], ["result_0_p.txt", "result-y_p.txt"]]
    )
    def test_one_that_is_missing_or_told_twice_is_refused(self, found):
        with pytest.raises(Refused, match=r"expected result_0_p\.txt or result-y_p\.txt for the output y"):
            result_files(found, ["y"])


class TestDiffering:
    def test_whole_numbers_are_the_same_or_counted(self):
        result = Result(np.array([1.0, 2.0, 3.0]), whole=True)
        assert differing(result, np.array([[1, 2, 3]], np.float32)) == 0
        assert differing(result, np.array([[1, 2.5, np.nan]], np.float32)) == 2

    def test_floats_are_compared_as_far_as_they_are_printed(self):
        result = Result(np.array([0.333333]), whole=False)
        assert differing(result, np.array([1 / 3])) == 0
        assert differing(result, np.array([0.33334])) == 1
