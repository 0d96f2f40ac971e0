"""A comparison finds what got worse, names what differs, and compares nothing that is not the same thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdict import Verdict
from reports.compare import compare
from reports.comparison import render_comparison
from reports.record import find, read
from tests.records import accuracy, everything, good, made, one, timing

ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(("build", "batching", "throughput")),
        st.sampled_from(("s1", "s2", "s3")),
        st.sampled_from(("seeded", "bundled")),
        st.sampled_from(list(Verdict)),
    ),
    unique_by=lambda drawn: drawn[:3],
)


def of(folder, drawn):
    """A record of drawn verdicts; throughput that passed has times."""
    return made(
        folder,
        [
            (timing(0.25) if question == "throughput" else one(question))
            | {"subject": subject, "reference": reference, "verdict": verdict.value}
            for question, subject, reference, verdict in drawn
        ],
    )


def turned(tmp_path, before: Verdict | None, after: Verdict | None):
    """The comparison of two runs that share a passing answer and differ in one."""
    sides = []
    for name, verdict in (("a", before), ("b", after)):
        answers = [one()] + ([one("batching", verdict=verdict.value)] if verdict else [])
        sides.append(made(tmp_path / name, answers))
    return compare(*sides)


PASS, FAIL, SKIPPED, INCONCLUSIVE, BROKEN = Verdict


class TestVerdicts:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            *[(PASS, verdict) for verdict in (INCONCLUSIVE, FAIL, BROKEN, SKIPPED, None)],
            *[(INCONCLUSIVE, verdict) for verdict in (FAIL, BROKEN, SKIPPED, None)],
            *[(FAIL, verdict) for verdict in (BROKEN, SKIPPED, None)],
            *[(BROKEN, SKIPPED), (BROKEN, None), (SKIPPED, None)],
            *[(SKIPPED, FAIL), (SKIPPED, BROKEN), (None, FAIL), (None, BROKEN)],
        ],
    )
    def test_worse_vanished_and_newly_red_answers_end_with_1(self, tmp_path, before, after):
        found = turned(tmp_path, before, after)
        assert found.exit_code == 1
        assert found.worse == (
            f"batching crnn-ort-fp32-bs8 (bundled): {before or 'not asked'} -> {after or 'not asked'}",
        )

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            *[(verdict, PASS) for verdict in (None, SKIPPED, INCONCLUSIVE, FAIL, BROKEN)],
            *[(BROKEN, FAIL), (BROKEN, INCONCLUSIVE), (FAIL, INCONCLUSIVE)],
            *[(None, SKIPPED), (None, INCONCLUSIVE), (SKIPPED, INCONCLUSIVE)],
        ],
    )
    def test_better_and_new_answers_are_shown_and_end_with_0(self, tmp_path, before, after):
        found = turned(tmp_path, before, after)
        assert (found.exit_code, found.worse) == (0, ())
        assert f"{before or 'not asked'} -> {after or 'not asked'}" in render_comparison(found)

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_the_same_verdict_is_no_change(self, tmp_path, verdict):
        found = turned(tmp_path, verdict, verdict)
        assert (found.exit_code, found.changes) == (0, ())

    @pytest.mark.parametrize("verdict", [FAIL, BROKEN])
    def test_what_stays_red_is_named(self, tmp_path, verdict):
        text = render_comparison(turned(tmp_path, verdict, verdict))
        assert "\n- red in B, but not worse than in A: batching crnn-ort-fp32-bs8 (bundled)\n" in text

    @pytest.mark.parametrize(("before", "after"), [(PASS, PASS), (PASS, FAIL), (INCONCLUSIVE, INCONCLUSIVE)])
    def test_what_is_not_red_or_got_worse_does_not_stay_red(self, tmp_path, before, after):
        text = render_comparison(turned(tmp_path, before, after))
        assert "\n- red in B, but not worse than in A: nothing\n" in text

    def test_the_first_that_stay_red_are_named(self, tmp_path):
        record = made(tmp_path / "a", [one(subject=f"s{index}", verdict="fail") for index in range(12)])
        text = render_comparison(compare(record, record))
        assert "build s8 (bundled), build s9 (bundled) and 2 more\n" in text
        assert "build s10" not in text

    @pytest.mark.parametrize(
        ("before", "after", "change"),
        [
            (PASS, FAIL, "worse"),
            (FAIL, PASS, "better"),
            (None, PASS, "new"),
            (None, FAIL, "new, counts as worse"),
            (SKIPPED, PASS, "answered now"),
            (SKIPPED, FAIL, "answered now, counts as worse"),
            (PASS, SKIPPED, "not answered any more, counts as worse"),
            (PASS, None, "vanished, counts as worse"),
        ],
    )
    def test_a_row_says_what_changed_and_whether_it_counts(self, tmp_path, before, after, change):
        text = render_comparison(turned(tmp_path, before, after))
        says = "as it should be" if after else "not asked any more"
        moved = f"{before or 'not asked'} -> {after or 'not asked'}"
        assert f"| crnn-ort-fp32-bs8 | batching | bundled | {moved} | {change} | {says} |" in text

    def test_another_reference_is_said_and_not_compared(self, tmp_path):
        a = made(tmp_path / "a", [one(), one("batching", reference="seeded")])
        b = made(tmp_path / "b", [one(), one("batching", reference="official")])
        found = compare(a, b)
        assert found.exit_code == 2
        assert "- batching crnn-ort-fp32-bs8 (seeded): reference: only in A, B answers" in render_comparison(found)

    def test_another_reference_does_not_excuse_a_failure(self, tmp_path):
        a = made(tmp_path / "a", [one("batching", reference="seeded")])
        b = made(tmp_path / "b", [one("batching", reference="official", verdict="fail")])
        assert compare(a, b).exit_code == 1

    def test_a_skipped_answer_under_another_reference_does_not_stand_for_one_that_vanished(self, tmp_path):
        a = made(tmp_path / "a", [one(), one("batching", reference="seeded")])
        b = made(tmp_path / "b", [one(), one("batching", reference="official", verdict="skipped")])
        assert compare(a, b).exit_code == 1

    def test_records_with_nothing_in_common_cannot_be_compared(self, tmp_path):
        found = compare(made(tmp_path / "a", []), made(tmp_path / "b", [one()]))
        assert found.exit_code == 2
        assert "cannot be compared: no answer in common" in render_comparison(found)


class TestLatency:
    @pytest.mark.parametrize(("after", "code"), [(0.5, 0), (1.0, 0), (1.1, 0), (1.11, 1), (3.0, 1)])
    def test_a_ratio_above_the_limit_ends_with_1(self, tmp_path, after, code):
        a, b = made(tmp_path / "a", [timing(1.0)]), made(tmp_path / "b", [timing(after)])
        assert compare(a, b, 1.1).exit_code == code
        assert compare(a, b).exit_code == 0

    def test_the_limit_is_the_callers(self, tmp_path):
        a, b = made(tmp_path / "a", [timing(1.0)]), made(tmp_path / "b", [timing(1.5)])
        assert (compare(a, b, 1.4).exit_code, compare(a, b, 1.5).exit_code) == (1, 0)

    def test_cpu_time_is_compared_where_both_have_it(self, tmp_path):
        a, b = made(tmp_path / "a", [timing(1.0, cpu=0.5)]), made(tmp_path / "b", [timing(9.0, cpu=0.5)])
        found = compare(a, b)
        assert (found.latency[0].time, found.latency[0].value, found.exit_code) == ("cpu", 1.0, 0)

    def test_wall_time_is_compared_where_one_has_no_cpu_time(self, tmp_path):
        a, b = made(tmp_path / "a", [timing(1.0)]), made(tmp_path / "b", [timing(2.0, cpu=0.5)])
        found = compare(a, b, 1.1)
        assert (found.latency[0].time, found.latency[0].value, found.exit_code) == ("wall", 2.0, 1)
        assert "| host | wall | 1000.000 | 2000.000 | 2.000 | WORSE |" in render_comparison(found)

    @pytest.mark.parametrize(
        ("other", "reason"),
        [
            ({"clock": "device"}, "clock: A host, B device"),
            ({"weights": "official"}, "weights: A seeded, B official"),
            ({"mean_of": 50}, "kind of figure: A samples, B a mean of calls"),
            ({"clock": None}, "clock: A host, B not recorded"),
            ({"latency_median": 0.0}, "latency: no median above zero that both have"),
        ],
    )
    def test_times_of_something_else_are_said_and_not_compared(self, tmp_path, other, reason):
        found = compare(made(tmp_path / "a", [timing(1.0)]), made(tmp_path / "b", [timing(1.0, **other)]))
        assert ([each.reason for each in found.unlike], found.latency, found.exit_code) == ([reason], (), 2)

    def test_times_of_an_answer_that_did_not_pass_are_not_compared(self, tmp_path):
        a, b = made(tmp_path / "a", [timing(1.0)]), made(tmp_path / "b", [timing(1.0, verdict="broken")])
        found = compare(a, b)
        assert (found.latency, found.unlike, found.exit_code) == ((), (), 1)

    @given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3))
    def test_swapping_the_runs_inverts_the_ratio(self, tmp_path_factory, before, after):
        folder = tmp_path_factory.mktemp("swap")
        a, b = made(folder / "a", [timing(before)]), made(folder / "b", [timing(after)])
        (there,), (back,) = compare(a, b).latency, compare(b, a).latency
        assert there.value * back.value == pytest.approx(1.0)


class TestProvenance:
    def differing(self, tmp_path, **after):
        before = {"cpu": "one", "threads": "1", "load": "0.1"}
        sides = [made(tmp_path / "a", [timing(1.0)], before), made(tmp_path / "b", [timing(1.0)], {**before, **after})]
        return compare(*sides)

    def test_a_difference_is_named_with_both_values(self, tmp_path):
        text = render_comparison(self.differing(tmp_path, **{"cpu": "two", "lib.onnx": "1.17"}))
        assert "| cpu | one | two |" in text
        assert "| lib.onnx | not recorded | 1.17 |" in text
        assert "| threads" not in text
        assert "- cpu differ: these ratios may be those of the machines" in text

    def test_the_load_is_no_difference(self, tmp_path):
        assert self.differing(tmp_path, load="9.9").provenance == ()


class TestWhole:
    @given(ANSWERS)
    def test_a_run_compared_with_itself_has_no_change(self, tmp_path_factory, drawn):
        record = of(tmp_path_factory.mktemp("run"), drawn)
        found = compare(record, record)
        assert (found.changes, found.unlike, found.provenance, found.worse) == ((), (), (), ())
        assert found.exit_code == (0 if any(verdict is not SKIPPED for *_, verdict in drawn) else 2)

    @given(ANSWERS, ANSWERS)
    def test_every_answer_that_only_one_has_is_named(self, tmp_path_factory, drawn_a, drawn_b):
        folder = tmp_path_factory.mktemp("two")
        a, b = of(folder / "a", drawn_a), of(folder / "b", drawn_b)
        found = compare(a, b)
        named = {change.key for change in found.changes}
        assert a.answers.keys() ^ b.answers.keys() <= named
        assert named == {change.key for change in compare(b, a).changes}
        if a.answers.keys() - b.answers.keys():
            assert found.exit_code != 0

    @given(ANSWERS, ANSWERS)
    def test_the_text_is_the_same_each_time_and_in_whatever_order_answers_lie(self, tmp_path_factory, drawn_a, drawn_b):
        folder = tmp_path_factory.mktemp("two")
        a, b = of(folder / "a", drawn_a), of(folder / "b", drawn_b)
        text = render_comparison(compare(a, b))
        assert text == render_comparison(compare(a, b))
        again = of(folder / "b", list(reversed(drawn_b)))
        assert text == render_comparison(compare(a, again))

    def test_a_whole_run_compared_with_itself_is_green(self, tmp_path):
        def answer(ask):
            found = good(ask)
            if ask.question != "accuracy":
                return found
            folder = tmp_path / ask.id
            accuracy(folder, {f"w{index}": index < 450 for index in range(500)})
            return type(found)(
                verdict=found.verdict,
                line=found.line,
                figures=found.figures,
                outcomes=folder / "outcomes" / "outcomes.jsonl",
            )

        record = read(find(str(everything(tmp_path / "run", answer))))
        found = compare(record, record)
        asked = [key.question for key in record.answers]
        assert (
            (len(found.accuracy), len(found.latency)) == (asked.count("accuracy"), asked.count("throughput")) > (2, 8)
        )
        assert {(flips.lost, flips.gained) for flips in found.accuracy} == {((), ())}
        assert (found.exit_code, found.unlike) == (0, ())

    def test_many_that_got_worse_are_capped_first_and_whole_in_the_table(self, tmp_path):
        a = made(tmp_path / "a", [one(), *(one(subject=f"s{index}") for index in range(60))])
        text = render_comparison(compare(a, made(tmp_path / "b", [one()])))
        assert "- 60 got worse\n" in text
        assert "\n- and 35 more, in the tables\n" in text
        named = [line.split(" | ")[0] for line in text.split("\n") if line.startswith("| s")][1:]
        assert named == [f"| s{index}" for index in range(60)]

    def test_a_hostile_reason_does_not_break_a_row(self, tmp_path):
        a = made(tmp_path / "a", [one("batching")])
        b = made(tmp_path / "b", [one("batching", verdict="fail", line="x | y\n| z |\n# Title")])
        text = render_comparison(compare(a, b))
        row = next(line for line in text.split("\n") if line.startswith("| crnn-ort-fp32-bs8"))
        assert row.endswith(r"| x \| y \| z \| # Title |")
        assert "\n# Title" not in text
