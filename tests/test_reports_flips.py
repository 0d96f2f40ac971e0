"""Accuracy is compared sample by sample, on the same samples with the same weights, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.compare import compare
from reports.comparison import render_comparison
from reports.flips import Flips
from reports.record import Key
from tests.records import accuracy, made, one, write_outcomes

SAMPLES = st.dictionaries(st.text(min_size=1, max_size=3), st.tuples(st.booleans(), st.booleans()), min_size=1)


def hits(right: int, wrong: int) -> dict[str, bool]:
    return {f"w{index}": index < right for index in range(right + wrong)}


def scored(folder, found, **given):
    return made(folder, [accuracy(folder, found, **given)])


class TestAccuracy:
    @pytest.mark.parametrize(
        ("lost", "gained", "p"),
        [
            (0, 0, 1.0),
            (3, 3, 1.0),
            (5, 0, 2 / 32),
            (6, 0, 2 / 64),
            (9, 1, 2 * (1 + 10) / 1024),
            (8, 2, 2 * (1 + 10 + 45) / 1024),
            (2, 10, 2 * (1 + 12 + 66) / 4096),
        ],
    )
    def test_p_is_the_binomial_tail_twice(self, lost, gained, p):
        ids = [f"w{index}" for index in range(lost + gained)]
        found = Flips(
            key=Key("s", "accuracy", "r"), lost=tuple(ids[:lost]), gained=tuple(ids[lost:]), hits=(0, 0), n=99
        )
        assert found.p == pytest.approx(p, rel=1e-12)

    @pytest.mark.parametrize(("lost", "code"), [(5, 0), (6, 1)])
    def test_a_loss_counts_where_chance_does_not_explain_it(self, tmp_path, lost, code):
        a, b = scored(tmp_path / "a", hits(20, 0)), scored(tmp_path / "b", hits(20 - lost, lost))
        assert compare(a, b).exit_code == code

    def test_a_gain_is_never_worse(self, tmp_path):
        found = compare(scored(tmp_path / "a", hits(5, 15)), scored(tmp_path / "b", hits(20, 0)))
        assert (found.exit_code, len(found.accuracy[0].gained), found.accuracy[0].lost) == (0, 15, ())

    def test_flips_are_seen_where_the_share_is_the_same(self, tmp_path):
        a, b = scored(tmp_path / "a", {"x": True, "y": False}), scored(tmp_path / "b", {"x": False, "y": True})
        text = render_comparison(compare(a, b))
        assert "| crnn-ort-fp32-bs8 | bundled | 1/2 | 1/2 | 1 | 1 | 1 | not worse |" in text
        assert "(bundled) lost: x\n" in text
        assert "(bundled) gained: y\n" in text

    @given(SAMPLES)
    def test_swapping_the_runs_swaps_lost_and_gained(self, tmp_path_factory, samples):
        folder = tmp_path_factory.mktemp("swap")
        a = scored(folder / "a", {name: before for name, (before, _) in samples.items()})
        b = scored(folder / "b", {name: after for name, (_, after) in samples.items()})
        (there,), (back,) = compare(a, b).accuracy, compare(b, a).accuracy
        assert (there.lost, there.gained) == (back.gained, back.lost)
        assert there.p == back.p
        assert there.hits[1] - there.hits[0] == len(there.gained) - len(there.lost)
        assert not (there.worse and back.worse)

    def test_samples_are_matched_by_id_and_not_by_place(self, tmp_path):
        found = hits(3, 3)
        backward = {name: found[name] for name in reversed(found)}
        flips = compare(scored(tmp_path / "a", found), scored(tmp_path / "b", backward)).accuracy[0]
        assert (flips.lost, flips.gained) == ((), ())

    def refused(self, a, b):
        found = compare(a, b)
        assert (found.accuracy, found.exit_code) == ((), 2)
        return found.unlike[0].reason

    def test_missing_outcomes_are_said(self, tmp_path):
        a, b = scored(tmp_path / "a", hits(2, 1)), scored(tmp_path / "b", hits(1, 2))
        (tmp_path / "b" / "outcomes" / "outcomes.jsonl").unlink()
        assert self.refused(a, b) == "outcomes: B has no file outcomes/outcomes.jsonl in its run folder"

    def test_outcomes_that_were_not_recorded_are_said(self, tmp_path):
        a, b = scored(tmp_path / "a", hits(2, 1), outcomes=None), scored(tmp_path / "b", hits(1, 2))
        assert self.refused(a, b) == "outcomes: A recorded none"

    def test_other_samples_are_counted_on_both_sides(self, tmp_path):
        a, b = scored(tmp_path / "a", {"x": True, "y": True, "z": True}), scored(tmp_path / "b", {"z": True, "v": True})
        assert self.refused(a, b) == "sample ids: 2 (x, ...) only in A, 1 (v) only in B"

    def test_other_truths_are_said(self, tmp_path):
        a, b = scored(tmp_path / "a", {"x": True}), scored(tmp_path / "b", {"x": True})
        changed = [{"id": "x", "predicted": "q", "truth": "q", "hit": True}]
        write_outcomes(tmp_path / "b", "outcomes.jsonl", changed)
        assert self.refused(a, b) == "truth of samples: 1 (x) differ"

    def test_other_weights_are_said_with_both_values(self, tmp_path):
        a, b = scored(tmp_path / "a", hits(2, 1)), scored(tmp_path / "b", hits(1, 2), weights="bundled sha256:1")
        assert self.refused(a, b) == "weights: A bundled sha256:0000000000000000, B bundled sha256:1"

    def test_another_metric_is_said_with_both_values(self, tmp_path):
        a, b = scored(tmp_path / "a", hits(2, 1), metric="m 1"), scored(tmp_path / "b", hits(1, 2), metric="m 2")
        assert self.refused(a, b) == "metric: A m 1, B m 2"

    def test_outcomes_that_are_not_those_of_the_record_are_said(self, tmp_path):
        a, b = scored(tmp_path / "a", hits(2, 1)), scored(tmp_path / "b", hits(2, 1), hits=3)
        assert "B holds 2 hits of 3 in outcomes/outcomes.jsonl, its record says 3 of 3" in self.refused(a, b)

    @pytest.mark.parametrize("line", ['{"id": "w9"}', "{", "[]", "3"])
    def test_damaged_outcomes_are_said(self, tmp_path, line):
        a, b = scored(tmp_path / "a", hits(2, 1)), scored(tmp_path / "b", hits(2, 1))
        path = tmp_path / "b" / "outcomes" / "outcomes.jsonl"
        path.write_text(path.read_text() + line + "\n")
        assert "B cannot be read, outcomes/outcomes.jsonl line 4" in self.refused(a, b)

    def test_a_sample_that_is_scored_twice_is_said(self, tmp_path):
        a, b = scored(tmp_path / "a", hits(2, 0)), scored(tmp_path / "b", hits(2, 0))
        path = tmp_path / "b" / "outcomes" / "outcomes.jsonl"
        path.write_text(path.read_text() * 2)
        assert self.refused(a, b) == "outcomes: B holds the sample w0 twice"

    def test_outcomes_are_read_from_the_run_folder_only(self, tmp_path):
        a, b = scored(tmp_path / "a", hits(2, 1)), scored(tmp_path / "b", hits(2, 1), outcomes="../record.json")
        assert "B has no file" in self.refused(a, b)

    def test_figures_that_only_one_side_has_are_not_hidden_by_equal_verdicts(self, tmp_path):
        a = scored(tmp_path / "a", hits(1, 9), verdict="fail")
        b = made(tmp_path / "b", [one("accuracy", verdict="fail", line="wrong shape")])
        assert self.refused(a, b).startswith("metric: A acc")


class TestSetsThatAreNotPooled:
    """Their outcomes are compared too, and do not count in the figures of the answer."""

    def recorded(self, folder, pooled, others, **given):
        every = {f"a/{name}": hit for name, hit in pooled.items()} | {f"z/{name}": hit for name, hit in others.items()}
        figures = {"hits": sum(pooled.values()), "n": len(pooled), "acc": sum(pooled.values()) / max(1, len(pooled))}
        figures |= {"outcomes_n": len(every), "outcomes_hits": sum(every.values())}
        return scored(folder, every, **{**figures, **given})

    def test_their_flips_are_seen(self, tmp_path):
        a = self.recorded(tmp_path / "a", hits(2, 2), {"x": True, "y": False})
        b = self.recorded(tmp_path / "b", hits(1, 3), {"x": True, "y": True})
        (found,) = compare(a, b).accuracy
        assert (found.lost, found.gained) == (("a/w1",), ("z/y",))
        assert (found.hits, found.n) == ((3, 3), 6)

    @pytest.mark.parametrize(
        ("pooled", "others"),
        [(hits(0, 3), {"x": False}), (hits(3, 0), {"x": False}), (hits(0, 3), {"x": True}), ({}, {"x": True})],
        ids=["none right", "only pooled ones right", "only others right", "none pooled"],
    )
    def test_any_counts_of_both_are_those_of_the_record(self, tmp_path, pooled, others):
        a, b = (self.recorded(tmp_path / side, pooled, others) for side in "ab")
        (found,) = compare(a, b).accuracy
        assert found.n == len(pooled) + len(others)
        assert (found.lost, found.gained) == ((), ())

    @pytest.mark.parametrize("counts", [{"outcomes_n": 5}, {"outcomes_hits": 1}, {"outcomes_n": None}])
    def test_outcomes_that_are_not_those_counts_are_said(self, tmp_path, counts):
        a = self.recorded(tmp_path / "a", hits(2, 1), {"x": True})
        b = self.recorded(tmp_path / "b", hits(2, 1), {"x": True}, **counts)
        found = compare(a, b)
        assert (found.accuracy, found.exit_code) == ((), 2)
        assert "B holds 3 hits of 4 in outcomes/outcomes.jsonl, its record says" in found.unlike[0].reason
