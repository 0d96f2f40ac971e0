"""``python -m harness``: what is here, what can be asked, and what the store holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.assets import Assets
from harness.backends import machine
from harness.cells import QUESTIONS, Scope, asks
from harness.declaration import DeclarationError
from harness.model import Asset, Model, Reference
from harness.provenance import provenance
from harness.registry import PROJECT, backends, choose_model, load_models
from harness.store import Store
from harness.verdict import Outcome


def main(arguments: list[str] | None = None) -> int:
    """Prints what was asked for; 0 when it could be, 1 with a line on standard error when not, 2 for wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        for line in COMMANDS[options.command](options):
            print(line)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
    except (DeclarationError, Outcome, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def doctor(options: argparse.Namespace) -> Iterator[str]:
    """The machine, its backends, and for each model which weights and data were found."""
    for name, value in provenance(1).items():
        if name != "threads":
            yield f"{name:22} {value}"
    yield ""
    for name, backend in backends().items():
        seen = backend.discover(machine())
        shown = ", ".join(f"{key} {value}" for key, value in seen.provenance.items())
        yield f"backend {name:14} {f'present: {shown}' if seen.present else f'absent: {seen.reason}; {seen.remedy}'}"
    assets = Assets(tuple(options.assets))
    for model in load_models(options.models).values():
        yield ""
        yield f"model {model.name:16} {model.title} (guide {model.guide})"
        for reference in model.references:
            yield f"  {reference.name:20} {_found(reference, assets)}"


def cells(options: argparse.Namespace) -> Iterator[str]:
    """Every cell and form, with the questions that are asked of it and the markers that select them."""
    models = load_models(options.models)
    for model in [choose_model(models, options.model)] if options.model else models.values():
        yield from _cells_of(model)


def store(options: argparse.Namespace) -> Iterator[str]:
    """What the store holds, or what was pruned from it."""
    kept = Store(options.store)
    if options.action == "prune":
        freed = 0
        for path, size in kept.prune(options.unused_days):
            freed += size
            yield f"removed {path} ({size} bytes)"
        yield f"freed {freed / 1e6:.1f} MB in {options.store}"
        return
    total = 0
    for folder, manifest in kept.entries():
        size = sum(file["size"] for file in manifest["files"].values())
        total += size
        yield f"{folder.parent.name:28} {folder.name} {size / 1e6:8.2f} MB  {manifest['because']}"
    yield f"{total / 1e6:.1f} MB in {options.store}"


COMMANDS = {"doctor": doctor, "cells": cells, "store": store}


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


def _found(reference: Reference, assets: Assets) -> str:
    if reference.weights is None:
        weights = f"weights drawn by {reference.initialise}"
    else:
        weights = f"weights {_where(reference.weights, assets)}"
    if reference.data is None:
        return weights
    data = f"data made by {reference.data.make}" if reference.data.asset is None else "data "
    return f"{weights}; {data}{_where(reference.data.asset, assets) if reference.data.asset else ''}"


def _where(asset: Asset, assets: Assets) -> str:
    try:
        return f"found: {assets.find(asset)}"
    except Outcome as outcome:
        return f"absent: {outcome}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m harness", description="What is here, and what can be asked.")
    commands = parser.add_subparsers(dest="command", title="commands")
    texts = {
        "doctor": "what this machine is, which backends it has, and which weights and data were found",
        "cells": "every cell, the questions that are asked of it, and the markers that select them",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--models", type=Path, action="append", default=[], metavar="DIR", help="more declarations"
        )
        if name == "doctor":
            command.add_argument(
                "--assets", type=Path, action="append", default=[], metavar="DIR", help="where to look"
            )
        else:
            command.add_argument("--model", metavar="NAME", help="of this model only")
    text = "list what the store holds, the longest unused first, or prune it"
    command = commands.add_parser("store", help=text, description=text)
    command.add_argument("action", choices=("list", "prune"))
    command.add_argument("--store", type=Path, default=PROJECT / ".store", metavar="DIR", help="default: .store")
    command.add_argument(
        "--unused-days",
        type=float,
        default=30.0,
        metavar="D",
        help="prune what no run has used for D days (default: 30; 0 for everything) and what killed builds left",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
