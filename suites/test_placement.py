"""Does every node run where the cell says, and which operators take the time?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_placement(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
