"""A backend that stands for vendor tools: a program of its own, which reads a folder of files and writes another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.backends import Availability, Backend, Batch, Outputs, Room
from harness.backends.ort import OrtBackend
from harness.cells import Cell
from harness.files.windows import Tool, Window, map_files
from harness.measure import Measurement, TimingPlan
from harness.model import Model
from harness.probe import Probe
from harness.process import run
from harness.store import Artefact
from harness.verdict import Absent
from harness.workbench import Wanted, Workbench

TOOL = """
# Knows nothing of the project: takes files in the order of their numbers, so many at a time, and names each output by
# its input, as ais_bench does.
import sys
from pathlib import Path
import numpy as np
import onnxruntime

model, inputs, outputs, batch, axis, suffix = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
(given,) = session.get_inputs()
item = [size for size in given.shape if isinstance(size, int)]
files = sorted(Path(inputs).iterdir(), key=lambda path: int(path.stem.rpartition("_")[2]))
Path(outputs).mkdir()
for start in range(0, len(files), int(batch)):
    taken = files[start : start + int(batch)]
    stacked = np.stack([np.fromfile(path, np.float32).reshape(item) for path in taken])
    for k, output in enumerate(session.run(None, {given.name: stacked})):
        for path, value in zip(taken, np.moveaxis(output, int(axis), 0)):
            to = Path(outputs) / f"{path.stem}_{k}{suffix}"
            if suffix == ".bin":
                np.ascontiguousarray(value).tofile(to)
            elif suffix == ".npy":
                np.save(to, value)
            else:
                np.savetxt(to, value.reshape(-1, value.shape[-1]), "%.9g")
print(f"{len(files)} files done")
"""


def run_tool(graph: Path, model: Model, window: Window, log: Path, suffix: str = ".bin") -> Path:
    """Runs the program once over the files of a window; the folder of its outputs."""
    outputs = window.folder / "outputs"
    axis = model.outputs[0].batch_axis
    arguments = [sys.executable, "-c", TOOL, graph, window.inputs, outputs, str(window.batch), str(axis), suffix]
    done = run(arguments, folder=window.folder, log=log, timeout=120)
    if done.code or not done.lines[-1].endswith("files done"):
        raise done.failure("no outputs")
    return outputs


class FilesSession:
    """Answers batches through files, ``window`` of them by one run of a tool."""

    def __init__(self, model: Model, tool: Tool, parent: Path, window: int) -> None:
        self._model = model
        self._tool = tool
        self._parent = parent
        self._window = window

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        """Answers every batch, in order."""
        return map_files(batches, self._model, self._tool, parent=self._parent, window=self._window)

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        """Not what this backend is for."""
        raise Absent("times of a tool that starts anew say nothing")


class FilesBackend:
    """Runs ONNX in a process of its own, over files. ``spoil`` is what a broken tool does to its outputs."""

    name = "files"
    formats: tuple[str, ...] = ("onnx",)
    markers: tuple[str, ...] = ()
    compiles = False
    timed = True

    def __init__(self, folder: Path, window: int = 4, spoil: Callable[[Path], None] = lambda outputs: None) -> None:
        self.runs: list[Window] = []
        """The windows that the tool was run on."""
        self.most_bytes = 0
        """The most that lay on disk at the end of any of these runs."""
        self._folder = folder
        self._window = window
        self._spoil = spoil

    def discover(self, probe: Probe) -> Availability:
        """Present where ONNX Runtime is."""
        return OrtBackend().discover(probe)

    def prepare(self, form: Artefact, cell: Cell, room: Room) -> Artefact:
        """The ONNX file as it is."""
        return form

    @contextmanager
    def open(self, prepared: Artefact, cell: Cell, room: Room) -> Iterator[FilesSession]:
        """A session below the backend's folder, which is empty again on leaving."""
        parent = self._folder / "windows"
        parent.mkdir(parents=True, exist_ok=True)

        def tool(window: Window) -> Path:
            assert list(parent.iterdir()) == [window.folder], "the window before was not removed"
            outputs = run_tool(prepared.file("model.onnx"), cell.model, window, self._folder / "tool.log")
            self.runs.append(window)
            self.most_bytes = max(self.most_bytes, size_of(parent))
            self._spoil(outputs)
            return outputs

        yield FilesSession(cell.model, tool, parent, self._window)
        assert list(parent.iterdir()) == [], "a window was left behind"


class FilesBench(Workbench):
    """A workbench on which the files backend takes the place of ``ort``; everything else is real."""

    def __init__(self, honest: Workbench, backend: FilesBackend, scratch: Path) -> None:
        super().__init__(honest.store, honest.assets, scratch, wanted=Wanted(samples=honest.samples))
        self._backend = backend

    def available(self, name: str) -> tuple[Backend, Availability]:
        found, availability = super().available(name)
        return (self._backend if name == "ort" else found), availability


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
