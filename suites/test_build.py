"""Is each form what its declaration says?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_build(ask: Ask, answer: Callable[[Ask], Answer]) -> None:
    answer(ask)
