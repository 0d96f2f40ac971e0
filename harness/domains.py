"""What each question is asked of.

Every question declares its domain here: *build* is asked of each form, of one that is made for each point at each;
*operators* of each form that is compiled and each toolkit it is meant for, with or without a device; *agreement* of
each edge of the tree, at every point, on the backend that runs the child; *accuracy* at one batch a backend;
*batching* at every point of the deployed form; *throughput* at every point of the deployed form, and at the smallest
point of the others, which shows what a rewrite costs; *range* once of what each reference deploys; *placement* of
every form that ONNX Runtime runs, at the smallest point. A form in another precision says what that costs, and is
asked for *agreement* and *accuracy* at one batch; of one in half precision, which is only imitated here, times would
mean nothing. A quantised form is asked for *layers* and *simulation* in the place of *agreement*, at that batch, with
seeded weights of *simulation* alone; and for *keep_float*, of those of 8 bits. A backend whose tools take no times is
asked for *simulation* in the place of *throughput*. Official, seeded and bundled weights: *build*, *agreement*,
*batching* and *throughput* use the full-size network (official weights where they were found, else seeded);
*agreement* and *batching* use the bundled reference too, and stop at batches of 2048 x 2048 pixels; *accuracy* and
*range* are asked of every reference with data, *range* of the full-size network too, and *accuracy* once of one whose
weights were not found, to say so. A form that a reference cannot make is not asked under it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from harness.cells import Ask, Cell, Scope, cells
from harness.form import Form
from harness.model import Model
from harness.reference import Reference
from harness.registry import backends
from harness.sizes import Point

LARGEST_COMPARED = 2**22
"""Pixels of a batch, 2048 x 2048: float noise of a larger one needs more memory than most machines have."""
PROFILED = "ort"
"""The backend that tells where each node ran."""


def asks(question: str, models: Mapping[str, Model], scope: Scope) -> list[Ask]:
    """All that ``question`` asks, in the order of models, forms and points."""
    return [ask for model in models.values() for ask in DOMAINS[question](model, scope)]


def _build(model: Model, scope: Scope) -> Iterator[Ask]:
    full = scope.full(model)
    for form in model.forms:
        if model.makes(full, form) and not form.static:
            yield Ask("build", model, form, None, full.name)
        for cell in cells(model) if form.static else ():
            if cell.form == form and cell.answers(full):
                yield Ask("build", model, form, cell, full.name)


def _operators(model: Model, scope: Scope) -> Iterator[Ask]:
    recipe = model.recipes.get("ascend")
    if recipe is None:
        return
    compiled: dict[str, Reference] = {}
    for reference in (scope.full(model), *(each for each in model.references if scope.has(model, each))):
        deployed = model.deployed(reference).name
        compiled.setdefault(recipe.compiles.get(deployed, deployed), reference)
    for name, reference in compiled.items():
        for toolkit in recipe.toolkits:
            yield Ask("operators", model, model.form(name), None, reference.name, toolkit=toolkit)


def _agreement(model: Model, scope: Scope) -> Iterator[Ask]:
    for cell in cells(model):
        for reference in _full_and_bundled(model, scope):
            if cell.form.promise in ("none", "opaque") or not _compared(cell, reference):
                continue
            # Its layers tell more of its numbers, and hundreds of samples more of its answers.
            if cell.form.quantisation:
                continue
            if not _is_coarser(model, cell.form) or cell.point == model.judged(reference) or scope.all_batches:
                yield Ask("agreement", model, cell.form, cell, reference.name, choice=True)


def _batching(model: Model, scope: Scope) -> Iterator[Ask]:
    for cell in cells(model):
        for reference in _full_and_bundled(model, scope):
            if cell.form == model.deployed(reference) and _compared(cell, reference):
                yield Ask("batching", model, cell.form, cell, reference.name, choice=True)


def _compared(cell: Cell, reference: Reference) -> bool:
    """Whether a reference's weights reach a cell, and its batches are no larger than float noise is measured on."""
    point = cell.point
    return cell.answers(reference) and point.batch * (point.height or 1) * (point.width or 1) <= LARGEST_COMPARED


def _full_and_bundled(model: Model, scope: Scope) -> list[Reference]:
    return [scope.full(model), *(reference for reference in model.references if reference.name == "bundled")]


def _accuracy(model: Model, scope: Scope) -> Iterator[Ask]:
    for reference in model.references:
        if reference.data is None:
            continue
        asked = [
            Ask("accuracy", model, cell.form, cell, reference.name, choice=True)
            for cell in (*_deployed(model, reference), *_foretold(model, reference))
            if cell.point == model.judged(reference) or (scope.all_batches and _same_size(model, reference, cell))
        ]
        yield from asked if scope.has(model, reference) else asked[:1]


def _range(model: Model, scope: Scope) -> Iterator[Ask]:
    for reference in model.references:
        deployed = model.deployed(reference)
        if not (reference.data or reference == scope.full(model)) or not scope.has(model, reference):
            continue
        for cell in _deployed(model, reference):
            once = cell.point == model.judged(reference) and not backends()[cell.backend].compiles
            if once and cell.form == deployed and model.lowered(deployed, "fp16"):
                yield Ask("range", model, deployed, cell, reference.name, choice=True)
                break


def _throughput(model: Model, scope: Scope) -> Iterator[Ask]:
    full = scope.full(model)
    for cell in _measured(model, full):
        if not backends()[cell.backend].timed:
            continue
        if cell.form == model.deployed(full) or cell.point == _smallest(model):
            yield Ask("throughput", model, cell.form, cell, full.name)


def _placement(model: Model, scope: Scope) -> Iterator[Ask]:
    full = scope.full(model)
    for cell in _measured(model, full):
        if cell.backend == PROFILED and cell.point == _smallest(model):
            yield Ask("placement", model, cell.form, cell, full.name)


def _layers(model: Model, scope: Scope) -> Iterator[Ask]:
    # Drawn weights make layers that hold hardly anything: what integers lose of those says nothing.
    return (ask for ask in _inside("layers", model, scope) if not model.reference(ask.reference).initialise)


def _simulation(model: Model, scope: Scope) -> Iterator[Ask]:
    yield from _inside("simulation", model, scope)
    for cell in cells(model):
        for reference in _full_and_bundled(model, scope):
            if not backends()[cell.backend].timed and cell.answers(reference):
                yield Ask("simulation", model, cell.form, cell, reference.name, choice=True)


def _inside(question: str, model: Model, scope: Scope) -> Iterator[Ask]:
    """A question about what is inside of quantised forms, which does not depend on the batch."""
    for cell in cells(model):
        for reference in _full_and_bundled(model, scope):
            if _is_quantised_here(cell, model, reference):
                yield Ask(question, model, cell.form, cell, reference.name, choice=True)


def _keep_float(model: Model, scope: Scope) -> Iterator[Ask]:
    for cell in cells(model):
        for reference in model.references:
            here = reference.data is not None and scope.has(model, reference)
            if here and cell.precision == "int8" and _is_quantised_here(cell, model, reference):
                yield Ask("keep_float", model, cell.form, cell, reference.name, choice=True)


def _is_quantised_here(cell: Cell, model: Model, reference: Reference) -> bool:
    """Whether a cell runs a quantised form of a reference as we made it, at the point where that is judged."""
    ours = cell.form.quantisation is not None and not backends()[cell.backend].compiles
    return ours and cell.point == model.judged(reference) and cell.answers(reference)


def _measured(model: Model, reference: Reference) -> Iterator[Cell]:
    """The cells whose times mean something: half precision is only imitated here."""
    return (
        cell
        for cell in cells(model)
        if cell.answers(reference) and (cell.form.quantisation or not _is_coarser(model, cell.form))
    )


def _smallest(model: Model) -> Point:
    return min(model.points, key=lambda point: (point.batch, (point.height or 1) * (point.width or 1)))


def _deployed(model: Model, reference: Reference) -> Iterator[Cell]:
    """On each backend the deployed form, or the nearest that it is compared with and that the backend runs."""
    for name, backend in backends().items():
        form: Form | None = model.deployed(reference)
        while form is not None and form.format not in backend.formats:
            form = model.against(form)
        yield from (
            cell for cell in cells(model) if (cell.backend, cell.form) == (name, form) and cell.answers(reference)
        )


def _same_size(model: Model, reference: Reference, cell: Cell) -> bool:
    """Whether a cell is fed pictures of the size that the reference is judged at: at another size it answers
    otherwise."""
    judged = model.judged(reference)
    return (cell.point.height, cell.point.width) == (judged.height, judged.width)


def _foretold(model: Model, reference: Reference) -> Iterator[Cell]:
    """The deployed form in other precisions, and quantised forms, on backends that run them as they are."""
    deployed = model.deployed(reference)
    for cell in cells(model):
        lowered = _is_coarser(model, cell.form) and model.against(cell.form) == deployed
        if (lowered or cell.form.quantisation) and cell.answers(reference):
            yield cell


def _is_coarser(model: Model, form: Form) -> bool:
    """Whether a form is another one in another precision. What that costs does not depend on the batch, so one is
    enough."""
    against = model.against(form)
    return against is not None and form.precision != against.precision


DOMAINS: Mapping[str, Callable[[Model, Scope], Iterator[Ask]]] = {
    "build": _build,
    "agreement": _agreement,
    "accuracy": _accuracy,
    "batching": _batching,
    "throughput": _throughput,
    "operators": _operators,
    "range": _range,
    "layers": _layers,
    "simulation": _simulation,
    "placement": _placement,
    "keep_float": _keep_float,
}
QUESTIONS = tuple(DOMAINS)
