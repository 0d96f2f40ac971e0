"""Where the time of a network goes, by type of node: its forms side by side, floats beside integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from harness.model import Model
from harness.ort_profile import NODES, OTHERS, SHARE
from harness.verdict import Verdict
from reports.groups import Group, grouped
from reports.record import Record, Recorded, answers_to
from reports.text import NONE
from reports.verdicts import shown

HEADER = ("operator",)
MOST = 8
"""Operators of a table; the rest is told as one."""
FIRST = 6
"""Operators of a line."""
LINE = ("reference", "sum of nodes", "share of the time (nodes)")
ALL = "all"


class Table(NamedTuple):
    """Below ``HEADER`` and a column for each form a row for each operator, the one that any form spends most on first;
    then the rest, and the sum. A cell says the share of the form's time and how many nodes it has."""

    title: str
    forms: list[str]
    rows: list[tuple[str, ...]]


def lines(record: Record, models: Mapping[str, Model]) -> list[tuple[str, ...]]:
    """A row for each form that was profiled, floats before integers: the cell, and the cells below ``LINE``."""
    return [
        (answer.key.subject, answer.key.reference, _whole(answer), _first(answer))
        for _, answer in _profiled(record, models)
    ]


def tables(record: Record, models: Mapping[str, Model]) -> list[Table]:
    """A table for each model, reference and point that was profiled."""
    found: dict[tuple[str, str, str], dict[str, Recorded]] = {}
    for group, answer in _profiled(record, models):
        place = (answer.model, answer.key.reference, answer.point or NONE)
        found.setdefault(place, {})[f"{group.form} {group.precision}"] = answer
    return [
        Table(f"Operators of {model} ({reference}, {point})", list(answers), _rows(list(answers.values())))
        for (model, reference, point), answers in found.items()
    ]


def _profiled(record: Record, models: Mapping[str, Model]) -> Iterator[tuple[Group, Recorded]]:
    for group, answers in grouped(answers_to(record, "placement"), models).items():
        yield from ((group, answer) for answer in answers if answer.number("kernel_ms") is not None)


def _first(answer: Recorded) -> str:
    """``QLinearConv 63.1% (53), QLinearMul 12.8% (27)``."""
    shares = _shares(answer)
    ranked = sorted(shares, key=lambda name: (-shares[name], name))[:FIRST]
    return ", ".join(f"{name} {_cell(answer, name)}" for name in ranked) or NONE


def _rows(answers: list[Recorded]) -> list[tuple[str, ...]]:
    most: dict[str, float] = {}
    for answer in answers:
        for name, share in _shares(answer).items():
            most[name] = max(most.get(name, 0.0), share)
    named = sorted(most, key=lambda name: (-most[name], name))[:MOST]
    rows = [(name, *(_cell(answer, name) for answer in answers)) for name in named]
    return [*rows, (OTHERS, *(_rest(answer, named) for answer in answers)), (ALL, *map(_whole, answers))]


def _shares(answer: Recorded) -> dict[str, float]:
    """The share of each operator that has its own; a share above all is none."""
    names = [name.removeprefix(SHARE) for name in answer.figures if name.startswith(SHARE)]
    shares = {name: answer.number(f"{SHARE}{name}") for name in names if name != OTHERS}
    return {name: share for name, share in shares.items() if share is not None and 0 <= share <= 1}


def _cell(answer: Recorded, name: str) -> str:
    """``63.1% (53)``."""
    share = _shares(answer).get(name)
    return NONE if share is None else f"{share:.1%} ({_nodes(answer, name)})"


def _rest(answer: Recorded, named: list[str]) -> str:
    shares, nodes = _shares(answer), answer.count("nodes")
    kept = [name for name in named if name in shares]
    counted = sum(answer.count(f"{NODES}{name}") or 0 for name in kept)
    return f"{max(0.0, 1 - sum(shares[name] for name in kept)):.1%} ({NONE if nodes is None else nodes - counted})"


def _whole(answer: Recorded) -> str:
    """``4.213 ms (153)``, with the verdict where that is no pass."""
    told = f"{answer.number('kernel_ms') or 0.0:.3f} ms ({_nodes(answer)})"
    return told if answer.verdict is Verdict.PASS else f"{told} {shown(answer.verdict)}"


def _nodes(answer: Recorded, name: str = "") -> str:
    nodes = answer.count(f"{NODES}{name}" if name else "nodes")
    return NONE if nodes is None else str(nodes)
