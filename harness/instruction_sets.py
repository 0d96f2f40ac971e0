"""Which instructions a processor multiplies 8-bit integers with, told by one word: the same quantised file may answer
otherwise where they saturate."""

from __future__ import annotations

from collections.abc import Collection

CORE = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})
INTEGERS: tuple[tuple[str, frozenset[str]], ...] = (
    ("amx_int8", frozenset({"amx_tile", "amx_int8"})),
    ("avx512_vnni", CORE | {"avx512_vnni"}),
    ("avx512", CORE),
    ("avx_vnni", frozenset({"avx2", "fma", "avx_vnni"})),
    ("avx2", frozenset({"avx2", "fma"})),
    ("neon_i8mm", frozenset({"asimd", "i8mm"})),
    ("neon_dot", frozenset({"asimd", "asimddp"})),
    ("neon", frozenset({"asimd"})),
)
"""The word, and the flags of ``/proc/cpuinfo`` that it needs; the first that is met counts. The order is that in which
ONNX Runtime prefers its kernels of unsigned by signed bytes (core/mlas/lib/platform.cpp, ``GemmU8S8Kernel`` and
``GemmU8S8Dispatch``; on ARM ``HasArmNeonDot`` and ``HasArmNeon_I8MM``)."""
OTHER = "other"


def integers(flags: Collection[str]) -> str:
    """The word for the integer kernels of a processor with these flags; ``other`` where none is known: SSE alone, or no
    flags, as on systems without ``/proc/cpuinfo``."""
    return next((word for word, needed in INTEGERS if needed <= set(flags)), OTHER)
