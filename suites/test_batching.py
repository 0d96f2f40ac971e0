"""Does an item get the same answer alone, in any batch, and again?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_batching(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
