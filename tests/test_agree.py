"""Two outputs agree within a bound, or they do not, or nothing could have failed: each is told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.agree import Agreement, Decoded, Loss, agree, item_distances, lossy, null_outputs
from harness.postprocess.recognition import Ctc
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Answer, Verdict

SPEC = TensorSpec(name="y", axes=(3, BATCH, 4), dtype="float32")
NUMBERS = st.floats(-100, 100, width=32)
OUTPUTS = st.integers(2, 5).flatmap(lambda n: arrays(np.float32, (3, n, 4), elements=NUMBERS))
PAIRS = st.integers(2, 5).flatmap(lambda n: arrays(np.float32, (2, 3, n, 4), elements=NUMBERS))


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

    @given(PAIRS)
    def test_distance_is_the_same_either_way(self, pair):
        left, right = pair
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
        nulls = dict(null_outputs(expected))
        assert {null.shape for null in nulls.values()} == {expected.shape}
        assert not nulls["zeros"].any()
        assert nulls["a constant"] == pytest.approx(expected.mean())
        assert np.array_equal(nulls["another sample's output"][1], expected[0])
        assert np.array_equal(nulls["the output shifted by one"][:, 1], expected[:, 0])


class TestLoss:
    """Items answer the class of their first step: item i the class i % 4, and nothing at another step answers it."""

    READER = Ctc("abc")

    def outputs(self, n: int) -> np.ndarray:
        return np.stack([np.eye(4)[(np.arange(n) + step) % 4] for step in (0, 1, 3)])

    def changed(self, n: int, count: int) -> np.ndarray:
        """The outputs of n items, of which this many answer otherwise."""
        found = self.outputs(n)
        found[0, :count] = np.roll(found[0, :count], 1, axis=-1)
        return found

    def answer(self, expected: np.ndarray, actual: np.ndarray, least: float, compare=best_of_first) -> Answer:
        return lossy(expected, actual, Loss(equal=least, because="it rounds"), SPEC, compare)

    @example(percent=55, quarter=25, off=0)
    @example(percent=25, quarter=2, off=1)
    @given(percent=st.integers(1, 100), quarter=st.integers(1, 40), off=st.integers(-1, 1))
    def test_the_share_itself_passes_and_one_answer_less_does_not(self, percent, quarter, off):
        n = 4 * quarter
        kept = min(max(-(-percent * n // 100) + off, 0), n)
        found = self.answer(self.outputs(n), self.changed(n, n - kept), percent / 100)
        if 100 * kept < percent * n:
            assert found.verdict is Verdict.FAIL
        else:  # a null output answers a quarter of the items right, by the class that it always answers
            assert found.verdict is (Verdict.INCONCLUSIVE if percent <= 25 else Verdict.PASS)

    @pytest.mark.parametrize(("turned", "verdict"), [(2, Verdict.PASS), (4, Verdict.FAIL)])
    def test_a_share_of_many_is_missed_by_few_only_beyond_chance(self, turned, verdict):
        loss = Loss(equal=0.97, because="it rounds", of_many=True)
        found = lossy(self.outputs(32), self.changed(32, turned), loss, SPEC, best_of_first)
        assert found.verdict is verdict
        assert f"{32 - turned} of 32 answers stay the same, expected at least 97% of many (it rounds)" in found.line
        assert self.answer(self.outputs(32), self.changed(32, turned), 0.97).verdict is Verdict.FAIL

    def test_the_line_says_what_is_lost_by_what_and_how_far_the_numbers_are_off(self):
        expected, actual = self.outputs(20), self.changed(20, 5) * 2
        for least, verdict in ((0.75, Verdict.PASS), (0.8, Verdict.FAIL)):
            found = self.answer(expected, actual, least)
            assert found.verdict is verdict
            assert f"lossy: 15 of 20 answers stay the same, expected at least {least:.0%} (it rounds)" in found.line
            assert "; max-abs 2, median 1, cosine 0." in found.line
            assert (found.figures["decoded_equal"], found.figures["decoded_compared"]) == (15, 20)
            assert (found.figures["max_abs"], found.figures["median_abs"], found.figures["n"]) == (2.0, 1.0, 20)

    def test_numbers_are_not_judged(self):
        expected = self.outputs(8)
        assert self.answer(expected, 1000 * expected - 3, 1.0).verdict is Verdict.PASS

    def test_numbers_are_judged_by_half_of_the_items_where_it_is_known_what_the_change_costs(self):
        loss = Loss(equal=0.5, because="it rounds", median=0.25)
        expected = self.outputs(9)
        near, far = expected.copy(), expected + 0.5
        near[:, :4] += 3.0
        assert lossy(expected, near, loss, SPEC, best_of_first).verdict is Verdict.PASS
        found = lossy(expected, far, loss, SPEC, best_of_first)
        assert found.verdict is Verdict.FAIL
        assert "median 0.5 (bound 0.25)" in found.line

    def test_a_null_output_proves_nothing_only_where_its_numbers_would_pass_too(self):
        outputs = np.broadcast_to(varied(8)[:1], (3, 8, 4)).copy()
        outputs[1:] *= 0.25
        shifted = Loss(equal=0.9, because="it rounds")
        assert lossy(outputs, outputs, shifted, SPEC, best_of_first).line.startswith("vacuous: the output shifted")
        judged = Loss(equal=0.9, because="it rounds", median=1e-3)
        assert lossy(outputs, outputs, judged, SPEC, best_of_first).verdict is Verdict.PASS

    @pytest.mark.parametrize(
        ("outputs", "named"),
        [
            (np.zeros((3, 8, 4)), "zeros, a constant, another sample's output, the output shifted by one"),
            (np.broadcast_to(varied(1), (3, 8, 4)), "another sample's output"),
            (np.broadcast_to(varied(8)[:1], (3, 8, 4)), "the output shifted by one"),
        ],
        ids=["dead", "the same for every sample", "the same at every step"],
    )
    def test_answers_that_a_null_output_would_give_prove_nothing(self, outputs, named):
        found = self.answer(outputs, outputs, 0.9)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.line.startswith("vacuous: ")
        assert named in found.line
        assert "would pass too; lossy: 8 of 8 answers" in found.line

    def test_a_loss_is_a_failure_even_where_the_outputs_are_vacuous(self):
        outputs = np.zeros((3, 8, 4))
        turned = outputs.copy()
        turned[0, :, 1] = 1
        assert self.answer(outputs, turned, 0.5).verdict is Verdict.FAIL

    @given(st.integers(1, 6), st.sampled_from([0.0, 0.5]), st.floats(0.01, 1))
    def test_ties_are_answers_as_any_other(self, n, level, least):
        tied = np.full((3, n, 4), level)
        found = self.answer(tied, tied.copy(), least, self.READER.compare)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.figures["decoded_equal"] == found.figures["decoded_compared"] == n

    @given(arrays(np.float32, (3, 6, 4), elements=st.sampled_from([0, 1])), st.data())
    def test_each_answer_counts_as_it_is_read(self, expected, data):
        actual = data.draw(arrays(np.float32, expected.shape, elements=st.sampled_from([0, 1])))
        read = [[self.READER.decode(outputs[:, item]) for item in range(6)] for outputs in (expected, actual)]
        found = self.answer(expected, actual, 0.5, self.READER.compare)
        equal = sum(left == right for left, right in zip(*read, strict=True))
        assert found.figures["decoded_equal"] == equal
        assert (found.verdict is Verdict.FAIL) == (equal < 3)
