"""Where figures come from: commit, Python, libraries, processor, load."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.instruction_sets import integers
from harness.ort_session import CONFIGURATION, EXACT_INTEGERS
from harness.probe import Probe
from harness.registry import PROJECT, backends

LIBRARIES = (
    *("torch", "onnx", "onnxruntime", "numpy", "Pillow", "opencv-python-headless", "lmdb", "safetensors"),
    *("paddle2onnx", "pytest", "pytest-benchmark"),
)
VOLATILE = ("load",)
"""What changes from minute to minute: recorded, but no difference between runs."""
INTEGERS = ("cpu.integers", EXACT_INTEGERS)
"""What the answers of a quantised form depend on besides its file: the instructions that multiply 8-bit integers, and
the option that keeps them exact."""
STAND_IN = "stand-in"
"""What tools that only play the vendor's say wherever they name a version, and what each value begins with that a
backend gives of them."""


def provenance(threads: int, probe: Probe | None = None) -> dict[str, str]:
    """Everything that a figure of this process may depend on, as text by name; of devices what a probe finds."""
    found = {**_fixed(), "threads": str(threads)}
    for name, backend in backends().items():
        # Those that run a form as it is are libraries, which are named already.
        if backend.compiles and probe is not None:
            found |= {f"{name}.{key}": value for key, value in backend.discover(probe).provenance.items()}
    found["load"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return found


def digest(found: Mapping[str, str]) -> str:
    """A short digest of a provenance, its volatile parts left out."""
    lines = "\n".join(f"{name}={value}" for name, value in sorted(found.items()) if name not in VOLATILE)
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def stands_in(found: Mapping[str, object]) -> bool:
    """Whether tools that only play a vendor's are in a provenance: then none of its figures is of a device."""
    return any(isinstance(value, str) and value.startswith(STAND_IN) for value in found.values())


@cache
def _fixed() -> dict[str, str]:
    found = {"commit": commit(), "python": platform.python_version(), "platform": platform.platform()}
    found |= {f"lib.{name}": _version(name) for name in LIBRARIES}
    found |= {"cpu": _cpuinfo("model name"), "cpu.flags": _vector_flags(), "cpu.cores": str(os.cpu_count())}
    found |= dict(zip(INTEGERS, (integers(_flags()), CONFIGURATION[EXACT_INTEGERS]), strict=True))
    return found


def commit() -> str:
    """The suite's commit, with ``+`` and a digest of the difference where the checkout was changed."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return "unknown: not a git checkout"
    changes = (_git("diff", "HEAD") or "") + (_git("status", "--porcelain") or "")
    return head + (f"+{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=20, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _vector_flags() -> str:
    """The flags that change which kernels run."""
    wanted = ("sse4_2", "avx", "avx2", "fma", "avx512", "amx", "f16c", "asimd", "sve", "neon", "i8mm")
    return " ".join(sorted(flag for flag in _flags() if flag.startswith(wanted)))


def _flags() -> list[str]:
    return (_cpuinfo("flags") or _cpuinfo("Features")).split()


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
