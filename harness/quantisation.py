"""What a declaration says of quantising: how ranges are found, what stays float, and how much may be lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from harness.declaration import DeclarationError, declared

Rule = Literal["minmax", "kl", "mse", "percentile"]
"""How the range of a tensor follows from what it held: ``minmax`` all of it; ``kl`` what keeps most of the distribution
by its Kullback-Leibler divergence, ``mse`` what loses least squared error, ``percentile`` all but a share."""


@declared
class LayerBounds:
    """How far a layer of a quantised form may lie from the same layer in single precision: its least cosine, its least
    signal-to-noise ratio in dB, and the least and the largest gain (quantised over float, least squares)."""

    cosine: float = 0.97
    snr: float = 12.0
    gain: tuple[float, float] = (0.9, 1.1)

    def __post_init__(self) -> None:
        if not 0 < self.cosine < 1 or not self.gain[0] < 1 < self.gain[1]:
            raise DeclarationError(
                f"LayerBounds: cosine {self.cosine} and gain {self.gain}; expected a cosine below 1, "
                "and a gain of 1 between the bounds"
            )


@declared
class Quantisation:
    """How an integer form comes about.

    Calibration takes ``samples`` one by one, chosen by ``seed`` from the reference's calibration set, or from its own
    data, where those are not judged then. A set that has fewer is refused; of its own, ``share`` says how much is
    taken at most. ``rule`` makes ranges of them, ``percentile`` is the
    share in per cent that the rule of that name keeps. Activations have ``bits``, unsigned; weights 8, signed, a scale
    a channel. ``left_float`` names operators that are not quantised, with the reason. ``loss`` is how far accuracy may
    fall below that of the quantisable form on the same samples, ``layers`` how far each layer may lie from it.
    """

    rule: Rule
    samples: int
    loss: float
    bits: Literal[8, 16] = 8
    share: float = 1.0
    seed: int = 0
    percentile: float = 99.999
    left_float: Mapping[str, str] = field(default_factory=dict)
    layers: LayerBounds = LayerBounds()

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 < self.share <= 1 or not 0 < self.percentile <= 100:
            raise DeclarationError(
                f"Quantisation: samples={self.samples}, share={self.share}, percentile={self.percentile}; expected at "
                "least one sample, a share up to 1, and a percentile up to 100"
            )
        if not 0 < self.loss < 1:
            raise DeclarationError(f"Quantisation.loss: {self.loss}, expected a share between 0 and 1")
        if self.rule == "kl" and self.bits != 8:
            raise DeclarationError(
                f"Quantisation.rule: 'kl' with bits={self.bits}; its search is for the few levels of 8 bits, expected "
                "minmax, mse or percentile"
            )
        if unexplained := [operator for operator, reason in self.left_float.items() if not reason]:
            raise DeclarationError(f"Quantisation.left_float: {unexplained[0]} has no reason")
