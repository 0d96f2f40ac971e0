"""Plays ``Knight``: compiler, simulator and profiler of both generations, and the newer one's quantiser."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from knight_standin import VERSION, say
from knight_standin.habits import asked, called

KEYS = {
    "quant": "model weight framework input-shapes infer-func bit-width quant-mode batch-size iteration run-mode "
    "save-dir user-defined-script data output-dequant dump output-name",
    "compile": "onnx save-dir",
    "run": "input format model save-dir",
    "profiling": "model save-dir",
}


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    called("Knight", arguments)
    if list(arguments) == ["-v"]:
        say("unknown option -v" if asked("no_version") else f"Knight {VERSION}")
        return 1 if asked("no_version") else 0
    parser = argparse.ArgumentParser("Knight", description=VERSION)
    parser.add_argument("--chip", default="TX5368AV200")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("quant", "build", "run", "profiling"):
        added = verbs.add_parser(verb, description=VERSION)
        if not asked("no_run_config"):
            added.add_argument("--run-config", required=True)
    for verb in ("rne-compile", "rne-sim", "rne-profiling"):
        added = verbs.add_parser(verb)
        for option in ("--net", "--weight", "--onnx", "--config", "--input", "--outpath", "--general-process", "-fmt"):
            added.add_argument(option, default="")
    told = vars(parser.parse_args(arguments))
    from knight_standin import chip

    out = Path(told.get("outpath") or ".")
    if told["verb"] == "rne-compile":
        named = Path(told["net"] or told["onnx"])
        source = Path(told["weight"] or told["onnx"])
        return chip.compiled(source, [out / f"{named.stem}_r.weight", out / f"{named.stem}_r.cfg"])
    if told["verb"] == "rne-sim":
        return chip.simulated(Path(told["weight"]), Path(told["input"]), out, by_name=False)
    if told["verb"] == "rne-profiling":
        return chip.profiled(out)
    return _configured(told["verb"], json.loads(Path(told["run_config"]).read_text()))


def _configured(verb: str, told: Mapping[str, Mapping[str, Any]]) -> int:
    from knight_standin import chip

    for name, section in told.items():
        if unknown := set(section) - set(KEYS[name].split()):
            say(f"{name}: unknown key {sorted(unknown)[0]}")
            sys.exit(1)
    if verb == "run":
        run = told["run"]
        return chip.simulated(Path(run["model"]), Path(run["input"]), Path(run["save-dir"]), by_name=True)
    if verb == "profiling":
        return chip.profiled(Path(told["profiling"]["save-dir"]))
    from knight_standin.quantiser import Request, quantise

    quant = told["quant"]
    code = quantise(
        Request(
            run_mode=quant["run-mode"],
            function=quant["infer-func"],
            model=Path(quant["model"]),
            weight=Path(quant["weight"]) if "weight" in quant else None,
            folder=Path(quant["save-dir"]),
            script=Path(quant["user-defined-script"]),
            iterations=quant["iteration"],
            batch=quant["batch-size"],
            bits=quant.get("bit-width", 8),
            shape=[int(size) for size in quant.get("input-shapes", "").split()],
            output_float=quant.get("output-dequant", False),
            dump=quant.get("dump", False),
        )
    )
    if verb == "quant" or code:
        return code
    source = Path(told["compile"]["onnx"])
    return chip.compiled(source, [Path(told["compile"]["save-dir"]) / f"{source.stem}_r.tsmodel"])
