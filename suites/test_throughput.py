"""How long does one call take at each point, and with which clock?"""

from collections.abc import Callable

from harness.cells import Ask
from harness.verdict import Answer


def test_throughput(ask: Ask, judge: Callable[[Ask], Answer], replay: Callable[[Answer], None]) -> None:
    replay(judge(ask))
