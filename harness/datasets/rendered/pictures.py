"""Rendered words, upright and turned, as picture files with a list of labels, so that the real reader reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.datasets.picture_list import write_pictures
from harness.datasets.rendered.turned import turned_words
from harness.datasets.rendered.words import PixelDigest, encode_png
from harness.step import Facts, StepInput, step


@step(revision=1, tools=("Pillow", "numpy"))
def render(given: StepInput, out: Path) -> Facts:
    """The first ``count`` samples of the set ``seed``; the fact ``pixels`` is the digest of pictures and labels."""
    digest = PixelDigest()

    def encoded() -> Iterator[tuple[bytes, str]]:
        for picture, label in turned_words(int(given.params["seed"]), int(given.params["count"])):
            digest.add(picture, label)
            yield encode_png(picture), label

    count = write_pictures(out, encoded())
    return {"n": count, "pixels": digest.hexdigest()}
