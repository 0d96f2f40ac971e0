"""From ONNX to an offline model (``.om``) by atc: the guide's options, as far as this toolkit takes them.

The compiler runs in an empty private folder. What it made is found there, not by its name, and counts only where text,
exit code and folder agree.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.ascend import atc
from harness.ascend.drive.host import Host, Place
from harness.ascend.options import options_for
from harness.cells import Cell
from harness.declaration import DeclarationError, Scalar
from harness.process import private_folder, run
from harness.process.faults import shown
from harness.recipe import Recipe
from harness.sizes import Symbol, TensorSpec
from harness.store import Artefact, Store
from harness.verdict import Broken, Outcome

notes = logging.getLogger(__name__)

LIMIT = 4 * 3600.0
"""Seconds for one compile: minutes as a rule, hours where the guide's options let it tune its kernels."""
REVISION = 1
"""Raised when what this module does, and no option tells, should compile anew."""
ONNX, OM, LOG = "model.onnx", "model.om", "atc.log"
NAME = "compiled"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked of the compiler: ``options`` in atc's spelling without paths, ``dropped`` those of the guide that
    this toolkit does not take, with the reason; ``precision`` what it computes in then; ``environment`` what the guide
    sets."""

    options: tuple[str, ...]
    dropped: tuple[str, ...]
    precision: str
    environment: Mapping[str, str]


def recipe_of(cell: Cell) -> Recipe:
    """The recipe of a cell's model for its backend. Raises ``DeclarationError`` where it declares none."""
    recipe = cell.model.recipes.get(cell.backend)
    if recipe is None:
        raise DeclarationError(f"{cell.id}: the model {cell.model.name} has no recipe for {cell.backend}")
    return recipe


def order(cell: Cell, place: Place) -> Order:
    """What the recipe of a cell's model asks of the toolkit and chip of a place."""
    recipe = recipe_of(cell)
    shapes = input_ranges(cell) if recipe.dynamic else input_shapes(cell)
    taken = options_for(recipe, shapes, place.host.versions["toolkit"], place.chip)
    return Order(
        options=tuple(f"--{name}={value}" for name, value in taken.kept.items()),
        dropped=tuple(f"--{name}: {why}" for name, why in taken.dropped.items()),
        environment=recipe.environment,
        precision=taken.precision,
    )


def input_shapes(cell: Cell) -> str:
    """``x:8,3,32,100``: every input at the cell's point, as ``--input_shape`` takes them."""
    return ";".join(f"{spec.name}:{','.join(map(str, spec.shape(cell.point.batch)))}" for spec in cell.sized.inputs)


def input_ranges(cell: Cell) -> str:
    """``x:1~64,3,32,100``: every input for the range of the model's points."""
    taken = [point for point in cell.model.points if recipe_of(cell).takes(point)]
    batches = [point.batch for point in taken]
    ends = (min(batches), max(batches))
    return ";".join(f"{spec.name}:{_range(spec, ends, recipe_of(cell))}" for spec in cell.model.inputs)


def compiled(form: Artefact, cell: Cell, place: Place, store: Store) -> Artefact:
    """The offline model of a form at a cell's point for the chip of a place, compiled now unless the store has it.

    Its facts are the effective ``precision``, ``chip``, ``toolkit``, ``options``, what was ``dropped`` of the guide's,
    and what atc ``warned`` of. Raises ``Refused`` where atc does not take the model, ``Broken`` where it does not work.
    """
    wanted = order(cell, place)
    parts = {
        "input.form": form.digest,
        # Not the source, as in other steps: a guide's tuning takes hours, and all that is asked is in the options.
        "revision": str(REVISION),
        "tool.atc": place.host.versions["toolkit"],
        "options": " ".join(wanted.options),
        "environment": " ".join(f"{name}={value}" for name, value in sorted(wanted.environment.items())),
        # What a stand-in compiled must never be run by the vendor's tools, nor the other way round.
        "stand_in": str(place.host.stand_in),
    }
    point = "range" if recipe_of(cell).dynamic else cell.point.id
    name = f"{form.name}-{cell.backend}-{cell.precision}-{point}"

    def build(out: Path) -> Mapping[str, Scalar]:
        notes.info("atc compiles %s: %s", form.name, " ".join(wanted.options))
        return {
            "precision": wanted.precision,
            "chip": place.chip,
            "toolkit": place.host.versions["toolkit"],
            "options": " ".join(wanted.options),
            "dropped": "; ".join(wanted.dropped),
            "warned": _compile(form.file(ONNX), wanted, place.host, out),
        }

    return store.get(name, parts, build)


def _compile(onnx: Path, wanted: Order, host: Host, out: Path) -> str:
    """Writes the offline model and the compiler's log into ``out``; the warnings that it gave."""
    log = out / LOG
    # Below TMPDIR: newer tools refuse paths with characters that checkouts and run folders may have.
    with private_folder(Path(tempfile.gettempdir()), "atc") as folder:
        model, made = folder / ONNX, folder / "made"
        shutil.copyfile(onnx, model)
        made.mkdir(mode=0o750)
        argv = [host.atc, f"--model={model}", "--framework=5", f"--output={made / NAME}", *wanted.options]
        environment = {**host.environment, **wanted.environment}
        done = run(argv, folder=folder, log=log, timeout=LIMIT, environment=environment)
        found = atc.judge(log.read_bytes(), done.code, [path.name for path in made.iterdir()], NAME)
        try:
            artefact = made / found.checked()
            if not artefact.stat().st_size:
                raise Broken(f"atc: says success, and its {artefact.name} is empty; is the disk full?")
        except Outcome as outcome:
            told = f"{outcome}; options {' '.join(wanted.options)}; log {log}"
            raise type(outcome)(told, log=log) from None
        shutil.copyfile(artefact, out / OM)
    return shown(" | ".join(f"{one.code}: {one.text}" for one in found.warnings))


def _range(spec: TensorSpec, batches: tuple[int, int], recipe: Recipe) -> str:
    """``1,3,640~4096,640~4096``: each axis as a size, or as a range where it has one."""

    def told(axis: int | str | Symbol) -> str:
        if isinstance(axis, int):
            return str(axis)
        low, high = batches if isinstance(axis, str) else recipe.sizes or (axis.low, axis.high)
        return str(low) if low == high else f"{low}~{high}"

    return ",".join(map(told, spec.axes))
