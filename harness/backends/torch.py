"""PyTorch on the CPU: the reference that other forms are compared with, in single and in double precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.backends import Availability, Batch, Outputs, Room
from harness.cells import Cell
from harness.measure import Measurement, TimingPlan, time_calls
from harness.probe import Probe
from harness.store import Artefact


class TorchSession:
    """A network in evaluation mode. Inputs are cast to its precision; outputs are what it gives."""

    def __init__(self, network: Any, dtype: Any, cell: Cell) -> None:
        self._network = network
        self._dtype = dtype
        self._inputs = tuple(spec.name for spec in cell.model.inputs)
        self._outputs = tuple(spec.name for spec in cell.sized.outputs)

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        """Answers every batch, in order."""
        for batch in batches:
            yield Outputs(batch.ids, self._call(self._tensors(batch)))

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        """Times the eager forward pass; clock ``host``."""
        tensors = self._tensors(batch)
        return time_calls(lambda: self._call(tensors), plan)

    def _tensors(self, batch: Batch) -> list[Any]:
        import torch

        return [torch.from_numpy(batch.inputs[name]).to(self._dtype) for name in self._inputs]

    def _call(self, tensors: list[Any]) -> dict[str, Any]:
        import torch

        with torch.inference_mode():
            values = self._network(*tensors)
        found = values if isinstance(values, tuple) else (values,)
        return {name: value.numpy() for name, value in zip(self._outputs, found, strict=True)}


class TorchBackend:
    """Runs the reference network eagerly, at the cell's precision (``fp32``, or ``fp64`` to measure float noise)."""

    name = "torch"
    formats: tuple[str, ...] = ("torch",)
    markers: tuple[str, ...] = ()
    compiles = False
    timed = True

    def discover(self, probe: Probe) -> Availability:
        """Present where the package torch is."""
        version = probe.package("torch")
        if version is None:
            return Availability(False, "no Python package torch", "pip install -c constraints.txt torch")
        return Availability(True, provenance={"torch": version})

    def prepare(self, form: Artefact, cell: Cell, room: Room) -> Artefact:
        """The weights as they are."""
        return form

    @contextmanager
    def open(self, prepared: Artefact, cell: Cell, room: Room) -> Iterator[TorchSession]:
        """The network with its weights, on the room's threads."""
        import torch

        from harness.networks.load import load_network

        dtype = {"fp32": torch.float32, "fp64": torch.float64}[cell.precision]
        before = torch.get_num_threads()
        torch.set_num_threads(room.compute.threads)
        try:
            yield TorchSession(load_network(prepared.folder).to(dtype), dtype, cell)
        finally:
            torch.set_num_threads(before)


BACKEND = TorchBackend()
