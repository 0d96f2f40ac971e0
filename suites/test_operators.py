"""Will the compiler of each toolkit take every operator of the form that it is given?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_operators(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
