"""A workbench on a host whose Ascend tools are only played, and what those tools were called with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.ascend.drive import occupancy
from harness.cells import Ask, Cell
from harness.model import Model
from harness.verdict import Answer
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


Settle = Callable[[Workbench, Ask], Answer]
