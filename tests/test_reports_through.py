"""Times from stored pictures to answers, and memory, are shown where they were measured, and nowhere else."""

from __future__ import annotations

import pytest

from harness.end_to_end import EndToEnd
from reports.order import natural_order
from reports.page import page
from reports.render import render
from tests.pages import by_id, parse
from tests.records import cells, detecting_of, made, of_toy, one, rows_of, through, timing

ROW = ["toy.onnx ort fp32", "seeded", "bs8", "12.50", "0.88", "6%", "12%", "75%", "6%", "16"]


@pytest.fixture
def models(toy):
    return detecting_of(toy)


def tables(record, models):
    """The tables below a title each of the page's section on times."""
    section = by_id(parse(page(record, models)))["throughput"]
    titles = [each.text for each in section.all("h3")]
    boxes = [each for each in section.all("div") if each.attributes.get("aria-label") in ("End to end", "Memory")]
    return titles, {each.attributes["aria-label"]: each.rows() for each in boxes}


def header(text, title):
    return cells(next(line for line in text.split("\n") if line.startswith(f"| {title} ")))


class TestEndToEnd:
    def test_a_row_has_the_time_its_share_of_inference_alone_and_what_each_stage_takes(self, tmp_path, models):
        text = render(made(tmp_path / "a", [through(model="toy")]), models)
        named = ["End to end", "weights", "point", "pictures/s", "of inference alone"]
        assert header(text, "End to end") == [*named, "read", "prepare", "infer", "answer", "n"]
        assert rows_of(text, "End to end") == [ROW]

    def test_figures_of_the_question_are_those_that_are_shown(self, tmp_path, models):
        spent = {"read": 1.0, "prepare": 2.0, "infer": 6.0, "answer": 1.0}
        figures = EndToEnd(20, 8.0, spent).figures(alone=5.0)
        answers = [timing(0.1, model="toy", **figures)]
        (row,) = rows_of(render(made(tmp_path / "a", answers), models), "End to end")
        assert row[3:] == ["2.50", "0.50", "10%", "20%", "60%", "10%", "20"]

    def test_points_are_in_the_order_of_their_sizes(self, tmp_path, models):
        sizes = ("bs8_96x160", "bs1_736x1280", "bs1_96x160", "bs1_256x384")
        answers = [through(model="toy", subject=f"toy-ort-fp32-{size}", point=size) for size in sizes]
        text = render(made(tmp_path / "a", answers), models)
        expected = ["bs1_96x160", "bs1_256x384", "bs1_736x1280", "bs8_96x160"]
        assert [row[2] for row in rows_of(text, "End to end")] == expected
        assert header(text, "Throughput")[4:] == header(text, "Memory, MiB")[2:] == expected

    def test_a_time_that_is_no_pass_says_so(self, tmp_path, models):
        text = render(made(tmp_path / "a", [through(model="toy", verdict="inconclusive")]), models)
        assert rows_of(text, "End to end")[0][3] == "12.50 INCONCLUSIVE"

    def test_what_is_missing_is_left_empty(self, tmp_path, models):
        gone = dict.fromkeys(("end_to_end_share", "end_to_end_n", "stage_read", "stage_answer"))
        text = render(made(tmp_path / "a", [through(model="toy", **gone, stage_infer="x")]), models)
        assert rows_of(text, "End to end")[0][4:] == ["-", "-", "12%", "-", "-", "-"]

    def test_the_page_says_the_same(self, tmp_path, models):
        record = made(tmp_path / "a", [through(model="toy"), timing(0.1, subject="s2", model="toy")])
        titles, found = tables(record, models)
        assert titles == ["toy", "End to end", "Memory"]
        assert found == {"End to end": [ROW], "Memory": rows_of(render(record, models), "Memory")}

    def test_without_any_there_is_no_table(self, tmp_path, models):
        record = made(tmp_path / "a", [timing(0.1, model="toy"), of_toy("build", end_to_end=1.0, memory=1.0)])
        text = render(record, models)
        assert "| End to end" not in text
        assert "| Memory" not in text
        assert tables(record, models) == (["toy"], {})


class TestMemory:
    def rows(self, tmp_path, *answers):
        return rows_of(render(made(tmp_path / "a", list(answers)), {}), "Memory")

    @pytest.mark.parametrize(
        ("held", "bound", "shown"),
        [(412.4, None, "412"), (412.4, 600, "412 of 600"), (600.0, 600, "600 of 600"), (812.4, 600, "OVER 812 of 600"),
         (0.0, None, "0")],
    )  # fmt: skip
    def test_it_stands_beside_what_is_allowed(self, tmp_path, held, bound, shown):
        answers = [timing(0.1, memory=held, memory_bound=bound)]
        assert self.rows(tmp_path, *answers) == [["crnn.onnx ort fp32", "seeded", shown]]
        found = tables(made(tmp_path / "b", answers), {})[1]["Memory"]
        assert found == [["crnn.onnx ort fp32", "seeded", shown]]

    def test_what_is_more_than_allowed_is_marked_in_the_page(self, tmp_path):
        section = by_id(parse(page(made(tmp_path / "a", [through(memory=601.0)]), {})))["throughput"]
        assert [each.text for each in section.all("td") if "over" in each.classes] == ["OVER 601 of 600"]

    def test_a_row_is_of_one_form_backend_and_weights_a_column_of_a_point(self, tmp_path):
        said = [("onnx", "seeded", "bs1", 10.0), ("onnx", "seeded", "bs8", 20.0), ("network", "seeded", "bs1", 30.0),
                ("onnx", "official", "bs1", 40.0)]  # fmt: skip
        answers = [
            timing(0.1, subject=f"s{n}", form=form, weights=weights, point=point, memory=memory)
            for n, (form, weights, point, memory) in enumerate(said)
        ]
        assert self.rows(tmp_path, *answers) == [
            ["crnn.network ort fp32", "seeded", "30", "-"],
            ["crnn.onnx ort fp32", "seeded", "10", "20"],
            ["crnn.onnx ort fp32", "official", "40", "-"],
        ]

    def test_memory_of_other_questions_is_none(self, tmp_path):
        assert "| Memory" not in render(made(tmp_path / "a", [one("batching", memory=3.0), timing(0.1)]), {})


def test_points_are_ordered_by_batch_then_height_then_width():
    points = ["bs1", "bs1_96x160", "bs1_96x1280", "bs1_256x384", "bs1_736x1280", "bs8", "bs8_96x160", "bs16_32x32"]
    backward = list(reversed(points))
    assert sorted(backward, key=natural_order) == points
