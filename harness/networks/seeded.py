"""Seeded weights for a network without a checkpoint.

Default initialisation makes parity tests vacuous: a default CRNN gives one class everywhere and differs between
pictures by 1.5e-5, so a broken graph passes. These weights keep the signal's variance from layer to layer and let the
recurrent layers and the head swing, so that outputs differ between words and between steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

RECURRENT_GAIN = 3.0
HEAD_GAIN = 6.0


def condition(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """A full state for ``network``, a function of its keys, its shapes and ``seed`` alone (numpy's PCG64).

    A network whose initial weights mean something names them in ``seeded_gains``: these keep their initial value, and
    noise of that gain is added. One whose activations pass less than a ReLU says in ``seeded_convolution`` by how much
    its convolutions make up for that.
    """
    state = network.state_dict()
    rng = np.random.default_rng(seed)
    gains: Mapping[str, float] = getattr(network, "seeded_gains", {})
    linear = [key for key, tensor in state.items() if tensor.ndim == 2 and "rnn.weight" not in key]
    last = linear[-1] if linear else ""
    convolution: float = getattr(network, "seeded_convolution", 1.0)
    drawn = {}
    for key, tensor in state.items():
        gain = HEAD_GAIN if key == last else convolution if tensor.ndim == 4 else 1.0
        drawn[key] = _draw(key, tensor, rng, gain)
    return drawn | {key: state[key] + gain * drawn[key] for key, gain in gains.items()}


def _draw(key: str, tensor: Tensor, rng: np.random.Generator, gain: float) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.clone()
    shape = tuple(tensor.shape)
    noise = rng.standard_normal(shape)
    if tensor.ndim == 4:  # He: keeps the variance through a ReLU
        noise *= gain * np.sqrt(2 / np.prod(shape[1:]))
    elif tensor.ndim == 2:
        noise *= gain * (RECURRENT_GAIN if "rnn.weight" in key else 1.0) / np.sqrt(shape[1])
    elif key.endswith("running_var") or (key.endswith("weight") and tensor.ndim == 1):
        noise = 1 + 0.1 * np.tanh(noise)
    else:
        noise *= 0.1
    return torch.from_numpy(noise.astype(np.float32))
