"""Plays ais_bench, of 2023-06 (G3) where no other generation is asked for."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ascend_standin import VERSION, say
from ascend_standin.artefact import Artefact, NoModelError, read
from ascend_standin.devices import devices
from ascend_standin.misbehaviour import Misbehaviour, called

if TYPE_CHECKING:
    from ascend_standin.runtime import Model

TOOL = "ais_bench"
NOT_PLAYED = (
    "dymBatch",
    "dymHW",
    "dymDims",
    "dymShape_range",
    "auto_set_dymshape_mode",
    "auto_set_dymdims_mode",
    "profiler",
    "dump",
    "acl_json_path",
    "debug",
)
"""Options that are listed and refused."""
NEWEST = (
    "aipp_config",
    "energy_consumption",
    "npu_id",
    "backend",
    "perf",
    "pipeline",
    "threads",
    "profiler_rename",
    "dump_npy",
    "divide_input",
)
"""Those that only the newest generation, G4, lists."""
PLAIN = re.compile(r"[_A-Za-z0-9/.-]+")
OTHERS = 0o022
"""Rights of the group and of others to write."""


def main(arguments: Sequence[str]) -> int:
    """Runs a model, and exits with 0, 2 for wrong arguments, or 1 with a RuntimeError."""
    asked = called(TOOL, arguments, probe=bool({"-h", "--help"} & set(arguments)))
    generation = next(iter(asked.values("generation")), "G3")
    given = _options(arguments, generation)
    from ascend_standin.ais_files import FailedError

    try:
        _run(given, asked, generation)
    except FailedError as error:
        say(*error.lines)
        raise RuntimeError(*error.args) from None
    return 0


def _options(arguments: Sequence[str], generation: str) -> argparse.Namespace:
    """The arguments, checked as the tool checks them: exit code 2 where they are wrong."""
    parser = argparse.ArgumentParser(prog="ais_bench", description=f"stand-in for ais_bench of CANN {VERSION}")
    parser.add_argument("--model", "-m", required=True)
    parser.add_argument("--input", "-i", default="")
    parser.add_argument("--output", "-o", default="")
    parser.add_argument("--output_dirname", default="")
    parser.add_argument("--outfmt", default="BIN", choices=["NPY", "BIN", "TXT"])
    parser.add_argument("--loop", "-l", type=_positive, default=1)
    parser.add_argument("--warmup_count", type=int, default=1)
    parser.add_argument("--batchsize", type=_positive, default=1 if generation == "G2" else None)
    parser.add_argument("--device", "-d", type=int, default=0)
    parser.add_argument("--dymShape", default="")
    parser.add_argument("--outputSize", default="")
    parser.add_argument("--pure_data_type", default="zero", choices=["zero", "random"])
    parser.add_argument("--output_batchsize_axis", type=int, default=0)
    parser.add_argument("--run_mode", default="array", choices=["array", "files", "tensor", "full"])
    parser.add_argument("--display_all_summary", default="false")
    others = NOT_PLAYED + (NEWEST if generation == "G4" else ())
    for name in others:
        parser.add_argument(f"--{name}", default=None)
    given = parser.parse_args(arguments)
    for name in others:
        if getattr(given, name) is not None:
            parser.error(f"the stand-in does not play --{name}")
    wrong = _refused(given) if generation == "G4" else None
    if wrong:
        parser.error(wrong)
    return given


def _positive(text: str) -> int:
    if int(text) <= 0:
        raise argparse.ArgumentTypeError(f"{text} is an invalid positive int value")
    return int(text)


def _refused(given: argparse.Namespace) -> str | None:
    """What the newest generation has against a path, if anything."""
    if given.output_dirname.startswith("/"):
        return f"argument --output_dirname: {given.output_dirname} is not a relative path"
    for name in ("model", "input", "output"):
        for text in filter(None, getattr(given, name).split(",")):
            path = Path(text)
            if not PLAIN.fullmatch(text):
                return f"argument --{name}: path {text!r} contains illegal characters"
            if path.is_symlink():
                return f"argument --{name}: path {text} is a symbolic link"
            if path.exists() and path.stat().st_mode & OTHERS:
                return f"argument --{name}: path {text} can be written by group or others"
    return None


def _run(given: argparse.Namespace, asked: Misbehaviour, generation: str) -> None:
    """Loads, runs, writes and reports. Raises ``FailedError``."""
    from ascend_standin import ais_files as files

    if given.output_dirname and not given.output:
        error = "parameter --output_dirname cann't be used alone. Please use it together with the parameter --output!"
        raise files.FailedError(f"[ERROR] {error}", error="error bad parameters --output_dirname")
    model = _load(given, asked)
    shapes = _shape(given, model)
    if given.batchsize is None:
        first = shapes.get(model.inputs[0].name, model.inputs[0].shape)
        given.batchsize = first[0] if first else 1
        say(f"[INFO] try get model batchsize:{given.batchsize}")
    folder = _folder(given)
    shared = files.batches([path for path in given.input.split(",") if path], model.inputs)
    say(f"[INFO] warm up {given.warmup_count} {'times ' * (generation == 'G2')}done")
    results, took, infiles = [], [], []
    for number, batch in enumerate(shared):
        raw = files.contents(batch, model.inputs, given.pure_data_type == "random")
        outputs, once = model.execute(raw)
        _check_sizes(given, model, outputs)
        took.append(once)
        # Without a folder outputs are not split either: a wrong axis is never noticed.
        parts = files.split(batch, outputs, given.output_batchsize_axis) if folder else []
        results += parts
        infiles += list(zip(*batch.files, strict=True))[: len(parts)]
        say(f"\rInference array Processing: {number + 1}/{len(shared)} [00:00<00:00, {1000 / once:.2f}it/s]")
    info = _written(given, asked, folder, results, infiles)
    _report(given, generation, _times(took, given.loop), (folder, info))
    say(
        "[INFO] unload model success, model Id is 1",
        "[INFO] end to destroy context",
        f"[INFO] end to reset device is {given.device}",
        "[INFO] end to finalize acl",
    )


def _written(
    given: argparse.Namespace, asked: Misbehaviour, folder: Path | None, results: list, infiles: list[tuple[str, ...]]
) -> dict[int, dict[str, Sequence[str]]]:
    """Writes the outputs of each file into the folder; which they are, by the number of the file."""
    from ascend_standin.ais_files import write

    written, info = [], {}
    for index, (name, outputs) in enumerate(asked.results(results)):
        paths = [folder / f"{name}_{place}.{given.outfmt.lower()}" for place in range(len(outputs))]
        for path, values in zip(paths, outputs, strict=True):
            write(path, values)
        written += paths
        info[index] = {"infiles": infiles[index], "outfiles": list(map(str, paths))}
    asked.written(list(dict.fromkeys(written)))
    return info


def _load(given: argparse.Namespace, asked: Misbehaviour) -> Model:
    """The model on the device. Raises ``FailedError`` where there is no such device, or it does not take the model."""
    from ascend_standin.ais_files import FailedError
    from ascend_standin.runtime import Model

    say("[INFO] acl init success")
    found = {device.logic: device for device in devices(asked)}
    if given.device not in found:
        raise FailedError(
            f"[ERROR] acl open device {given.device} failed",
            "SetDevice failed.ret=507033",
            error="[1][ACL:invalid device]",
        )
    say(f"[INFO] open device {given.device} success", "[INFO] create new context")
    failed = f"[ERROR] load model from file failed, model file is {given.model}"
    try:
        artefact = read(Path(given.model))
        _check_chip(artefact, found[given.device].soc_version)
    except NoModelError as error:
        raise FailedError(
            f"EE1001: The argument is invalid. Reason: {error}", failed, error="[1][ACL:invalid parameter]"
        ) from error
    model = Model(artefact, spoilt=asked.asked("wrong_numbers"))
    say(f"[INFO] load model {given.model} success", "[INFO] create model description success")
    return model


def _check_chip(artefact: Artefact, chip: str) -> None:
    if artefact.chip != chip:
        raise NoModelError(f"the model is for {artefact.chip}, the device is {chip}")


def _shape(given: argparse.Namespace, model: Model) -> Mapping[str, tuple[int, ...]]:
    """The shapes asked for, set in the model. Raises ``FailedError``."""
    from ascend_standin.ais_files import FailedError
    from ascend_standin.runtime import shapes_of

    dynamic = any(tensor.ranges for tensor in model.inputs)
    if dynamic != bool(given.dymShape):
        needed = "is dynamic, and needs" if dynamic else "is static, and does not take"
        raise FailedError(f"[ERROR] the model {needed} --dymShape", error="[1][ACL:invalid parameter]")
    if not dynamic:
        return {}
    try:
        shapes = shapes_of(given.dymShape)
        model.fix(shapes)
    except ValueError as error:
        raise FailedError(f"[ERROR] set dynamic shape failed: {error}", error="[1][ACL:invalid parameter]") from error
    if not given.outputSize:
        raise FailedError("[ERROR] out i:0 size is zero", error="[1][ACL:invalid parameter]")
    return shapes


def _check_sizes(given: argparse.Namespace, model: Model, outputs: Sequence) -> None:
    """Raises ``FailedError`` where an output does not fit into what was set aside for it."""
    from ascend_standin.ais_files import FailedError

    sizes = [int(size) for size in given.outputSize.split(",")] if given.outputSize else []
    for index, (size, output) in enumerate(zip(sizes, outputs, strict=False)):
        if output.nbytes > size:
            name = model.outputs[index].name
            wrong = f"Check i:{index} name:{name} out size:{size} needsize:{output.nbytes} not match"
            raise FailedError(f"[ERROR] {wrong}", error="[1][ACL:invalid parameter]")


def _folder(given: argparse.Namespace) -> Path | None:
    """Where outputs go, made where it is not there; nothing without ``--output``."""
    if not given.output:
        return None
    folder = Path(given.output, given.output_dirname or time.strftime("%Y_%m_%d-%H_%M_%S"))
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    say(f"[INFO] output path:{folder}")
    return folder


def _times(took: Sequence[float], loop: int) -> list[float]:
    from ascend_standin.runtime import times

    return [one for once in took for one in times(once, loop)]


def _report(given: argparse.Namespace, generation: str, listed: list[float], written: tuple[Path | None, dict]) -> None:
    """Prints the figures, and writes them beside the folder of outputs."""
    compute, copies = _figures(listed), _figures([one / 100 for one in listed])
    mean = compute["mean"]
    batch = float(given.batchsize) if generation == "G4" else given.batchsize
    throughput = 1000 * batch / mean
    shown = given.display_all_summary.lower() in ("yes", "true", "t", "y", "1")
    say("[INFO] -----------------Performance Summary------------------")
    for name, figures in (("H2D_latency", copies), ("NPU_compute_time", compute), ("D2H_latency", copies)):
        if shown or figures is compute:
            told = ", ".join(f"{kind} = {value}" for kind, value in figures.items() if kind != "count")
            say(f"[INFO] {name} (ms): {told}")
    form = "" if generation == "G2" else ".mean"
    say(
        f"[INFO] throughput 1000*batchsize{form}({batch})/NPU_compute_time.mean({mean}): {throughput}",
        "[INFO] ------------------------------------------------------",
    )
    folder, info = written
    if folder:
        summary = {
            "filesinfo": info,
            "args": sys.argv,
            "NPU_compute_time": compute,
            "H2D_latency": copies,
            "D2H_latency": copies,
            "throughput": throughput,
            "npu_compute_time_list": listed,
            "pid": os.getpid(),
        }
        folder.with_name(f"{folder.name}_summary.json").write_text(json.dumps(summary))


def _figures(listed: Sequence[float]) -> dict[str, float]:
    import numpy as np

    return {
        "min": min(listed),
        "max": max(listed),
        "mean": float(np.mean(listed)),
        "median": float(np.median(listed)),
        "percentile(99%)": float(np.percentile(listed, 99)),
        "count": len(listed),
    }
