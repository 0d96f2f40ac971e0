"""Does ONNX Runtime compute what integer arithmetic says, in every node of a quantised form that is known?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_simulation(ask: Ask, judge: Callable[[Ask], Answer]) -> None:
    judge(ask)
