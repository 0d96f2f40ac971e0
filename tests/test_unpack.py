"""Outputs that a tool wrote come back as they were, and a folder that is not as expected is told file by file."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.backends import Outputs
from harness.files.formats import Misfit, from_npy, from_txt
from harness.files.unpack import OutputFolder
from harness.model import Model
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Broken, Refused

IDS = tuple(f"set/{at}" for at in range(6))
SPEC = TensorSpec(name="y", axes=(3, BATCH, 2), dtype="float32")


def npy(value: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def txt(value: np.ndarray, pattern: str) -> bytes:
    """As msame prints: a line for each row of the last axis."""
    rows = value.reshape(-1, value.shape[-1] if value.ndim else 1).tolist()
    return "".join(" ".join(pattern % number for number in row) + " \n" for row in rows).encode()


def parsed(read: Callable[..., Iterator[np.ndarray]], content: bytes, spec: TensorSpec = SPEC) -> np.ndarray:
    """The one item that a file holds."""
    (item,) = read(io.BytesIO(content), spec)
    return item


EXACT: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "raw": (".bin", lambda value: value.tobytes()),
    "NumPy": (".npy", npy),
    "NumPy, Fortran order": (".npy", lambda value: npy(np.asfortranarray(value))),
    "NumPy, big-endian": (".npy", lambda value: npy(value.astype(value.dtype.newbyteorder(">")))),
    "text": (".txt", lambda value: txt(value, "%.17g" if value.dtype.kind == "f" else "%d")),
}


def model_of(toy: Callable[..., Model], dtype: str = "float32") -> Model:
    """Two outputs, so that the number of the output matters, the first with its batch in the middle."""
    second = TensorSpec(name="z", axes=(BATCH,), dtype="int64")
    return toy(outputs=(TensorSpec(name="y", axes=(3, BATCH, 2), dtype=dtype), second))


def read(folder: Path, model: Model, ids=IDS, size: int = 4) -> list[Outputs]:
    return list(OutputFolder(folder, model, ids).batches(size))


class TestFormats:
    @given(data=st.data())
    def test_any_numbers_come_back_from_every_exact_format(self, data, toy, tmp_path_factory):
        dtype = data.draw(st.sampled_from(["float32", "float64", "int64", "int32", "uint8"]))
        elements = arrays.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False)
        n, size = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 4))
        values = data.draw(arrays.arrays(dtype, (3, n, 2), elements=elements))
        suffix, write = EXACT[data.draw(st.sampled_from(sorted(EXACT)))]
        folder, model = tmp_path_factory.mktemp("outputs"), model_of(toy, dtype)
        for at in range(n):
            (folder / f"img_{at}_0{suffix}").write_bytes(write(values[:, at]))
            (folder / f"img_{at}_1{suffix}").write_bytes(write(np.array(at - 3, np.int64)))
        found = read(folder, model, [f"set/{at}" for at in range(n)], size)
        assert [len(one.ids) for one in found] == [size] * (n // size) + ([n % size] if n % size else [])
        joined = np.concatenate([one.values["y"] for one in found], axis=1)
        assert joined.dtype == dtype
        np.testing.assert_array_equal(joined, values)
        assert np.concatenate([one.values["z"] for one in found]).tolist() == [at - 3 for at in range(n)]

    @given(
        arrays.arrays("float32", (3, 2), elements=st.floats(-1e6, 1e6, width=32)),
        st.sampled_from([("%f", 0.0, 5.1e-7), ("%g", 5.1e-6, 0.0), ("%.9g", 0.0, 0.0)]),
    )
    def test_text_is_as_exact_as_its_printed_digits(self, value, printed):
        pattern, relative, absolute = printed
        found = parsed(from_txt, txt(value, pattern))
        assert found.dtype == np.float32
        # A float32 of a million has no six decimals: what it lacks itself is not the text's fault.
        allowed = relative * np.abs(value) + absolute + np.spacing(np.abs(value)) * bool(relative or absolute)
        assert (np.abs(found - value) <= allowed).all()

    def test_a_batch_axis_of_one_may_be_there_and_no_other(self):
        value = np.arange(6, dtype=np.float32).reshape(3, 2)
        np.testing.assert_array_equal(parsed(from_npy, npy(value[:, None])), value)
        with pytest.raises(Misfit, match=r"is float32 \[1, 3, 2\], expected float32 \[3, 2\]"):
            parsed(from_npy, npy(value[None]))

    def test_headers_of_every_version_are_read_and_pickles_never(self):
        value = np.arange(6, dtype=np.float32).reshape(3, 2)
        for version in ((1, 0), (2, 0)):
            file = io.BytesIO()
            np.lib.format.write_array(file, value, version)
            np.testing.assert_array_equal(parsed(from_npy, file.getvalue()), value)
        with pytest.raises(Misfit, match=r"is object \[2\], expected float32"):
            parsed(from_npy, npy(np.array([print, 1.0], dtype=object)))

    @given(content=st.binary(max_size=200), cut=st.integers(0, 160))
    def test_damaged_files_are_misfits_whatever_they_hold(self, content, cut):
        whole = npy(np.arange(6, dtype=np.float32).reshape(3, 2))
        for damaged in (content, whole[:cut] + content, whole[:10] + content):
            for parse in (from_npy, from_txt):
                with contextlib.suppress(Misfit):
                    assert parsed(parse, damaged).shape == (3, 2)


GOOD = np.arange(36, dtype=np.float32).reshape(6, 3, 2)


def outputs(folder: Path, suffix: str = ".bin") -> Path:
    """Six good outputs in one format."""
    write = {".bin": EXACT["raw"][1], ".npy": npy, ".txt": EXACT["text"][1]}[suffix]
    for at, value in enumerate(GOOD):
        (folder / f"img_{at}_0{suffix}").write_bytes(write(value))
    return folder


def put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def removed(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).unlink() for name in names]


def renamed(old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / old).rename(folder / new)


NAN = np.where(GOOD[2] == GOOD[2][0, 0], np.nan, GOOD[2])
BROKEN = {
    "missing": (".bin", removed("img_3_0.bin"), "; 1 missing: img_3_0.bin of set/3$"),
    "all but one missing": (
        ".bin", removed(*(f"img_{at}_0.bin" for at in range(5))),
        "; 5 missing: img_0_0.bin of set/0, img_1_0.bin of set/1, img_2_0.bin of set/2 and 2 more$",
    ),
    "numbered from 1": (
        ".bin", renamed("img_0_0.bin", "img_6_0.bin"),
        "; 1 unexpected: img_6_0.bin; 1 missing: img_0_0.bin of set/0$",
    ),
    "an output more": (".bin", put("img_3_2.bin", b""), "; 1 unexpected: img_3_2.bin$"),
    "an input between": (".bin", put("img_3.bin", b""), "; 1 unexpected: img_3.bin$"),
    "leading zeros": (
        ".bin", renamed("img_2_0.bin", "img_02_0.bin"),
        "; 1 unexpected: img_02_0.bin; 1 missing: img_2_0.bin of set/2$",
    ),
    "another suffix": (
        ".bin", renamed("img_2_0.bin", "img_2_0.raw"),
        "; 1 unexpected: img_2_0.raw; 1 missing: img_2_0.bin of set/2$",
    ),
    "a folder": (
        ".bin", lambda folder: (folder / "2026_11_21").mkdir(),
        r"; 1 unexpected: 2026_11_21 \(a folder; are they in it\?\)$",
    ),
    "a pipe": (
        ".bin", lambda folder: (removed("img_1_0.bin")(folder), os.mkfifo(folder / "img_1_0.bin")),
        "; 1 unexpected: img_1_0.bin; 1 missing: img_1_0.bin of set/1$",
    ),
    "a dangling link": (
        ".bin", lambda folder: (removed("img_1_0.bin")(folder), (folder / "img_1_0.bin").symlink_to("gone")),
        "; 1 unexpected: img_1_0.bin; 1 missing: img_1_0.bin of set/1$",
    ),
    "also in another format": (
        ".bin", put("img_4_0.npy", npy(GOOD[4])),
        "; 1 there twice: img_4_0.bin and img_4_0.npy of set/4$",
    ),
    "also in upper case": (
        ".bin", put("IMG_4_0.BIN", GOOD[4].tobytes()),
        "; 1 there twice: IMG_4_0.BIN and img_4_0.bin of set/4$",
    ),
    "also by msame": (
        ".bin", put("img_4_output_0.bin", GOOD[4].tobytes()),
        "; 1 there twice: img_4_0.bin and img_4_output_0.bin of set/4$",
    ),
    "of two runs": (
        ".bin", lambda folder: (removed("img_5_0.bin")(folder), put("img_5_0.npy", npy(GOOD[5]))(folder)),
        "; 1 in another format than .bin, as of another run: img_5_0.npy of set/5$",
    ),
    "short": (
        ".bin", put("img_2_0.bin", GOOD[2].tobytes()[:-1]),
        r"; 1 of another size: img_2_0.bin of set/2 has 23 bytes, expected 24 for float32 \[3, 2\]$",
    ),
    "long": (
        ".bin", put("img_2_0.bin", GOOD[2].tobytes() * 2),
        r"; 1 of another size: img_2_0.bin of set/2 has 48 bytes, expected 24 for float32 \[3, 2\]$",
    ),
    "empty": (".bin", put("img_2_0.bin", b""), "1 of another size: img_2_0.bin of set/2 has 0 bytes, expected 24"),
    "half precision": (
        ".npy", put("img_1_0.npy", npy(GOOD[1].astype(np.float16))),
        r"; 1 of another type: img_1_0.npy of set/1 is float16 \[3, 2\], expected float32 \[3, 2\]$",
    ),
    "integers": (".npy", put("img_1_0.npy", npy(GOOD[1].astype(np.int32))), r"is int32 \[3, 2\], expected float32"),
    "transposed": (
        ".npy", put("img_1_0.npy", npy(GOOD[1].T)),
        r"; 1 of another shape: img_1_0.npy of set/1 is float32 \[2, 3\], expected float32 \[3, 2\]$",
    ),
    "cut": (
        ".npy", put("img_1_0.npy", npy(GOOD[1])[:-4]),
        "; 1 of another size: img_1_0.npy of set/1 has 20 bytes behind its header, expected 24",
    ),
    "with a rest": (".npy", put("img_1_0.npy", npy(GOOD[1]) + b"\0"), "has 25 bytes behind its header, expected 24"),
    "no header": (
        ".npy", put("img_1_0.npy", GOOD[1].tobytes()),
        "; 1 not readable in its format: img_1_0.npy of set/1 is no whole file in NumPy's format: ",
    ),
    "a word": (
        ".txt", put("img_1_0.txt", b"1 2 3 4 five 6"),
        "; 1 with something that is no number: img_1_0.txt of set/1 holds 'five', which is no float32$",
    ),
    "an underscore": (".txt", put("img_1_0.txt", b"1_0 2 3 4 5 6"), "holds '1_0', which is no float32$"),
    "raw bytes as text": (".txt", put("img_1_0.txt", b"\xff\xfe\x80"), "which is no float32$"),
    "a number less": (
        ".txt", put("img_1_0.txt", b"1 2 3 4 5 "),
        r"; 1 of another size: img_1_0.txt of set/1 has 5 numbers, expected float32 \[3, 2\]$",
    ),
    "a number more": (".txt", put("img_1_0.txt", b"1 2 3 4 5 6 7"), "has 7 numbers, expected"),
    "NaN": (
        ".bin", put("img_2_0.bin", NAN.astype(np.float32).tobytes()),
        "; 1 not finite: img_2_0.bin of set/2 holds 1 of 6 numbers that are NaN or infinite$",
    ),
    "infinite": (".txt", put("img_1_0.txt", b"1 2 -inf 4 inf 6"), "holds 2 of 6 numbers that are NaN or infinite$"),
    "too large": (".txt", put("img_1_0.txt", b"1 2 3 4 5 1e39"), "holds 1 of 6 numbers that are NaN or infinite$"),
}  # fmt: skip


class TestFaults:
    @pytest.mark.parametrize("name", BROKEN)
    def test_a_broken_folder_is_caught_and_what_is_wrong_is_named(self, name, toy, tmp_path):
        suffix, spoil, told = BROKEN[name]
        model = toy()
        assert sum(len(one.ids) for one in read(outputs(tmp_path, suffix), model)) == 6
        spoil(tmp_path)
        with pytest.raises(Refused, match=told) as refused:
            read(tmp_path, model)
        expected = f"{tmp_path}: expected 6 files img_0_0 to img_5_0 (.bin or .npy or .txt); "
        assert str(refused.value).startswith(expected)

    def test_faults_of_every_kind_are_told_at_once(self, toy, tmp_path):
        outputs(tmp_path)
        for spoil in (removed("img_0_0.bin"), put("img_1_0.bin", b""), put("notes.md", b"")):
            spoil(tmp_path)
        told = r"1 unexpected: notes.md; 1 missing: img_0_0.bin of set/0; 1 of another size: img_1_0.bin of set/1"
        with pytest.raises(Refused, match=told):
            read(tmp_path, toy())

    def test_faults_inside_are_counted_to_the_end_and_what_comes_after_the_first_is_not_answered(self, toy, tmp_path):
        outputs(tmp_path, ".txt")
        for at in (2, 3, 4, 5):
            put(f"img_{at}_0.txt", b"1 2 nan 4 5 6" if at == 2 else b"x")(tmp_path)
        found = OutputFolder(tmp_path, toy(), IDS).batches(2)
        assert next(found).ids == IDS[:2]
        told = r"1 not finite: img_2_0.txt of set/2 .*|3 with something that is no number: .*img_5_0.txt of set/5"
        with pytest.raises(Refused, match=told):
            next(found)

    @pytest.mark.parametrize("text", ["1.0 2 3", "1 2 3e0", "1 2 256", "1 2 -1", "1 2 99999999999999999999"])
    def test_integers_are_integers_within_their_range(self, text):
        spec = TensorSpec(name="y", axes=(BATCH, 3), dtype="uint8")
        assert parsed(from_txt, b"1 2 255", spec).tolist() == [1, 2, 255]
        with pytest.raises(Misfit, match="no uint8"):
            parsed(from_txt, text.encode(), spec)

    def test_an_output_whose_numbers_were_never_written_is_missing_by_its_number(self, toy, tmp_path):
        outputs(tmp_path)
        told = "expected 12 files img_0_0 to img_5_1 .*; 6 missing: img_0_1.bin of set/0, .* and 3 more"
        with pytest.raises(Refused, match=told):
            read(tmp_path, model_of(toy))

    @pytest.mark.parametrize("name", ["sumary.json", ".img_0_0.bin.swp"])
    def test_what_tools_leave_between_outputs_is_none_of_them(self, toy, tmp_path, name):
        put(name, b"{}")(outputs(tmp_path))
        assert len(read(tmp_path, toy())) == 2

    def test_msames_names_and_upper_case_will_do(self, toy, tmp_path):
        outputs(tmp_path)
        for at in range(6):
            new = f"img_{at}_output_0.bin" if at % 2 else f"img_{at}_0.BIN"
            renamed(f"img_{at}_0.bin", new)(tmp_path)
        np.testing.assert_array_equal(read(tmp_path, toy(), size=6)[0].values["y"], np.moveaxis(GOOD, 0, 1))

    @pytest.mark.parametrize("name", ["nowhere", "file"])
    def test_a_folder_that_cannot_be_read_is_broken(self, toy, tmp_path, name):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(Broken, match=f"{name}: no readable folder of outputs: No"):
            read(tmp_path / name, toy())

    def test_a_file_that_goes_away_meanwhile_is_broken(self, toy, tmp_path):
        found = OutputFolder(outputs(tmp_path), toy(), IDS)
        removed("img_3_0.bin")(tmp_path)
        with pytest.raises(Broken, match=r"img_3_0.bin: cannot be read: No such file"):
            list(found.batches(4))
