"""Rendered words as an LMDB in the benchmarks' layout, so that the real reader reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.datasets.lmdb_words import write_words
from harness.datasets.rendered.words import PixelDigest, encode_png, words
from harness.step import Facts, StepInput, step


@step(revision=1, tools=("Pillow", "numpy", "lmdb"))
def render(given: StepInput, out: Path) -> Facts:
    """The first ``count`` words of the set ``seed``; the fact ``pixels`` is the digest of pictures and labels."""
    digest = PixelDigest()

    def encoded() -> Iterator[tuple[bytes, str]]:
        for picture, label in words(int(given.params["seed"]), int(given.params["count"])):
            digest.add(picture, label)
            yield encode_png(picture), label

    count = write_words(out, encoded())
    return {"n": count, "pixels": digest.hexdigest()}
