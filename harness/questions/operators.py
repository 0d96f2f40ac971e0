"""Operators: will the compiler of a toolkit take every operator of the form that it is given? Told from the file alone,
so that nobody has to wait for a device to learn it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.ascend.cann import Cann
from harness.ascend.operators import DOMAINS, Support, Word, readers, reads, support, takers
from harness.cells import Ask
from harness.onnx_graph.inspect import Used, operators_used
from harness.verdict import Answer, Figure, Verdict
from harness.workbench import Workbench

SHOWN = 3
"""Operators, and nodes of one, that a line names."""


@dataclass(frozen=True)
class Judged:
    """An operator of a form, or its opset, with how often it is there, what is known of it, and who takes it."""

    name: str
    where: str
    word: Word
    takers: tuple[str, ...]

    @property
    def told(self) -> str:
        """``GridSample (1 node: 128): why; taken by 6.0.RC1, 8.0.0``."""
        taken = f"taken by {', '.join(self.takers)}" if self.takers else "no known version takes it"
        return f"{self.name} ({self.where}): {self.word.why}; {taken}"


def ask(bench: Workbench, ask: Ask) -> Answer:
    """Builds the form, or finds it built, and looks up its opset and every operator, also in bodies of If and Loop."""
    made = bench.form(ask.model, ask.model.reference(ask.reference), ask.form)
    return answer(made.file("model.onnx"), ask.toolkit)


def answer(path: Path, toolkit: str) -> Answer:
    """What a toolkit is known to say of a file. What nothing is known of makes it ``inconclusive``, so that no operator
    is taken for granted; one that is refused makes it ``fail``."""
    used = operators_used(path)
    judged = list(judge(used, Cann.of(toolkit)))
    by = {support: [each for each in judged if each.word.support is support] for support in Support}
    figures: dict[str, Figure] = {
        "toolkit": toolkit,
        "opset": next((each.opset for each in used if each.domain in DOMAINS), None),
        "operators": len(used),
        "nodes": sum(len(each.nodes) for each in used),
        "refused": ", ".join(each.name for each in by[Support.REFUSED]),
        "unknown": ", ".join(each.name for each in by[Support.UNKNOWN]),
    }
    size = f"{len(used)} operators in {figures['nodes']} nodes at opset {figures['opset']}"
    if refused := by[Support.REFUSED]:
        line = f"CANN {toolkit} refuses {_told(refused)}; the graph has {size}"
        return Answer(verdict=Verdict.FAIL, line=line, figures=figures)
    if unknown := by[Support.UNKNOWN]:
        line = f"not known of CANN {toolkit}: {_told(unknown)}; the graph has {size}"
        return Answer(verdict=Verdict.INCONCLUSIVE, line=line, figures=figures)
    sources = "; ".join(dict.fromkeys(each.word.why for each in judged))
    return Answer(verdict=Verdict.PASS, line=f"CANN {toolkit} takes {size}: {sources}", figures=figures)


def judge(used: Sequence[Used], version: Cann) -> Iterator[Judged]:
    """The opset of a file and each of its operators, with what is known of them for a version."""
    for opset in sorted({each.opset for each in used if each.domain in DOMAINS}):
        taken = tuple(map(str, readers(opset)))
        yield Judged(f"opset {opset}", "the whole graph", reads(opset, version), taken)
    for each in used:
        name = each.operator if each.domain in DOMAINS else f"{each.domain}::{each.operator}"
        where = f"{len(each.nodes)} node{'s' if len(each.nodes) > 1 else ''}: {_cut(each.nodes)}"
        word = support(each.operator, each.domain, each.opset, version)
        yield Judged(name, where, word, takers(each.operator, each.domain, each.opset))


def _told(judged: Sequence[Judged]) -> str:
    return _cut([each.told for each in judged], " | ")


def _cut(words: Sequence[str], between: str = ", ") -> str:
    more = f"{between}{len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return f"{between.join(words[:SHOWN])}{more}"
