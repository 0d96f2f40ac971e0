"""Seeded weights for a network without a checkpoint.

Default initialisation makes parity tests vacuous: a default CRNN gives one class everywhere and differs between
pictures by 1.5e-5, so a broken graph passes. These weights keep the signal's variance from layer to layer and let the
recurrent layers and the head swing, so that outputs differ between words and between steps.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

RECURRENT_GAIN = 3.0
HEAD_GAIN = 6.0


def condition(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """A full state for ``network``, a function of its keys, its shapes and ``seed`` alone (numpy's PCG64)."""
    state = network.state_dict()
    rng = np.random.default_rng(seed)
    last = [key for key, tensor in state.items() if tensor.ndim == 2 and "rnn.weight" not in key][-1]
    return {key: _draw(key, tensor, rng, HEAD_GAIN if key == last else 1.0) for key, tensor in state.items()}


def _draw(key: str, tensor: Tensor, rng: np.random.Generator, gain: float) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.clone()
    shape = tuple(tensor.shape)
    noise = rng.standard_normal(shape)
    if tensor.ndim == 4:  # He: keeps the variance through a ReLU
        noise *= np.sqrt(2 / np.prod(shape[1:]))
    elif tensor.ndim == 2:
        noise *= gain * (RECURRENT_GAIN if "rnn.weight" in key else 1.0) / np.sqrt(shape[1])
    elif key.endswith("running_var") or (key.endswith("weight") and tensor.ndim == 1):
        noise = 1 + 0.1 * np.tanh(noise)
    else:
        noise *= 0.1
    return torch.from_numpy(noise.astype(np.float32))
