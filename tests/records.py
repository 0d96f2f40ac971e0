"""Builds run folders: whole ones through ``harness.run``, as the suite writes them, and small ones answer by answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.cells import Ask, Scope
from harness.claim import Claim
from harness.domains import QUESTIONS, asks
from harness.metrics.detection import COUNTED, ICDAR_IOU
from harness.model import Model
from harness.reference import Asset, DataSet, Reference
from harness.registry import load_models
from harness.run import SCHEMA, Run
from harness.verdict import Answer, Verdict
from reports.record import Record, find, read

PROVENANCE = {"commit": "0123456789ab", "cpu": "Some Processor", "threads": "1", "lib.numpy": "2.4.6", "load": "0.10"}
COUNTS = tuple[int, int, int]
"""Of a picture: boxes matched, told and found."""
METRIC = "acc: exact match with the lower-cased label, every label counted; version 1"
WRITTEN = "2026-01-01T00:00:00Z"


def one(question: str = "build", **given: Any) -> dict[str, Any]:
    """One answer as a record holds it; ``given`` replaces and adds fields."""
    fields = {
        "cell": None,
        "subject": "crnn-ort-fp32-bs8",
        "model": "crnn",
        "form": "onnx",
        "backend": "ort",
        "precision": "fp32",
        "point": "bs8",
        "question": question,
        "reference": "bundled",
        "weights": "bundled sha256:0000000000000000",
        "verdict": "pass",
        "line": "as it should be",
        "seconds": 0.5,
        "provenance": "p1",
    }
    return fields | given


def write(
    folder: Path, answers: Sequence[Mapping[str, Any]], provenance: Mapping[str, Any] | None = None, **given: Any
) -> Path:
    """Writes a run folder with these answers and returns it. ``provenance`` is that of one phase, or phases by digest;
    ``given`` replaces what else the record says."""
    folder.mkdir(parents=True, exist_ok=True)
    found = PROVENANCE if provenance is None else provenance
    phases = found if any(isinstance(value, dict) for value in found.values()) else {"p1": dict(found)}
    record = {"schema": SCHEMA, "run": folder.name, "written": WRITTEN, "provenance": phases, "answers": list(answers)}
    (folder / "record.json").write_text(json.dumps(record | given))
    return folder


def made(folder: Path, answers: Sequence[Mapping[str, Any]], provenance: Mapping[str, str] | None = None) -> Record:
    """The record of a run folder that holds these answers."""
    return read(find(str(write(folder, answers, provenance))))


def accuracy(folder: Path, found: Mapping[str, bool], **given: Any) -> dict[str, Any]:
    """An accuracy answer on these samples, its outcomes written below the run folder."""
    lines = [{"id": name, "predicted": "a" if hit else "b", "truth": "a", "hit": hit} for name, hit in found.items()]
    write_outcomes(folder, "outcomes.jsonl", lines)
    right = sum(found.values())
    figures = {"hits": right, "n": len(found), "unspellable": 0, "acc": right / len(found), "complete": True}
    return one("accuracy", **figures, metric=METRIC, outcomes="outcomes.jsonl") | given


def write_outcomes(folder: Path, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Writes outcomes as the accuracy question does."""
    (folder / "outcomes").mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "outcomes" / name).write_text(text, encoding="utf-8")


def timing(median: float, cpu: float | None = None, **given: Any) -> dict[str, Any]:
    """A throughput answer at batch 8 with this median, and with CPU times where ``cpu`` is given."""
    figures: dict[str, Any] = {"clock": "host", "rounds": 3, "warm_up": 6, "mean_of": None, "latency_median": median}
    figures |= {"throughput": 8 / median if median else None, "latency_wall": [median] * 3, "latency_cpu": []}
    if cpu is not None:
        figures |= {"latency_cpu": [cpu] * 3, "latency_cpu_median": cpu}
    return one("throughput", weights="seeded", reference="seeded") | figures | given


def everything(folder: Path, answer: Callable[[Ask], Answer], official: bool = False) -> Path:
    """A run in which every question that is asked of crnn is answered by ``answer``, as the suite writes it."""
    models = {"crnn": load_models()["crnn"]}
    scope = Scope(found=frozenset({("crnn", "official")} if official else ()))
    run = Run(folder, PROVENANCE)
    for question in QUESTIONS:
        for ask in asks(question, models, scope):
            run.add(ask, f"{ask.reference} sha256:0123456789abcdef", answer(ask), 0.1)
    return run.record().parent


def good(ask: Ask) -> Answer:
    """A passing answer with every figure that its question has."""
    batch = ask.cell.point.batch if ask.cell else 1
    lowered = {
        "median_abs": 1e-3, "here_equal": batch, "here_max_abs": 1e-2, "here_median_abs": 1e-3,
        "here_to_device_max_abs": 1e-3, "bound": 8e-3,
    }  # fmt: skip
    figures: Mapping[str, Mapping[str, Any]] = {
        "build": {"size": 33326964, "nodes": 85, "opset": 11, "because": "first time", "digest": "0" * 64},
        "agreement": {
            "max_abs": 1e-5 * batch, "bound": 1e-3, "noise": 1.25e-4, "cosine": 1 - 1e-9 * batch, "n": batch,
            "decoded_equal": batch, "decoded_compared": batch,
        } | (lowered if ask.cell and ask.cell.precision != ask.form.precision else {}),
        "accuracy": {"hits": 450, "n": 500, "unspellable": 0, "acc": 0.9, "complete": True, "metric": METRIC},
        "batching": {"alone": 0.0, "reversed": 0.0, "short_last": 0.0, "repeated": 0.0, "bound": 1e-3, "n": batch},
        "throughput": {
            "clock": "host", "rounds": 3, "warm_up": 6, "mean_of": None, "latency_median": 0.01 * batch,
            "throughput": 100.0, "latency_wall": (0.01 * batch,) * 3, "latency_cpu": (0.01 * batch,) * 3,
            "latency_cpu_median": 0.01 * batch,
        },
        "range": {
            "largest": 42.5, "tensor": "/conv", "operator": "Conv", "sample": "w1", "share": 42.5 / 65504, "over": 0,
            "small": 1, "layers": 40, "parameters": 20, "n": 64,
        },
        "placement": {
            "nodes": 85, "elsewhere": 0, "providers": "CPUExecutionProvider: 85", "runs": 5, "kernel_ms": 10.0,
            "share: Conv": 0.75, "nodes: Conv": 7, "ms: Conv": 7.5,
            "share: LSTM": 0.25, "nodes: LSTM": 78, "ms: LSTM": 2.5,
        },
        "operators": {
            "toolkit": ask.toolkit, "opset": 11, "operators": 16, "nodes": 85, "refused": "", "unknown": "",
        },
    }  # fmt: skip
    return Answer(verdict=Verdict.PASS, line=f"{ask.question} as it should be", figures=figures[ask.question])


def through(rate: float = 12.5, **given: Any) -> dict[str, Any]:
    """A throughput answer with a time from stored pictures to answers, and with the memory that was held."""
    figures = {"end_to_end": rate, "end_to_end_n": 16, "end_to_end_share": 0.875, "memory": 412.4, "memory_bound": 600}
    stages = {"stage_read": 0.0625, "stage_prepare": 0.125, "stage_infer": 0.75, "stage_answer": 0.0625}
    return timing(0.5, **{**figures, **stages, **given})


def cells(line: str) -> list[str]:
    """The cells of a row, split as Markdown splits it: at every bar that no backslash precedes."""
    found, escaped = [""], False
    for character in line.strip().removeprefix("|").removesuffix("|"):
        if character == "|" and not escaped:
            found.append("")
        else:
            found[-1] += character
        escaped = character == "\\" and not escaped
    return [cell.strip() for cell in found]


def rows_of(text: str, title: str) -> list[list[str]]:
    """The rows of the table whose header starts with ``title``, without header and rule."""
    lines = text.split("\n")
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {title}"))
    end = lines.index("", start)
    return [cells(line) for line in lines[start + 2 : end]]


def of_toy(question: str, **given: Any) -> dict[str, Any]:
    """One answer on the form onnx of the model toy, under its seeded reference."""
    return one(question, **{"subject": "toy-ort-fp32-bs8", "model": "toy", "reference": "seeded", **given})


def claimed(**given: Any) -> dict[str, Any]:
    """An accuracy answer of toy on the samples of its claims, 9 right of 10."""
    figures = {"hits": 9, "n": 10, "acc": 0.9, "complete": True, "metric": "acc: version 1", "reference": "official"}
    return of_toy("accuracy", **{**figures, **given})


def claiming_of(toy: Callable[..., Model]) -> dict[str, Model]:
    """Toy with an official reference of 10 samples that claims an accuracy and a throughput on a device."""
    asset = Asset(name="w.pth", patterns=("w.pth",), licence="none", source="nowhere")
    claims = (
        Claim(metric="acc", printed="0.8", hits=8, n=10, source="a guide"),
        Claim(
            metric="throughput", printed="4400", unit="words/s", clock="device", device="Ascend310P3", batch=16,
            source="a guide",
        ),
    )  # fmt: skip
    data = DataSet(name="words", reader="toy:Reader", n=10, asset=asset)
    official = Reference(name="official", weights=(asset,), data=data, claims=claims)
    return {"toy": toy(references=(official, Reference(name="seeded", initialise="toy:draw")))}


def detecting_of(toy: Callable[..., Model], **changes: Any) -> dict[str, Model]:
    """Toy as a detector, so that its accuracy is counted in boxes."""
    return {"toy": toy(**{"metric": "harness.metrics.detection:ICDAR_IOU", "family": "detection", **changes})}


def detected(folder: Path, found: Mapping[str, COUNTS], name: str = "boxes.jsonl", **given: Any) -> dict[str, Any]:
    """An accuracy answer of toy as a detector on these pictures, its outcomes written below the run folder."""
    lines = []
    for sample, counts in found.items():
        of = dict(zip(COUNTED, counts, strict=True))
        products = {each: of[each.partition("*")[0]] * of[each.partition("*")[2]] for each in ICDAR_IOU.columns[5:]}
        hit = len(set(counts)) == 1
        line = {"id": sample, "predicted": "[]", "truth": "[]", "hit": hit}
        lines.append({**line, "counts": {"hits": int(hit), "n": 1, **of, **products}})
    write_outcomes(folder, name, lines)
    sums = {column: sum(line["counts"][column] for line in lines) for column in ICDAR_IOU.columns}
    figures = {**sums, **ICDAR_IOU.value(list(sums.values())), "complete": True, "metric": ICDAR_IOU.name}
    return of_toy("accuracy", **{**figures, "outcomes": name, **given})
