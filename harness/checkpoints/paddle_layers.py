"""The weights of a Paddle inference model under the keys of a torch network.

An inference program has lost its training code's keys: its tensors are numbered (``conv2d_12.w_0``). What it kept is
the order of its layers, so the n-th convolution, normalisation and linear layer of the program are those of the
network, and every shape must fit; nothing may be left over on either side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.checkpoints.paddle_program import Program
from harness.verdict import Refused

KINDS = {
    nn.Conv2d: "conv",
    nn.ConvTranspose2d: "conv",
    nn.BatchNorm2d: "norm",
    nn.LayerNorm: "layer norm",
    nn.Linear: "linear",
}
"""What a layer is called here, by its class in torch."""
CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv2d_transpose")
NORMALISED = {"weight": "Scale", "bias": "Bias", "running_mean": "Mean", "running_var": "Variance"}


@dataclass(frozen=True)
class Layer:
    """One layer of a program that has stored tensors: its kind, and the tensor's name for each of torch's keys."""

    kind: str
    tensors: Mapping[str, str]


def state_of(network: nn.Module, program: Program, tensors: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """A state dict of ``network`` from a program's tensors; linear weights transposed, as torch keeps them.

    Raises ``Refused`` where program and network do not have the same layers, or a stored tensor is used by none.
    """
    layers = list(layers_of(program))
    modules = [(name, module) for name, module in network.named_modules() if _kind(module)]
    kinds = [layer.kind for layer in layers]
    expected = [_kind(module) for _, module in modules]
    if kinds != expected:
        raise Refused(
            f"the program's layers are not the network's: {_counted(kinds)} in the program, {_counted(expected)} in "
            f"the network, first difference at {_difference(layers, modules)}"
        )
    state: dict[str, Tensor] = {}
    for layer, (name, module) in zip(layers, modules, strict=True):
        for key, stored in layer.tensors.items():
            value = torch.from_numpy(tensors[stored].copy())
            state[f"{name}.{key}"] = value.T.contiguous() if layer.kind == "linear" and key == "weight" else value
        if isinstance(module, nn.BatchNorm2d):
            state[f"{name}.num_batches_tracked"] = torch.tensor(0)
    unused = sorted(tensors.keys() - {stored for layer in layers for stored in layer.tensors.values()})
    if unused:
        raise Refused(f"{len(unused)} stored tensors belong to no layer of the network, the first is {unused[0]!r}")
    return state


def layers_of(program: Program) -> Iterator[Layer]:
    """Every layer with stored tensors, in the order in which the program runs them."""
    for place, operator in enumerate(program.operators):
        if operator.type in CONVOLUTIONS:
            yield Layer("conv", {"weight": _stored(program, place, "Filter")} | _bias(program, place, "Output"))
        elif operator.type == "batch_norm":
            yield Layer("norm", {key: _stored(program, place, name) for key, name in NORMALISED.items()})
        elif operator.type == "layer_norm":
            yield Layer("layer norm", {key: _stored(program, place, NORMALISED[key]) for key in ("weight", "bias")})
        elif operator.type in ("matmul_v2", "mul") and _first(operator.inputs, "Y") in program.shapes:
            yield Layer("linear", {"weight": _stored(program, place, "Y")} | _bias(program, place, "Out"))


def _stored(program: Program, place: int, parameter: str) -> str:
    """The stored tensor that an operator takes. Raises ``Refused`` where it is computed, as in quantised programs."""
    operator = program.operators[place]
    name = _first(operator.inputs, parameter)
    if name not in program.shapes:
        raise Refused(f"operator {place}, {operator.type}: its {parameter} {name!r} is no stored tensor")
    return name


def _bias(program: Program, place: int, output: str) -> dict[str, str]:
    """Paddle adds a layer's bias in the operator that follows it."""
    if place + 1 == len(program.operators):
        return {}
    given, following = _first(program.operators[place].outputs, output), program.operators[place + 1]
    name = _first(following.inputs, "Y")
    adds = following.type == "elementwise_add" and _first(following.inputs, "X") == given and name in program.shapes
    return {"bias": name} if adds else {}


def _first(names: Mapping[str, tuple[str, ...]], parameter: str) -> str:
    return next(iter(names.get(parameter, ())), "")


def _kind(module: nn.Module) -> str:
    return next((kind for type_, kind in KINDS.items() if isinstance(module, type_)), "")


def _counted(kinds: list[str]) -> str:
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(KINDS.values()))


def _difference(layers: list[Layer], modules: list[tuple[str, nn.Module]]) -> str:
    """The first place where the kinds differ, and what stands there on either side."""
    stored = [(layer.kind, layer.tensors["weight"]) for layer in layers]
    own = [(_kind(module), name) for name, module in modules]
    pairs = enumerate(zip_longest(stored, own, fillvalue=("no layer", "")))
    place, (left, right) = next((place, pair) for place, pair in pairs if pair[0][0] != pair[1][0])
    return f"layer {place}: {' '.join(left).strip()} in the program, {' '.join(right).strip()} in the network"
