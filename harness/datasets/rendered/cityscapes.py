"""Rendered streets in the layout of Cityscapes, so that the real reader reads them."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from PIL import Image

from harness.datasets.cityscapes import write_streets
from harness.datasets.rendered.streets import streets
from harness.datasets.rendered.words import PixelDigest, encode_png
from harness.step import Facts, StepInput, step

PLACE = Path("val", "rendered")
"""Split and city."""


@step(revision=1, tools=("Pillow", "numpy"))
def render(given: StepInput, out: Path) -> Facts:
    """The first ``count`` streets of the set ``seed``; the fact ``pixels`` is the digest of pictures and labels."""
    digest = PixelDigest()

    def encoded() -> Iterator[tuple[Path, bytes, bytes]]:
        drawn = streets(int(given.params["seed"]), int(given.params["count"]))
        for number, (picture, labels) in enumerate(drawn):
            digest.add(picture, sha256(labels.tobytes()).hexdigest())
            yield PLACE / f"rendered_{number:06d}_000000", encode_png(picture), encode_png(Image.fromarray(labels))

    count = write_streets(out, encoded())
    return {"n": count, "pixels": digest.hexdigest()}
