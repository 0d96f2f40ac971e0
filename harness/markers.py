"""What ``-m`` can select questions by."""

from __future__ import annotations

from collections.abc import Mapping

from harness.cells import DESK
from harness.model import Model
from harness.registry import backends


def marker_names(models: Mapping[str, Model]) -> dict[str, str]:
    """Every marker of the suite with a line on what it selects."""
    names = {
        "perf": "throughput questions",
        "slow": "measuring it takes over a minute; needs --slow",
        "gpu": "runs on a GPU",
        "npu": "runs on a neural processor",
        DESK: "what a compiler for a device will refuse, told from the file alone",
    }
    for name, backend in backends().items():
        names[name] = f"runs on the backend {name}"
        names |= {marker: f"device of the backend {name}" for marker in backend.markers if marker not in names}
    for model in models.values():
        names[model.name] = model.title
        names[model.family] = f"models for {model.family}"
        for recipe in model.recipes.values():
            names[recipe.precision] = f"precision {recipe.precision}"
        for form in model.forms:
            names[form.precision] = f"precision {form.precision}"
            if form.name != model.main:
                names[form.name] = f"the form {form.name}"
        for point in model.points:
            sizes = "" if point.height is None else f", pictures of {point.height} x {point.width}"
            names[point.id] = f"batch {point.batch}{sizes}"
    return names
