"""Whatever a text holds, it stays one cell of one row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.markdown import escape, table
from reports.order import natural_order
from tests.records import cells


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_row_has_as_many_cells_whatever_they_hold(texts):
    lines = table(["column"] * len(texts), [texts])
    assert len(lines) == 3
    assert [len(line.splitlines()) for line in lines] == [1, 1, 1]
    assert len(cells(lines[2])) == len(texts)


@given(st.text(alphabet="a\\|", max_size=12))
def test_bars_and_backslashes_come_back_as_they_were(text):
    cell = cells(table(["column"], [[text]])[2])[0]
    assert cell.replace("\\\\", "\0").replace("\\|", "|").replace("\0", "\\") == text


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b", "a\x0bb", "a \t b"])
def test_a_line_stays_one(text):
    assert escape(text) == "a b"


def test_nothing_in_a_text_is_markup_or_moves_the_cursor():
    assert escape("*a* `b` <c> [d](e) \x1b[2J") == r"\*a\* \`b\` \<c> \[d\](e) ?\[2J"
    assert escape("split_lstm") == "split_lstm"


def test_a_long_text_is_cut_and_says_how_long_it_was():
    assert escape("a" * 5000) == "a" * 600 + "... (5000 characters)"


def test_numbers_in_names_count_as_numbers():
    names = ["bs1", "bs8", "bs8_64x256", "bs16", "bs16_9x9", "bs16_10x9"]
    assert sorted(["bs16_10x9", "bs16", "bs8", "bs16_9x9", "bs8_64x256", "bs1"], key=natural_order) == names


@given(st.lists(st.text(alphabet="ab12\u00b2\u0663")))
def test_any_two_names_have_an_order(names):
    assert sorted(sorted(names, key=natural_order, reverse=True), key=natural_order) == sorted(names, key=natural_order)
