"""Packed samples and folders of outputs for tests: a few words, declared as a model's own, and answers to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.datasets import Sample
from harness.datasets.lmdb_words import write_words
from harness.evaluate import Task
from harness.files.packed import Plan
from harness.layout import FileLayout
from harness.metrics.recognition import LOWER_CASED
from harness.model import Model
from harness.postprocess.recognition import LOWER_CTC

FEW = """
from dataclasses import replace

from harness.claim import Claim
from harness.reference import Asset, DataSet
from harness.registry import load_models

CRNN = load_models()["crnn"]
WORDS = Asset(name="few words", patterns=("**/few_lmdb",), licence="none", source="a test")
DATA = DataSet(name="few", reader="harness.datasets.lmdb_words:LmdbWords", asset=WORDS, n=8)
CLAIM = Claim(metric="acc", printed="0.75", hits=6, n=8, source="a test")
OFFICIAL = replace(CRNN.reference("official"), data=DATA, claims=(CLAIM,))
MODEL = replace(CRNN, name="few", references=(OFFICIAL, *CRNN.references[1:]))
"""
"""CRNN with a data set of eight words, of which six were right."""

PLAN = Plan(
    model="toy",
    reference="official",
    data="set",
    declared=None,
    own=True,
    n=6,
    feed="toy:feed",
    input="float32 [2]",
    layout=FileLayout().told,
    point="bs8",
)
"""Of six samples of the toy model."""


def task_of(model: Model, dtype: str = "float32") -> Task:
    """The content of a sample is its input."""
    return Task(model, lambda content, shape: np.frombuffer(content, dtype).reshape(shape), str, LOWER_CASED)


def six(salt: float = 0.0) -> list[Sample]:
    """Samples of the toy model; every other one has an empty truth, the rest a tab in it."""
    return [
        Sample(f"set/{at}", np.array([at, at + salt], np.float32).tobytes(), f"truth\t{at}" if at % 2 else "")
        for at in range(6)
    ]


class Listed:
    """A reader of samples that a test made; remembers how many it gave."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.given = 0
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        for sample in self._samples[start:]:
            self.given += 1
            yield sample

    def facts(self) -> Mapping[str, int | str]:
        """Nothing is to be said of them."""
        return {}

    def close(self) -> None:
        """Nothing is held open."""


def declare_few(folder: Path, words: Sequence[Sample]) -> list[str]:
    """The options that declare the model ``few`` and say where its words lie."""
    for name in ("models", "assets/few_lmdb"):
        (folder / name).mkdir(parents=True)
    (folder / "models" / "few.py").write_text(FEW)
    write_words(folder / "assets" / "few_lmdb", [(word.content, word.truth) for word in words])
    return [f"--models={folder / 'models'}", f"--assets={folder / 'assets'}", f"--store={folder / 'store'}"]


def spelt(text: str) -> np.ndarray:
    """An output of CRNN, steps x classes, that decodes to this text."""
    scores = np.full((26, 37), -9.0, np.float32)
    scores[:, 0] = -1.0
    for place, index in enumerate(LOWER_CTC.encode(text)):
        scores[2 * place, [0, index]] = -9.0, -0.5
    return scores


def answer(folder: Path, texts: Sequence[str], counted_from: int = 0) -> Path:
    """A folder of raw outputs of CRNN that decode to these texts, named as its guide does."""
    folder.mkdir()
    for number, text in enumerate(texts, 1):
        (folder / f"test_{number}_{counted_from}.bin").write_bytes(spelt(text).tobytes())
    return folder


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
