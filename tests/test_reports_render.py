"""The report on a run fits a screen, hides no verdict, and shows figures under their own reference."""

from __future__ import annotations

import dataclasses

import pytest

from harness.domains import QUESTIONS
from harness.registry import load_models
from harness.verdict import Answer, Verdict
from reports.record import find, read
from reports.render import REASONS, render
from tests.records import METRIC, claimed, claiming_of, everything, good, made, of_toy, one, rows_of, timing, write

MODELS = {"crnn": load_models()["crnn"]}

ASKED = {"agreement": "seeded 1 FAIL", "accuracy": "official 1 pass", "batching": "seeded 1 skipped"}
ASKED |= {"throughput": "seeded 1 pass"}
GOLDEN = f"""\
# Conformance run golden
- 4 answers: 2 pass, 1 FAIL, 1 skipped; judged 1 of 2 claims; not judged: toy official throughput 4400 words/s \
at batch 16 (clock device on Ascend310P3)
- commit 0123456789ab, written 2026-01-01T00:00:00Z, Some Processor, threads 1, \
weights toy official sha256:1; toy seeded
- 4 answers on p1: load 0.10, numpy 2.4.6

**Needs attention**
- FAIL agreement toy-ort-fp32-bs8 (seeded): close to network: max-abs 0.5

| Verdicts | {" | ".join(QUESTIONS)} |
|---|{"---|" * len(QUESTIONS)}
| toy.onnx ort fp32 | {" | ".join(ASKED.get(question, "-") for question in QUESTIONS)} |

- skipped batching toy-ort-fp32-bs8 (seeded): no words

| Accuracy (acc: version 1) | reference | metric | hits/n | value | 95% | claim | floor | verdict |
|---|---|---|---|---|---|---|---|---|
| toy-ort-fp32-bs8 | official | acc | 9/10 | 0.9000 | 0.5550..0.9975 | 0.8 (8/10) | 0.8000 | pass |

| Agreement | seeded: worst max-abs | seeded: least cosine | seeded: decoded |
|---|---|---|---|
| toy.onnx ort fp32, close to network | 0.5 (OVER bound 0.25; bs8) | 0.875 | 7/8 |

| Throughput | weights | clock | unit | bs8 | bs16 |
|---|---|---|---|---|---|
| toy.onnx ort fp32 | seeded | host | words/s | 80.0 | - |
| toy, published, not judged | official | device on Ascend310P3 | words/s | - | 4400 |
"""


@pytest.fixture
def claiming(toy):
    return claiming_of(toy)


class TestWhole:
    def test_a_small_record_is_rendered_exactly(self, tmp_path, claiming):
        figures = {"max_abs": 0.5, "bound": 0.25, "cosine": 0.875, "decoded_equal": 7, "decoded_compared": 8}
        answers = [
            claimed(weights="official sha256:1"),
            of_toy("agreement", weights="seeded", verdict="fail", line="close to network: max-abs 0.5", **figures),
            of_toy("batching", verdict="skipped", line="no words"),
            timing(0.1, model="toy", subject="toy-ort-fp32-bs8"),
        ]
        assert render(made(tmp_path / "golden", answers), claiming) == GOLDEN

    @pytest.mark.parametrize("official", [False, True])
    @pytest.mark.parametrize("bad", [(), (8,), (1, 4, 8, 16, 32, 64)])
    def test_one_model_with_everything_answered_fits_sixty_lines(self, tmp_path, official, bad):
        def answer(ask):
            found = good(ask)
            if ask.cell and ask.cell.point.batch in bad:
                return dataclasses.replace(found, verdict=Verdict.FAIL, line=f"{ask.question} {ask.id} is off")
            return found

        record = read(find(str(everything(tmp_path / "run", answer, official))))
        text = render(record, MODELS)
        assert len(record.answers) >= 60
        assert text.count("\n") <= 60
        titles = ["Verdicts", "Accuracy", "Agreement", "Device precision", "Throughput"]
        places = [text.find(f"\n| {title} ") for title in titles]
        assert places == sorted(places)
        assert -1 not in places

    def test_the_same_record_gives_the_same_text(self, tmp_path):
        record = read(find(str(everything(tmp_path / "run", good))))
        assert render(record, MODELS) == render(record, MODELS)

    def test_the_weights_of_skipped_answers_are_not_named(self, tmp_path):
        answers = [one(weights="used"), one("batching", weights="not used", verdict="skipped")]
        text = render(made(tmp_path / "a", answers), MODELS)
        assert "threads 1, weights crnn used\n" in text

    def test_every_phase_names_what_it_ran_on_and_how_many_answers_it_gave(self, tmp_path):
        phases = {"p1": {"cpu": "one", "threads": "1"}, "p2": {"cpu": "two", "threads": "1", "lib.x": "3"}}
        answers = [one(), one("batching"), one("agreement", provenance="p2")]
        text = render(read(write(tmp_path / "a", answers, phases) / "record.json"), MODELS)
        assert ", one / two, threads 1," in text
        assert "\n- 2 answers on p1:\n" in text
        assert "- 1 answers on p2: x 3\n" in text

    def test_an_empty_record_says_that_nothing_was_asked(self, tmp_path):
        assert "- 0 answers: nothing was asked; judged 0 of 0 claims" in render(made(tmp_path / "a", []), MODELS)

    def test_a_model_that_is_not_declared_is_shown_without_claims(self, tmp_path):
        text = render(made(tmp_path / "a", [of_toy("build", verdict="fail", line="bad")]), MODELS)
        assert "- not declared here, so without claims: toy; --models=DIR" in text
        assert "FAIL build toy-ort-fp32-bs8 (seeded): bad" in text


class TestVerdicts:
    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_each_verdict_is_counted_and_in_the_matrix(self, tmp_path, verdict):
        text = render(made(tmp_path / "a", [one("batching", verdict=verdict.value), one("build")]), MODELS)
        word = verdict.value if verdict in (Verdict.PASS, Verdict.SKIPPED) else verdict.value.upper()
        count = 2 if verdict is Verdict.PASS else 1
        assert f"{count} {word}" in next(line for line in text.split("\n") if line.startswith("- 2 answers"))
        assert rows_of(text, "Verdicts")[0][4] == f"bundled 1 {word}"

    @pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.BROKEN, Verdict.INCONCLUSIVE])
    def test_what_needs_attention_is_named_with_its_line_before_the_matrix(self, tmp_path, verdict):
        text = render(made(tmp_path / "a", [one("batching", verdict=verdict.value, line="because of x")]), MODELS)
        line = f"- {verdict.value.upper()} batching crnn-ort-fp32-bs8 (bundled): because of x"
        assert text.index("**Needs attention**") < text.index(line) < text.index("| Verdicts")

    def test_a_run_that_passed_needs_no_attention(self, tmp_path):
        assert "Needs attention" not in render(made(tmp_path / "a", [one(), one("batching")]), MODELS)

    def test_many_failures_are_capped_and_the_rest_is_counted(self, tmp_path):
        answers = [one(subject=f"crnn-ort-fp32-bs{size}", verdict="fail", line=f"off by {size}") for size in range(90)]
        text = render(made(tmp_path / "a", answers), MODELS)
        shown = [line for line in text.split("\n") if line.startswith("- FAIL")]
        assert f"- and {90 - len(shown)} more, in the record" in text
        assert len(shown) >= 3
        assert text.count("\n") <= 60
        assert "90 FAIL" in text

    @pytest.mark.parametrize(("forms", "lines", "shown"), [(12, 46, 24), (40, 60, 10), (60, 73, 3), (1, 35, 24)])
    def test_what_needs_attention_takes_what_is_left_of_the_screen(self, tmp_path, forms, lines, shown):
        answers = [one(subject=f"s{n}", form=f"f{n % forms}", verdict="fail", line=f"{n}") for n in range(90)]
        text = render(made(tmp_path / "a", answers), MODELS)
        assert (text.count("\n"), text.count("\n- FAIL")) == (lines, shown)
        assert f"\n- and {90 - shown} more, in the record\n" in text

    def test_the_worst_verdict_comes_first(self, tmp_path):
        kinds = ("inconclusive", "broken", "fail")
        answers = [one(subject=kind, verdict=kind, line=kind) for kind in kinds]
        text = render(made(tmp_path / "a", answers), MODELS)
        assert text.index("- FAIL") < text.index("- BROKEN") < text.index("- INCONCLUSIVE")

    def test_answers_with_one_cause_share_a_line_that_counts_them(self, tmp_path):
        answers = [one(subject=f"crnn-ort-fp32-bs{size}", verdict="broken", line="disk full") for size in (1, 8)]
        text = render(made(tmp_path / "a", answers), MODELS)
        assert "- BROKEN 2 answers (2 build bundled), first crnn-ort-fp32-bs1: disk full" in text
        assert text.count("disk full") == 1

    def test_skipped_answers_are_grouped_by_reason(self, tmp_path):
        answers = [one(subject=str(size), verdict="skipped", line="no weights") for size in range(5)]
        answers += [one("accuracy", verdict="skipped", line="no data")]
        text = render(made(tmp_path / "a", answers), MODELS)
        assert text.count("no weights") == text.count("no data") == 1
        assert "- skipped 5 answers (5 build bundled), first 0: no weights" in text

    def test_reasons_beyond_the_cap_are_counted(self, tmp_path):
        answers = [
            one(subject=f"{size:02}", verdict="skipped", line=f"reason {size:02}") for size in range(REASONS + 4)
        ]
        text = render(made(tmp_path / "a", answers), MODELS)
        assert "- skipped 4 for 4 more reasons, in the record" in text
        assert text.count(": reason") == REASONS

    def test_references_are_not_mixed_in_a_cell(self, tmp_path):
        answers = [one("batching", point=None, subject=f"s{size}", reference="seeded") for size in range(3)]
        answers += [one("batching", subject="s0", verdict="fail", reference="official"), *[one("batching")]]
        text = render(made(tmp_path / "a", answers), MODELS)
        assert rows_of(text, "Verdicts")[0][4] == "bundled 1 pass; official 1 FAIL; seeded 3 pass"

    def test_a_form_that_two_backends_run_has_a_row_of_its_own_for_its_build(self, tmp_path):
        answers = [one("build", subject="crnn.onnx", backend=None, cell=None, point=None)]
        answers += [one("batching", subject=f"crnn-{name}-fp32-bs8", backend=name) for name in ("ort", "ascend")]
        rows = rows_of(render(made(tmp_path / "a", answers), MODELS), "Verdicts")
        assert [(row[0], row[1], row[4]) for row in rows] == [
            ("crnn.onnx", "bundled 1 pass", "-"),
            ("crnn.onnx ascend fp32", "-", "bundled 1 pass"),
            ("crnn.onnx ort fp32", "-", "bundled 1 pass"),
        ]


class TestHostile:
    @pytest.mark.parametrize("verdict", ["fail", "skipped"])
    def test_a_hostile_reason_breaks_neither_a_row_nor_a_bullet(self, tmp_path, verdict):
        line = "x | y\n| z | - |\n# Title\n- item"
        answers = [one("batching", verdict=verdict, line=line), timing(0.1, weights="w | x\ny")]
        text = render(made(tmp_path / "a", answers), MODELS)
        plain = render(made(tmp_path / "b", [one("batching", verdict=verdict), timing(0.1)]), MODELS)
        assert text.count("\n") == plain.count("\n")
        assert rows_of(text, "Throughput")[0][1] == r"w \| x y"


def test_an_answer_without_figures_is_in_the_matrix_only(tmp_path):
    def broken(ask):
        return Answer(verdict=Verdict.BROKEN, line="disk full")

    text = render(read(find(str(everything(tmp_path / "run", broken)))), MODELS)
    assert [title for title in ("Accuracy", "Agreement", "Throughput") if f"| {title}" in text] == []
    assert METRIC not in text
    assert text.count("BROKEN") > 5
