"""``python -m harness compare-layers``: two dumps of layers, ours or a vendor's, layer beside layer."""

from __future__ import annotations

import argparse
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.commands.progress import watched
from harness.commands.score import STATUS
from harness.files.pack import write_whole
from harness.quantisation import LayerBounds
from harness.quantize.dump import Matched, compared, matched, read_dump
from harness.quantize.layers import Layer
from harness.questions.layers import judge, ranked
from harness.verdict import Answer, Outcome, Verdict

TEXT = "compare two dumps of layers, float and quantised, by tensor; the worst first"
DETAIL = (
    "A and B hold a folder a layer, such as A/0001:x with batch_0.npy and so on: what 'dump-layers' writes, and the "
    "tool of guide 004 with --dump (dump/float and dump/quant). Layers are matched by tensor and never by number; a "
    "name may have its operator before it (0001:Input_x). Each file is looked at by itself too, so dump samples one by "
    "one. Judged are gain, cosine (and that of what deviates from the mean, at twice the noise), signal-to-noise, and "
    "each file's own cosine; the table is ranked by the ratio, and the verdict names the first layer over a bound in "
    "the order of A. Layers that are all zeros in both are not judged. A tool dumps what feeds a Relu or Clip clipped "
    "already, where it gives both one range: such a layer may be over with nothing wrong behind it. Ends with 0 for "
    "pass; 1 for fail, a layer that only one of them has among it; 2 for wrong usage; 10 where nothing was compared."
)
HEADER = ("rank", "layer", "cosine", "SNR dB", "error", "gain", "saturation", "least cosine of one file")


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    usual = LayerBounds()
    parser.epilog = DETAIL
    parser.add_argument("float", type=Path, metavar="A", help="the layers in single precision, such as dump/float")
    parser.add_argument("quantised", type=Path, metavar="B", help="the same layers quantised, such as dump/quant")
    parser.add_argument("--cosine", type=float, default=usual.cosine, metavar="C", help="at least; default %(default)s")
    parser.add_argument("--snr", type=float, default=usual.snr, metavar="DB", help="at least; default %(default)s")
    parser.add_argument(
        "--gain",
        type=float,
        nargs=2,
        default=usual.gain,
        metavar=("LEAST", "LARGEST"),
        help=f"of quantised over float; default {usual.gain[0]} {usual.gain[1]}",
    )
    parser.add_argument("--common", action="store_true", help="judge the layers that both have, whatever others have")
    parser.add_argument("--rows", type=int, default=20, metavar="N", help="of the table; default %(default)s")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write verdict and figures of all layers as JSON"
    )


def run(options: argparse.Namespace) -> Generator[str, None, int]:
    """The table of the worst, and how it came out; returns the status of the verdict."""
    bounds = LayerBounds(cosine=options.cosine, snr=options.snr, gain=tuple(options.gain))
    layers: list[Layer] = []
    try:
        found = matched(read_dump(options.float), read_dump(options.quantised))
        pairs = watched(found.pairs, len(found.pairs), "comparing")
        layers = [compared(left, right) for left, right in pairs]
        yield from table(ranked(layers)[: options.rows])
        answer = answered(layers, bounds, found, common=options.common)
    except Outcome as outcome:
        answer = Answer(verdict=outcome.verdict, line=str(outcome))
    yield f"{answer.verdict}: {answer.line}"
    if options.json:
        said = {"verdict": answer.verdict, "line": answer.line, **answer.figures, "all": list(map(figures, layers))}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.json, json.dumps(said, indent=1) + "\n")
    return STATUS[answer.verdict]


def answered(layers: Sequence[Layer], bounds: LayerBounds, found: Matched, *, common: bool) -> Answer:
    """The answer for these layers, and fail where only one of the dumps has some, unless the ``common`` ones are meant;
    it is said how many there are."""
    n = max((len(layer.samples) for layer in layers), default=0)
    answer = judge(layers, bounds, n)
    alone = [(each, side) for each, side in ((found.only_left, "A"), (found.only_right, "B")) if each]
    if not alone:
        return answer
    said = "; ".join(f"{len(each)} in {side} alone, the first is {each[0]}" for each, side in alone)
    said = f"layers {said}"
    if common or answer.verdict is Verdict.INCONCLUSIVE:
        return replace(answer, line=f"{answer.line}; {said}")
    line = f"{said} (expected the same layers, --common judges those that both have); {answer.line}"
    return replace(answer, verdict=Verdict.FAIL, line=line)


def table(layers: Sequence[Layer]) -> Iterator[str]:
    """Rows of equal width, the worst first."""
    rows = [HEADER]
    for rank, layer in enumerate(layers, 1):
        whole, (name, alone) = layer.whole, layer.worst
        numbers = (f"{layer.likeness:.4f}", f"{whole.snr:.1f}", f"{whole.error:.4f}", f"{whole.gain:.4f}")
        rows.append((str(rank), str(layer.place), *numbers, f"{whole.saturation:.2%}", f"{alone:.4f} {name}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if layers else ():
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def figures(layer: Layer) -> dict[str, object]:
    """A layer for JSON, which has no infinity: without figures where a number is none, or there is nothing."""
    about: dict[str, object] = {"number": layer.place.number, "tensor": layer.place.tensor, "silent": layer.silent}
    whole = layer.whole
    if layer.silent or not whole.finite:
        return about
    name, alone = layer.worst
    return about | {
        "cosine": whole.cosine,
        "judged_cosine": layer.likeness,
        "snr": whole.snr,
        "error": whole.error if whole.ff else None,
        "gain": whole.gain,
        "saturation": whole.saturation,
        "mean_error": whole.mean_error,
        "worst_file": name,
        "worst_file_cosine": alone,
    }
