"""``python -m harness.training MODEL``: trains the bundled checkpoint of a model and writes its card."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch import nn

from harness.assets import Assets
from harness.cells import Scope
from harness.declaration import DeclarationError, Scalar
from harness.domains import asks
from harness.evaluate import Task
from harness.model import Model
from harness.provenance import provenance
from harness.questions.accuracy import ask as ask_accuracy
from harness.reference import Asset, DataSet, Reference
from harness.registry import PROJECT, choose_model, load_models, resolve
from harness.store import Store, file_digest
from harness.verdict import Figure, Outcome
from harness.workbench import Workbench


def main(arguments: list[str] | None = None) -> int:
    """Trains, or goes on; saves in half precision; scores the reloaded file; writes the card beside it."""
    options = _parser().parse_args(arguments)
    try:
        model = choose_model(load_models(), options.model)
        if model.training is None:
            raise DeclarationError(f"{model.name} declares no training")
        torch.set_num_threads(options.threads)
        out = options.out or PROJECT / "suites" / "references" / model.name
        work = options.work or PROJECT / "results" / "training" / model.name
        print(f"training {model.name} on {options.threads} threads; state in {work}, result in {out}")
        make: Callable[[], nn.Module] = partial(resolve(model.network), **model.reference("bundled").network_params)
        params = dict(model.training.params) | ({"steps": options.steps} if options.steps else {})
        network, progress = resolve(model.training.function)(make, params, work, _say)
        path = _save(network, out / f"{model.name}.safetensors")
        card = {
            "model": model.name,
            "licence": "Apache-2.0",
            "made_by": f"python -m harness.training {model.name}",
            "recipe": params,
            "network_params": dict(model.reference("bundled").network_params),
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 1),
            "threads": options.threads,
            "made_with": {"torch": version("torch"), "Pillow": version("Pillow"), "cpu": provenance(1)["cpu"]},
            "file": {"name": path.name, "size": path.stat().st_size, "sha256": file_digest(path), "precision": "fp16"},
            "held_out": _held_out(model),
            "figures": _figures(model, path, options.real),
            "loss_curve": progress.curve,
        }
        (out / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    except (DeclarationError, Outcome, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {path} and {out / 'card.json'}")
    print("now bring sha256, hits and n of the declaration up to date; the tests compare both")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.training",
        description="Trains the bundled checkpoint of a model on rendered data, by the recipe of its declaration. "
        "Deterministic in its steps, resumable (run it again with the same --work), about 40 minutes on two cores.",
    )
    parser.add_argument("model", help="name of a declaration, such as crnn")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: suites/references/MODEL")
    parser.add_argument("--work", type=Path, metavar="DIR", help="training state; default: results/training/MODEL")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="default: 2")
    parser.add_argument("--steps", type=int, metavar="N", help="another number of steps, for a quick look")
    parser.add_argument(
        "--real", type=Path, action="append", default=[], metavar="DIR", help="also score this data set for the card"
    )
    return parser


def _save(network: nn.Module, path: Path) -> Path:
    """The state in half precision, but for what would not fit: counters, and the running statistics of normalisations.
    A layer before one of these may grow freely, and its variance grows by the square."""
    state = {
        key: value if "running_" in key or not value.is_floating_point() else value.half()
        for key, value in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    path.chmod(0o644)  # safetensors writes for the owner alone
    return path


def _held_out(model: Model) -> dict[str, Scalar | None]:
    """The samples that the figure on rendered data is of."""
    data = model.reference("bundled").data
    return {} if data is None else {"name": data.name, **data.params, "pixels": data.digest}


def _figures(model: Model, weights: Path, real: list[Path]) -> dict[str, dict[str, Figure]]:
    """hits and n of the reloaded file, through the suite's own accuracy question on the deployed form."""
    bundled = model.reference("bundled")
    if bundled.data is None:
        raise DeclarationError(f"{model.name}: its bundled reference declares no data")
    asset = Asset(name=weights.name, patterns=(weights.name,), licence="Apache-2.0", source="just trained")
    scored = {bundled.data.name: bundled.data}
    for folder in real:
        found = Asset(name=folder.name, patterns=(folder.name,), licence="see its source", source=str(folder))
        scored[folder.name] = DataSet(name=folder.name, reader=bundled.data.reader, asset=found, n=1)
    figures: dict[str, dict[str, Figure]] = {}
    with TemporaryDirectory() as scratch:
        for name, data in scored.items():
            reference = replace(bundled, weights=(asset,), data=data, claims=(), golden=None)
            figures[name] = _score(
                model, reference, Path(scratch), (weights.parent, *(folder.parent for folder in real))
            )
            values = ", ".join(f"{value} {figures[name][value]:.4f}" for value in resolve(model.metric).measures)
            print(f"{name}: {figures[name]['hits']}/{figures[name]['n']}, {values}")
    return figures


def _score(model: Model, reference: Reference, scratch: Path, folders: tuple[Path, ...]) -> dict[str, Figure]:
    others = (each for each in model.references if each.name != reference.name)
    changed = replace(model, references=(reference, *others))
    found = Scope(found=frozenset({(model.name, reference.name)}))
    ask = next(
        ask
        for ask in asks("accuracy", {model.name: changed}, found)
        if (ask.reference, ask.form) == (reference.name, model.deployed(reference))
    )
    metric = Task.of(changed.at(ask.at.point), reference).metric
    answer = ask_accuracy(Workbench(Store(scratch / "store"), Assets(folders), scratch), ask)
    # Not every count: of classes of pixels there are three a class.
    return {name: answer.figures[name] for name in (*metric.columns[:2], *metric.measures)}


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
