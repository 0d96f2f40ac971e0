"""The root of every tree of forms: a checkpoint of any known kind, or seeded weights, as single-precision safetensors
with the network's own keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.checkpoints.pth import read_pth
from harness.networks.load import WEIGHTS
from harness.registry import resolve
from harness.step import Facts, StepInput, step
from harness.verdict import Refused


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file. Raises ``Refused`` for a damaged one."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise Refused(f"{path}: not a readable safetensors file: {error}") from error


READERS: Mapping[str, Callable[[Path], dict[str, Tensor]]] = {
    ".pth": read_pth,
    ".pt": read_pth,
    ".safetensors": read_safetensors,
}


@step(revision=1, tools=("torch", "safetensors", "numpy"))
def collect(given: StepInput, out: Path) -> Facts:
    """The weights of the one source file, or those that ``initialise`` draws from ``seed`` where there is none."""
    network: Any = resolve(given.network)
    if given.sources:
        path = given.sources[0]
        if path.suffix not in READERS:
            raise Refused(f"{path}: no reader for {path.suffix!r}; known: {', '.join(READERS)}")
        state = {network.canonical_key(key): tensor for key, tensor in READERS[path.suffix](path).items()}
    else:
        draw = resolve(str(given.params["initialise"]))
        state = draw(network(**given.network_params), int(given.params["seed"]))
    whole = {key: (value.float() if value.is_floating_point() else value).contiguous() for key, value in state.items()}
    save_file(whole, out / WEIGHTS)
    return {"keys": len(whole)}
