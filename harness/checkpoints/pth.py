"""Reads ``.pth`` checkpoints of PyTorch without running what is in them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.verdict import Refused

# Training scripts keep a best accuracy as a numpy scalar beside the weights. These rebuild one, and run nothing; numpy
# moved the first of them, and pickles carry the old name.
_REBUILD: Any = np.float64(0).__reduce__()[0]
NUMPY_SCALARS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_REBUILD, "numpy.core.multiarray.scalar"),
    (_REBUILD, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float32", "float64", "int64")),
]


def read_pth(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` file, zip or legacy, bare or below ``state_dict``, without a ``module.`` prefix.

    Raises ``Refused`` for a file that is truncated, is no checkpoint, or names code to run.
    """
    try:
        with torch.serialization.safe_globals(NUMPY_SCALARS):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        wanted = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "nsupported" in line]
        raise Refused(
            f"{path}: refused, it is not plain weights: {(wanted or [reason])[0]}; nothing in it was run. "
            "Save the state dict alone (torch.save(network.state_dict(), PATH))"
        ) from error
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file fails in as many ways as it has bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refused(f"{path}: not a readable checkpoint, truncated or of another kind: {reason}") from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else loaded
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise Refused(f"{path}: holds no state dict: expected tensors by key, found {type(state).__name__}")
    return {str(key).removeprefix("module."): value for key, value in state.items()}
