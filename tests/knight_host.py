"""A machine whose tools of TS.Knight are only played, a model with a recipe for them, and what they were told."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from harness.backends import Availability, Batch, Room
from harness.backends.knight import BACKEND
from harness.cells import Cell
from harness.evaluate import answered, stack
from harness.knight.drive.session import KnightSession
from harness.model import Model
from harness.probe import machine
from harness.recipe import Recipe
from harness.registry import load_models
from harness.store import Artefact
from harness.workbench import Workbench

FOLDER = Path(__file__).parent / "standin" / "knight"
MODULES = FOLDER.parent / "modules"

OPTIONS = {
    "ppocr_det": {
        "name": "ocrv3_det",
        "infer_function": "infer_ocr_det_model",
        "chip": "TX511",
        "iterations": 50,
        "mode": "kl",
        "output_float": True,
        "dump": True,
    },
    "ppocr_cls": {
        "name": "ocrv3_cls",
        "infer_function": "infer_ocr_cls_model",
        "chip": "TX511",
        "iterations": 10,
        "open_batch": True,
        "dump": True,
    },
    "ppocr_rec": {
        "name": "ocrv3_rec",
        "infer_function": "infer_ocr_rec_model",
        "chip": "TX511",
        "iterations": 300,
        "mode": "min_max",
        "dump": True,
    },
}
"""What guide 004 tells its tools of each network."""
PRECISION = {"ppocr_det": "int8", "ppocr_cls": "int8", "ppocr_rec": "int16"}


@cache
def declared(name: str, /, **changes: object) -> Model:
    """The model with the guide's recipe for these tools; ``changes`` are of its options."""
    model = load_models()[name]
    precision = PRECISION[name]
    foretelling = next(form.name for form in model.forms if form.precision == precision)
    recipe = Recipe(
        precision=precision,
        toolkits=("1.1.0.7",),
        options={**OPTIONS[name], **changes},
        compiles={"onnx": "program"},
        foretold={"onnx": foretelling, "exported": foretelling},
        points=("bs1_512x896",) if name == "ppocr_det" else ("bs1",),
    )
    return replace(model, recipes={**model.recipes, "knight": recipe})


def cell_of(model: Model, form: str = "onnx") -> Cell:
    """The form on these tools, at the one point that they are asked for."""
    recipe = model.recipes["knight"]
    return Cell(model, model.form(form), "knight", recipe.precision, model.point(recipe.points[0]))


@dataclass
class Played:
    """The machine: ``bench`` builds for it, ``calls`` is the file that lists what its tools were told."""

    bench: Workbench
    calls: Path
    calibration: Path
    set_variable: Callable[[str, str], None]

    def habits(self, *names: str) -> None:
        """From now on the tools do this."""
        self.set_variable("KNIGHT_STANDIN", ",".join(names))

    def available(self) -> Availability:
        """What discovery finds now."""
        return BACKEND.discover(machine(fresh=True))

    def called(self, tool: str) -> list[list[str]]:
        """What a tool was told, call by call, without the calls that ask it about itself."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        found = [call["arguments"] for call in map(json.loads, lines) if call["tool"] == tool]
        return [arguments for arguments in found if "--help" not in arguments and arguments != ["-v"]]

    def batches(self, model: Model, reference: str, count: int) -> list[Batch]:
        """So many items of a reference's data, one a batch."""
        cell = cell_of(model)
        return stack(self.bench.inputs(cell.sized, model.reference(reference), count), model, 1)

    def room(self, inputs: list[Batch]) -> Room:
        """Where the backend works, calibrating on these inputs."""
        self.calibration.mkdir(exist_ok=True)
        for number, batch in enumerate(inputs):
            (value,) = batch.inputs.values()
            np.save(self.calibration / f"{number}.npy", value[0])
        artefact = Artefact("calibration", self.calibration, "key", f"{len(inputs)}", {}, "test", 0)
        return Room(self.bench.store, self.bench.scratch, self.bench.compute, calibration=lambda: artefact)

    def form(self, cell: Cell, reference: str) -> Artefact:
        """What the tools are given."""
        return self.bench.form(cell.model, cell.model.reference(reference), cell.loaded)

    @contextmanager
    def opened(self, cell: Cell, reference: str, calibrate: int = 4) -> Iterator[KnightSession]:
        """A session on the quantised network."""
        room = self.room(self.batches(cell.model, reference, calibrate))
        with BACKEND.open(BACKEND.prepare(self.form(cell, reference), cell, room), cell, room) as session:
            yield session

    def outputs(self, session: KnightSession, cell: Cell, asked: list[Batch]) -> np.ndarray:
        """What the session answers, checked, one after the other."""
        name = cell.sized.outputs[0].name
        return np.concatenate([one.values[name] for one in answered(session, asked, cell.sized)])


@contextmanager
def host_in(folder: Path, monkeypatch: pytest.MonkeyPatch, generation: str = "script") -> Iterator[Path]:
    """The environment of a played machine with tools of a generation, or an ``image``; the file of its calls."""
    python = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([str(FOLDER / "bin"), python, os.environ.get("PATH", os.defpath)]))
    monkeypatch.setenv("PYTHONPATH", str(MODULES))
    monkeypatch.setenv("KNIGHT_STANDIN_CALLS", str(folder / "calls"))
    if generation == "script":
        monkeypatch.setenv("KNIGHT_TOOLS", str(FOLDER / "tools"))
    if generation == "image":
        monkeypatch.setenv("KNIGHT_IMAGE", "knight-standin:1.0")
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    yield folder / "calls"
    assert list(temporary.iterdir()) == [], "temporary files were left behind"
