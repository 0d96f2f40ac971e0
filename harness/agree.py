"""Agreement of two outputs: shape and finiteness first, then max-abs within a bound, cosine, and the decoded answer.

Cosine alone hides almost everything (a dropped recurrent bias still gives 0.994 on CRNN), and a bound alone can be met
by a dead output, so every comparison also proves that null outputs fail the same bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.judge import Share, upper_bound
from harness.sizes import TensorSpec
from harness.verdict import Answer, Figure, Verdict

ANOTHER = "another sample's output"
MAP_AXES = 3
"""Outputs with more axes than these are maps, whose items may rightly be empty."""
NEVER_UNDECIDED = -1.0
"""A bound below which no lead lies: every item is compared."""
NOISE_FACTOR = 8.0
"""The bound of a ``close`` promise is this many times the float32-against-float64 distance on the same inputs."""


@dataclass(frozen=True)
class Decoded:
    """How decoded answers compare: ``compared`` of ``n`` were decided by a margin over the bound, ``equal`` of them
    are equal. ``unit`` says of what they are, where an item holds many; ``shown`` holds what else tells two outputs
    apart, by the name of its figure."""

    n: int
    compared: int
    equal: int
    unit: str = "answers"
    shown: Mapping[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Equal ones among those compared."""
        return self.equal / self.compared

    @property
    def told(self) -> str:
        """What else tells them apart, to end a line."""
        return "".join(f", {name.replace('_', ' ')} {value:.4f}" for name, value in self.shown.items())


@dataclass(frozen=True)
class Agreement:
    """Two outputs of n items compared; ``distance`` is the name of what ``max_abs`` is the largest of."""

    n: int
    max_abs: float
    distance: str
    bound: float
    cosine: float
    worst: int
    decoded: Decoded
    nulls: tuple[str, ...]

    def answer(self, ids: tuple[str, ...], promise: str) -> Answer:
        """Pass, fail, or inconclusive where a null output meets the same bound."""
        figures: Mapping[str, Figure] = {
            "max_abs": self.max_abs,
            "bound": self.bound,
            "cosine": self.cosine,
            "n": self.n,
            "decoded_equal": self.decoded.equal,
            "decoded_compared": self.decoded.compared,
            **self.decoded.shown,
        }
        line = (
            f"{promise}: {self.distance} {self.max_abs:.3g}, bound {self.bound:.3g}, cosine {self.cosine:.8f}, "
            f"decoded {self.decoded.equal} of {self.decoded.compared} decided{self.decoded.told}, n={self.n}"
        )
        if not self.max_abs <= self.bound or self.decoded.equal < self.decoded.compared:
            return Answer(verdict=Verdict.FAIL, line=f"{line}; worst at {ids[self.worst]}", figures=figures)
        if self.nulls:
            line = f"vacuous: {', '.join(self.nulls)} would pass too; {line}"
            return Answer(verdict=Verdict.INCONCLUSIVE, line=line, figures=figures)
        return Answer(verdict=Verdict.PASS, line=line, figures=figures)


def agree(expected: NDArray[Any], actual: NDArray[Any], bound: float, spec: TensorSpec, compare: Any) -> Agreement:
    """Compares ``actual`` with ``expected``; both have the shape that ``spec`` gives for n items and finite numbers.

    ``compare`` is the declaration's comparison of decoded answers, ``(expected, actual, bound) -> Decoded``. The cosine
    is the smallest over the items.
    """
    left, right = _items(expected, spec), _items(actual, spec)
    distances = item_distances(left, right)
    return Agreement(
        n=len(left),
        max_abs=float(distances.max()),
        distance=_distance(left),
        bound=bound,
        cosine=float(_cosines(left, right).min()),
        worst=int(distances.argmax()),
        decoded=compare(left, right, bound),
        nulls=tuple(
            name
            for name, null in null_outputs(left)
            if passes(name, item_distances(left, null), bound, maps=left.ndim > MAP_AXES or _are_classes(left))
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A declared change: the least share of answers that stays ``equal``, and what loses the others. ``median`` is the
    largest distance that half of the items may have, where it is known what the change costs. ``of_many`` says that the
    share is of hundreds of answers: fewer miss it only where even the upper 95% bound of theirs lies below."""

    equal: float
    because: str
    median: float | None = None
    of_many: bool = False

    def met(self, decoded: Decoded, distances: NDArray[Any]) -> bool:
        """Whether outputs keep it: by the share of equal answers, and by the distances of items where they count."""
        share = decoded.share
        if self.of_many:
            share = upper_bound(Share(decoded.equal, decoded.compared, complete=False))
        return share >= self.equal and (self.median is None or bool(np.median(distances) <= self.median))


def lossy(expected: NDArray[Any], actual: NDArray[Any], loss: Loss, spec: TensorSpec, compare: Any) -> Answer:
    """Pass where the declared loss is met; numbers are shown, and judged only where it says what they may be.

    Arguments are those of ``agree``. Every answer counts, also one that a near tie decides; inconclusive where a null
    output would meet it too.
    """
    left, right = _items(expected, spec), _items(actual, spec)
    distances = item_distances(left, right)
    decoded, cosines = compare(left, right, NEVER_UNDECIDED), _cosines(left, right)
    figures: dict[str, Figure] = {
        "max_abs": float(distances.max()),
        "median_abs": float(np.median(distances)),
        "cosine": float(cosines.min()),
        "mean_cosine": float(cosines.mean()),
        "n": len(left),
        "decoded_equal": decoded.equal,
        "decoded_compared": decoded.compared,
        **decoded.shown,
    }
    bound = "" if loss.median is None else f" (bound {loss.median:.3g})"
    of_many = " of many" if loss.of_many else ""
    line = (
        f"lossy: {decoded.equal} of {decoded.compared} {decoded.unit} stay the same, expected at least "
        f"{loss.equal * 100:.4g}%{of_many} ({loss.because}); {_distance(left)} {figures['max_abs']:.3g}, median "
        f"{figures['median_abs']:.3g}{bound}, cosine {figures['cosine']:.8f}{decoded.told}"
    )
    # Shares, not counts: 0.55 * 100 is a little more than 55.
    if not loss.met(decoded, distances):
        return Answer(verdict=Verdict.FAIL, line=line, figures=figures)
    nulls = [
        name
        for name, null in null_outputs(left)
        if loss.met(compare(left, null, NEVER_UNDECIDED), item_distances(left, null))
    ]
    if nulls:
        line = f"vacuous: {', '.join(nulls)} would pass too; {line}"
        return Answer(verdict=Verdict.INCONCLUSIVE, line=line, figures=figures)
    return Answer(verdict=Verdict.PASS, line=line, figures=figures)


def null_outputs(expected: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Outputs that must not pass for ``expected`` (items first), by name; each is compared with it item by item."""
    # Along the first axis that holds more than one number: a map has one channel.
    axis = next((axis for axis, size in enumerate(expected.shape) if axis and size > 1), expected.ndim - 1)
    # One at a time: a few maps of large pictures are gigabytes.
    yield "zeros", np.zeros_like(expected)
    yield "a constant", np.full_like(expected, expected.mean())
    yield ANOTHER, another(expected)
    # Neighbouring pixels mostly are of one class: a map that lies a pixel off is nearly the same.
    by = max(1, expected.shape[axis] // 8) if _are_classes(expected) else 1
    yield f"the output shifted by {'one' if by == 1 else by}", np.roll(expected, by, axis=axis)


def another(expected: NDArray[Any]) -> NDArray[Any]:
    """To each item the output of another."""
    return np.roll(expected, 1, axis=0)


def passes(null: str, distances: NDArray[Any], bound: float, *, maps: bool = False) -> bool:
    """Whether a null output would pass for any item; of maps, and another sample's of any output, for half of them.

    A classifier that is sure gives many pictures the very same answer, and a detector a picture without text an empty
    map; neither is a fault of its outputs.
    """
    closest = np.sort(distances)[(len(distances) - 1) // 2] if null == ANOTHER or maps else distances.min()
    return bool(closest <= bound)


def item_distances(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """The largest absolute difference of each item, NaN where either holds one; of classes, between which there is no
    distance, the share of those that differ."""
    found: NDArray[Any]
    if _are_classes(left):
        found = (left != right).reshape(len(left), -1).mean(axis=1)
    else:
        found = np.abs(left - right).reshape(len(left), -1).max(axis=1)
    return found


def _items(outputs: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Outputs with items first, numbers in double precision; classes as they are."""
    first = np.moveaxis(outputs, spec.batch_axis, 0)
    return first if _are_classes(first) else first.astype(np.float64)


def _are_classes(outputs: NDArray[Any]) -> bool:
    return outputs.dtype.kind in "iu"


def _distance(outputs: NDArray[Any]) -> str:
    return "share of others" if _are_classes(outputs) else "max-abs"


def _cosines(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Cosine of each item; 1 where both are all zeros, 0 where one is."""
    a, b = (side.reshape(len(side), -1).astype(np.float64, copy=False) for side in (left, right))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: NDArray[Any] = np.where(
        norms > 0, (a * b).sum(axis=1) / np.where(norms > 0, norms, 1), np.abs(a).sum(axis=1) == np.abs(b).sum(axis=1)
    )
    return cosines
