"""Plays the scripts of the older generation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from knight_standin import VERSION, say
from knight_standin.habits import asked, called


def run_quantization(arguments: Sequence[str]) -> int:
    """``run_quantization.py``."""
    called("run_quantization.py", arguments)
    parser = argparse.ArgumentParser("run_quantization.py", description=f"quantizer {VERSION}")
    for option in ("-f", "-ch", "-ct", "-if", "-m", "-w", "-s", "-qm"):
        parser.add_argument(option, dest=option.strip("-"), default="")
    parser.add_argument("-r", choices=("all", "infer", "convert"), required=True)
    for option, default in (("-bs", 1), ("-i", 1), ("-b", 8)):
        parser.add_argument(option, dest=option.strip("-"), type=int, default=default)
    parser.add_argument("-is", dest="shape", type=int, nargs="+", default=[])
    parser.add_argument("-od", action="store_true")
    parser.add_argument("--dump", "-du", action="store_true")
    if not asked("no_uds"):
        parser.add_argument("-uds", default="")
    told = vars(parser.parse_args(arguments))
    # Loads half of a framework, which is not needed to show the help.
    from knight_standin.quantiser import Request, quantise

    return quantise(
        Request(
            run_mode="infer" if told["r"] == "infer" else "quant",
            function=told["if"],
            model=Path(told["m"]),
            weight=Path(told["w"]) if told["w"] else None,
            folder=Path(told["s"]),
            script=Path(told["uds"]) if told.get("uds") else None,
            iterations=told["i"],
            batch=told["bs"],
            bits=told["b"],
            shape=told["shape"],
            output_float=told["od"],
            dump=told["dump"],
        )
    )


def npy2bin(arguments: Sequence[str]) -> int:
    """``npy2bin.py``: the numbers of an array, one after the other."""
    called("npy2bin.py", arguments)
    parser = argparse.ArgumentParser("npy2bin.py")
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    told = parser.parse_args(arguments)
    import numpy as np

    np.load(told.input).flatten().tofile(told.output)
    return 0


def sim2quant_compare(arguments: Sequence[str]) -> int:
    """``sim2quant_compare.py``: what it prints is not known."""
    called("sim2quant_compare.py", arguments)
    say(f"compared by {VERSION}")
    return 0
