"""The layers of quantised forms are shown: how they came out, and which are the worst."""

from __future__ import annotations

import numpy as np
import pytest

from harness.quantisation import LayerBounds
from harness.questions.layers import judge
from reports.layers import HEADER, RANKED, compared
from reports.page import page
from reports.render import render
from tests.pages import parse
from tests.records import made, of_toy, rows_of
from tests.test_layers import layer

F = np.random.default_rng(0).standard_normal(400)


def answer(*gains, **said):
    """What the question answers on layers of these gains."""
    layers = [layer((F, F * gain), number=number) for number, gain in enumerate(gains, 1)]
    found = judge([*layers, layer((F * 0, F * 0), number=99)], LayerBounds(), 5)
    about = {"form": "int8", "precision": "int8", "subject": "toy.int8-ort-int8-bs8", "verdict": found.verdict.value}
    figures = {name: list(each) if isinstance(each, tuple) else each for name, each in found.figures.items()}
    return of_toy("layers", **{**about, "line": found.line, **figures, **said})


def row(tmp_path, toy, *answers):
    (found,) = rows_of(render(made(tmp_path, answers), {"toy": toy()}), "Layers of quantised forms")
    return dict(zip(("cell", *HEADER), found, strict=True))


class TestMarkdown:
    def test_a_row_says_least_median_and_bounds(self, tmp_path, toy):
        assert list(row(tmp_path, toy, answer(1.01, 0.95)).values()) == [
            "toy.int8-ort-int8-bs8", "seeded", "3 (1)", "0", "1.0000 of 0.97, 1.0000", "26.0 of 12, 33.0",
            "0.950 to 1.010 of 0.9 to 1.1", "2 Conv t2", "pass",
        ]  # fmt: skip

    def test_of_a_failure_the_first_over_a_bound_is_named(self, tmp_path, toy):
        found = row(tmp_path, toy, answer(1.01, 1.5, -1.0))
        assert found["over a bound"] == "2"
        assert found["first over a bound, or worst"] == "2 Conv t2"
        assert found["verdict"] == "FAIL"

    def test_without_a_quantised_form_there_is_no_table(self, tmp_path, toy):
        skipped = of_toy("layers", verdict="skipped", line="no weights")
        assert "Layers of quantised forms" not in render(made(tmp_path, [skipped]), {"toy": toy()})

    def test_where_nothing_was_compared_nothing_is_made_up(self, tmp_path, toy):
        found = row(tmp_path, toy, answer())
        assert found["layers (silent)"] == "1 (1)"
        assert found["cosine: least of at least, median"] == "- of 0.97, -"
        assert found["first over a bound, or worst"] == "-"


class TestPage:
    def test_the_worst_layers_are_ranked(self, tmp_path, toy):
        record = made(tmp_path, [answer(1.01, 0.95, 1.5)])
        found = parse(page(record, {"toy": toy()}))
        (details,) = [each for each in found.all("details") if "Worst layers" in each.text]
        assert details.rows() == [
            ["1", "3 Conv t3", "1.0000", "6.0", "1.500", "0.50%"],
            ["2", "2 Conv t2", "1.0000", "26.0", "0.950", "0.50%"],
            ["3", "1 Conv t1", "1.0000", "40.0", "1.010", "0.50%"],
        ]
        assert [each.text for each in details.one("thead").all("th")] == list(RANKED)

    def test_names_are_text_and_never_markup(self, tmp_path, toy):
        spoilt = answer(1.01, worst="1 Conv <b>|x`", first_over="<script>")
        assert "<b>" not in page(made(tmp_path, [spoilt]), {"toy": toy()})

    @pytest.mark.parametrize(
        "said", [{"worst_snr": [1.0]}, {"worst_gain": None}, {"worst_cosine": "much"}, {"gain_bounds": []}]
    )
    def test_a_record_with_fewer_figures_is_shown_without_them(self, said, tmp_path, toy):
        (found,) = compared(made(tmp_path, [answer(1.01, 0.95, **said)]), {"toy": toy()})
        assert len(found.worst) == 2
        assert all(len(each) == len(RANKED) for each in found.worst)
