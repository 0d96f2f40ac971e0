"""What the recipe of a network asks of the tools, whatever their generation."""

from __future__ import annotations

import keyword
from dataclasses import dataclass

from harness.cells import Cell
from harness.declaration import DeclarationError, Scalar, choose
from harness.recipe import Recipe
from harness.sizes import TensorSpec

BITS = {"int8": 8, "int16": 16}
MODES = ("kl", "kl_v2", "min_max", "percentile", "mse")
ROUTES = ("caffe", "onnx")
CHIPS = ("TX511",)
"""Of those that the vendor's tools know, the one that guide 004 names."""
REQUIRED: dict[str, type] = {"name": str, "infer_function": str, "chip": str, "iterations": int}
OPTIONAL: dict[str, Scalar] = {
    "mode": "",
    "open_batch": False,
    "output_float": False,
    "output_scale": 0.0,
    "dump": False,
    "route": "caffe",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The options of a recipe, checked.

    ``name`` is that of all files, ``function`` the one under which the inference function is registered. ``mode`` is
    how ranges are found, empty where that is left to the tool (8 bit: kl; 16 bit: min_max, as its manual says).
    ``iterations`` are batches of one input. ``shape`` is that of the input, with -1 for a batch that stays open.
    ``output_float`` asks for outputs that are floats again; without it they are whole numbers, to be multiplied by
    ``output_scale``, which is zero where nobody has declared it. ``route`` is what the compiler is given.
    """

    name: str
    function: str
    chip: str
    bits: int
    mode: str
    iterations: int
    shape: tuple[int, ...]
    output_float: bool
    output_scale: float
    dump: bool
    route: str

    @property
    def told(self) -> str:
        """All of it in one line, for keys and records."""
        return " ".join(f"{field}={value!r}" for field, value in sorted(vars(self).items()))


def plan_of(cell: Cell) -> Plan:
    """What the recipe of a cell's model asks for at the cell's point. Raises ``DeclarationError`` naming what is
    missing, unknown or impossible."""
    where = f"Model({cell.model.name}).recipes[{cell.backend}]"
    recipe = cell.model.recipes.get(cell.backend)
    if recipe is None:
        raise DeclarationError(f"{cell.id}: the model {cell.model.name} has no recipe for {cell.backend}")
    if cell.point.batch != 1:
        raise DeclarationError(
            f"{cell.id}: the quantised graph has a fixed batch, and how a larger one is asked of it is not published "
            f"for these tools; name points of batch 1 in {where}.points"
        )
    said = _options(f"{where}.options", recipe)
    if len(cell.sized.inputs) != 1:
        raise DeclarationError(f"{cell.id}: has {len(cell.sized.inputs)} inputs, the guide's tools are asked for one")
    return Plan(
        name=str(said["name"]),
        function=str(said["infer_function"]),
        chip=str(said["chip"]),
        bits=BITS[recipe.precision],
        mode=str(said["mode"]),
        iterations=int(said["iterations"]),
        shape=_shape(cell.sized.inputs[0], open_batch=bool(said["open_batch"])),
        output_float=bool(said["output_float"]),
        output_scale=float(said["output_scale"]),
        dump=bool(said["dump"]),
        route=str(said["route"]),
    )


def _options(where: str, recipe: Recipe) -> dict[str, Scalar]:
    """The options with their defaults."""
    if recipe.precision not in BITS:
        raise DeclarationError(f"{where}: precision {recipe.precision!r}, expected {' or '.join(BITS)}")
    kinds = REQUIRED | {name: type(value) for name, value in OPTIONAL.items()}
    for name, value in recipe.options.items():
        choose(where, name, kinds)
        if type(value) is not kinds[name]:
            raise DeclarationError(f"{where}[{name}]: {value!r}, expected {kinds[name].__name__}")
    if missing := [name for name in REQUIRED if name not in recipe.options]:
        raise DeclarationError(f"{where}: no {', '.join(missing)}")
    said = {**OPTIONAL, **recipe.options}
    for name in ("name", "infer_function"):
        # Registered under the name of a Python function; the other names files and folders.
        text = str(said[name])
        if not (text.isascii() and text.isidentifier()) or keyword.iskeyword(text):
            raise DeclarationError(f"{where}[{name}]: {text!r}, expected a name as Python functions have")
    choose(f"{where}[chip]", str(said["chip"]), CHIPS)
    choose(f"{where}[mode]", str(said["mode"]), ("", *MODES))
    choose(f"{where}[route]", str(said["route"]), ROUTES)
    if int(said["iterations"]) < 1 or float(said["output_scale"]) < 0:
        raise DeclarationError(f"{where}: iterations from 1 on, and an output_scale above 0 where one is declared")
    if said["output_float"] and said["output_scale"]:
        raise DeclarationError(f"{where}: outputs that are floats already have no output_scale")
    return said


def _shape(spec: TensorSpec, *, open_batch: bool) -> tuple[int, ...]:
    return tuple(-1 if open_batch and axis == spec.batch_axis else size for axis, size in enumerate(spec.shape(1)))
