"""Where the time goes stands in one table a model: floats beside integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.backends.ort import PROVIDER
from harness.form import quantised
from harness.model import Model
from harness.ort_profile import Kernel, Profile
from harness.quantisation import Quantisation
from harness.questions.placement import judge
from reports.operators_table import MOST, tables
from reports.page import page
from reports.record import Record
from reports.render import render
from tests.pages import parse
from tests.records import made, of_toy, rows_of

FLOAT = {"Conv": (50, 900), "Gemm": (2, 90), "Relu": (1, 10)}
BYTES = {"QLinearConv": (50, 500), "QuantizeLinear": (30, 300), "DequantizeLinear": (20, 196), "Relu": (1, 4)}


def profiled(operators: Mapping[str, tuple[int, int]], **given: Any) -> dict[str, Any]:
    """A placement answer on so many nodes of each type, which take so many microseconds together."""
    kernels = []
    for operator, (nodes, spent) in operators.items():
        kernels += [Kernel("n", operator, PROVIDER, spent - nodes + 1)] + [Kernel("n", operator, PROVIDER, 1)] * (
            nodes - 1
        )
    return of_toy("placement", **{"point": "bs1", **judge(Profile(tuple(kernels), 5)).figures, **given})


@pytest.fixture
def models(toy: Callable[..., Model]) -> dict[str, Model]:
    model = toy()
    how = Quantisation(rule="minmax", samples=1, loss=0.1)
    small = quantised("int8", how, equal=0.5, because="of rounding", parent=model.main)
    return {"toy": toy(forms=(*model.forms, small))}


@pytest.fixture
def record(tmp_path: Path) -> Record:
    of_bytes = {"subject": "toy.int8-ort-int8-bs1", "form": "int8", "precision": "int8"}
    return made(tmp_path, [profiled(BYTES, **of_bytes), profiled(FLOAT)])


class TestTable:
    def test_floats_stand_before_integers_with_shares_and_nodes(self, record: Record, models: dict[str, Model]) -> None:
        (found,) = tables(record, models)
        assert found.title == "Operators of toy (seeded, bs1)"
        assert found.forms == ["onnx fp32", "int8 int8"]
        assert found.rows == [
            ("Conv", "90.0% (50)", "-"),
            ("QLinearConv", "-", "50.0% (50)"),
            ("QuantizeLinear", "-", "30.0% (30)"),
            ("DequantizeLinear", "-", "19.6% (20)"),
            ("Gemm", "9.0% (2)", "-"),
            ("Relu", "1.0% (1)", "-"),
            ("others", "0.0% (0)", "0.4% (1)"),
            ("all", "1.000 ms (53)", "1.000 ms (101)"),
        ]

    def test_a_report_has_a_row_for_each_form(self, record: Record, models: dict[str, Model]) -> None:
        rows = [[cell.replace("\\", "") for cell in row] for row in rows_of(render(record, models), "Operators")]
        assert rows == [
            ["toy-ort-fp32-bs8", "seeded", "1.000 ms (53)", "Conv 90.0% (50), Gemm 9.0% (2), Relu 1.0% (1)"],
            [
                *("toy.int8-ort-int8-bs1", "seeded", "1.000 ms (101)"),
                "QLinearConv 50.0% (50), QuantizeLinear 30.0% (30), DequantizeLinear 19.6% (20)",
            ],
        ]

    def test_a_page_has_the_table(self, record: Record, models: dict[str, Model]) -> None:
        (found,) = tables(record, models)
        regions = {each.attributes.get("aria-label"): each for each in parse(page(record, models)).all("div")}
        assert [tuple(row) for row in regions[found.title].rows()] == found.rows

    def test_only_the_largest_have_a_row_and_nothing_is_lost(self, tmp_path: Path, models: dict[str, Model]) -> None:
        many = {f"Op{number:02}": (1, 100 + number) for number in range(20)}
        (found,) = tables(made(tmp_path, [profiled(many)]), models)
        assert [row[0] for row in found.rows] == [
            *(f"Op{number}" for number in range(19, 19 - MOST, -1)),
            "others",
            "all",
        ]
        assert found.rows[-2] == ("others", f"{sum(range(100, 112)) / sum(range(100, 120)):.1%} (12)")

    def test_other_points_and_references_have_tables_of_their_own(
        self, tmp_path: Path, models: dict[str, Model]
    ) -> None:
        answers = [
            profiled(FLOAT),
            profiled(FLOAT, point="bs8", subject="toy-ort-fp32-bs9"),
            profiled(FLOAT, reference="bundled"),
        ]
        assert [found.title for found in tables(made(tmp_path, answers), models)] == [
            "Operators of toy (bundled, bs1)",
            "Operators of toy (seeded, bs1)",
            "Operators of toy (seeded, bs8)",
        ]

    def test_what_failed_is_marked_and_what_was_not_measured_is_left_out(
        self, tmp_path: Path, models: dict[str, Model]
    ) -> None:
        skipped = of_toy("placement", subject="b", verdict="skipped", line="no weights")
        record = made(tmp_path, [profiled(FLOAT, verdict="fail"), skipped])
        (found,) = tables(record, models)
        assert found.rows[-1] == ("all", "1.000 ms (53) FAIL")
        assert "Operators" not in render(made(tmp_path / "none", [skipped]), models)
        assert "Operators of" not in page(made(tmp_path / "none", [skipped]), models)

    @pytest.mark.parametrize("share", [None, "much", -0.1, 7, float("inf"), True])
    def test_a_share_that_is_none_is_not_shown(self, tmp_path: Path, models: dict[str, Model], share: object) -> None:
        (found,) = tables(made(tmp_path, [profiled(FLOAT, **{"share: Conv": share, "nodes: Gemm": "x"})]), models)
        assert found.rows[:2] == [("Gemm", "9.0% (-)"), ("Relu", "1.0% (1)")]
