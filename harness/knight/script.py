"""Command lines of the script generation (1.1 to 1.3), as guide 004 gives them, token by token.

The order of options is the guide's. ``-uds``, the user's own Python file, is added where the tool takes it, which the
guide's 1.1 is not known to.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.knight.plan import Plan

SCRIPT = "run_quantization.py"
COMPARE = "sim2quant_compare.py"
FOLDERS = ("/TS-Knight/Quantize/Onnx", "/TS-Knight/Quantize/Onnx/onnx_quantize_tool")
"""Where the script lies in the images: up to 1.1 in the first, in 1.3 in the second."""
NPY2BIN = "/TS-Knight-software/tools/npy2bin.py"
COMPILER_CHIP = {"TX511": "TX5368A"}
"""The same part as compiler and simulator of that generation name it (guide 004)."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The programs. ``python`` and ``python3`` are two words for it in the guide."""

    python: str = "python"
    python3: str = "python3"
    script: str = SCRIPT
    knight: str = "Knight"
    npy2bin: str = NPY2BIN
    compare: str = COMPARE


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """What the compiler makes: instructions and weights for simulator and chip."""

    weight: str
    config: str


def quantise(tools: Tools, plan: Plan, source: tuple[str, str], out: str, plug_in: str = "") -> list[str]:
    """``-r all``: a Paddle program (``source``: pdmodel and pdiparams) converted, quantised, and written as what the
    compiler reads, all into the folder ``out``."""
    model, weight = source
    return [
        *(tools.python, tools.script, "-f", "paddle", "-r", "all", "-ch", plan.chip),
        *(["-od"] if plan.output_float else []),
        *("-if", plan.function, "-m", model, "-w", weight, "-s", out),
        *("-bs", "1", "-i", str(plan.iterations)),
        *_bits(plan),
        *(["-qm", plan.mode] if plan.mode else []),
        *("-is", *map(str, plan.shape)),
        *(["--dump"] if plan.dump else []),
        *_own(plug_in),
    ]


def infer(tools: Tools, plan: Plan, model: str, iterations: int, plug_in: str = "") -> list[str]:
    """``-r infer``: an ONNX file on ``iterations`` inputs. The bits are told of a quantised one alone, as in the
    guide."""
    quantised = model.endswith("_quantize.onnx")
    return [
        *(tools.python, tools.script, "-r", "infer", "-ch", plan.chip, "-m", model, "-if", plan.function),
        *("-bs", "1", "-i", str(iterations)),
        *(_bits(plan) if quantised else []),
        *_own(plug_in),
    ]


def rne_compile(tools: Tools, plan: Plan, quantised: str, out: str) -> list[str]:
    """Compiles what ``quantise`` wrote into the folder ``quantised``, by the plan's route, into the folder ``out``."""
    if plan.route == "caffe":
        stem = f"{quantised}/caffe_model/{plan.name}/{plan.name}"
        source = ["--net", f"{stem}.prototxt", "--weight", f"{stem}.weight"]
    else:
        source = ["--onnx", f"{quantised}/{plan.name}_quantize.onnx"]
    return [*_knight(tools, plan, "rne-compile"), *source, "--outpath", f"{out}/", "--general-process", "1"]


def compiled(plan: Plan, out: str) -> Compiled:
    """Where the compiler's files lie: named by what it was given."""
    stem = plan.name if plan.route == "caffe" else f"{plan.name}_quantize"
    return Compiled(weight=f"{out}/{stem}_r.weight", config=f"{out}/{stem}_r.cfg")


def npy2bin(tools: Tools, array: str, binary: str) -> list[str]:
    """A stored array as the bytes that the simulator takes."""
    return [tools.python3, tools.npy2bin, "--input", array, "--output", binary]


def rne_sim(tools: Tools, plan: Plan, binary: str, files: Compiled, out: str) -> list[str]:
    """Simulates the chip on one input; writes ``result_0_p.txt``, ``result_1_p.txt`` and so on, one an output."""
    return [
        *(*_knight(tools, plan, "rne-sim"), "--input", binary),
        *("--weight", files.weight, "--config", files.config, "--outpath", f"{out}/", "-fmt", "nchw"),
    ]


def rne_profiling(tools: Tools, plan: Plan, files: Compiled, out: str) -> list[str]:
    """Estimates how long the chip would take."""
    command = _knight(tools, plan, "rne-profiling")
    return [*command, "--weight", files.weight, "--config", files.config, "--outpath", f"{out}/"]


def sim2quant_compare(tools: Tools, dumped: str, result: str) -> list[str]:
    """Compares a stored array of the quantised graph with a result of the simulator."""
    return [tools.python3, tools.compare, "-q", dumped, "-s", result]


def _knight(tools: Tools, plan: Plan, verb: str) -> list[str]:
    return [tools.knight, "--chip", COMPILER_CHIP[plan.chip], verb]


def _bits(plan: Plan) -> list[str]:
    """Eight are the default, and the guide does not say them."""
    return ["-b", str(plan.bits)] if plan.bits != 8 else []


def _own(plug_in: str) -> list[str]:
    return ["-uds", plug_in] if plug_in else []
