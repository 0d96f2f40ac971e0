"""Plays atc: compiles an ONNX graph for a chip, that is, fixes its shapes, lowers its precision and stores it."""

from __future__ import annotations

import argparse
import os
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ascend_standin import VERSION, say
from ascend_standin.artefact import Artefact, Tensor
from ascend_standin.misbehaviour import FIRST, Misbehaviour, called

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

TOOL = "atc"
FAILURE = 255
"""The tool's own FAILED, 0xFFFFFFFF, as a shell sees it."""
OPSETS = range(8, 19)
CHIP = re.compile(r"Ascend(310(B[1-4]|P[1-7])?|910(A|B[1-4]?|ProA|ProB|PremiumA)?)")
HALF = ("force_fp16", "allow_mix_precision", "allow_mix_precision_fp16")
KEPT = ("force_fp32", "must_keep_origin_dtype", "allow_fp32_to_fp16")
CHOICES = {
    "input_format": ("NCHW", "NHWC", "ND"),
    "log": ("debug", "info", "warning", "error", "null"),
    "precision_mode": (*HALF, *KEPT),
    "output_type": ("FP32", "FP16"),
}
OPTIONS = {
    "framework": "Framework type; 5: ONNX",
    "model": "Model file",
    "output": "Output file, without .om",
    "soc_version": "The soc version, such as Ascend310P3",
    "input_format": "Format of input data",
    "input_shape": "Shape of input data: input_name1:n1,c1,h1,w1;input_name2:n2~m2,c2,h2,w2",
    "input_shape_range": "Shape range of input data, deprecated",
    "log": "Level of the log",
    "precision_mode": "Precision mode, default force_fp16",
    "auto_tune_mode": "Deprecated",
    "output_type": "Type of the outputs",
}
SLOW = "does not hit the high-priority operator information library, which might result in compromised performance."
NO_PARSER = (
    "Check the version of the installation package and reinstall the package. For details, see the operator "
    "specifications."
)
NO_KERNEL = (
    "1. Check that the OPP component is installed properly. 2. Submit an issue to request for the support of this "
    "operator type."
)
DEPRECATED = "The Auto Tune function has been deprecated. Please use the AOE tool for tuning."


class FailedError(Exception):
    """What the tool ends with: a code, its text, and the lines of the trace below it."""

    def __init__(self, code: str, text: str, trace: Sequence[str] = (), solution: str = "") -> None:
        super().__init__(text)
        self.code, self.trace, self.solution = code, trace, solution


def main(arguments: Sequence[str]) -> int:
    """Compiles, and exits with 0 or 255."""
    helps = bool({"-h", "--help"} & set(arguments))
    asked = called(TOOL, arguments, probe=helps or not arguments)
    if helps:
        listed = (f"  --{name:<20}{text}" for name, text in OPTIONS.items())
        say(f"usage: atc <args>, stand-in for CANN {VERSION}", *listed, f"  {'--help':<22}Shows this")
        return 0
    say(FIRST[TOOL])
    try:
        written, warned = _compile(_options(arguments), asked)
    except FailedError as error:
        say("...", *_told(error))
        return FAILURE
    asked.written(written)
    say("...", "ATC run success, welcome to the next use.")
    if asked.asked("warnings"):
        say(*(f"W11001: Op [{name}] {SLOW}" for name in warned))
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FailedError("E10055", f"The operation is not supported. Reason: {message}.")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog=TOOL, allow_abbrev=False, add_help=False)
    for name in OPTIONS:
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args(arguments)
    if not given.framework:
        frameworks = "[0(Caffe) or 1(MindSpore) or 3(TensorFlow) or 5(Onnx)]"
        raise FailedError("E10007", f"[--framework] is required. The value must be {frameworks}.")
    for name in ("model", "output"):
        if not getattr(given, name):
            raise FailedError("E10004", f"Value for [--{name}] is empty.")
    _check(given)
    return given


def _check(given: argparse.Namespace) -> None:
    """Raises for a value that no model could be compiled with."""
    if given.framework != "5":
        raise _invalid(given.framework, "framework", "the stand-in takes ONNX alone")
    if not Path(given.model).is_file():
        raise _invalid(given.model, "model", "The file does not exist or cannot be read.")
    if not CHIP.fullmatch(given.soc_version):
        raise _invalid(given.soc_version, "soc_version", "The soc version is not supported.")
    if given.auto_tune_mode:
        raise _invalid(given.auto_tune_mode, "auto_tune_mode", DEPRECATED)
    if given.input_shape and given.input_shape_range:
        raise FailedError(
            "E10056", "Cannot configure both parameters [--input_shape] and [--input_shape_range] simultaneously."
        )
    for name, choices in CHOICES.items():
        value = getattr(given, name)
        if value and value not in choices:
            raise _invalid(value, name, f"The value must be in [{', '.join(choices)}].")


def _compile(given: argparse.Namespace, asked: Misbehaviour) -> tuple[list[Path], list[str]]:
    """The files written, and the names of operators that a warning could be about."""
    from ascend_standin import graph

    try:
        model = graph.load(given.model)
    except ValueError as error:
        raise _invalid(given.model, "model", str(error)) from error
    names = [name for name, _ in graph.named(model)]
    _check_operators(model, asked)
    ranges = _ranges(given, graph.inputs(model))
    model = graph.bound(graph.runnable(model), ranges)
    precision = given.precision_mode or HALF[0]
    try:
        model = graph.lowered(model) if precision in HALF else model
    except ValueError as error:
        raise FailedError("E19999", f"Inner Error! {error}") from error
    if asked.asked("wrong_numbers"):
        model = graph.without_bias(model)
    artefact = _artefact(model, ranges, given)
    _leave_behind()
    return _written(Path(given.output), artefact, asked), names[:4]


def _check_operators(model: ModelProto, asked: Misbehaviour) -> None:
    """Raises where an operator has no parser, or no kernel."""
    from ascend_standin import graph

    version = graph.opset(model)
    unparsed = list(graph.named(model) if version not in OPSETS else graph.strangers(model))
    if unparsed:
        lines = [_unparsed(name, node, version) for name, node in unparsed]
        raise FailedError("E19010", lines[0], lines[1:], NO_PARSER)
    refused = asked.values("refuse")
    missing = [(name, node.op_type) for name, node in graph.named(model) if node.op_type in refused]
    if missing:
        lines = [
            f"No supported Ops kernel and engine are found for [{name}], optype [{kind}]." for name, kind in missing
        ]
        raise FailedError("EZ3003", lines[0], lines[1:], NO_KERNEL)


def _unparsed(name: str, node: NodeProto, version: int) -> str:
    return f"No parser is registered for Op [{name}, optype [{node.domain or 'ai.onnx'}::{version}::{node.op_type}]]."


def _ranges(given: argparse.Namespace, inputs: dict[str, tuple[int, ...]]) -> dict[str, tuple[tuple[int, int], ...]]:
    """The least and the largest size of every axis of every input, -1 where the largest is open."""
    option = "input_shape_range" if given.input_shape_range else "input_shape"
    text = getattr(given, option)
    asked = dict(_shape(part, option) for part in text.split(";")) if text else {}
    for name in asked.keys() - inputs.keys():
        raise FailedError("E10016", f"Opname [{name}] specified in [--{option}] is not found in the model.")
    ranges = {}
    for name, shape in inputs.items():
        wanted = asked.get(name, tuple((size, size) for size in shape))
        if name not in asked and -1 in shape:
            raise _invalid("-1", "Inputs", "maybe you should set input_shape to specify its shape", sign="")
        if len(wanted) != len(shape) or any(
            size != -1 and (size, size) != pair for size, pair in zip(shape, wanted, strict=True)
        ):
            raise _invalid(text, option, f"The shape of input [{name}] in the model is {list(shape)}.")
        ranges[name] = wanted
    dynamic = any(low != high for wanted in ranges.values() for low, high in wanted)
    if dynamic and given.soc_version == "Ascend310":
        raise _invalid(text, option, "Ascend310 does not support shape ranges.")
    return ranges


def _shape(part: str, option: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Name and ranges from ``x:8,3,32~64,-1``, in brackets or not."""
    name, _, sizes = part.rpartition(":")
    try:
        pairs = [size.split("~") for size in sizes.strip("[]").split(",")]
        return name, tuple((1, -1) if pair == ["-1"] else (int(pair[0]), int(pair[-1])) for pair in pairs)
    except ValueError:
        raise _invalid(part, option, "The format must be input_name1:n1,c1,h1,w1;input_name2:n2,c2,h2,w2.") from None


def _artefact(model: ModelProto, ranges: dict[str, tuple[tuple[int, int], ...]], given: argparse.Namespace) -> Artefact:
    """What is stored. Raises where ONNX Runtime does not take the graph."""
    from ascend_standin.runtime import Network

    content = model.SerializeToString()
    try:
        network = Network(content)
    except Exception as error:
        raise FailedError("E19999", f"Inner Error! {' '.join(str(error).split())}") from error
    outputs = network.outputs
    if given.output_type == "FP16":
        outputs = tuple(replace(one, dtype="float16") if one.dtype == "float32" else one for one in outputs)
    return Artefact(
        chip=given.soc_version,
        precision=given.precision_mode or HALF[0],
        inputs=tuple(_ranged(tensor, ranges[tensor.name]) for tensor in network.inputs),
        outputs=outputs,
        model=content,
    )


def _ranged(tensor: Tensor, ranges: tuple[tuple[int, int], ...]) -> Tensor:
    return replace(tensor, ranges=ranges) if any(low != high for low, high in ranges) else tensor


def _written(output: Path, artefact: Artefact, asked: Misbehaviour) -> list[Path]:
    """The artefact, its name blindly ended, and another where that is asked for."""
    host = f"_linux_{platform.machine()}"
    names = [host if artefact.dynamic else ""] + ([host if not artefact.dynamic else ""] * asked.asked("second_name"))
    paths = [output.with_name(f"{output.name}{name}.om") for name in names]
    for path in paths:
        try:
            artefact.write(path)
        except OSError as error:
            raise _invalid(str(output), "output", os.strerror(error.errno or 0)) from error
    return paths


def _leave_behind() -> None:
    """What the tool leaves in the folder that it runs in."""
    Path("kernel_meta").mkdir(exist_ok=True)
    Path("fusion_result.json").write_text("{}\n")


def _invalid(value: str, parameter: str, reason: str, sign: str = "--") -> FailedError:
    text = f"Value [{value}] for parameter [{sign}{parameter}] is invalid. Reason: {reason}"
    return FailedError("E10001", text, solution="Try again with a valid argument.")


def _told(error: FailedError) -> list[str]:
    stamp = f"[PID: {os.getpid()}] {time.strftime('%Y-%m-%d-%H:%M:%S')}.000.000"
    lines = [
        "ATC run failed, Please check the detail log, Try 'atc --help' for more information",
        f"{error.code}: {stamp} {error}",
    ]
    if error.solution:
        lines.append(f"        Solution: {error.solution}")
    if error.trace:
        lines += ["        TraceBack (most recent call last):", *(f"        {line}" for line in error.trace)]
    return lines
