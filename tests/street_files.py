"""Tiny street scenes for tests of files: a declared model of 4 x 6 pixels that packs batches of four, and its tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from harness.datasets import DataError, Sample
from harness.evaluate import Task
from harness.files.packed import Plan
from harness.layout import FileLayout
from harness.metrics.segmentation import CITYSCAPES
from harness.model import Model
from harness.sizes import BATCH, Point, TensorSpec

SIZE = (4, 6)
LAYOUT = FileLayout(
    inputs="imgs", input="image_bin{i}.bin", output="image_bin{i}_{k}", labels="labels/label_bin{i}.bin", batched=True
)
"""As preprocess.py of guide 002 writes them."""
X = TensorSpec(name="x", axes=(BATCH, 3, *SIZE), dtype="float32")
Y = TensorSpec(name="y", axes=(BATCH, *SIZE), dtype="int64")
TINY = """
from dataclasses import replace

from harness.claim import Claim
from harness.reference import Asset, DataSet, Reference
from harness.registry import load_models
from harness.sizes import Point
from tests.street_files import LAYOUT, X, Y

STREETS = Asset(name="few streets", patterns=("**/few_streets",), licence="none", source="a test")
DATA = DataSet(name="few", reader="tests.street_files:Streets", asset=STREETS, n=6)
CRNN = load_models()["crnn"]
MODEL = replace(
    CRNN,
    name="tiny",
    family="segmentation",
    inputs=(X,),
    outputs=(Y,),
    points=(Point(batch=4), Point(batch=1)),
    accuracy_batch=4,
    references=(
        Reference(
            name="official",
            weights=CRNN.reference("official").weights,
            data=DATA,
            claims=(Claim(metric="accuracy", printed="1.0", source="a test", precisions=("fp16",)),),
        ),
    ),
    feed="tests.street_files:feed",
    decode="tests.street_files:decode",
    metric="harness.metrics.segmentation:CITYSCAPES",
    layout=LAYOUT,
    recipes={},
    training=None,
)
"""


def feed(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The content of a sample is its input."""
    return np.frombuffer(content, np.float32).reshape(shape)


def decode(value: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The answer, of logits or of classes."""
    assert value.shape[-2:] == size
    return (value.argmax(axis=0) if value.ndim == 3 else value).astype(np.uint8)


@dataclass(frozen=True)
class Stored:
    """A label in a file of NumPy's."""

    path: Path

    def pixels(self) -> np.ndarray:
        """As it is stored."""
        if not self.path.exists():
            raise DataError(f"{self.path}: not there")
        return np.load(self.path)


class Streets:
    """Pairs of inputs and labels in a folder: ``0.x.npy`` and ``0.y.npy``."""

    def __init__(self, folder: Path, name: str) -> None:
        if not (folder / "0.x.npy").exists():
            raise DataError(f"{folder}: holds no 0.x.npy")
        self._folder, self._name = folder, name

    def __len__(self) -> int:
        return len(list(self._folder.glob("*.x.npy")))

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """In the order of their numbers."""
        for number in range(start, len(self)):
            content = np.load(self._folder / f"{number}.x.npy").tobytes()
            label = Stored(self._folder / f"{number}.y.npy")
            yield Sample(f"{self._name}/{number}", content, f"{number}.y.npy", label.pixels().shape, label)

    def facts(self) -> Mapping[str, int | str]:
        """Nothing is to be said of them."""
        return {}

    def close(self) -> None:
        """Nothing is held open."""


def write_streets(folder: Path, n: int, size: tuple[int, int] = SIZE) -> Path:
    """A folder of streets. What will be answered to each is the first plane of its input; two of 24 pixels or so are
    labelled otherwise, and some not."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(n)
    for number in range(n):
        classes = draw.integers(0, 19, size)
        np.save(folder / f"{number}.x.npy", np.stack([classes, classes * 0.5, -classes]).astype(np.float32))
        wrong, ignored = draw.random(size) < 0.1, draw.random(size) < 0.1
        label = np.where(ignored, 255, np.where(wrong, (classes + 1) % 19, classes)).astype(np.uint8)
        np.save(folder / f"{number}.y.npy", label)
    return folder


def declare_tiny(folder: Path, n: int = 6) -> list[str]:
    """The options that declare the model ``tiny`` and say where its streets lie."""
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "tiny.py").write_text(TINY)
    write_streets(folder / "assets" / "few_streets", n)
    return [f"--models={folder / 'models'}", f"--assets={folder / 'assets'}", f"--store={folder / 'store'}"]


def streets_model(toy: Callable[..., Model], batch: int, size: tuple[int, int] = SIZE, **changes: object) -> Model:
    """The same in process, of another batch or size."""
    inputs = TensorSpec(name="x", axes=(BATCH, 3, *size), dtype="float32")
    outputs = TensorSpec(name="y", axes=(BATCH, *size), dtype="int64")
    said = {
        "family": "segmentation",
        "points": (Point(batch=batch),),
        "accuracy_batch": batch,
        "layout": LAYOUT,
        "feed": "tests.street_files:feed",
        "decode": "tests.street_files:decode",
        "metric": "harness.metrics.segmentation:CITYSCAPES",
    }
    return toy(**{**said, "inputs": (inputs,), "outputs": (outputs,), **changes})


def task_of(model: Model) -> Task:
    """How its samples are fed and scored."""
    return Task(model, feed, decode, CITYSCAPES)


def plan_of(model: Model, n: int) -> Plan:
    """Of so many samples of it."""
    return Plan(
        model="toy",
        reference="official",
        data="few",
        declared=None,
        own=True,
        n=n,
        feed="tests.street_files:feed",
        input="float32",
        layout=model.layout.told,
        point=model.points[0].id,
        batch=model.layout.held(model.points[0].batch),
    )


MSAME, AIS_BENCH = "{stem}_output_0", "{stem}_0"


def as_text(value: np.ndarray) -> bytes:
    """As msame prints: a line for each row of the last axis, with a blank at its end."""
    return "".join(" ".join(map(str, row)) + " \n" for row in value.reshape(-1, value.shape[-1]).tolist()).encode()


def run_tool(inputs: Path, to: Path, suffix: str = ".txt", name: str = MSAME, dtype: str = "int64") -> Path:
    """Answers each file of a folder, which holds a whole batch, in the order of their names as texts."""
    to.mkdir()
    for path in sorted(inputs.iterdir()):
        classes = np.fromfile(path, np.float32).reshape(-1, 3, *SIZE)[:, 0].astype(dtype)
        file = to / f"{name.format(stem=path.stem)}{suffix}"
        if suffix == ".npy":
            np.save(file, classes)
        else:
            file.write_bytes(as_text(classes) if suffix == ".txt" else classes.tobytes())
    return to


def exchanged(one: str, other: str) -> Callable[[Path], None]:
    """Exchanges two files of a folder."""

    def spoil(folder: Path) -> None:
        contents = (folder / one).read_bytes(), (folder / other).read_bytes()
        (folder / other).write_bytes(contents[0])
        (folder / one).write_bytes(contents[1])

    return spoil


def cut(name: str, count: int = 4) -> Callable[[Path], object]:
    """Cuts so many bytes off a file of a folder."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-count])


def right(streets: Streets, count: int) -> tuple[int, int]:
    """How many pixels of the first samples are answered right, and how many count."""
    correct = counted = 0
    for sample in islice(streets.samples(), count):
        answer = np.frombuffer(sample.content, np.float32).reshape(3, *SIZE)[0]
        truth = sample.label.pixels()
        correct += int((answer == truth).sum())
        counted += int((truth != 255).sum())
    return correct, counted
