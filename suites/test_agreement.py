"""Does each form keep its promise to the form before it?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_agreement(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
