"""Does half precision hold every number that the deployed form computes?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_range(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
