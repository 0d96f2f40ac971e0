"""Cells, and the questions that are asked of them.

A cell is model, form, backend, precision and point; an ask is one question, asked of one subject under one reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from harness.declaration import DeclarationError
from harness.form import Form
from harness.model import Model
from harness.reference import Reference
from harness.registry import backends
from harness.sizes import Point

DESK = "desk"
"""The marker of what is asked of a file for a toolkit that need not be here."""


@dataclass(frozen=True)
class Cell:
    """Model, form, backend, precision and point; its id is the same in tests, records, folders and reports."""

    model: Model
    form: Form
    backend: str
    precision: str
    point: Point

    @property
    def id(self) -> str:
        """``crnn-ort-fp32-bs8``; ``crnn.split_lstm-ort-fp32-bs8`` where the form is not the main one."""
        form = "" if self.form.name == self.model.main else f".{self.form.name}"
        return f"{self.model.name}{form}-{self.backend}-{self.precision}-{self.point.id}"

    @cached_property
    def sized(self) -> Model:
        """The model with the sizes of the point in inputs and outputs: what goes in and comes out of a session."""
        return self.model.giving(self.loaded).at(self.point)

    @property
    def loaded(self) -> Form:
        """The form whose file the backend is given: the cell's own, or the one that its recipe compiles instead."""
        recipe = self.model.recipes.get(self.backend)
        return self.model.form(recipe.compiles.get(self.form.name, self.form.name)) if recipe else self.form

    def answers(self, reference: Reference) -> bool:
        """Whether a reference's weights reach it; on a backend that compiles, only where it is what they deploy."""
        if backends()[self.backend].compiles and self.form != self.model.deployed(reference):
            return False
        return self.model.makes(reference, self.form) and self.model.makes(reference, self.loaded)


@dataclass(frozen=True)
class Ask:
    """One question, asked of one subject under one reference: one test, one answer."""

    question: str
    model: Model
    form: Form
    cell: Cell | None
    reference: str
    choice: bool = False
    toolkit: str = ""

    @property
    def subject(self) -> str:
        """The cell's id, or ``crnn.onnx`` where a form itself is asked, ``crnn.onnx-cann7.0.0`` with a toolkit."""
        toolkit = f"-cann{self.toolkit}" if self.toolkit else ""
        return self.cell.id if self.cell else f"{self.model.name}.{self.form.name}{toolkit}"

    @property
    def id(self) -> str:
        """The subject, and the reference where the question has a choice of them."""
        return f"{self.subject}-{self.reference}" if self.choice else self.subject

    @property
    def at(self) -> Cell:
        """The cell, for questions that are only asked of cells."""
        if self.cell is None:
            raise DeclarationError(f"{self.subject}: {self.question} is asked of a cell, not of a form")
        return self.cell

    @cached_property
    def markers(self) -> frozenset[str]:
        """What ``-m`` can select this by."""
        names = {self.model.name, self.model.family, self.cell.precision if self.cell else self.form.precision}
        if self.form.name != self.model.main:
            names.add(self.form.name)
        if self.toolkit:
            names.add(DESK)
        if self.cell:
            names |= {self.cell.backend, self.cell.point.id, *backends()[self.cell.backend].markers}
            names |= {"perf"} if self.question == "throughput" else set()
            # Accuracy takes as long as its data, whatever the point; a device takes no minute where a processor does.
            timed = self.question == "throughput" and backends()[self.cell.backend].compiles
            slow = self.cell.point.slow and self.question != "accuracy" and not timed
            names |= {"slow"} if slow else set()
        return frozenset(names)


@dataclass(frozen=True)
class Scope:
    """What a run widens or finds: all batches for accuracy, and which references (model, name) have weights here."""

    all_batches: bool = False
    found: frozenset[tuple[str, str]] = frozenset()

    def has(self, model: Model, reference: Reference) -> bool:
        """Whether a reference's weights are here: found, shipped, or drawn from a seed."""
        shipped = all(asset.shipped for asset in reference.weights)
        return shipped or (model.name, reference.name) in self.found

    def full(self, model: Model) -> Reference:
        """The reference with the full-size network: the first one whose weights are here, but for the bundled one."""
        whole = [reference for reference in model.references if reference.name != "bundled"]
        return next((reference for reference in whole if self.has(model, reference)), whole[0])


def cells(model: Model) -> Iterator[Cell]:
    """Every cell of a model: each form that a backend runs, at each point; on one that compiles only what is deployed,
    in the precision of the model's recipe for it."""
    deployed = {model.deployed(reference).name for reference in model.references}
    for form in model.forms:
        for name, backend in backends().items():
            recipe = model.recipes.get(name)
            if not form.runs or form.format not in backend.formats:
                continue
            if backend.compiles and (recipe is None or form.name not in deployed):
                continue
            for point in model.points:
                if (recipe is not None and not recipe.takes(point)) or (point.compiled and not backend.compiles):
                    continue
                yield Cell(model, form, name, recipe.precision if recipe else form.precision, point)
