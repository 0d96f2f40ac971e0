"""Sets of words as samples of a direction classifier: each word as it lies there, and turned by 180 degrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2

from harness.datasets import DataError, Sample
from harness.datasets.word_sets import WordSets
from harness.postprocess.direction import LABELS
from harness.preprocess.text_line import decode_bgr


class TurnedWords:
    """Every word of ``WordSets`` twice, first upright and then turned; truths are ``0`` and ``180``.

    Sample ids are ``<set>/<number>:0`` and ``<set>/<number>:180``. An upright picture is given as its bytes are stored,
    a turned one as a PNG of the pixels that the network's own way decodes: nothing but the direction differs. Raises as
    ``WordSets``, and ``DataError`` for a picture that cannot be decoded.
    """

    def __init__(self, folder: Path, name: str = "", *, only: str = "") -> None:
        self._words = WordSets(folder, name, only=only)

    def __len__(self) -> int:
        return len(LABELS) * len(self._words)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every sample from number ``start`` on, a word's two one after the other."""
        first, skipped = divmod(start, len(LABELS))
        for word in self._words.samples(first):
            for label in LABELS[skipped:]:
                content = word.content if label == LABELS[0] else turned(word.content, word.id)
                yield Sample(f"{word.id}:{label}", content, label)
            skipped = 0

    def facts(self) -> Mapping[str, int | str]:
        """What is known of the words."""
        return self._words.facts()

    def close(self) -> None:
        """Gives the files back."""
        self._words.close()


def turned(encoded: bytes, name: str) -> bytes:
    """An encoded picture turned by 180 degrees, as a PNG. Raises ``DataError`` naming it where it cannot be decoded."""
    try:
        _, made = cv2.imencode(".png", cv2.rotate(decode_bgr(encoded), cv2.ROTATE_180))
    except ValueError as error:
        raise DataError(f"{name}: cannot be turned: {error}; {len(encoded)} bytes") from error
    return made.tobytes()
