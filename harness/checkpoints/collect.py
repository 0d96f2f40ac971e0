"""The roots of trees of forms: weights of any known kind, or seeded ones, as single-precision safetensors with the
network's own keys; and a published Paddle program as it is."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.checkpoints.paddle_layers import state_of
from harness.checkpoints.paddle_program import Program, read_parameters, read_program
from harness.checkpoints.pdparams import read_pdparams
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


PAIR = (".pdmodel", ".pdiparams")
READERS: Mapping[str, Callable[[Path], dict[str, Tensor]]] = {
    ".pth": read_pth,
    ".pt": read_pth,
    ".safetensors": read_safetensors,
}
TRAINED = ".pdparams"
"""What Paddle's training saved; its layout depends on the network that it is for."""


@step(revision=1, tools=("torch", "safetensors", "numpy"))
def collect(given: StepInput, out: Path) -> Facts:
    """The weights of the source files, or those that ``initialise`` draws from ``seed`` where there are none.

    Left out is what the network names in ``unused_keys``, nothing else; the facts count it by pattern.
    """
    dropped: Mapping[str, int] = {}
    network = partial(resolve(given.network), **given.network_params)
    if not given.sources:
        draw = resolve(str(given.params["initialise"]))
        state = draw(network(), int(given.params["seed"]))
    elif is_program(given.sources):
        program, tensors = _read_pair(given.sources)
        state = state_of(network(), program, tensors)
    else:
        # Networks that were published under several spellings of their keys say which is theirs.
        own_key = getattr(network.func, "canonical_key", str)
        found = {own_key(key): tensor for key, tensor in _read(given.sources[0], network).items()}
        state, dropped = without(found, getattr(network(), "unused_keys", ()))
    whole = {key: (value.float() if value.is_floating_point() else value).contiguous() for key, value in state.items()}
    save_file(whole, out / WEIGHTS)
    facts = {"keys": len(whole)}
    if not dropped:
        return facts
    return facts | {"dropped": sum(dropped.values()), "dropped_keys": listed(dropped)}


def without(state: Mapping[str, Tensor], patterns: Sequence[str]) -> tuple[dict[str, Tensor], Mapping[str, int]]:
    """The state less the keys that match a pattern, and how many keys matched which."""
    first = {key: next((pattern for pattern in patterns if fnmatchcase(key, pattern)), "") for key in state}
    kept = {key: tensor for key, tensor in state.items() if not first[key]}
    return kept, Counter(pattern for pattern in first.values() if pattern)


def listed(dropped: Mapping[str, int]) -> str:
    """Counts by pattern in one line: ``backbone.fc.* 2, decoder.thresh.* 16``."""
    return ", ".join(f"{pattern} {count}" for pattern, count in sorted(dropped.items()))


@step(revision=1, tools=("protobuf",))
def program(given: StepInput, out: Path) -> Facts:
    """The Paddle inference model under the names that its tools expect; its two files belong together."""
    if not is_program(given.sources):
        raise Refused(
            f"expected {' and '.join(PAIR)}, found {', '.join(path.name for path in given.sources) or 'none'}"
        )
    found, tensors = _read_pair(given.sources)
    for path in given.sources:
        shutil.copyfile(path, out / f"inference{path.suffix}")
    parameters = sum(tensor.size for tensor in tensors.values())
    return {"operators": len(found.operators), "tensors": len(tensors), "numbers": parameters}


def is_program(sources: Sequence[Path]) -> bool:
    """Whether files are a Paddle inference model: its program and its parameters."""
    return {path.suffix for path in sources} == set(PAIR)


def _read(path: Path, network: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """The tensors of one file. Raises ``Refused`` for a kind that has no reader."""
    if path.suffix == TRAINED:
        return read_pdparams(path, network())
    if path.suffix not in READERS:
        raise Refused(f"{path}: no reader for {path.suffix!r}; known: {', '.join((*READERS, TRAINED))}")
    return READERS[path.suffix](path)


def _read_pair(sources: Sequence[Path]) -> tuple[Program, dict[str, NDArray[Any]]]:
    by_suffix = {path.suffix: path for path in sources}
    found = read_program(by_suffix[".pdmodel"])
    return found, read_parameters(by_suffix[".pdiparams"], found)
