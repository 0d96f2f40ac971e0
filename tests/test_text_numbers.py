"""Numbers in a text are those that Python reads there, however fast they are read and wherever a chunk ends."""

from __future__ import annotations

import io
from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.files import text_numbers
from harness.files.formats import NUMBER, SIZE, Misfit, from_txt
from harness.files.text_numbers import NoNumber, chunks, numbers
from harness.sizes import BATCH, TensorSpec

DTYPES = ("int64", "int32", "uint8", "float32", "float64")


def as_python_reads(text: bytes, dtype: str) -> np.ndarray | None:
    """One by one; nothing where something is no number of the type."""
    if b"_" in text:
        return None
    parse = float if dtype.startswith("float") else int
    try:
        with np.errstate(over="ignore"):
            return np.array([parse(token) for token in text.split()], dtype)
    except (ValueError, OverflowError):
        return None


SIGNS = st.sampled_from(["", "-", "+"])
DIGITS = st.text("0123456789", min_size=1, max_size=21)
WHOLE = st.one_of(
    st.integers(0, 20).map(str),
    st.integers(-(2**64), 2**64).map(str),
    st.sampled_from([str(sign * 2**bits + off) for bits in (7, 8, 31, 32, 63) for sign in (1, -1) for off in (-1, 0)]),
    st.builds(str.__add__, SIGNS, DIGITS),
)
FLOAT = st.one_of(
    st.floats(width=32).map("{:g}".format),
    st.floats().map(repr),
    st.builds("{}{}.{}{}".format, SIGNS, DIGITS, DIGITS, st.sampled_from(["", "e3", "E-300"])),
    st.sampled_from(["nan", "-inf", "Infinity", "1e999", "-0", "-0.0", "5.", ".5"]),
)
NONE = ("-", "+", "+-1", "1-2", "--1", "1+", "1_0", "_1", "0x10", "1,5", "\u0661", "1\0", "\u00b2", "1e", "e1", "one")
STRANGE = st.one_of(
    st.sampled_from(NONE),
    st.text(st.characters(max_codepoint=0x2FF), max_size=4),
)
BLANKS = st.text(" \t\n\r\v\f", min_size=1, max_size=3)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Numbers between white space, mostly of one kind, as files hold them; at times something else."""
    kind = draw(st.sampled_from([WHOLE, FLOAT, WHOLE | FLOAT, WHOLE | FLOAT | STRANGE]))
    tokens = draw(st.lists(kind, max_size=12))
    between = st.just(" ") if draw(st.booleans()) else BLANKS
    text = "".join(token + draw(between) for token in tokens)
    return (draw(st.sampled_from(["", " ", "\n"])) + text.removesuffix(draw(st.sampled_from(["", " "])))).encode()


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """To the last bit, the sign of a zero too."""
    return (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())


class TestNumbers:
    @given(text=texts(), dtype=st.sampled_from(DTYPES))
    def test_they_are_what_python_reads_or_none(self, text, dtype):
        expected = as_python_reads(text, dtype)
        if expected is None:
            with pytest.raises(NoNumber, match=rf"^holds .*no {dtype}"):
                numbers(text, dtype)
        else:
            assert same(numbers(text, dtype), expected)

    @given(values=st.lists(st.integers(-(2**63), 2**63 - 1)), blank=BLANKS, signed=st.booleans())
    def test_any_whole_numbers_come_back(self, values, blank, signed):
        text = blank.join(f"{value:+d}" if signed else str(value) for value in values).encode()
        assert numbers(text, "int64").tolist() == values

    @pytest.mark.parametrize("digits", range(1, 22))
    @pytest.mark.parametrize("sign", ["", "-"])
    def test_every_length_is_read_beside_every_other(self, digits, sign):
        lengths = [sign + "9" * length for length in range(1, digits + 1)]
        text = " ".join([*lengths, "7", *reversed(lengths), "0" * digits, "3"]).encode()
        expected = as_python_reads(text, "int64")
        assert (expected is None) == (digits > 18)
        if expected is not None:
            assert same(numbers(text, "int64"), expected)
            assert same(numbers(text, "float32"), as_python_reads(text, "float32"))
        else:
            with pytest.raises(NoNumber, match=r"^holds a number that is no int64: "):
                numbers(text, "int64")

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("token", NONE)
    def test_what_is_no_number_is_named_wherever_it_stands(self, token, dtype):
        for text in (f"{token} 2 3", f"1 {token} 3", f"1 2 {token}", token):
            with pytest.raises(NoNumber, match=rf"^holds '.*', which is no {dtype}$") as refused:
                numbers(text.encode(), dtype)
            assert repr(token.encode().decode("ascii", "replace")) in str(refused.value)

    @pytest.mark.parametrize(
        ("token", "dtype"),
        [("256", "uint8"), ("-1", "uint8"), (str(2**31), "int32"), (str(-(2**31) - 1), "int32"), ("9" * 18, "int32")],
    )
    def test_what_a_type_does_not_hold_is_no_number_of_it(self, token, dtype):
        with pytest.raises(NoNumber, match=rf"^holds a number that is no {dtype}: "):
            numbers(f"1 {token} 3".encode(), dtype)

    def test_a_zero_keeps_its_sign_where_it_can(self):
        assert np.signbit(numbers(b"-0 0 +0 -1", "float32")).tolist() == [True, False, False, True]
        assert numbers(b"-0 0 +0 -1", "int32").tolist() == [0, 0, 0, -1]

    @pytest.mark.parametrize("text", [b"", b"\n", b" \r\n \r\n"])
    def test_nothing_is_no_number(self, text):
        assert numbers(text, "int64").shape == (0,)

    def test_class_ids_need_no_python_for_each(self, monkeypatch):
        monkeypatch.setattr(text_numbers, "_any", None)
        ids = np.random.default_rng(0).integers(0, 256, 5000)
        for end in (b" ", b" \n", b"\r\n"):
            text = b"".join(b"%d%s" % (number, end) for number in ids.tolist())
            for dtype in DTYPES:
                assert same(numbers(text, dtype), ids.astype(dtype))


class TestChunks:
    @given(text=texts(), size=st.integers(1, 40))
    def test_they_end_between_two_numbers_and_lose_nothing(self, text, size):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(text_numbers, "CHUNK", size)
            longest = max(map(len, text.split()), default=0)
            if longest > 2 * size:
                with pytest.raises(NoNumber, match=rf"and more than {size} bytes without white space"):
                    list(chunks(io.BytesIO(text)))
            elif longest <= size:
                found = list(chunks(io.BytesIO(text)))
                assert b"".join(found) == text
                assert [token for chunk in found for token in chunk.split()] == text.split()
                assert all(len(chunk) <= 2 * size for chunk in found)


SHAPES = st.sampled_from([(), (1,), (2, 3), (5,)])


class TestItems:
    def read(self, text: bytes, spec: TensorSpec, count: int, size: int) -> list[np.ndarray]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(text_numbers, "CHUNK", size)
            return list(from_txt(io.BytesIO(text), spec, count))

    @given(data=st.data(), shape=SHAPES, count=st.integers(1, 4), size=st.integers(20, 90))
    def test_a_batch_is_read_item_by_item_wherever_chunks_end(self, data, shape, count, size):
        spec = TensorSpec(name="y", axes=(BATCH, *shape), dtype="int64")
        want = count * prod(shape)
        values = data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=want, max_size=want))
        found = self.read(" ".join(map(str, values)).encode(), spec, count, size)
        assert [item.shape for item in found] == [shape] * count
        assert np.concatenate([item.ravel() for item in found]).tolist() == values

    @given(off=st.integers(-7, 9).filter(bool), count=st.integers(1, 3), size=st.integers(1, 40))
    def test_a_number_too_many_or_too_few_is_counted(self, off, count, size):
        spec = TensorSpec(name="y", axes=(BATCH, 2, 3), dtype="uint8")
        has = max(0, 6 * count + off)
        given = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(text_numbers, "CHUNK", size)
            with pytest.raises(Misfit, match=rf"^has {has} numbers, expected uint8 \[") as misfit:
                given.extend(from_txt(io.BytesIO(b"7 " * has), spec, count))
        assert misfit.value.kind == SIZE
        # The last one is not handed out before it is known to be that.
        assert len(given) < count

    @pytest.mark.parametrize("at", [0, 5, 11, 12, 40])
    def test_what_is_no_number_is_found_also_behind_the_last_item(self, at):
        spec = TensorSpec(name="y", axes=(BATCH, 2, 3), dtype="int64")
        tokens = [b"1"] * 41
        tokens[at] = b"1.0"
        with pytest.raises(Misfit, match=r"^holds '1.0', which is no int64") as misfit:
            self.read(b" ".join(tokens), spec, 2, 8)
        assert misfit.value.kind == NUMBER

    def test_only_what_is_whole_is_handed_out_and_no_array_twice(self):
        spec = TensorSpec(name="y", axes=(BATCH, 4), dtype="int64")
        found = self.read(b"1 2 3 4 5 6 7 8 9 10 11 12", spec, 3, 5)
        assert [item.tolist() for item in found] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
        assert not any(np.shares_memory(one, other) for one, other in pairwise(found))
