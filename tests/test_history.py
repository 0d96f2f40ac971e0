"""Since when a question is not green, by what lies in the results folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import history
from harness.cells import Ask, Scope
from harness.domains import asks
from harness.history import LONGEST, LOOK_BACK, SHOWN, differences, since
from harness.provenance import digest, stands_in
from harness.registry import PROJECT
from harness.run import Run
from harness.verdict import Answer, Verdict

OLD = {"commit": "abc", "lib.torch": "2.12.0", "cpu.flags": "avx avx2 fma", "threads": "1", "load": "0.10"}
NEW = OLD | {"commit": "def", "lib.torch": "2.13.0", "cpu.flags": "avx avx2 avx512f fma", "load": "9.00"}
WEIGHTS = "bundled sha256:0123"
NAMES = st.text("abc.", max_size=3)


@pytest.fixture
def ask(crnn) -> Ask:
    return asks("accuracy", {"crnn": crnn}, Scope())[0]


@pytest.fixture
def add(tmp_path: Path, ask: Ask) -> Callable[..., str]:
    """Adds an answer to a run of the results folder; returns what its failure line says."""

    def put(name: str, verdict: str, provenance: dict[str, str] = OLD, weights: str = WEIGHTS) -> str:
        answer = Answer(verdict=Verdict(verdict), line=f"said {verdict}")
        return Run(tmp_path / name, provenance).add(ask, weights, answer, 1)

    return put


def fragment(run: Path) -> Path:
    return next((run / "fragments").glob("accuracy--*"))


def anew(text: str) -> str:
    """The text without the time of day."""
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)


class TestLastGreen:
    def test_it_is_the_last_run_by_name_that_passed_and_what_differs_since_is_named(self, add):
        for name, verdict in (("run1", "pass"), ("run2", "pass"), ("run3", "fail"), ("run4", "inconclusive")):
            add(name, verdict)
        assert anew(add("run5", "fail", NEW)) == (
            "last green in run2 (TIME), since then commit abc -> def, lib.torch 2.12.0 -> 2.13.0, "
            "cpu.flags none -> avx512f"
        )

    def test_other_weights_are_a_difference(self, add):
        add("run1", "pass")
        said = add("run2", "fail", OLD, "bundled sha256:4567")
        assert said.endswith("since then weights sha256:0123 -> sha256:4567")

    def test_weights_that_were_never_read_are_no_difference(self, add):
        add("run1", "pass")
        assert add("run2", "broken", OLD, "bundled").endswith("on the same commit, libraries and machine")

    def test_where_nothing_differs_it_says_so(self, add):
        add("run1", "pass")
        said = add("run2", "broken", OLD | {"load": "16.00"})
        assert anew(said) == "last green in run1 (TIME), on the same commit, libraries and machine"

    def test_the_record_keeps_what_the_line_says(self, add, tmp_path, ask):
        add("run1", "pass")
        said = add("run2", "fail", NEW)
        before, kept = (json.loads(fragment(tmp_path / name).read_text()) for name in ("run1", "run2"))
        assert (kept["since"], kept["green_run"], kept["green_answered"]) == (said, "run1", before["answered"])
        assert (kept["green_provenance"], kept["green_weights"]) == (digest(OLD), WEIGHTS)
        assert "since" not in before

    def test_a_pass_that_a_later_phase_of_the_same_run_replaced_counts_also_later(self, add):
        add("run1", "pass")
        add("run2", "pass")
        first, second = add("run2", "fail", NEW), add("run2", "fail", NEW)
        assert anew(first).startswith("last green in run2 (TIME), since then commit abc -> def")
        assert second == first
        assert add("run3", "fail", NEW) == first

    def test_without_a_pass_it_says_how_often_it_was_asked(self, add, tmp_path):
        assert add("run1", "fail") == f"no earlier run in {tmp_path} asked it"
        assert add("run2", "fail") == f"never green in {tmp_path}, asked there 1 time before"
        assert add("run3", "broken") == f"never green in {tmp_path}, asked there 2 times before"

    def test_another_question_or_reference_is_not_meant(self, add, tmp_path, crnn):
        add("run0", "fail")
        for other in asks("accuracy", {"crnn": crnn}, Scope())[1:] + asks("batching", {"crnn": crnn}, Scope()):
            Run(tmp_path / "run1", OLD).add(other, "any", Answer(verdict=Verdict.PASS, line=""), 1)
        assert add("run2", "fail").startswith("never green")

    def test_a_results_folder_in_the_project_is_named_as_it_is_typed(self):
        assert since(PROJECT / "no-such-folder", "a.json", OLD, "").line == "no earlier run in no-such-folder asked it"


class TestStandIns:
    """What tools said that only play a vendor's is no history of what these said, nor the reverse."""

    REAL = OLD | {"ascend.driver": "23.0.2", "ascend.toolkit": "7.0.0"}
    PLAYED = OLD | {"ascend.driver": "23.0.2", "ascend.toolkit": "stand-in: 7.0.0"}

    @pytest.mark.parametrize(
        ("before", "now"),
        [(PLAYED, REAL), (PLAYED, OLD), (REAL, PLAYED), (OLD, PLAYED)],
        ids=["played and device", "played and none", "device and played", "none and played"],
    )
    @pytest.mark.parametrize("verdict", ["pass", "fail"])
    def test_an_answer_of_the_other_kind_is_left_out_and_counted(self, add, tmp_path, before, now, verdict):
        add("run1", verdict, before)
        given_with = "without the stand-ins of now" if stands_in(now) else "with stand-ins for a vendor's tools"
        expected = f"no earlier run in {tmp_path} asked it; left out: 1 given {given_with}"
        assert add("run2", "fail", now) == expected

    @pytest.mark.parametrize(("own", "other"), [(REAL, PLAYED), (PLAYED, REAL), (OLD, PLAYED)])
    def test_the_last_green_of_the_same_kind_counts(self, add, own, other):
        add("run1", "pass", own)
        add("run2", "pass", other)
        add("run3", "fail", other)
        assert add("run4", "fail", own).startswith("last green in run1 ")

    @pytest.mark.parametrize(("own", "other"), [(REAL, PLAYED), (PLAYED, REAL)])
    def test_a_phase_of_the_other_kind_in_the_same_run_is_no_history_either(self, add, tmp_path, own, other):
        add("run1", "pass", other)
        assert add("run1", "fail", own).startswith(f"no earlier run in {tmp_path} asked it; left out: 1 given")
        assert json.loads(fragment(tmp_path / "run1").read_text())["green_run"] is None

    def test_a_pass_that_a_later_phase_replaced_keeps_its_own_kind(self, add):
        add("run1", "pass", self.REAL)
        add("run1", "fail", self.REAL | {"commit": "def"})
        assert "left out" in add("run2", "fail", self.PLAYED)
        assert add("run3", "fail", self.REAL).startswith("last green in run1 ")

    def test_never_green_counts_those_of_the_same_kind(self, add, tmp_path):
        for name, provenance in (("run1", self.REAL), ("run2", self.PLAYED), ("run3", self.PLAYED)):
            add(name, "fail", provenance)
        said = add("run4", "fail", self.REAL)
        assert said.startswith(f"never green in {tmp_path}, asked there 1 time before; left out: 2 given with")

    def test_devices_with_and_without_each_other_are_of_one_kind(self, add):
        add("run1", "pass", OLD)
        assert "ascend.driver absent -> 23.0.2" in add("run2", "fail", self.REAL)

    @pytest.mark.parametrize("value", ["a stand-in", "", "Stand-in: 7.0.0", "7.0.stand-in"])
    def test_only_what_begins_with_the_word_is_a_stand_in(self, value):
        assert not stands_in({"a": value})

    @pytest.mark.parametrize("values", [{"a": "stand-in: 7"}, {"a": 1, "b": None, "c": "stand-in"}])
    def test_one_value_is_enough(self, values):
        assert stands_in(values)


class TestWhatLiesAround:
    @pytest.mark.parametrize(
        "content",
        [b"", b'{"verdict": "pa', b"[]", b'"pass"', b"\xff\xfe", b"[" * 10**5, b"{}", b'{"verdict": ["pass"]}'],
        ids=["empty", "cut", "list", "text", "bytes", "deep", "none", "odd"],
    )
    def test_a_damaged_answer_is_passed_over(self, add, tmp_path, content):
        add("run1", "pass")
        add("run2", "fail")
        fragment(tmp_path / "run2").write_bytes(content)
        assert add("run3", "fail").startswith("last green in run1 ")

    def test_what_is_no_run_is_passed_over(self, add, tmp_path):
        add("run1", "pass")
        (tmp_path / "tests.xml").write_text("<xml/>")
        (tmp_path / "run2" / "fragments" / fragment(tmp_path / "run1").name).mkdir(parents=True)
        (tmp_path / "run3").mkdir()
        (tmp_path / "run3" / "fragments").write_text("a file")
        (tmp_path / "run4").symlink_to(tmp_path / "run1")
        (tmp_path / "run5").symlink_to(tmp_path / "nowhere")
        assert add("run6", "fail").startswith("last green in run1 ")

    @pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{")])
    def test_a_pass_whose_provenance_is_lost_says_that(self, add, tmp_path, damage):
        add("run1", "pass")
        damage(next((tmp_path / "run1" / "provenance").iterdir()))
        said = add("run2", "fail")
        assert said.endswith("since then what else is unknown: what it ran on was not kept")

    def test_a_pass_of_odd_fields_is_still_a_pass(self, add, tmp_path):
        add("run1", "pass")
        found = json.loads(fragment(tmp_path / "run1").read_text())
        odd = found | {"answered": 12, "provenance": None, "weights": ["a\nb"]}
        fragment(tmp_path / "run1").write_text(json.dumps(odd))
        assert add("run2", "fail").startswith("last green in run1, since then")

    def test_it_stops_at_the_first_pass_and_after_so_many_answers(self, add, tmp_path, monkeypatch):
        add("a", "pass")
        add("b", "fail")
        for number in range(LOOK_BACK):
            shutil.copytree(tmp_path / "b", tmp_path / f"c{number:03}")
        read = []
        monkeypatch.setattr(history, "read_json", lambda path, real=history.read_json: read.append(path) or real(path))
        name = fragment(tmp_path / "a").name
        assert since(tmp_path, name, OLD, "").line == f"never green in its last {LOOK_BACK} answers in {tmp_path}"
        assert len([path for path in read if path.name == name]) == LOOK_BACK

        read.clear()
        add("c099", "pass")
        assert since(tmp_path, name, OLD, "").line.startswith("last green in c099 ")
        assert {path.parent.parent.name for path in read} == {"c099"}


class TestDifferences:
    @given(st.dictionaries(NAMES, NAMES, max_size=4), st.dictionaries(NAMES, NAMES, max_size=4))
    def test_there_are_some_exactly_where_the_digests_differ(self, before, now):
        assert bool(differences(before, now)) == (digest(before) != digest(now))

    @given(st.dictionaries(st.text(), st.none() | st.integers() | st.text(), max_size=4))
    def test_whatever_was_kept_each_is_short_and_on_one_line(self, before):
        for text in differences(before, {"commit": "abc"}):
            assert len(text.splitlines()) <= 1
            assert len(text) <= 3 * LONGEST + len("  -> ")

    @pytest.mark.parametrize(
        ("before", "now", "text"),
        [
            ({"a": "1"}, {}, "a 1 -> absent"),
            ({}, {"a": "1"}, "a absent -> 1"),
            ({"cpu": "Some Processor 1"}, {"cpu": "Some Processor 2"}, "cpu 1 -> 2"),
            ({"a": "x y"}, {"a": "y x"}, "a x y -> y x"),
            ({"a": "x"}, {"a": "y" * 99}, f"a x -> {'y' * (LONGEST - 3)}..."),
        ],
    )
    def test_each_names_what_differs_and_no_more(self, before, now, text):
        assert differences(before, now) == [text]

    def test_the_line_names_a_few_and_counts_the_rest(self, add):
        add("run1", "pass", OLD)
        said = add("run2", "fail", OLD | {f"lib.{number}": "1" for number in range(SHOWN + 3)})
        assert said.count("->") == SHOWN
        assert said.endswith(" and 3 more")
