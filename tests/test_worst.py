"""The worst samples are drawn: the most faults first, none without a fault, and the picture that was answered."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.datasets import Sample
from harness.evaluate import Scored
from harness.metrics.detection import ICDAR_IOU
from harness.worst import MOST, Worst

DRAWN = "tests.test_worst:draw"


def draw(content: bytes, predicted: str, truth: str) -> bytes:
    return b"|".join([content, predicted.encode(), truth.encode()])


def outcomes(faults: list[int]) -> list[Scored]:
    """One a sample: so many truths that nothing matches."""
    return [
        Scored(f"set/img_{at}.jpg", f"p{at}", f"t{at}", (0, 1, 0, count, 0, *[0] * 6), np.empty(0))
        for at, count in enumerate(faults)
    ]


class Reader:
    def samples(self, start: int = 0):
        while True:
            yield Sample(f"set/img_{start}.jpg", f"c{start}".encode(), f"t{start}")
            start += 1


@given(st.lists(st.integers(0, 5), max_size=30))
def test_the_most_faults_come_first_and_of_equal_ones_the_first(faults):
    worst = Worst(ICDAR_IOU)
    assert list(worst.watch(outcomes(faults))) == outcomes(faults)
    ranked = sorted((-count, place) for place, count in enumerate(faults) if count)[:MOST]
    kept = sorted(worst.kept, key=lambda each: each[:2], reverse=True)
    assert [(-found, -place) for found, place, _ in kept] == ranked


def test_each_is_drawn_with_its_own_picture_answer_and_truth(tmp_path):
    worst = Worst(ICDAR_IOU)
    list(worst.watch(outcomes([0, 2, 0, 7])))
    files = worst.drawn(Reader(), DRAWN, tmp_path / "drawn")
    assert [path.name for path in files] == ["1-set-img_3.jpg.jpg", "2-set-img_1.jpg.jpg"]
    assert [path.read_bytes() for path in files] == [b"c3|p3|t3", b"c1|p1|t1"]


def test_an_output_is_not_kept(tmp_path):
    """Six of logits are a gigabyte."""
    worst = Worst(ICDAR_IOU)
    large = [replace(each, output=np.ones((19, 4, 4))) for each in outcomes([3, 1])]
    assert [each.output.size for each in worst.watch(large)] == [304, 304]
    assert [each.output.size for _, _, each in worst.kept] == [0, 0]


def test_where_nothing_is_wrong_nothing_is_drawn(tmp_path):
    worst = Worst(ICDAR_IOU)
    list(worst.watch(outcomes([0, 0])))
    assert worst.drawn(Reader(), DRAWN, tmp_path / "drawn") == ()
