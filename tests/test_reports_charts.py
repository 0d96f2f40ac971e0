"""Drawings are true to scale, and what they leave out they say."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.claim import Claim
from harness.judge import Share
from harness.verdict import Verdict
from reports.accuracy import Measured, measured
from reports.charts import BAND, MARGIN, MOST_POINTS, MOST_SERIES, PLOT, WIDTH, chart, strips
from reports.claims import published
from reports.throughput import Series, Speed
from tests.records import claimed, claiming_of, made

BASE = BAND + PLOT
FIGURES = st.floats(allow_nan=False, allow_infinity=False)


@pytest.fixture
def row(tmp_path, toy):
    """An accuracy row: 9 of 10 against a claim of 8 of 10."""
    models = claiming_of(toy)
    record = made(tmp_path / "a", [claimed()])
    return measured(record, published(record, models), models)[0]


def series(label="a", unit="words/s", published=False):
    return Series(label, "seeded", "host", unit, "toy", published)


def speed(value, verdict=Verdict.PASS):
    return Speed(f"{value}", value, verdict)


class TestStrips:
    def test_a_figure_lies_where_its_value_is(self, row):
        strip = strips([row])[0]
        assert strip.ends == ("0.4", "1")
        scale = (WIDTH - 2 * MARGIN) / 0.6
        low, high = row.interval
        expected = [MARGIN + (value - 0.4) * scale for value in (low, 0.8, 0.9, high)]
        assert [strip.low, strip.claim, strip.value, strip.high] == pytest.approx(expected, abs=0.06)
        assert strip.floor == strip.claim

    def test_rows_of_a_model_and_metric_share_their_axis_and_others_do_not(self, row):
        wide = Measured(**{**vars(row), "share": Share(hits=0, n=10, complete=True), "value": 0.0})
        other = Measured(**{**vars(row), "metric": "other"})
        ends = [strip.ends for strip in strips([row, wide, other])]
        assert ends == [("0", "1"), ("0", "1"), ("0.4", "1")]

    def test_without_share_and_claim_there_is_the_value_only(self, row):
        alone = Measured(**{**vars(row), "share": None, "claim": None})
        nothing = Measured(**{**vars(row), "share": None, "claim": None, "value": None, "metric": "other"})
        strip, none = strips([alone, nothing])
        assert (strip.low, strip.high, strip.claim, strip.floor, none) == (None,) * 5

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(value=FIGURES, claim=st.decimals(allow_nan=False, allow_infinity=False))
    def test_any_figures_lie_on_the_axis(self, row, value, claim):
        stated = Claim(metric="acc", printed=str(claim), source="x")
        strip = strips([Measured(**{**vars(row), "value": value, "claim": stated})])[0]
        assert all(MARGIN - 0.1 <= at <= WIDTH - MARGIN + 0.1 for at in (*strip[:5],))


class TestBars:
    def test_heights_are_those_of_the_values(self):
        found = chart([(series(), {"bs1": speed(25.0), "bs8": speed(100.0)}), (series("b"), {"bs1": speed(50.0)})])
        assert [(bar.number, bar.height) for bar in found.bars] == [(1, PLOT / 4), (2, PLOT / 2), (1, PLOT)]
        assert [(tick.text, tick.at) for tick in found.values] == [("0", BASE), ("50", BAND + PLOT / 2), ("100", BAND)]
        assert [tick.text for tick in found.points] == ["bs1", "bs8"]
        assert all(bar.y + bar.height == BASE for bar in found.bars)

    def test_a_published_value_that_would_flatten_the_rest_leaves_the_axis(self):
        official = series("official", published=True)
        found = chart([(series(), {"bs1": speed(80.0)}), (official, {"bs16": Speed("4400", 4400.0, None)})])
        measured_bar, published_bar = found.bars
        assert (published_bar.beyond, published_bar.published, published_bar.text) == (True, True, "4.4k")
        assert published_bar.y < BAND
        assert measured_bar.height > PLOT / 2

    def test_a_published_value_near_what_was_measured_is_true_to_scale(self):
        official = series("official", published=True)
        found = chart([(series(), {"bs1": speed(60.0)}), (official, {"bs1": Speed("100", 100.0, None)})])
        assert [(bar.beyond, bar.height) for bar in found.bars] == [(False, 0.6 * PLOT), (False, PLOT)]

    def test_a_published_value_in_another_unit_is_left_to_the_table(self):
        official = series("official", unit="milliseconds", published=True)
        found = chart([(series(), {"bs1": speed(60.0)}), (official, {"bs1": Speed("3", 3.0, None)})])
        assert ([bar.number for bar in found.bars], found.left_out) == ([1], (1, 0))

    def test_a_time_that_needs_attention_is_marked(self):
        found = chart([(series(), {"bs1": speed(60.0, Verdict.FAIL), "bs8": speed(60.0)})])
        assert [bar.attention for bar in found.bars] == [True, False]

    def test_what_is_left_out_is_counted(self):
        many = [(series(f"s{n}"), {"bs1": speed(1.0)}) for n in range(MOST_SERIES + 3)]
        assert chart(many).left_out == (3, 0)
        wide = [(series(), {f"bs{n}": speed(1.0) for n in range(MOST_POINTS + 5)})]
        assert (chart(wide).left_out, len(chart(wide).bars)) == ((0, 5), MOST_POINTS)

    @pytest.mark.parametrize("found", [[], [(series(), {"bs1": speed(0.0)})], [(series(), {"bs1": speed(None)})]])
    def test_nothing_measured_is_not_drawn(self, found):
        assert chart(found) is None

    @given(st.lists(FIGURES, min_size=1, max_size=5), FIGURES)
    def test_any_figures_stay_in_the_drawing(self, values, claim):
        cells = {f"bs{index}": speed(value) for index, value in enumerate(values)}
        found = chart([(series(), cells), (series("b", published=True), {"bs1": speed(claim)})])
        if found is not None:
            assert all(0 < bar.y <= BASE and 0 <= bar.height < BASE and bar.x < found.width for bar in found.bars)
            assert 2 <= len(found.values) <= 7
