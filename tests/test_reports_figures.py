"""Figures are shown as measured, and beside a claim only where they are figures of the same thing."""

from __future__ import annotations

import pytest

from harness.claim import Claim
from harness.reference import Reference
from harness.registry import load_models
from reports.record import RecordError
from reports.render import render
from tests.records import cells, claimed, claiming_of, detected, detecting_of, made, of_toy, one, rows_of, timing

MODELS = {"crnn": load_models()["crnn"]}


@pytest.fixture
def claiming(toy):
    return claiming_of(toy)


class TestClaims:
    def judged(self, tmp_path, claiming, **given):
        text = render(made(tmp_path / "a", [claimed(**given)]), claiming)
        return next(line for line in text.split("\n") if "judged" in line).partition("judged ")[2][:6]

    @pytest.mark.parametrize(
        ("verdict", "expected"), [("pass", "1 of 2"), ("fail", "1 of 2"), ("inconclusive", "0 of 2")]
    )
    def test_a_claim_is_judged_where_it_was_met_or_missed(self, tmp_path, claiming, verdict, expected):
        assert self.judged(tmp_path, claiming, verdict=verdict) == expected

    def test_a_part_of_the_data_judges_nothing(self, tmp_path, claiming):
        assert self.judged(tmp_path, claiming, complete=False, verdict="fail") == "0 of 2"

    @pytest.mark.parametrize("other", [{"reference": "seeded"}, {"acc": None}, {"model": "crnn"}])
    def test_figures_of_something_else_judge_nothing(self, tmp_path, claiming, other):
        answers = [of_toy("build"), claimed(**other)]
        assert "judged 0 of 2 claims" in render(made(tmp_path / "a", answers), claiming)

    def test_a_throughput_claim_on_a_device_is_listed_beside_what_was_measured_and_not_judged(self, tmp_path, claiming):
        text = render(made(tmp_path / "a", [timing(0.1, model="toy", point="bs16", throughput=160.0)]), claiming)
        measured, published = rows_of(text, "Throughput")
        assert measured == ["toy.onnx ort fp32", "seeded", "host", "words/s", "160.0"]
        assert published == ["toy, published, not judged", "official", "device on Ascend310P3", "words/s", "4400"]
        assert "judged 0 of 2 claims" in text

    def test_a_published_latency_stands_there_as_samples_a_second_with_what_was_printed(self, tmp_path, toy):
        claim = Claim(metric="latency", printed="2.5", unit="ms", clock="device", device="X", batch=8, source="a guide")
        models = {"toy": toy(references=(Reference(name="seeded", initialise="toy:draw", claims=(claim,)),))}
        answers = [timing(0.1, model="toy", latency=2.0), of_toy("accuracy", hits=1, n=2, acc=0.5, latency=2.0)]
        text = render(made(tmp_path / "a", answers), models)
        assert rows_of(text, "Throughput")[1] == [
            "toy, published, not judged", "seeded", "device on X", "words/s", "3200.0 (2.5 ms)",
        ]  # fmt: skip
        assert "not judged: toy seeded latency 2.5 ms at batch 8 (clock device on X)" in text
        assert rows_of(text, "Accuracy")[0][6] == "-"


class TestFigures:
    def row(self, tmp_path, claiming, **given):
        return rows_of(render(made(tmp_path / "a", [claimed(**given)]), claiming), "Accuracy")[0]

    def test_a_part_is_marked_as_one(self, tmp_path, claiming):
        given = {"complete": False, "verdict": "inconclusive"}
        assert self.row(tmp_path, claiming, **given)[3] == "9/10 (a part)"

    def test_figures_of_another_reference_meet_no_claim(self, tmp_path, claiming):
        row = self.row(tmp_path, claiming, reference="seeded", verdict="inconclusive")
        assert (row[2], row[6:]) == ("acc", ["-", "-", "INCONCLUSIVE"])

    def test_a_claim_that_was_changed_since_is_said(self, tmp_path, claiming):
        row = self.row(tmp_path, claiming, hits=7, acc=0.7, verdict="pass")
        assert row[8] == "pass (as declared now: FAIL)"

    def test_no_hit_at_all_is_a_share(self, tmp_path, claiming):
        row = self.row(tmp_path, claiming, hits=0, acc=0.0, verdict="fail")
        assert (row[3:6], row[8]) == (["0/10", "0.0000", "0.0000..0.3085"], "FAIL")

    @pytest.mark.parametrize("counts", [{"hits": 11}, {"hits": -1}, {"hits": None}, {"n": 0, "hits": 0}])
    def test_counts_that_are_no_share_are_refused(self, tmp_path, claiming, counts):
        with pytest.raises(RecordError, match="is no share"):
            self.row(tmp_path, claiming, **counts)

    @pytest.mark.parametrize(("hmean", "value"), [(0.75, "0.7500"), (None, "-")])
    def test_a_metric_that_is_no_share_has_no_interval_and_keeps_its_verdict(self, tmp_path, claiming, hmean, value):
        figures = {"n": 500, "hmean": hmean, "complete": True, "metric": "hmean: intersection over union 0.5"}
        answers = [of_toy("accuracy", verdict="fail", **figures)]
        row = rows_of(render(made(tmp_path / "a", answers), claiming), "Accuracy")[0]
        assert row[2:] == ["hmean", "n=500", value, "-", "-", "-", "FAIL"]

    def test_a_claim_on_a_metric_that_is_no_share_stands_beside_it(self, tmp_path, toy):
        claim = Claim(metric="hmean", printed="0.8", source="a guide")
        models = {"toy": toy(references=(Reference(name="seeded", initialise="toy:draw", claims=(claim,)),))}
        figures = {"n": 500, "hmean": 0.75, "complete": True, "metric": "hmean: intersection over union 0.5"}
        row = rows_of(render(made(tmp_path / "a", [of_toy("accuracy", **figures)]), models), "Accuracy")[0]
        assert row[2:] == ["hmean", "n=500", "0.7500", "-", "0.8", "0.8000", "pass"]

    def agreement(self, tmp_path, *figures):
        answers = [
            one("agreement", subject=f"s{index}", point=f"bs{2**index}", reference="seeded", bound=bound)
            | {"max_abs": max_abs, "cosine": cosine, "decoded_equal": 2, "decoded_compared": 2}
            for index, (max_abs, bound, cosine) in enumerate(figures)
        ]
        return rows_of(render(made(tmp_path / "a", answers), MODELS), "Agreement")[0]

    def test_the_worst_distance_keeps_the_bound_of_its_own_point(self, tmp_path):
        row = self.agreement(tmp_path, (0.25, 0.5, 0.75), (0.375, 0.625, 0.875))
        assert row == ["crnn.onnx ort fp32, close to network", "0.375 (bound 0.625; bs2, worst of 2)", "0.75", "4/4"]

    def test_a_smaller_distance_over_its_bound_is_worse_than_a_larger_one_within(self, tmp_path):
        assert self.agreement(tmp_path, (0.25, 0.125, 1.0), (0.375, 0.625, 1.0))[1].startswith("0.25 (OVER bound 0.125")

    def test_a_cosine_that_is_not_one_is_not_shown_as_one(self, tmp_path):
        assert self.agreement(tmp_path, (0.0, 0.0, 1 - 2.0**-40))[2] == "1-9.1e-13"
        assert self.agreement(tmp_path, (0.0, 0.0, 1.0))[2] == "1"

    def test_a_reference_without_figures_is_left_empty(self, tmp_path):
        figures = {"max_abs": 0.0, "bound": 0.0, "cosine": 1.0}
        answers = [one("agreement", **figures), one("agreement", form="matmul", reference="seeded", **figures)]
        row = rows_of(render(made(tmp_path / "a", answers), MODELS), "Agreement")[0]
        assert (row[1][0], row[4:]) == ("0", ["-", "-", "-"])

    def test_other_weights_and_other_clocks_have_rows_of_their_own(self, tmp_path):
        answers = [
            timing(0.1),
            timing(0.1, subject="s2", weights="official sha256:1"),
            timing(0.1, subject="s3", clock="device", mean_of=50),
        ]
        rows = rows_of(render(made(tmp_path / "a", answers), {}), "Throughput")
        assert sorted(row[1:3] for row in rows) == [
            ["official sha256:1", "host"],
            ["seeded", "device, mean of 50"],
            ["seeded", "host"],
        ]

    def test_a_time_that_is_no_pass_says_so(self, tmp_path):
        rows = rows_of(render(made(tmp_path / "a", [timing(0.1, verdict="broken")]), MODELS), "Throughput")
        assert "80.0 BROKEN" in rows[0]

    def test_points_are_in_the_order_of_their_sizes(self, tmp_path):
        answers = [timing(0.1, subject=f"s{size}", point=f"bs{size}") for size in (64, 8, 1, 16)]
        text = render(made(tmp_path / "a", answers), {})
        header = next(line for line in text.split("\n") if line.startswith("| Throughput"))
        assert cells(header)[4:] == ["bs1", "bs8", "bs16", "bs64"]

    def test_means_of_cosines_and_shares_of_maps_stand_beside_what_they_tell_more_of(self, tmp_path):
        figures = {"max_abs": 0.25, "bound": 0.5, "cosine": 0.5, "decoded_equal": 2, "decoded_compared": 2}
        answers = [
            one("agreement", subject=f"s{n}", **{**figures, "mean_cosine": 0.75 + n / 8, "mask_iou": 0.9 - n / 10})
            for n in range(2)
        ]
        row = rows_of(render(made(tmp_path / "a", answers), MODELS), "Agreement")[0]
        assert row[2:] == ["0.5 (mean 0.75)", "4/4, mask IoU 0.8000"]


class TestPooled:
    """Values that are pooled over pictures, of which one says little without the others."""

    FOUND = {"a": (3, 4, 4), "b": (2, 2, 2), "c": (0, 1, 0)} | {f"x{n}": (3, 4, 5) for n in range(30)}

    @pytest.fixture
    def rows(self, tmp_path, toy):
        def shown(*claims, declared=True, **said):
            official = Reference(name="official", initialise="toy:draw", claims=claims)
            models = detecting_of(toy, references=(official,)) if declared else {}
            answer = detected(tmp_path / "a", self.FOUND, reference="official", **said)
            return [row[2:] for row in rows_of(render(made(tmp_path / "a", [answer]), models), "Accuracy")]

        return shown

    def test_each_has_its_own_counts_and_interval(self, rows):
        found = rows()
        assert [row[:3] for row in found] == [
            ["hmean", "190/283 over n=33", "0.6714"],
            ["box_precision", "95/156 over n=33", "0.6090"],
            ["box_recall", "95/127 over n=33", "0.7480"],
        ]
        for _, _, value, interval, claim, floor, verdict in found:
            low, high = map(float, interval.split(".."))
            assert low < float(value) < high < low + 0.1
            assert (claim, floor, verdict) == ("-", "-", "pass")

    def test_a_claim_stands_beside_its_own(self, rows):
        found = rows(Claim(metric="hmean", printed="0.66", source="a guide"))
        assert [(row[0], *row[4:]) for row in found] == [
            ("hmean", "0.66", "0.6600", "pass"), ("box_precision", "-", "-", "pass"), ("box_recall", "-", "-", "pass"),
        ]  # fmt: skip
        found = rows(*(Claim(metric=name, printed="0.6", source="a guide") for name in ("box_recall", "hmean")))
        assert [row[0] for row in found] == ["box_recall", "hmean", "box_precision"]

    def test_a_part_is_marked_as_one(self, rows):
        assert [row[1].endswith("over n=33 (a part)") for row in rows(complete=False)] == [True] * 3

    def test_products_of_counts_are_no_figures_of_a_table(self, tmp_path, rows):
        assert "*" not in "".join(cell for row in rows() for cell in row)

    @pytest.mark.parametrize("counts", [{"matched": 200}, {"truths": -1}, {"matched*truths": None}, {"n": 0}])
    def test_counts_that_are_no_share_are_refused(self, rows, counts):
        with pytest.raises(RecordError, match="is no share"):
            rows(**counts)

    def test_of_a_model_that_is_not_declared_whole_pictures_are_not_taken_for_it(self, rows):
        assert rows(declared=False) == [["hmean", "n=33", "0.6714", "-", "-", "-", "pass"]]
