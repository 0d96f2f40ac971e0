"""``python -m harness dump-layers``: every layer of a quantised form and of the float form before it, as files."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.commands.folders import add_assets, add_models, add_store, assets_of
from harness.commands.progress import watched
from harness.declaration import DeclarationError
from harness.evaluate import stacked
from harness.form import Form
from harness.model import Model
from harness.quantize.dump import FLOAT, QUANT, write_layer
from harness.quantize.side_by_side import SideBySide
from harness.questions.layers import SAMPLES, samples
from harness.registry import choose_model, load_models
from harness.store import Store
from harness.workbench import Workbench

TEXT = "write what each layer of a quantised form holds, beside the float form before it; for 'compare-layers'"
DETAIL = (
    "DIR gets float and quant, each with a folder a layer, such as DIR/float/0001:x with batch_0.npy for the first "
    "sample and so on: the layout of the tool of guide 004. The samples are the first of the reference's own data, "
    "one by one, and both graphs are computed node by node, as the files say it. A slash in a tensor's name is "
    "written %2F, a per cent sign %25. Folders have a colon in their name: not possible on Windows."
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.epilog = DETAIL
    parser.add_argument("model", help="name of a declaration, such as ppocr_cls")
    parser.add_argument("reference", help="one of its references, such as bundled")
    parser.add_argument("form", help="one of its quantised forms, such as int8_minmax")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--samples", type=int, default=SAMPLES, metavar="N", help="default: %(default)s")
    add_models(parser)
    add_assets(parser)
    add_store(parser)


def run(options: argparse.Namespace) -> Iterator[str]:
    """Writes both dumps, and says how to compare them."""
    model = choose_model(load_models(options.models), options.model)
    form = model.form(options.form)
    against = model.against(form)
    if form.quantisation is None or against is None:
        raise DeclarationError(f"{model.name}.{form.name}: no quantised form; those are {', '.join(_quantised(model))}")
    if options.samples < 1:
        raise DeclarationError(f"--samples {options.samples}: expected 1 or more")
    if options.out.exists() and any(options.out.iterdir()):
        raise FileExistsError(f"{options.out} holds something already; name a new or empty folder")
    with TemporaryDirectory() as scratch:
        bench = Workbench(Store(options.store), assets_of(options), Path(scratch))
        layers, n = dump(bench, model, options.reference, (against, form), options)
    yield f"wrote {layers} layers of {model.name}.{against.name} and {form.name}, {n} samples"
    folders = [str(options.out / name) for name in (FLOAT, QUANT)]
    yield f"next: {shlex.join(['python', '-m', 'harness', 'compare-layers', *folders])}"


def dump(
    bench: Workbench, model: Model, name: str, forms: tuple[Form, Form], options: argparse.Namespace
) -> tuple[int, int]:
    """Writes every layer of float and quantised form under a reference's weights; returns how many, and of how many
    samples."""
    reference = model.reference(name)
    sized = model.at(model.judged(reference))
    single, quantised = (bench.form(model, reference, form).file("model.onnx") for form in forms)
    both = SideBySide(single, quantised, bench.compute.threads)
    items = samples(bench, sized, reference, options.samples)
    for number, item in enumerate(watched(items, len(items), "dumping")):
        for place, f, q in both.run(stacked([item], sized)):
            write_layer(options.out / FLOAT, place, number, f)
            write_layer(options.out / QUANT, place, number, q)
    return len(both.places), len(items)


def _quantised(model: Model) -> list[str]:
    return [form.name for form in model.forms if form.quantisation] or ["none that is declared"]
