"""Word accuracy and edit distance, as the guides' scripts count them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from rapidfuzz.distance import Levenshtein

from harness.judge import Hits, Similarity
from harness.postprocess.recognition import LOWER


def folded(text: str) -> str:
    """The text's letters and digits in lower case, everything else dropped."""
    return "".join(character for character in text.lower() if character in LOWER)


def as_is(text: str) -> str:
    """The text itself."""
    return text


@dataclass(frozen=True)
class Words:
    """Words that equal their label, and how far the others are from it.

    ``truth`` says what of a label counts, ``ignore_space`` drops spaces from both sides first, ``epsilon`` is added to
    n. ``acc`` is the share of equal words, ``norm_edit_dis`` one less the mean of Levenshtein's distance over the
    longer length (two empty texts have none), ``acc_folded`` the share that is equal in letters and digits without
    case. Every label counts; ``unspellable`` says how many hold a character outside ``alphabet``, which are never hit.

    With an epsilon these are ``RecMetric``'s figures (PaddleOCR 2.5, ``ppocr/metrics/rec_metric.py``): a perfect
    result is never exactly 1.
    """

    name: str
    truth: Callable[[str], str]
    ignore_space: bool = False
    epsilon: float = 0.0
    alphabet: frozenset[str] | None = None

    columns = ("hits", "n", "distance", "folded_hits", "unspellable")
    measures = MappingProxyType(
        {
            "acc": Hits(),
            "norm_edit_dis": Similarity("distance"),
            "acc_folded": Hits("folded_hits"),
        }
    )

    def count(self, predicted: str, truth: str) -> tuple[float, ...]:
        """Whether it is a hit, one, the distance in [0, 1], whether it is one when folded, and whether it cannot be."""
        label = self.truth(truth)
        found, wanted = (text.replace(" ", "") if self.ignore_space else text for text in (predicted, label))
        distance = Levenshtein.normalized_distance(found, wanted)
        unspellable = self.alphabet is not None and not set(label) <= self.alphabet
        return (int(found == wanted), 1, distance, int(folded(predicted) == folded(truth)), int(unspellable))

    def faults(self, counts: Sequence[float]) -> float:
        """1 for a miss."""
        return 1 - counts[0]

    def value(self, sums: Sequence[float]) -> Mapping[str, float]:
        """``acc``, ``norm_edit_dis`` and ``acc_folded``; of no samples 0, 1 and 0, as upstream, where epsilon is."""
        hits, n, distance, folded_hits, _ = sums
        count = n + self.epsilon
        return {"acc": hits / count, "norm_edit_dis": 1 - distance / count, "acc_folded": folded_hits / count}


LOWER_CASED = Words(
    "acc: exact match with the lower-cased label, every label counted; version 1",
    str.lower,
    alphabet=frozenset(LOWER),
)
"""Guide 001's, for CRNN: hits / n. Its script counts labels that the network cannot spell."""
FOLDED = Words(
    "acc: exact match with the label's letters and digits in lower case, hits / (n + 1e-5); version 1",
    folded,
    ignore_space=True,
    epsilon=1e-5,
)
"""Guide 000's, for RARE: labels are compared as the network's own encoder reads them."""
STRICT = Words(
    "acc: exact match with case and spaces, hits / (n + 1e-5); version 1",
    as_is,
    epsilon=1e-5,
)
"""Guide 004's, for PP-OCRv3."""
