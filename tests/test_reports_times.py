"""A published time is judged by a measurement of exactly what it names, and by no other."""

from __future__ import annotations

import pytest

from harness.cells import Scope
from harness.claim import Claim
from harness.domains import asks
from harness.measure import Measurement, judge
from harness.questions.throughput import claimed as judged_by
from harness.reference import Reference
from harness.registry import load_models
from harness.run import Run
from harness.sizes import Point
from reports.claims import is_judged, published
from reports.compare import compare
from reports.comparison import render_comparison
from reports.page import page
from reports.record import find, read
from reports.render import render
from reports.throughput import speeds
from tests.lowered import lowered_of, throughput_on
from tests.pages import by_id, parse
from tests.records import PROVENANCE, claiming_of, made, rows_of, timing

CLAIM = "toy official throughput 4400 words/s at batch 16 (clock device on Ascend310P3)"


@pytest.fixture
def claiming(toy):
    return claiming_of(toy)


def time_claim(**given) -> Claim:
    said = {"metric": "throughput", "printed": "4400", "unit": "words/s", "clock": "device", "device": "Ascend310P3"}
    return Claim(**{**said, "batch": 16, "source": "a guide", **given})


class TestJudged:
    def line(self, tmp_path, claiming, **given):
        text = render(made(tmp_path / "a", [throughput_on(**given)]), claiming)
        return next(line for line in text.split("\n") if "judged" in line), rows_of(text, "Throughput")

    @pytest.mark.parametrize(("verdict", "shown"), [("pass", "5000.0"), ("fail", "5000.0 FAIL")])
    def test_a_time_on_the_chip_that_is_named_judges_the_claim(self, tmp_path, claiming, verdict, shown):
        line, rows = self.line(tmp_path, claiming, verdict=verdict)
        assert "judged 1 of 2 claims; not judged: toy official acc 0.8" in line
        assert rows == [
            ["toy.onnx ascend fp16", "official", "device on Ascend310P3", "words/s", shown],
            ["toy, published, judged", "official", "device on Ascend310P3", "words/s", "4400"],
        ]

    @pytest.mark.parametrize(
        "other",
        [
            {"device": "Ascend310"}, {"device": "Ascend310P"}, {"device": "stand-in Ascend310P3"}, {"device": None},
            {"device": ["Ascend310P3"]}, {"clock": "device+copies"}, {"clock": "host"}, {"clock": None},
            {"point": "bs8"}, {"point": "bs160"}, {"point": "bs16_736x1280"}, {"point": None},
            {"reference": "seeded"}, {"model": "crnn"}, {"question": "batching"},
            {"claims_judged": False}, {"claims_judged": None}, {"claims_judged": 1}, {"claims_judged": "true"},
            {"verdict": "broken"}, {"verdict": "inconclusive"}, {"verdict": "skipped"},
        ],
    )  # fmt: skip
    def test_a_time_of_anything_else_judges_nothing(self, tmp_path, claiming, other):
        record = made(tmp_path / "a", [throughput_on(**other), timing(0.1, model="toy")])
        text = render(record, claiming)
        assert f"judged 0 of 2 claims; not judged: toy official acc 0.8; {CLAIM}" in text
        assert "toy, published, not judged" in text
        assert "published, judged" not in text

    def test_an_answer_judges_only_those_claims_that_are_about_it(self, tmp_path, toy):
        claims = (time_claim(), time_claim(printed="9000", batch=32), time_claim(printed="80", device="Ascend310"))
        models = {"toy": toy(references=(Reference(name="official", initialise="toy:draw", claims=claims),))}
        text = render(made(tmp_path / "a", [throughput_on()]), models)
        assert "judged 1 of 3 claims" in text
        assert [row[0] for row in rows_of(text, "Throughput")[1:]] == [
            "toy, published, judged", "toy, published, not judged", "toy, published, not judged",
        ]  # fmt: skip
        assert [row[4:] for row in rows_of(text, "Throughput")[1:]] == [["4400", "-"], ["-", "9000"], ["80", "-"]]

    def test_a_claim_without_a_batch_is_never_judged(self, tmp_path, toy):
        claims = (time_claim(batch=None),)
        models = {"toy": toy(references=(Reference(name="official", initialise="toy:draw", claims=claims),))}
        assert "judged 0 of 1 claims" in render(made(tmp_path / "a", [throughput_on(point="bsNone")]), models)

    def test_a_published_latency_is_judged_too(self, tmp_path, toy):
        claims = (time_claim(metric="latency", printed="4", unit="ms"),)
        models = {"toy": toy(references=(Reference(name="official", initialise="toy:draw", claims=claims),))}
        text = render(made(tmp_path / "a", [throughput_on()]), models)
        assert rows_of(text, "Throughput")[1][::4] == ["toy, published, judged", "4000.0 (4 ms)"]

    def test_the_page_says_the_same(self, tmp_path, claiming):
        for name, given, said in (("a", {}, "judged"), ("b", {"device": "Ascend310"}, "not judged")):
            found = by_id(parse(page(made(tmp_path / name, [throughput_on(**given)]), claiming)))
            row = next(row for row in found["throughput"].all("tr") if "published" in row.classes)
            assert f"toy, published, {said} official device on Ascend310P3" in row.text
            assert found["accuracy"].all("tr")[2].text.startswith(f"{CLAIM} {said} a guide")


class TestAsTheSuiteWritesIt:
    """The record of the very code that judges; what it writes must be what is read."""

    @pytest.fixture
    def models(self, toy):
        return lowered_of(toy, points=(Point(batch=8), Point(batch=16)))

    def record(self, tmp_path, models, **given):
        measurement = Measurement(**{"clock": "device", "device": "Ascend310P3", "wall": (0.0032,) * 4, **given})
        asked = asks("throughput", models, Scope(found=frozenset({("toy", "official")})))
        ask = next(each for each in asked if (each.at.backend, each.at.point.batch) == ("ascend", 16))
        answer = judged_by(judge(measurement, 16, 1), models["toy"].reference("official"), measurement, Point(batch=16))
        run = Run(tmp_path / "run", PROVENANCE)
        run.add(ask, "official sha256:0", answer, 0.1)
        return read(find(str(run.record().parent)))

    @pytest.mark.parametrize(
        ("given", "judged"),
        [({}, True), ({"wall": (0.016,) * 4}, True), ({"device": "Ascend310"}, False), ({"clock": "host"}, False)],
        ids=["as fast", "slower", "another chip", "another clock"],
    )
    def test_what_it_judged_counts_and_nothing_else(self, tmp_path, models, given, judged):
        record = self.record(tmp_path, models, **given)
        claim = next(each for each in published(record, models) if each.claim.is_time)
        assert is_judged(record, claim) is judged

    def test_a_mean_names_how_many_calls_it_is_of_and_on_which_chip(self, tmp_path, models):
        record = self.record(tmp_path, models, wall=(0.0032,), mean_of=50)
        series = next(iter(speeds(record, published(record, models), models)))
        assert series.clock == "device on Ascend310P3, mean of 50"

    def test_every_time_that_is_claimed_for_a_device_can_be_judged_there(self):
        """A claim at what is no point, or without a chip, would never be judged, whatever ran. The time of a set of
        unstated size never is."""
        for model in load_models().values():
            points = {point.id for point in model.points}
            for claim in (claim for reference in model.references for claim in reference.claims if claim.is_time):
                assert claim.device
                assert claim.point in points or (claim.metric, claim.point) == ("total", None), (
                    model.name,
                    claim.printed,
                )


class TestCompared:
    def found(self, tmp_path, before, after, limit=1.1):
        sides = (made(tmp_path / name, [throughput_on(**given)]) for name, given in (("a", before), ("b", after)))
        return compare(*sides, limit)

    def test_times_of_two_chips_are_not_compared(self, tmp_path):
        found = self.found(tmp_path, {}, {"device": "Ascend310"})
        assert (found.exit_code, found.latency) == (2, ())
        assert "clock: A device on Ascend310P3, B device on Ascend310" in render_comparison(found)

    def test_the_ratio_names_the_chip(self, tmp_path):
        found = self.found(tmp_path, {}, {"latency_median": 0.0064})
        assert found.exit_code == 1
        assert "| device on Ascend310P3 | wall | 3.200 | 6.400 | 2.000 | WORSE |" in render_comparison(found)

    def test_a_time_below_its_claim_is_still_a_time(self, tmp_path):
        assert self.found(tmp_path, {"verdict": "fail"}, {"verdict": "fail", "latency_median": 0.0064}).exit_code == 1

    @pytest.mark.parametrize("no_time", [{"verdict": "broken"}, {"verdict": "fail", "claims_judged": None}])
    def test_what_is_no_time_has_no_ratio(self, tmp_path, no_time):
        assert self.found(tmp_path, no_time, no_time | {"latency_median": 1.0}).latency == ()
