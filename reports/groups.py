"""Answers in the groups that a table shows as one row, in the order of the declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from harness.model import Model
from reports.record import Recorded


class Group(NamedTuple):
    """What the subjects of one row have in common. ``backend`` is empty where forms themselves were asked."""

    model: str
    form: str
    backend: str
    precision: str

    def __str__(self) -> str:
        return f"{self.model}.{self.form} {self.backend} {self.precision}" if self.backend else self.form_name

    @property
    def form_name(self) -> str:
        """``crnn.onnx``."""
        return f"{self.model}.{self.form}"


def group_of(answer: Recorded) -> Group:
    """The group of an answer."""
    return Group(answer.model, answer.form, answer.backend or "", answer.precision if answer.backend else "")


def grouped(answers: Iterable[Recorded], models: Mapping[str, Model]) -> dict[Group, list[Recorded]]:
    """Answers by group: models and forms as they are declared, what is not declared after them by name."""
    found: dict[Group, list[Recorded]] = {}
    for answer in answers:
        found.setdefault(group_of(answer), []).append(answer)
    return {group: found[group] for group in sorted(found, key=lambda group: _place(group, models))}


def _place(group: Group, models: Mapping[str, Model]) -> tuple[int, int, Group]:
    names = list(models)
    if group.model not in names:
        return len(names), 0, group
    forms = [form.name for form in models[group.model].forms]
    return names.index(group.model), forms.index(group.form) if group.form in forms else len(forms), group
