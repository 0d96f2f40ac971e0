"""Plays msame: exits with 0 on wrong arguments, takes whole batches, and times from the first, cold execution on."""

from __future__ import annotations

import getopt
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ascend_standin import VERSION, say
from ascend_standin.artefact import NoModelError, read
from ascend_standin.devices import devices
from ascend_standin.misbehaviour import Misbehaviour, called

if TYPE_CHECKING:
    import numpy as np

    from ascend_standin.runtime import Model

TOOL = "msame"
NOT_PLAYED = ("profiler", "dump", "dymBatch", "dymHW", "dymDims")
OPTIONS = ("model", "input", "output", "outfmt", "loop", "debug", "device", "dymShape", "outputSize", *NOT_PLAYED)
COLD = 1.5
"""How much longer the first execution takes than the others."""


def main(arguments: Sequence[str]) -> int:
    """Runs a model: exit code 0 also for wrong arguments, 1 where the run fails."""
    asked = called(TOOL, arguments, probe=not arguments or "--help" in arguments)
    given = _options(arguments)
    say("[INFO] acl init success")
    device = {one.logic: one for one in devices(asked)}.get(int(given.get("device", 0)))
    if device is None:
        return _failed(f"acl open device {given['device']} failed", "Sample init resource failed.")
    for what in (f"open device {device.logic}", "create context", "create stream", "get run mode"):
        say(f"[INFO] {what} success")
    code = _process(given, asked, device.soc_version)
    if code == 0:
        say("[INFO] unload model success, model Id is 1", "[INFO] Execute sample success")
    say(
        "[INFO] end to destroy stream", "[INFO] end to destroy context", f"[INFO] end to reset device is {device.logic}"
    )
    say("[INFO] end to finalize acl")
    return code


def _options(arguments: Sequence[str]) -> dict[str, str]:
    """The arguments by name. Ends the process with 0 where they are wrong, and after ``--help``."""
    try:
        pairs, rest = getopt.getopt(list(arguments), "", [*(f"{name}=" for name in OPTIONS), "help"])
    except getopt.GetoptError:
        _wrong("unknown paramenter", "Execute sample failed.")
    given = {name.removeprefix("--"): value for name, value in pairs}
    if "help" in given:
        say(f"usage: msame, stand-in for CANN {VERSION}", *(f"  --{name}" for name in (*OPTIONS, "help")))
        sys.exit(0)
    if ".om" not in given.get("model", ""):
        _wrong("input model file type is not .om , please check your model type!")
    if rest or any(name in given for name in NOT_PLAYED):
        _wrong(f"the stand-in does not play {' '.join(rest) or ', '.join(NOT_PLAYED)}")
    for name, low, high in (("loop", 1, 100), ("device", 0, 255)):
        value = given.get(name, "1")
        if not value.isdigit() or not low <= int(value) <= high:
            _wrong(f"{name} must in {low} to {high}")
    if "dymShape" in given and not ("input" in given and "outputSize" in given):
        _wrong("dymShape needs input and outputSize")
    missing = [path for path in _paths(given) if not Path(path).exists()]
    if missing:
        _wrong(f"{missing[0]} does not exist")
    return given


def _wrong(*lines: str) -> NoReturn:
    """A wrong argument is told, and is no failure."""
    say(*(f"[ERROR] {line}" for line in lines))
    sys.exit(0)


def _failed(*lines: str) -> int:
    say(*(f"[ERROR] {line}" for line in lines))
    return 1


def _process(given: Mapping[str, str], asked: Misbehaviour, chip: str) -> int:
    """The exit code of loading, running and writing."""
    from ascend_standin.runtime import Model, shapes_of

    try:
        artefact = read(Path(given["model"]))
        if artefact.chip != chip:
            raise NoModelError(f"the model is for {artefact.chip}, the device is {chip}")
        model = Model(artefact, spoilt=asked.asked("wrong_numbers"))
    except NoModelError as error:
        failed = f"load model from file failed, model file is {given['model']}"
        return _failed(str(error), failed, "load model from file failed", "Sample process failed.")
    for what in (f"load model {given['model']}", "create model description", "get input dynamic gear count"):
        say(f"[INFO] {what} success")
    try:
        if artefact.dynamic or "dymShape" in given:
            model.fix(shapes_of(given.get("dymShape", "")))
    except ValueError as error:
        return _failed(f"set dynamic shape failed: {error}", "Sample process failed.")
    say("[INFO] create model output success")
    folder = _folder(given)
    inputs = _paths(given)
    if inputs and ".bin" not in inputs[0]:
        return _folders(given, asked, model, folder)
    return _once(given, asked, model, folder)


def _paths(given: Mapping[str, str]) -> list[str]:
    return [path for path in given.get("input", "").split(",") if path]


def _folder(given: Mapping[str, str]) -> Path:
    """A new folder for outputs, named by the time in numbers without leading zeros, and told on a line of its own."""
    now = datetime.now()
    stamp = f"{now.year}{now.month}{now.day}_{now.hour}_{now.minute}_{now.second}_{now.microsecond}"
    if not given.get("output"):
        # It would be written to the root of the file system.
        say(f"/{stamp}")
        _wrong("current user does not have permission")
    say(f"{given['output']}/{stamp}")
    folder = Path(given["output"], stamp)
    folder.mkdir(parents=True)
    return folder


def _once(given: Mapping[str, str], asked: Misbehaviour, model: Model, folder: Path) -> int:
    """One batch, of zeros or of a file for each input, executed as often as asked."""
    from ascend_standin.runtime import times

    paths = _paths(given)
    raw = [Path(path).read_bytes() for path in paths] if paths else [bytes(one.size) for one in model.inputs]
    if [len(one) for one in raw] != [one.size for one in model.inputs]:
        needed = [one.size for one in model.inputs]
        return _failed(
            f"input sizes are {[len(one) for one in raw]}, the model needs {needed}", "Sample process failed."
        )
    for path in paths:
        say(f"[INFO] start to process file:{path}")
    outputs, took = model.execute(raw)
    listed = times(took, int(given.get("loop", 1)))
    listed[0] *= COLD
    for one in listed:
        say("[INFO] model execute success", f"Inference time: {one:.6g}ms")
    _write(given, asked, folder, [(Path(given["model"]).stem, outputs)])
    say("[INFO] output data success", f"Inference average time: {sum(listed) / len(listed):f} ms")
    if len(listed) > 1:
        say(f"Inference average time without first time: {sum(listed[1:]) / (len(listed) - 1):f} ms")
    return 0


def _folders(given: Mapping[str, str], asked: Misbehaviour, model: Model, folder: Path) -> int:
    """One execution for each file of the first folder, in the order of their bytes; each holds a whole batch."""
    from ascend_standin.runtime import times

    paths = _paths(given)
    listed: list[float] = []
    results: list[tuple[str, list[np.ndarray]]] = []
    for name in sorted(path.name for path in Path(paths[0]).iterdir()):
        raw = [file.read_bytes() for path in paths if (file := Path(path, name)).is_file()]
        say(*(f"[INFO] start to process file:{path}/{name}" for path in paths))
        if [len(one) for one in raw] != [one.size for one in model.inputs]:
            _failed("model execute failed")
            continue
        outputs, took = model.execute(raw)
        listed += [one * (1 if listed else COLD) for one in times(took, 1)]
        results.append((Path(name).stem, outputs))
        say("[INFO] model execute success", f"Inference time: {listed[-1]:.6g}ms", "[INFO] output data success")
    _write(given, asked, folder, results)
    mean = sum(listed) / len(listed) if listed else float("nan")
    say(f"Inference average time : {mean:.2f} ms")
    if len(listed) > 1:
        say(f"Inference average time without first time: {sum(listed[1:]) / (len(listed) - 1):.2f} ms")
    return 0


def _write(
    given: Mapping[str, str], asked: Misbehaviour, folder: Path, results: list[tuple[str, list[np.ndarray]]]
) -> None:
    suffix = "txt" if given.get("outfmt") == "TXT" else "bin"
    written = []
    for name, outputs in asked.results(results):
        for index, values in enumerate(outputs):
            path = folder / f"{name}_output_{index}.{suffix}"
            path.write_bytes(_text(values) if suffix == "txt" else values.tobytes())
            written.append(path)
    asked.written(written)


def _text(values: np.ndarray) -> bytes:
    """Numbers as C++ prints them, in six digits; bytes as characters, which is a bug of the tool."""
    rows = values.reshape(-1, values.shape[-1])
    if values.dtype.itemsize == 1:
        return b"".join(row.tobytes() + b"\n" for row in rows)
    return "".join("".join(f"{value:g} " for value in row) + "\n" for row in rows).encode()
