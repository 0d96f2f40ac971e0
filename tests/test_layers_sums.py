"""What is kept of a pair of tensors says what they are like, whatever parts it was taken of."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from harness.quantize.layers import MOST_DB, Sums

NUMBERS = st.floats(-100, 100, width=32)
SOME = st.integers(1, 40).flatmap(lambda n: st.tuples(*[arrays.arrays(np.float32, n, elements=NUMBERS)] * 2))


class TestSums:
    @given(SOME)
    def test_they_say_what_numpy_says(self, both: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
        f, q = (side.astype(np.float64) for side in both)
        sums = Sums.of(*both)
        size = float(np.linalg.norm(f))
        if size > 1e-3 and np.linalg.norm(q) > 1e-3:
            assert sums.cosine == pytest.approx(f @ q / size / np.linalg.norm(q), abs=1e-9)
            assert sums.error == pytest.approx(np.linalg.norm(f - q) / size, abs=1e-9)
            assert sums.gain == pytest.approx(np.linalg.lstsq(f[:, None], q, rcond=None)[0][0], abs=1e-6)
            assert sums.snr == pytest.approx(-20 * math.log10(max(sums.error, 1e-15)), abs=1e-6)
        if f.std() > 1e-2 and q.std() > 1e-2:
            assert sums.centred == pytest.approx(np.corrcoef(f, q)[0, 1], abs=1e-6)
        assert sums.mean_error == pytest.approx((q - f).mean(), abs=1e-9)

    @given(st.lists(SOME, min_size=1, max_size=5))
    def test_those_of_parts_add_up_to_those_of_the_whole(self, parts: list[tuple[NDArray, NDArray]]) -> None:
        first, *rest = (Sums.of(*part) for part in parts)
        for each in rest:
            first = first + each
        whole = Sums.of(*(np.concatenate(side) for side in zip(*parts, strict=True)))
        for field in fields(Sums):
            assert getattr(first, field.name) == pytest.approx(getattr(whole, field.name), rel=1e-9, abs=1e-6)

    @given(SOME, st.randoms(use_true_random=False))
    def test_they_do_not_depend_on_the_order_of_pairs(self, both: tuple[NDArray, NDArray], random: object) -> None:
        order = list(range(both[0].size))
        random.shuffle(order)
        straight, shuffled = Sums.of(*both), Sums.of(*(side[order] for side in both))
        assert straight.snr == pytest.approx(shuffled.snr, abs=1e-6)
        assert straight.saturation == shuffled.saturation

    @given(arrays.arrays(np.float32, st.integers(1, 40), elements=NUMBERS))
    def test_a_tensor_is_like_itself(self, f: NDArray[np.float32]) -> None:
        sums = Sums.of(f, f)
        assert sums.cosine == pytest.approx(1)
        assert (sums.snr, sums.error, sums.mean_error) == (MOST_DB, 0, 0)
        assert sums.gain == pytest.approx(1)

    @given(arrays.arrays(np.float32, st.integers(2, 40), elements=NUMBERS), st.floats(0.25, 4))
    def test_a_factor_is_the_gain_and_leaves_the_cosine(self, f: NDArray[np.float32], factor: float) -> None:
        sums = Sums.of(f, f.astype(np.float64) * factor)
        if np.abs(f).max() > 1e-3:
            assert sums.gain == pytest.approx(factor)
            assert sums.cosine == pytest.approx(1)

    def test_nothing_against_something_is_as_unlike_as_can_be(self) -> None:
        dead, born = Sums.of(np.ones(4), np.zeros(4)), Sums.of(np.zeros(4), np.ones(4))
        assert (dead.cosine, dead.gain, dead.error, dead.snr) == (0, 0, 1, 0)
        assert (born.cosine, born.error, born.snr) == (0, math.inf, -MOST_DB)

    def test_tiny_and_large_numbers_are_numbers(self) -> None:
        for size in (1e-30, 1e30):
            f = np.arange(1, 9, dtype=np.float32) * np.float32(size)
            assert Sums.of(f, f * np.float32(1.5)).cosine == pytest.approx(1)

    @pytest.mark.parametrize(
        ("q", "share"),
        [
            ([0, 0, 0, 1, 2, 3], 1 / 6),
            ([-2, 5, 0, 1, 5, -2], 4 / 6),
            ([0, 0, 0, 0, 0, 0], 0.0),
            ([7, 7, 7, 7, 7, 7], 0.0),
        ],
        ids=["zeros of a Relu", "both ends", "nothing", "constant"],
    )
    def test_saturation_is_the_share_at_the_ends_but_for_zeros(self, q: list[int], share: float) -> None:
        q_array = np.array(q, np.float32)
        assert Sums.of(q_array, q_array).saturation == pytest.approx(share)
        halves = [Sums.of(half, half) for half in np.split(q_array, 2)]
        assert (halves[0] + halves[1]).saturation == pytest.approx(share)
