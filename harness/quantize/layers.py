"""How far each layer of a quantised network lies from the same layer in single precision.

A layer is a tensor: what is fed, or what an operator makes of it. Of each sample only sums are kept. Cosine alone hides
a wrong scale, and it hides a permuted tensor whose numbers lie close to their mean, as those of a gate do: so gain and
noise are judged too, and the cosine of what deviates from the mean, though more loosely: a standard deviation of a
normalisation hardly deviates, and noise that is small beside it is large beside that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.quantisation import LayerBounds

MOST_DB = 300.0
"""The signal-to-noise ratio of tensors that are equal, and with the sign turned that of noise where nothing should be:
more than double precision can tell."""
LEAST_SHARE = 0.01
"""A sample that has less than this share of a layer's signal is not looked at by itself: what a quantiser leaves of it
is noise, as of any small number."""
STEPS = 256
"""Steps from zero to the largest number of a tensor whose step is not known."""
HEARD = 4.0
"""What deviates from the mean by less than so many steps is too little to tell its order by."""
ALONE = 2.0
"""How many times as much noise, as an amplitude, one sample may have by itself as the bound on all of them allows.
Measured on healthy networks: the worst sample of six has 1.5 to 2.4 times that of the worst layer, and a bound allows
more than that layer has."""


@dataclass(frozen=True)
class Sums:
    """What is kept of pairs of numbers, float ``f`` and quantised ``q``: their count, sums and products, the sum of
    squared differences, the smallest and the largest ``q``, and how often each was met."""

    n: int
    f: float
    q: float
    ff: float
    qq: float
    fq: float
    noise: float
    lowest: float
    at_lowest: int
    highest: float
    at_highest: int

    @classmethod
    def of(cls, f: NDArray[Any], q: NDArray[Any]) -> Sums:
        """The sums of two arrays of one shape that hold a number at least, in double precision."""
        a, b = (np.ravel(side).astype(np.float64) for side in (f, q))
        # What is no finite number, or has no finite square, is told by ``finite``.
        with np.errstate(over="ignore", invalid="ignore"):
            lowest, highest = float(b.min()), float(b.max())
            return cls(
                n=a.size,
                f=float(a.sum()),
                q=float(b.sum()),
                ff=float(a @ a),
                qq=float(b @ b),
                fq=float(a @ b),
                noise=float(np.square(a - b).sum()),
                lowest=lowest,
                at_lowest=int((b == lowest).sum()),
                highest=highest,
                at_highest=int((b == highest).sum()),
            )

    def __add__(self, other: Sums) -> Sums:
        """The sums of both."""
        added = {field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)}
        for end, furthest in (("lowest", min), ("highest", max)):
            added[end] = furthest(getattr(self, end), getattr(other, end))
            met = (getattr(each, f"at_{end}") for each in (self, other) if getattr(each, end) == added[end])
            added[f"at_{end}"] = sum(met)
        return Sums(**added)

    @property
    def finite(self) -> bool:
        """Whether all are numbers, and none so large that its square is infinite."""
        return all(math.isfinite(each) for each in (self.ff, self.qq, self.noise))

    @property
    def cosine(self) -> float:
        """Of the angle between the two: 1 where both are all zeros, 0 where one is."""
        return _cosine(self.fq, self.ff, self.qq)

    @property
    def centred(self) -> float:
        """The cosine of what deviates from each one's own mean."""
        f, q = self.f / self.n, self.q / self.n
        return _cosine(self.fq - self.f * q, max(self.ff - self.f * f, 0.0), max(self.qq - self.q * q, 0.0))

    @property
    def deviation(self) -> float:
        """The standard deviation of the float tensor."""
        mean = self.f / self.n
        return math.sqrt(max(self.ff / self.n - mean * mean, 0.0))

    @property
    def error(self) -> float:
        """The size of the difference, relative to that of the float tensor."""
        if not self.ff:
            return math.inf if self.noise else 0.0
        return math.sqrt(self.noise) / math.sqrt(self.ff)

    @property
    def snr(self) -> float:
        """The signal-to-noise ratio in dB, within ``MOST_DB``."""
        if not self.noise or not self.ff:
            return -MOST_DB if self.noise else MOST_DB
        return max(-MOST_DB, min(MOST_DB, 10 * (math.log10(self.ff) - math.log10(self.noise))))

    @property
    def gain(self) -> float:
        """What the float tensor is multiplied by to come nearest to the other one: 1 where it is all zeros."""
        return self.fq / self.ff if self.ff else 1.0

    @property
    def mean_error(self) -> float:
        """By how much the quantised numbers are too large, in the mean."""
        return (self.q - self.f) / self.n

    @property
    def saturation(self) -> float:
        """The share of quantised numbers that are the smallest or the largest of all, but for zeros: a tensor that was
        clipped has many at its ends. Zero is where Relu ends, and is no clipping."""
        if self.lowest == self.highest:
            return 0.0
        return (self.at_lowest * (self.lowest != 0) + self.at_highest * (self.highest != 0)) / self.n

    def likeness(self, step: float | None) -> float:
        """The cosine, or what is less: that of what deviates from the mean, which may have ``ALONE`` times the noise.
        The cosine alone where little deviates. ``step`` is that of the quantised numbers, where it is known."""
        step = step or max(abs(self.lowest), abs(self.highest)) / STEPS
        return min(self.cosine, 1 - (1 - self.centred) / ALONE**2) if self.deviation > HEARD * step else self.cosine


def _cosine(product: float, left: float, right: float) -> float:
    if not left or not right:
        return float(left == right)
    # Roots before the product, which is zero for small numbers; rounding may take it beyond one.
    return max(-1.0, min(1.0, product / math.sqrt(left) / math.sqrt(right)))


@dataclass(frozen=True)
class Place:
    """A layer: its number from 1 in the order of the float graph, the tensor's name, the operator that makes it
    (``Input`` of what is fed; nothing where it is not known), whether it is an output of the network, and the step of
    its quantised numbers, where that is known."""

    number: int
    tensor: str
    operator: str = ""
    output: bool = False
    step: float | None = None

    def __str__(self) -> str:
        return f"{self.number} {self.operator} {self.tensor}".replace("  ", " ") + " (output)" * self.output


class Layer:
    """A layer compared, sample by sample."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.samples: dict[str, Sums] = {}
        self._whole: Sums | None = None

    def add(self, sample: str, f: NDArray[Any], q: NDArray[Any]) -> None:
        """Takes the two tensors of one sample, of one shape; each sample once."""
        found = self.samples[sample] = Sums.of(f, q)
        self._whole = found if self._whole is None else self._whole + found

    @property
    def whole(self) -> Sums:
        """The sums over all samples, of which there is one at least."""
        if self._whole is None:
            raise ValueError(f"layer {self.place}: no sample was taken")
        return self._whole

    @property
    def silent(self) -> bool:
        """Whether there is nothing to compare: float and difference lie within one step; where that is not known, both
        tensors are all zeros."""
        whole, step = self.whole, self.place.step or 0.0
        return math.sqrt(whole.ff / whole.n) <= step and math.sqrt(whole.noise / whole.n) <= step

    @property
    def likeness(self) -> float:
        """The cosine that is judged, over all samples."""
        return self.whole.likeness(self.place.step)

    @property
    def worst(self) -> tuple[str, float]:
        """The sample whose cosine is the smallest, and that; one with no finite number before all."""
        least = LEAST_SHARE * self.whole.ff / len(self.samples)
        heard = {name: sums for name, sums in self.samples.items() if not sums.ff < least} or self.samples
        name = min(heard, key=lambda name: (heard[name].finite, heard[name].likeness(self.place.step)))
        return name, heard[name].likeness(self.place.step)

    @property
    def steps(self) -> float | None:
        """The mean error in steps, where the step is known."""
        return self.whole.mean_error / self.place.step if self.place.step else None

    def over(self, bounds: LayerBounds) -> str:
        """The first thing that lies outside the bounds, with measured and bound; nothing where all is within.

        A sample alone may have more noise, ``ALONE`` times as much.
        """
        return "" if self.silent else next(self._over(bounds), "")

    def _over(self, bounds: LayerBounds) -> Iterator[str]:
        whole, (name, alone), (least, largest) = self.whole, self.worst, bounds.gain
        sample = 1 - ALONE**2 * (1 - bounds.cosine)
        if not whole.finite:
            yield f"holds what is no finite number, or has no finite square, at {name}"
        if not least <= whole.gain <= largest:
            yield f"gain {whole.gain:.3f}, bounds {least:.4g} to {largest:.4g}; cosine {whole.cosine:.4f}"
        if not self.likeness >= bounds.cosine:
            if whole.cosine >= bounds.cosine:
                of = f"of what deviates from the mean, bound {sample:.4g}; {whole.cosine:.4f} with it"
                yield f"cosine {whole.centred:.4f} {of}"
            yield f"cosine {whole.cosine:.4f}, bound {bounds.cosine:.4g}"
        if not whole.snr >= bounds.snr:
            yield f"signal-to-noise ratio {whole.snr:.1f} dB, bound {bounds.snr:.4g}"
        if not alone >= sample:
            yield f"cosine {alone:.4f} at {name} alone, bound {sample:.4g}; {self.likeness:.4f} over all"
