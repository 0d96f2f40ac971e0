"""Three arms side by side say where a loss arises, no more than they know, whatever pieces are missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.recipe import Recipe
from reports.arms import arms
from reports.record import read
from reports.render import render
from tests.lowered import DEVICE, OF_DEVICE, lowered_of, only, samples, scored, three, where
from tests.records import made, of_toy, write

EXPECTED = "no device here: this is what to expect of one"
UNPLACED = "not placed: nothing in fp16 ran here"


@pytest.fixture
def models(toy):
    return lowered_of(toy)


class TestScored:
    def test_the_arms_stand_side_by_side(self, tmp_path, models):
        answers = [*three(tmp_path, (0, 1), (1, 2, 3)), of_toy("agreement", **DEVICE, **OF_DEVICE)]
        assert list(only(tmp_path, models, answers).values()) == [
            "toy.onnx ascend fp16", "seeded", "20/20 1.0000", "18/20 0.9000 (-2 hits; lost 2, gained 0)",
            "17/20 0.8500 (-3 hits; lost 3, gained 0)", "31/32, 29/32 (bs8)", "0.125, 0.25", "0.375", "-",
            "the conversion to fp16 turns answers, no loss beyond chance: lost 2, gained 0, p = 0.5; "
            "the device itself turns answers, no loss beyond chance: lost 2, gained 1, p = 1",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("lost", "conversion", "device"),
        [
            (((), ()), "turns no answer", "turns no answer"),
            ((range(6), range(6)), "loses answers: lost 6, gained 0, p = 0.031", "turns no answer"),
            (((), range(6)), "turns no answer", "loses answers: lost 6, gained 0, p = 0.031"),
            ((range(6), ()), "loses answers: lost 6, gained 0, p = 0.031",
             "turns answers, no loss beyond chance: lost 0, gained 6, p = 0.031"),
            ((range(5), ()), "turns answers, no loss beyond chance: lost 5, gained 0, p = 0.062",
             "turns answers, no loss beyond chance: lost 0, gained 5, p = 0.062"),
            ((range(6), range(6, 12)), "loses answers: lost 6, gained 0, p = 0.031",
             "turns answers, no loss beyond chance: lost 6, gained 6, p = 1"),
        ],
        ids=["nothing", "conversion", "device", "device wins back", "chance", "other samples"],
    )  # fmt: skip
    def test_a_loss_is_placed_where_it_arises(self, tmp_path, models, lost, conversion, device):
        said = where(tmp_path, models, three(tmp_path, *lost))
        assert said == f"the conversion to fp16 {conversion}; the device itself {device}"

    @given(st.sets(st.integers(0, 19)), st.sets(st.integers(0, 19)))
    def test_a_loss_is_only_said_of_a_step_that_has_one(self, tmp_path_factory, toy, here, there):
        folder = tmp_path_factory.mktemp("a")
        (row,) = arms(made(folder, three(folder, here, there)), lowered_of(toy))
        conversion, device = row.where.split("; ")
        assert ("loses" in conversion) == (len(here) >= 6)
        lost, gained = there - here, here - there
        assert ("loses" in device) == (row.ran.flips.p < 0.05 and len(lost) > len(gained))
        assert ("no answer" in conversion, "no answer" in device) == (not here, here == there)

    def test_the_figures_of_a_stand_in_are_not_called_a_devices(self, tmp_path, models):
        phases = {"p1": {"commit": "a"}, "p2": {"commit": "a", "ascend.driver": "stand-in: 7.0"}}
        first, second, third = three(tmp_path, (), range(6))
        record = write(tmp_path, [first, second, third | {"provenance": "p2"}], phases)
        (row,) = arms(read(record / "record.json"), models)
        assert row.where.endswith("the stand-in loses answers: lost 6, gained 0, p = 0.031")
        assert "device" not in row.where


class TestMissing:
    def test_without_a_device_the_first_two_are_the_prediction(self, tmp_path, models):
        found = only(tmp_path, models, three(tmp_path, range(6))[:2])
        assert (found["3: device"], found["answers kept by 2, 3"]) == ("-", "-, -")
        assert found["where a loss arises"] == (
            f"the conversion to fp16 loses answers: lost 6, gained 0, p = 0.031; {EXPECTED}"
        )

    def test_a_device_that_is_absent_predicts_nothing_less(self, tmp_path, models):
        absent = of_toy("accuracy", **DEVICE, verdict="skipped", line="no npu-smi")
        found = only(tmp_path, models, [*three(tmp_path)[:2], absent])
        assert found["3: device"] == "skipped"
        assert found["where a loss arises"].endswith(EXPECTED)

    def test_a_device_that_is_broken_says_so_in_its_arm(self, tmp_path, models):
        broken = of_toy("accuracy", **DEVICE, verdict="broken", line="it hangs")
        assert only(tmp_path, models, [*three(tmp_path)[:2], broken])["3: device"] == "BROKEN"

    def test_without_the_second_arm_nothing_is_placed(self, tmp_path, models):
        first, _, third = three(tmp_path, (), range(6))
        said = where(tmp_path, models, [first, third])
        assert said == (
            f"the conversion to fp16 with the device itself loses answers: lost 6, gained 0, p = 0.031; {UNPLACED}"
        )

    def test_without_the_first_arm_the_device_is_still_compared_with_the_second(self, tmp_path, models):
        _, second, third = three(tmp_path, (), range(6))
        found = only(tmp_path, models, [second, third])
        assert found["3: device"] == "14/20 0.7000"
        assert found["where a loss arises"] == "the device itself loses answers: lost 6, gained 0, p = 0.031"

    @pytest.mark.parametrize("arm", [0, None])
    def test_the_first_arm_alone_is_no_row(self, tmp_path, models, arm):
        answers = [] if arm is None else three(tmp_path)[:1]
        record = made(tmp_path, answers)
        assert arms(record, models) == []
        assert "Device precision" not in render(record, models)

    def test_the_third_alone_places_nothing(self, tmp_path, models):
        assert where(tmp_path, models, three(tmp_path)[2:]) == UNPLACED

    def test_a_second_and_third_without_common_figures_place_nothing(self, tmp_path, models):
        kept = {name: value for name, value in OF_DEVICE.items() if not name.startswith("here_")}
        answers = [three(tmp_path)[1], of_toy("agreement", **DEVICE, **kept)]
        assert where(tmp_path, models, answers) == "the conversion to fp16 with the device itself turns 3 of 32 answers"

    def test_a_model_without_a_recipe_has_none(self, tmp_path, toy):
        assert arms(made(tmp_path, three(tmp_path)[:2]), lowered_of(toy, recipes={})) == []

    def test_a_device_that_computes_in_single_precision_loses_none_to_it(self, tmp_path, toy):
        recipe = Recipe(precision="fp32", toolkits=("7.0.0",))
        answers = [*three(tmp_path)[:2], of_toy("accuracy", **DEVICE | {"precision": "fp32"}, n=20, hits=1)]
        assert arms(made(tmp_path, answers), lowered_of(toy, recipes={"ascend": recipe})) == []

    def test_a_model_that_is_not_declared_has_none(self, tmp_path):
        assert arms(made(tmp_path, three(tmp_path)), {}) == []


class TestNotAlike:
    """Figures of other weights, samples or metrics are shown, and no difference between them."""

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ({"weights": "seeded sha256:1"}, "other weights"),
            ({"metric": "acc: another rule"}, "other metric"),
            ({"n": 21}, "other samples"),
            ({"weights": "w", "metric": "acc: another rule"}, "other weights and metric"),
        ],
    )
    def test_what_differs_is_named_and_nothing_is_placed(self, tmp_path, models, said, why):
        first, second, third = three(tmp_path, (), range(6))
        found = only(tmp_path, models, [first, second | said, third])
        assert found["2: the device's precision, ONNX Runtime"].endswith(f"({why})")
        assert found["where a loss arises"] == (
            f"the conversion to fp16 is not told: {why}; the device itself is not told: {why}"
        )

    def test_as_many_other_samples_are_other_samples(self, tmp_path, models):
        first = scored(tmp_path, "single", samples(*range(20)))
        second = scored(tmp_path, "half", samples(*range(1, 21)))
        assert where(tmp_path, models, [first, second]).startswith("the conversion to fp16 is not told: other samples")

    def test_answers_at_another_point_are_no_arm_of_these(self, tmp_path, models):
        first, second, third = three(tmp_path, (), range(6))
        found = only(tmp_path, models, [first, second, third | {"point": "bs1"}])
        assert found["3: device"] == "-"

    def test_of_several_points_that_of_accuracy_is_shown(self, tmp_path, models):
        answers = three(tmp_path)
        others = [each | {"point": f"bs{n}", "hits": 0} for each in answers for n in (1, 4, 16)]
        others = [each | {"subject": f"{each['subject']} at {each['point']}"} for each in others]
        assert only(tmp_path, models, [*others, *answers])["3: device"].startswith("20/20")

    def test_the_point_with_most_arms_comes_before_that_of_accuracy(self, tmp_path, models):
        elsewhere = [each | {"point": "bs1", "subject": f"{each['subject']} at bs1"} for each in three(tmp_path)]
        found = only(tmp_path, models, [*elsewhere, three(tmp_path)[0] | {"hits": 3}])
        assert found["1: its precision, ONNX Runtime"].startswith("20/20")

    @pytest.mark.parametrize(
        "other",
        [
            {"backend": "torch"}, {"form": "network"}, {"precision": "fp64"}, {"reference": "official"},
            {"model": "crnn"}, {"question": "batching"},
        ],
    )  # fmt: skip
    def test_answers_to_something_else_are_no_arm(self, tmp_path, models, other):
        _, second, third = three(tmp_path)
        rows = arms(made(tmp_path, [scored(tmp_path, "single", samples(1), **other), second, third]), models)
        row = next(row for row in rows if row.reference == "seeded")
        assert (row.accuracy[0], row.converted) == (None, None)
