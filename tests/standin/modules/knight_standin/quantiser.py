"""Plays the quantiser: what ``run_quantization.py`` and ``Knight quant`` do, stage by stage."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from knight_standin import VERSION, say
from knight_standin.graphs import converted, loaded, quantised
from knight_standin.habits import asked, works


@dataclass
class Request:
    """What the quantiser is asked for, in either generation."""

    run_mode: str
    function: str
    model: Path
    weight: Path | None
    folder: Path
    script: Path | None
    iterations: int = 1
    batch: int = 1
    bits: int = 8
    shape: Sequence[int] = ()
    output_float: bool = False
    dump: bool = False


@dataclass
class Executor:
    """What an inference function is given."""

    session: onnxruntime.InferenceSession
    iteration: int
    batch_size: int
    dataset: str = ""
    fed: list[NDArray] = field(default_factory=list)

    @property
    def input_nodes(self) -> list[str]:
        """The names of the inputs."""
        return [each.name for each in self.session.get_inputs()]

    def forward(self, *arrays: NDArray) -> list[NDArray]:
        """What the network gives for its inputs."""
        self.fed.append(arrays[0])
        found = self.session.run(None, dict(zip(self.input_nodes, arrays, strict=True)))
        if asked("swapped"):
            found = [np.ascontiguousarray(each[..., ::-1]) for each in found]
        return [] if asked("short") and len(self.fed) == self.iteration else found


def quantise(request: Request) -> int:
    """Plays one start of the quantiser; its exit code."""
    works()
    say(f"Knight quantizer {VERSION}")
    if request.run_mode == "infer":
        executor = Executor(loaded(request.model.read_bytes()), request.iterations, request.batch)
        say(f"acurracy: {_function(request)(executor)}")
        return 0
    if asked("silent"):
        say("Stage1: Convert.", "Stage1 Finished, It Take 0.1s.", "Quantize End.")
        return 0
    name, folder = request.model.stem, request.folder
    folder.mkdir(parents=True, exist_ok=True)
    single, integer = folder / f"{name}.onnx", folder / f"{name}_quantize.onnx"
    with _stage(1, "Convert Model"):
        converted(request.model, request.weight, request.shape, single)
    with _stage(2, "Float Model Inference"):
        executor = Executor(loaded(single.read_bytes()), request.iterations, request.batch)
        _function(request)(executor)
    if asked("unfinished"):
        say("Stage3: Quantization.", "Segment statistics")
        return 0
    with _stage(3, "Quantization"):
        quantised(single, executor.fed, request.bits, request.output_float, integer)
    with _stage(4, "Convert To IR"):
        written = folder / "caffe_model" / name
        written.mkdir(parents=True)
        (written / f"{name}.prototxt").write_text(f'name: "{name}"  # stand-in\n')
        (written / f"{name}.weight").write_bytes(integer.read_bytes())
    with _stage(5, "Quantized Model Inference"):
        again = Executor(loaded(integer.read_bytes()), request.iterations, request.batch)
        _function(request)(again)
    if request.dump and not asked("no_dump"):
        _dump(single, executor.fed, folder / "dump" / "float")
        _dump(integer, executor.fed, folder / "dump" / "quant")
    if asked("empty"):
        integer.write_bytes(b"")
    say("Quantization Loss: 0.0", "Quantize End.")
    return 0


def _function(request: Request) -> Callable[[Executor], object]:
    """The inference function of the user's script, anew for each pass."""
    from onnx_quantize_tool.common.register import onnx_infer_func

    if request.script is not None:
        spec = importlib.util.spec_from_file_location("user_defined_script", request.script)
        if spec is None or spec.loader is None:
            sys.exit(f"no script {request.script}")
        module = ModuleType("user_defined_script")
        spec.loader.exec_module(module)
    if request.function not in onnx_infer_func:
        sys.exit(f"KeyError: '{request.function}' is not registered in onnx_infer_func")
    return onnx_infer_func[request.function]


@contextmanager
def _stage(number: int, name: str) -> Iterator[None]:
    say(f"Stage{number}: {name}.")
    yield
    say(f"Stage{number} Finished, It Take 0.5s.")


def _dump(graph: Path, arrays: Sequence[NDArray], folder: Path) -> None:
    """Input and outputs, batch by batch, numbered from 1 on: ``0001:x/batch_0.npy``."""
    session = loaded(graph.read_bytes())
    given = session.get_inputs()[0].name
    names = [given, *(each.name for each in session.get_outputs())]
    for batch, array in enumerate(arrays):
        for number, (name, value) in enumerate(zip(names, [array, *session.run(None, {given: array})], strict=True), 1):
            place = folder / f"{number:04d}:{name}"
            place.mkdir(parents=True, exist_ok=True)
            np.save(place / f"batch_{batch}.npy", value)
