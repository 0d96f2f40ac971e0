"""A value that is pooled over pictures is compared picture by picture, by what each of them counts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge import LEAST_PICTURES, Ratio
from harness.metrics.detection import ICDAR_IOU
from reports.__main__ import main
from reports.arms import arms
from reports.compare import compare
from reports.comparison import render_comparison
from reports.drift import drift
from tests.lowered import ARMS, lowered_of
from tests.records import detected, detecting_of, made, rows_of

HMEAN = ICDAR_IOU.measures["hmean"]
PICTURES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3)).map(
        lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[0] + drawn[2])
    ),
    min_size=1,
    max_size=30,
)


@pytest.fixture
def models(toy):
    return detecting_of(toy)


def pictures(*lost, n=60, of=(3, 4, 4)):
    """So many pictures, none with every box right; of some of them one box is lost, and another one found instead."""
    matched, truths, detections = of
    return {f"img_{index}": (matched - (index in lost), truths, detections) for index in range(n)}


def run(folder, found, **said):
    return made(folder, [detected(folder, found, **said)])


def compared(tmp_path, models, before, after):
    return compare(run(tmp_path / "a", before), run(tmp_path / "b", after), models=models)


class TestWorse:
    def test_one_box_lost_in_many_pictures_is_worse_though_no_picture_turned(self, tmp_path, models):
        found = compared(tmp_path, models, pictures(), pictures(*range(20)))
        (flips,) = found.accuracy
        assert (flips.lost, flips.gained, flips.p) == ((), (), 1.0)
        assert found.exit_code == 1
        assert found.worse == (f"accuracy toy-ort-fp32-bs8 (seeded): {flips.drift}; lost 0 samples, gained 0",)
        assert str(flips.drift).startswith("hmean 0.7500 -> 0.6667, -0.0833 (95% -0.1")
        assert str(flips.drift).endswith(", n=60)")

    def test_the_same_run_is_not(self, tmp_path, models):
        found = compared(tmp_path, models, pictures(1, 2), pictures(1, 2))
        assert (found.exit_code, found.worse) == (0, ())
        assert str(found.accuracy[0].drift) == "hmean 0.7417 -> 0.7417, +0.0000 (95% +0.0000..+0.0000, n=60)"

    def test_a_gain_is_not(self, tmp_path, models):
        found = compared(tmp_path, models, pictures(*range(30)), pictures())
        assert (found.exit_code, found.accuracy[0].drift.interval[0] > 0) == (0, True)

    def test_what_is_lost_here_and_won_there_is_not(self, tmp_path, models):
        found = compared(tmp_path, models, pictures(*range(15)), pictures(*range(15, 32)))
        drift = found.accuracy[0].drift
        assert drift.difference < 0 < drift.interval[1]
        assert (found.exit_code, drift.changed) == (0, 32)

    def test_a_box_too_many_in_many_pictures_is_worse(self, tmp_path, models):
        assert compared(tmp_path, models, pictures(), pictures(of=(3, 4, 5))).exit_code == 1

    def test_pictures_that_turned_do_not_decide(self, tmp_path, models):
        """Whole pictures are lost one by one, but many more boxes are won."""
        before = dict.fromkeys(pictures(n=10), (1, 1, 1)) | {f"b{n}": (1, 9, 9) for n in range(50)}
        after = dict.fromkeys(pictures(n=10), (0, 1, 1)) | {f"b{n}": (8, 9, 9) for n in range(50)}
        found = compared(tmp_path, models, before, after)
        assert (found.exit_code, len(found.accuracy[0].lost), found.accuracy[0].p < 0.05) == (0, 10, True)

    @pytest.mark.parametrize(("n", "code"), [(LEAST_PICTURES - 1, 0), (LEAST_PICTURES, 1)])
    def test_so_few_pictures_that_nothing_is_known_of_how_they_vary_are_never_worse(self, tmp_path, models, n, code):
        found = compared(tmp_path, models, pictures(n=n), pictures(*range(n), n=n))
        assert found.exit_code == code
        assert (found.accuracy[0].drift.interval == (-1.0, 1.0)) == (not code)


class TestText:
    def test_the_value_has_a_row_of_its_own_and_whole_pictures_do_not_judge(self, tmp_path, models):
        text = render_comparison(compared(tmp_path, models, pictures(), pictures(*range(20))))
        ((*said, interval, changed, result),) = rows_of(text, "subject | reference | value")
        assert said == ["toy-ort-fp32-bs8", "seeded", "hmean", "0.7500", "0.6667", "-0.0833"]
        low, high = map(float, interval.split(".."))
        assert low < -0.0833 < high < 0
        assert (changed, result) == ("20 of 60", "WORSE")
        assert "| toy-ort-fp32-bs8 | seeded | 0/60 | 0/60 | 0 | 0 | 1 | by hmean, below |" in text

    def test_the_order_of_samples_does_not_matter(self, tmp_path, models):
        before, after = pictures(), pictures(3, 5, 7)
        text = render_comparison(compared(tmp_path / "x", models, before, after))
        backward = [{name: each[name] for name in reversed(each)} for each in (before, after)]
        assert render_comparison(compared(tmp_path / "y", models, *backward)) == text
        assert render_comparison(compared(tmp_path / "z", models, before, backward[1])) == text

    def test_the_command_reads_how_values_are_made(self, tmp_path, capsys):
        folders = [tmp_path / name for name in "ab"]
        for folder, found in zip(folders, (pictures(), pictures(*range(20))), strict=True):
            run(folder, found)
        declared = tmp_path / "models"
        declared.mkdir()
        (declared / "toy.py").write_text(
            "from dataclasses import replace\n"
            "from suites.models.crnn import MODEL as CRNN\n"
            "METRIC = 'harness.metrics.detection:ICDAR_IOU'\n"
            "MODEL = replace(CRNN, name='toy', family='detection', metric=METRIC)\n"
        )
        assert main(["compare", *map(str, folders), f"--models={declared}"]) == 1
        assert "hmean 0.7500 -> 0.6667" in capsys.readouterr().out
        assert main(["compare", *map(str, folders)]) == 2
        assert "how hmean is made of its counts is not declared here; --models=DIR" in capsys.readouterr().out


class TestDrift:
    def of(self, before, after):
        sides = ([dict(zip(("matched", "truths", "detections"), each, strict=True)) for each in side]
                 for side in (before, after))  # fmt: skip
        return drift("hmean", HMEAN, *sides)

    @given(PICTURES)
    def test_values_are_those_that_the_metric_gives(self, tmp_path_factory, found):
        folder = tmp_path_factory.mktemp("a")
        answer = detected(folder, {f"{place}": counts for place, counts in enumerate(found)})
        assert self.of(found, found).values == (answer["hmean"],) * 2

    @given(PICTURES, st.randoms(use_true_random=False))
    def test_swapping_the_runs_turns_the_interval_round(self, found, random):
        other = random.sample(found, len(found))
        there, back = self.of(found, other), self.of(other, found)
        assert there.difference == -back.difference
        assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), abs=1e-12)
        assert there.interval[0] <= there.interval[1]
        assert there.changed == back.changed

    def test_the_interval_is_that_of_a_paired_difference(self):
        """Pictures vary much, what B loses of each little: of two runs taken for independent it would be 10 times as
        wide. Linearised, the difference of ratios has nearly the same one."""
        draw = np.random.default_rng(5)
        truths = draw.integers(1, 30, 400)
        before = draw.binomial(truths, draw.uniform(0.2, 1, 400))
        after = np.maximum(before - (draw.random(400) < 0.3), 0)
        found = self.of(list(zip(before, truths, truths, strict=True)), list(zip(after, truths, truths, strict=True)))
        residual = (after - before) - found.difference * truths
        half = 1.96 * np.sqrt((residual**2).sum()) / truths.sum()
        low, high = found.interval
        assert (low, high) == pytest.approx((found.difference - half, found.difference + half), abs=0.15 * half)

    def test_nothing_below_is_0(self):
        assert self.of([(0, 0, 0)] * 30, [(0, 0, 0)] * 30).interval == (0.0, 0.0)

    def test_a_column_counts_as_often_as_it_is_named(self):
        found = drift("x", Ratio(("a", "a"), ("b",)), [{"a": 1, "b": 4}], [{"a": 2, "b": 4}])
        assert found.values == (0.5, 1.0)


class TestRefused:
    """What is not the counts of the record is compared with nothing."""

    def reason(self, tmp_path, models, *, change=None, **said):
        a, b = run(tmp_path / "a", pictures()), run(tmp_path / "b", pictures(*range(20)), **said)
        if change:
            path = tmp_path / "b" / "outcomes" / "boxes.jsonl"
            first, *rest = map(json.loads, path.read_text().splitlines())
            change(first)
            path.write_text("".join(json.dumps(line) + "\n" for line in (first, *rest)))
        found = compare(a, b, models=models)
        assert (found.accuracy, found.exit_code) == ((), 2)
        return found.unlike[0].reason

    @pytest.mark.parametrize("column", ["matched", "truths", "detections"])
    def test_counts_that_do_not_add_up_to_the_record(self, tmp_path, models, column):
        def change(line):
            line["counts"][column] += 1

        sums = {"matched": 160, "truths": 240, "detections": 240}
        said = f"outcomes: B holds {column} {sums[column] + 1}, its record says {sums[column]}"
        assert self.reason(tmp_path, models, change=change) == said

    @pytest.mark.parametrize(("recorded", "shown"), [(161, "161"), (None, "nothing")])
    def test_a_record_that_says_something_else(self, tmp_path, models, recorded, shown):
        said = f"outcomes: B holds matched 160, its record says {shown}"
        assert self.reason(tmp_path, models, matched=recorded) == said

    def test_outcomes_without_counts(self, tmp_path, models):
        said = "outcomes: B holds no n of 1 (img_0) samples"
        assert self.reason(tmp_path, models, change=lambda line: line.pop("counts")) == said

    def test_a_count_that_is_missing(self, tmp_path, models):
        said = "outcomes: B holds no truths of 1 (img_0) samples"
        assert self.reason(tmp_path, models, change=lambda line: line["counts"].pop("truths")) == said

    @pytest.mark.parametrize("count", [-1, True, "2", None, float("nan"), float("inf"), [3]])
    def test_a_count_that_is_none(self, tmp_path, models, count):
        said = self.reason(tmp_path, models, change=lambda line: line["counts"].update(matched=count))
        assert said.startswith("outcomes: B cannot be read, outcomes/boxes.jsonl line 1: ValueError: counts matched")

    @pytest.mark.parametrize("counts", [[], 3, "x"])
    def test_counts_without_names(self, tmp_path, models, counts):
        said = self.reason(tmp_path, models, change=lambda line: line.update(counts=counts))
        assert "line 1: ValueError: counts" in said

    def test_a_model_that_is_not_declared(self, tmp_path):
        said = "metric: how hmean is made of its counts is not declared here; --models=DIR reads further declarations"
        assert self.reason(tmp_path, {}) == said


class TestSetsThatAreNotPooled:
    def of(self, folder, pooled, others, **said):
        """Outcomes of two sets, of which one alone is in the answer's own figures."""
        every = {f"a/{name}": counts for name, counts in pooled.items()}
        every |= {f"z/{name}": counts for name, counts in others.items()}
        answer = detected(folder, every)
        own, rest = (detected(folder, each, name="not kept") for each in (pooled, others))
        columns = ICDAR_IOU.columns
        parts = {f"{part}: {name}": of[name] for part, of in (("a", own), ("z", rest)) for name in columns}
        figures = {name: own[name] for name in (*columns, "hmean")}
        figures |= {"outcomes_n": answer["n"], "outcomes_hits": answer["hits"]}
        return made(folder, [{**answer, **figures, **parts, **said}])

    def test_their_counts_are_compared_too(self, tmp_path, models):
        a = self.of(tmp_path / "a", pictures(), pictures())
        b = self.of(tmp_path / "b", pictures(), pictures(*range(20)))
        found = compare(a, b, models=models)
        assert (found.exit_code, found.accuracy[0].drift.n) == (1, 120)

    def test_counts_that_are_not_theirs_are_refused(self, tmp_path, models):
        a, b = (self.of(tmp_path / side, pictures(), pictures(), **{"z: matched": 179}) for side in "ab")
        assert compare(a, b, models=models).unlike[0].reason == ("outcomes: A holds matched 360, its record says 359")


class TestArms:
    """Where a device loses boxes is told by the value, not by whole pictures."""

    def row(self, tmp_path, toy, *lost):
        models = lowered_of(toy, metric="harness.metrics.detection:ICDAR_IOU", family="detection")
        answers = [
            detected(tmp_path, pictures(*of), name=f"{arm}.jsonl", **said)
            for of, (arm, said) in zip(lost, ARMS.items(), strict=True)
        ]
        (row,) = arms(made(tmp_path, answers), models)
        return row

    def test_boxes_that_a_step_loses_are_placed(self, tmp_path, toy):
        row = self.row(tmp_path, toy, (), (), range(20))
        conversion, device = row.where.split("; ")
        assert conversion == "the conversion to fp16 turns no answer"
        assert device.startswith("the device itself loses answers: lost 0, gained 0, hmean 0.7500 -> 0.6667, -0.0833")
        assert row.cells[1:4] == (
            "n=60 0.7500", "n=60 0.7500 (+0.0000; lost 0, gained 0)", "n=60 0.6667 (-0.0833; lost 0, gained 0)",
        )  # fmt: skip

    def test_a_change_within_chance_is_no_loss(self, tmp_path, toy):
        row = self.row(tmp_path, toy, (), (1,), (2,))
        assert [each.split(": ")[0] for each in row.where.split("; ")] == [
            "the conversion to fp16 turns answers, no loss beyond chance",
            "the device itself turns answers, no loss beyond chance",
        ]
