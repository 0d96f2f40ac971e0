"""The weights that Paddle's training saved (``.pdparams``) under the keys of a torch network.

Layers and their tensors have the same names on both sides, but for three things: Paddle calls the statistics of a
normalisation ``_mean`` and ``_variance``, keeps the weight of a linear layer as inputs x outputs, and stores what is
recurrent twice, once by layer (``lstm.weight_ih_l0_reverse``) and once by cell (``lstm.0.cell_bw.weight_ih``). Gates
have the same order and formula in both, so recurrent weights stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.checkpoints.paddle_pickle import read_saved
from harness.verdict import Refused

NAMES = "StructuredToParameterName@@"
"""The entry in which ``paddle.save`` keeps the program's name of each tensor."""
STATISTICS = {"_mean": "running_mean", "_variance": "running_var"}
WAYS = {None: "", "fw": "", "bw": "_reverse"}
NUMBERS = ("float16", "float32", "float64")
"""What weights are. Paddle stores bfloat16 as integers, which torch would take for numbers."""
COUNT = "num_batches_tracked"
"""Of a normalisation in torch; Paddle has none."""
_CELL = re.compile(r"(.+)\.(\d+)\.cell(?:_(fw|bw))?\.((?:weight|bias)_[ih]h)")


def read_pdparams(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a ``.pdparams`` file under the keys of ``network``; a name that it does not have stays as it is.

    Linear weights are transposed. Raises ``Refused`` for a file that is truncated, names code to run or holds anything
    but arrays of floating-point numbers by key, and where two copies of one weight differ.
    """
    expected = network.state_dict().keys()
    linear = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    source: dict[str, str] = {}
    arrays = _arrays(path)
    for stored in arrays:
        twin = source.setdefault(_own_key(stored, expected), stored)
        if not np.array_equal(arrays[twin], arrays[stored], equal_nan=True):
            raise Refused(
                f"{path}: {twin} and {stored} should be copies of one weight, and differ: it cannot be told which of "
                "them was trained; save the state of the trained network again"
            )
    state = {key: torch.tensor(0) for key in expected if key.endswith(f".{COUNT}")}
    for key, stored in source.items():
        array = arrays[stored].T if key in linear else arrays[stored]
        state[key] = torch.from_numpy(np.array(array, order="C"))
    return state


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """What the file holds, without Paddle's own entry."""
    content = read_saved(path)
    found = _strange(content)
    if found:
        raise Refused(
            f"{path}: holds no weights: expected floating-point arrays by key, found {found}; give the file that "
            "paddle.save(network.state_dict(), PATH) writes"
        )
    return {key: value for key, value in content.items() if key != NAMES}


def _strange(content: Any) -> str:
    """What in a file is none of a network's weights; nothing where all is."""
    if not isinstance(content, dict):
        return type(content).__name__
    for key, value in content.items():
        if key == NAMES:
            continue
        if not isinstance(key, str) or not isinstance(value, np.ndarray):
            return f"{type(value).__name__} under {key!r}"
        if value.dtype.name not in NUMBERS:
            return f"an array of {value.dtype} under {key!r}"
    return "" if content.keys() - {NAMES} else "none"


def _own_key(stored: str, expected: Set[str]) -> str:
    """What the network calls a tensor of the file, or the name in the file where the network has no such key."""
    owner, _, name = stored.rpartition(".")
    own = f"{owner}.{STATISTICS.get(name, name)}"
    if cell := _CELL.fullmatch(stored):
        owner, layer, way, name = cell.groups()
        own = f"{owner}.{name}_l{layer}{WAYS[way]}"
    return own if own in expected else stored
