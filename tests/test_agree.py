"""Two outputs agree within a bound, or they do not, or nothing could have failed: each is told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.agree import Agreement, Decoded, agree, item_distances, null_outputs
from harness.model import BATCH, TensorSpec
from harness.verdict import Verdict

SPEC = TensorSpec(name="y", axes=(3, BATCH, 4), dtype="float32")
NUMBERS = st.floats(-100, 100, width=32)
OUTPUTS = st.integers(2, 5).flatmap(lambda n: arrays(np.float32, (3, n, 4), elements=NUMBERS))


def undecided(expected: np.ndarray, actual: np.ndarray, bound: float) -> Decoded:
    """A comparison of answers that decides nothing."""
    return Decoded(n=len(expected), compared=0, equal=0)


def best_of_first(expected: np.ndarray, actual: np.ndarray, bound: float) -> Decoded:
    """A comparison of answers that compares the best class of the first step."""
    return Decoded(len(expected), len(expected), int((expected[:, 0].argmax(-1) == actual[:, 0].argmax(-1)).sum()))


def varied(n: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, n, 4)).astype(np.float32)


def ids(n: int) -> tuple[str, ...]:
    return tuple(f"word{index}" for index in range(n))


def verdict(found: Agreement) -> Verdict:
    return found.answer(ids(found.n), "close to network").verdict


class TestDistances:
    @given(OUTPUTS)
    def test_identical_outputs_are_at_distance_zero(self, outputs):
        found = agree(outputs, outputs.copy(), 0.0, SPEC, undecided)
        assert (found.n, found.max_abs) == (outputs.shape[1], 0.0)
        assert found.cosine == pytest.approx(1.0)
        assert verdict(found) in (Verdict.PASS, Verdict.INCONCLUSIVE)

    @given(OUTPUTS, st.data(), st.floats(0.5, 50, width=32), st.sampled_from([-1, 1]))
    def test_the_largest_difference_and_its_item_are_found(self, outputs, data, off, sign):
        at = tuple(data.draw(st.integers(0, size - 1)) for size in outputs.shape)
        changed = outputs.astype(np.float64)
        changed[at] += sign * off
        found = agree(outputs, changed, 0.25, SPEC, undecided)
        assert found.max_abs == pytest.approx(off, rel=1e-6)
        assert found.worst == at[1]
        answer = found.answer(ids(found.n), "close to network")
        assert answer.verdict == Verdict.FAIL
        assert answer.line.endswith(f"worst at word{at[1]}")

    @given(OUTPUTS, st.floats(0.001, 10))
    def test_the_bound_itself_agrees_and_the_next_number_does_not(self, outputs, off):
        changed = outputs.astype(np.float64)
        changed[0, 0, 0] += off
        distance = abs(changed[0, 0, 0] - float(outputs[0, 0, 0]))
        assert verdict(agree(outputs, changed, distance, SPEC, undecided)) != Verdict.FAIL
        below = float(np.nextafter(distance, 0))
        assert verdict(agree(outputs, changed, below, SPEC, undecided)) == Verdict.FAIL

    @given(OUTPUTS, OUTPUTS)
    def test_distance_is_the_same_either_way(self, left, right):
        assume(left.shape == right.shape)
        assert np.array_equal(item_distances(left, right), item_distances(right, left))

    def test_items_lie_along_the_declared_batch_axis(self):
        outputs = varied(5)
        changed = outputs.copy()
        changed[:, 3] += 1
        found = agree(outputs, changed, 0.0, SPEC, undecided)
        assert (found.n, found.worst) == (5, 3)

    def test_the_cosine_is_that_of_the_worst_item(self):
        outputs = varied(4)
        changed = outputs.copy()
        changed[:, 2] *= -1
        assert agree(outputs, changed, 0.0, SPEC, undecided).cosine == pytest.approx(-1.0)

    @pytest.mark.parametrize(("scale", "cosine"), [(0.0, 0.0), (2.0, 1.0)])
    def test_a_dead_item_has_cosine_zero_and_a_scaled_one_has_one(self, scale, cosine):
        outputs = varied(4)
        changed = outputs.copy()
        changed[:, 1] *= scale
        assert agree(outputs, changed, 0.0, SPEC, undecided).cosine == pytest.approx(cosine)


class TestVerdicts:
    def test_varied_outputs_within_the_bound_pass_and_the_line_says_all_of_it(self):
        outputs = varied()
        answer = agree(outputs, outputs + np.float32(1e-4), 1e-3, SPEC, best_of_first).answer(
            ids(4), "close to network"
        )
        assert answer.verdict == Verdict.PASS
        assert "close to network: max-abs 0.0001, bound 0.001, cosine 0.9" in answer.line
        assert answer.line.endswith("decoded 4 of 4 decided, n=4")
        assert (answer.figures["n"], answer.figures["bound"], answer.figures["decoded_equal"]) == (4, 1e-3, 4)

    @pytest.mark.parametrize("at", [(0, 0, 0), (2, 3, 3)])
    @pytest.mark.parametrize("bound", [0.0, 1e6, float("inf")])
    def test_a_number_that_is_none_never_agrees(self, at, bound):
        outputs = varied()
        changed = outputs.copy()
        changed[at] = np.nan
        for left, right in ((outputs, changed), (changed, outputs), (changed, changed)):
            found = agree(left, right, bound, SPEC, undecided)
            assert verdict(found) == Verdict.FAIL
            assert found.worst == at[1]

    def test_a_decided_answer_that_differs_fails_although_the_numbers_agree(self):
        outputs = varied()
        swapped = outputs[..., ::-1].copy()
        found = agree(outputs, swapped, 100.0, SPEC, best_of_first)
        assert found.max_abs < found.bound
        assert verdict(found) == Verdict.FAIL

    def test_undecided_answers_are_no_failure(self):
        outputs = varied()
        assert verdict(agree(outputs, outputs, 0.0, SPEC, undecided)) == Verdict.PASS


class TestVacuity:
    @given(NUMBERS, st.floats(0, 10))
    def test_constant_outputs_prove_nothing(self, level, bound):
        outputs = np.full((3, 4, 4), level, np.float32)
        found = agree(outputs, outputs, bound, SPEC, undecided)
        answer = found.answer(ids(4), "exact to onnx")
        assert answer.verdict == Verdict.INCONCLUSIVE
        assert answer.line.startswith("vacuous: ")
        assert {"a constant", "another sample's output", "the output shifted by one"} <= set(found.nulls)
        assert ("zeros" in found.nulls) == (abs(level) <= bound)

    @pytest.mark.parametrize(
        ("outputs", "named"),
        [
            (np.zeros((3, 4, 4), np.float32), "zeros"),
            (np.broadcast_to(varied(1), (3, 4, 4)), "another sample's output"),
            (np.broadcast_to(varied(4)[:1], (3, 4, 4)), "the output shifted by one"),
            (np.full((3, 4, 4), 5, np.float32), "a constant"),
        ],
        ids=["dead", "the same for every sample", "the same at every step", "one number"],
    )
    def test_outputs_that_a_null_output_would_equal_are_named_by_it(self, outputs, named):
        found = agree(outputs, outputs.copy(), 0.0, SPEC, undecided)
        assert named in found.nulls
        assert verdict(found) == Verdict.INCONCLUSIVE

    def test_one_dead_item_among_many_makes_it_vacuous(self):
        outputs = varied(6)
        outputs[:, 4] = 0
        assert agree(outputs, outputs, 0.0, SPEC, undecided).nulls == ("zeros", "the output shifted by one")

    def test_two_samples_with_one_answer_are_no_fault_but_half_of_them_are(self):
        outputs = varied(6)
        outputs[:, 4] = outputs[:, 3]
        assert agree(outputs, outputs, 0.0, SPEC, undecided).nulls == ()
        outputs[:, 1] = outputs[:, 2] = outputs[:, 0]
        assert agree(outputs, outputs, 0.0, SPEC, undecided).nulls == ("another sample's output",)

    def test_a_bound_as_wide_as_the_outputs_is_vacuous(self):
        outputs = varied()
        assert len(agree(outputs, outputs, 100.0, SPEC, undecided).nulls) == 4

    def test_a_single_item_cannot_show_that_another_samples_output_would_fail(self):
        outputs = varied(1)
        assert "another sample's output" in agree(outputs, outputs, 0.0, SPEC, undecided).nulls

    def test_a_difference_is_a_failure_even_where_the_outputs_are_vacuous(self):
        outputs = np.zeros((3, 4, 4), np.float32)
        assert verdict(agree(outputs, outputs + 1, 0.5, SPEC, undecided)) == Verdict.FAIL

    @given(arrays(np.float64, (4, 3, 5), elements=st.integers(-50, 50).map(float)))
    def test_null_outputs_have_the_shape_and_the_numbers_that_their_names_say(self, expected):
        nulls = null_outputs(expected)
        assert {null.shape for null in nulls.values()} == {expected.shape}
        assert not nulls["zeros"].any()
        assert nulls["a constant"] == pytest.approx(expected.mean())
        assert np.array_equal(nulls["another sample's output"][1], expected[0])
        assert np.array_equal(nulls["the output shifted by one"][:, 1], expected[:, 0])
