"""What a device keeps of the answers is told where nothing was scored, and the report shows it as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.registry import load_models
from harness.verdict import Verdict
from reports.arms import HEADER, arms
from reports.page import page
from reports.record import read
from reports.render import render
from tests.lowered import DEVICE, HALF, KEPT, OF_DEVICE, SINGLE, lowered_of, only, three, where
from tests.pages import by_id, parse
from tests.records import everything, good, made, of_toy, rows_of

HELD = {"largest": 1310.08, "tensor": "/conv", "share": 0.02, "over": 0}
OVER = {"largest": 70000.0, "tensor": "/conv", "share": 1.0686, "over": 3, "verdict": "fail"}
LARGEST = "largest number in 1, of the largest half"
EXPECTED = "no device here: this is what to expect of one"


@pytest.fixture
def models(toy):
    return lowered_of(toy)


class TestWithoutOutcomes:
    @pytest.mark.parametrize(
        ("hits", "change"),
        [(20, "leaves the figure as it was"), (17, "changes it by -3 hits"), (19, "changes it by -1 hits")],
    )
    def test_hits_alone_are_not_called_a_loss(self, tmp_path, models, hits, change):
        first, second, _ = three(tmp_path)
        second |= {"hits": hits, "acc": hits / 20, "outcomes": None}
        found = only(tmp_path, models, [first, second])
        assert found["2: the device's precision, ONNX Runtime"] == f"{hits}/20 {hits / 20:.4f} ({hits - 20:+d} hits)"
        assert found["where a loss arises"] == f"the conversion to fp16 {change}, sample by sample unknown; {EXPECTED}"

    def test_a_metric_without_hits_is_compared_by_its_value(self, tmp_path, models):
        said = {"metric": "hmean: intersection over union 0.5", "n": 500, "complete": True}
        answers = [of_toy("accuracy", **SINGLE, **said, hmean=0.75), of_toy("accuracy", **HALF, **said, hmean=0.5)]
        found = only(tmp_path, models, answers)
        assert found["2: the device's precision, ONNX Runtime"] == "n=500 0.5000 (-0.2500)"
        assert "changes it by -0.2500, sample by sample unknown" in found["where a loss arises"]

    def test_a_part_of_the_samples_is_marked(self, tmp_path, models):
        answers = [each | {"complete": False} for each in three(tmp_path)]
        assert only(tmp_path, models, answers)["3: device"].startswith("20/20 (a part) 1.0000")


class TestAgreement:
    """Where nothing was scored, the counts of kept answers say what they can."""

    @pytest.mark.parametrize(
        ("equal", "here", "said"),
        [
            (29, 31, "turns 1 of 32 answers; the device itself turns at least 2 more"),
            (32, 32, "turns none of 32 answers; the device itself keeps no fewer of them"),
            (31, 29, "turns 3 of 32 answers; the device itself keeps no fewer of them"),
        ],
    )
    def test_each_step_is_told_by_what_it_turns(self, tmp_path, models, equal, here, said):
        answer = of_toy("agreement", **DEVICE, **OF_DEVICE | {"decoded_equal": equal, "here_equal": here})
        assert where(tmp_path, models, [answer]) == f"the conversion to fp16 {said}"

    def test_a_device_that_gives_the_very_numbers_turns_none(self, tmp_path, models):
        answer = of_toy("agreement", **DEVICE, **OF_DEVICE | {"here_to_device_max_abs": 0.0, "decoded_equal": 31})
        assert where(tmp_path, models, [answer]).endswith("; the device itself turns no answer")

    def test_without_a_device_the_form_in_half_precision_predicts_it(self, tmp_path, models):
        found = only(tmp_path, models, [of_toy("agreement", **HALF, **KEPT)])
        assert (found["answers kept by 2, 3"], found["median distance of 2, 3 to 1"]) == ("29/32, -", "0.25, -")
        assert found["where a loss arises"] == f"the conversion to fp16 turns 3 of 32 answers; {EXPECTED}"

    def test_counts_of_two_answers_are_not_taken_for_those_of_the_same_items(self, tmp_path, models):
        kept = {name: value for name, value in OF_DEVICE.items() if not name.startswith("here_")}
        answers = [of_toy("agreement", **HALF, **KEPT | {"decoded_equal": 32}), of_toy("agreement", **DEVICE, **kept)]
        assert where(tmp_path, models, answers) == "the conversion to fp16 turns none of 32 answers"

    @pytest.mark.parametrize(("median", "over"), [(1.0, False), (1.0625, True)])
    def test_a_device_further_off_than_its_precision_costs_is_said_beside_what_was_scored(
        self, tmp_path, models, median, over
    ):
        answers = [*three(tmp_path), of_toy("agreement", **DEVICE, **OF_DEVICE | {"median_abs": median})]
        said = where(tmp_path, models, answers)
        assert said.startswith("the conversion to fp16 turns no answer; the device itself turns no answer")
        assert said.endswith("; the device itself is further off than fp16 costs: median 1.06, at most 1") is over
        assert ("further off" in said) is over

    @pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
    def test_of_several_points_the_worst_verdict_is_shown_then_the_fewest_that_are_kept(
        self, tmp_path, models, verdict
    ):
        def at(size, **said):
            return of_toy("agreement", **DEVICE | {"subject": f"{size}", "point": f"bs{size}"}, **OF_DEVICE | said)

        passed = [at(size, decoded_equal=equal) for size, equal in ((1, 30), (8, 10), (16, 20))]
        assert only(tmp_path / "a", models, passed)["answers kept by 2, 3"] == "31/32, 10/32 (bs8)"
        bad = at(31, decoded_equal=31, verdict=verdict.value)
        assert only(tmp_path / "b", models, [*passed, bad])["answers kept by 2, 3"] == "31/32, 31/32 (bs31)"

    @pytest.mark.parametrize("damage", [{"decoded_equal": None}, {"decoded_equal": "29"}, {"n": 0}, {"n": None}])
    def test_an_answer_without_counts_is_no_arm(self, tmp_path, models, damage):
        assert arms(made(tmp_path, [of_toy("agreement", **DEVICE, **OF_DEVICE | damage)]), models) == []

    @given(
        st.dictionaries(
            st.sampled_from(sorted(OF_DEVICE)),
            st.none() | st.integers(-1, 40) | st.floats() | st.text(max_size=2) | st.booleans(),
        ),
        st.booleans(),
    )
    def test_whatever_is_recorded_a_row_is_a_row(self, tmp_path_factory, toy, figures, alone):
        answers = [of_toy("agreement", **DEVICE, **OF_DEVICE | figures)]
        answers += [] if alone else [of_toy("agreement", **HALF, **KEPT | figures)]
        for row in arms(made(tmp_path_factory.mktemp("a") / "a", answers), lowered_of(toy)):
            assert len(row.cells) == len(HEADER)
            assert row.where


class TestRange:
    """Whether half precision holds what single precision computes is told beside what it costs."""

    @pytest.mark.parametrize(
        ("said", "shown", "beyond"),
        [
            (HELD, "1310 (2.0%, /conv)", False),
            (OVER, "7e+04 (106.9%, /conv) FAIL", True),
            (OVER | {"largest": None, "share": None}, "FAIL", True),
            ({"verdict": "broken"}, "BROKEN", False),
        ],
        ids=["held", "over", "no number", "broken"],
    )
    def test_the_largest_number_is_shown_with_its_share(self, tmp_path, models, said, shown, beyond):
        answers = [of_toy("range", **SINGLE, **said), of_toy("agreement", **HALF, **KEPT)]
        found = only(tmp_path, models, answers)
        assert found[LARGEST] == shown
        assert ("fp16 does not hold 3 of its values" in found["where a loss arises"]) is beyond

    def test_alone_it_says_that_nothing_ran_in_that_precision(self, tmp_path, models):
        found = only(tmp_path, models, [of_toy("range", **SINGLE, **OVER)])
        assert found["where a loss arises"] == (
            "fp16 does not hold 3 of its values; nothing ran in fp16, here or on a device"
        )

    @pytest.mark.parametrize("other", [{"verdict": "skipped"}, {"form": "network"}, {"backend": "torch"}])
    def test_what_was_skipped_or_is_of_something_else_is_not_shown(self, tmp_path, models, other):
        answers = [of_toy("range", **SINGLE | HELD | other), of_toy("agreement", **HALF, **KEPT)]
        assert only(tmp_path, models, answers)[LARGEST] == "-"


class TestShown:
    def test_the_page_shows_what_the_markdown_does(self, tmp_path, models):
        record = made(tmp_path, [*three(tmp_path, (0,), range(6)), of_toy("agreement", **DEVICE, **OF_DEVICE)])
        section = by_id(parse(page(record, models)))["device"]
        assert section.rows() == rows_of(render(record, models), "Device precision") != []

    def test_a_page_without_arms_says_so(self, tmp_path, models):
        section = by_id(parse(page(made(tmp_path, [of_toy("build")]), models)))["device"]
        assert "Nothing was measured in the precision of a device." in section.text

    def test_of_everything_that_the_suite_asks_there_is_a_row_for_each_reference(self, tmp_path):
        models = {"crnn": load_models()["crnn"]}
        found = arms(read(everything(tmp_path / "run", good, official=True) / "record.json"), models)
        assert [row.reference for row in found] == ["official", "bundled"]
        assert all(row.ran and row.range and row.agreement for row in found)

    def test_the_edge_of_a_device_is_judged_by_its_median(self, tmp_path, models):
        over = OF_DEVICE | {"max_abs": 0.5, "median_abs": 0.25, "bound": 0.125, "cosine": 1.0}
        for name, given_bound, said in (("a", 0.125, "OVER bound 0.125"), ("b", 0.375, "bound 0.375")):
            answer = of_toy("agreement", **DEVICE, **over | {"bound": given_bound})
            row = rows_of(render(made(tmp_path / name, [answer]), models), "Agreement")[0]
            assert row[0] == "toy.onnx ascend fp16, against itself in fp32"
            assert row[1] == f"0.5 ({said} of the median 0.25; bs8)"
