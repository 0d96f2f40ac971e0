"""From a Paddle program to what the chip is given: converted, quantised and compiled by the vendor's tools.

All of it happens in a private folder, which is all that a container sees. Ranges are found on the inputs that the suite
chose, forwarded by a generated plug-in. What a tool says of itself counts only where text, exit code and files agree.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from harness.cells import Cell
from harness.declaration import DeclarationError, Scalar
from harness.knight import configuration, script
from harness.knight.console import check_made, check_quantised, missing, raise_for
from harness.knight.drive.host import Host
from harness.knight.plan import Plan, plan_of
from harness.knight.plug_in import plug_in
from harness.onnx_graph.edit import every_node
from harness.process import Finished, private_folder
from harness.quantize.quantisable import PYOP
from harness.sizes import TensorSpec
from harness.store import Artefact, Store
from harness.verdict import Absent, Outcome, Refused

notes = logging.getLogger(__name__)

LIMIT = 4 * 3600.0
"""Seconds for one tool: quantising a detector on 50 pictures takes an hour on a processor."""
REVISION = 1
"""Raised when what this module does, and no option tells, should quantise anew."""
PROGRAM = ("inference.pdmodel", "inference.pdiparams")
MODEL = "model.onnx"
PLUG_IN = "plug_in.py"
INPUTS, QUANTISED, COMPILED = "inputs", "quantised", "compiled"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One network on its way through the tools, in a folder of its own."""

    host: Host
    plan: Plan
    folder: Path
    logs: Path

    @property
    def quantised(self) -> Path:
        """The folder of the converted and the quantised graph."""
        return self.folder / QUANTISED

    @property
    def compiled(self) -> Path:
        """The folder of what the compiler makes."""
        return self.folder / COMPILED

    def start(self, name: str, arguments: Sequence[str]) -> Finished:
        """A tool, run to its end; its log is ``name.log``."""
        notes.info("knight: %s", " ".join(arguments))
        return self.host.start(arguments, self.folder, self.logs / f"{name}.log", LIMIT)

    def configured(self, name: str, verb: str, told: Mapping[str, object]) -> Finished:
        """``Knight VERB`` with a run configuration, which is kept beside its log."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(told, indent=1) + "\n")
        shutil.copyfile(path, self.logs / path.name)
        return self.start(name, configuration.command(self.host.tools.knight, self.plan, verb, str(path)))


def prepared(form: Artefact, cell: Cell, host: Host, store: Store, calibration: Artefact) -> Artefact:
    """The quantised and compiled network of a form, made now unless the store has it.

    Its files are those of ``quantised`` and ``compiled`` with the logs; its facts the plan, the tools, how many
    inputs it was calibrated on, and how many nodes of the quantised graph are the vendor's own. Raises ``Refused``
    where a tool does not take the network, ``Broken`` where it does not work, ``Absent`` where this generation cannot
    be asked.
    """
    plan = plan_of(cell)
    check_askable(form, host)
    parts = {
        "input.form": form.digest,
        "input.calibration": calibration.digest,
        "revision": str(REVISION),
        "tool.knight": f"{host.generation} {host.version} {host.image}",
        "plan": plan.told,
        # What a stand-in made must never be run by the vendor's tools, nor the other way round.
        "stand_in": str(host.stand_in),
    }

    def build(out: Path) -> Mapping[str, Scalar]:
        with private_folder(Path(tempfile.gettempdir()), "knight") as folder:
            count = pack(calibration, cell.sized.inputs[0], plan, folder / INPUTS)
            job = Job(host=host, plan=replace(plan, iterations=count), folder=folder, logs=out)
            for made in (job.quantised, job.compiled):
                made.mkdir(mode=0o750)
            _make(job, _source(form, plan, folder))
            kept(job, out)
        return {
            "precision": cell.precision,
            "generation": host.generation,
            "tools": host.version,
            "plan": plan.told,
            "calibrated_on": count,
            "vendors_nodes": vendors_nodes(out / QUANTISED / f"{plan.name}_quantize.onnx"),
        }

    return store.get(f"{form.name}-{cell.backend}-{cell.precision}-{cell.point.id}", parts, build)


def check_askable(form: Artefact, host: Host) -> None:
    """Raises ``Absent`` where what has been published of this generation does not go as far as this form."""
    if not host.own_script:
        raise Absent(
            f"this {script.SCRIPT} names no -uds in its help, so it runs only the inference functions that are built "
            "into it, on the vendor's own data; how another one is added is not published; use tools of 3.x, or a "
            "script that takes -uds"
        )
    if not is_program(form) and host.generation == "script":
        raise Absent(
            f"{form.name}: is ONNX, and {script.SCRIPT} -f is known with paddle and pytorch alone; name the Paddle "
            "program in the recipe's compiles, or use tools of 3.x"
        )


def is_program(form: Artefact) -> bool:
    """Whether a form is a Paddle inference model. Raises ``DeclarationError`` where it is neither that nor ONNX."""
    if form.file(PROGRAM[0]).is_file():
        return True
    if not form.file(MODEL).is_file():
        raise DeclarationError(f"{form.name}: neither {' and '.join(PROGRAM)} nor {MODEL}; see the recipe's compiles")
    return False


def pack(calibration: Artefact, spec: TensorSpec, plan: Plan, folder: Path) -> int:
    """Writes the calibration inputs as batches of one into the folder; how many: as many as the plan iterates over,
    fewer where there are fewer. Raises ``Refused`` where there is none, or one is not what the network takes."""
    folder.mkdir(mode=0o750)
    files = [calibration.file(f"{number}.npy") for number in range(plan.iterations)]
    there = [path for path in files if path.is_file()]
    if not there or there != files[: len(there)]:
        raise Refused(f"{plan.name}: expected calibration inputs 0.npy, 1.npy and so on, found {len(there)}")
    for number, path in enumerate(there):
        value = np.load(path, allow_pickle=False)
        if value.shape == spec.item:
            value = np.expand_dims(value, spec.batch_axis)
        if value.shape != spec.shape(1) or value.dtype.name != spec.dtype or not np.isfinite(value).all():
            raise Refused(
                f"{plan.name}: calibration input {number} is {value.dtype.name} {list(value.shape)}, expected finite "
                f"{spec.dtype} {list(spec.shape(1))}"
            )
        np.save(folder / f"{number}.npy", value)
    return len(there)


def sizes(folder: Path) -> dict[str, int]:
    """The files below a folder, by their path in it, with their sizes."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def vendors_nodes(path: Path) -> int:
    """How many nodes of a graph only the vendor's tools know: such a file is no standard ONNX."""
    return sum(node.op_type == PYOP for node in every_node(onnx.load(path).graph))


def compiled_files(plan: Plan, generation: str) -> list[str]:
    """The names of what the compiler must leave."""
    if generation == "json":
        return [Path(configuration.compiled(plan, ".")).name]
    files = script.compiled(plan, ".")
    return [Path(files.weight).name, Path(files.config).name]


def kept(job: Job, out: Path) -> None:
    """Copies what later steps and people need: graphs, compiled files, and of each dumped tensor the first batch."""
    names = [name for name in sizes(job.quantised) if not name.startswith("dump/") or name.endswith("/batch_0.npy")]
    wanted = [job.quantised / name for name in names if not name.startswith("steps/")]
    for path in (*wanted, *(job.compiled / name for name in sizes(job.compiled))):
        target = out / path.relative_to(job.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _source(form: Artefact, plan: Plan, folder: Path) -> tuple[str, ...]:
    """The form's files under the network's name, which the tools call theirs by."""
    names = PROGRAM if is_program(form) else (MODEL,)
    copies = [folder / f"{plan.name}{Path(name).suffix}" for name in names]
    for name, copy in zip(names, copies, strict=True):
        shutil.copyfile(form.file(name), copy)
    return tuple(map(str, copies))


def _make(job: Job, source: tuple[str, ...]) -> None:
    """Quantises and compiles. What is raised says where the log is."""
    plan, tools = job.plan, job.host.tools
    own = job.folder / PLUG_IN
    own.write_text(plug_in(plan.function, job.folder / INPUTS, plan.iterations))
    graphs = [f"{plan.name}_quantize.onnx"]
    step = "quantise"
    try:
        if job.host.generation == "json":
            folders = (str(job.quantised), str(job.compiled))
            step = "build"
            done = job.configured(step, "build", configuration.build(plan, source, folders, str(own)))
            found = sizes(job.quantised) | sizes(job.compiled)
            check_made("Knight build", done.lines, done.code, found, [*graphs, *compiled_files(plan, "json")])
            return
        pair = (source[0], source[1])
        done = job.start(step, script.quantise(tools, plan, pair, f"{job.quantised}/", str(own)))
        stem = f"caffe_model/{plan.name}/{plan.name}"
        graphs += [f"{plan.name}.onnx", *([f"{stem}.prototxt", f"{stem}.weight"] if plan.route == "caffe" else [])]
        check_quantised(done.lines, done.code, sizes(job.quantised), graphs)
        if plan.dump and not (job.quantised / "dump").is_dir():
            raise_for("quantiser", missing({}, ["dump"]), done.lines, done.code)
        step = "compile"
        done = job.start(step, script.rne_compile(tools, plan, str(job.quantised), str(job.compiled)))
        check_made("rne-compile", done.lines, done.code, sizes(job.compiled), compiled_files(plan, "script"))
    except Outcome as outcome:
        log = job.logs / f"{step}.log"
        raise type(outcome)(f"{outcome}; log {log}", log=log) from None
