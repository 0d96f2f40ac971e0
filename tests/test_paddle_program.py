"""Paddle's own files are read without Paddle, byte for byte, and every layer of a network gets the tensors it had."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from torch import nn

from harness.checkpoints.paddle_layers import state_of
from harness.checkpoints.paddle_program import (
    DTYPES,
    Operator,
    Program,
    read_parameters,
    read_program,
    write_parameters,
)
from harness.verdict import Refused

CLS, DET, REC = "ch_ppocr_mobile_v2.0_cls_infer", "ch_PP-OCRv3_det_infer", "en_PP-OCRv3_rec_dequantised"
PUBLISHED = {CLS: (213, 133_628), DET: (288, 592_625), REC: (196, 2_227_937)}
"""How many tensors and numbers each published model stores."""
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in ("feed", "fetch")
)
TENSORS = st.dictionaries(
    NAMES,
    st.sampled_from(sorted(DTYPES.values())).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
    ),
    max_size=6,
)


# A program spelt by hand from framework.proto, so that the reader's own schema is not what tests it.


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes(found) + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def nested(field: int, *content: bytes) -> bytes:
    joined = b"".join(content)
    return varint(field << 3 | 2) + varint(len(joined)) + joined


def described(dtype: int, dims: Iterable[int]) -> bytes:
    """A ``TensorDesc``."""
    return number(1, dtype) + b"".join(number(2, size) for size in dims)


def variable(name: bytes, shape: Iterable[int], *, persistable: bool = True, dtype: int = 5) -> bytes:
    kind = number(1, 7) + nested(3, nested(1, described(dtype, shape)), number(2, 0))
    return nested(3, nested(1, name), nested(2, kind), number(3, persistable))


def operator(kind: bytes, inputs: dict[bytes, bytes], outputs: dict[bytes, bytes]) -> bytes:
    said = [nested(1, nested(1, key), nested(2, value)) for key, value in inputs.items()]
    said += [nested(2, nested(1, key), nested(2, value)) for key, value in outputs.items()]
    attributes = [
        nested(4, nested(1, b"is_test"), number(2, 6), number(10, 1)),
        nested(4, nested(1, b"trans_y"), number(2, 6), number(10, 0)),
        nested(4, nested(1, b"num_layers"), number(2, 0), number(3, 1)),
    ]
    return nested(4, *said, nested(3, kind), *attributes)


def block(*content: bytes) -> bytes:
    return nested(1, number(1, 0), number(2, -1), *content)


FEED = operator(b"feed", {b"X": b"feed"}, {b"Out": b"x"})
VERSION = nested(4, number(1, 0))
SPELT = (
    block(
        variable(b"fc_0.w_0", [2, 3]),
        variable(b"x", [-1, 2], persistable=False),
        variable(b"feed", [], persistable=True),
        variable(b"fc_0.b_0", [3]),
        FEED,
        operator(b"matmul_v2", {b"X": b"x", b"Y": b"fc_0.w_0"}, {b"Out": b"y"}),
    )
    + VERSION
)


@pytest.fixture
def published(shared) -> Callable[[str], Path]:
    """The folder of a published model."""
    return lambda name: shared / "assets" / "weights" / "ppocrv3" / name


@pytest.fixture
def classifier(published) -> tuple[Program, dict[str, Any]]:
    """The program and the tensors of the published direction classifier."""
    folder = published(CLS)
    program = read_program(folder / "inference.pdmodel")
    return program, read_parameters(folder / "inference.pdiparams", program)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    """A file that every example of a hypothesis writes anew."""
    return tmp_path_factory.mktemp("paddle") / "inference.pdiparams"


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Writes bytes under a name, and returns the path."""

    def written(content: bytes, name: str = "inference.pdiparams") -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return written


def holding(tensors: dict[str, Any]) -> Program:
    """A program of stored tensors alone."""
    return Program({name: tensor.shape for name, tensor in tensors.items()}, ())


def record(dtype: int, dims: Iterable[int], content: bytes = b"") -> bytes:
    """One tensor as it is stored."""
    text = described(dtype, dims)
    return struct.pack("<IQIi", 0, 0, 0, len(text)) + text + content


class TestPublished:
    @pytest.mark.parametrize("name", PUBLISHED)
    def test_every_tensor_is_read_and_written_again_byte_for_byte(self, published, tmp_path, name):
        folder = published(name)
        program = read_program(folder / "inference.pdmodel")
        tensors = read_parameters(folder / "inference.pdiparams", program)
        write_parameters(tmp_path / "inference.pdiparams", tensors)
        assert (tmp_path / "inference.pdiparams").read_bytes() == (folder / "inference.pdiparams").read_bytes()
        assert (len(tensors), sum(tensor.size for tensor in tensors.values())) == PUBLISHED[name]
        assert {tensor.dtype.name for tensor in tensors.values()} == {"float32"}
        assert all(np.isfinite(tensor).all() for tensor in tensors.values())

    def test_operators_come_in_the_order_in_which_they_run(self, classifier):
        operators = classifier[0].operators
        assert operators[0].type == "feed"
        assert operators[-1].type == "fetch"
        made = {"feed"} | set(classifier[0].shapes)
        for one in operators:
            assert made.issuperset(name for names in one.inputs.values() for name in names)
            made |= {name for names in one.outputs.values() for name in names}

    @pytest.mark.parametrize(("program", "parameters"), [(a, b) for a in PUBLISHED for b in PUBLISHED if a != b])
    def test_the_parameters_of_another_model_are_refused(self, published, program, parameters):
        path = published(parameters) / "inference.pdiparams"
        with pytest.raises(Refused) as refused:
            read_parameters(path, read_program(published(program) / "inference.pdmodel"))
        told = str(refused.value)
        assert told.startswith(f"{path}: tensor '")
        assert "its program declares" in told
        assert told.endswith(": these are the parameters of another model")

    def test_truncated_parameters_are_refused_wherever_they_end(self, published, write):
        folder = published(CLS)
        program = read_program(folder / "inference.pdmodel")
        whole = (folder / "inference.pdiparams").read_bytes()
        lengths = {*range(0, 60, 3), *np.linspace(60, len(whole) - 1, 60, dtype=int).tolist()}
        for length in sorted(lengths):
            path = write(whole[:length])
            with pytest.raises(Refused, match=rf"^{path}: tensor '\w+\.\w+': truncated, "):
                read_parameters(path, program)

    @pytest.mark.parametrize("more", [b"\0", bytes(24), b"extra bytes"])
    def test_bytes_after_the_last_tensor_are_refused(self, published, write, more):
        folder = published(CLS)
        path = write((folder / "inference.pdiparams").read_bytes() + more)
        with pytest.raises(
            Refused, match=rf"^{path}: {len(more)} bytes after the last of 213 tensors: .*another model"
        ):
            read_parameters(path, read_program(folder / "inference.pdmodel"))

    def test_a_truncated_program_is_refused_or_still_whole(self, published, write, classifier):
        whole = (published(CLS) / "inference.pdmodel").read_bytes()
        found = []
        for length in [*np.linspace(0, len(whole) - 1, 20, dtype=int).tolist(), *range(len(whole) - 8, len(whole))]:
            path = write(whole[:length], "inference.pdmodel")
            try:
                found.append(read_program(path))
            except Refused as refused:
                told = str(refused)
                assert told.startswith(f"{path}: not a Paddle "), told
        # What follows the only block is a version; protobuf cannot tell that it is missing.
        assert all(program == classifier[0] for program in found)
        assert len(found) < 8


class TestParameters:
    @given(TENSORS)
    def test_tensors_of_any_kind_and_shape_come_back_bit_for_bit(self, scratch, tensors):
        write_parameters(scratch, tensors)
        found = read_parameters(scratch, holding(tensors))
        assert list(found) == sorted(tensors)
        for name, tensor in tensors.items():
            assert (found[name].shape, found[name].dtype) == (tensor.shape, tensor.dtype)
            assert found[name].tobytes() == tensor.tobytes()

    @given(TENSORS)
    def test_a_file_is_its_tensors_in_the_order_of_their_names(self, scratch, tensors):
        write_parameters(scratch, dict(reversed(tensors.items())))
        numbers = {name: code for code, name in DTYPES.items()}
        expected = [
            record(numbers[tensor.dtype.name], tensor.shape, tensor.tobytes()) for _, tensor in sorted(tensors.items())
        ]
        assert scratch.read_bytes() == b"".join(expected)

    @pytest.mark.parametrize("lay", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a.repeat(2, 1)[:, ::2]])
    def test_how_a_tensor_lies_in_memory_does_not_matter(self, scratch, lay):
        tensor = np.arange(6, dtype=np.float32).reshape(2, 3)
        write_parameters(scratch, {"a": lay(tensor)})
        assert np.array_equal(read_parameters(scratch, holding({"a": tensor}))["a"], tensor)

    @given(TENSORS.filter(bool), st.data())
    def test_a_truncated_file_is_refused_with_a_name(self, scratch, tensors, data):
        write_parameters(scratch, tensors)
        whole = scratch.read_bytes()
        scratch.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(Refused, match=r"tensor .*: truncated, ") as refused:
            read_parameters(scratch, holding(tensors))
        assert str(refused.value).startswith(f"{scratch}: ")

    @given(TENSORS, st.data())
    def test_a_damaged_file_is_read_or_refused(self, scratch, tensors, data):
        write_parameters(scratch, tensors)
        damaged = bytearray(scratch.read_bytes() or bytes(1))
        for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3)):
            damaged[place] = data.draw(st.integers(0, 255))
        scratch.write_bytes(damaged)
        try:
            found = read_parameters(scratch, holding(tensors))
        except Refused as refused:
            told = str(refused)
            assert told.startswith(f"{scratch}: "), told
        else:
            assert {name: tensor.shape for name, tensor in found.items()} == holding(tensors).shapes

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "tensor 'a': truncated, the file ends at 0 before it"),
            (b"\x89PNG\r\n\x1a\n" * 9, "tensor 'a': no tensor begins at byte 0: not a file of combined parameters"),
            (b"\x80\x04]." * 9, "tensor 'a': no tensor begins at byte 0"),
            (record(5, [2], bytes(8))[4:], "tensor 'a': no tensor begins at byte 0"),
            (struct.pack("<IQIi", 0, 0, 0, -1) + bytes(9), "tensor 'a': no tensor begins at byte 0"),
            (struct.pack("<IQIi", 0, 0, 0, 1 << 30) + bytes(9), "tensor 'a': no tensor begins at byte 0"),
            (record(5, [2])[:-1], "tensor 'a': truncated, the file ends at 23 in its description"),
            (struct.pack("<IQIi", 0, 0, 0, 4) + b"\xff" * 9, "tensor 'a': its description cannot be read: "),
            (record(22, [2], bytes(4)), r"tensor 'a': of type 22 and shape \[2\], which is no tensor"),
            (record(5, [-2], bytes(8)), r"tensor 'a': of type 5 and shape \[-2\], which is no tensor"),
            (record(5, [1] * 70, bytes(4)), "tensor 'a': of rank 70, which is no tensor"),
            (record(5, [0, 1 << 62, 1 << 62]), "tensor 'a': of rank 3, which is no tensor"),
            (record(5, [1 << 28], bytes(8)), "tensor 'a': truncated, 1073741824 bytes expected, 8 found"),
            (record(5, [1 << 62, 1 << 62], bytes(8)), r"tensor 'a': truncated, \d{38} bytes expected, 8 found"),
            (record(5, [3], bytes(12)), r"tensor 'a' has shape \[3\], its program declares \[2\]: .* another model"),
            (record(5, [2, 1], bytes(8)), r"tensor 'a' has shape \[2, 1\], its program declares \[2\]"),
            (record(5, [2], bytes(8)) * 2, "32 bytes after the last of 1 tensors: these are .* another model"),
        ],
    )
    def test_what_is_wrong_is_named_and_takes_no_memory(self, write, content, told):
        path = write(content)
        tracemalloc.start()
        try:
            with pytest.raises(Refused, match=rf"^{path}: {told}"):
                read_parameters(path, Program({"a": (2,)}, ()))
            taken = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert taken < 1 << 22

    def test_a_missing_file_is_no_damage(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_parameters(tmp_path / "inference.pdiparams", Program({}, ()))


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), 7).save(buffer, format="PNG")
    return buffer.getvalue()


def graph() -> bytes:
    """A whole ONNX file."""
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy"]
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    return onnx.helper.make_model(onnx.helper.make_graph([node], "feed", values[:1], values[1:])).SerializeToString()


class TestProgram:
    def test_a_program_spelt_by_hand_is_read(self, write):
        found = read_program(write(SPELT, "inference.pdmodel"))
        assert found.shapes == {"fc_0.w_0": (2, 3), "fc_0.b_0": (3,)}
        assert found.operators == (
            Operator("feed", {"X": ("feed",)}, {"Out": ("x",)}, frozenset({"is_test"})),
            Operator("matmul_v2", {"X": ("x",), "Y": ("fc_0.w_0",)}, {"Out": ("y",)}, frozenset({"is_test"})),
        )

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "not a Paddle inference program: it has no operator that feeds an input"),
            (picture(), "not a Paddle "),
            (graph(), "not a Paddle "),
            (b"<html>404</html>", "not a Paddle program, truncated or of another kind"),
            (b"{}", "not a Paddle "),
            (block(variable(b"a", [1])), "not a Paddle inference program: it has no operator that feeds an input"),
            (block(FEED) + block(FEED), "a program of 2 blocks; only straight programs can be read"),
            (block(FEED, variable(b"b\xe9", [1])), "not a Paddle program, .*'utf-8' codec can't decode"),
            (block(FEED, operator(b"\xff", {}, {})), "not a Paddle program, .*'utf-8' codec can't decode"),
            (block(FEED, operator(b"a", {b"X": b"\xff"}, {})), "not a Paddle program, .*'utf-8' codec can't decode"),
            (block(FEED, operator(b"a", {}, {b"\xff": b"X"})), "not a Paddle program, .*'utf-8' codec can't decode"),
        ],
        ids=[
            "empty",
            "picture",
            "ONNX",
            "page",
            "JSON",
            "no feed",
            "two blocks",
            "name",
            "type",
            "argument",
            "parameter",
        ],
    )
    def test_what_is_no_program_is_refused_with_its_file(self, write, content, told):
        path = write(content, "inference.pdmodel")
        with pytest.raises(Refused, match=rf"^{path}: {told}"):
            read_program(path)

    @given(st.binary(max_size=300))
    def test_random_bytes_are_no_program(self, scratch, content):
        scratch.write_bytes(content)
        with pytest.raises(Refused, match=r": not a Paddle ") as refused:
            read_program(scratch)
        assert str(refused.value).startswith(f"{scratch}: ")

    @given(st.integers(0, len(SPELT) - 1))
    def test_a_truncated_program_is_refused_or_still_whole(self, scratch, length):
        scratch.write_bytes(SPELT)
        whole = read_program(scratch)
        scratch.write_bytes(SPELT[:length])
        try:
            found = read_program(scratch)
        except Refused:
            found = None
        # Only what follows the block can be missing unseen: a version.
        assert found == (whole if length == len(SPELT) - len(VERSION) else None)

    @given(st.lists(st.tuples(st.integers(0, len(SPELT) - 1), st.integers(0, 255)), min_size=1, max_size=4))
    def test_a_damaged_program_is_read_or_refused_and_so_are_its_layers(self, scratch, changes):
        damaged = bytearray(SPELT)
        for place, value in changes:
            damaged[place] = value
        scratch.write_bytes(damaged)
        try:
            program = read_program(scratch)
            state_of(
                nn.Sequential(nn.Linear(2, 3, bias=False)),
                program,
                {name: np.zeros((2, 3), np.float32) for name in program.shapes},
            )
        except Refused as refused:
            told = str(refused)
            assert told.startswith((f"{scratch}: not a Paddle ", "the program's layers", "operator ", "1 stored")), told
