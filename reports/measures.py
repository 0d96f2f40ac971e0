"""How the values of a metric are made of the counts of a record, as the declarations say it."""

from __future__ import annotations

from collections.abc import Mapping

from harness.declaration import DeclarationError
from harness.judge import Measure
from harness.model import Model
from harness.registry import resolve
from reports.record import Recorded


def measures(model: Model | None) -> Mapping[str, Measure]:
    """By value; nothing is known of a model that is not declared, or whose metric is not here."""
    try:
        return {} if model is None else dict(resolve(model.metric).measures)
    except DeclarationError:
        return {}


def named(answer: Recorded) -> str:
    """The value that an accuracy answer's metric is named for; empty where no metric was recorded."""
    return (answer.text("metric") or "").partition(":")[0]


def measure_of(answer: Recorded, models: Mapping[str, Model]) -> Measure | None:
    """How that value is made."""
    return measures(models.get(answer.model)).get(named(answer))


def sets(answer: Recorded) -> list[str]:
    """The sets of samples that an answer counted one by one."""
    return [name.removesuffix(": n") for name in answer.figures if name.endswith(": n")]
