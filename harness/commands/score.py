"""``python -m harness score``: judges outputs that somebody else's tool wrote."""

from __future__ import annotations

import argparse
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from harness.commands.folders import assets_of
from harness.commands.pack import add_samples
from harness.commands.progress import watched
from harness.evaluate import Scored, Task, check_outputs
from harness.files.pack import item_bytes, write_whole
from harness.files.sources import Truth, truth
from harness.files.unpack import OutputFolder
from harness.form import Precision
from harness.judging import SINGLE, Judging, write_outcomes
from harness.model import Model
from harness.registry import choose_model, load_models
from harness.store import Store
from harness.verdict import Answer, Outcome, Verdict
from harness.workbench import Workbench

TEXT = "judge a folder of outputs that a tool wrote for packed samples, as a run would judge its own"
STATUS = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.BROKEN: 1,
    Verdict.INCONCLUSIVE: 10,
    Verdict.SKIPPED: 10,
}
DETAIL = (
    "Ends with 0 for pass; 1 for fail and broken, and where the command could not be carried out; 2 for wrong usage; "
    "10 for inconclusive, and for skipped because the data is not here: nothing was confirmed, which is no success. "
    "OUT holds a file for each file of inputs and each output, all raw (.bin), NumPy's (.npy) or text (.txt), named as "
    "'pack' says, with outputs all counted from 0 or all from 1 (benchmark.x86_64), or as msame does. Where a model "
    "gives int64, files may hold int32 or whole float32; it is said which they do."
)
MOST_AT_ONCE = 256
MOST_BYTES = 1 << 24
"""Of outputs that are read before they are scored."""


@dataclass(frozen=True)
class Scoring:
    """What is judged: a folder of outputs, read by its inventory, against the truth; the model's sizes are bound.
    ``precision`` is what they were computed in."""

    model: Model
    truth: Truth
    outputs: OutputFolder
    precision: str = SINGLE


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.epilog = DETAIL
    parser.add_argument("model", help="name of a declaration, such as crnn")
    parser.add_argument("--outputs", type=Path, required=True, metavar="OUT", help="the folder that the tool wrote")
    add_samples(parser, "a folder that 'pack' wrote, or another data set")
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default=SINGLE,
        help="what the outputs were computed in: claims that name one are judged in theirs; default %(default)s",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write verdict and figures as JSON")
    parser.add_argument("--outcomes", type=Path, metavar="FILE", help="also write a JSON line a sample, as a run does")


def run(options: argparse.Namespace) -> Generator[str, None, int]:
    """Says what is judged and how it came out; returns the status of the verdict."""
    model = choose_model(load_models(options.models), options.model)
    about: dict[str, object] = {"model": model.name, "outputs": str(options.outputs)}
    with TemporaryDirectory() as scratch:
        bench = Workbench(Store(options.store), assets_of(options), Path(scratch))
        try:
            found = truth(bench, model, options.reference, options.data)
            about |= {"reference": found.reference.name, "data": found.data, "own": found.own, "n": len(found.samples)}
            about["precision"] = options.precision
            yield _headline(model, found)
            sized = model.answering(found.reference).at(found.point)
            held = model.layout.held(found.point.batch)
            outputs = OutputFolder(options.outputs, sized, [sample.id for sample in found.samples], held=held)
            answer = score(Scoring(sized, found, outputs, options.precision), bench.kept("outcomes.jsonl"))
            about |= {"format": outputs.suffix, "counted_from": outputs.counted_from, "types": outputs.types}
            told = f"{outputs.told}{_types(outputs.types)}"
            yield f"read {outputs.suffix} files of {len(found.samples)} samples from {options.outputs}, {told}"
        except Outcome as outcome:
            answer = Answer(verdict=outcome.verdict, line=str(outcome))
        yield f"{answer.verdict}: {answer.line}"
        if options.outcomes and answer.outcomes:
            _write(options.outcomes, answer.outcomes.read_text(encoding="utf-8"))
        if options.json:
            said = {**about, "verdict": answer.verdict, "line": answer.line, "figures": dict(answer.figures)}
            _write(options.json, json.dumps(said, indent=1) + "\n")
    return STATUS[answer.verdict]


def score(asked: Scoring, outcomes: Path) -> Answer:
    """The answer to accuracy that a run would give for these outputs; outcomes of all samples go to a file.

    On samples that are not the reference's own its claims and goldens say nothing, so they are left out.
    """
    model, found = asked.model, asked.truth
    reference = found.reference if found.own else replace(found.reference, claims=(), golden=None)
    task = Task.of(model, reference)
    scored = write_outcomes(watched(_scored(asked, task), len(found.samples), "scoring"), outcomes, task.metric)
    judging = Judging(reference, task.metric, whole=found.complete, precision=asked.precision)
    answer = judging.answer(scored, outcomes)
    if found.own:
        return answer
    return replace(answer, line=f"these are not the samples of {found.reference.name}'s claims; {answer.line}")


def _scored(asked: Scoring, task: Task) -> Iterator[Scored]:
    """The outcome of each sample, in order."""
    size = max(1, min(MOST_AT_ONCE, MOST_BYTES // sum(item_bytes(spec) for spec in asked.model.outputs)))
    rest = iter(asked.truth.samples)
    for outputs in asked.outputs.batches(size):
        samples = [next(rest) for _ in outputs.ids]
        check_outputs(outputs, tuple(sample.id for sample in samples), asked.model)
        yield from task.score(samples, outputs)


def _headline(model: Model, found: Truth) -> str:
    whose = "all of the reference's own" if found.complete else "a part of the reference's own"
    whose = whose if found.own else "not the reference's own"
    dropped = f"; {found.dropped} more were dropped when they were packed" if found.dropped else ""
    return f"{model.name} {found.reference.name}: {len(found.samples)} samples of {found.data}, {whose}{dropped}"


def _types(found: Mapping[str, Sequence[str]]) -> str:
    """``; output is float32 there``."""
    return "".join(f"; {name} is whole {' and '.join(types)} there" for name, types in found.items())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
