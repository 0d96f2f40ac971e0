"""What the tests of the machinery share: a toy declaration, small real graphs, and Python in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from harness.assets import Assets
from harness.datasets import Sample
from harness.datasets.rendered.words import draw_word, encode_png
from harness.form import Form
from harness.model import Model
from harness.reference import Reference
from harness.registry import PROJECT, load_models, resolve
from harness.sizes import BATCH, Point, TensorSpec
from harness.step import StepInput
from harness.store import Store
from harness.workbench import Workbench
from tests.ascend_host import Played, host_in

settings.register_profile("machinery", deadline=None, derandomize=True, database=None, max_examples=40)
settings.load_profile("machinery")

SMALL = {"width": 0.0625}
"""A sixteenth of the published CRNN in every layer: the same graph, node for node."""

Python = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of other people's files beside the project."""
    folder = PROJECT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: it holds assets and samples that the project does not own")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch computes on one thread; more would wait for each other on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def python() -> Python:
    """Starts Python on a script, with the project importable; the caller reads it or waits for it."""

    def start(script: str, *arguments: object, path: Path = PROJECT) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(path), str(PROJECT)]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture(scope="session")
def crnn() -> Model:
    """CRNN as it is declared."""
    return load_models()["crnn"]


@pytest.fixture(scope="session")
def small_forms(crnn: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every form of a narrow CRNN with seeded weights, made by the declared steps: folder by form name."""
    made: dict[str, Path] = {}
    for form in crnn.forms:
        out = tmp_path_factory.mktemp(form.name)
        given = StepInput(
            sources=(made[form.parent],) if form.parent else (),
            params=dict(form.params) | ({} if form.parent else {"initialise": "harness.networks.seeded:condition"}),
            network=crnn.network,
            network_params=SMALL,
            inputs=crnn.inputs,
            outputs=crnn.outputs,
        )
        resolve(form.step).build(given, out)
        made[form.name] = out
    return made


@pytest.fixture(scope="session")
def words() -> list[Sample]:
    """A few rendered words as samples."""
    drawn = [draw_word(2, index) for index in range(8)]
    return [Sample(f"words/{index}", encode_png(picture), label) for index, (picture, label) in enumerate(drawn)]


TOY_FORMS = (
    Form(name="weights", parent=None, step="toy:collect", format="weights"),
    Form(name="network", parent="weights", step="toy:network", format="torch"),
    Form(name="onnx", parent="network", step="toy:export", format="onnx", promise="close"),
)


@pytest.fixture(scope="session")
def toy() -> Callable[..., Model]:
    """Makes a declaration of a toy model; named fields replace what it says. Two numbers in, 3 x batch x 2 out."""

    def declare(**changes: object) -> Model:
        said: dict[str, object] = {
            "name": "toy",
            "title": "Toy",
            "guide": "000",
            "family": "recognition",
            "network": "toy:Network",
            "inputs": (TensorSpec(name="x", axes=(BATCH, 2), dtype="float32"),),
            "outputs": (TensorSpec(name="y", axes=(3, BATCH, 2), dtype="float32"),),
            "points": (Point(batch=1), Point(batch=8)),
            "accuracy_batch": 8,
            "forms": TOY_FORMS,
            "main": "onnx",
            "references": (Reference(name="seeded", initialise="toy:draw"),),
            "feed": "toy:feed",
            "decode": "toy:decode",
            "metric": "toy:Metric",
            "compare": "toy:compare",
        }
        return Model(**{**said, **changes})

    return declare


@pytest.fixture(scope="session")
def ascend_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Forms are built once; what is compiled is kept too, where a test does not ask for a store of its own."""
    return Store(tmp_path_factory.mktemp("ascend") / "store")


@pytest.fixture
def host(ascend_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    """A host whose Ascend tools are only played, for CRNN with the bundled weights."""
    with host_in(tmp_path, monkeypatch) as calls:
        bench = Workbench(ascend_store, Assets(), tmp_path / "scratch")
        yield Played(bench, load_models()["crnn"], calls, monkeypatch.setenv)
