"""Which samples calibration takes: as many as asked, never more than a share, the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.datasets import DataError
from harness.quantize.samples import chosen

SIZES = st.integers(1, 400)


@given(SIZES, st.data(), st.integers(0, 2**32 - 1))
def test_samples_are_distinct_in_order_and_in_the_set(n: int, data: st.DataObject, seed: int) -> None:
    wanted = data.draw(st.integers(1, n))
    found = chosen(n, wanted, 1.0, seed)
    assert len(found) == len(set(found)) == wanted
    assert list(found) == sorted(found)
    assert 0 <= found[0] <= found[-1] < n
    assert all(type(number) is int for number in found), "they go into keys as text"
    assert chosen(n, wanted, 1.0, seed) == found


@given(SIZES, st.data(), st.integers(0, 2**32 - 1))
def test_more_samples_hold_all_of_fewer(n: int, data: st.DataObject, seed: int) -> None:
    more = data.draw(st.integers(1, n))
    fewer = data.draw(st.integers(1, more))
    assert set(chosen(n, fewer, 1.0, seed)) <= set(chosen(n, more, 1.0, seed))


def test_numbers_stay_those_of_every_version_of_numpy() -> None:
    """Another choice would be another calibration, with nothing said of it."""
    assert chosen(100, 5, 1.0, 0) == (2, 26, 55, 75, 86)
    assert chosen(100, 5, 1.0, 1) != chosen(100, 5, 1.0, 0)


def test_the_first_samples_are_taken_where_they_are_asked() -> None:
    assert chosen(40, 4, 1.0, seed=9, first=True) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("n", "wanted", "share", "most"), [(40, 20, 0.5, 20), (100, 29, 0.29, 29), (30, 3, 0.1, 3), (7, 3, 0.5, 3)]
)
def test_a_share_of_the_set_is_given_and_no_more(n: int, wanted: int, share: float, most: int) -> None:
    assert len(chosen(n, wanted, share, 0)) == wanted
    for first in (False, True):
        with pytest.raises(DataError, match=rf"asks for {most + 1} samples, of a set of {n} that gives at most {most}"):
            chosen(n, most + 1, share, 0, first)


@pytest.mark.parametrize(("n", "wanted"), [(0, 1), (9, 0), (9, 10)])
def test_sets_that_are_empty_or_too_small_are_named(n: int, wanted: int) -> None:
    with pytest.raises(DataError, match=f"asks for {wanted} samples, of a set of {n}"):
        chosen(n, wanted, 1.0, 0)
