"""``python -m harness cells``: what can be asked."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from harness.cells import Scope
from harness.commands.folders import add_models
from harness.domains import QUESTIONS, asks
from harness.model import Model
from harness.registry import choose_model, load_models

TEXT = "every cell, the questions that are asked of it, and the markers that select them"


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_models(parser)
    parser.add_argument("--model", metavar="NAME", help="of this model only")


def run(options: argparse.Namespace) -> Iterator[str]:
    """Every cell and form, with the questions that are asked of it and the markers that select them."""
    models = load_models(options.models)
    for model in [choose_model(models, options.model)] if options.model else models.values():
        yield from _cells_of(model)


def _cells_of(model: Model) -> Iterator[str]:
    asked: dict[str, list[str]] = {}
    markers: dict[str, set[str]] = {}
    for question in QUESTIONS:
        for ask in asks(question, {model.name: model}, Scope()):
            word = f"{question}:{ask.reference}" if ask.choice else question
            asked.setdefault(ask.subject, []).append(word)
            markers.setdefault(ask.subject, set()).update(ask.markers)
    for subject, questions in asked.items():
        yield f"{subject:36} {', '.join(questions)}  [-m {' '.join(sorted(markers[subject]))}]"
