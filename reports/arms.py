"""Where a device loses what single precision gives, told before anybody looks for a cause: three arms side by side.

The first arm is the deployed form in its own precision, the second the same in the device's precision, both in ONNX
Runtime, the third the device. What changes from the first to the second, the conversion does; what changes from the
second to the third, the device does: its compiler, its kernels, or that it rounds elsewhere than ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.judge import Measure
from harness.model import Model
from harness.provenance import stands_in
from harness.reference import Reference
from harness.verdict import Verdict
from reports.groups import Group, group_of
from reports.measures import measure_of
from reports.order import natural_order
from reports.pairs import answered
from reports.record import Record, Recorded, answers_to
from reports.steps import Step, counted, step, value
from reports.text import NONE
from reports.verdicts import SEVERITY, shown

HERE = "ort"
"""The backend that runs the first two arms."""
HEADER = (
    "reference",
    "1: its precision, ONNX Runtime",
    "2: the device's precision, ONNX Runtime",
    "3: device",
    "answers kept by 2, 3",
    "median distance of 2, 3 to 1",
    "2 to 3 max-abs",
    "largest number in 1, of the largest half",
    "where a loss arises",
)


class Kept(NamedTuple):
    """What is left of the first arm's answers: how many of ``n`` are ``equal``, and the median distance of an item;
    ``unit`` says what is counted."""

    equal: int | None = None
    n: int | None = None
    median: float | None = None
    unit: str = "answers"

    @property
    def turned(self) -> int | None:
        """How many answers became others."""
        return None if self.equal is None or self.n is None else self.n - self.equal


@dataclass(frozen=True, kw_only=True)
class Arms:
    """The three arms of a deployed form under one reference, for the cells ``group`` of one kind of device.

    ``accuracy`` holds their answers at one point, nothing where there is none, and ``measure`` how their value is made;
    ``converted``, ``ran`` and ``both`` are the steps from the first to the second, the second to the third and the
    first to the third. ``agreement`` is the answer of the device's edge, ``here`` and ``there`` what the second and the
    third arm keep of the first, and ``range`` says whether the device's precision holds what the first computes.
    ``stands_in`` where no device but a stand-in answered.
    """

    group: Group
    reference: str
    accuracy: tuple[Recorded | None, ...]
    measure: Measure | None
    converted: Step | None
    ran: Step | None
    both: Step | None
    agreement: Recorded | None
    here: Kept
    there: Kept
    range: Recorded | None
    stands_in: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells below ``HEADER``, after the group."""
        steps = (None, self.converted, self.both)
        kept = ", ".join(NONE if each.equal is None else f"{each.equal}/{each.n}" for each in (self.here, self.there))
        return (
            self.reference,
            *(_scored(*each, self.measure) for each in zip(self.accuracy, steps, strict=True)),
            f"{kept} ({self.agreement.point})" if self.agreement else kept,
            ", ".join(NONE if each.median is None else f"{each.median:.3g}" for each in (self.here, self.there)),
            NONE if self.between is None else f"{self.between:.3g}",
            _largest(self.range),
            self.where,
        )

    @property
    def where(self) -> str:
        """Where a loss arises, in plain words.

        Samples that were scored on both ends of a step decide, by their outcomes where these are kept: the step *loses*
        answers where it loses more than it gains and chance does not explain that (exact McNemar, p < 0.05), else it
        *turns* them. Without scored samples the counts of kept answers say how many it turns; that two arms keep as
        many does not mean that they keep the same. It is said besides where the precision does not hold every number,
        and where the device is further off than its precision costs. Without the second arm nothing is placed, and
        without the third the line is a prediction.
        """
        conversion = f"the conversion to {self.group.precision}"
        device = "the stand-in" if self.stands_in else "the device itself"
        said = [*self._converted(conversion), *self._ran(device)] or self._together(f"{conversion} with {device}")
        if self.range and (beyond := self.range.count("over")):
            said.append(f"{self.group.precision} does not hold {beyond} of its values")
        if self.over and self.agreement:
            costs = f"median {self.there.median:.3g}, at most {self.agreement.number('bound'):.3g}"
            said.append(f"{device} is further off than {self.group.precision} costs: {costs}")
        if not self.has_device:
            expected = "no device here: this is what to expect of one"
            said.append(expected if self.has_second else f"nothing ran in {self.group.precision}, here or on a device")
        elif not self.has_second:
            said.append(f"not placed: nothing in {self.group.precision} ran here")
        return "; ".join(said) or "not placed: the arms have no figures in common"

    @property
    def over(self) -> bool:
        """Whether the device lies further from the first arm than its precision costs here."""
        bound = self.agreement.number("bound") if self.agreement else None
        return bound is not None and self.there.median is not None and self.there.median > bound

    @property
    def between(self) -> float | None:
        """The largest distance between the second arm and the third."""
        return self.agreement.number("here_to_device_max_abs") if self.agreement else None

    @property
    def has_second(self) -> bool:
        """Whether anything was measured in the device's precision on this machine."""
        return _measured(self.accuracy[1]) or self.here.equal is not None

    @property
    def has_device(self) -> bool:
        """Whether anything was measured on a device."""
        return _measured(self.accuracy[2]) or self.there.equal is not None

    def _converted(self, name: str) -> list[str]:
        if self.converted:
            return [self.converted.told(name)]
        return self._turned(name, self.here)

    def _ran(self, name: str) -> list[str]:
        if self.ran:
            return [self.ran.told(name)]
        if self.between == 0:
            return [f"{name} turns no answer"]
        # Counts of two answers are of other items: only the device's own says what both arms made of the same.
        of_both = self.agreement is not None and self.agreement.count("here_equal") is not None
        if not of_both or self.here.turned is None or self.there.turned is None:
            return []
        more = self.there.turned - self.here.turned
        return [f"{name} turns at least {more} more" if more > 0 else f"{name} keeps no fewer of them"]

    def _together(self, name: str) -> list[str]:
        if self.both:
            return [self.both.told(name)]
        return self._turned(name, self.there)

    def _turned(self, name: str, kept: Kept) -> list[str]:
        return [] if kept.turned is None else [f"{name} turns {kept.turned or 'none'} of {kept.n} {kept.unit}"]


def arms(record: Record, models: Mapping[str, Model]) -> list[Arms]:
    """A row for each model, kind of device and reference of which the second or the third arm or the range has figures,
    in the order of the declarations."""
    rows = (
        _arms(record, model, backend, reference)
        for model in models.values()
        for backend in model.recipes
        for reference in model.references
    )
    return [row for row in rows if row is not None and (row.has_second or row.has_device or row.range is not None)]


def _arms(record: Record, model: Model, backend: str, reference: Reference) -> Arms | None:
    """The arms, filled or not; nothing where the device computes in the form's own precision."""
    form, precision = model.deployed(reference), model.recipes[backend].precision
    if form.precision == precision:
        return None
    lowered = model.foretelling(form, model.recipes[backend])
    first, device = (Group(model.name, form.name, *of) for of in ((HERE, form.precision), (backend, precision)))
    second = Group(model.name, lowered.name, HERE, precision) if lowered else None
    groups = (first, second, device)
    accuracy = _at_one_point(
        [_answers(record, "accuracy", group, reference.name) for group in groups], model.judged(reference).id
    )
    measure = next((measure_of(answer, {model.name: model}) for answer in accuracy if answer), None)
    alone, agreement = (_worst(_answers(record, "agreement", group, reference.name)) for group in (second, device))
    said = [answer for answer in (accuracy[2], agreement) if answer is not None]
    there = _kept(agreement, "decoded_equal", "median_abs")
    here = _kept(agreement, "here_equal", "here_median_abs")
    return Arms(
        group=device,
        reference=reference.name,
        accuracy=accuracy,
        measure=measure,
        converted=step(record, accuracy[0], accuracy[1], measure),
        ran=step(record, accuracy[1], accuracy[2], measure),
        both=step(record, accuracy[0], accuracy[2], measure),
        agreement=agreement,
        here=_kept(alone, "decoded_equal", "median_abs") if here.equal is None else here,
        there=there,
        range=next((each for each in _answers(record, "range", first, reference.name) if answered(each)), None),
        stands_in=any(stands_in(record.provenance.get(answer.provenance, {})) for answer in said),
    )


def _answers(record: Record, question: str, group: Group | None, reference: str) -> list[Recorded]:
    found = (answer for answer in answers_to(record, question) if answer.key.reference == reference)
    return [answer for answer in found if group_of(answer) == group]


def _at_one_point(found: Sequence[Sequence[Recorded]], wanted: str) -> tuple[Recorded | None, ...]:
    """An answer of each arm, all at the point where most of them have figures: the wanted one, or the smallest."""
    by_point = [{answer.point or "": answer for answer in answers} for answers in found]
    points = sorted(
        {point for each in by_point for point in each}, key=lambda each: (each != wanted, natural_order(each))
    )
    best = max(points, key=lambda point: sum(_measured(each.get(point)) for each in by_point), default="")
    return tuple(each.get(best) for each in by_point)


def _worst(answers: Iterable[Recorded]) -> Recorded | None:
    """Of the answers at all points the one with the worst verdict, then with the fewest equal answers."""
    with_figures = (answer for answer in answers if answer.count("decoded_equal") is not None and answer.count("n"))

    def order(answer: Recorded) -> tuple[int, float, float]:
        share = (answer.count("decoded_equal") or 0) / (answer.count("decoded_compared") or 1)
        return SEVERITY.index(answer.verdict), share, -(answer.number("max_abs") or 0.0)

    return min(with_figures, key=order, default=None)


def _kept(answer: Recorded | None, equal: str, median: str) -> Kept:
    if answer is None or answer.count(equal) is None:
        return Kept()
    unit = "answers" if answer.number("pixels_equal") is None else "pixels"
    return Kept(answer.count(equal), answer.count("decoded_compared"), answer.number(median), unit)


def _measured(answer: Recorded | None) -> bool:
    return answer is not None and answer.count("n") is not None


def _scored(answer: Recorded | None, since: Step | None, measure: Measure | None) -> str:
    """``486/500 0.9720 (-2 hits; lost 3, gained 1)``; the verdict alone where there is no figure."""
    if answer is None:
        return NONE
    if not _measured(answer):
        return shown(answer.verdict)
    figure = value(answer)
    text = counted(answer, measure) if figure is None else f"{counted(answer, measure)} {figure:.4f}"
    return f"{text} ({since})" if since else text


def _largest(answer: Recorded | None) -> str:
    """``1234 (1.9%, /conv)``; the verdict where it is not pass, or there is no figure."""
    if answer is None:
        return NONE
    largest, share = answer.number("largest"), answer.number("share")
    if largest is None or share is None:
        return shown(answer.verdict)
    text = f"{largest:.4g} ({share:.1%}, {answer.text('tensor') or 'not named'})"
    return text if answer.verdict is Verdict.PASS else f"{text} {shown(answer.verdict)}"
