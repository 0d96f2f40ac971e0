"""Is each form what its declaration says?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_build(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
