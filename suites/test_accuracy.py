"""Does the deployed form reach the figures claimed for its reference?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_accuracy(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
