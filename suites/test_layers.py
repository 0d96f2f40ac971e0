"""Does each layer of a quantised form keep what the same layer holds in single precision?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_layers(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
