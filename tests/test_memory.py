"""The memory that something takes is told beyond what was held before."""

import sys

import numpy as np
import pytest

from harness import memory
from harness.memory import watched_memory

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells a process its peak")
MIB = 2**20


def test_what_is_taken_and_given_back_is_seen():
    with watched_memory() as peak:
        np.ones(64 * MIB, np.uint8).sum()
    assert 60 < peak.mib < 80


def test_what_was_held_before_does_not_count():
    held = np.ones(64 * MIB, np.uint8)
    with watched_memory() as peak:
        np.ones(8 * MIB, np.uint8).sum()
    assert peak.mib < 24
    assert held[-1] == 1


def test_what_was_freed_before_and_is_taken_again_counts():
    def take() -> None:
        # Blocks of the heap, which the C library keeps when they are freed in this order.
        blocks = [np.ones(64 * 2**10, np.uint8) for _ in range(1024)]
        kept.append(np.ones(64 * 2**10, np.uint8))
        del blocks

    kept: list[np.ndarray] = []
    take()
    with watched_memory() as peak:
        take()
    assert 60 < peak.mib < 80


def test_a_system_that_does_not_tell_gives_no_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "RESET", tmp_path / "absent" / "clear_refs")
    with watched_memory() as peak:
        pass
    assert peak.mib is None
