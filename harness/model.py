"""What a declaration of a model can say. Declarations are data: they name code by string and import none of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from itertools import product
from typing import Literal

from harness.declaration import DeclarationError, Scalar, choose, declared
from harness.form import Form
from harness.layout import FileLayout
from harness.recipe import Recipe
from harness.reference import Reference
from harness.sizes import Point, TensorSpec

Family = Literal["recognition", "detection", "classification", "segmentation"]


@declared
class Training:
    """The recipe of the bundled checkpoint: a function, and the numbers it takes."""

    function: str
    params: Mapping[str, Scalar]


@declared
class Model:
    """A network with its contract: inputs, outputs, points, how it is fed and scored, what was published about it.

    ``feed`` turns a sample's content and the shape of one item into that item of the input, ``decode`` one item of the
    output into an answer, ``metric`` scores it against the truth, ``compare`` compares decoded outputs. Accuracy is
    asked at the first point of ``accuracy_batch``, or where a reference says; batching proves the others. ``layout`` is
    the guide's, for tools that work on files. ``decided`` is for networks that are fed their own answers, where a near
    tie that float noise turns is followed by other numbers: it says which items are decided at every step, and only
    those are compared. ``overlay`` draws what was answered to a picture, and what is true, for people to look at;
    ``natural`` says which height and width its source would give a picture of a height and width. ``recipes`` says by
    backend how those that compile take the model; without one, such a backend has no cell of it.
    """

    name: str
    title: str
    guide: str
    family: Family
    network: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    points: tuple[Point, ...]
    accuracy_batch: int
    forms: tuple[Form, ...]
    main: str
    references: tuple[Reference, ...]
    feed: str
    decode: str
    metric: str
    compare: str
    layout: FileLayout = field(default_factory=FileLayout)
    decided: str | None = None
    overlay: str | None = None
    natural: str | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    training: Training | None = None

    def __post_init__(self) -> None:
        where = f"Model({self.name})"
        if not self.name.isidentifier():
            raise DeclarationError(f"{where}.name: not an identifier, so it cannot be a marker")
        names = [form.name for form in self.forms]
        _distinct(f"{where}.forms", names)
        _distinct(f"{where}.references", [reference.name for reference in self.references])
        _distinct(f"{where}.points", [point.id for point in self.points])
        choose(f"{where}.main", self.main, names)
        choose(f"{where}.accuracy_batch", str(self.accuracy_batch), [str(point.batch) for point in self.points])
        for index, form in enumerate(self.forms):
            self._check_form(form, names[:index])
        for backend, recipe in self.recipes.items():
            self._check_recipe(f"{where}.recipes[{backend}]", recipe, names)
        outputs = [spec for form in self.forms for spec in self.outputs_of(form)]
        for spec, point in product((*self.inputs, *self.outputs, *outputs), self.points):
            spec.at(point)
        for reference in self.references:
            self._check_reference(f"{where}.references[{reference.name}]", reference, names)

    def _check_reference(self, where: str, reference: Reference, names: list[str]) -> None:
        self.judged(reference)
        for claim in reference.claims:
            if claim.form:
                choose(f"{where}: form of the claim {claim.printed}", claim.form, names)
        deployed = reference.main or self.main
        choose(f"{where}.main", deployed, names)
        if self.form(deployed).promise == "opaque":
            raise DeclarationError(f"{where}.main: {deployed!r} is opaque, never run")
        if not self.makes(reference, self.form(deployed)):
            raise DeclarationError(f"{where}.main: {deployed!r} cannot be made from this reference")

    def _check_recipe(self, where: str, recipe: Recipe, names: list[str]) -> None:
        for deployed, compiled in recipe.compiles.items():
            choose(f"{where}.compiles", deployed, names)
            choose(f"{where}.compiles[{deployed}]", compiled, names)
        for name in recipe.points:
            choose(f"{where}.points", name, [point.id for point in self.points])
        for spec in self.inputs if recipe.sizes else ():
            for symbol, size in product(spec.symbols, recipe.sizes):
                symbol.bound(size)
        if not any(recipe.takes(point) for point in self.points):
            raise DeclarationError(f"{where}.sizes: {recipe.sizes}, but no point lies within; nothing would be asked")
        self._check_foretold(where, recipe)

    def _check_foretold(self, where: str, recipe: Recipe) -> None:
        for deployed, foretelling in recipe.foretold.items():
            choose(f"{where}.foretold", deployed, [form.name for form in self.forms])
            if self.form(foretelling).precision != recipe.precision:
                raise DeclarationError(
                    f"{where}.foretold[{deployed}]: {foretelling!r} is in {self.form(foretelling).precision}, the "
                    f"recipe in {recipe.precision}"
                )
        for reference in self.references:
            form = self.form(reference.main or self.main)
            loaded = self.form(recipe.compiles.get(form.name, form.name))
            if recipe.precision == form.precision or not self.makes(reference, loaded):
                continue
            if self.foretelling(form, recipe) is None:
                raise DeclarationError(
                    f"{where}.precision: {recipe.precision!r}, but no form is {form.name!r} in it; declare one, lossy "
                    f"against {form.name!r}, or name it in foretold: it says what that precision may cost, and "
                    "foretells it without the device"
                )

    def _check_form(self, form: Form, before: list[str]) -> None:
        where = f"Model({self.name}).forms[{form.name}]"
        if not form.name.isidentifier():
            raise DeclarationError(f"{where}.name: not an identifier, so it cannot be a marker")
        for field_name, named in (("parent", form.parent), ("against", form.against)):
            if named is not None:
                choose(f"{where}.{field_name}", named, before)
        for name in form.references:
            choose(f"{where}.references", name, [reference.name for reference in self.references])
        if bool(form.outputs) != bool(form.reduce):
            raise DeclarationError(
                f"{where}: outputs {[spec.name for spec in form.outputs]} with reduce={form.reduce!r}; a form with "
                "outputs of its own, and no other, says what makes them of those before"
            )
        if form.static and (form.format != "onnx" or any(form.name == each.parent for each in self.forms)):
            raise DeclarationError(f"{where}.static: expected a form in ONNX, and none that is made from it")
        against = self.against(form)
        lossy = form.promise == "lossy"
        if (form.equal is not None, bool(form.because)) != (lossy, lossy) or not 0 < (form.equal or 1) <= 1:
            raise DeclarationError(
                f"{where}: promise {form.promise!r} with equal={form.equal}, because={form.because!r}; a lossy form, "
                "and no other, declares the share of answers that stay equal, up to 1, and what it loses the others by"
            )
        if form.promise in ("exact", "close", "lossy") and against is None:
            raise DeclarationError(f"{where}.promise: {form.promise!r}, but no form before it runs")
        if against is not None and not against.runs:
            raise DeclarationError(
                f"{where}.against: {against.name!r} is of format {against.format!r}, promise {against.promise!r}, "
                "and runs nowhere"
            )

    @property
    def places(self) -> bool:
        """Whether answers are places in the picture, so that ``decode`` is also given its height and width."""
        return self.family in ("detection", "segmentation")

    def form(self, name: str) -> Form:
        """The form of that name."""
        choose(f"Model({self.name}): form", name, [form.name for form in self.forms])
        return next(form for form in self.forms if form.name == name)

    def reference(self, name: str) -> Reference:
        """The reference of that name."""
        choose(f"Model({self.name}): reference", name, [reference.name for reference in self.references])
        return next(reference for reference in self.references if reference.name == name)

    def ancestors(self, form: Form) -> Iterator[Form]:
        """Parent, grandparent and so on, nearest first."""
        while form.parent is not None:
            form = self.form(form.parent)
            yield form

    def against(self, form: Form) -> Form | None:
        """The form whose numbers this one must keep: the declared one, or the nearest ancestor that runs."""
        if form.against is not None:
            return self.form(form.against)
        return next((ancestor for ancestor in self.ancestors(form) if ancestor.runs), None)

    def twin(self, form: Form) -> Form | None:
        """The nearest form in torch on the way of ``against``, where float noise can be measured."""
        found: Form | None = form
        while found is not None and found.format != "torch":
            found = self.against(found)
        return found

    def outputs_of(self, form: Form) -> tuple[TensorSpec, ...]:
        """What a form gives: what it declares, or the nearest form before it, or the model."""
        found = self._changing(form)
        return found.outputs if found else self.outputs

    def reduction(self, form: Form) -> str:
        """What makes a form's outputs of the model's own. Raises ``DeclarationError`` where they are these."""
        found = self._changing(form)
        if found is None:
            raise DeclarationError(f"Model({self.name}).forms[{form.name}]: gives the model's own outputs")
        return found.reduce

    def _changing(self, form: Form) -> Form | None:
        """The form that declares what this one gives, where that is not what the model says."""
        return next((each for each in (form, *self.ancestors(form)) if each.outputs), None)

    def giving(self, form: Form) -> Model:
        """The model with the outputs of a form; forms are made of the model itself."""
        outputs = self.outputs_of(form)
        return self if outputs == self.outputs else replace(self, outputs=outputs)

    def makes(self, reference: Reference, form: Form) -> bool:
        """Whether a form can be made from a reference's weights: nothing on its way is for other references only."""
        way = (form, *self.ancestors(form))
        return all(not each.references or reference.name in each.references for each in way)

    def lowered(self, form: Form, precision: str) -> Form | None:
        """The form that is another one in that precision, for this machine; nothing where none is declared."""
        found = (each for each in self.forms if each.precision == precision and self.against(each) == form)
        return next(found, None)

    def foretelling(self, form: Form, recipe: Recipe) -> Form | None:
        """The form that shows on this machine what a recipe costs a deployed form; nothing where none is declared."""
        named = recipe.foretold.get(form.name)
        return self.form(named) if named is not None else self.lowered(form, recipe.precision)

    def deployed(self, reference: Reference) -> Form:
        """The form of a reference that is deployed."""
        return self.form(reference.main or self.main)

    def point(self, name: str) -> Point:
        """The point of that id."""
        choose(f"Model({self.name}): point", name, [point.id for point in self.points])
        return next(point for point in self.points if point.id == name)

    def answering(self, reference: Reference) -> Model:
        """The model with the outputs that files from a device hold: those of what its compiler is given in the place of
        the reference's deployed form, or that form's own."""
        deployed = self.deployed(reference)
        compiled = (recipe.compiles.get(deployed.name, deployed.name) for recipe in self.recipes.values())
        return self.giving(self.form(next(compiled, deployed.name)))

    def judged(self, reference: Reference) -> Point:
        """The point at which a reference's accuracy is asked."""
        if reference.point is not None:
            return self.point(reference.point)
        return next(point for point in self.points if point.batch == self.accuracy_batch)

    def at(self, point: Point) -> Model:
        """The model with inputs and outputs of the sizes that a point binds; forms are made of the model itself."""
        inputs, outputs = (tuple(spec.at(point) for spec in side) for side in (self.inputs, self.outputs))
        same = (inputs, outputs) == (self.inputs, self.outputs)
        return self if same else replace(self, inputs=inputs, outputs=outputs)


def _distinct(where: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(f"{where}: {name!r} is declared {names.count(name)} times")
