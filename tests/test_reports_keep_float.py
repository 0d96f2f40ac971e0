"""The curve of tensors left float is drawn true to scale, and stands in a table beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model import Model
from harness.verdict import Verdict
from reports.keep_float import ALL, LEFT, MOST, PLOT, STEP, TOP, counts_of, curves, drawing
from reports.page import page
from reports.record import Record
from reports.render import render
from tests.pages import parse
from tests.records import claiming_of, made, of_toy, one, rows_of

TITLE = "Left float (answers changed, value)"
FIGURES = {
    "kept_float": [0, 1, 2, 4], "flips": [20, 11, 10, 0], "hits": [50, 60, 70, 80], "values": [0.5, 0.6, 0.7, 0.8],
    "errors": [1.0, 0.5, 0.2, 0.1], "all_flips": 0, "all_value": 0.75, "float_value": 0.9, "repaired": 0.93,
    "at_random": 0.02, "tensors": 206, "n": 100, "metric": "acc: version 1", "worst_1": "/conv/a (Conv)",
    "worst_2": "b (Mul)", "worst_3": "c (Conv)", "worst_4": "d (Conv)",
}  # fmt: skip


def kept(**changes: Any) -> dict[str, Any]:
    """An answer about a quantised form of toy."""
    given = {"form": "int8_kl", "precision": "int8", "subject": "toy.int8_kl-ort-int8-bs8", "reference": "official"}
    return of_toy("keep_float", **{**FIGURES, **given, **changes})


@pytest.fixture
def models(toy: Callable[..., Model]) -> Mapping[str, Model]:
    return claiming_of(toy)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return made(tmp_path / "run", [kept()])


class TestTable:
    def test_a_row_says_what_changes_with_each_number(self, record: Record, models: Mapping[str, Model]) -> None:
        (row,) = rows_of(render(record, models), TITLE)
        assert row == [
            "toy.int8_kl-ort-int8-bs8", "official", "100", "20, 0.5000", "11, 0.6000", "10, 0.7000", "0, 0.8000",
            "0, 0.7500", "0.9000", "93.0% (as many at random 2.0%)", "/conv/a (Conv), b (Mul), c (Conv)", "pass",
        ]  # fmt: skip

    def test_numbers_that_one_curve_alone_has_are_columns_of_both(
        self, tmp_path: Path, models: Mapping[str, Model]
    ) -> None:
        short = kept(kept_float=[0, 16], flips=[5, 4], values=[0.1, 0.2], subject="toy.int8_mse-ort-int8-bs8")
        record = made(tmp_path, [kept(), short])
        assert counts_of(curves(record, models)) == ["0", "1", "2", "4", "16"]
        first, second = rows_of(render(record, models), TITLE)
        assert (first[3:8], second[3:8]) == (
            ["20, 0.5000", "11, 0.6000", "10, 0.7000", "0, 0.8000", "-"],
            ["5, 0.1000", "-", "-", "-", "4, 0.2000"],
        )

    def test_without_such_answers_there_is_none(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        record = made(tmp_path, [of_toy("build")])
        assert TITLE not in render(record, models)
        assert "Worst tensors left float" not in page(record, models)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"flips": [1, 2]},
            {"flips": "many"},
            {"values": [0.5, None, 0.7, 0.8]},
            {"values": [0.5, True, 0.7, 0.8]},
            {"kept_float": [], "flips": [], "values": []},
            {"all_flips": None},
            {"float_value": "high"},
            {"flips": [1, 2, 3, float("inf")]},
        ],
    )
    def test_figures_that_are_no_curve_are_none(
        self, wrong: Mapping[str, Any], tmp_path: Path, models: Mapping[str, Model]
    ) -> None:
        record = made(tmp_path, [kept(**wrong)])
        assert curves(record, models) == []
        assert TITLE not in render(record, models)


class TestDrawing:
    def test_a_point_lies_where_its_figure_is(self, record: Record, models: Mapping[str, Model]) -> None:
        (curve,) = curves(record, models)
        found = drawing(curve)
        values, flips = found.panels
        assert [tick.text for tick in found.ticks] == ["0", "1", "2", "4", ALL]
        assert [tick.at for tick in found.ticks] == [LEFT + STEP * place for place in range(5)]
        assert (values.name, flips.name) == ("acc", "answers changed")
        # From 0.5 to 0.9, which single precision has.
        expected = [TOP + PLOT * share for share in (1, 0.75, 0.5, 0.25, 0.375)]
        assert [y for _, y, _ in values.points] == pytest.approx(expected, abs=0.06)
        assert values.level == TOP
        assert [text for _, _, text in flips.points] == ["20", "11", "10", "0", "0"]
        assert flips.points[3][1] == flips.level == flips.at + PLOT
        assert flips.path.startswith(f"M{LEFT} {flips.at:g}L")

    def test_figures_that_are_all_the_same_lie_in_the_middle(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        record = made(tmp_path, [kept(values=[0.9] * 4, all_value=0.9)])
        values, _ = drawing(curves(record, models)[0]).panels
        assert {y for _, y, _ in values.points} == {TOP + PLOT / 2}

    def test_of_many_points_the_first_and_the_last_are_drawn(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        many = list(range(MOST + 5))
        record = made(tmp_path, [kept(kept_float=many, flips=many, values=[0.5] * len(many))])
        (curve,) = curves(record, models)
        assert len(drawing(curve).ticks) == MOST + 1
        assert drawing(curve).panels[1].points[-1][2] == "0"
        assert len(counts_of([curve])) == MOST + 5

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=6), st.data())
    def test_any_figures_stay_in_the_drawing(
        self, tmp_path: Path, models: Mapping[str, Model], numbers: list[float], data: st.DataObject
    ) -> None:
        figure = st.floats(allow_nan=False, allow_infinity=False)
        ends = {name: data.draw(figure) for name in ("all_flips", "all_value", "float_value")}
        record = made(tmp_path, [kept(kept_float=numbers, flips=numbers, values=numbers, **ends)])
        (curve,) = curves(record, models)
        found = drawing(curve)
        for panel in found.panels:
            assert all(panel.at <= y <= panel.at + PLOT for _, y, _ in panel.points)
            assert panel.at <= panel.level <= panel.at + PLOT
        assert "nan" not in json.dumps([panel.path for panel in found.panels])


class TestPage:
    def test_it_shows_the_drawing_and_the_table(self, record: Record, models: Mapping[str, Model]) -> None:
        read = parse(page(record, models))
        (drawn,) = [each for each in read.all("svg") if "curves" in each.classes]
        assert len([each for each in drawn.all("circle") if "measured" in each.classes]) == 10
        assert len([each for each in drawn.all("path") if "curve" in each.classes]) == 2
        texts = [each.text for each in drawn.all("text")]
        assert {"acc", "answers changed", "0.5000", "20", "all"} <= set(texts)
        (table,) = [each for each in read.all("table") if "all float" in each.text]
        assert "93.0% (as many at random 2.0%)" in table.text
        assert "/conv/a (Conv), b (Mul), c (Conv)" in table.text

    def test_a_verdict_that_is_no_pass_is_marked(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        record = made(tmp_path, [kept(verdict=Verdict.INCONCLUSIVE.value)])
        read = parse(page(record, models))
        (table,) = [each for each in read.all("table") if "all float" in each.text]
        assert [each.classes for each in table.all("span")] == [{"v", "inconclusive"}]

    def test_nothing_that_an_answer_says_is_markup(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        hostile = "</td><script>alert(1)</script> (Conv)"
        record = made(tmp_path, [kept(worst_1=hostile, metric="<b>: x"), one("build")])
        text = page(record, models)
        assert "<script>" not in text
        assert "<b>" not in text
