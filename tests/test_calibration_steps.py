"""The steps of calibration: from a data set to statistics, and from them to ranges, by each rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.datasets import DataError, Sample
from harness.declaration import DeclarationError
from harness.onnx_graph.edit import MODEL
from harness.quantize.calibrate import SAMPLES, ranges, statistics
from harness.quantize.ranges import RANGES, read_ranges
from harness.quantize.tensor_statistics import STATISTICS, read_statistics, write_statistics
from harness.sizes import BATCH, TensorSpec
from harness.step import StepInput
from harness.store import Store
from harness.verdict import Refused
from tests.calibration_graphs import ITEM, gated


class Numbers:
    """A set of so many samples, whose content is their number; one may be spoilt."""

    def __init__(self, path: Path, name: str, spoilt: int = -1) -> None:
        self._count, self._name, self._spoilt = int(path.read_text()), name, spoilt
        self.closed = False
        OPENED.append(self)

    def __len__(self) -> int:
        return self._count

    def samples(self, start: int = 0) -> Iterator[Sample]:
        for number in range(start, self._count):
            yield Sample(f"{self._name}/{number}", b"" if number == self._spoilt else b"%d" % number, "")

    def close(self) -> None:
        self.closed = True


OPENED: list[Numbers] = []


def feed(content: bytes, item: tuple[int, ...]) -> NDArray[np.float32]:
    """A picture that is drawn from the sample's number; of number 13 one with NaN."""
    number = int(content)
    drawn = np.random.default_rng(number).normal(0, 1 + number, item).astype(np.float32)
    return np.full_like(drawn, np.nan) if number == 13 else drawn


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("form")
    return gated(folder / MODEL).parent


@pytest.fixture
def asked(graph: Path, tmp_path: Path) -> StepInput:
    (tmp_path / "set").write_text("20")
    return StepInput(
        sources=(graph, tmp_path / "set"),
        params={
            "reader": "tests.test_calibration_steps:Numbers",
            "name": "set",
            "feed": "tests.test_calibration_steps:feed",
            "numbers": "2 5 11",
        },
        inputs=(TensorSpec(name="x", axes=(BATCH, *ITEM), dtype="float32"),),
    )


def made(step_input: StepInput, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    statistics.build(step_input, folder)
    return folder


def with_params(asked: StepInput, **params: object) -> StepInput:
    return replace(asked, params={**asked.params, **{name.replace("__", "."): said for name, said in params.items()}})


def test_statistics_say_which_samples_they_are_of(asked: StepInput, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    facts = statistics.build(asked, tmp_path / "out")
    assert facts == {"samples": 3, "tensors": 9, "constant": ""}
    assert json.loads((tmp_path / "out" / SAMPLES).read_text()) == {
        "set": "set",
        "ids": ["set/2", "set/5", "set/11"],
        "digests": [hashlib.sha256(content).hexdigest() for content in (b"2", b"5", b"11")],
        "inputs": [hashlib.sha256(feed(content, ITEM).tobytes()).hexdigest() for content in (b"2", b"5", b"11")],
    }
    found = read_statistics(tmp_path / "out" / STATISTICS)["x"]
    pictures = np.stack([feed(content, ITEM) for content in (b"2", b"5", b"11")])
    assert (found.lowest, found.highest, found.values.count) == (pictures.min(), pictures.max(), pictures.size)
    assert OPENED[-1].closed


def test_other_pictures_of_the_same_samples_show_in_the_record(
    asked: StepInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swapped colours change neither content nor accuracy, and hardly a range."""
    before = json.loads((made(asked, tmp_path / "before") / SAMPLES).read_text())
    upright = feed
    monkeypatch.setattr("tests.test_calibration_steps.feed", lambda content, item: upright(content, item)[::-1].copy())
    after = json.loads((made(asked, tmp_path / "after") / SAMPLES).read_text())
    assert before["digests"] == after["digests"]
    assert not set(before["inputs"]) & set(after["inputs"])


@pytest.mark.parametrize(
    ("rule", "bits"), [("minmax", 8), ("minmax", 16), ("mse", 8), ("mse", 16), ("percentile", 8), ("kl", 8)]
)
def test_ranges_follow_from_statistics_by_the_rule(asked: StepInput, tmp_path: Path, rule: str, bits: int) -> None:
    held = made(asked, tmp_path / "held")
    given = StepInput(sources=(held, asked.sources[0]), params={"rule": rule, "percentile": 99.0, "bits": bits})
    facts = ranges.build(given, tmp_path)
    found, observed = read_ranges(tmp_path / RANGES), read_statistics(held / STATISTICS)
    assert found.keys() == observed.keys()
    assert (facts["rule"], facts["tensors"], facts["constant"]) == (rule, 9, "")
    whole = {name: (min(one.lowest, 0.0), max(one.highest, 0.0)) for name, one in observed.items()}
    assert facts["cut"] == sum(found[name] != whole[name] for name in found)
    # Of three small pictures KL has too few values, and sixteen bits are enough for all of them.
    assert bool(facts["cut"]) == (bits == 8 and rule in ("mse", "percentile"))
    assert found["y"] == whole["y"], "an output is never cut off"
    assert (tmp_path / SAMPLES).read_bytes() == (held / SAMPLES).read_bytes()


def test_kl_at_sixteen_bits_is_refused(asked: StepInput, graph: Path, tmp_path: Path) -> None:
    given = StepInput(
        sources=(made(asked, tmp_path / "held"), graph), params={"rule": "kl", "percentile": 99.0, "bits": 16}
    )
    with pytest.raises(DeclarationError, match="kl at 16 bits"):
        ranges.build(given, tmp_path)


def test_samples_that_cannot_be_calibrated_on_are_named(asked: StepInput, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set/13: 192 of 192 numbers of x are NaN or infinite"):
        made(with_params(asked, numbers="2 13"), tmp_path / "out")
    with pytest.raises(DataError, match=r"set/5: cannot be prepared: invalid literal .*; 0 bytes"):
        made(with_params(asked, option__spoilt=5), tmp_path / "out")
    assert OPENED[-1].closed
    assert not list((tmp_path / "out").iterdir())


def test_fewer_samples_than_are_asked_are_told(asked: StepInput, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"asks for 2 samples up to number 20, of a set of 20; expected at least one"):
        made(with_params(asked, numbers="2 20"), tmp_path / "out")
    with pytest.raises(DataError, match=r"asks for 0 samples"):
        made(with_params(asked, numbers=""), tmp_path / "out")
    (tmp_path / "set").write_text("0")
    with pytest.raises(DataError, match=r"of a set of 0; expected at least one"):
        made(asked, tmp_path / "out")


def test_statistics_of_another_graph_are_refused(asked: StepInput, graph: Path, tmp_path: Path) -> None:
    """A tensor that is missing would stay float, or stop the quantiser without saying why."""
    held = made(asked, tmp_path / "held")
    whole = read_statistics(held / STATISTICS)
    given = StepInput(sources=(held, graph), params={"rule": "minmax", "percentile": 99.0, "bits": 8})
    write_statistics(held / STATISTICS, {name: one for name, one in whole.items() if name != "gate"})
    with pytest.raises(Refused, match=r"statistics\.npz: gate is missing, with 1 of 9 tensors; build it anew"):
        ranges.build(given, tmp_path)
    write_statistics(held / STATISTICS, whole | {"another": whole["gate"]})
    with pytest.raises(Refused, match=r"another is no tensor of the graph that is calibrated"):
        ranges.build(given, tmp_path)


def test_a_constant_tensor_is_told_as_a_fact(
    asked: StepInput, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.test_calibration_steps.feed", lambda content, item: np.zeros(item, np.float32))
    (tmp_path / "held").mkdir()
    everything = "conv flat gate pooled product relu second x y"
    named = statistics.build(asked, tmp_path / "held")["constant"]
    assert set(str(named).split()) <= set(everything.split())
    assert {"x", "conv", "relu", "second", "y"} <= set(str(named).split())
    given = StepInput(sources=(tmp_path / "held", graph), params={"rule": "mse", "percentile": 99.0, "bits": 8})
    assert "second" in str(ranges.build(given, tmp_path)["constant"]).split()
    assert read_ranges(tmp_path / RANGES)["second"] == (0.0, 0.0)


def test_calibrating_twice_makes_the_same_bytes(asked: StepInput, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    artefacts = [
        store.get(name, statistics.key_parts(asked), lambda out: statistics.build(asked, out))
        for name in ("one", "other")
    ]
    assert artefacts[0].digest == artefacts[1].digest
    assert artefacts[0].key == artefacts[1].key
    other = with_params(asked, numbers="2 5 12")
    assert statistics.key_parts(other) != statistics.key_parts(asked)
