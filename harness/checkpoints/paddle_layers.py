"""The weights of a Paddle inference model under the keys of a torch network.

An inference program has lost its training code's keys: its tensors are numbered (``conv2d_12.w_0``). What it kept is
the order of its layers, so the n-th convolution, normalisation, linear or recurrent layer of the program is that of the
network, and every shape must fit; nothing may be left over on either side. A layer that runs at every step of a loop
counts once: Paddle writes the loop out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product, zip_longest
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
    nn.RNNBase: "recurrent",
    nn.GRUCell: "gates",
}
"""What a layer is called here, by its class in torch."""
SUFFIXES = {"gates": ("_ih", "_hh")}
"""A cell that runs step by step is two products, of its input and of its state; torch keeps them in one module."""
CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv2d_transpose")
NORMALISED = {"weight": "Scale", "bias": "Bias", "running_mean": "Mean", "running_var": "Variance"}
PRODUCTS = {"matmul_v2": "trans_y", "matmul": "transpose_Y", "mul": ""}
"""Operators that multiply by a stored weight, and the flag of those that transpose it."""


@dataclass(frozen=True)
class Layer:
    """One layer of a program that has stored tensors: its kind, and the tensor's name for each of torch's keys."""

    kind: str
    tensors: Mapping[str, str]

    @property
    def name(self) -> str:
        """Of its first tensor."""
        return next(iter(self.tensors.values()))


@dataclass(frozen=True)
class Place:
    """Where a network keeps one layer: the kind, the module's name, and what torch adds to the layer's keys there."""

    kind: str
    module: str
    suffix: str = ""


def state_of(network: nn.Module, program: Program, tensors: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """A state dict of ``network`` from a program's tensors; linear weights transposed, as torch keeps them.

    Raises ``Refused`` where program and network do not have the same layers, or a stored tensor is used by none.
    """
    layers, places = list(layers_of(program)), list(_places(network))
    kinds, expected = [layer.kind for layer in layers], [place.kind for place in places]
    if kinds != expected:
        raise Refused(
            f"the program's layers are not the network's: {_counted(kinds, expected)} in the program, "
            f"{_counted(expected, kinds)} in the network, first difference at {_difference(layers, places)}"
        )
    state = {key: torch.tensor(0) for key in network.state_dict() if key.endswith("num_batches_tracked")}
    for layer, place in zip(layers, places, strict=True):
        for key, stored in layer.tensors.items():
            value = torch.from_numpy(tensors[stored].copy())
            transposed = layer.kind == "linear" and key == "weight"
            state[f"{place.module}.{key}{place.suffix}"] = value.T.contiguous() if transposed else value
    unused = sorted(tensors.keys() - {stored for layer in layers for stored in layer.tensors.values()})
    if unused:
        raise Refused(f"{len(unused)} stored tensors belong to no layer of the network, the first is {unused[0]!r}")
    return state


def layers_of(program: Program) -> Iterator[Layer]:
    """Every layer with stored tensors, in the order in which the program first runs them.

    Raises ``Refused`` for a weight that is computed, and for one that two different layers share.
    """
    seen: dict[str, Layer] = {}
    for place, operator in enumerate(program.operators):
        layer = _layer(program, place)
        if layer is not None and layer.name not in seen:
            seen[layer.name] = layer
            yield layer
        elif layer is not None and layer != seen[layer.name]:
            raise Refused(
                f"operator {place}, {operator.type}: its {layer.name!r} belongs to another layer too; "
                "layers that share a weight cannot be told apart"
            )


def _layer(program: Program, place: int) -> Layer | None:
    """The layer that begins at an operator, if one does."""
    operator = program.operators[place]
    if operator.type in CONVOLUTIONS:
        return Layer("conv", {"weight": _stored(program, place, "Filter")} | _bias(program, place, "Output"))
    if operator.type == "batch_norm":
        return Layer("norm", {key: _stored(program, place, name) for key, name in NORMALISED.items()})
    if operator.type == "layer_norm":
        return Layer("layer norm", {key: _stored(program, place, NORMALISED[key]) for key in ("weight", "bias")})
    if operator.type == "rnn":
        return Layer("recurrent", _recurrent(program, place))
    if operator.type in PRODUCTS and _first(operator.inputs, "Y") in program.shapes:
        kind = "gates" if PRODUCTS[operator.type] in operator.flags else "linear"
        return Layer(kind, {"weight": _stored(program, place, "Y")} | _bias(program, place, "Out"))
    return None


def _recurrent(program: Program, place: int) -> dict[str, str]:
    """The tensors of a recurrent network: all weights, then all biases; within them by layer, direction and gate."""
    operator = program.operators[place]
    names = operator.inputs.get("WeightList", ())
    ways = ("", "_reverse") if "is_bidirec" in operator.flags else ("",)
    depth, rest = divmod(len(names), 4 * len(ways))
    if rest or not depth or any(name not in program.shapes for name in names):
        raise Refused(
            f"operator {place}, rnn: its WeightList should be stored tensors, {4 * len(ways)} a layer; "
            f"found {len(names)}, {sum(name in program.shapes for name in names)} of them stored"
        )
    parts = product(("weight", "bias"), range(depth), ways, ("ih", "hh"))
    keys = [f"{part}_{gate}_l{layer}{way}" for part, layer, way, gate in parts]
    return dict(zip(keys, names, strict=True))


def _stored(program: Program, place: int, parameter: str) -> str:
    """The stored tensor that an operator takes. Raises ``Refused`` where it is computed, as in quantised programs."""
    operator = program.operators[place]
    name = _first(operator.inputs, parameter)
    if name not in program.shapes:
        raise Refused(f"operator {place}, {operator.type}: its {parameter} {name!r} is no stored tensor")
    return name


def _bias(program: Program, place: int, output: str) -> dict[str, str]:
    """Paddle adds a layer's bias in the operator that follows it, or it is reshaped there and added in the next."""
    layer, *following = program.operators[place : place + 3]
    shaped = {}
    if following and following[0].type == "reshape2":
        reshape = following.pop(0)
        shaped = {_first(reshape.outputs, "Out"): _first(reshape.inputs, "X")}
    if not following or following[0].type != "elementwise_add":
        return {}
    added = _first(following[0].inputs, "Y")
    name = shaped.get(added, added)
    adds = _first(following[0].inputs, "X") == _first(layer.outputs, output) and name in program.shapes
    return {"bias": name} if adds else {}


def _first(names: Mapping[str, tuple[str, ...]], parameter: str) -> str:
    return next(iter(names.get(parameter, ())), "")


def _places(network: nn.Module) -> Iterator[Place]:
    for name, module in network.named_modules():
        kind = next((kind for type_, kind in KINDS.items() if isinstance(module, type_)), None)
        if kind is not None:
            yield from (Place(kind, name, suffix) for suffix in SUFFIXES.get(kind, ("",)))


def _counted(kinds: list[str], others: list[str]) -> str:
    """How many there are of each kind that there or elsewhere is any of."""
    named = [kind for kind in dict.fromkeys(KINDS.values()) if kind in kinds or kind in others]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in named)


def _difference(layers: list[Layer], places: list[Place]) -> str:
    """The first place where the kinds differ, and what stands there on either side."""
    stored = [(layer.kind, layer.name) for layer in layers]
    own = [(place.kind, place.module) for place in places]
    pairs = enumerate(zip_longest(stored, own, fillvalue=("no layer", "")))
    place, (left, right) = next((place, pair) for place, pair in pairs if pair[0][0] != pair[1][0])
    return f"layer {place}: {' '.join(left).strip()} in the program, {' '.join(right).strip()} in the network"
