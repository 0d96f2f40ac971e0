"""Builds records of a form that runs in its own precision, in a device's precision, and on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.form import Form
from harness.model import Model
from harness.recipe import Recipe
from reports.arms import HEADER
from reports.render import render
from tests.records import METRIC, claiming_of, made, of_toy, rows_of, timing, write_outcomes

SINGLE = {"form": "onnx", "backend": "ort", "precision": "fp32", "subject": "toy-ort-fp32-bs8"}
HALF = {"form": "half", "backend": "ort", "precision": "fp16", "subject": "toy.half-ort-fp16-bs8"}
DEVICE = {"form": "onnx", "backend": "ascend", "precision": "fp16", "subject": "toy-ascend-fp16-bs8"}
ARMS = {"single": SINGLE, "half": HALF, "device": DEVICE}
KEPT = {"decoded_equal": 29, "decoded_compared": 32, "n": 32, "max_abs": 0.5, "median_abs": 0.25}
OF_DEVICE = KEPT | {
    "here_equal": 31, "here_max_abs": 0.25, "here_median_abs": 0.125, "here_to_device_max_abs": 0.375, "bound": 1.0,
}  # fmt: skip


def throughput_on(device: str | None = "Ascend310P3", **given: Any) -> dict[str, Any]:
    """A throughput answer of toy on a device at batch 16, under the reference that claims; 5000 words a second."""
    said = {
        "subject": "toy-ascend-fp16-bs16",
        "backend": "ascend",
        "precision": "fp16",
        "point": "bs16",
        "model": "toy",
    }
    said |= {"reference": "official", "weights": "official"}
    figures = {"clock": "device", "device": device, "throughput": 5000.0, "claims_judged": True}
    return timing(0.0032, **{**said, **figures, **given})


def lowered_of(toy: Callable[..., Model], **changes: Any) -> dict[str, Model]:
    """Toy as ``claiming_of`` gives it, with a form in half precision and a recipe for a device that computes in it."""
    claiming = claiming_of(toy)["toy"]
    half = Form(
        name="half", parent="onnx", step="toy:half", format="onnx", promise="lossy", equal=0.9, because="it rounds",
        precision="fp16",
    )  # fmt: skip
    recipe = Recipe(precision="fp16", toolkits=("7.0.0",))
    said = {"forms": (*claiming.forms, half), "references": claiming.references, "recipes": {"ascend": recipe}}
    return {"toy": toy(**{**said, **changes})}


def scored(folder, arm, right, wrong=(), **said):
    """An accuracy answer of an arm: these samples are right, those wrong; outcomes in a file of its own."""
    name = f"{arm}.jsonl"
    found = {**dict.fromkeys(right, True), **dict.fromkeys(wrong, False)}
    lines = [{"id": each, "predicted": "a", "truth": "a", "hit": hit} for each, hit in sorted(found.items())]
    write_outcomes(folder, name, lines)
    figures = {"hits": len(right), "n": len(found), "acc": len(right) / len(found), "complete": True}
    return of_toy(**{"question": "accuracy", **ARMS[arm], **figures, "metric": METRIC, "outcomes": name, **said})


def samples(*numbers):
    return [f"w{number}" for number in numbers]


def three(folder, lost_here=(), lost_there=(), n=20):
    """Three arms on n samples: the first has all of them right."""
    every = set(samples(*range(n)))
    here, there = set(samples(*lost_here)), set(samples(*lost_there))
    return [
        scored(folder, "single", sorted(every)),
        scored(folder, "half", sorted(every - here), sorted(here)),
        scored(folder, "device", sorted(every - there), sorted(there)),
    ]


def only(tmp_path, models, answers, **said):
    """The cells of the one row of these answers, by header."""
    (row,) = rows_of(render(made(tmp_path, answers, **said), models), "Device precision")
    return dict(zip(("device", *HEADER), row, strict=True))


def where(tmp_path, models, answers, **said):
    return only(tmp_path, models, answers, **said)["where a loss arises"]
