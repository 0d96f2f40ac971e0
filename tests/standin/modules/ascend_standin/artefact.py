"""What the stand-in for atc writes in place of a compiled model: a line of JSON that says so, then an ONNX graph."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

from ascend_standin import VERSION

ITEM_BYTES = {"float32": 4, "float16": 2, "float64": 8, "int64": 8, "int32": 4, "int8": 1, "uint8": 1, "bool": 1}


class NoModelError(Exception):
    """A file that the stand-ins cannot load, and why."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output. ``shape`` has -1 where the size is a range, or not known before the network runs; ``ranges``
    are the least and the largest size of each axis of a dynamic input, the largest -1 where it has no end."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        """Bytes; the shape must be known."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """A model for a chip (``Ascend310P3``). ``model`` is the ONNX graph in the precision that it computes in."""

    chip: str
    precision: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    model: bytes

    @property
    def dynamic(self) -> bool:
        """Whether it takes a range of shapes."""
        return any(tensor.ranges for tensor in self.inputs)

    def write(self, path: Path) -> None:
        """Writes the file."""
        head = {
            "standin": True,
            "note": f"no model for Ascend: an ONNX graph, written by the stand-in for atc {VERSION}",
            "soc_version": self.chip,
            "precision": self.precision,
            "inputs": [asdict(tensor) for tensor in self.inputs],
            "outputs": [asdict(tensor) for tensor in self.outputs],
            "bytes": len(self.model),
        }
        path.write_bytes(json.dumps(head).encode() + b"\n" + self.model)


def read(path: Path) -> Artefact:
    """A file that the stand-in for atc wrote, whole. Raises ``NoModelError``."""
    try:
        head, _, model = path.read_bytes().partition(b"\n")
        said = json.loads(head)
        if said["standin"] is not True or said["bytes"] != len(model):
            raise NoModelError(f"{said['bytes']} bytes of a graph are announced, {len(model)} are there")
        inputs, outputs = (tuple(map(_tensor, said[kind])) for kind in ("inputs", "outputs"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoModelError(f"this is no file of the stand-in for atc: {error!r}") from error
    return Artefact(chip=said["soc_version"], precision=said["precision"], inputs=inputs, outputs=outputs, model=model)


def _tensor(said: dict) -> Tensor:
    ranges = tuple((low, high) for low, high in said["ranges"])
    return Tensor(name=said["name"], dtype=said["dtype"], shape=tuple(said["shape"]), ranges=ranges)
