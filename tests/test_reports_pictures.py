"""Drawings of the worst samples stand in the page, within its room, and nothing that is not one of the run's JPEGs."""

from __future__ import annotations

import os
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.page import LARGEST, page
from reports.pictures import JPEG, MOST, ROOM, drawn
from reports.text import plain
from tests.pages import by_id, parse
from tests.records import made, one

STEM = "accuracy--s1--bundled"


@pytest.fixture
def folder(tmp_path):
    """A run folder with two drawings, beside it a JPEG that is not the run's."""
    write(tmp_path / "outside.jpg", 10)
    for name in ("a.jpg", "b.jpg"):
        write(tmp_path / "run" / "pictures" / name, 10)
    return tmp_path / "run"


def write(path, size):
    """A file that begins as a JPEG does, no two alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((JPEG + path.name.encode()).ljust(size, b"x"))
    return path


def answer(names, subject="s1", **said):
    return one("accuracy", subject=subject, hits=1, n=2, pictures=names, **said)


def found(folder, *answers):
    return list(drawn(made(folder, list(answers))).values())


def reasons(folder, *names):
    return [(bool(each.data), each.reason) for each in found(folder, answer(list(names)))[0]]


def section(folder, *answers):
    return by_id(parse(page(made(folder, list(answers)), {}))).get("pictures")


class TestShown:
    def test_a_picture_is_the_very_file_with_its_rank_and_its_sample(self, folder):
        names = [f"pictures/{STEM}-{rank}-img_{rank * 7}-2.jpg" for rank in (1, 2)]
        files = [write(folder / name, 1000) for name in names]
        shown = section(folder, answer(names))
        assert [each.text for each in shown.all("figcaption")] == ["1: img_7-2", "2: img_14-2"]
        assert [b64decode(each.attributes["src"].split(",")[1]) for each in shown.all("img")] == [
            file.read_bytes() for file in files
        ]
        assert [each.attributes["alt"].split(" with ")[0] for each in shown.all("img")] == [
            "Sample img_7-2", "Sample img_14-2",
        ]  # fmt: skip

    def test_the_title_leads_to_the_answer(self, folder):
        places = by_id(parse(page(made(folder, [answer(["pictures/a.jpg"])]), {})))
        link = places["pictures"].one("h3").one("a")
        assert (link.text, link.attributes["href"]) == ("accuracy s1 (bundled)", "#accuracy-s1-bundled")
        assert "accuracy-s1-bundled" in places

    @pytest.mark.parametrize("pictures", [None, [], "pictures/a.jpg", 3, [3, None], {"a": "pictures/a.jpg"}])
    def test_without_any_there_is_no_section(self, folder, pictures):
        assert section(folder, answer(pictures)) is None

    def test_pictures_of_other_questions_are_none(self, folder):
        assert section(folder, one("build", pictures=["pictures/a.jpg"])) is None

    def test_a_link_within_the_run_folder_is_followed(self, folder):
        (folder / "pictures" / "link.jpg").symlink_to(folder / "pictures" / "a.jpg")
        assert reasons(folder, "pictures/link.jpg") == [(True, "")]

    def test_a_run_folder_that_is_a_link_is_read(self, folder, tmp_path):
        made(folder, [])
        (tmp_path / "latest").symlink_to(folder)
        assert reasons(tmp_path / "latest", "pictures/a.jpg") == [(True, "")]


class TestNotShown:
    @pytest.mark.parametrize(
        "name",
        ["{outside}", "../outside.jpg", "pictures/../../outside.jpg", "pictures/../pictures/a.jpg",
         "{folder}/pictures/a.jpg", "pictures/out.jpg", "out/outside.jpg"],
    )  # fmt: skip
    def test_what_lies_elsewhere_is_named_and_not_read(self, folder, name):
        (folder / "pictures" / "out.jpg").symlink_to(folder.parent / "outside.jpg")
        (folder / "out").symlink_to(folder.parent)
        name = name.format(outside=folder.parent / "outside.jpg", folder=folder)
        assert reasons(folder, name, "pictures/a.jpg") == [(False, "not in the run folder"), (True, "")]
        shown = section(folder, answer([name]))
        assert shown.all("img") == []
        assert f"not shown: {name}: not in the run folder" in shown.text

    @pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\x89PNG\r\n", b"<svg onload=alert(1)>", b" \xff\xd8\xff"])
    def test_what_is_no_jpeg_is_not_embedded(self, folder, content):
        (folder / "pictures" / "a.jpg").write_bytes(content)
        assert reasons(folder, "pictures/a.jpg") == [(False, "no JPEG")]

    @pytest.mark.parametrize("name", ["pictures/gone.jpg", "pictures", "", ".", "pictures/a.jpg/b", "pictures/pipe"])
    def test_what_is_no_file_is_named(self, folder, name):
        os.mkfifo(folder / "pictures" / "pipe")
        assert reasons(folder, name) == [(False, "no such file")]

    @pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000, "pictures/loop"])
    def test_names_that_no_file_can_have_break_nothing(self, folder, name):
        (folder / "pictures" / "loop").symlink_to("loop")
        ((shown, reason),) = reasons(folder, name)
        assert not shown
        assert reason.startswith(("cannot be read: ", "no such file"))

    @given(st.lists(st.text(max_size=20) | st.sampled_from(["pictures/a.jpg", "..", "/etc/passwd"]), max_size=8))
    def test_whatever_is_named_the_page_is_whole(self, tmp_path_factory, names):
        folder = tmp_path_factory.mktemp("a") / "run"
        write(folder / "pictures" / "a.jpg", 10)
        shown = section(folder, answer(names))
        assert (shown is None) == (not names)
        if shown:
            assert len(shown.all("img")) == names[:MOST].count("pictures/a.jpg")
            assert all(plain(name) in shown.text for name in names[:MOST] if name != "pictures/a.jpg")


class TestRoom:
    """The worst of each answer comes first."""

    def answers(self, folder, *sizes):
        """An answer for each list of sizes of its pictures, the worst first."""
        return [
            answer([str(write(folder / f"pictures/{number}-{rank}.jpg", size).relative_to(folder))
                    for rank, size in enumerate(each)], subject=f"s{number}")
            for number, each in enumerate(sizes)
        ]  # fmt: skip

    def shown(self, folder, *sizes):
        return [[bool(each.data) for each in pictures] for pictures in found(folder, *self.answers(folder, *sizes))]

    def test_all_that_fit_are_shown(self, folder):
        assert self.shown(folder, [1000] * 6, [2000] * 3) == [[True] * 6, [True] * 3]

    def test_the_worst_of_each_answer_comes_before_the_second_of_any(self, folder):
        size = ROOM * 3 // 4 // 4 - 10
        assert self.shown(folder, [size] * 3, [size] * 3) == [[True, True, False]] * 2
        assert self.shown(folder, [size] * 3, [size], [size]) == [[True, True, False], [True], [True]]

    def test_a_smaller_one_takes_what_a_larger_one_leaves(self, folder):
        assert self.shown(folder, [ROOM, 10], [10]) == [[False, True], [True]]

    def test_the_room_is_that_of_the_page(self, folder):
        exact = ROOM // 4 * 3
        assert self.shown(folder, [exact]) == [[True]]
        assert self.shown(folder, [exact + 1]) == [[False]]

    def test_what_does_not_fit_is_named_with_its_size(self, folder):
        (answered,) = self.answers(folder, [ROOM])
        said = "not shown: pictures/0-0.jpg: 1000 kB, more than the page has room for"
        assert said in section(folder, answered).text

    def test_a_file_that_is_too_large_is_not_read(self, folder):
        with (folder / "pictures" / "a.jpg").open("r+b") as file:
            file.truncate(2**40)
        assert reasons(folder, "pictures/a.jpg") == [(False, "1099511628 kB, more than the page has room for")]

    def test_the_page_stays_bounded(self, folder):
        answers = self.answers(folder, *[[100_000] * 9] * 20)
        text = page(made(folder, answers), {})
        assert ROOM * 0.8 < len(text.encode()) < LARGEST + ROOM
        assert text.count("<figure>") == 20 * MOST
