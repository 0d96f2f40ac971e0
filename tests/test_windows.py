"""Tools over files answer batch by batch what a session in this process does, in windows that bound memory and disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.assets import Assets
from harness.backends import Batch, Room
from harness.backends.ort import OrtBackend
from harness.cells import Ask, Cell, Scope
from harness.domains import asks
from harness.evaluate import Task, answered, stack
from harness.files.windows import Tool, Window, map_files
from harness.model import Model
from harness.questions import accuracy, batching
from harness.sizes import BATCH, Point, TensorSpec
from harness.store import Artefact, Store
from harness.verdict import Refused, Verdict
from harness.workbench import Wanted, Workbench
from tests.files_backend import FilesBackend, FilesBench, size_of


def batches_of(sizes: list[int], salt: int = 0) -> list[Batch]:
    """Batches of these sizes for the toy model, two numbers an item, with ids that go on."""
    numbers = count(salt)
    found = []
    for size in sizes:
        taken = [next(numbers) for _ in range(size)]
        values = np.array([[number, -number] for number in taken], np.float32)
        found.append(Batch(tuple(f"set/{number}" for number in taken), {"x": values}))
    return found


def answers_to(batch: Batch) -> np.ndarray:
    """What the toy tool answers: 3 x batch x 2."""
    fed = batch.inputs["x"]
    return np.stack([fed, fed + 1, fed * 2])


def toy_tool(seen: list[Window] | None = None, spoil: Callable[[Path], None] = lambda outputs: None) -> Tool:
    """A tool in this process; remembers its windows, and spoils its outputs."""

    def tool(window: Window) -> Path:
        files = sorted(window.inputs.iterdir(), key=lambda path: path.name)
        assert len(files) == window.items
        (window.folder / "out").mkdir()
        for path in files:
            value = answers_to(Batch((), {"x": np.fromfile(path, np.float32)[None]}))
            value.tofile(window.folder / "out" / f"{path.stem}_0.bin")
        if seen is not None:
            seen.append(window)
        spoil(window.folder / "out")
        return window.folder / "out"

    return tool


class TestWindows:
    @given(sizes=st.lists(st.integers(1, 12), max_size=9), window=st.integers(1, 5))
    def test_any_batches_are_answered_in_order_with_their_ids(self, toy, tmp_path_factory, sizes, window):
        folder, model, seen = tmp_path_factory.mktemp("w"), toy(), []
        batches = batches_of(sizes)
        found = list(map_files(batches, model, toy_tool(seen), parent=folder, window=window))
        assert [one.ids for one in found] == [batch.ids for batch in batches]
        for batch, one in zip(batches, found, strict=True):
            np.testing.assert_array_equal(one.values["y"], answers_to(batch))
        assert sum(one.items for one in seen) == sum(sizes)
        assert all(one.items <= one.batch * window for one in seen)
        assert list(folder.iterdir()) == []

    def test_the_tool_cuts_a_folder_into_the_very_batches_that_were_asked(self, toy, tmp_path):
        seen: list[Window] = []
        sizes = [4, 4, 3, 4, 4, 2, 1, 1, 4]
        list(map_files(batches_of(sizes), toy(), toy_tool(seen), parent=tmp_path, window=3))
        assert [(one.items, one.batch) for one in seen] == [(11, 4), (10, 4), (2, 1), (4, 4)]

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_inputs_whose_batch_is_no_first_axis_are_written_item_by_item(self, toy, tmp_path, axis):
        value = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
        axes = list(value.shape)
        ids = tuple(f"set/{at}" for at in range(axes[axis]))
        axes[axis] = BATCH
        model = toy(inputs=(TensorSpec(name="x", axes=tuple(axes), dtype="float32"),))
        written = []

        def tool(window: Window) -> Path:
            written.extend(np.fromfile(path, np.float32) for path in sorted(window.inputs.iterdir()))
            raise Refused("seen enough")

        with pytest.raises(Refused, match="seen enough"):
            list(map_files([Batch(ids, {"x": value})], model, tool, parent=tmp_path, window=1))
        assert [item.tolist() for item in written] == [item.ravel().tolist() for item in np.moveaxis(value, axis, 0)]

    def test_what_lies_on_disk_and_what_is_taken_ahead_is_a_window(self, toy, tmp_path):
        taken, peaks = [], []

        def endless() -> Iterator[Batch]:
            for number in count():
                taken.append(number)
                yield batches_of([8], salt=8 * number)[0]

        tool = toy_tool(spoil=lambda _: peaks.append(size_of(tmp_path)))
        found = map_files(endless(), toy(), tool, parent=tmp_path, window=3)
        for asked in range(1, 31):
            next(found)
            assert len(taken) <= -(-asked // 3) * 3
            assert list(tmp_path.iterdir()) == []
        found.close()
        # 8 bytes in and 24 out for each of 24 items.
        assert peaks == [24 * 32] * 10

    def test_a_tool_that_fails_leaves_nothing_behind(self, toy, tmp_path):
        def tool(window: Window) -> Path:
            raise Refused("died")

        with pytest.raises(Refused, match="died"):
            list(map_files(batches_of([2]), toy(), tool, parent=tmp_path, window=1))
        assert list(tmp_path.iterdir()) == []

    def test_an_input_of_another_type_is_refused_by_its_sample(self, toy, tmp_path):
        doubles = Batch(("set/0",), {"x": np.zeros((1, 2))})
        with pytest.raises(Refused, match=r"set/0: prepared as float64 \[2\], the input x takes float32 \[2\]"):
            list(map_files([doubles], toy(), toy_tool(), parent=tmp_path, window=1))


def outputs_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def by_place(folder: Path) -> None:
    """Names outputs by their place instead of by their input."""
    for place, path in enumerate(outputs_in(folder)):
        path.rename(folder / f"img_{place}_0.bin")


def replaced(place: int, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = outputs_in(folder)[place]
        path.write_bytes(change(path.read_bytes()))

    return spoil


def again(folder: Path) -> None:
    path = outputs_in(folder)[1]
    (folder / path.name.upper()).write_bytes(path.read_bytes())


NAN = np.full(6, np.nan, np.float32).tobytes()
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "drops one": (lambda folder: outputs_in(folder)[2].unlink(), "1 missing: img_12_0.bin of set/2$"),
    "drops all": (lambda folder: [path.unlink() for path in outputs_in(folder)], "6 missing: .* and 3 more$"),
    "repeats one": (again, "1 there twice: IMG_11_0.BIN and img_11_0.bin of set/1$"),
    "adds one": (lambda folder: (folder / "img_16_0.bin").write_bytes(b""), "1 unexpected: img_16_0.bin$"),
    "names by place": (by_place, "6 unexpected: img_0_0.bin, .*; 6 missing: img_10_0 of set/0, "),
    "shortens one": (
        replaced(4, lambda content: content[:-4]),
        r"1 of another size: img_14_0.bin of set/4 has 20 bytes, expected 24 for float32 \[3, 2\]$",
    ),
    "writes no number": (replaced(5, lambda content: NAN), "1 not finite: img_15_0.bin of set/5 holds 6 of 6"),
    "writes elsewhere": (lambda folder: folder.rename(folder.with_name("other")), "no readable folder of outputs"),
}  # fmt: skip


class TestBrokenTools:
    @pytest.mark.parametrize("name", BROKEN)
    def test_a_broken_tool_is_caught_in_its_window_by_file_and_sample(self, toy, tmp_path, name):
        spoil, told = BROKEN[name]
        calls = count()
        tool = toy_tool(spoil=lambda folder: spoil(folder) if next(calls) == 1 else None)
        batches = batches_of([3, 3], salt=100) + batches_of([3, 3])
        found = map_files(batches, toy(), tool, parent=tmp_path, window=2)
        assert [next(found).ids[0] for _ in range(2)] == ["set/100", "set/103"]
        with pytest.raises(Exception, match=told) as caught:
            next(found)
        assert type(caught.value).__name__ == ("Broken" if name == "writes elsewhere" else "Refused")
        assert list(tmp_path.iterdir()) == []

    def test_names_have_one_length_so_that_every_way_to_sort_them_is_the_same(self, toy, tmp_path):
        for n in (1, 9, 10, 11, 100):
            seen: list[list[str]] = []

            def tool(window: Window, seen: list[list[str]] = seen) -> Path:
                seen.append([path.name for path in window.inputs.iterdir()])
                return toy_tool()(window)

            list(map_files(batches_of([n]), toy(), tool, parent=tmp_path, window=1))
            (names,) = seen
            assert sorted(names) == sorted(names, key=lambda name: int(re.sub(r"\D", "", name)))


@pytest.fixture(scope="module")
def graph(crnn: Model, small_forms: dict[str, Path]) -> Artefact:
    """The real ONNX form of a narrow CRNN."""
    return Artefact("crnn.onnx", small_forms["onnx"], "key", "digest", {}, "a test", 0)


class TestAToolOfItsOwn:
    @pytest.mark.parametrize("sizes", [(4, 1), (4, 2), (4, 9), (1, 3), (8, 2)])
    def test_it_answers_bit_for_bit_what_ort_does_here(self, crnn, graph, words, tmp_path, sizes):
        batch, window = sizes
        task = Task.of(crnn)
        items = [task.prepare(word) for word in (*words, *words[:3])]
        items = [replace(item, id=f"{item.id}-{at}") for at, item in enumerate(items)]
        cell = Cell(crnn, crnn.form("onnx"), "ort", "fp32", Point(batch=batch))
        backend = FilesBackend(tmp_path, window)
        room = Room(Store(tmp_path / "store"), tmp_path)
        with backend.open(graph, cell, room) as files, OrtBackend().open(graph, cell, room) as here:
            found = list(answered(files, stack(items, crnn, batch), crnn))
            expected = list(answered(here, stack(items, crnn, batch), crnn))
        assert [one.ids for one in found] == [one.ids for one in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.values["output1"], other.values["output1"])
        asked = -(-len(items) // batch)
        assert len(backend.runs) == -(-asked // window)
        each = 4 * (32 * 100 + 26 * 37)
        assert backend.most_bytes == each * min(len(items), batch * window)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Reads only the first samples, so that it takes seconds."""
    folder = tmp_path_factory.mktemp("bench")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch", wanted=Wanted(samples=48))


def asked(question: str, model: Model) -> Ask:
    """The question of the bundled reference on ort, at batch 8."""
    found = asks(question, {model.name: model}, Scope())
    return next(ask for ask in found if ask.id == f"{model.name}-ort-fp32-bs8-bundled")


def neighbours_exchanged(folder: Path) -> None:
    """Right numbers under the names of others, which no name can tell."""
    paths = outputs_in(folder)
    for one, other in zip(paths[::2], paths[1::2], strict=False):
        contents = one.read_bytes(), other.read_bytes()
        other.write_bytes(contents[0])
        one.write_bytes(contents[1])


class TestQuestions:
    def test_accuracy_over_files_is_accuracy_here_to_the_last_outcome(self, honest, crnn, tmp_path):
        bench = FilesBench(honest, FilesBackend(tmp_path, window=4), tmp_path / "scratch")
        found, expected = accuracy.ask(bench, asked("accuracy", crnn)), accuracy.ask(honest, asked("accuracy", crnn))
        assert (found.verdict, found.line, found.figures) == (expected.verdict, expected.line, expected.figures)
        assert found.outcomes.read_bytes() == expected.outcomes.read_bytes()

    def test_batching_over_files_holds_and_catches_a_tool_that_exchanges_outputs(self, honest, crnn, tmp_path):
        ask = asked("batching", crnn)
        answer = batching.ask(FilesBench(honest, FilesBackend(tmp_path / "good"), tmp_path / "scratch"), ask)
        assert answer.verdict is Verdict.PASS, answer.line
        broken = FilesBackend(tmp_path / "bad", spoil=neighbours_exchanged)
        answer = batching.ask(FilesBench(honest, broken, tmp_path / "scratch"), ask)
        assert answer.verdict is Verdict.FAIL
        assert re.search("alone.* over the bound", answer.line)
