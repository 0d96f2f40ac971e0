"""How far the layers of quantised forms lie from single precision: a row for each form, and its worst layers ranked."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import NamedTuple

from harness.model import Model
from reports.groups import grouped
from reports.record import Record, Recorded, answers_to
from reports.text import NONE
from reports.verdicts import shown

HEADER = (
    "reference",
    "layers (silent)",
    "over a bound",
    "cosine: least of at least, median",
    "SNR in dB: least of at least, median",
    "gain: least to largest of bounds",
    "first over a bound, or worst",
    "verdict",
)
RANKED = ("rank", "layer", "cosine", "SNR in dB", "gain", "saturated")


class Compared(NamedTuple):
    """An answer, its cells below ``HEADER`` after the subject, and its worst layers below ``RANKED``."""

    answer: Recorded
    cells: tuple[str, ...]
    worst: list[tuple[str, ...]]


def compared(record: Record, models: Mapping[str, Model]) -> list[Compared]:
    """Each answer on layers that has figures, forms in the order of the declarations."""
    return [
        Compared(answer, _cells(answer), _worst(answer))
        for group in grouped(answers_to(record, "layers"), models).values()
        for answer in group
        if answer.count("layers") is not None
    ]


def _cells(answer: Recorded) -> tuple[str, ...]:
    layers, silent = answer.count("layers"), answer.count("silent") or 0
    gains = _tuple(answer, "gain_bounds")
    bounds = f"{gains[0]:.4g} to {gains[1]:.4g}" if len(gains) == 2 else NONE
    first = answer.text("first_over") or (answer.text("worst") or NONE).partition("\n")[0]
    return (
        answer.key.reference,
        f"{layers} ({silent})",
        str(answer.count("over")),
        f"{_of(answer, 'least_cosine', '.4f')} of {_of(answer, 'cosine_bound', '.4g')}, "
        f"{_of(answer, 'median_cosine', '.4f')}",
        f"{_of(answer, 'least_snr', '.1f')} of {_of(answer, 'snr_bound', '.4g')}, {_of(answer, 'median_snr', '.1f')}",
        f"{_of(answer, 'least_gain', '.3f')} to {_of(answer, 'largest_gain', '.3f')} of {bounds}",
        first,
        shown(answer.verdict),
    )


def _worst(answer: Recorded) -> list[tuple[str, ...]]:
    """A row a layer, the worst first; where a record holds fewer figures than names, without these."""
    names = (answer.text("worst") or "").split("\n")
    columns = (
        [format(value, shape) for value in _tuple(answer, f"worst_{name}")]
        for name, shape in (("cosine", ".4f"), ("snr", ".1f"), ("gain", ".3f"), ("saturation", ".2%"))
    )
    rows = zip_longest(names, *columns, fillvalue=NONE)
    return [(str(rank), *row) for rank, row in enumerate(rows, 1) if row[0] not in ("", NONE)]


def _of(answer: Recorded, name: str, shape: str) -> str:
    value = answer.number(name)
    return NONE if value is None else format(value, shape)


def _tuple(answer: Recorded, name: str) -> list[float]:
    """The numbers of a figure that is a list of them; none where it is anything else."""
    found = answer.figures.get(name)
    values = found if isinstance(found, list | tuple) else ()
    return [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
