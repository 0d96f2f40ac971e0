"""Rendered words as an LMDB in the benchmarks' layout, so that the real reader reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from harness.datasets.lmdb_words import write_words
from harness.datasets.rendered.curved import LINES, curved_words
from harness.datasets.rendered.words import PixelDigest, encode_png, words
from harness.step import Facts, StepInput, step


@step(revision=1, tools=("Pillow", "numpy", "lmdb"))
def render(given: StepInput, out: Path) -> Facts:
    """The first ``count`` grey words of the set ``seed``; the fact ``pixels`` is the digest of pictures and labels."""
    return _write(words(int(given.params["seed"]), int(given.params["count"])), out)


@step(revision=1, tools=("Pillow", "numpy", "lmdb"))
def render_curved(given: StepInput, out: Path) -> Facts:
    """The same of coloured words on curved lines."""
    return _write(curved_words(int(given.params["seed"]), int(given.params["count"])), out)


@step(revision=1, tools=("Pillow", "numpy", "lmdb"))
def render_lines(given: StepInput, out: Path) -> Facts:
    """The same of coloured words of both cases, most of them on straight lines."""
    return _write(curved_words(int(given.params["seed"]), int(given.params["count"]), LINES), out)


def _write(drawn: Iterator[tuple[Image.Image, str]], out: Path) -> Facts:
    digest = PixelDigest()

    def encoded() -> Iterator[tuple[bytes, str]]:
        for picture, label in drawn:
            digest.add(picture, label)
            yield encode_png(picture), label

    count = write_words(out, encoded())
    return {"n": count, "pixels": digest.hexdigest()}
