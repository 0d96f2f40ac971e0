"""Figures that were made with stand-ins for a vendor's tools are never shown, or compared, as a device's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.__main__ import main
from reports.compare import compare
from reports.page import page
from reports.record import Record, RecordError, read
from reports.render import render
from tests.pages import parse
from tests.records import PROVENANCE, one, write

SAID = "made with stand-in tools: no figure is of a device"
REAL = PROVENANCE | {"ascend.driver": "23.0.2", "ascend.chip": "1 x Ascend310P3"}
PLAYED = PROVENANCE | {"ascend.driver": "stand-in: 23.0.2"}
HIDDEN = {"p1": REAL, "p2": PROVENANCE, "p3": PLAYED, "p4": REAL}
KINDS = {"none": PROVENANCE, "device": REAL, "played": PLAYED, "hidden": HIDDEN}


def of(folder, kind: str) -> Record:
    return read(write(folder, [one()], KINDS[kind]) / "record.json")


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_of_a_report_says_so_of_any_phase(tmp_path, kind):
    record = of(tmp_path / "a", kind)
    assert record.stands_in is (kind in ("played", "hidden"))
    head = render(record, {}).split("\n")[:3]
    assert (f"- {SAID}" in head) is record.stands_in
    notes = [each.text for each in parse(page(record, {})).one("header").all("p") if "note" in each.classes]
    assert (SAID in notes) is record.stands_in


@pytest.mark.parametrize("one_kind", ["played", "hidden"])
@pytest.mark.parametrize("other", ["none", "device"])
@pytest.mark.parametrize("played_first", [True, False])
def test_they_are_not_compared_with_a_run_without(tmp_path, capsys, one_kind, other, played_first):
    order = [one_kind, other] if played_first else [other, one_kind]
    folders = [write(tmp_path / f"run-{kind}", [one()], KINDS[kind]) for kind in order]
    assert main(["compare", *map(str, folders)]) == 2
    captured = capsys.readouterr()
    played, real = ("A", "B") if played_first else ("B", "A")
    assert captured.out == ""
    assert captured.err.startswith(
        f"reports: error: {played} (run-{one_kind}) was made with stand-in tools, {real} (run-{other}) was not: "
    )
    assert captured.err.endswith("compare each with a run of its own kind\n")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("a", KINDS)
@pytest.mark.parametrize("b", KINDS)
def test_runs_of_one_kind_are_compared(tmp_path, a, b):
    sides = of(tmp_path / "a", a), of(tmp_path / "b", b)
    if sides[0].stands_in != sides[1].stands_in:
        with pytest.raises(RecordError, match="stand-in tools"):
            compare(*sides)
    else:
        assert compare(*sides).exit_code == 0


def test_a_loss_does_not_outweigh_that_they_cannot_be_compared(tmp_path):
    verdicts = {"none": "pass", "played": "fail"}
    sides = [write(tmp_path / kind, [one(verdict=word)], KINDS[kind]) for kind, word in verdicts.items()]
    assert main(["compare", *map(str, sides)]) == 2


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9), max_size=3), max_size=4), st.integers(0, 4))
def test_it_is_found_in_whichever_phase_it_hides(tmp_path_factory, phases, place):
    folder = tmp_path_factory.mktemp("a")
    clean = {f"p{number}": found for number, found in enumerate(phases)}
    hidden = {**clean, f"p{place}x": {"ascend.runner": "stand-in: msame"}}
    assert not read(write(folder / "clean", [], {"p": {}} | clean) / "record.json").stands_in
    assert read(write(folder / "hidden", [], hidden) / "record.json").stands_in
