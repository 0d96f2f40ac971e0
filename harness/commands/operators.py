"""``python -m harness operators``: which toolkits will take a model, before anyone touches a device."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.ascend.cann import Cann
from harness.ascend.operators import VERSIONS
from harness.assets import Assets
from harness.commands.folders import add_models, add_store
from harness.declaration import DeclarationError
from harness.form import Form
from harness.model import Model
from harness.questions.operators import answer
from harness.reference import Reference
from harness.registry import choose_model, load_models
from harness.store import Store
from harness.verdict import Verdict
from harness.workbench import Workbench

TEXT = "which toolkits will take each model's operators, told from the file that they compile"
DETAIL = (
    "A row for each CANN version that something is known of, and for those that the model's recipe names (*): pass "
    "where every operator of the compiled form is known to be taken at its opset, fail where one is refused, "
    "inconclusive where of some nothing is known. The sources are published operator lists, guides and the parser's "
    "open source; a version between two that agree is taken to agree with them. With --toolkit the row says all of it. "
    "That an operator is taken does not say that a kernel for the chip computes every case of it."
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.epilog = DETAIL
    parser.add_argument("model", nargs="?", help="name of a declaration, such as rare; all where none is named")
    parser.add_argument("--toolkit", metavar="V", help="this CANN version alone, such as 6.0.RC1")
    parser.add_argument("--form", metavar="F", help="another ONNX form than the compiled one; needs MODEL")
    add_models(parser)
    add_store(parser)
    parser.set_defaults(wrong=parser.error)


def run(options: argparse.Namespace) -> Iterator[str]:
    """A table a form: which version takes it, and what it refuses. Forms are made of seeded weights, or found made."""
    if options.form and not options.model:
        options.wrong("--form names a form of one model: name the model too")
    models = load_models(options.models)
    chosen = [choose_model(models, options.model)] if options.model else list(models.values())
    with TemporaryDirectory() as scratch:
        bench = Workbench(Store(options.store), Assets(), Path(scratch))
        for model in chosen:
            reference = _drawn(model)
            form = model.form(options.form) if options.form else _compiled(model, reference)
            if form.format != "onnx" or not model.makes(reference, form):
                raise DeclarationError(f"{model.name}.{form.name}: no ONNX form that drawn weights make")
            path = bench.form(model, reference, form).file("model.onnx")
            yield f"{model.name}.{form.name}"
            yield from _table(path, options.toolkit, _toolkits(model))


def _table(path: Path, toolkit: str | None, meant: tuple[str, ...]) -> Iterator[str]:
    if toolkit is not None:
        found = answer(path, toolkit)
        yield f"  {found.verdict.value}: {found.line}"
        return
    named = {Cann.of(text) for text in meant}
    for version in sorted(named | set(VERSIONS)):
        found = answer(path, str(version))
        words = [f"{word} {found.figures[word]}" for word in ("refused", "unknown") if found.figures[word]]
        mark = "*" if version in named else " "
        yield f"  {mark} {version!s:14} {_shown(found.verdict):14} {'; '.join(words)}".rstrip()


def _shown(verdict: Verdict) -> str:
    return verdict.value if verdict is Verdict.PASS else verdict.value.upper()


def _drawn(model: Model) -> Reference:
    found = next((reference for reference in model.references if reference.initialise), None)
    if found is None:
        raise DeclarationError(f"{model.name}: no reference draws weights; declare one with initialise")
    return found


def _compiled(model: Model, reference: Reference) -> Form:
    deployed = model.deployed(reference)
    recipe = model.recipes.get("ascend")
    return model.form(recipe.compiles.get(deployed.name, deployed.name)) if recipe else deployed


def _toolkits(model: Model) -> tuple[str, ...]:
    recipe = model.recipes.get("ascend")
    return recipe.toolkits if recipe else ()
