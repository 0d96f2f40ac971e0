"""Packed, answered in batches, and scored: every sample gets its own answer, and what no file says is known."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.backends import Batch
from harness.commands.score import Scoring, score
from harness.datasets import Sample
from harness.evaluate import Task
from harness.files.pack import pack
from harness.files.packed import read_packed
from harness.files.sources import Truth
from harness.files.unpack import OutputFolder
from harness.files.windows import Window, map_files
from harness.layout import FileLayout
from harness.metrics.recognition import LOWER_CASED
from harness.model import Model
from harness.postprocess.recognition import LOWER, LOWER_CTC
from harness.verdict import Refused
from tests.folders import PLAN, Listed, spelt

ITEM = 26 * 37
"""The numbers of one output."""
CUT = {".bin": np.ndarray.tofile, ".npy": lambda value, path: np.save(path, value)}


def answered(inputs: np.ndarray) -> np.ndarray:
    """What a network would answer, 26 x batch x 37: the first numbers of each input, so that none is like another's."""
    return np.moveaxis(inputs.reshape(len(inputs), -1)[:, :ITEM].reshape(len(inputs), 26, 37), 0, 1)


def run_tool(inputs: Path, to: Path, batch: int, *, counted: int = 0, suffix: str = ".bin", axis: int = 1) -> Path:
    """Answers a folder as ais_bench does: files in the order of their numbers, ``batch`` at a time, the last batch
    filled up with copies of its first file, whose outputs are dropped; each output cut apart along an axis."""
    files = sorted(inputs.iterdir(), key=lambda path: int(path.stem.rpartition("_")[2]))
    to.mkdir()
    for start in range(0, len(files), batch):
        taken = files[start : start + batch]
        filled = taken + taken[:1] * (batch - len(taken))
        outputs = answered(np.stack([np.fromfile(path, np.float32) for path in filled]))
        for path, value in zip(taken, np.array_split(outputs, batch, axis), strict=False):
            CUT[suffix](np.ascontiguousarray(value), to / f"{path.stem}_{counted}{suffix}")
    return to


def asking(text: str) -> bytes:
    """An input of CRNN that is answered with this text."""
    content = np.zeros(3200, np.float32)
    content[:ITEM] = spelt(text).ravel()
    return content.tobytes()


def packed(model: Model, folder: Path, texts: list[str], truths: list[str]) -> tuple[Sample, ...]:
    """Packs inputs that are answered with these texts; the samples as they are read back."""
    samples = [
        Sample(f"set/{at}", asking(text), truth) for at, (text, truth) in enumerate(zip(texts, truths, strict=True))
    ]
    task = Task(model, lambda content, shape: np.frombuffer(content, np.float32).reshape(shape), str, LOWER_CASED)
    list(pack(Listed(samples), task, replace(PLAN, n=len(samples), layout=model.layout.told), folder))
    return read_packed(folder, model.layout).samples


TEXTS = st.text(LOWER, max_size=6)
TRUTHS = st.one_of(
    TEXTS, TEXTS.map(str.upper), st.sampled_from(["", "12:30", "a\tb", "CAFÉ", "ΟΔΟΣ", ":", "\t"]), st.none()
)
"""A label; nothing where it is what will be answered."""
LAYOUTS = st.sampled_from([None, FileLayout()])
"""CRNN's own where there is none, or the one that declarations have by default."""
WAYS = st.fixed_dictionaries(
    {"batch": st.integers(1, 9), "counted": st.sampled_from([0, 1]), "suffix": st.sampled_from(sorted(CUT))}
)
"""How a tool takes inputs and names outputs."""


class TestRoundTrip:
    @settings(max_examples=25)
    @given(
        asked=st.lists(st.tuples(TEXTS, TRUTHS), min_size=1, max_size=20),
        ways=WAYS,
        at_once=st.integers(1, 9),
        layout=LAYOUTS,
    )
    def test_every_sample_is_scored_by_its_own_answer_and_its_whole_label(self, crnn, tmp_path_factory, **drawn):
        asked, ways, model = drawn["asked"], drawn["ways"], replace(crnn, layout=drawn["layout"] or crnn.layout)
        folder = tmp_path_factory.mktemp("trip")
        texts = [text for text, _ in asked]
        truths = [text.upper() if truth is None else truth for text, truth in asked]
        samples = packed(model, folder / "packed", texts, truths)
        out = run_tool(folder / "packed" / "inputs", folder / "out", **ways)
        found = OutputFolder(out, model, [sample.id for sample in samples])
        assert (found.counted_from, found.suffix) == (ways["counted"], ways["suffix"])
        # What the tool had in a batch and what is read at once need not be the same.
        read = np.concatenate([one.values["output1"] for one in found.batches(drawn["at_once"])], axis=1)
        assert [LOWER_CTC.decode(read[:, at]) for at in range(len(texts))] == texts
        truth = Truth(model.reference("bundled"), "set", samples, own=False, complete=False, point=model.points[0])
        figures = score(Scoring(model, truth, found), folder / "outcomes.jsonl").figures
        hits = sum(text == truth.lower() for text, truth in zip(texts, truths, strict=True))
        assert (figures["hits"], figures["n"]) == (hits, len(asked))

    @settings(max_examples=25)
    @given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6), window=st.integers(1, 4), layout=LAYOUTS)
    def test_windows_over_a_tool_that_fills_up_its_last_batch_answer_as_one_call_does(
        self, crnn, tmp_path_factory, sizes, window, layout
    ):
        folder, draw = tmp_path_factory.mktemp("windows"), np.random.default_rng(sum(sizes))
        model = replace(crnn, layout=layout or crnn.layout)
        batches = [
            Batch(tuple(f"{at}/{row}" for row in range(size)), {"actual_input_1": inputs_of(draw, size)})
            for at, size in enumerate(sizes)
        ]

        def tool(given: Window) -> Path:
            return run_tool(given.inputs, given.folder / "out", given.batch)

        found = list(map_files(batches, model, tool, parent=folder, window=window))
        assert [one.ids for one in found] == [batch.ids for batch in batches]
        for batch, one in zip(batches, found, strict=True):
            np.testing.assert_array_equal(one.values["output1"], answered(batch.inputs["actual_input_1"]))


def inputs_of(draw: np.random.Generator, size: int) -> np.ndarray:
    return draw.standard_normal((size, 1, 32, 100)).astype(np.float32)


def values_of(folder: Path, model: Model, n: int) -> Iterator[np.ndarray]:
    for one in OutputFolder(folder, model, [f"set/{at}" for at in range(n)]).batches(n):
        yield one.values["output1"]


class TestWhatIsCaught:
    @pytest.mark.parametrize("batch", [4, 8, 16, 32, 64])
    def test_a_tool_that_cuts_along_the_first_axis_is_caught_at_every_declared_batch(self, crnn, tmp_path, batch):
        """26 steps give no equal parts: ais_bench without --output_batchsize_axis 1 leaves files of several sizes."""
        assert batch in [point.batch for point in crnn.points]
        packed(crnn, tmp_path / "packed", ["a"] * batch, ["a"] * batch)
        out = run_tool(tmp_path / "packed" / "inputs", tmp_path / "out", batch, axis=0)
        with pytest.raises(
            Refused, match=rf"{batch} of another size: test_1_0.bin of set/0 has \d+ bytes, expected 3848"
        ):
            list(values_of(out, crnn, batch))

    def test_an_output_that_is_cut_is_named(self, crnn, tmp_path):
        packed(crnn, tmp_path / "packed", ["a", "b"], ["a", "b"])
        out = run_tool(tmp_path / "packed" / "inputs", tmp_path / "out", 2)
        (out / "test_2_0.bin").write_bytes((out / "test_2_0.bin").read_bytes()[:-4])
        with pytest.raises(Refused, match=r"1 of another size: test_2_0.bin of set/1 has 3844 bytes, expected 3848"):
            list(values_of(out, crnn, 2))

    @pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0)], ids=["batch first", "classes first"])
    def test_axes_in_another_order_are_caught_where_the_file_says_them(self, crnn, tmp_path, axes):
        (tmp_path / "test_1_0.npy").write_bytes(npy(spelt("word")[:, None].transpose(axes)))
        with pytest.raises(
            Refused, match=r"1 of another shape: test_1_0.npy of set/0 is float32 .*, expected float32 \[26, 37\]"
        ):
            list(values_of(tmp_path, crnn, 1))


class TestWhatNoFileSays:
    """Faults that leave as many numbers under the right name: these tests say that they are not caught, and where they
    show."""

    def test_the_batch_axis_of_one_item_may_stand_anywhere_because_the_bytes_are_the_same(self, crnn, tmp_path):
        value = spelt("word")
        assert value[:, None].tobytes() == value[None].tobytes()
        (tmp_path / "test_1_0.bin").write_bytes(value[None].tobytes())
        (read,) = values_of(tmp_path, crnn, 1)
        assert LOWER_CTC.decode(read[:, 0]) == "word"

    def test_classes_before_steps_are_read_as_they_lie_and_show_in_the_text(self, crnn, tmp_path):
        (tmp_path / "test_1_0.bin").write_bytes(spelt("word").T.tobytes())
        (read,) = values_of(tmp_path, crnn, 1)
        assert LOWER_CTC.decode(read[:, 0]) != "word"

    @pytest.mark.parametrize("batch", [2, 13])
    def test_a_cut_along_the_first_axis_into_equal_parts_shows_in_the_texts(self, crnn, tmp_path, batch):
        """No declared batch divides the 26 steps; of one that does, each file holds a few steps of every sample."""
        assert batch not in [point.batch for point in crnn.points]
        texts = [LOWER[10 + at] * 3 for at in range(batch)]
        packed(crnn, tmp_path / "packed", texts, texts)
        out = run_tool(tmp_path / "packed" / "inputs", tmp_path / "out", batch, axis=0)
        (read,) = values_of(out, crnn, batch)
        assert not any(LOWER_CTC.decode(read[:, at]) == text for at, text in enumerate(texts))

    def test_outputs_of_two_samples_exchanged_are_two_wrong_answers(self, crnn, tmp_path):
        texts = ["left", "right", "same"]
        samples = packed(crnn, tmp_path / "packed", texts, texts)
        out = run_tool(tmp_path / "packed" / "inputs", tmp_path / "out", 1)
        (out / "test_1_0.bin").rename(tmp_path / "kept")
        (out / "test_2_0.bin").rename(out / "test_1_0.bin")
        (tmp_path / "kept").rename(out / "test_2_0.bin")
        truth = Truth(crnn.reference("bundled"), "set", samples, own=False, complete=False, point=crnn.points[0])
        found = OutputFolder(out, crnn, [sample.id for sample in samples])
        figures = score(Scoring(crnn, truth, found), tmp_path / "outcomes.jsonl").figures
        assert (figures["hits"], figures["n"]) == (1, 3)


def npy(value: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()
