"""Finds declarations by path and code by name."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.declaration import DeclarationError, choose
from harness.model import Model

PROJECT = Path(__file__).resolve().parent.parent
MODELS = PROJECT / "suites" / "models"


def load_models(folders: Iterable[Path] = ()) -> dict[str, Model]:
    """Every model declared in ``suites/models`` and in further folders, by name.

    A declaration is a file ``<name>.py`` that defines ``MODEL``. Raises ``DeclarationError`` naming the file.
    """
    models: dict[str, Model] = {}
    for folder in (MODELS, *folders):
        if not folder.is_dir():
            raise DeclarationError(f"{folder}: no such folder of declarations (--models=DIR)")
        for path in sorted(folder.glob("*.py")):
            model = _load(path)
            if model.name in models:
                raise DeclarationError(f"{path}: a model {model.name!r} is declared already; names are unique")
            _check_markers(path, model)
            models[model.name] = model
    return models


def resolve(name: str) -> Any:
    """The object that ``"package.module:name"`` names; this is where its module is imported."""
    module, _, attribute = name.partition(":")
    try:
        return attrgetter(attribute)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise DeclarationError(f"{name!r} cannot be resolved: {error}") from error


@cache
def backends() -> dict[str, Any]:
    """Every backend, by name: one module of ``harness.backends`` each, that defines ``BACKEND``; those first that run a
    form as it is."""
    folder = Path(__file__).parent / "backends"
    modules = [importlib.import_module(f"harness.backends.{path.stem}") for path in sorted(folder.glob("[!_]*.py"))]
    found = [module.BACKEND for module in modules if hasattr(module, "BACKEND")]
    return {backend.name: backend for backend in sorted(found, key=lambda backend: bool(backend.compiles))}


def choose_model(models: dict[str, Model], name: str) -> Model:
    """The model of that name, or a ``DeclarationError`` with the nearest spelling."""
    choose("model", name, models)
    return models[name]


def _check_markers(path: Path, model: Model) -> None:
    """A model or form must not have the name of a marker that means something else: -m could not tell them apart."""
    taken = dict.fromkeys(backends(), "a backend")
    taken |= {form.precision: "a precision" for form in model.forms}
    taken |= {point.id: "a batch" for point in model.points} | {model.family: "a family"}
    taken |= dict.fromkeys(("perf", "slow", "gpu", "npu", "desk"), "a marker of the suite")
    for name in (model.name, *(form.name for form in model.forms)):
        if name in taken:
            raise DeclarationError(
                f"{path}: {name!r} is the name of {taken[name]}, so it cannot be that of a model or form"
            )


def _load(path: Path) -> Model:
    spec = importlib.util.spec_from_file_location(f"declared_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise DeclarationError(f"{path}: cannot be loaded as Python")
    module = ModuleType(spec.name)
    try:
        spec.loader.exec_module(module)
        model = module.MODEL
    except Exception as error:
        raise DeclarationError(f"{path}: {error}") from error
    if not isinstance(model, Model):
        raise DeclarationError(f"{path}: MODEL is a {type(model).__name__}, not a harness.model.Model")
    return model
