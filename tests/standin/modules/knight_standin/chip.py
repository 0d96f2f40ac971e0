"""Plays compiler, simulator and profiler: a compiled network is the quantised graph under another name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knight_standin import VERSION, say
from knight_standin.graphs import loaded
from knight_standin.habits import asked, works


def compiled(source: Path, targets: Sequence[Path]) -> int:
    """Writes the graph to the first target, and a head to the second, where there is one."""
    works()
    if asked("compile_silent"):
        return 0
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    targets[0].write_bytes(source.read_bytes())
    for target in targets[1:]:
        target.write_text(json.dumps({"compiler": VERSION}))
    say(f"compiled {targets[0].name}")
    return 0


def simulated(model: Path, binary: Path, folder: Path, by_name: bool) -> int:
    """Writes a result for each output, named by its number or its name."""
    works()
    session = loaded(model.read_bytes())
    (given,) = session.get_inputs()
    array = np.fromfile(binary, np.float32).reshape(given.shape)
    folder.mkdir(parents=True, exist_ok=True)
    for number, value in enumerate(session.run(None, {given.name: array})):
        name = session.get_outputs()[number].name.replace("/", "_")
        stem = f"result-{name}" if by_name else f"result_{number}"
        if not asked("no_result"):
            (folder / f"{stem}_p.txt").write_text(result(spoilt(value)))
            if by_name:
                (folder / f"{stem}_hwc_p.txt").write_text("in another order\n")
    say("simulation done")
    return 0


def profiled(folder: Path) -> int:
    """Writes an estimate in a layout of its own."""
    works()
    (folder / "layer_cycles_NPU_0.txt").write_text(f"{VERSION}\nCost (ms) | 1.25\n")
    return 0


def spoilt(value: NDArray) -> NDArray:
    """The numbers as they are to be written."""
    value = value.astype(np.float64)
    if asked("off_by_one"):
        value.flat[-1] += 1
    if asked("nan"):
        value.flat[0] = np.nan
    return value


def result(value: NDArray) -> str:
    """A result file: N, C, H, W, then the channels, in one line each or row by row."""
    channels = value.reshape(value.shape[1], -1) if value.ndim > 1 else value.reshape(1, -1)
    if value.ndim == 4:
        channels = value[0]
    elif value.ndim == 3:
        channels = value[0][:, None, :]
    else:
        channels = channels[:, :, None]
    c, h, w = channels.shape
    whole = np.array_equal(value, np.rint(value))
    told = (lambda number: str(int(number))) if whole else (lambda number: f"{number:.6f}")
    lines = [] if asked("rows") else [f"SHAPE:(N:1, C:{c}, H:{h}, W:{w})"]
    for number, channel in enumerate([*channels, *([channels[0]] if asked("longer") else [])]):
        lines.append(f"C[{number}]:")
        if asked("rows"):
            lines += [" ".join(map(told, row)) for row in channel]
        else:
            lines.append("".join(f"{told(each)}," for each in channel.ravel()))
    text = "\n".join(lines) + "\n"
    return text[: len(text) // 2] if asked("truncated") else text
