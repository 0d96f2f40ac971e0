"""Run configurations of the JSON generation (3.x), and the command lines that take them.

Keys are those of the vendor's model zoo (``ocrV3_det_config.json`` and its neighbours) and of its manual's overview. A
key that the tools do not know ends them, so what is written here is checked before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.declaration import near
from harness.knight.plan import Plan
from harness.verdict import Refused

CHIP = {"TX511": "TX5368AV200"}
"""The same part as this generation names it (chip map of its replacement tool, ``utils/constants.py``)."""
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "quant": (
        *("model", "weight", "framework", "input-shapes", "infer-func", "bit-width", "quant-mode", "percent"),
        *("batch-size", "ir-batch", "iteration", "run-mode", "save-dir", "user-defined-script", "data", "mean", "std"),
        *("quantize-input-dtype", "output-name", "output-dequant", "dump", "log-level", "input-configs", "cpu-num"),
        *("load-scale-json", "mix-config", "cache-distribution", "unify-input-scale", "lut-len"),
    ),
    "compile": ("onnx", "net", "weight", "save-dir", "general-process", "log-level", "opt-ddr", "opt-group", "debug"),
    "run": ("input", "format", "model", "weight", "config", "save-dir", "log-level", "debug"),
    "profiling": ("model", "weight", "config", "save-dir", "log-level"),
}
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "quant": ("model", "infer-func", "run-mode", "save-dir"),
    "compile": ("onnx", "save-dir"),
    "run": ("input", "model", "save-dir"),
    "profiling": ("model", "save-dir"),
}


def build(plan: Plan, source: tuple[str, ...], folders: tuple[str, str], plug_in: str) -> dict[str, Any]:
    """For ``Knight build``: quantise and compile. ``source`` are pdmodel and pdiparams, or one ONNX file; ``folders``
    those of the quantised graph and of what the compiler makes."""
    quantised, compiled = folders
    quant: dict[str, Any] = {
        "model": source[0],
        **({"weight": source[1], "framework": "paddle"} if len(source) == 2 else {"framework": "onnx"}),
        # The manual: for Paddle alone.
        **({"input-shapes": " ".join(map(str, plan.shape))} if len(source) == 2 else {}),
        "infer-func": plan.function,
        "bit-width": plan.bits,
        **({"quant-mode": plan.mode} if plan.mode else {}),
        "batch-size": 1,
        "iteration": plan.iterations,
        "run-mode": "quant",
        "save-dir": quantised,
        "user-defined-script": plug_in,
        **({"output-dequant": True} if plan.output_float else {}),
        **({"dump": True} if plan.dump else {}),
    }
    return checked(
        {"quant": quant, "compile": {"onnx": f"{quantised}/{plan.name}_quantize.onnx", "save-dir": compiled}}
    )


def infer(plan: Plan, model: str, iterations: int, folder: str, plug_in: str) -> dict[str, Any]:
    """For ``Knight quant``: a graph on ``iterations`` inputs."""
    quant = {
        "model": model,
        "infer-func": plan.function,
        **({"bit-width": plan.bits} if plan.bits != 8 else {}),
        "batch-size": 1,
        "iteration": iterations,
        "run-mode": "infer",
        "save-dir": folder,
        "user-defined-script": plug_in,
    }
    return checked({"quant": quant})


def simulate(model: str, binary: str, folder: str) -> dict[str, Any]:
    """For ``Knight run`` and ``Knight profiling`` of a compiled model on one input."""
    run = {"input": binary, "format": "nchw", "model": model, "save-dir": folder}
    return checked({"run": run, "profiling": {"model": model, "save-dir": folder}})


def compiled(plan: Plan, folder: str) -> str:
    """The one file that the compiler makes."""
    return f"{folder}/{plan.name}_quantize_r.tsmodel"


def command(knight: str, plan: Plan, verb: str, path: str) -> list[str]:
    """The command line that takes a configuration: build, quant, run or profiling."""
    return [knight, "--chip", CHIP[plan.chip], verb, "--run-config", path]


def checked(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration. Raises ``Refused`` naming a section or key that the tools do not know, one that is missing,
    and a text in the place of a section."""
    for name, section in configuration.items():
        if name == "chip":
            continue
        if name not in SECTIONS:
            raise Refused(f"run configuration: no section {name!r}; known: chip, {', '.join(SECTIONS)}")
        if not isinstance(section, Mapping):
            raise Refused(f"run configuration: {name} is {type(section).__name__}, expected keys and values")
        if unknown := sorted(set(section) - set(SECTIONS[name])):
            raise Refused(
                f"run configuration: {name} has no key {unknown[0]!r}{near(unknown[0], SECTIONS[name])}; the tool ends "
                "at a key that it does not know"
            )
        if missing := [key for key in REQUIRED[name] if key not in section]:
            raise Refused(f"run configuration: {name} lacks {', '.join(missing)}")
    return dict(configuration)
