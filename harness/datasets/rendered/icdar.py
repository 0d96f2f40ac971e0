"""Rendered scenes in the layout of ICDAR 2015, so that the real reader reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.boxes import write_truth
from harness.datasets.icdar2015 import write_scenes
from harness.datasets.rendered.scenes import scenes
from harness.datasets.rendered.words import PixelDigest, encode_png
from harness.step import Facts, StepInput, step


@step(revision=1, tools=("Pillow", "numpy"))
def render(given: StepInput, out: Path) -> Facts:
    """The first ``count`` scenes of the set ``seed``; the fact ``pixels`` is the digest of pictures and truths."""
    digest = PixelDigest()

    def encoded() -> Iterator[tuple[str, bytes, str]]:
        drawn = scenes(int(given.params["seed"]), int(given.params["count"]))
        for number, (picture, regions) in enumerate(drawn, 1):
            truth = write_truth(regions)
            digest.add(picture, truth)
            yield f"img_{number}.png", encode_png(picture), truth

    count = write_scenes(out, encoded())
    return {"n": count, "pixels": digest.hexdigest()}
