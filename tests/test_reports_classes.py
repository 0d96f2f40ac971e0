"""Accuracy of pixels is shown with its interval and class by class, and compared picture by picture."""

from __future__ import annotations

import json

import pytest

from harness.cityscapes import CLASSES
from harness.claim import Claim
from harness.judge import LEAST_PICTURES
from harness.metrics.segmentation import CITYSCAPES
from reports.arms import arms
from reports.classes import changes, tables
from reports.compare import compare
from reports.comparison import render_comparison
from reports.page import page
from reports.record import RecordError
from reports.render import render
from tests.lowered import ARMS, OF_DEVICE, lowered_of
from tests.pages import by_id, parse
from tests.records import cells, made, of_toy, rows_of
from tests.segmented import official, recorded, segmenting_of, streets

CLAIM = Claim(metric="miou", printed="20.00", unit="%", source="a guide")
HALF = {"subject": "toy.half-ort-fp16-bs8", "form": "half", "precision": "fp16"}


@pytest.fixture
def models(toy):
    return segmenting_of(toy, CLAIM)


@pytest.fixture(scope="module")
def scored():
    return streets()


def table_of(text, title):
    """The header and the rows of a table."""
    header = next(line for line in text.split("\n") if line.startswith(f"| {title}"))
    return [cells(header), *rows_of(text, title)]


class TestAccuracyRows:
    def test_each_value_has_its_interval_and_the_claim_stands_as_printed(self, tmp_path, models, scored):
        answer = recorded(tmp_path, scored, CLAIM)
        rows = [row[2:] for row in rows_of(render(made(tmp_path, [answer]), models), "Accuracy")]
        assert [row[0] for row in rows] == ["miou", "miou_present", "accuracy"]
        for (name, counted, value, interval, *limits, verdict), measure in zip(
            rows, CITYSCAPES.measures.values(), strict=True
        ):
            assert value == f"{answer[name]:.4f}"
            assert interval == "{:.4f}..{:.4f}".format(*measure.of(answer, complete=True).interval())
            assert limits == (["20.00%", "0.2000"] if name == "miou" else ["-", "-"])
            assert verdict == "pass"
            assert counted.startswith("6 of 19 classes over n=30" if "miou" in name else f"{answer['correct']}/")

    def test_a_claim_is_named_with_its_unit(self, tmp_path, models, scored):
        answer = recorded(tmp_path, scored, CLAIM, whole=False)
        assert "not judged: toy official miou 20.00%" in render(made(tmp_path, [answer]), models)

    def test_counts_are_no_figures_of_a_table(self, tmp_path, models, scored):
        text = render(made(tmp_path, [recorded(tmp_path, scored, CLAIM)]), models)
        assert not any(f"{kind}_{name}" in text for kind in ("intersection", "labelled") for name in CLASSES)
        assert "*" not in text.replace("**", "")

    @pytest.mark.parametrize("counts", [{"labelled_road": -1}, {"miou_spread": None}, {"n": 0}])
    def test_counts_that_are_no_share_are_refused_and_few_are_named(self, tmp_path, models, scored, counts):
        answer = recorded(tmp_path, scored, CLAIM) | counts
        with pytest.raises(RecordError, match="is no share") as refused:
            render(made(tmp_path, [answer]), models)
        assert len(str(refused.value)) < 500


class TestTable:
    def test_a_class_has_a_row_with_its_share_its_iou_and_its_precision(self, tmp_path, models, scored):
        answer = recorded(tmp_path, scored, CLAIM)
        header, *rows = table_of(render(made(tmp_path, [answer]), models), "Classes of toy")
        assert header == [
            "Classes of toy (official), n=30: IoU (precision)",
            "of labelled pixels",
            "toy-ort-fp32-bs8",
        ]
        assert [row[0] for row in rows] == list(CLASSES)
        for name, share, cell in rows[:6]:
            assert share == f"{answer[f'labelled_{name}'] / answer['counted']:.3%}"
            assert cell == f"{answer[f'iou_{name}']:.4f} ({answer[f'precision_{name}']:.4f})"
        assert all(row[1:] == ["absent", "absent"] for row in rows[6:])

    def test_a_class_that_is_answered_and_true_nowhere_has_0(self, tmp_path, models):
        answer = recorded(tmp_path, streets(classes=3))
        answer |= {"predicted_sky": 7, "predicted_road": answer["predicted_road"] - 7}
        rows = {row[0]: row[1:] for row in rows_of(render(made(tmp_path, [answer]), {}), "Classes of toy")}
        assert rows["sky"] == ["absent", "0.0000 (0.0000)"]

    def test_answers_on_the_same_labels_stand_side_by_side(self, tmp_path, models, scored):
        answers = [
            recorded(tmp_path, scored, CLAIM),
            recorded(tmp_path, streets(wrong={2: 0.5}), CLAIM, **HALF, outcomes="half.jsonl"),
            recorded(tmp_path, streets(5), subject="other", outcomes="other.jsonl"),
        ]
        found = {table.title: table.subjects for table in tables(made(tmp_path, answers), models)}
        assert found == {
            "Classes of toy (official), n=30": ["toy-ort-fp32-bs8", "toy.half-ort-fp16-bs8"],
            "Classes of toy (official), n=5": ["other"],
        }

    def test_other_labels_have_a_table_of_their_own(self, tmp_path, models, scored):
        answers = [recorded(tmp_path, scored), recorded(tmp_path, streets(seed=1), subject="z", outcomes="z.jsonl")]
        assert [table.subjects for table in tables(made(tmp_path, answers), models)] == [["toy-ort-fp32-bs8"], ["z"]]

    def test_a_page_has_the_same_table(self, tmp_path, models, scored):
        record = made(tmp_path, [recorded(tmp_path, scored, CLAIM), recorded(tmp_path, scored, **HALF)])
        (expected,) = tables(record, models)
        section = by_id(parse(page(record, models)))["accuracy"]
        assert expected.title in [each.text for each in section.all("h3")]
        (box,) = [each for each in section.all("div") if each.attributes.get("aria-label") == expected.title]
        rows = [[cell.text for cell in row.all("th", "td")] for row in box.all("tr")]
        assert rows[0] == ["class", "of labelled pixels", *expected.subjects]
        assert rows[1:] == [list(row) for row in expected.rows]

    def test_where_no_class_is_counted_there_is_none(self, tmp_path, models):
        record = made(tmp_path, [of_toy("accuracy", hits=1, n=2, acc=0.5, intersection_x=3)])
        assert tables(record, models) == []
        assert "Classes of" not in render(record, models) + page(record, models)

    @pytest.mark.parametrize(
        "counts",
        [{"labelled_road": -1}, {"intersection_road": 10**9}, {"predicted_road": None}, {"predicted_road": "many"}],
    )
    def test_impossible_areas_are_refused_and_named(self, tmp_path, scored, counts):
        record = made(tmp_path, [recorded(tmp_path, scored) | counts])
        with pytest.raises(RecordError, match=r"_road .* are no areas of one class; the record was changed"):
            render(record, {})


def run(folder, scored, **said):
    return made(folder, [recorded(folder, scored, CLAIM, **said)])


class TestCompared:
    def compared(self, tmp_path, models, before, after):
        return compare(run(tmp_path / "a", before), run(tmp_path / "b", after), models=models)

    def test_a_class_that_is_lost_in_every_picture_is_worse_and_named(self, tmp_path, models, scored):
        found = self.compared(tmp_path, models, scored, streets(wrong={1: 0.6}))
        (flips,) = found.accuracy
        with_sidewalk = sum((each.truth == 1).any() for each in scored)
        assert (found.exit_code, flips.lost, flips.drift.changed) == (1, (), with_sidewalk)
        assert flips.drift.name == "miou"
        assert flips.drift.interval[0] < flips.drift.difference < flips.drift.interval[1] < 0
        # What sidewalk loses, building is told too often.
        assert [each.name for each in flips.classes[:2]] == ["sidewalk", "building"]
        text = render_comparison(found)
        ((*said, changed, result),) = [row[:3] + row[7:] for row in rows_of(text, "subject | reference | value")]
        assert (said, changed, result) == (["toy-ort-fp32-bs8", "official", "miou"], f"{with_sidewalk} of 30", "WORSE")
        assert f"classes that lost most of their IoU: {flips.classes[0]}, {flips.classes[1]}" in text

    def test_the_same_answers_are_not(self, tmp_path, models, scored):
        found = self.compared(tmp_path, models, scored, streets())
        assert (found.exit_code, found.accuracy[0].same, found.accuracy[0].classes) == (0, True, ())
        assert "lost most" not in render_comparison(found)

    def test_a_gain_is_not(self, tmp_path, models, scored):
        found = self.compared(tmp_path, models, scored, streets(wrong={4: 0.01}))
        assert (found.exit_code, found.accuracy[0].drift.interval[0] > 0) == (0, True)

    def test_a_few_pixels_here_and_there_are_not(self, tmp_path, models):
        before, after = (streets(wrong={at: 0.11}) for at in (1, 2))
        found = self.compared(tmp_path, models, before, after)
        assert (found.exit_code, found.accuracy[0].same) == (0, False)

    @pytest.mark.parametrize("n", [LEAST_PICTURES - 1, LEAST_PICTURES])
    def test_so_few_pictures_that_nothing_is_known_are_never_worse(self, tmp_path, models, n):
        found = self.compared(tmp_path, models, streets(n), streets(n, wrong={4: 0.6}))
        assert found.exit_code == (n == LEAST_PICTURES)

    def test_the_interval_is_that_of_a_paired_difference(self, tmp_path, models, scored):
        """Half of the width of two runs taken for independent, or less."""
        found = self.compared(tmp_path, models, scored, streets(wrong={4: 0.15}))
        low, high = found.accuracy[0].drift.interval
        other = self.compared(tmp_path / "other", models, scored, streets(wrong={4: 0.15}))
        assert other.accuracy[0].drift.interval == (low, high)
        alone = CITYSCAPES.measures["miou"].of(found.a.answers[found.accuracy[0].key].figures, complete=True)
        assert high - low < 2 * 1.96 * alone.spread**0.5 * 2**0.5 / 2

    def test_many_classes_that_lost_are_counted(self, tmp_path, models):
        before, after = streets(classes=12), streets(classes=12, wrong=dict.fromkeys(range(12), 0.3))
        assert " and 7 more that lost" in render_comparison(self.compared(tmp_path, models, before, after))

    @pytest.mark.parametrize("column", ["intersection_wall", "predicted_sky", "labelled_train"])
    def test_a_count_that_is_missing_or_another_is_said(self, tmp_path, models, scored, column):
        a, b = run(tmp_path / "a", scored), run(tmp_path / "b", scored)
        path = tmp_path / "b" / "outcomes" / "pixels.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        del lines[3]["counts"][column]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        (unlike,) = compare(a, b, models=models).unlike
        assert unlike.reason == f"outcomes: B holds no {column} of 1 (streets/003) samples"
        lines[3]["counts"][column] = 10**6
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        (unlike,) = compare(a, b, models=models).unlike
        assert unlike.reason.startswith(f"outcomes: B holds {column} 1")

    def test_other_labels_are_not_compared(self, tmp_path, models, scored):
        (unlike,) = self.compared(tmp_path, models, scored, streets(seed=1)).unlike
        assert unlike.reason == "truth of samples: 30 (streets/000, ...) differ"

    def test_changes_are_of_classes_that_occur(self, tmp_path, scored):
        (answer,) = run(tmp_path, scored).answers.values()
        assert sorted(each.name for each in changes(answer, answer)) == sorted(CLASSES[:6])


class TestArms:
    """What half precision and a device lose of pixels."""

    def test_steps_are_told_by_the_value(self, tmp_path, toy):
        given = {"metric": "harness.metrics.segmentation:CITYSCAPES", "family": "segmentation"}
        models = lowered_of(toy, **given, references=(official(CLAIM),))
        found = [{}, {3: 0.12}, {3: 0.7}]
        answers = [
            recorded(tmp_path, streets(wrong=wrong), outcomes=f"{arm}.jsonl", **said)
            for wrong, (arm, said) in zip(found, ARMS.items(), strict=True)
        ]
        (row,) = arms(made(tmp_path, answers), models)
        conversion, device = row.where.split("; ")
        assert conversion.startswith("the conversion to fp16 loses answers: lost 0, gained 0, miou 0.")
        assert device.startswith("the device itself loses answers: lost 0, gained 0, miou 0.")
        assert [cell.startswith("n=30 0.") for cell in row.cells[1:4]] == [True] * 3

    def test_counts_of_kept_answers_are_of_pixels(self, tmp_path, toy):
        models = lowered_of(toy)
        of_pixels = {"decoded_equal": 2990, "here_equal": 2996, "decoded_compared": 3000, "pixels_equal": 2990 / 3000}
        agreement = of_toy("agreement", **ARMS["device"], **{**OF_DEVICE, **of_pixels, "miou": 0.98})
        record = made(tmp_path, [agreement])
        (row,) = arms(record, models)
        assert row.where.startswith(
            "the conversion to fp16 turns 4 of 3000 pixels; the device itself turns at least 6 more"
        )
        (shown,) = rows_of(render(record, models), "Agreement")
        assert shown[-1] == "2990/3000, pixels equal 0.9967, mIoU 0.9800"
