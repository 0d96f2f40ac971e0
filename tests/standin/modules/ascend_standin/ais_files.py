"""How ais_bench takes inputs from files, and names and writes outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ascend_standin import say
from ascend_standin.artefact import Tensor

PURE = "pure_infer_data"
PADDING = "padding_infer_fake_file"
SUFFIXES = (".npy", ".NPY", ".bin", ".BIN")


class FailedError(Exception):
    """What the tool prints before it ends with a RuntimeError, and that error's text."""

    def __init__(self, *lines: str, error: str = "") -> None:
        super().__init__(error)
        self.lines = lines


@dataclass(frozen=True)
class Batch:
    """The files of one execution: those of each input, in order, with ``PADDING`` where there are no more."""

    files: tuple[tuple[str, ...], ...]

    @property
    def named(self) -> tuple[str, ...]:
        """The files that outputs are named after: those of the first input."""
        return self.files[0]


def batches(inputs: Sequence[str], tensors: Sequence[Tensor]) -> list[Batch]:
    """The executions: files of folders in natural order, as many to a batch as make up the first input; without any
    input one batch of nothing. Raises ``FailedError``."""
    if not inputs:
        return [Batch(tuple((PURE,) for _ in tensors))]
    lists = _lists(inputs, len(tensors))
    if len(lists) != len(tensors):
        raise FailedError(f"[ERROR] fileslist:{len(lists)} intensor:{len(tensors)} not match")
    size, needed = len(content(lists[0][0])), tensors[0].size
    if size == 0 or needed % size:
        raise FailedError(f"[ERROR] arg0 tensorsize: {needed} filesize: {size} not match")
    count = needed // size
    runs = -(-len(lists[0]) // count)
    say(f"[INFO] get filesperbatch files0 size:{size} tensor0size:{needed} filesperbatch:{count} runcount:{runs}")
    parted = [list(_parts(files, count)) for files in lists]
    if any(len(parts) < runs for parts in parted):
        raise FailedError(
            f"[ERROR] inputs have {', '.join(str(len(files)) for files in lists)} files, not as many each"
        )
    return [Batch(tuple(parts[index] for parts in parted)) for index in range(runs)]


def contents(batch: Batch, tensors: Sequence[Tensor], random: bool) -> list[bytes]:
    """The raw bytes of every input; where files lack, copies of the first of the batch. Raises ``FailedError``."""
    found = []
    for index, (files, tensor) in enumerate(zip(batch.files, tensors, strict=True)):
        if files == (PURE,):
            drawn = np.random.default_rng(0).integers(0, 256, tensor.size, np.uint8)
            found.append(drawn.tobytes() if random else bytes(tensor.size))
            continue
        raw = b"".join(content(files[0] if file == PADDING else file) for file in files)
        if len(raw) != tensor.size:
            wrong = f"Check i:{index} name:{tensor.name} in size:{len(raw)} needsize:{tensor.size} not match"
            raise FailedError(f"[ERROR] {wrong}", error="[1][ACL:invalid parameter]")
        found.append(raw)
    return found


def content(file: str) -> bytes:
    """The numbers of a file, as they lie there: of .npy without its head, and never converted."""
    if file.lower().endswith(".npy"):
        return np.load(file).tobytes()
    return Path(file).read_bytes()


def split(batch: Batch, outputs: Sequence[np.ndarray], axis: int) -> list[tuple[str, list[np.ndarray]]]:
    """The outputs of each file of a batch, by the name that they are written under. Raises ``FailedError``."""
    names, count = batch.named, len(batch.named)
    parts = []
    for index, output in enumerate(outputs):
        if axis >= output.ndim:
            raise FailedError(
                f"[ERROR] error i:{index} ndata.shape:{output.shape} len:{output.ndim} <= "
                f"output_batchsize_axis:{axis}  is invalid"
            )
        if output.shape[axis] % count:
            raise FailedError(
                f"[ERROR] save out files error array shape:{output.shape} filesinfo:{list(map(list, batch.files))} "
                f"files_count_perbatch:{count} ndata.shape{axis}:{output.shape[axis]}"
            )
        parts.append(np.array_split(output, count, axis))
    return [
        # Up to the first dot, so that img_1.5 and img_1.6 collide.
        (Path(name).name.split(".")[0], [part[index] for part in parts])
        for index, name in enumerate(names)
        if name != PADDING
    ]


def write(path: Path, values: np.ndarray) -> None:
    """An output, in the format that the name's end tells: raw, .npy, or numbers with six decimals."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".txt":
        form = "%f" if values.dtype.kind == "f" else "%d"
        rows = values.reshape(-1, values.shape[-1])
        path.write_text("".join("".join(f"{form % value} " for value in row) + "\n" for row in rows))
    else:
        values.tofile(path)


def _lists(inputs: Sequence[str], tensors: int) -> list[list[str]]:
    """The files of each input: of a folder each, or of a list that has all files of the first input first."""
    if Path(inputs[0]).is_file():
        return [list(part) for part in _parts(inputs, max(len(inputs) // tensors, 1))]
    if not Path(inputs[0]).is_dir():
        raise FailedError(f"[ERROR] Invalid args. {inputs[0]}  of --input is invalid")
    if len(inputs) != tensors:
        raise FailedError(
            f"[ERROR] Invalid args. args input dir num:{len(inputs)} not equal to model inputs num:{tensors}"
        )
    return [_files(Path(folder)) for folder in inputs]


def _files(folder: Path) -> list[str]:
    found = [str(path) for path in folder.iterdir() if path.name.endswith(SUFFIXES)] if folder.is_dir() else []
    if not found:
        valid = "valid file format:[*.npy *.NPY *.bin *.BIN]"
        raise FailedError(f"[ERROR] {folder} of input args not find valid file,{valid}")
    return sorted(sorted(found), key=_natural)


def _natural(text: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part.lower() for part in re.split("([0-9]+)", text)]


def _parts(files: Sequence[str], count: int) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(files), count):
        part = tuple(files[start : start + count])
        yield part + (PADDING,) * (count - len(part))
