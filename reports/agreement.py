"""Agreement answers as rows: an edge of the tree of forms each, and its worst distance under each reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model import Model
from reports.groups import Group, grouped
from reports.record import Record, Recorded, answers_to
from reports.text import NONE

HEADER = ("worst max-abs", "least cosine", "decoded")
_DECODED = ("decoded_equal", "decoded_compared")
_SHOWN = {"mask_iou": "mask IoU", "pixels_equal": "pixels equal", "miou": "mIoU"}
"""What else tells maps apart, and its name."""


@dataclass(frozen=True, kw_only=True)
class Distance:
    """The worst max-abs over the points of an edge with the bound of that point, the smallest cosine and mean of
    cosines, how many decoded answers are equal, and of maps the smallest of each figure that ``shown`` names."""

    worst: Recorded
    points: int
    cosine: float | None
    mean: float | None
    equal: int
    compared: int
    shown: Mapping[str, float]

    @property
    def over(self) -> bool:
        """Whether the worst distance is over its bound."""
        return _excess(self.worst)[0]

    @property
    def cells(self) -> tuple[str, str, str]:
        """The cells below ``HEADER``."""
        bound = self.worst.number("bound")
        limit = "no bound" if bound is None else f"{'OVER ' if self.over else ''}bound {bound:.3g}"
        if bound is not None and _of_median(self.worst):
            limit += f" of the median {_judged(self.worst):.3g}"
        where = f"{self.worst.point}, worst of {self.points}" if self.points > 1 else f"{self.worst.point}"
        return (
            f"{self.worst.number('max_abs'):.3g} ({limit}; {where})",
            self._likeness(),
            f"{self.equal}/{self.compared}" + "".join(f", {name} {least:.4f}" for name, least in self.shown.items()),
        )

    def _likeness(self) -> str:
        if self.cosine is None:
            return NONE
        return _cosine(self.cosine) + ("" if self.mean is None else f" (mean {_cosine(self.mean)})")


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A form on a backend, what it promises to which form before it, and its distances by reference."""

    group: Group
    promise: str
    distances: Mapping[str, Distance]

    def __str__(self) -> str:
        return f"{self.group}{self.promise and f', {self.promise}'}"


def edges(record: Record, models: Mapping[str, Model]) -> list[Edge]:
    """A row for each edge that has figures."""
    answers = [answer for answer in answers_to(record, "agreement") if answer.number("max_abs") is not None]
    return [
        Edge(group=group, promise=_promise(group, models), distances=_distances(found))
        for group, found in grouped(answers, models).items()
    ]


def references(found: Sequence[Edge]) -> list[str]:
    """The references that any of the edges was checked with."""
    return sorted({reference for edge in found for reference in edge.distances})


def _promise(group: Group, models: Mapping[str, Model]) -> str:
    """What the form promises to which one before it; in another precision than its own, what becomes of itself."""
    forms = [form for form in (models[group.model].forms if group.model in models else ()) if form.name == group.form]
    if forms and group.backend and group.precision != forms[0].precision:
        return f"against itself in {forms[0].precision}"
    against = models[group.model].against(forms[0]) if forms else None
    return f"{forms[0].promise} to {against.name}" if against else ""


def _distances(answers: Sequence[Recorded]) -> dict[str, Distance]:
    found: dict[str, list[Recorded]] = {}
    for answer in answers:
        found.setdefault(answer.key.reference, []).append(answer)
    return {reference: _distance(each) for reference, each in found.items()}


def _distance(answers: Sequence[Recorded]) -> Distance:
    equal, compared = (sum(answer.count(name) or 0 for answer in answers) for name in _DECODED)
    shown = {name: _least(answers, figure) for figure, name in _SHOWN.items()}
    return Distance(
        worst=max(answers, key=_excess),
        points=len(answers),
        cosine=_least(answers, "cosine"),
        mean=_least(answers, "mean_cosine"),
        equal=equal,
        compared=compared,
        shown={name: least for name, least in shown.items() if least is not None},
    )


def _least(answers: Sequence[Recorded], name: str) -> float | None:
    return min((found for answer in answers if (found := answer.number(name)) is not None), default=None)


def _excess(answer: Recorded) -> tuple[bool, float]:
    """What is over its bound is worse than what is not; among equals the larger is."""
    bound = answer.number("bound")
    return bound is not None and _judged(answer) > bound, answer.number("max_abs") or 0.0


def _judged(answer: Recorded) -> float:
    """The distance that the bound is about."""
    return answer.number("median_abs" if _of_median(answer) else "max_abs") or 0.0


def _of_median(answer: Recorded) -> bool:
    """Whether the bound is what the precision costs here: that is one of the median, for near ties turn some items."""
    return answer.number("here_median_abs") is not None


def _cosine(value: float) -> str:
    """``1-3.4e-13``: a cosine that is nearly one, and not rounded to it."""
    distance = 1 - value
    return f"1{-distance:+.2g}" if 0 < abs(distance) < 1e-3 else f"{value:.6g}"
