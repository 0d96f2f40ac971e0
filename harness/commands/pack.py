"""``python -m harness pack``: prepared samples as files, for a tool that reads folders."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.commands.folders import add_assets, add_models, add_store, assets_of
from harness.commands.progress import watched
from harness.evaluate import Task
from harness.files.pack import INPUTS, Plan, described, item_bytes, pack
from harness.files.sources import Source, declared_digest, source
from harness.model import Model
from harness.registry import choose_model, load_models
from harness.store import Store
from harness.workbench import Workbench

TEXT = "prepare samples and write them into a folder, for tools that read files; 'score' judges what they answer"
DETAIL = (
    "DIR/inputs gets one file a sample: raw numbers, named as the guide names them, and nothing else; beside it lie "
    "the labels and pack.json, which 'score' reads. DIR must be new or empty. A pack that was interrupted goes on when "
    "the same command is given again; other samples never go into a folder that has some."
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.epilog = DETAIL
    parser.add_argument("model", help="name of a declaration, such as crnn")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    add_samples(parser, "another data set")
    parser.add_argument("--samples", type=_count, metavar="N", help="the first N samples only")


def add_samples(parser: argparse.ArgumentParser, data: str) -> None:
    """The options that say which samples: ``--data``, ``--reference``, and the folders to find them by."""
    parser.add_argument("--data", type=Path, metavar="PATH", help=f"{data}; default: the reference's own")
    parser.add_argument(
        "--reference", metavar="NAME", help="default: the first whose data is found, or whose reader takes --data"
    )
    add_models(parser)
    add_assets(parser)
    add_store(parser)


def run(options: argparse.Namespace) -> Iterator[str]:
    """Packs, and says what to do next."""
    model = choose_model(load_models(options.models), options.model)
    with TemporaryDirectory() as scratch:
        bench = Workbench(Store(options.store), assets_of(options), Path(scratch))
        with source(bench, model, options.reference, options.data) as found:
            plan = plan_of(model, found, options.samples)
            yield f"{model.name} {plan.reference}: {plan.n} of {len(found.reader)} samples of {plan.data}"
            steps = pack(found.reader, Task.of(model, found.data), plan, options.out)
            for _ in watched(steps, plan.n, "packing"):
                pass
    spec = model.inputs[0]
    size = plan.n * item_bytes(spec) / 1e6
    yield f"packed {plan.n} files of {described(spec)} into {options.out / INPUTS}, {size:.1f} MB"
    first = ", ".join(model.layout.output.format(i=0, k=k) for k in range(len(model.outputs)))
    command = shlex.join(["python", "-m", "harness", "score", model.name, f"--data={options.out}", "--outputs=OUT"])
    yield f"next: run the tool on that folder, so that it writes {first} and so on (.bin, .npy, .txt) into a folder OUT"
    yield f"then: {command}"


def plan_of(model: Model, found: Source, samples: int | None) -> Plan:
    """What is to be packed of a source."""
    reader, data = found.reader, found.data
    return Plan(
        model=model.name,
        reference=found.reference.name,
        data=found.name,
        declared=declared_digest(data) if found.own else None,
        own=found.own,
        n=min(len(reader), samples or len(reader)),
        feed=data.feed or model.feed,
        input=described(model.inputs[0]),
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of samples, expected 1 or more")
    return int(text)
