"""The step from a checkpoint to a runnable network, and back from its files."""

from __future__ import annotations

import json
import math
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.registry import resolve
from harness.step import Facts, StepInput, step
from harness.verdict import Refused

WEIGHTS = "weights.safetensors"


@step(revision=1, tools=("torch", "safetensors"))
def network_of(given: StepInput, out: Path) -> Facts:
    """The network, with every weight of the checkpoint in its place. Raises ``Refused`` naming keys that the network
    does not have, keys that it misses, shapes that differ, and weights that are not finite."""
    network: nn.Module = resolve(given.network)(**given.network_params)
    state = load_file(given.sources[0] / WEIGHTS)
    check_state(network, state)
    save_file(state, out / WEIGHTS)
    (out / "network.json").write_text(json.dumps({"network": given.network, "params": dict(given.network_params)}))
    return {"parameters": sum(parameter.numel() for parameter in network.parameters()), "keys": len(state)}


def load_network(folder: Path) -> nn.Module:
    """The network that ``network_of`` wrote, in evaluation mode and single precision."""
    recorded = json.loads((folder / "network.json").read_text())
    network: nn.Module = resolve(recorded["network"])(**recorded["params"])
    network.load_state_dict(load_file(folder / WEIGHTS))
    return network.eval()


def check_state(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Raises ``Refused`` unless the state holds exactly the network's keys, in its shapes, with finite numbers."""
    expected = network.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unused = sorted(state.keys() - expected.keys())
    if missing or unused:
        raise Refused(
            f"the checkpoint does not fit the network: {len(missing)} keys missing {_some(missing)}, "
            f"{len(unused)} unused {_some(unused)}"
        )
    for key, tensor in state.items():
        if tensor.shape != expected[key].shape:
            raise Refused(
                f"{key}: the checkpoint has shape {list(tensor.shape)}, the network {list(expected[key].shape)}"
            )
        if not math.isfinite(tensor.double().abs().sum().item()):
            raise Refused(f"{key}: holds a number that is not finite")


def _some(keys: list[str]) -> str:
    return f"({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else ""
