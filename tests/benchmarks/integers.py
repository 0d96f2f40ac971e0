"""What integers gain and what keeping them exact costs: CPU time of the same batch on several sessions, in turn."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from harness.ort_session import EXACT_INTEGERS, session_options

WARM_UP = 3
# It warns of a configuration that is set twice, as it is here on purpose.
onnxruntime.set_default_logger_severity(3)


def session(path: Path, exact: bool) -> onnxruntime.InferenceSession:
    """A session as the suite opens it on one thread, or the same with saturating integers."""
    options = session_options(1)
    options.add_session_config_entry(EXACT_INTEGERS, str(int(exact)))
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def compared(single: Path, quantised: Path, feed: Mapping[str, NDArray[Any]], rounds: int) -> list[str]:
    """Lines for: single precision over quantised, and for either file with the option over without it; and whether the
    answers with and without it are the same, bit for bit."""
    sessions = {
        (name, exact): session(path, exact)
        for name, path in (("float", single), ("quantised", quantised))
        for exact in (True, False)
    }
    answers = {key: each.run(None, dict(feed)) for key, each in sessions.items()}
    seconds: dict[tuple[str, bool], list[float]] = {key: [] for key in sessions}
    for number in range(WARM_UP + rounds):
        # In another order each time: what runs after whom has the caches that it left.
        keys = list(sessions)[number % 4 :] + list(sessions)[: number % 4]
        for key in keys:
            began = time.process_time()
            sessions[key].run(None, dict(feed))
            seconds[key].append(time.process_time() - began)
    spent = {key: np.array(found[WARM_UP:]) for key, found in seconds.items()}
    pairs = (
        ("float / quantised, both exact", ("float", True), ("quantised", True)),
        ("float / quantised, without the option", ("float", False), ("quantised", False)),
        ("quantised: exact / without the option", ("quantised", True), ("quantised", False)),
        ("float: exact / without the option", ("float", True), ("float", False)),
    )
    lines = [f"{name}: {_ratio(spent[above] / spent[below])}" for name, above, below in pairs]
    lines += [f"{' '.join((key[0], 'exact' if key[1] else 'without'))}: median {np.median(found) * 1e3:.2f} ms"
              for key, found in spent.items()]  # fmt: skip
    return [*lines, *(f"{name}: answers {_differ(answers[name, True], answers[name, False])}" for name in dict.fromkeys(
        key[0] for key in sessions))]  # fmt: skip


def _ratio(found: NDArray[np.float64]) -> str:
    low, middle, high = np.percentile(found, (10, 50, 90))
    return f"{middle:.3f} ({low:.3f}..{high:.3f}, n={len(found)})"


def _differ(exact: list[NDArray[Any]], without: list[NDArray[Any]]) -> str:
    changed = sum(int((one != other).sum()) for one, other in zip(exact, without, strict=True))
    most = max(float(np.abs(one - other).max()) for one, other in zip(exact, without, strict=True))
    return f"{changed} of {sum(value.size for value in exact)} differ, by at most {most:.3g}"
