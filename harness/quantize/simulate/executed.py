"""What ONNX Runtime executes of a file: the graph that it makes of it, and every tensor in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from numpy.typing import NDArray

from harness.backends import Batch
from harness.ort_session import session_options
from harness.verdict import Refused

PROVIDERS = ["CPUExecutionProvider"]
Tensors = Mapping[str, NDArray[Any]]
"""Values of a graph by name."""


def executed(path: Path, threads: int) -> onnx.ModelProto:
    """The graph that a session on a file runs on this machine, fused and laid out for it: with other kernels on another
    machine. Raises ``Refused`` where the file does not load."""
    import onnxruntime

    with TemporaryDirectory() as folder:
        saved = Path(folder) / "executed.onnx"
        options = session_options(threads)
        options.optimized_model_filepath = str(saved)
        try:
            onnxruntime.InferenceSession(path, options, providers=PROVIDERS)
        except Exception as error:
            raise Refused(f"ONNX Runtime does not load {path}: {error}") from error
        return onnx.load(saved)


class Engine:
    """ONNX Runtime on a graph that it made itself, as it is: nothing is fused a second time."""

    def __init__(self, graph: onnx.ModelProto, threads: int) -> None:
        self._graph = graph
        self._threads = threads

    def giving(self, names: Collection[str]) -> Callable[[Batch], Tensors]:
        """What answers a batch with the named values of the graph, which nodes make. The caller drops it before it asks
        for others, so that only theirs are in memory."""
        import onnxruntime

        asked = list(names)
        model = onnx.ModelProto()
        model.CopyFrom(self._graph)
        shown = {output.name for output in model.graph.output}
        model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in asked if name not in shown)
        options = session_options(self._threads)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)
        return lambda batch: dict(zip(asked, session.run(asked, dict(batch.inputs)), strict=True))
