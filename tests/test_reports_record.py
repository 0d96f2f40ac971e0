"""A record is found by what its run is called, and read whole or refused with what to do."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.verdict import Verdict
from reports.record import Key, RecordError, find, read
from tests.records import everything, good, made, one, write


@pytest.fixture
def results(tmp_path):
    """Three runs, a folder without a record, one whose record.json is a folder, and a stray file."""
    folder = tmp_path / "results"
    for name in ("20260103T000000Z-aaaaaa", "20260101T000000Z-ffffff", "20260102T000000Z-bbbbbb"):
        write(folder / name, [one(line=name)])
    (folder / "20260104T000000Z-unended" / "fragments").mkdir(parents=True)
    (folder / "20260105T000000Z-strange" / "record.json").mkdir(parents=True)
    (folder / "zzz.txt").write_text("not a run")
    return folder


class TestFinding:
    @pytest.mark.parametrize(
        ("run", "name"),
        [("latest", "20260103"), ("latest~0", "20260103"), ("latest~1", "20260102"), ("latest~2", "20260101")],
    )
    def test_latest_counts_back_through_the_runs_that_have_a_record(self, results, run, name):
        assert find(run, results).parent.name.startswith(name)

    def test_a_run_is_its_folder_or_its_record(self, results):
        folder = results / "20260101T000000Z-ffffff"
        assert find(str(folder), results) == find(str(folder / "record.json"), results) == folder / "record.json"

    def test_going_back_too_far_says_how_many_runs_there_are(self, results):
        with pytest.raises(RecordError, match=r"holds 3 runs .* 4 needed; make one with pytest"):
            find("latest~3", results)

    def test_latest_without_any_results_says_where_it_looked(self, tmp_path):
        with pytest.raises(RecordError, match=r"nowhere holds 0 runs .*--results=DIR"):
            find("latest", tmp_path / "nowhere")

    def test_a_missing_run_says_what_can_be_given(self, tmp_path):
        with pytest.raises(RecordError, match=r"gone: no such run; give a run folder, its record\.json, latest"):
            find(str(tmp_path / "gone"), tmp_path)

    @pytest.mark.parametrize("run", ["latest~", "latest~x", "latest~-1", "Latest"])
    def test_a_misspelt_latest_is_no_run(self, results, run):
        with pytest.raises(RecordError, match="no such run"):
            find(run, results)

    def test_a_run_that_did_not_end_is_named_as_such(self, results):
        with pytest.raises(RecordError, match=r"did not end; end it with pytest --run="):
            find(str(results / "20260104T000000Z-unended"), results)

    def test_a_folder_that_is_no_run_is_named_as_such(self, tmp_path):
        with pytest.raises(RecordError, match=r"holds no record\.json"):
            find(str(tmp_path), tmp_path)


class TestReading:
    def test_an_answer_keeps_its_figures_under_its_key(self, tmp_path):
        record = made(tmp_path / "a", [one("agreement", max_abs=0.5, n=4, verdict="fail", line="too far")])
        answer = record.answers[Key("crnn-ort-fp32-bs8", "agreement", "bundled")]
        assert (answer.verdict, answer.line, answer.number("max_abs"), answer.count("n")) == (
            Verdict.FAIL,
            "too far",
            0.5,
            4,
        )

    def test_a_record_that_the_suite_wrote_is_read(self, tmp_path):
        folder = everything(tmp_path / "run", good)
        record = read(find(str(folder)))
        written = json.loads((folder / "record.json").read_text())["answers"]
        assert len(record.answers) == len(written) > 0
        assert {(key.subject, key.question, key.reference) for key in record.answers} == {
            (each["subject"], each["question"], each["reference"]) for each in written
        }

    def test_values_are_those_of_every_phase(self, tmp_path):
        phases = {"p2": {"cpu": "two"}, "p1": {"cpu": "one"}, "p3": {"cpu": "two", "threads": "1"}}
        assert made(tmp_path / "a", [one()]).values("cpu") == ("Some Processor",)
        record = made(tmp_path / "b", [one()], phases)
        assert record.values("cpu") == ("one", "two")
        assert record.values("commit") == ()

    @pytest.mark.parametrize("schema", [0, 2, "1", None])
    def test_another_schema_says_found_and_supported_and_whose_it_is(self, tmp_path, schema):
        folder = write(tmp_path / "a", [one()], schema=schema)
        with pytest.raises(RecordError, match=rf"schema {schema!r} found, 1 supported; .*\(0123456789ab\)"):
            read(folder / "record.json")

    @given(data=st.data())
    def test_a_record_cut_short_anywhere_is_refused(self, tmp_path_factory, data):
        path = write(tmp_path_factory.mktemp("cut") / "run", [one()]) / "record.json"
        whole = path.read_text()
        path.write_text(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(RecordError, match=r"cut short or damaged: .*pytest --run="):
            read(path)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"verdict": "passed"}, r"answers\[1\]\.verdict: 'passed'.*known: pass, fail, skipped"),
            ({"line": None}, r"answers\[1\]\.line: None, expected a text"),
            ({"subject": 3}, r"answers\[1\]\.subject: 3, expected a text"),
            ({"point": 8}, r"answers\[1\]\.point: 8, expected a text or nothing"),
        ],
    )
    def test_an_answer_that_is_none_is_named_with_its_field(self, tmp_path, fields, named):
        folder = write(tmp_path / "a", [one(subject="other"), one(**fields)])
        with pytest.raises(RecordError, match=named):
            read(folder / "record.json")

    def test_two_answers_to_one_question_are_refused(self, tmp_path):
        folder = write(tmp_path / "a", [one(), one(verdict="fail")])
        with pytest.raises(RecordError, match=r"build crnn-ort-fp32-bs8 \(bundled\) is answered twice"):
            read(folder / "record.json")

    @pytest.mark.parametrize("content", ["[]", "3", '{"schema": 1}', '{"schema": 1, "answers": {}, "provenance": {}}'])
    def test_json_that_is_no_record_is_refused(self, tmp_path, content):
        path = tmp_path / "record.json"
        path.write_text(content)
        with pytest.raises(RecordError, match="not a record"):
            read(path)

    def test_bytes_that_are_no_text_are_refused(self, tmp_path):
        path = tmp_path / "record.json"
        path.write_bytes(b'{"schema": "\xff"}')
        with pytest.raises(RecordError, match="damaged"):
            read(path)

    def test_a_figure_that_is_no_number_is_none(self, tmp_path):
        record = made(tmp_path / "a", [one(n=True, value=float("nan"), name=3)])
        answer = next(iter(record.answers.values()))
        assert (answer.count("n"), answer.number("n"), answer.number("value"), answer.text("name")) == (None,) * 4
