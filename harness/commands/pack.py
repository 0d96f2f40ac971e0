"""``python -m harness pack``: prepared samples as files, for a tool that reads folders."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.commands.folders import add_assets, add_models, add_store, assets_of
from harness.commands.progress import watched
from harness.datasets import Sample
from harness.declaration import DeclarationError
from harness.evaluate import Task
from harness.files.listing import listing, size_of
from harness.files.pack import described, item_bytes, pack, write_whole
from harness.files.packed import Plan
from harness.files.sources import Source, declared_digest, source
from harness.model import Model
from harness.registry import choose_model, load_models, resolve
from harness.sizes import Point, TensorSpec
from harness.store import Store
from harness.workbench import Workbench

TEXT = "prepare samples and write them into a folder, for tools that read files; 'score' judges what they answer"
DETAIL = (
    "A folder in DIR, such as DIR/inputs, gets one file a sample, or a batch where the guide packs whole batches: raw "
    "numbers, named as the guide names them, and nothing else; beside it lie the labels, as the guide writes them, and "
    "pack.json, which 'score' reads. A last batch that is not full is filled up with its last sample, which 'score' "
    "counts once; --drop-last leaves it out, as a guide's script may. DIR must be new or empty. A pack that was "
    "interrupted goes on when the same command is given again; other samples never go into a folder that has some. "
    "--info is for benchmark.x86_64 and benchmark.aarch64, which take a list (-input_text_path) and no folder: a line "
    "an input, with its path from the folder that FILE lies in. Start the tool in that folder, with FILE's bare name; "
    "to run it on another machine, say --info=DIR/NAME.info and copy all of DIR. Of a folder that is packed already, "
    "the same command with --info writes the list."
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.epilog = DETAIL
    parser.add_argument("model", help="name of a declaration, such as crnn")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    add_samples(parser, "another data set")
    parser.add_argument("--samples", type=_count, metavar="N", help="the first N samples only")
    parser.add_argument(
        "--point", metavar="ID", help="the sizes, such as bs1_736x1280; default: where accuracy is asked"
    )
    parser.add_argument("--drop-last", action="store_true", help="leave out samples that fill no whole batch")
    parser.add_argument("--info", type=Path, metavar="FILE", help="also list them for benchmark.x86_64; see below")


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
            point = model.point(options.point) if options.point else model.judged(found.reference)
            sized = model.at(point)
            plan = plan_of(sized, found, options, point)
            inputs = listing(options.info, options.out, sized, plan.n) if options.info else ""
            yield f"{model.name} {plan.reference}: {plan.n} of {len(found.reader)} samples of {_whose(plan)}"
            steps = pack(found.reader, Task.of(sized, found.reference), plan, options.out)
            for _ in watched(steps, plan.n, "packing"):
                pass
            if told := other_size(model, point, next(found.reader.samples())):
                yield told
    yield _packed(plan, sized, options.out)
    if options.info:
        yield _listed(options.info, inputs, sized.inputs[0])
    first = ", ".join(model.layout.output.format(i=model.layout.first, k=k) for k in range(len(model.outputs)))
    command = shlex.join(["python", "-m", "harness", "score", model.name, f"--data={options.out}", "--outputs=OUT"])
    yield f"next: run the tool on that folder, so that it writes {first} and so on (.bin, .npy, .txt) into a folder OUT"
    yield f"then: {command}"


def other_size(model: Model, point: Point, sample: Sample) -> str:
    """What the source of a model would give a picture, where that is another size than the point's."""
    if model.natural is None or sample.size is None:
        return ""
    height, width = resolve(model.natural)(*sample.size)
    if (height, width) == (point.height, point.width):
        return ""
    given = f"{sample.id} is {sample.size[0]} x {sample.size[1]}, which its source makes {height} x {width}"
    return f"note: {given}; packed as {point.height} x {point.width}, for --point {point.id}"


def plan_of(model: Model, found: Source, options: argparse.Namespace, point: Point) -> Plan:
    """What is to be packed of a source, for a model whose sizes the point has bound. Raises ``DeclarationError`` where
    it is asked to drop what fills no batch, but files are of single samples, or nothing would be left."""
    reader, data, layout = found.reader, found.data, model.layout
    n, batch = min(len(reader), options.samples or len(reader)), layout.held(point.batch)
    if options.drop_last and (n < batch or not layout.batched):
        held = f"{batch} samples a file at {point.id}, and there are {n}" if layout.batched else "one sample a file"
        raise DeclarationError(f"{model.name}: {held}, nothing to drop; leave out --drop-last")
    dropped = n % batch if options.drop_last else 0
    return Plan(
        model=model.name,
        reference=found.reference.name,
        data=found.name,
        declared=declared_digest(data) if found.own else None,
        own=found.own,
        n=n - dropped,
        feed=data.feed or model.feed,
        input=described(model.inputs[0], batch),
        layout=layout.told,
        point=point.id,
        batch=batch,
        dropped=dropped,
    )


def _whose(plan: Plan) -> str:
    """The data set, and how many samples of it are dropped."""
    if not plan.dropped:
        return plan.data
    told = f"{plan.dropped} more fill no batch of {plan.batch} and are dropped"
    return f"{plan.data}; {told}, so the score will be of {plan.n}, and not complete"


def _packed(plan: Plan, model: Model, folder: Path) -> str:
    """What lies there now."""
    size = plan.files * plan.batch * item_bytes(model.inputs[0]) / 1e6
    told = f"packed {plan.files} files of {plan.input} into {folder / model.layout.inputs}, {size:.1f} MB"
    if not plan.padded:
        return told
    return f"{told}; the last is filled up with its last sample, {plan.padded} times more, which 'score' leaves out"


def _listed(path: Path, inputs: str, spec: TensorSpec) -> str:
    """Writes the list, and says how the tool is given it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, inputs)
    width, height = size_of(spec)
    given = [f"-input_text_path={path.name}", f"-input_width={width}", f"-input_height={height}"]
    command = shlex.join([*given, "-output_binary=True", "-useDvpp=False"])
    return f"listed them in {path}: start benchmark.x86_64 in the folder {path.parent}, with {command}"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of samples, expected 1 or more")
    return int(text)
