"""What Paddle saved is read as plain arrays, and a file that asks for anything else runs nothing and takes nothing."""

from __future__ import annotations

import builtins
import copyreg
import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.checkpoints.paddle_pickle import read_saved
from harness.verdict import Refused

PADDLES = (2, 3, 4)
"""The protocols that ``paddle.save`` writes."""
NUMBERS = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    ">f4",
    ">i8",
]
ARRAYS = st.sampled_from(NUMBERS).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
KEYS = st.text(max_size=8) | st.integers(0, 9)
SAVED = st.recursive(
    PLAIN | ARRAYS | ARRAYS.map(np.asfortranarray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4).map(OrderedDict)
    ),
    max_leaves=8,
)
BATCHES = [[("eager_in_tmp_0", np.arange(12, dtype=np.float32).reshape(1, 3, 4)), ("eager_in_tmp_1", np.array([1]))]]

# Pieces of pickles, spelt by hand: no pickler writes them so.
TWO, FOUR = b"\x80\x02", b"\x80\x04"
NDARRAY = b"cnumpy\nndarray\n"
EMPTY = b"cnumpy.core.multiarray\n_reconstruct\n(" + NDARRAY + b"(K\0tC\x01btR"
FLOAT = b"cnumpy\ndtype\n(S'f8'\nI00\nI01\ntR"
VOID = b"cnumpy\ndtype\n(S'V8'\nI00\nI01\ntR"
HUGE = 1 << 28
TAKEN = 1 << 22
"""Bytes that reading a file of a few bytes may take; what they claim is many times as much."""


@pytest.fixture
def saved(tmp_path) -> Callable[[bytes], Path]:
    """Writes bytes as a file, and returns its path."""

    def write(content: bytes) -> Path:
        path = tmp_path / "saved.pd"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    """A file that every example of a hypothesis writes anew."""
    return tmp_path_factory.mktemp("saved") / "saved.pd"


def same(found: Any, expected: Any) -> bool:
    """Whether two values are of the same types and hold the same, bit for bit."""
    if isinstance(expected, np.ndarray):
        return (
            type(found) is np.ndarray
            and (found.shape, found.dtype) == (expected.shape, expected.dtype.newbyteorder("="))
            and found.tobytes() == expected.astype(found.dtype).tobytes()
        )
    if type(found) is not type(expected):
        return False
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    return repr(found) == repr(expected)


class TestReading:
    @given(SAVED, st.sampled_from(PADDLES))
    def test_arrays_in_any_containers_come_back_bit_for_bit(self, scratch, content, protocol):
        scratch.write_bytes(pickle.dumps(content, protocol))
        assert same(read_saved(scratch), content)

    @pytest.mark.parametrize("protocol", PADDLES)
    def test_an_array_that_is_there_twice_is_read_once(self, saved, protocol):
        array = np.ones(3, np.float32)
        found = read_saved(saved(pickle.dumps([array, {"again": array}], protocol)))
        assert found[0] is found[1]["again"]

    @pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
    def test_either_spelling_of_numpys_module_is_read(self, saved, module):
        written = pickle.dumps(BATCHES, 2)
        assert b"cnumpy._core.multiarray\n" in written or b"cnumpy.core.multiarray\n" in written
        old = written.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
        assert same(read_saved(saved(old.replace(b"numpy.core.multiarray", module))), BATCHES)

    def test_the_tensors_of_paddle_come_back_as_names_and_arrays(self, saved):
        class Tensor:
            """Paddle reduces a tensor to a call of ``tuple``."""

            def __reduce__(self):
                return tuple, (("eager_in_tmp_0", np.ones((1, 2), np.float32)),)

        found = read_saved(saved(pickle.dumps([[Tensor()]], 4)))
        assert same(found, [[("eager_in_tmp_0", np.ones((1, 2), np.float32))]])

    def test_arrays_can_be_written_to(self, saved):
        found = read_saved(saved(pickle.dumps(np.zeros(3), 4)))
        found += 1
        assert found.tolist() == [1, 1, 1]

    def test_protocol_five_is_read_without_arrays_and_refused_with_them(self, saved):
        assert read_saved(saved(pickle.dumps({"epoch": 3, "name": "x"}, 5))) == {"epoch": 3, "name": "x"}
        with pytest.raises(Refused, match=r"saved\.pd: refused, .*numpy\.[._a-z]*_frombuffer; nothing in it was run"):
            read_saved(saved(pickle.dumps(BATCHES, 5)))

    def test_a_missing_file_is_no_damage(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_saved(tmp_path / "saved.pd")

    @pytest.mark.parametrize(("name", "batches", "tensors"), [("cls_b1", 30, 2), ("rec_b1_10", 10, 5)])
    def test_the_vendors_files_are_read(self, shared, name, batches, tensors):
        found = read_saved(shared / "assets" / "knight" / f"{name}.pd")
        assert [len(batch) for batch in found] == [tensors] * batches
        assert {type(array) for batch in found for _, array in batch} == {np.ndarray}


def refused_with(path: Path) -> int:
    """How many bytes were taken at most until the file was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match=r"saved\.pd: (refused|truncated)"):
            read_saved(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Reduced:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def short(text: str) -> bytes:
    """The opcode of a text in protocol 4."""
    return b"\x8c" + bytes([len(text)]) + text.encode()


def spelt(text: str) -> bytes:
    """A pickle of protocol 2 in opcodes that are lines of text."""
    return TWO + text.encode()


def hostile(proof: str) -> Iterator[tuple[str, bytes, str]]:
    """Pickles that would make the file ``proof``, by name, with what the refusal says that they ask for."""
    touch, make = f"touch '{proof}'", f"open({proof!r}, 'w').close()"
    for protocol in range(6):
        content = pickle.dumps([1, Reduced(os.system, touch)], protocol)
        yield f"os.system {protocol}", content if protocol > 1 else TWO + content, r"\w+\.system"
    yield "eval", pickle.dumps({"a": Reduced(builtins.eval, make)}, 4), r"builtins\.eval"
    yield "exec", pickle.dumps((Reduced(builtins.exec, make),), 2), r"__builtin__\.exec"
    yield "old eval", spelt(f"c__builtin__\neval\n(S{make!r}\ntR."), r"__builtin__\.eval"
    yield "posix.system", FOUR + short("posix") + short("system") + b"\x93" + short(touch) + b"\x85R.", "posix"
    yield "dotted", FOUR + short("numpy") + short("ndarray.tofile") + b"\x93.", r"numpy\.ndarray\.tofile"
    yield "instance", spelt(f"(S{touch!r}\nios\nsystem\n."), r"os\.system"
    yield "object", spelt(f"(cos\nsystem\nS{touch!r}\no."), r"os\.system"
    yield "frompyfunc", pickle.dumps(Reduced(np.frompyfunc, os.system, 1, 1), 4), r"numpy\.frompyfunc"
    yield (
        "runstring",
        spelt(f"cnumpy.testing._private.utils\nrunstring\n(S{make!r}\n}}tR."),
        r"numpy\.testing\._private\.utils\.runstring",
    )
    yield "getattr", pickle.dumps(Reduced(getattr, Reduced(__import__, "os"), "system"), 4), r"builtins\.getattr"
    yield "method", pickle.dumps(np.ones(3).tofile, 4), r"builtins\.getattr"
    yield "torch", spelt("ctorch\nload\n."), r"torch\.load"
    yield "persistent", spelt(f"Pcos\nsystem {touch}\n."), "the object .* outside the file"
    yield "persistent object", spelt(f"S{touch!r}\nQ."), f"the object .*{touch[:5]}.* outside the file"
    yield "codec", spelt("c_codecs\nencode\n(S'a'\nS'rot13'\ntR."), "the encoding 'rot13'"
    yield "state of a function", spelt("cnumpy\ndtype\n(N}S'__defaults__'\n(I1\nI2\ntstb."), "a state of function"
    yield "state of a class", spelt("ccollections\nOrderedDict\n}S'get'\nI1\nsb."), "a state of type"


class TestCode:
    @pytest.mark.parametrize("place", range(len(list(hostile("proof")))), ids=[name for name, *_ in hostile("proof")])
    def test_a_name_that_arrays_do_not_need_is_refused_and_nothing_is_run(self, saved, tmp_path, place):
        proof = tmp_path / "proof"
        _, content, asked = list(hostile(str(proof)))[place]
        with pytest.raises(
            Refused, match=rf"saved\.pd: refused, it is not plain arrays: it asks for {asked}.*; nothing in it was run"
        ):
            read_saved(saved(content))
        assert not proof.exists()
        assert same(read_saved(saved(pickle.dumps(BATCHES, 4))), BATCHES)

    def test_the_proof_would_come_about(self, tmp_path):
        ran = []
        for name, content, _ in hostile(str(tmp_path / "proof")):
            if name.startswith(("os.system", "eval", "exec", "old eval", "posix", "instance", "object")):
                pickle.loads(content)  # noqa: S301
                ran.append((tmp_path / "proof").exists())
                (tmp_path / "proof").unlink()
        assert ran == [True] * 12

    @pytest.mark.parametrize("opcode", [b"\x82\xf0", b"\x83\xf0\0", b"\x84\xf0\0\0\0"], ids=["1", "2", "4"])
    @pytest.mark.parametrize("used_before", [False, True])
    def test_a_registered_extension_is_refused_even_if_the_process_used_it_before(
        self, saved, tmp_path, opcode, used_before
    ):
        proof = tmp_path / "proof"
        copyreg.add_extension("os", "system", 240)
        try:
            if used_before:
                assert pickle.loads(b"\x80\x02" + opcode + b".") is os.system  # noqa: S301
            with pytest.raises(Refused, match=r"saved\.pd: refused, .* the registered extension 240; nothing"):
                read_saved(saved(b"\x80\x02" + opcode + f"(S\"touch '{proof}'\"\ntR.".encode()))
        finally:
            copyreg.remove_extension("os", "system", 240)
        assert not proof.exists()


class TestArrays:
    @pytest.mark.parametrize("protocol", PADDLES)
    @pytest.mark.parametrize(
        ("dtype", "told"),
        [
            ("O", "an array of objects"),
            ([("a", "f4"), ("b", "O")], "an array of o"),
            ([("a", "f4")], "an array of other things than numbers"),
            ("V4", "an array of other things than numbers"),
            ("U3", "an array of other things than numbers"),
            ("S3", "an array of other things than numbers"),
            ("M8[s]", "an array of other things than numbers"),
        ],
        ids=str,
    )
    def test_an_array_of_anything_but_numbers_is_refused(self, saved, dtype, told, protocol):
        with pytest.raises(Refused, match=rf"saved\.pd: refused, it is not plain arrays: it asks for {told}"):
            read_saved(saved(pickle.dumps(np.zeros(2, dtype), protocol)))

    @pytest.mark.parametrize(
        "content",
        [
            NDARRAY + b"(J\0\0\0\x10t\x85R.",
            NDARRAY + b"(J\0\0\0\x10t\x85\x81.",
            NDARRAY + b"((K\x02tS'O'\ntR.",
            EMPTY.replace(b"(K\0t", b"(J\0\0\0\x10t") + b".",
            EMPTY + b"(K\x01(J\0\0\0\x10J\0\0\0\x10t" + FLOAT + b"I00\nC\x0812345678tb.",
            EMPTY + b"(K\x01(K\x02t" + FLOAT + b"I00\nC\x0812345678tb.",
            EMPTY + b"(K\x01(J\xff\xff\xff\xfft" + FLOAT + b"I00\nC\x0812345678tb.",
            EMPTY + b"(K\x01(K\x01t" + FLOAT + b"I00\n(K\x01ltb.",
            EMPTY + b"(K\x01(K\x01t" + FLOAT + b"(I3\nS'<'\nNNNI-1\nI-1\nI63\ntbI00\n(K\x01ltb.",
            EMPTY + b"}S'a'\nK\x01sb.",
            FLOAT + b"(I3\nS'<'\nNNNI-1\nI-1\nI63\ntb.",
            FLOAT + b"(I3\nS'<'\nNNNI4\nI-1\nI0\ntb.",
            FLOAT + b"(I3\nS'<'\n(" + FLOAT + b"(I9\nttNNI-1\nI-1\nI0\ntb.",
            VOID + b"(I3\nS'|'\nNNNI-8\nI1\nI0\ntb.",
            VOID + b"(I3\nS'|'\nN(S'a'\nt}S'a'\n(" + FLOAT + b"I1000000\ntsI8\nI1\nI0\ntb.",
            b"cnumpy\ndtype\n((S'f8'\nK\x04ttR.",
            b"cnumpy\ndtype\n(]tR.",
        ],
        ids=[
            "size alone",
            "size alone by new",
            "objects by size",
            "size before its state",
            "size over 8 bytes",
            "twice its bytes",
            "negative",
            "a list for its bytes",
            "flags of objects",
            "attributes",
            "flags",
            "item size",
            "part of an array",
            "negative item size",
            "field beyond its item",
            "type of arrays",
            "type of nothing",
        ],
    )
    def test_an_array_that_is_not_its_own_bytes_is_refused_before_it_takes_memory(self, saved, content):
        assert refused_with(saved(TWO + content)) < TAKEN

    @pytest.mark.parametrize(
        "content",
        [
            b"\x80\x04\x95" + struct.pack("<Q", HUGE) + b".",
            b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b".",
            b"\x80\x03B" + struct.pack("<I", HUGE) + b".",
            b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b".",
            b"\x80\x05\x96" + struct.pack("<Q", HUGE) + b".",
            b"\x80\x02\x8b" + struct.pack("<i", HUGE) + b".",
            b"\x80\x02]r" + struct.pack("<I", HUGE >> 4) + b"0.",
            b"\x80\x02h\x00.",
            b"\x80\x05\x97.",
        ],
        ids=["frame", "bytes8", "bytes4", "text", "bytearray", "number", "memo", "nothing kept", "buffer"],
    )
    def test_a_length_that_the_file_claims_takes_no_memory(self, saved, content):
        assert refused_with(saved(content)) < TAKEN


class TestDamage:
    @pytest.mark.parametrize("protocol", PADDLES)
    def test_a_truncated_file_is_refused_wherever_it_ends(self, scratch, protocol):
        whole = pickle.dumps(BATCHES, protocol)
        passed = []
        for length in range(len(whole)):
            scratch.write_bytes(whole[:length])
            try:
                read_saved(scratch)
                passed.append((length, "was read"))
            except Refused as refused:
                told = str(refused)
                if f"{scratch}: truncated, or nothing that Paddle saved: " not in told and whole[length - 1] != ord(
                    "."
                ):
                    passed.append((length, told))
        assert passed == []
        assert len(whole) > 200

    @pytest.mark.parametrize(
        "content",
        [b"", b"<html>404</html>.", b"PK\x03\x04", b"\x89PNG\r\n.", bytes(20), FOUR, FOUR + b".", b"\x80\x7f."],
        ids=repr,
    )
    def test_a_file_of_another_kind_is_refused(self, saved, content):
        with pytest.raises(Refused, match=r"saved\.pd: truncated, or nothing that Paddle saved: \w+"):
            read_saved(saved(content))

    def test_what_follows_a_pickle_is_refused(self, saved):
        with pytest.raises(Refused, match=r"saved\.pd: truncated, or nothing that Paddle saved: \d+ bytes"):
            read_saved(saved(pickle.dumps(BATCHES, 4) + bytes(3)))

    @given(st.data(), st.sampled_from(PADDLES))
    def test_a_damaged_file_is_read_or_refused(self, scratch, data, protocol):
        damaged = bytearray(pickle.dumps(BATCHES, protocol))
        for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=6)):
            damaged[place] = data.draw(st.integers(0, 255))
        scratch.write_bytes(damaged)
        try:
            read_saved(scratch)
        except Refused as refused:
            told = str(refused)
            assert told.startswith(f"{scratch}: "), told

    @given(st.binary(max_size=200))
    def test_any_bytes_are_read_or_refused(self, scratch, content):
        scratch.write_bytes(FOUR + content + b".")
        try:
            read_saved(scratch)
        except Refused as refused:
            told = str(refused)
            assert told.startswith(f"{scratch}: "), told

    def test_a_container_that_holds_itself_is_read(self, saved):
        loop: list[Any] = []
        loop.append(loop)
        found = read_saved(saved(pickle.dumps(loop, 4)))
        assert found[0] is found

    def test_containers_in_containers_however_deep_are_read_or_refused(self, saved):
        deep = TWO + b"]" * 10_000 + b"a" * 9_999 + b"."
        found = read_saved(saved(deep))
        depth = 0
        while found:
            found, depth = found[0], depth + 1
        assert depth == 9_999
