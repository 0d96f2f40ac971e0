"""Answers to whole batches are scored picture by picture, each once, and files that do not hold them are named."""

from __future__ import annotations

import io
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ascend.drive.runner import _split
from harness.backends import Batch
from harness.commands.score import Scoring, score
from harness.files.formats import Misfit, as_declared, from_bin, from_npy
from harness.files.pack import pack
from harness.files.packed import read_packed
from harness.files.sources import Truth
from harness.files.unpack import OutputFolder
from harness.files.windows import Window, map_files
from harness.model import Model
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Refused
from tests.street_files import (
    AIS_BENCH,
    MSAME,
    SIZE,
    Streets,
    Y,
    as_text,
    cut,
    exchanged,
    plan_of,
    right,
    run_tool,
    streets_model,
    task_of,
    write_streets,
)


@pytest.fixture
def model(toy: Callable[..., Model]) -> Model:
    """Of batches of four."""
    return streets_model(toy, 4)


@pytest.fixture
def streets(tmp_path: Path) -> Streets:
    """Six of them."""
    return Streets(write_streets(tmp_path / "streets", 6), "few")


@pytest.fixture
def packed(model: Model, streets: Streets, tmp_path: Path) -> Path:
    """The six in two files, of which the last has two to fill it up."""
    assert list(pack(streets, task_of(model), plan_of(model, 6), tmp_path / "packed")) == [1, 2, 3, 4, 5, 6]
    return tmp_path / "packed"


def scored(model: Model, packed: Path, out: Path) -> dict[str, object]:
    """The figures of a folder of outputs."""
    samples = read_packed(packed, model.layout).samples
    held = model.layout.held(model.points[0].batch)
    found = OutputFolder(out, model, [sample.id for sample in samples], held=held)
    truth = Truth(model.references[0], "few", samples, own=False, complete=False, point=model.points[0])
    return dict(score(Scoring(model, truth, found), out.parent / "outcomes.jsonl").figures)


class TestRoundTrip:
    @given(
        n=st.integers(1, 13),
        batch=st.integers(1, 5),
        tool=st.tuples(st.sampled_from([".txt", ".bin", ".npy"]), st.sampled_from([MSAME, AIS_BENCH])),
        dtype=st.sampled_from(["int64", "int32", "float32"]),
        at_once=st.integers(1, 6),
    )
    @settings(max_examples=40)
    def test_every_pixel_is_scored_once_by_its_own_answer(self, toy, tmp_path_factory, **drawn):
        n, model, folder = drawn["n"], streets_model(toy, drawn["batch"]), tmp_path_factory.mktemp("trip")
        streets = Streets(write_streets(folder / "streets", n), "few")
        list(pack(streets, task_of(model), plan_of(model, n), folder / "packed"))
        dtype = "int64" if drawn["tool"][0] == ".txt" else drawn["dtype"]
        out = run_tool(folder / "packed" / "imgs", folder / "out", *drawn["tool"], dtype)
        found = OutputFolder(out, model, [f"few/{at}" for at in range(n)], held=drawn["batch"])
        read = list(found.batches(drawn["at_once"]))
        assert [name for one in read for name in one.ids] == [f"few/{at}" for at in range(n)]
        answers = np.concatenate([one.values["y"] for one in read])
        assert answers.dtype == np.int64
        for sample, value in zip(streets.samples(), answers, strict=True):
            np.testing.assert_array_equal(value, np.frombuffer(sample.content, np.float32).reshape(3, *SIZE)[0])
        assert found.types == ({} if dtype == "int64" else {"y": [dtype]})
        figures = scored(model, folder / "packed", out)
        assert (figures["correct"], figures["counted"], figures["n"]) == (*right(streets, n), n)

    def test_logits_of_a_batch_are_scored_alike(self, toy, model, streets, packed, tmp_path):
        expected = scored(model, packed, run_tool(packed / "imgs", tmp_path / "classes"))
        outputs = (TensorSpec(name="y", axes=(BATCH, 19, *SIZE), dtype="float32"),)
        (tmp_path / "out").mkdir()
        for number in range(2):
            classes = np.fromfile(packed / f"imgs/image_bin{number}.bin", np.float32).reshape(4, 3, *SIZE)[:, 0]
            logits = (classes[:, None] == np.arange(19)[:, None, None]).astype(np.float32)
            logits.tofile(tmp_path / "out" / f"image_bin{number}_0.bin")
        assert scored(replace(model, outputs=outputs), packed, tmp_path / "out") == expected

    def test_numbers_decide_which_batch_a_file_is_of_and_not_how_names_are_sorted(self, toy, tmp_path):
        model, streets = streets_model(toy, 1), Streets(write_streets(tmp_path / "streets", 12), "few")
        list(pack(streets, task_of(model), plan_of(model, 12), tmp_path / "packed"))
        out = run_tool(tmp_path / "packed" / "imgs", tmp_path / "out")
        assert sorted(path.name for path in out.iterdir()).index("image_bin10_output_0.txt") == 1
        figures = scored(model, tmp_path / "packed", out)
        assert (figures["correct"], figures["counted"]) == right(streets, 12)

    def test_what_fills_up_the_last_batch_is_not_scored_whatever_was_answered_to_it(
        self, model, streets, packed, tmp_path
    ):
        out = run_tool(packed / "imgs", tmp_path / "out", ".bin", AIS_BENCH)
        expected = scored(model, packed, out)
        last = out / "image_bin1_0.bin"
        last.write_bytes(last.read_bytes()[: 2 * 24 * 8] + np.full((2, *SIZE), 200, np.int64).tobytes())
        assert scored(model, packed, out) == expected
        assert expected["n"] == 6

    @pytest.mark.parametrize(("suffix", "pictures"), [(".txt", 4), (".bin", 3), (".npy", 3)])
    def test_a_batch_of_large_answers_is_never_held_as_a_whole(self, toy, tmp_path, suffix, pictures):
        size, batch = (256, 512), 16
        model = streets_model(toy, batch, size)
        classes = np.random.default_rng(0).integers(0, 19, (batch, *size))
        path = tmp_path / "out" / f"image_bin0_0{suffix}"
        path.parent.mkdir()
        content = {".txt": as_text, ".bin": np.ndarray.tobytes, ".npy": lambda value: npy(value, tmp_path)}[suffix]
        path.write_bytes(content(classes))
        found = OutputFolder(path.parent, model, [f"few/{at}" for at in range(batch)], held=batch)
        tracemalloc.start()
        read = 0
        for one, expected in zip(found.batches(1), classes, strict=True):
            read += int((one.values["y"][0] == expected).all())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read == batch
        assert peak < pictures * 256 * 512 * 8 + (1 << 21)


def npy(value: np.ndarray, folder: Path) -> bytes:
    np.save(folder / "value.npy", value)
    return (folder / "value.npy").read_bytes()


def put(name: str, content: Callable[[np.ndarray], bytes]) -> Callable[[Path], object]:
    """The second batch answered otherwise: what is made of its classes."""
    return lambda folder: (folder / name).write_bytes(content(classes_in(folder / name)))


def classes_in(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".bin":
        return np.fromfile(path, np.int64).reshape(4, *SIZE)
    return np.array(path.read_bytes().split(), np.int64).reshape(4, *SIZE)


TXT, BIN, NPY = "image_bin1_output_0.txt", "image_bin1_output_0.bin", "image_bin1_output_0.npy"
LAST = "of few/4 to few/5"
BROKEN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "the last batch dropped": (".txt", lambda out: (out / TXT).unlink(), f"; 1 missing: image_bin1_0.txt {LAST}$"),
    "a batch cut": (".txt", cut(TXT, 7), rf"; 1 of another size: {TXT} {LAST} has 9\d numbers, expected int64 \[4"),
    "a batch of what was not filled up": (
        ".txt", put(TXT, lambda classes: as_text(classes[:2])), r"has 48 numbers, expected int64 \[4, 4, 6\]$",
    ),
    "a picture more": (
        ".txt", put(TXT, lambda classes: as_text(classes[[0, 1, 2, 3, 3]])), r"has 120 numbers, expected int64",
    ),
    "a word among what fills up": (
        ".txt", put(TXT, lambda classes: as_text(classes).rstrip() + b"x"),
        f"{TXT} {LAST} holds '.*x', which is no int64$",
    ),
    "no whole number": (
        ".txt", put(TXT, lambda classes: as_text(classes + 0.5)), f"{TXT} {LAST} holds '.*.5', which is no int64$",
    ),
    "a raw batch cut": (
        ".bin", cut(BIN),
        rf"; 1 of another size: {BIN} {LAST} has 764 bytes, expected 768 or 384 for int64 \[4, 4, 6\]$",
    ),
    "half a raw batch": (
        ".bin", put(BIN, lambda classes: classes[:2].tobytes()),
        rf"; 1 of another size: {BIN} {LAST} holds numbers of 8 bytes, half as many as expected for int64 \[4, 6\]$",
    ),
    "raw half precision": (
        ".bin", put(BIN, lambda classes: classes.astype(np.float16).tobytes()),
        "has 192 bytes, expected 768 or 384 for int64",
    ),
    "raw numbers between two": (
        ".bin", put(BIN, lambda classes: (classes + np.float32(0.5)).astype(np.float32).tobytes()),
        rf"; 1 of another type: {BIN} {LAST} holds numbers of 4 bytes, neither int32 nor whole float32, expected int64",
    ),
    "raw scores": (
        ".bin", put(BIN, lambda classes: (1 / (2.0 + classes)).astype(np.float32).tobytes()), "neither int32 nor whole",
    ),
    "raw numbers that are none": (
        ".bin", put(BIN, lambda classes: np.where(classes, classes, np.nan).astype(np.float32).tobytes()),
        "neither int32 nor whole",
    ),
    "numbers between two": (
        ".npy", lambda out: np.save(out / NPY, np.load(out / NPY) + np.float32(0.5)),
        rf"; 1 of another type: {NPY} {LAST} holds [\d.]+ as float64, which is no int64$",
    ),
    "infinite": (
        ".npy", lambda out: np.save(out / NPY, np.full((4, *SIZE), np.inf, np.float32)),
        "holds inf as float32, which is no int64$",
    ),
    "truths": (
        ".npy", lambda out: np.save(out / NPY, np.load(out / NPY) > 3),
        r"; 1 of another type: .* is bool \[4, 4, 6\], expected int64 \[4, 4, 6\]$",
    ),
    "a batch of one": (
        ".npy", lambda out: np.save(out / NPY, np.load(out / NPY)[:1]),
        r"; 1 of another shape: .* is int64 \[1, 4, 6\], expected int64 \[4, 4, 6\]$",
    ),
    "one of a batch": (
        ".npy", lambda out: np.save(out / NPY, np.load(out / NPY)[0]),
        r"; 1 of another shape: .* is int64 \[4, 6\], expected int64 \[4, 4, 6\]$",
    ),
    "sides exchanged": (
        ".npy", lambda out: np.save(out / NPY, np.load(out / NPY).transpose(0, 2, 1).copy()),
        r"is int64 \[4, 6, 4\], expected int64 \[4, 4, 6\]$",
    ),
    "pictures that do not lie one after the other": (
        ".npy", lambda out: np.save(out / NPY, np.asfortranarray(np.load(out / NPY))),
        r"1 not readable in its format: .* is int64 \[4, 4, 6\] in Fortran's order, expected items one after ",
    ),
    "files of two tools": (
        ".txt", lambda out: shutil.copyfile(out / TXT, out / "image_bin1_0.txt"),
        f"; 1 there twice: image_bin1_0.txt and {TXT} {LAST}$",
    ),
    "formats of two tools": (
        ".txt", lambda out: (np.save(out / NPY, classes_in(out / TXT)), (out / TXT).unlink()),
        f"1 in another format than .npy, as of another run: image_bin0_output_0.txt of few/0 to few/3$"
        f"|1 in another format than .txt, as of another run: {NPY} {LAST}$",
    ),
    "one file a picture": (
        ".txt", lambda out: [shutil.copyfile(out / TXT, out / f"image_bin{at}_output_0.txt") for at in range(2, 6)],
        "; 4 unexpected: image_bin2_output_0.txt, ",
    ),
}  # fmt: skip


class TestWhatIsCaught:
    @pytest.mark.parametrize("name", BROKEN)
    def test_a_broken_folder_is_named_by_file_and_samples(self, model, packed, tmp_path, name):
        suffix, spoil, told = BROKEN[name]
        out = run_tool(packed / "imgs", tmp_path / "out", suffix)
        assert scored(model, packed, out)["n"] == 6
        spoil(out)
        with pytest.raises(Refused, match=told) as refused:
            scored(model, packed, out)
        assert f"{out}: expected 2 files image_bin0_0 to image_bin1_0 (.bin or .npy or .txt)" in str(refused.value)

    def test_an_axis_of_one_for_the_class_may_be_there(self, model, packed, tmp_path):
        out = run_tool(packed / "imgs", tmp_path / "out", ".npy")
        expected = scored(model, packed, out)
        for path in out.iterdir():
            np.save(path, np.load(path)[:, None])
        assert scored(model, packed, out) == expected

    def test_where_the_batch_is_no_first_axis_files_are_read_as_a_whole(self, toy, tmp_path):
        outputs = (TensorSpec(name="y", axes=(3, BATCH, 2), dtype="float32"),)
        model, value = streets_model(toy, 4, outputs=outputs), np.arange(24, dtype=np.float32).reshape(3, 4, 2)
        value.tofile(tmp_path / "image_bin0_0.bin")
        (found,) = OutputFolder(tmp_path, model, ["a", "b", "c"], held=4).batches(3)
        np.testing.assert_array_equal(found.values["y"], value[:, :3])


class TestWholeNumbers:
    @given(data=st.data(), dtype=st.sampled_from(["int32", "float32"]))
    def test_classes_of_four_bytes_are_told_apart_by_what_they_can_be(self, data, dtype):
        classes = data.draw(st.lists(st.sampled_from([*range(19), 255]), min_size=24, max_size=24))
        if classes[1::2] == [0] * 12:
            classes[1] = 1
        value = np.array(classes, dtype).reshape(SIZE)
        (found,) = from_bin(io.BytesIO(value.tobytes()), Y)
        assert found.dtype == dtype
        np.testing.assert_array_equal(as_declared(found, Y), value)
        assert as_declared(found, Y).dtype == np.int64

    @given(content=st.binary(min_size=96, max_size=96))
    def test_any_bytes_are_whole_numbers_or_none(self, content):
        try:
            (found,) = from_bin(io.BytesIO(content), Y)
            value = as_declared(found, Y)
        except Misfit:
            return
        np.testing.assert_array_equal(value, np.frombuffer(content, found.dtype).reshape(SIZE))

    def test_of_nothing_but_zeros_no_type_is_said(self, model, tmp_path):
        (tmp_path / "image_bin0_0.bin").write_bytes(bytes(4 * 24 * 4))
        found = OutputFolder(tmp_path, model, ["a", "b", "c", "d"], held=4)
        (read,) = found.batches(4)
        assert (read.values["y"].any(), found.types) == (False, {})

    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float64"])
    def test_numpys_files_say_what_they_are(self, tmp_path, dtype):
        value = np.arange(24).reshape(1, *SIZE).astype(dtype)
        (found,) = from_npy(io.BytesIO(npy(value, tmp_path)), Y)
        assert found.dtype == dtype
        np.testing.assert_array_equal(as_declared(found, Y), value[0])

    def test_the_other_order_of_bytes_is_no_other_type(self, tmp_path):
        value = np.array([[1.5, np.nan, -0.0, 3, 4, 5]] * 4, ">f4")
        spec = replace(Y, dtype="float32")
        (found,) = from_npy(io.BytesIO(npy(value, tmp_path)), spec)
        np.testing.assert_array_equal(as_declared(found, spec), value)

    @pytest.mark.parametrize(
        ("declared", "found"), [("float32", "int32"), ("float32", "float64"), ("float64", "float32")]
    )
    def test_floats_stay_what_they_were_declared(self, tmp_path, declared, found):
        spec = replace(Y, dtype=declared)
        with pytest.raises(Misfit, match=rf"is {found} \[1, 4, 6\], expected {declared} \[4, 6\]"):
            list(from_npy(io.BytesIO(npy(np.zeros((1, *SIZE), found), tmp_path)), spec))
        if declared == "float64":
            with pytest.raises(Misfit, match=r"has 96 bytes, expected 192 for float64"):
                list(from_bin(io.BytesIO(bytes(96)), spec))


class TestWhatNoFileSays:
    def test_answers_to_two_batches_exchanged_show_in_the_score_alone(self, model, streets, tmp_path):
        streets = Streets(write_streets(tmp_path / "eight", 8), "few")
        list(pack(streets, task_of(model), plan_of(model, 8), tmp_path / "packed"))
        out = run_tool(tmp_path / "packed" / "imgs", tmp_path / "out")
        before = scored(model, tmp_path / "packed", out)
        exchanged("image_bin0_output_0.txt", "image_bin1_output_0.txt")(out)
        after = scored(model, tmp_path / "packed", out)
        assert (before["n"], before["counted"]) == (after["n"], after["counted"])
        assert before["correct"] > 0.8 * before["counted"]
        assert after["correct"] < 0.2 * after["counted"]


class TestWindows:
    def test_tools_of_devices_get_one_file_an_item_whatever_the_guides_own_hold(self, model, tmp_path):
        values = np.random.default_rng(0).integers(0, 19, (6, 3, *SIZE)).astype(np.float32)
        batches = [
            Batch(tuple(f"few/{at}" for at in range(start, stop)), {"x": values[start:stop]})
            for start, stop in ((0, 4), (4, 6))
        ]
        names = []

        def tool(window: Window) -> Path:
            names.extend(sorted(path.name for path in window.inputs.iterdir()))
            (window.folder / "out").mkdir()
            for path in window.inputs.iterdir():
                classes = np.fromfile(path, np.float32).reshape(3, *SIZE)[0].astype(np.int32)
                (window.folder / "out" / f"{path.stem}_0.bin").write_bytes(classes.tobytes())
            return window.folder / "out"

        found = list(map_files(batches, model, tool, parent=tmp_path, window=2))
        assert names == [f"image_bin{number}.bin" for number in range(10, 16)]
        assert [len(one.ids) for one in found] == [4, 2]
        np.testing.assert_array_equal(np.concatenate([one.values["y"] for one in found]), values[:, 0])

    @pytest.mark.parametrize(
        ("outputs", "dtype"), [("txt", "int64"), ("bin", "int64"), ("bin", "int32"), ("bin", "float32")]
    )
    def test_a_batch_that_msame_wrote_is_cut_into_its_items(self, model, tmp_path, outputs, dtype):
        classes = np.random.default_rng(0).integers(0, 19, (4, *SIZE)).astype(dtype)
        content = as_text(classes) if outputs == "txt" else classes.tobytes()
        (tmp_path / f"image_bin10_output_0.{outputs}").write_bytes(content)
        job = SimpleNamespace(cell=SimpleNamespace(sized=model), recipe=SimpleNamespace(outputs=outputs))
        (tmp_path / "out").mkdir()
        names = [(tmp_path / "out", f"image_bin{number}") for number in range(10, 14)]
        _split(job, tmp_path, "image_bin10.bin", names)
        (found,) = OutputFolder(tmp_path / "out", model, ["a", "b", "c", "d"], first=10).batches(4)
        np.testing.assert_array_equal(found.values["y"], classes)
        (tmp_path / f"image_bin10_output_0.{outputs}").write_bytes(content[:-5])
        with pytest.raises(Refused, match=r"msame: image_bin10_output_0.* has \d+ .*, expected .*int64 \[4, 4, 6\]"):
            _split(job, tmp_path, "image_bin10.bin", names)
