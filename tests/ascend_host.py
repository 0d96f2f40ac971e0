"""A workbench on a host whose Ascend tools are only played, and what those tools were called with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from harness.ascend.drive import occupancy
from harness.backends import Batch, Room, Session
from harness.cells import Ask, Cell
from harness.evaluate import answered, stack
from harness.model import Model
from harness.store import Artefact, Store
from harness.workbench import Workbench
from tests.standin_host import environment


@dataclass
class Played:
    """A host whose tools are played: ``bench`` builds for it, ``calls`` is the file that lists what they were told."""

    bench: Workbench
    model: Model
    calls: Path
    set_variable: Callable[[str, str], None]

    def misbehave(self, how: str) -> None:
        """From now on the tools do this wrong."""
        self.set_variable("ASCEND_STANDIN", how)

    def cell(self, batch: int = 4) -> Cell:
        """The deployed form of the model on the device."""
        point = next(point for point in self.model.points if point.batch == batch)
        return Cell(self.model, self.model.form(self.model.main), "ascend", "fp16", point)

    def ask(self, question: str, batch: int = 4) -> Ask:
        """A question of that cell under the bundled reference."""
        return Ask(question, self.model, self.model.form(self.model.main), self.cell(batch), "bundled", choice=True)

    def batches(self, count: int, size: int = 4) -> list[Batch]:
        """So many items of the bundled data in batches; the last is short where they leave a rest."""
        return stack(self.bench.inputs(self.model, self.model.reference("bundled"), count), self.model, size)

    def outputs(self, asked: list[Batch]) -> np.ndarray:
        """What the device answers, items first."""
        with self.bench.open(self.cell(), self.model.reference("bundled")) as opened:
            found = list(answered(opened, asked, self.model, "fp16"))
        assert [one.ids for one in found] == [one.ids for one in asked]
        return np.concatenate([np.moveaxis(one.values["output1"], 1, 0) for one in found])

    def in_process(self, asked: list[Batch]) -> np.ndarray:
        """What ONNX Runtime answers in single precision, items first."""
        cell = self.bench.runner(self.cell(), self.model.form("onnx"))
        with self.bench.open(cell, self.model.reference("bundled")) as opened:
            return np.concatenate([np.moveaxis(one.values["output1"], 1, 0) for one in opened.map(asked)])

    def compiled(self, store: Store | None = None, batch: int = 4) -> Artefact:
        """What the compiler makes of the deployed form; anew in a store of its own."""
        backend, _ = self.bench.available("ascend")
        form = self.bench.form(self.model, self.model.reference("bundled"), self.model.form("onnx"))
        room = Room(store or self.bench.store, self.bench.scratch, self.bench.compute)
        return backend.prepare(form, self.cell(batch), room)

    def opened(self, made: Artefact) -> AbstractContextManager[Session]:
        """A session on what was compiled, at batch 4."""
        backend, _ = self.bench.available("ascend")
        return backend.open(made, self.cell(), Room(self.bench.store, self.bench.scratch, self.bench.compute))

    def without_ais_bench(self) -> None:
        """From now on no Python has it, so msame runs."""
        self.set_variable("PYTHONPATH", "")

    def with_recipe(self, **changes: object) -> Played:
        """The same host with another recipe."""
        recipe = replace(self.model.recipes["ascend"], **changes)
        return replace(self, model=replace(self.model, recipes={"ascend": recipe}))

    def called(self, tool: str) -> list[list[str]]:
        """What a tool was told, call by call, without the calls that ask it about itself."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        found = [call["arguments"] for call in map(json.loads, lines) if call["tool"] == tool]
        return [arguments for arguments in found if arguments and "--help" not in arguments]


@contextmanager
def host_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The environment of a played host; the file of its calls. Locks and temporary files lie in the folder."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("ASCEND_STANDIN_CALLS", str(folder / "calls"))
    monkeypatch.setenv("ASCEND_STANDIN_STATE", str(folder / "state"))
    monkeypatch.setattr(occupancy, "FOLDER", folder)
    monkeypatch.setattr(occupancy, "SETTLE", 0.1)
    yield folder / "calls"
    assert list(temporary.iterdir()) == [], "temporary files were left behind"
