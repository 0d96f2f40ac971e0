"""What quantising costs is shown beside float and beside the vendor's figures, which judge nothing here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.claim import Claim
from harness.model import Model
from reports.claims import published
from reports.compare import compare
from reports.losses import MOST, flipped, losses
from reports.page import page
from reports.record import Record
from reports.render import render
from tests.pages import parse
from tests.records import claiming_of, made, of_toy, rows_of, write_outcomes

METRIC = "acc: version 1"
WORDS = {"w0": ("a", "a"), "w1": ("a", "b"), "w2": ("b", "a"), "w3": ("c", "b")}
"""What float and quantised answered where ``a`` is true."""


def quantised(folder: Path, words: Mapping[str, tuple[str, str]] = WORDS, **given: Any) -> dict[str, Any]:
    """An accuracy answer of a quantised form on these words, its outcomes written below the run folder."""
    lines = [
        {
            "id": name,
            "predicted": after,
            "truth": "a",
            "hit": after == "a",
            "float": {"predicted": before, "hit": before == "a"},
        }
        for name, (before, after) in words.items()
    ]
    write_outcomes(folder, "o.jsonl", lines)
    hits, before = (sum(line["hit"] for line in side) for side in (lines, [line["float"] for line in lines]))
    lost = sum(line["float"]["hit"] and not line["hit"] for line in lines)
    figures: dict[str, Any] = {
        "hits": hits, "n": len(lines), "acc": hits / len(lines), "float_acc": before / len(lines), "float_hits": before,
        "lost": lost, "gained": lost + hits - before, "answers_changed": 3, "loss": (before - hits) / len(lines),
        "loss_upper": 0.61, "loss_lower": -0.61, "loss_bound": 0.02, "mcnemar_p": 1.0, "calibration_n": 5,
        "calibration_set": "words", "calibration_seed": 0, "complete": False, "metric": METRIC, "outcomes": "o.jsonl",
        "precision": "int8", "form": "int8_kl", "subject": "toy.int8_kl-ort-int8-bs8", "verdict": "inconclusive",
        "reference": "official",
    }  # fmt: skip
    return of_toy("accuracy", **{**figures, **given})


@pytest.fixture
def models(toy: Callable[..., Model]) -> Mapping[str, Model]:
    """Toy, whose official reference has a figure of the vendor's quantiser that no answer here reaches."""
    found = claiming_of(toy)["toy"]
    vendors = Claim(metric="acc", printed="0.99", source="a guide", precisions=("int8",))
    official = found.reference("official")
    official = replace(official, claims=(*official.claims, vendors))
    references = tuple(official if each.name == "official" else each for each in found.references)
    return {"toy": replace(found, references=references)}


def recorded(folder: Path, **given: Any) -> Record:
    return made(folder, [quantised(folder, **given)])


SHOWN = [
    "official", "acc", "2/4", "2/4", "lost 1, gained 1, 3 answers changed", "0.0000, 0.6100", "0.0200", "1",
    "5 of words", "acc 0.99 (int8)",
]  # fmt: skip


class TestTable:
    def test_both_arms_flips_bound_and_the_vendors_figure_stand_side_by_side(
        self, tmp_path: Path, models: Mapping[str, Model]
    ) -> None:
        found = rows_of(render(recorded(tmp_path), models), "Quantised against float")
        assert [row[:-1] for row in found] == [["toy.int8_kl-ort-int8-bs8", *SHOWN]]
        assert "INCONCLUSIVE" in found[0][-1].upper()

    def test_the_page_shows_the_same_and_names_flips(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        record = recorded(tmp_path)
        text = parse(page(record, models)).text
        for cell in SHOWN:
            assert cell in text
        assert "Some flips of toy.int8_kl-ort-int8-bs8 (official)" in text
        assert "w1: float 'a', quantised 'b', true 'a'" in text
        assert "w2: float 'b', quantised 'a', true 'a'" in text
        assert "w3:" not in text

    def test_the_vendors_figure_judges_nothing_here(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        text = render(recorded(tmp_path, verdict="pass"), models)
        (row,) = rows_of(text, "Accuracy")
        assert "as declared now" not in row[-1]
        assert "not judged: " in text
        assert "toy official acc 0.99" in text

    def test_calibration_on_the_judged_samples_is_said(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        (row,) = rows_of(render(recorded(tmp_path, calibration_seed=None), models), "Quantised against float")
        assert "the first 5 of words, judged too" in row

    def test_a_value_over_pictures_says_which_places_both_match(
        self, tmp_path: Path, models: Mapping[str, Model]
    ) -> None:
        figures = {
            "hmean": 0.386, "float_hmean": 0.4122, "metric": "hmean: version 1", "mcnemar_p": None, "lost": None,
            "gained": None, "pictures_changed": 11, "matched_both": 55, "matched_float": 6, "matched_quantised": 4,
        }  # fmt: skip
        (row,) = rows_of(render(recorded(tmp_path, **figures), models), "Quantised against float")
        assert row[2:6] == [
            "hmean",
            "0.4122 (n=4)",
            "0.3860 (n=4)",
            "11 pictures, places matched by both 55, 6 by float alone, 4 by quantised alone",
        ]
        assert row[8] == "-"

    def test_a_record_without_quantised_forms_has_no_such_table(
        self, tmp_path: Path, models: Mapping[str, Model]
    ) -> None:
        record = made(tmp_path, [of_toy("accuracy", hits=1, n=2, acc=0.5, metric=METRIC)])
        assert "Quantised against float" not in render(record, models) + page(record, models)


class TestFlips:
    def flips(self, folder: Path, models: Mapping[str, Model], **given: Any) -> list[str]:
        record = recorded(folder, **given)
        (found,) = losses(record, published(record, models), models)
        return flipped(record, found)

    def test_as_many_lost_as_gained_are_named_where_there_are_many(
        self, tmp_path: Path, models: Mapping[str, Model]
    ) -> None:
        words = {f"l{number:02}": ("a", "b") for number in range(40)} | {
            f"g{number:02}": ("b", "a") for number in range(30)
        }
        found = self.flips(tmp_path, models, words=words)
        assert [line[0] for line in found] == ["l"] * (MOST // 2) + ["g"] * (MOST // 2)

    def test_of_one_kind_as_many_as_there_is_room_for(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        assert len(self.flips(tmp_path, models, words={f"{n:02}": ("a", "b") for n in range(40)})) == MOST

    def test_outcomes_that_are_gone_name_none(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        assert self.flips(tmp_path, models, outcomes="elsewhere.jsonl") == []

    def test_pictures_say_what_counts_otherwise(self, tmp_path: Path, models: Mapping[str, Model]) -> None:
        def counts(matched: int) -> dict[str, int]:
            return {"hits": 0, "n": 1, "matched": matched, "matched*matched": matched**2}

        line = {"id": "p0", "predicted": "[]", "truth": "[]", "hit": False, "counts": counts(3)}
        answer = quantised(tmp_path, hits=0, n=1)
        write_outcomes(tmp_path, "o.jsonl", [{**line, "float": {"predicted": "[]", "hit": False, "counts": counts(4)}}])
        record = made(tmp_path, [answer])
        (found,) = losses(record, [], models)
        assert flipped(record, found) == ["p0: matched 4 -> 3"]


class TestCompare:
    def test_flips_between_two_runs_are_those_of_the_quantised_answers(
        self, tmp_path: Path, models: Mapping[str, Model]
    ) -> None:
        later = WORDS | {"w0": ("a", "c")}
        (found,) = compare(recorded(tmp_path / "a"), recorded(tmp_path / "b", words=later), models=models).accuracy
        assert (found.lost, found.gained) == (("w0",), ())

    @pytest.mark.parametrize("single", ["gone", {"hit": True}, {"predicted": "a", "hit": True, "counts": {"n": -1}}])
    def test_a_damaged_float_answer_is_said(self, tmp_path: Path, models: Mapping[str, Model], single: object) -> None:
        a, b = recorded(tmp_path / "a"), recorded(tmp_path / "b")
        write_outcomes(
            tmp_path / "b", "o.jsonl", [{"id": "w0", "predicted": "a", "truth": "a", "hit": True, "float": single}]
        )
        (unlike,) = compare(a, b, models=models).unlike
        assert "B cannot be read, outcomes/o.jsonl line 1" in unlike.reason
