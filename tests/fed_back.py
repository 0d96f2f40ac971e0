"""A real network that is fed its own answers, small enough to know its numbers by heart, and the data that it reads.

It rounds: ``OFFSET`` is added to every score and taken away again, which in single precision leaves multiples of
``GRAIN``. Scores that lie half a grain off make its float noise exactly ``NOISE``. What it answers at a step is fed to
the next one, which gives other numbers by ``FED``: where single precision turns a near tie, outputs part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from harness.assets import Assets
from harness.cells import Ask, Scope
from harness.datasets import Sample
from harness.domains import asks
from harness.form import Form
from harness.model import Model
from harness.onnx_graph.edit import MODEL
from harness.postprocess.recognition import Ctc
from harness.reference import Asset, DataSet, Reference
from harness.sizes import BATCH, Point, TensorSpec
from harness.step import Facts, StepInput, step
from harness.store import Store
from harness.workbench import Workbench

OFFSET = 2048.0
GRAIN = 2.0**-12
NOISE = GRAIN / 2
BOUND = 8 * NOISE
FED = 4.0
STEPS = 3
READER = Ctc("abc")
"""Four classes: the blank, a, b and c."""


class FedBack(nn.Module):
    """B x 4 scores of the first step -> 3 x B x 4 of all; each answer lifts the class after it in the next step."""

    def __init__(self) -> None:
        super().__init__()
        self.follow = nn.Parameter(FED * torch.eye(READER.classes).roll(1, 1))
        self.offset = nn.Parameter(torch.full((1,), OFFSET))

    def forward(self, first: Tensor) -> Tensor:
        found = [self.rounded(first)]
        while len(found) < STEPS:
            best = nn.functional.one_hot(found[-1].argmax(dim=1), READER.classes).to(first.dtype)
            found.append(self.rounded(first + best @ self.follow))
        return torch.stack(found)

    def rounded(self, scores: Tensor) -> Tensor:
        """The scores, as good as the precision is beside the offset."""
        return (scores + self.offset) - self.offset


def draw(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """The weights that the network begins with."""
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


def feed(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A row of numbers as it is stored."""
    return np.frombuffer(content, np.float32).reshape(shape)


class Rows:
    """Reads rows of numbers; their ids count them."""

    def __init__(self, path: Path, name: str) -> None:
        self._rows = np.load(path)
        self._name = name

    def __len__(self) -> int:
        return len(self._rows)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """Every row from number ``start`` on."""
        for number, row in enumerate(self._rows[start:], start):
            yield Sample(f"{self._name}/{number}", row.tobytes(), "")

    def facts(self) -> Mapping[str, int | str]:
        """Nothing is to be said of them."""
        return {}

    def close(self) -> None:
        """Nothing is held open."""


def edit(model: onnx.ModelProto, name: str, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    """Changes a parameter of the exported graph."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))


def round_coarser(model: onnx.ModelProto) -> None:
    """Twice the offset: the graph of an honest device, whose arithmetic is another one."""
    edit(model, "offset", lambda offset: 2 * offset)


def follow_another(model: onnx.ModelProto) -> None:
    """Another class is lifted by what was answered: a graph with a fault."""
    edit(model, "follow", lambda follow: np.roll(follow, 1, axis=1))


@step(revision=1)
def coarser(given: StepInput, out: Path) -> Facts:
    """The graph, rounding more coarsely."""
    graph = onnx.load(given.sources[0] / MODEL)
    round_coarser(graph)
    onnx.save(graph, out / MODEL)
    return {}


FORMS = (
    Form(name="weights", parent=None, step="harness.checkpoints.collect:collect", format="weights", params={"seed": 7}),
    Form(name="network", parent="weights", step="harness.networks.load:network_of", format="torch"),
    Form(
        name="onnx",
        parent="network",
        step="harness.onnx_graph.export:torch_to_onnx",
        format="onnx",
        promise="close",
        params={"opset": 11},
    ),
)
COARSER = Form(name="coarser", parent="onnx", step="tests.fed_back:coarser", format="onnx", promise="close")
DATA = Asset(name="rows", patterns=("rows.npy",), licence="none", source="the test")


def declared(toy: Callable[..., Model], form: Form | None = None) -> Model:
    """The declaration of the network, with a form after the exported one where there is one more."""
    data = DataSet(name="rows", reader="tests.fed_back:Rows", n=32, asset=DATA)
    drawn = Reference(name="seeded", initialise="tests.fed_back:draw")
    return toy(
        network="tests.fed_back:FedBack",
        inputs=(TensorSpec(name="x", axes=(BATCH, READER.classes), dtype="float32"),),
        outputs=(TensorSpec(name="y", axes=(STEPS, BATCH, READER.classes), dtype="float32"),),
        points=(Point(batch=8),),
        forms=FORMS if form is None else (*FORMS, form),
        references=(drawn, replace(drawn, name="bundled", data=data)),
        feed="tests.fed_back:feed",
        decode="tests.fed_back:READER.decode",
        metric="harness.metrics.recognition:STRICT",
        compare="tests.fed_back:READER.compare",
        decided="tests.fed_back:READER.decided",
    )


def asked(question: str, model: Model, form: str = "onnx") -> Ask:
    """The question on a form with seeded weights."""
    found = asks(question, {model.name: model}, Scope())
    return next(ask for ask in found if (ask.form.name, ask.reference) == (form, "seeded"))


def bench_on(folder: Path, rows: Sequence[NDArray[np.float32]]) -> Workbench:
    """A workbench whose data are these rows."""
    (folder / "data").mkdir()
    np.save(folder / "data" / "rows.npy", np.stack(rows).astype(np.float32))
    return Workbench(Store(folder / "store"), Assets((folder / "data",)), folder / "scratch")


def certain(count: int) -> list[NDArray[np.float32]]:
    """Rows that differ, each decided by far, with every score half a grain off."""
    rng = np.random.default_rng(0)
    levels = rng.permuted(np.tile([0.0, 0.125, 0.25, 0.5], (count, 1)), axis=1)
    dither = rng.integers(0, 8, (count, 1)) / 128 + np.arange(count)[:, None] / 1024
    return list((levels + dither + NOISE).astype(np.float32))


CLOSE = np.array([0.5, 0.5 + GRAIN, 0, 0], np.float32)
"""Decided by a grain: single precision answers a, and what rounds twice as coarsely the blank."""
TURNED = np.array([0.5, 0.5 + GRAIN / 4, 0, 0], np.float32)
"""Decided by a quarter of a grain: double precision answers a, single precision the blank."""
TIED = np.array([0.5, 0.5, 0, 0], np.float32)
"""Decided by nothing but the order of the classes: any precision answers the blank."""
