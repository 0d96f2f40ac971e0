"""The page says all that the record says, as text, in one file that needs nothing else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reference import Asset, DataSet, Reference
from harness.registry import load_models
from harness.verdict import Verdict
from reports.page import SECTIONS, fitted, page
from reports.record import find, read
from reports.render import render
from reports.text import plain
from tests.pages import by_id, parse
from tests.records import METRIC, claimed, claiming_of, everything, good, made, of_toy, one, rows_of, through, timing

MODELS = {"crnn": load_models()["crnn"]}
HOSTILE = """<script>alert(1)</script> "x" 'y' & </td></table> {{ 7 * 7 }} {% raw %} \x00\x1b[2J \ud800 \u2028 -->"""


@pytest.fixture
def claiming(toy):
    return claiming_of(toy)


def bad(ask):
    """Batches 4 and 8 fail, each with a line of its own; official weights are absent."""
    if (ask.question, ask.reference) == ("accuracy", "official"):
        return dataclasses.replace(good(ask), verdict=Verdict.SKIPPED, line="no weights", figures={})
    if ask.cell and ask.cell.point.batch in (4, 8):
        return dataclasses.replace(good(ask), verdict=Verdict.FAIL, line=f"{ask.question} {ask.id} is off")
    return good(ask)


def some_thousands(folder):
    """3000 answers on 40 models, as a suite of many models gives them: long lines, a tenth of them red."""
    answers = []
    for model in range(40):
        for number in range(75):
            form, point, red = f"form{number % 5}", f"bs{2 ** (number // 5 % 6)}", number % 10 == 0
            given = {
                "model": f"model{model}", "form": form, "point": point, "reference": "ab"[number // 60],
                "subject": f"model{model}.{form}-ort-fp32-{point}", "verdict": "fail" if red else "pass",
                "line": f"{model} {number}: " + "measured <0.5> & expected 0.25; " * 12,
            }  # fmt: skip
            kinds = (
                one("agreement", max_abs=0.25, bound=0.5, cosine=1.0, decoded_equal=1, decoded_compared=1, **given),
                one("accuracy", hits=450, n=500, acc=0.9, complete=True, metric=METRIC, **given),
                timing(0.1, **given),
                one("batching", **given),
            )
            answers.append(kinds[number % len(kinds)])
    return made(folder, answers)


def drawn(folder):
    """An answer with a drawing, and one whose drawing is not there."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "a.jpg").write_bytes(b"\xff\xd8\xff drawn")
    names = ("pictures/a.jpg", HOSTILE)
    answers = [one("accuracy", subject=f"s{n}", hits=1, n=2, pictures=[name]) for n, name in enumerate(names)]
    return made(folder, [*answers, through()])


RECORDS = {
    "pictures": drawn,
    "everything": lambda folder: read(find(str(everything(folder, good, official=True)))),
    "bad": lambda folder: read(find(str(everything(folder, bad, official=True)))),
    "empty": lambda folder: made(folder, []),
    "nothing known": lambda folder: made(folder, [one(model="m", subject="m")], {"p1": {}, "p2": {"cpu": "x"}}),
    "hostile": lambda folder: made(
        folder,
        [
            one("batching", verdict="fail", line=HOSTILE, subject=HOSTILE, model=HOSTILE, form=HOSTILE),
            one("batching", verdict="skipped", line=HOSTILE, reference=HOSTILE, log=HOSTILE, since=HOSTILE),
            one("accuracy", hits=1, n=2, acc=0.5, metric=HOSTILE, weights=HOSTILE, reference=HOSTILE),
            one("agreement", max_abs=1.0, reference=HOSTILE, point=HOSTILE),
            timing(0.1, point=HOSTILE, clock=HOSTILE, backend=HOSTILE, precision=HOSTILE, model="m%20"),
            one(HOSTILE, subject="attention"),
        ],
        {HOSTILE: {HOSTILE: HOSTILE}},
    ),
    "thousands": some_thousands,
}


@pytest.fixture(scope="module", params=RECORDS)
def made_page(request, tmp_path_factory):
    record = RECORDS[request.param](tmp_path_factory.mktemp("run") / "run")
    text = page(record, MODELS)
    return request.param, record, text, parse(text)


class TestStructure:
    def test_every_link_leads_to_a_place_in_the_page_and_every_answer_has_one(self, made_page):
        name, record, _, found = made_page
        places = by_id(found)
        links = [link.attributes["href"] for link in found.all("a")]
        assert links
        assert [link for link in links if not link.startswith("#") or link[1:] not in places] == []
        if name != "hostile":
            for subject, question, reference in record.answers:
                assert f"{question}-{subject}-{reference}" in places
                assert subject in places

    def test_nothing_is_fetched_and_nothing_runs(self, made_page):
        _, _, _, found = made_page
        assert found.all("script", "link", "iframe", "object", "embed", "base", "form", "input") == []
        names = {name for element in found.all() if element.tag != "img" for name in element.attributes}
        assert {name for name in names if name in ("src", "srcset", "xlink:href", "style") or name[:2] == "on"} == set()
        assert all(set(each.attributes) == {"src", "alt"} for each in found.all("img"))
        assert all(each.attributes["src"].startswith("data:image/jpeg;base64,") for each in found.all("img"))
        assert not any(word in found.one("style").text for word in ("url(", "@import", "http"))
        policy = next(each for each in found.all("meta") if "http-equiv" in each.attributes)
        shown = "; img-src data:" if found.all("img") else ""
        assert policy.attributes["content"] == f"default-src 'none'; style-src 'unsafe-inline'{shown}"

    def test_the_sections_are_in_order_and_named(self, made_page):
        name, _, _, found = made_page
        sections = found.one("main").all("section")
        expected = {each: title for each, title in SECTIONS.items() if each != "pictures" or name == "pictures"}
        assert [each.attributes["id"] for each in sections] == list(expected)
        assert [each.one("h2").text for each in sections] == list(expected.values())
        assert all(each.attributes["aria-labelledby"] == each.one("h2").attributes["id"] for each in sections)
        assert [link.attributes["href"] for link in found.one("nav").all("a")] == [f"#{each}" for each in expected]

    def test_every_table_scrolls_in_a_box_that_the_keyboard_reaches(self, made_page):
        _, _, _, found = made_page
        boxes = [each for each in found.all("div") if "scroll" in each.classes]
        assert sum(len(box.all("table")) for box in boxes) == len(found.all("table"))
        assert all(box.attributes["tabindex"] == "0" and box.attributes["aria-label"] for box in boxes)

    def test_it_stays_below_two_megabytes(self, made_page):
        _, record, text, _ = made_page
        assert len(text.encode()) < (2_000_000 if len(record.answers) > 100 else 100_000)

    def test_the_same_record_gives_the_same_page(self, made_page):
        name, record, text, _ = made_page
        assert name == "thousands" or page(record, MODELS) == text


class TestHostile:
    def test_markup_is_shown_as_text(self, tmp_path):
        text = page(RECORDS["hostile"](tmp_path / "a"), MODELS)
        assert "<script" not in text
        shown = parse(text).one("main").text
        assert """<script>alert(1)</script> "x" 'y' & </td></table> {{ 7 * 7 }} {% raw %} ??[2J ? -->""" in shown

    @given(st.text(min_size=1), st.text(min_size=1), st.sampled_from(["pass", "fail", "skipped"]))
    def test_whatever_a_text_holds_the_page_stays_whole(self, tmp_path_factory, line, name, verdict):
        answers = [one("batching", verdict=verdict, line=line, subject=name, reference=name), one("build")]
        found = parse(page(made(tmp_path_factory.mktemp("a") / "a", answers), MODELS))
        by_id(found)
        assert plain(line) in found.one("main").text

    def test_names_of_one_spelling_have_places_of_their_own(self, tmp_path):
        keys = [("a-b", "c"), ("a", "b-c"), ("a b", "c"), ("a/b", "c")]
        answers = [one(subject=subject, reference=reference, verdict="fail") for subject, reference in keys]
        found = parse(page(made(tmp_path / "a", answers), MODELS))
        links = [link.attributes["href"][1:] for link in by_id(found)["attention"].all("a")]
        assert len({by_id(found)[link].attributes["id"] for link in links}) == len(keys)

    def test_a_long_line_is_cut_by_what_it_takes_and_says_how_long_it_was(self, tmp_path):
        assert fitted("a" * 100, 100) == "a" * 100
        assert fitted("a" * 101, 100) == "a" * 100 + "... (101 characters)"
        assert fitted("<" * 100, 100) == "<" * 25 + "... (100 characters)"
        assert fitted("\u5b57" * 100, 100) == "\u5b57" * 33 + "... (100 characters)"


class TestAttention:
    def section(self, tmp_path, answers, models=MODELS):
        return by_id(parse(page(made(tmp_path / "a", answers), models)))["attention"]

    def test_every_red_answer_is_named_with_its_line_worst_first(self, tmp_path):
        kinds = ("inconclusive", "broken", "fail")
        answers = [one(subject=f"{kind}-{n}", verdict=kind, line=f"{kind} by {n}") for kind in kinds for n in range(60)]
        items = self.section(tmp_path, answers).all("li")
        assert [item.one("p").text for item in items] == [
            f"{kind} by {n}" for kind in ("fail", "broken", "inconclusive") for n in range(60)
        ]
        assert items[0].text.startswith("FAIL build fail-0 (bundled)")

    def test_answers_with_one_cause_share_its_line_and_are_all_named(self, tmp_path):
        answers = [one(subject=f"s{n}", verdict="broken", line="disk full") for n in range(30)]
        section = self.section(tmp_path, answers)
        assert section.text.count("disk full") == 1
        assert [link.text for link in section.all("a")] == [f"build s{n} (bundled)" for n in range(30)]

    def test_skips_come_after_by_reason_what_skipped_most_first(self, tmp_path):
        answers = [one(subject=f"s{n}", verdict="skipped", line="no weights" if n else "no data") for n in range(3)]
        section = self.section(tmp_path, answers)
        assert [line.text for line in section.all("p")] == [
            "Nothing: no answer is fail, broken or inconclusive.", "no weights", "no data",
        ]  # fmt: skip

    def test_since_when_and_where_the_log_is_stand_below_the_line(self, tmp_path):
        answers = [one(verdict="fail", line="off", since="last green in run1", log="logs/build.log")]
        assert self.section(tmp_path, answers).text.endswith("off last green in run1 log logs/build.log")


class TestFigures:
    def of(self, record, models, section):
        return by_id(parse(page(record, models)))[section]

    def test_accuracy_and_throughput_are_those_of_the_markdown(self, tmp_path):
        record = RECORDS["bad"](tmp_path / "run")
        text = render(record, MODELS)
        accuracy = [[row[0], *row[3:], row[1]] for row in self.of(record, MODELS, "accuracy").rows()]
        assert accuracy == rows_of(text, "Accuracy") != []
        throughput = [row[1:] for row in self.of(record, MODELS, "throughput").rows()]
        assert throughput == rows_of(text, "Throughput") != []
        agreement = [row[1:] for row in self.of(record, MODELS, "agreement").rows()]
        assert agreement == [row[1:] for row in rows_of(text, "Agreement")] != []

    def test_verdicts_are_those_of_the_markdown(self, tmp_path):
        record = RECORDS["bad"](tmp_path / "run")
        rows = [row for row in self.of(record, MODELS, "verdicts").rows() if len(row) > 1]
        assert rows == [[cell.replace(";", "") for cell in row] for row in rows_of(render(record, MODELS), "Verdicts")]

    def test_an_accuracy_row_is_the_place_of_its_answer(self, tmp_path):
        found = by_id(parse(page(RECORDS["everything"](tmp_path / "run"), MODELS)))
        row = found["accuracy-crnn-ort-fp32-bs8-bundled"]
        assert row in found["accuracy"].all("tr")
        assert row.one("svg").classes == {"strip"}

    def test_a_published_time_is_marked_as_not_judged(self, tmp_path, claiming):
        section = self.of(made(tmp_path / "a", [timing(0.1, model="toy")]), claiming, "throughput")
        published = next(row for row in section.all("tr") if "published" in row.classes)
        assert "published, not judged official device on Ascend310P3 words/s" in published.text
        assert len([bar for bar in section.all("rect") if "published" in bar.classes]) == 1

    def test_phases_stand_side_by_side_and_what_differs_is_marked(self, tmp_path):
        phases = {"p1": {"cpu": "one", "threads": "1"}, "p2": {"cpu": "two", "threads": "1", "lib.x": "absent"}}
        section = self.of(made(tmp_path / "a", [one()], phases), MODELS, "provenance")
        assert section.rows() == [
            ["cpu differs", "one", "two"], ["threads", "1", "1"], ["lib.x differs", "not recorded", "absent"],
        ]  # fmt: skip

    def test_claims_say_whether_they_were_judged_and_what_is_doubted(self, tmp_path, claiming):
        section = self.of(made(tmp_path / "a", [claimed()]), claiming, "accuracy")
        judged = [row.text for row in section.all("table")[1].all("tr")[1:]]
        assert judged[0] == "toy official acc 0.8 judged a guide nothing -"
        assert "not judged" in judged[1]


class TestLicences:
    def of(self, tmp_path, toy, answers):
        first, second = (
            Asset(name=name, patterns=(name,), licence="MIT", source="somewhere", sha256="0" * 64) for name in "ab"
        )
        data = DataSet(name="words", reader="toy:Reader", n=10, make="toy:make")
        references = (
            Reference(name="official", weights=(first, second), data=data),
            Reference(name="bundled", weights=(first,), data=data),
            Reference(name="seeded", initialise="toy:draw"),
        )
        models = {"toy": toy(references=references)}
        return by_id(parse(page(made(tmp_path / "a", answers), models)))["licences"]

    def test_every_file_of_the_references_asked_is_listed_once_with_what_it_serves(self, tmp_path, toy):
        answers = [of_toy("build", reference="bundled"), of_toy("accuracy", reference="official", verdict="skipped")]
        assert self.of(tmp_path, toy, answers).rows() == [
            ["a", "MIT", "somewhere", "toy official weights toy bundled weights", "used", "0" * 16],
            ["b", "MIT", "somewhere", "toy official weights", "skipped", "0" * 16],
            ["words", "-", "made here by toy:make", "toy official data toy bundled data", "used", "-"],
        ]

    def test_references_that_were_not_asked_and_models_that_are_not_declared_have_none(self, tmp_path, toy):
        section = self.of(tmp_path, toy, [of_toy("build", model="other", reference="official")])
        assert section.all("table") == []
        assert "No declared reference was asked for." in section.text
