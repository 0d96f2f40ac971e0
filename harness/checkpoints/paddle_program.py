"""Reads Paddle inference models (``.pdmodel`` and ``.pdiparams``) without Paddle.

A ``.pdmodel`` is a protobuf message ``ProgramDesc``; only the fields that are used here are described below, from the
``framework.proto`` of PaddlePaddle 2.x. A ``.pdiparams`` is the plain concatenation of its persistable tensors in the
order of their names: u32 version, u64 level of detail, u32 version, i32 length, a ``TensorDesc`` of that length, bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from harness.verdict import Refused

DTYPES = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
}
"""``VarType.Type`` of ``framework.proto`` for tensors of numbers."""
NO_TENSORS = {"feed", "fetch"}
"""Variables that programs mark as persistable although nothing of them is stored."""
HEADER = struct.Struct("<IQIi")

_FIELD = descriptor_pb2.FieldDescriptorProto
_INT32, _INT64, _TEXT, _BOOL = _FIELD.TYPE_INT32, _FIELD.TYPE_INT64, _FIELD.TYPE_STRING, _FIELD.TYPE_BOOL
# Message -> field -> (number, type or message, repeated).
_SCHEMA: Mapping[str, Mapping[str, tuple[int, int | str, bool]]] = {
    "TensorDesc": {"data_type": (1, _INT32, False), "dims": (2, _INT64, True)},
    "LodTensorDesc": {"tensor": (1, "TensorDesc", False)},
    "VarType": {"type": (1, _INT32, False), "lod_tensor": (3, "LodTensorDesc", False)},
    "VarDesc": {"name": (1, _TEXT, False), "type": (2, "VarType", False), "persistable": (3, _BOOL, False)},
    "OpVar": {"parameter": (1, _TEXT, False), "arguments": (2, _TEXT, True)},
    "OpAttr": {"name": (1, _TEXT, False), "b": (10, _BOOL, False)},
    "OpDesc": {
        "inputs": (1, "OpVar", True),
        "outputs": (2, "OpVar", True),
        "type": (3, _TEXT, False),
        "attrs": (4, "OpAttr", True),
    },
    "BlockDesc": {"vars": (3, "VarDesc", True), "ops": (4, "OpDesc", True)},
    "ProgramDesc": {"blocks": (1, "BlockDesc", True)},
}


@dataclass(frozen=True)
class Operator:
    """One operator of a program: its type, the names of what it takes and gives, by parameter, and its attributes that
    say yes (``trans_y``)."""

    type: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Program:
    """A program's stored tensors (shape by name) and its operators in the order in which they run."""

    shapes: Mapping[str, tuple[int, ...]]
    operators: tuple[Operator, ...]


def read_program(path: Path) -> Program:
    """The program in a ``.pdmodel`` file. Raises ``Refused`` for a file that is none."""
    message = _message("ProgramDesc")()
    try:
        message.ParseFromString(path.read_bytes())
        blocks = [_program(block) for block in message.blocks]
    except (DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{path}: not a Paddle program, truncated or of another kind: {error}") from error
    if not blocks or not any(operator.type == "feed" for operator in blocks[0].operators):
        raise Refused(f"{path}: not a Paddle inference program: it has no operator that feeds an input")
    if len(blocks) > 1:
        raise Refused(f"{path}: a program of {len(blocks)} blocks; only straight programs can be read")
    return blocks[0]


def read_parameters(path: Path, program: Program) -> dict[str, NDArray[Any]]:
    """The stored tensors of a ``.pdiparams`` file by name; names come from the program that belongs to it.

    Raises ``Refused`` where the file is truncated, holds more than the program names, or tensors of another model.
    """
    content = path.read_bytes()
    found: dict[str, NDArray[Any]] = {}
    place = 0
    for name in sorted(program.shapes):
        tensor, place = _tensor(content, place, f"{path}: tensor {name!r}")
        if tensor.shape != program.shapes[name]:
            raise Refused(
                f"{path}: tensor {name!r} has shape {list(tensor.shape)}, its program declares "
                f"{list(program.shapes[name])}: these are the parameters of another model"
            )
        found[name] = tensor
    if place != len(content):
        raise Refused(
            f"{path}: {len(content) - place} bytes after the last of {len(found)} tensors: "
            "these are the parameters of another model"
        )
    return found


def write_parameters(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Writes tensors as a ``.pdiparams`` file, in the order of their names."""
    numbers = {name: number for number, name in DTYPES.items()}
    with path.open("wb") as file:
        for _, tensor in sorted(tensors.items()):
            described = _message("TensorDesc")(data_type=numbers[tensor.dtype.name], dims=tensor.shape)
            text = described.SerializeToString()
            values = tensor.astype(tensor.dtype.newbyteorder("<"))
            file.write(HEADER.pack(0, 0, 0, len(text)) + text + values.tobytes())


def _tensor(content: bytes, place: int, where: str) -> tuple[NDArray[Any], int]:
    """The tensor that begins at ``place``, and where the next one begins."""
    if place + HEADER.size > len(content):
        raise Refused(f"{where}: truncated, the file ends at {len(content)} before it")
    version, level, tensor_version, length = HEADER.unpack_from(content, place)
    place += HEADER.size
    if (version, level, tensor_version) != (0, 0, 0) or not 0 < length < 1024:
        raise Refused(f"{where}: no tensor begins at byte {place - HEADER.size}: not a file of combined parameters")
    if place + length > len(content):
        raise Refused(f"{where}: truncated, the file ends at {len(content)} in its description")
    described = _message("TensorDesc")()
    try:
        described.ParseFromString(content[place : place + length])
    except DecodeError as error:
        raise Refused(f"{where}: its description cannot be read: {error}") from error
    if described.data_type not in DTYPES or any(size < 0 for size in described.dims):
        raise Refused(f"{where}: of type {described.data_type} and shape {list(described.dims)}, which is no tensor")
    place += length
    dtype = np.dtype(DTYPES[described.data_type])
    size = int(np.prod(described.dims, dtype=object)) * dtype.itemsize
    if place + size > len(content):
        raise Refused(f"{where}: truncated, {size} bytes expected, {len(content) - place} found")
    values = np.frombuffer(content, dtype, size // dtype.itemsize, place)
    try:
        return values.reshape(tuple(described.dims)), place + size
    except ValueError as error:  # numpy has a largest rank, and a largest size even where another size is 0
        raise Refused(f"{where}: of rank {len(described.dims)}, which is no tensor: {error}") from error


def _program(block: Any) -> Program:
    return Program(
        shapes={
            _text(entry.name): tuple(entry.type.lod_tensor.tensor.dims)
            for entry in block.vars
            if entry.persistable and entry.name not in NO_TENSORS
        },
        operators=tuple(
            Operator(
                _text(operator.type),
                _names(operator.inputs),
                _names(operator.outputs),
                frozenset(_text(entry.name) for entry in operator.attrs if entry.b),
            )
            for operator in block.ops
        ),
    )


def _names(entries: Any) -> dict[str, tuple[str, ...]]:
    return {_text(entry.parameter): tuple(map(_text, entry.arguments)) for entry in entries}


def _text(value: str | bytes) -> str:
    """Protobuf gives bytes for a text that is not UTF-8. Raises ``UnicodeDecodeError`` then."""
    return value if isinstance(value, str) else value.decode()


@cache
def _message(name: str) -> Any:
    """The class of one message of the schema."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"paddle_program.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="paddle_program.proto", package="paddle_program", syntax="proto2")
    for message, fields in _SCHEMA.items():
        described = file.message_type.add(name=message)
        for field, (number, kind, repeated) in fields.items():
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            added = described.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".paddle_program.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
