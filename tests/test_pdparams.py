"""What Paddle's training saved is read under the keys of a torch network, and what does not fit it is named."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.checkpoints.collect import collect
from harness.checkpoints.pdparams import read_pdparams
from harness.networks.load import WEIGHTS, check_state, load_network, network_of
from harness.networks.rare import Rare
from harness.step import StepInput
from harness.verdict import Refused

SMALL = {"width": 0.125, "hidden": 16}
NETWORK = {"network": "harness.networks.rare:Rare", "network_params": SMALL}
NAMES = "StructuredToParameterName@@"
LINEAR = (
    "transform.loc_net.fc1",
    "transform.loc_net.fc2",
    "transform.grid_generator.fc",
    "head.attention_cell.i2h",
    "head.attention_cell.h2h",
    "head.attention_cell.score",
    "head.generator",
)
LSTM = "neck.encoder.lstm"
PARTS = [f"{part}_{gate}" for part in ("weight", "bias") for gate in ("ih", "hh")]
CELLS = {
    f"{LSTM}.{part}_l{layer}{reverse}": f"{LSTM}.{layer}.cell_{way}.{part}"
    for layer in (0, 1)
    for way, reverse in (("fw", ""), ("bw", "_reverse"))
    for part in PARTS
}
"""The two names under which Paddle stores each weight of the network's LSTM."""

WORDS = (
    "20 9 23 11 8 8 11 11 8 11 11 11 6 6 6 6 13 13 13 13 11 11 30 11 13",
    "20 9 9 23 8 26 9 4 23 11 11 28 24 25 25 26 26 13 13 17 22 26 34 34 34",
)
"""What PaddlePaddle 2.6.2 reads in two pictures with the weights of these tests, built from Paddle's own layers."""
PROBABILITIES = (
    "277 413 190 236 313 246 208 235 214 233 268 253 326 531 484 414 408 486 364 223 248 296 201 230 221",
    "219 351 216 235 269 175 142 212 284 678 219 154 317 345 302 344 148 292 409 146 157 185 193 216 265",
)
"""Of its classes, in thousandths."""

Saved = Callable[[object], Path]
Arrays = dict[str, Any]


def drawn(network: nn.Module) -> dict[str, Tensor]:
    """Weights with which the network reads something, a function of its keys and shapes alone."""
    rng = np.random.default_rng(7)
    state = network.state_dict()
    for key, tensor in sorted(state.items()):
        noise = torch.from_numpy(rng.standard_normal(tuple(tensor.shape)).astype(np.float32))
        if key.startswith(("transform.loc_net.fc2", "transform.grid_generator.fc")):
            state[key] = tensor + 0.02 * noise
        elif tensor.ndim > 1:
            gain = {"neck": 2, "head": 4}.get(key.split(".")[0], 1.5)
            state[key] = noise * (gain / tensor[0].numel() ** 0.5)
        elif key.endswith(("weight", "running_var")):
            state[key] = 1 + 0.2 * torch.tanh(noise)
        elif tensor.is_floating_point():
            state[key] = 0.1 * noise
    return state


def as_paddle(state: Mapping[str, Tensor]) -> Arrays:
    """What ``paddle.save`` would keep of these weights; every array has a place of its own."""
    arrays: Arrays = {}
    for key, tensor in state.items():
        owner, _, name = key.rpartition(".")
        name = {"running_mean": "_mean", "running_var": "_variance"}.get(name, name)
        array = tensor.numpy().T if owner in LINEAR and name == "weight" else tensor.numpy()
        if name != "num_batches_tracked":
            arrays[f"{owner}.{name}"] = np.array(array, order="C")
    arrays |= {cell: arrays[key].copy() for key, cell in CELLS.items()}
    return arrays | {NAMES: {key: f"linear_{index}.w_0" for index, key in enumerate(arrays)}}


def same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether two states hold the same numbers, of the same types, under the same keys."""
    return found.keys() == expected.keys() and all(
        found[key].dtype == expected[key].dtype and torch.equal(found[key], expected[key]) for key in expected
    )


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return drawn(Rare(**SMALL))


@pytest.fixture
def arrays(state: dict[str, Tensor]) -> Arrays:
    """What Paddle would have saved of the state, for the test to change."""
    return as_paddle(state)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Writes an object as a ``.pdparams`` file, over the one before, and returns its path."""
    path = tmp_path_factory.mktemp("saved") / "best_accuracy.pdparams"

    def save(content: object) -> Path:
        path.write_bytes(pickle.dumps(content, 4))
        return path

    return save


@pytest.fixture
def through(scratch: Saved, tmp_path: Path) -> Callable[[object], Path]:
    """Takes a saved object through both steps from a checkpoint to a network, and returns the network's folder."""

    def build(content: object) -> Path:
        weights, network = tmp_path / "weights", tmp_path / "network"
        weights.mkdir()
        network.mkdir()
        collect.build(StepInput(sources=(scratch(content),), **NETWORK), weights)
        network_of.build(StepInput(sources=(weights,), **NETWORK), network)
        return network

    return build


class TestReading:
    def test_what_paddle_saved_is_the_whole_state_of_the_network(self, state, arrays, scratch):
        assert len(arrays) == 263 + 1
        found = read_pdparams(scratch(arrays), Rare(**SMALL))
        assert len(found) == 290
        assert same(found, state)

    @given(kept=st.lists(st.sampled_from([(0,), (1,), (0, 1)]), min_size=len(CELLS), max_size=len(CELLS)))
    def test_a_recurrent_weight_is_read_under_either_of_its_names(self, scratch, kept):
        neck = Rare(**SMALL).neck
        state = neck.state_dict()
        arrays = {
            names[number].removeprefix("neck."): state[names[0].removeprefix("neck.")].numpy()
            for names, numbers in zip(CELLS.items(), kept, strict=True)
            for number in numbers
        }
        assert same(read_pdparams(scratch(arrays), neck), state)

    @pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
    def test_weights_of_any_precision_and_byte_order_are_read(self, state, arrays, scratch, dtype):
        content = {key: value if key == NAMES else value.astype(dtype) for key, value in arrays.items()}
        found = read_pdparams(scratch(content), Rare(**SMALL))
        kind = {"2": torch.float16, "4": torch.float32, "8": torch.float64}[dtype[-1]]
        assert same(
            found, {key: value.to(kind) if value.is_floating_point() else value for key, value in state.items()}
        )

    def test_only_linear_weights_are_turned_however_square_they_are(self, scratch):
        class Toy(nn.Module):
            """Square weights, one direction, and norms of every kind."""

            def __init__(self) -> None:
                super().__init__()
                self.fc = nn.Linear(4, 4)
                self.table = nn.Embedding(4, 4)
                self.norms = nn.Sequential(nn.LayerNorm(4), nn.BatchNorm1d(4))
                self.gru = nn.GRU(4, 4)
                self.mean = nn.ParameterDict({"_mean": torch.zeros(4)})

        state = drawn(Toy())
        arrays: Arrays = {key: value.numpy() for key, value in state.items() if "num_batches" not in key}
        arrays["fc.weight"] = arrays["fc.weight"].T
        arrays["norms.1._mean"] = arrays.pop("norms.1.running_mean")
        arrays["norms.1._variance"] = arrays.pop("norms.1.running_var")
        for part in PARTS:
            arrays[f"gru.0.cell.{part}"] = arrays.pop(f"gru.{part}_l0")
        assert same(read_pdparams(scratch(arrays), Toy()), state)

    def test_a_read_network_gives_what_paddle_gives(self, arrays, through):
        network = load_network(through(arrays)).double()
        small = np.random.default_rng(1).uniform(-1, 1, (2, 3, 4, 10)).astype(np.float32)
        pictures = nn.functional.interpolate(torch.from_numpy(small), (32, 100), mode="bilinear")
        with torch.inference_mode():
            best = network(pictures.double()).max(dim=2)
        assert [" ".join(map(str, word)) for word in best.indices.tolist()] == list(WORDS)
        recorded = np.array([line.split() for line in PROBABILITIES], float) / 1000
        assert np.abs(best.values.numpy() - recorded).max() < 2e-3


class TestFitting:
    def test_a_whole_file_goes_through_both_steps(self, state, arrays, through):
        assert same(load_file(through(arrays) / WEIGHTS), state)

    @pytest.mark.parametrize(
        ("gone", "told"),
        [
            (["backbone.conv1_1._conv.weight"], "backbone.conv1_1._conv.weight"),
            (["backbone.bb_1_0.short._batch_norm._mean"], "backbone.bb_1_0.short._batch_norm.running_mean"),
            (["transform.loc_net.loc_conv0.bn._variance"], "transform.loc_net.loc_conv0.bn.running_var"),
            (["head.attention_cell.score.weight"], "head.attention_cell.score.weight"),
            (["head.attention_cell.rnn.bias_hh"], "head.attention_cell.rnn.bias_hh"),
            (
                ["neck.encoder.lstm.weight_hh_l1_reverse", "neck.encoder.lstm.1.cell_bw.weight_hh"],
                "neck.encoder.lstm.weight_hh_l1_reverse",
            ),
        ],
    )
    def test_a_weight_that_is_missing_is_told_by_the_networks_name(self, arrays, through, gone, told):
        for key in gone:
            del arrays[key]
        with pytest.raises(Refused) as refused:
            through(arrays)
        assert f"1 keys missing ({told}), 0 unused" in str(refused.value)

    @pytest.mark.parametrize(
        "extra",
        [
            "head.extra.weight",
            "neck.encoder.lstm.weight_ih_l2",
            "neck.encoder.lstm.2.cell_fw.weight_ih",
            "neck.encoder.lstm.0.cell.weight_ih_",
            "neck.encoder.0.cell_bw.weight_ih",
            "head.attention_cell.i2h._mean",
            "bias",
            "",
        ],
    )
    def test_a_weight_that_nothing_uses_is_told_by_its_name_in_the_file(self, arrays, through, extra):
        arrays[extra] = np.ones(2, np.float32)
        with pytest.raises(Refused) as refused:
            through(arrays)
        assert f"0 keys missing , 1 unused ({extra})" in str(refused.value)

    @pytest.mark.parametrize(
        ("key", "shape", "told"),
        [
            ("backbone.conv1_2._conv.weight", (8, 8, 1, 1), r"has shape \[8, 8, 1, 1\], the network \[8, 8, 3, 3\]"),
            ("head.generator.weight", (38, 16), r"has shape \[16, 38\], the network \[38, 16\]"),
            ("head.generator.weight", (16,), r"has shape \[16\], the network \[38, 16\]"),
            ("head.attention_cell.rnn.weight_hh", (16, 48), r"has shape \[16, 48\], the network \[48, 16\]"),
            ("head.attention_cell.rnn.bias_ih", (), r"has shape \[\], the network \[48\]"),
        ],
    )
    def test_a_weight_of_another_shape_is_told_with_its_name(self, arrays, through, key, shape, told):
        arrays[key] = np.ones(shape, np.float32)
        with pytest.raises(Refused, match=rf"{key}: the checkpoint {told}"):
            through(arrays)

    @pytest.mark.parametrize("names", CELLS.items(), ids=CELLS)
    def test_copies_of_a_recurrent_weight_that_differ_are_told(self, arrays, scratch, names):
        arrays[names[1]].flat[-1] += 1
        with pytest.raises(Refused, match=r"{}: {} and {} should be copies .*differ".format(r".*\.pdparams", *names)):
            read_pdparams(scratch(arrays), Rare(**SMALL))

    def test_copies_of_another_shape_differ(self, arrays, scratch):
        key, cell = next(iter(CELLS.items()))
        arrays[cell] = arrays[key][:1]
        with pytest.raises(Refused, match=rf"{key} and {cell} should be copies"):
            read_pdparams(scratch(arrays), Rare(**SMALL))

    def test_a_number_that_is_not_finite_is_told_as_such_even_if_it_is_there_twice(self, arrays, through):
        for key in next(iter(CELLS.items())):
            arrays[key].flat[0] = np.nan
        with pytest.raises(Refused, match=r"lstm\.weight_ih_l0: holds a number that is not finite"):
            through(arrays)


class Command:
    """What a hostile file holds: unpickling it would run a command."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch '{self.proof}'",)


class TestOtherFiles:
    def test_code_in_a_file_is_refused_and_not_run(self, arrays, through, tmp_path):
        proof = tmp_path / "proof"
        with pytest.raises(Refused, match=r"best_accuracy\.pdparams: refused, .*system; nothing in it was run"):
            through({**arrays, "extra": Command(proof)})
        assert not proof.exists()

    @pytest.mark.parametrize("length", [0, 1, 100, 10_000, -1])
    def test_a_truncated_file_is_refused(self, arrays, scratch, length):
        path = scratch(arrays)
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(Refused, match=r"best_accuracy\.pdparams: truncated"):
            read_pdparams(path, Rare(**SMALL))

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            ([np.ones(2, np.float32)], "list"),
            (np.ones(2, np.float32), "ndarray"),
            ({}, "none"),
            ({NAMES: {}}, "none"),
            ({"state_dict": {"a": np.ones(2, np.float32)}}, "dict under 'state_dict'"),
            ({"a": ("linear_0.w_0", np.ones(2, np.float32))}, "tuple under 'a'"),
            ({"a": [1.0, 2.0]}, "list under 'a'"),
            ({"LR_Scheduler": {"last_lr": 0.1}}, "dict under 'LR_Scheduler'"),
            ({3: np.ones(2, np.float32)}, "ndarray under 3"),
            ({"a": np.ones(2, np.uint16)}, "an array of uint16 under 'a'"),
            ({"a": np.ones(2, np.int64)}, "an array of int64 under 'a'"),
            ({"a": np.ones(2, np.complex64)}, "an array of complex64 under 'a'"),
            ({"a": np.ones(2, bool)}, "an array of bool under 'a'"),
        ],
        ids=str,
    )
    def test_what_holds_anything_but_weights_is_refused_with_what_it_holds(self, scratch, content, found):
        with pytest.raises(Refused) as refused:
            read_pdparams(scratch(content), Rare(**SMALL))
        told = str(refused.value)
        assert f"pdparams: holds no weights: expected floating-point arrays by key, found {found}; give the " in told
        assert "paddle.save(network.state_dict(), PATH)" in told

    def test_the_suffix_is_among_the_known_ones(self, tmp_path):
        with pytest.raises(Refused, match=r"no reader for '\.pdopt'; known: .*\.pth.*\.pdparams"):
            collect.build(StepInput(sources=(tmp_path / "best_accuracy.pdopt",), **NETWORK), tmp_path)

    def test_weights_of_another_width_are_refused(self, arrays, scratch):
        with pytest.raises(Refused, match=r"the checkpoint has shape .*, the network "):
            check_state(network := Rare(), read_pdparams(scratch(arrays), network))
