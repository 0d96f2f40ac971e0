"""Word accuracy, as the guides' scripts count it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.postprocess.ctc import ALPHABET


class LowerCaseWords:
    """Guide 001's accuracy: the prediction equals the lower-cased label, character for character.

    Every label counts, also one with characters that the network cannot spell; such a word is never a hit, and the
    column ``unspellable`` says how many there were.
    """

    name = "acc: exact match with the lower-cased label, every label counted; version 1"
    columns = ("hits", "n", "unspellable")
    shares = ("acc",)

    def count(self, predicted: str, truth: str) -> tuple[float, ...]:
        """Whether it is a hit, one, and whether the label lies outside the alphabet."""
        label = truth.lower()
        return (int(predicted == label), 1, int(not set(label) <= set(ALPHABET)))

    def value(self, sums: Sequence[float]) -> Mapping[str, float]:
        """``acc``: hits / n."""
        return {"acc": sums[0] / sums[1]}
