"""The step from a torch network to ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from harness.networks.load import load_network
from harness.onnx_graph.edit import MODEL, read_directly
from harness.onnx_graph.interface import declare_shapes
from harness.sizes import TensorSpec
from harness.step import Facts, StepInput, step
from harness.verdict import Refused


@step(revision=1, tools=("torch", "onnx"))
def torch_to_onnx(given: StepInput, out: Path) -> Facts:
    """``model.onnx`` at exactly the opset asked for, with the declared names; batch and open sizes are dynamic."""
    return write_graph(load_network(given.sources[0]), given, out)


def write_graph(network: nn.Module, given: StepInput, out: Path) -> Facts:
    """Exports a network in evaluation mode as ``model.onnx`` in ``out``: names and axes as declared, opset as asked.

    The TorchScript exporter is used: it is the one that still writes opset 11, where the newer one silently writes 18.
    The exporter loses static output dimensions behind a reshape, so the declared shape of each output is written into
    the graph; that it is true is what agreement checks at every batch. It keeps equal weights once and reads them
    through Identity nodes, as many as there are coincidences; these are taken out, so that a graph has the same nodes
    whatever its weights. Raises ``Refused`` where the exporter wrote another opset or interface.
    """
    opset = int(given.params["opset"])
    dummy = tuple(torch.zeros(spec.smallest.shape(1), dtype=getattr(torch, spec.dtype)) for spec in given.inputs)
    specs = (*given.inputs, *given.outputs)
    with warnings.catch_warnings():
        # Deprecated upstream, and chosen on purpose; its remark on LSTM batch sizes is what agreement checks.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            dummy,
            str(out / MODEL),
            input_names=[spec.name for spec in given.inputs],
            output_names=[spec.name for spec in given.outputs],
            opset_version=opset,
            dynamic_axes={spec.name: open_axes(spec) for spec in specs},
            dynamo=False,
        )
    graph = onnx.load(out / MODEL)
    found = [entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx")]
    if found != [opset]:
        raise Refused(f"asked the exporter for opset {opset}, it wrote {found}")
    declare_shapes(graph.graph.output, given.outputs)
    read_directly(graph.graph)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, out / MODEL)
    return {"opset": opset, "nodes": len(graph.graph.node)}


def open_axes(spec: TensorSpec) -> dict[int, str]:
    """The places of the axes that have no size of their own, with the names that a graph gives them."""
    return {place: axis for place, axis in enumerate(spec.named) if isinstance(axis, str)}
