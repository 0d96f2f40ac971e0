"""Do the tensors that cost most, left float, bring answers back that quantising turned?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_keep_float(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
