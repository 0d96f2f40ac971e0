"""atc's options for a toolkit and a chip: what of a guide's this toolkit takes, and what the suite says itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.ascend.cann import Cann
from harness.declaration import DeclarationError
from harness.recipe import Recipe
from harness.verdict import Absent

SET_HERE = {
    *("model", "weight", "framework", "output", "soc_version", "precision_mode", "precision_mode_v2"),
    *("input_shape", "input_shape_range", "dynamic_batch_size", "dynamic_image_size", "dynamic_dims"),
}
"""What a recipe cannot say as an option: it follows from the model, the point, the chip and the precision."""
PRECISION_MODES = {"fp16": "force_fp16", "fp32": "force_fp32"}
NO_AUTO_TUNE = Cann.of("6.0.1")
"""The first without the Auto Tune tool: its guide to AOE says so (canncommercial/601, aoe_16_001), and that of 6.0.RC1
still has it. Source of atc of 2025 ends on any value with "deprecated, use the AOE tool"."""
RANGES_IN_SHAPE = Cann.of("6.3.RC1")
"""The first known to take ranges in --input_shape, where --input_shape_range is to be used no more: atc's guide of
6.3.RC2. The guides of 5.0.4.6 and 6.0.1 call that option reserved, and guide 003 compiles with it under 6.0.RC1."""
NO_RANGES = re.compile(r"Ascend310(B\w*)?")
"""Chips that take no ranges: the lists of products in atc's guides of 6.3.RC2 (no 310) and 8.5.0 (no 200I/500 A2)."""
RANGE = "~"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What atc is given: ``kept`` by name without dashes, in order; ``dropped`` those of the guide that this toolkit
    does not take, with the reason; ``precision`` what it computes in then."""

    kept: Mapping[str, str]
    dropped: Mapping[str, str]
    precision: str


def options_for(recipe: Recipe, shapes: str, toolkit: str, chip: str) -> Options:
    """What a recipe asks of a toolkit for a chip (``Ascend310P3``), at ``shapes`` as ``--input_shape`` writes them
    (``x:8,3,32,100``, or ``x:1~64,3,32,100`` for a range).

    The precision is always said: atc's own default computes in half precision without telling. Raises
    ``DeclarationError`` where the recipe says what the suite says itself, ``Absent`` where the chip takes no ranges.
    """
    if mine := sorted(SET_HERE & recipe.options.keys()):
        raise DeclarationError(f"Recipe.options: {', '.join(mine)}; the suite says model, shapes, chip and precision")
    version = Cann.of(toolkit)
    said = {name: str(value) for name, value in recipe.options.items()}
    dropped: dict[str, str] = {}
    if "auto_tune_mode" in said and version >= NO_AUTO_TUNE:
        dropped["auto_tune_mode"] = (
            f"{said.pop('auto_tune_mode')} is not asked for: CANN {toolkit} has no Auto Tune, which ended with "
            f"{NO_AUTO_TUNE}"
        )
    kept = {
        **_shape(shapes, version, chip),
        "soc_version": chip,
        "precision_mode": PRECISION_MODES[recipe.precision],
        **said,
    }
    return Options(kept=kept, dropped=dropped, precision=recipe.precision)


def _shape(shapes: str, version: Cann, chip: str) -> dict[str, str]:
    if RANGE not in shapes:
        return {"input_shape": shapes}
    if NO_RANGES.fullmatch(chip):
        raise Absent(
            f"{chip} takes no ranges of shapes ({shapes}); use a chip that does, such as Ascend310P3, or declare the "
            "recipe without dynamic"
        )
    if version >= RANGES_IN_SHAPE:
        return {"input_shape": shapes}
    inputs = (entry.rpartition(":") for entry in shapes.split(";"))
    return {"input_shape_range": ";".join(f"{name}:[{axes}]" for name, _, axes in inputs)}
