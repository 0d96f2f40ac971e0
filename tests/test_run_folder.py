"""A run is a folder of answers: each whole or not there, the newest kept, and one record made of all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cells import Ask, Scope
from harness.domains import asks
from harness.provenance import VOLATILE, digest, provenance
from harness.run import RECORD, Run, new_name, write_json
from harness.verdict import Answer, Verdict

MACHINE = {"commit": "abc", "python": "3.11.7", "threads": "1", "load": "0.10 0.20 0.30"}
TEXTS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=6)


def answer(verdict: str = "pass", **said: object) -> Answer:
    return Answer(verdict=Verdict(verdict), line=f"said {verdict}", **said)


@pytest.fixture
def ask(crnn) -> Callable[..., Ask]:
    """One of the questions that the suite asks, by number."""
    return lambda question="accuracy", at=0: asks(question, {"crnn": crnn}, Scope())[at]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose folder is not there yet."""
    return Run(tmp_path / "run", MACHINE)


def recorded(run: Run) -> list[dict[str, object]]:
    return json.loads(run.record().read_text())["answers"]


class TestAnswers:
    def test_an_answer_is_kept_with_what_identifies_it(self, run, ask):
        run.add(ask(), "official sha256:0123", answer(figures={"acc": 0.7923, "hits": 2377, "complete": True}), 1.23456)
        (kept,) = recorded(run)
        assert (kept["question"], kept["cell"], kept["reference"]) == ("accuracy", ask().at.id, ask().reference)
        assert (kept["model"], kept["form"], kept["backend"]) == ("crnn", ask().form.name, ask().at.backend)
        assert (kept["precision"], kept["point"], kept["weights"]) == ("fp32", "bs8", "official sha256:0123")
        assert (kept["verdict"], kept["line"], kept["seconds"]) == ("pass", "said pass", 1.235)
        assert (kept["acc"], kept["hits"], kept["complete"]) == (0.7923, 2377, True)

    def test_an_answer_about_a_form_has_no_cell(self, run, ask):
        run.add(ask("build"), "seeded", answer(), 0)
        (kept,) = recorded(run)
        assert (kept["subject"], kept["cell"], kept["backend"], kept["point"]) == ("crnn.checkpoint", None, None, None)

    def test_every_question_of_the_suite_has_a_fragment_of_its_own(self, run, crnn):
        every = [
            ask for question in ("build", "agreement", "accuracy") for ask in asks(question, {"crnn": crnn}, Scope())
        ]
        for ask in every:
            run.add(ask, "any", answer(), 0)
        kept = {(found["question"], found["subject"], found["reference"]) for found in recorded(run)}
        assert kept == {(ask.question, ask.subject, ask.reference) for ask in every}
        assert len(kept) == len(every)

    @pytest.mark.parametrize("newer", ["pass", "fail", "inconclusive", "broken"])
    def test_a_newer_answer_replaces_an_older_one(self, run, ask, newer):
        run.add(ask(), "any", answer("fail", figures={"hits": 1}), 1)
        run.add(ask(), "any", answer(newer, figures={"n": 2}), 2)
        (kept,) = recorded(run)
        assert (kept["verdict"], kept["seconds"], kept["n"]) == (newer, 2, 2)
        assert "hits" not in kept

    @pytest.mark.parametrize("older", ["pass", "fail", "inconclusive", "broken"])
    @pytest.mark.parametrize("elsewhere", [{}, {"threads": "4"}, {"cpu": "another"}])
    def test_a_skip_replaces_no_answer_of_the_same_software(self, run, ask, older, elsewhere):
        run.add(ask(), "any", answer(older), 1)
        Run(run.folder, {**MACHINE, **elsewhere}).add(ask(), "any", answer("skipped"), 2)
        (kept,) = recorded(run)
        assert (kept["verdict"], kept["seconds"]) == (older, 1)

    @pytest.mark.parametrize("older", ["pass", "fail", "inconclusive", "broken"])
    @pytest.mark.parametrize("newer", [{"commit": "def"}, {"python": "3.12.1"}, {"lib.torch": "2.13.0"}])
    def test_a_skip_replaces_an_answer_of_other_software(self, run, ask, older, newer):
        run.add(ask(), "any", answer(older), 1)
        Run(run.folder, {**MACHINE, **newer}).add(ask(), "any", answer("skipped"), 2)
        (kept,) = recorded(run)
        assert (kept["verdict"], kept["seconds"]) == ("skipped", 2)

    def test_a_skip_replaces_an_answer_whose_software_nobody_knows(self, run, ask):
        run.add(ask(), "any", answer(), 1)
        next((run.folder / "provenance").iterdir()).unlink()
        run.add(ask(), "any", answer("skipped"), 2)
        assert [kept["verdict"] for kept in recorded(run)] == ["skipped"]

    def test_a_skip_is_kept_where_there_is_no_answer_yet_and_a_newer_skip_or_an_answer_replaces_it(self, run, ask):
        for number, verdict in enumerate(("skipped", "skipped", "pass")):
            run.add(ask(), "any", answer(verdict), number)
            assert [(kept["verdict"], kept["seconds"]) for kept in recorded(run)] == [(verdict, number)]

    def test_a_question_has_passed_where_a_process_of_the_same_provenance_answered_it_with_a_pass(self, run, ask):
        assert not run.passed(ask(), "any")
        run.add(ask(), "any", answer("pass"), 1)
        assert Run(run.folder, {**MACHINE, "load": "9.00 9.00 9.00"}).passed(ask(), "any")
        assert not Run(run.folder, {**MACHINE, "commit": "def"}).passed(ask(), "any")
        assert not run.passed(ask(at=1), "any")
        run.add(ask(), "any", answer("inconclusive"), 1)
        assert not run.passed(ask(), "any")

    def test_a_question_has_not_passed_with_weights_of_other_bytes(self, run, ask):
        run.add(ask(), "official sha256:0123", answer("pass"), 1)
        assert run.passed(ask(), "official sha256:0123")
        assert not run.passed(ask(), "official sha256:4567")
        assert not run.passed(ask(), "official")

    @pytest.mark.parametrize("content", ["", '{"verdict": "pa', "[]", "null", "\udcff", "[" * 10**5])
    def test_a_damaged_answer_is_none_and_the_record_leaves_it_out_and_says_so(self, run, ask, content):
        run.add(ask(), "any", answer("pass"), 1)
        damaged = next((run.folder / "fragments").iterdir())
        damaged.write_bytes(content.encode(errors="surrogateescape"))
        assert not run.passed(ask(), "any")
        run.add(ask(at=1), "any", answer("pass"), 1)
        assert len(recorded(run)) == 1
        assert run.damaged == [damaged]
        run.add(ask(), "any", answer("skipped"), 2)
        assert len(recorded(run)) == 2
        assert run.damaged == []

    @pytest.mark.parametrize("figure", [float("nan"), float("inf"), -float("inf"), (0.1, float("nan"))], ids=repr)
    def test_a_figure_that_is_no_number_is_refused_and_leaves_the_older_answer(self, run, ask, figure):
        run.add(ask(), "any", answer(figures={"cosine": 0.99}), 1)
        with pytest.raises(ValueError, match="JSON compliant"):
            run.add(ask(), "any", answer(figures={"cosine": figure}), 2)
        assert [kept["cosine"] for kept in recorded(run)] == [0.99]

    def test_outcomes_are_kept_by_their_digest_beside_the_record(self, run, ask, tmp_path):
        outcomes = tmp_path / "outcomes.jsonl"
        outcomes.write_text('{"id": "a", "hit": true}\n')
        run.add(ask(), "any", answer(outcomes=outcomes), 1)
        (kept,) = recorded(run)
        assert re.fullmatch(r"[0-9a-f]{16}\.jsonl", kept["outcomes"])
        assert (run.folder / "outcomes" / kept["outcomes"]).read_text() == '{"id": "a", "hit": true}\n'
        assert not outcomes.exists()

    @pytest.mark.parametrize("name", ["since", "green_run", "log", "outcomes", "answered", "weights"])
    def test_a_figure_named_like_a_field_is_refused(self, run, ask, name):
        with pytest.raises(ValueError, match=f"named like fields of the record: {name}"):
            run.add(ask(), "any", answer(figures={name: "other"}), 1)

    def test_a_log_is_copied_beside_the_record_and_named_in_the_failure_line(self, run, ask, tmp_path):
        log = tmp_path / "tool.log"
        log.write_text("E10001: no such operator")
        said = run.add(ask(), "any", answer("broken", log=log), 1)
        (kept,) = recorded(run)
        assert kept["log"] == f"logs/accuracy--{ask().subject}--{ask().reference}.log"
        assert (run.folder / kept["log"]).read_text() == log.read_text()
        assert said.endswith(f"; log {run.folder / kept['log']}")

    def test_a_log_that_cannot_be_copied_loses_no_answer(self, run, ask, tmp_path):
        said = run.add(ask(), "any", answer("fail", log=tmp_path / "gone.log"), 1)
        assert [(kept["verdict"], kept["log"]) for kept in recorded(run)] == [("fail", str(tmp_path / "gone.log"))]
        assert said.endswith(f"; log {tmp_path / 'gone.log'}")
        assert not list((run.folder / "logs").iterdir())


class TestRecord:
    def test_a_run_without_answers_has_a_record_without_answers(self, run):
        assert recorded(run) == []

    def test_the_record_holds_every_answer_of_every_process_and_phase(self, run, ask):
        run.add(ask(at=0), "any", answer(), 1)
        run.record()
        other = Run(run.folder, {**MACHINE, "python": "3.12.1"})
        other.add(ask(at=1), "any", answer("fail"), 1)
        found = json.loads(other.record().read_text())
        assert len(found["answers"]) == 2
        assert {kept["provenance"] for kept in found["answers"]} == set(found["provenance"])
        assert {seen["python"] for seen in found["provenance"].values()} == {"3.11.7", "3.12.1"}
        assert (found["schema"], found["run"]) == (1, "run")

    def test_what_an_interrupted_writer_left_is_not_in_the_record(self, run, ask):
        run.add(ask(), "any", answer(), 1)
        fragment = next((run.folder / "fragments").iterdir())
        fragment.with_name(f".{fragment.name}.4711").write_text('{"verdict": "pa')
        (run.folder / "provenance" / ".abc.json.4711").write_text("")
        assert len(recorded(run)) == 1
        assert len(json.loads((run.folder / RECORD).read_text())["provenance"]) == 1

    def test_writers_leave_only_whole_files(self, run, ask):
        run.add(ask(), "any", answer(), 1)
        run.record()
        assert {path.suffix for path in run.folder.rglob("*") if path.is_file() and path.name != ".lock"} == {".json"}

    @given(st.dictionaries(st.text(max_size=8), st.none() | st.text(max_size=8) | st.floats(allow_nan=False)))
    def test_a_written_file_reads_back_as_it_was(self, tmp_path_factory, content):
        content = {key: value for key, value in content.items() if value not in (float("inf"), -float("inf"))}
        path = tmp_path_factory.mktemp("json") / "deeper" / "file.json"
        write_json(path, content)
        assert json.loads(path.read_bytes()) == content

    @pytest.mark.parametrize(("content", "error"), [({"a": {1, 2}}, TypeError), ({"a": float("nan")}, ValueError)])
    def test_what_is_no_json_is_refused_and_the_file_stays_as_it_was(self, tmp_path, content, error):
        write_json(tmp_path / "file.json", {"a": 1})
        with pytest.raises(error):
            write_json(tmp_path / "file.json", content)
        assert [path.name for path in tmp_path.iterdir()] == ["file.json"]
        assert json.loads((tmp_path / "file.json").read_text()) == {"a": 1}

    def test_runs_are_named_by_time_and_differ_within_a_second(self):
        names = [new_name() for _ in range(20)]
        assert len(set(names)) == 20
        assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", name) for name in names)


class TestProvenance:
    @given(TEXTS)
    def test_the_digest_ignores_volatile_parts_and_order(self, fixed):
        fixed = {name: value for name, value in fixed.items() if name not in VOLATILE}
        loaded = {**dict.fromkeys(VOLATILE, "1.00"), **dict(reversed(fixed.items()))}
        assert digest(loaded) == digest(fixed)

    @given(TEXTS, st.text(max_size=8).filter(lambda name: name not in VOLATILE))
    def test_the_digest_notices_any_other_change(self, fixed, name):
        changed = {**fixed, name: fixed.get(name, "") + "."}
        assert digest(changed) != digest(fixed)

    def test_two_runs_on_one_machine_have_one_digest_whatever_the_load(self, run):
        assert "load" in VOLATILE
        assert digest({**MACHINE, "load": "16.00 12.00 9.00"}) == digest(MACHINE)

    def test_this_machine_is_described_in_words(self):
        found = provenance(1)
        assert all(isinstance(value, str) for value in found.values())
        assert all(found[name] for name in ("commit", "python", "platform", "cpu.cores", "threads", "lib.torch"))
        assert found["lib.onnxruntime"][0].isdigit()
        assert re.fullmatch(r"\d+\.\d\d \d+\.\d\d \d+\.\d\d", found["load"])

    def test_threads_are_part_of_what_a_figure_depends_on(self):
        assert digest(provenance(1)) == digest(provenance(1))
        assert digest(provenance(1)) != digest(provenance(2))
