"""What every tensor of a graph holds while samples run through it, in memory that does not grow with their number."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from harness.backends import Batch
from harness.datasets import DataError
from harness.onnx_graph.activations import session_giving
from harness.quantize.tensor_statistics import TensorStatistics, statistics_of
from harness.verdict import Refused


def observe(path: Path, batches: Iterable[Batch], threads: int) -> dict[str, TensorStatistics]:
    """The statistics of every tensor that ONNX Runtime would calibrate, over batches of one sample.

    One batch's arrays are held at a time. Raises ``DataError`` naming the sample that is not as the graph's inputs are,
    or that holds NaN or infinite numbers, and where there is no batch; ``Refused`` naming tensor and sample where the
    graph makes such numbers of finite ones, and where it has nothing to calibrate.
    """
    names = calibrated(path)
    if not names:
        raise Refused(f"{path}: no operator that ONNX Runtime quantises has a float tensor; nothing can be calibrated")
    found: dict[str, TensorStatistics] = {}
    model = onnx.load(path)
    inputs = {value.name for value in model.graph.input}
    made = [name for name in names if name not in inputs]
    session = session_giving(model, made, threads, as_written=True)
    for batch in batches:
        check_inputs(session.get_inputs(), batch)
        _add(found, {name: array for name, array in batch.inputs.items() if name in names}, batch)
        _add(found, dict(zip(made, session.run(made, dict(batch.inputs)), strict=True)), batch)
    if not found:
        raise DataError(f"{path}: no sample to calibrate on; expected at least one")
    return found


def calibrated(path: Path) -> list[str]:
    """The tensors that ONNX Runtime calibrates of a graph: float inputs and outputs, but for weights, of every operator
    that its quantiser knows; sorted."""
    from onnxruntime.quantization.calibrate import CalibraterBase
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    # Shapes are inferred into a file beside the model's, and that may lie in a folder which is finished.
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, folder))
        base = CalibraterBase(copy, sorted({*QDQRegistry, *QLinearOpsRegistry}))
        names, _ = base.select_tensors_to_calibrate(base.model)
    return sorted(names)


def check_inputs(expected: Iterable[Any], batch: Batch) -> None:
    """Raises ``DataError`` naming the sample whose arrays are not of the names, types and sizes that a session takes,
    or not finite."""
    specs = {spec.name: spec for spec in expected}
    where = ", ".join(batch.ids)
    if specs.keys() != batch.inputs.keys():
        raise DataError(f"{where}: inputs {sorted(batch.inputs)}, expected {sorted(specs)}")
    for name, array in batch.inputs.items():
        shape = specs[name].shape
        fits = len(shape) == array.ndim and all(
            size == found for size, found in zip(shape, array.shape, strict=True) if isinstance(size, int)
        )
        if not fits or array.dtype != np.float32:
            raise DataError(
                f"{where}: {name} is {array.dtype} {list(array.shape)}, expected float32 {list(shape)}; calibrate with "
                "the feed of the model"
            )
        if not np.isfinite(array).all():
            bad = int(array.size - np.isfinite(array).sum())
            raise DataError(
                f"{where}: {bad} of {array.size} numbers of {name} are NaN or infinite; leave the sample out"
            )


def _add(found: dict[str, TensorStatistics], arrays: Mapping[str, NDArray[Any]], batch: Batch) -> None:
    for name, array in arrays.items():
        if not array.size:
            continue
        try:
            held = statistics_of(array)
        except ValueError as error:
            raise Refused(f"{', '.join(batch.ids)}: {error} in tensor {name}; no range holds them") from error
        before = found.get(name)
        found[name] = held if before is None else before.merged(held)
