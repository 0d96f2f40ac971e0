"""A comparison as Markdown: what got worse first, then every change with both values."""

from __future__ import annotations

from harness.provenance import INTEGERS
from reports.compare import INCOMPARABLE, WORSE, Comparison, verdicts
from reports.flips import Flips
from reports.markdown import bullet, escape, heading, table
from reports.record import Record
from reports.text import NONE

NAMED = 10
"""How many flipped samples are named."""
CLASSES_NAMED = 5
"""How many classes of pixels are named that lost most."""
WORSE_NAMED = 25
"""How many lines of what got worse come first; all of them are in the tables."""
MACHINE = ("cpu", "cpu.cores", "cpu.flags", *INTEGERS, "threads", "platform")
"""Where these differ, a ratio of times may be that of the machines."""


def render_comparison(found: Comparison) -> str:
    """The comparison; the same two records give the same text."""
    lines = [
        f"# Comparison of {escape(found.a.run)} (A) with {escape(found.b.run)} (B)",
        bullet(_side("A", found.a)),
        bullet(_side("B", found.b)),
        bullet(_result(found)),
        bullet(_still_red(found)),
    ]
    parts = (
        ("Got worse", _worse(found)),
        ("Verdicts that changed", _verdicts(found)),
        ("Accuracy, sample by sample", _accuracy(found)),
        (_latency_title(found.limit), _latency(found)),
        ("Not compared", [bullet(f"{each.key}: {each.reason}") for each in found.unlike]),
        ("Provenance that differs", _provenance(found)),
    )
    for title, part in parts:
        if part:
            lines += ["", heading(title), "", *part]
    return "\n".join(lines) + "\n"


def _side(name: str, record: Record) -> str:
    commit = " / ".join(record.values("commit")) or "not recorded"
    return f"{name}: {record.run}, written {record.written}, commit {commit}, {len(record.answers)} answers"


def _result(found: Comparison) -> str:
    left = f"; {len(found.unlike)} not compared" if found.unlike else ""
    if found.exit_code == WORSE:
        return f"{len(found.worse)} got worse{left}"
    if found.exit_code == INCOMPARABLE:
        return f"cannot be compared: {f'{len(found.unlike)} not compared' if left else 'no answer in common'}"
    return f"nothing got worse in {found.common} answers that both have"


def _worse(found: Comparison) -> list[str]:
    lines = [bullet(line) for line in found.worse[:WORSE_NAMED]]
    more = len(found.worse) - len(lines)
    return [*lines, bullet(f"and {more} more, in the tables")] if more else lines


def _still_red(found: Comparison) -> str:
    red = found.still_red
    names = ", ".join(map(str, red[:NAMED])) + (f" and {len(red) - NAMED} more" if len(red) > NAMED else "")
    return f"red in B, but not worse than in A: {names or 'nothing'}"


def _verdicts(found: Comparison) -> list[str]:
    rows = [
        (
            *change.key,
            verdicts(change),
            f"{change.kind}{', counts as worse' if change.worse and change.kind != 'worse' else ''}",
            change.after.line if change.after else "not asked any more",
        )
        for change in found.changes
    ]
    return table(("subject", "question", "reference", "A -> B", "change", "B says"), rows) if rows else []


def _accuracy(found: Comparison) -> list[str]:
    if not found.accuracy:
        return []
    header = ("subject", "reference", "A", "B", "lost", "gained", "p (McNemar, exact)", "result")
    rows = [
        (
            *(each.key.subject, each.key.reference),
            *(f"{hits}/{each.n}" for hits in each.hits),
            *(str(len(each.lost)), str(len(each.gained)), f"{each.p:.4g}"),
            f"by {each.drift.name}, below" if each.drift else _result_of(each),
        )
        for each in found.accuracy
    ]
    named = [
        bullet(f"{each.key.subject} ({each.key.reference}) {what}: {_ids(ids)}")
        for each in found.accuracy
        for what, ids in (("lost", each.lost), ("gained", each.gained))
        if ids
    ]
    named += [
        bullet(f"{each.key.subject} ({each.key.reference}) classes that lost most of their IoU: {_classes(each)}")
        for each in found.accuracy
        if each.classes
    ]
    named += _kernels(found)
    return [*table(header, rows), *_pooled(found), *([""] if named else []), *named]


def _kernels(found: Comparison) -> list[str]:
    """A line for each difference in what the answers of quantised forms depend on besides their files."""
    differ: dict[str, list[str]] = {}
    for each in found.accuracy:
        for name in INTEGERS:
            before, after = (side.answers[each.key].text(name) or NONE for side in (found.a, found.b))
            if before != after:
                differ.setdefault(f"{name} {before} -> {after}", []).append(each.key.subject)
    return [
        bullet(f"{what}: what {', '.join(subjects)} answers otherwise may be due to that alone")
        for what, subjects in differ.items()
    ]


def _result_of(found: Flips) -> str:
    return "WORSE" if found.worse else "not worse"


def _pooled(found: Comparison) -> list[str]:
    """A row for each value that is pooled over samples, such as boxes over pictures."""
    header = (
        *("subject", "reference", "value", "A", "B", "B - A", "95% of B - A (paired bootstrap)"),
        *("samples that count otherwise", "result"),
    )
    rows = [
        (
            *(each.key.subject, each.key.reference, each.drift.name),
            *(f"{value:.4f}" for value in each.drift.values),
            f"{each.drift.difference:+.4f}",
            "{:+.4f}..{:+.4f}".format(*each.drift.interval),
            f"{each.drift.changed} of {each.drift.n}",
            _result_of(each),
        )
        for each in found.accuracy
        if each.drift
    ]
    return ["", *table(header, rows)] if rows else []


def _classes(found: Flips) -> str:
    more = len(found.classes) - CLASSES_NAMED
    return ", ".join(map(str, found.classes[:CLASSES_NAMED])) + (f" and {more} more that lost" if more > 0 else "")


def _ids(ids: tuple[str, ...]) -> str:
    return ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")


def _latency_title(limit: float | None) -> str:
    return "Latency, B / A, " + ("not judged without --limit" if limit is None else f"limit {limit:g}")


def _latency_result(value: float, limit: float | None) -> str:
    if limit is None:
        return "not judged"
    return "WORSE" if value > limit else "not worse"


def _latency(found: Comparison) -> list[str]:
    if not found.latency:
        return []
    header = ("subject", "reference", "clock", "time", "A median, ms", "B median, ms", "B / A", "result")
    rows = [
        (
            *(each.key.subject, each.key.reference, each.clock, each.time),
            *(f"{seconds * 1e3:.3f}" for seconds in (each.before, each.after)),
            *(f"{each.value:.3f}", _latency_result(each.value, found.limit)),
        )
        for each in found.latency
    ]
    machine = [each.name for each in found.provenance if each.name in MACHINE]
    note = ["", bullet(f"{', '.join(machine)} differ: these ratios may be those of the machines")] if machine else []
    return [*table(header, rows), *note]


def _provenance(found: Comparison) -> list[str]:
    rows = [(each.name, each.before, each.after) for each in found.provenance]
    return table(("name", "A", "B"), rows) if rows else []
