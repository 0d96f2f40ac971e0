"""The figures of a record as Markdown tables: as measured, each under its own reference."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model import Model
from reports import (
    accuracy,
    agreement,
    arms,
    classes,
    end_to_end,
    keep_float,
    layers,
    losses,
    memory,
    operators_table,
    throughput,
)
from reports.claims import Published
from reports.markdown import table
from reports.record import Record
from reports.text import NONE


def accuracy_table(record: Record, claims: list[Published], models: Mapping[str, Model]) -> list[str]:
    """A row for each accuracy answer with figures and each claim that it measures; no line where there is none."""
    rows = accuracy.measured(record, claims, models)
    lines = [(row.answer.key.subject, *row.cells) for row in rows]
    return table((f"Accuracy ({accuracy.metrics(rows)})", *accuracy.HEADER), lines) if lines else []


def loss_table(record: Record, claims: list[Published], models: Mapping[str, Model]) -> list[str]:
    """A row for each quantised form that was judged by what it loses against float."""
    rows = [(found.answer.key.subject, *found.cells) for found in losses.losses(record, claims, models)]
    return table(("Quantised against float", *losses.HEADER), rows) if rows else []


def keep_float_table(record: Record, models: Mapping[str, Model]) -> list[str]:
    """A row for each quantised form: answers that change and the value, a column for each number of tensors left
    float."""
    found = keep_float.curves(record, models)
    counts = keep_float.counts_of(found)
    rows = [(curve.answer.key.subject, *curve.cells(counts)) for curve in found]
    header = ("Left float (answers changed, value)", *keep_float.HEADER, *counts, *keep_float.ENDS)
    return table(header, rows) if rows else []


def class_tables(record: Record, models: Mapping[str, Model]) -> list[str]:
    """A row for each class of pixels, a column for each answer on the same labels: IoU and, in brackets, precision."""
    lines: list[str] = []
    for found in classes.tables(record, models):
        header = (f"{found.title}: IoU (precision)", *classes.HEADER[1:], *found.subjects)
        lines += [*([""] if lines else []), *table(header, found.rows)]
    return lines


def agreement_table(record: Record, models: Mapping[str, Model]) -> list[str]:
    """A row an edge; for each reference its worst distance, least cosine and decoded answers."""
    edges = agreement.edges(record, models)
    references = agreement.references(edges)
    empty = (NONE,) * len(agreement.HEADER)
    rows = []
    for edge in edges:
        found = [edge.distances.get(reference) for reference in references]
        rows.append([str(edge), *(cell for distance in found for cell in (distance.cells if distance else empty))])
    header = [f"{reference}: {name}" for reference in references for name in agreement.HEADER]
    return table(["Agreement", *header], rows) if rows else []


def device_table(record: Record, models: Mapping[str, Model]) -> list[str]:
    """A row for each model, kind of device and reference: its three arms side by side, and where a loss arises."""
    rows = [(str(row.group), *row.cells) for row in arms.arms(record, models)]
    return table(("Device precision", *arms.HEADER), rows) if rows else []


def layer_table(record: Record, models: Mapping[str, Model]) -> list[str]:
    """A row for each quantised form whose layers were compared. The page has the worst layers of each."""
    rows = [(found.answer.key.subject, *found.cells) for found in layers.compared(record, models)]
    return table(("Layers of quantised forms", *layers.HEADER), rows) if rows else []


def throughput_table(record: Record, claims: list[Published], models: Mapping[str, Model]) -> list[str]:
    """A row for each form, backend, weights and clock and for each published value, a column for each point."""
    speeds = throughput.speeds(record, claims, models)
    points = throughput.points(speeds.values())
    rows = [
        (*series.cells, *(found[point].text if point in found else NONE for point in points))
        for series, found in speeds.items()
    ]
    return table(("Throughput", *throughput.HEADER, *points), rows) if rows else []


def end_to_end_table(record: Record, models: Mapping[str, Model]) -> list[str]:
    """A row for each time from stored pictures to answers."""
    rows = end_to_end.rows(record, models)
    return table(("End to end", *end_to_end.HEADER), rows) if rows else []


def memory_table(record: Record, models: Mapping[str, Model]) -> list[str]:
    """A row for each form, backend and weights, a column for each point."""
    points, rows = memory.rows(record, models)
    return table(("Memory, MiB", *memory.HEADER, *points), rows) if rows else []


def operator_table(record: Record, models: Mapping[str, Model]) -> list[str]:
    """A row for each form that was profiled: what takes its time. The page has a table for each model."""
    rows = operators_table.lines(record, models)
    return table(("Operators", *operators_table.LINE), rows) if rows else []
