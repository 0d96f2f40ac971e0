"""Checkpoints are read without running what is in them, and what does not fit the network is named."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.checkpoints.collect import collect
from harness.checkpoints.pth import read_pth
from harness.networks.crnn import Crnn
from harness.networks.load import WEIGHTS, check_state, load_network, network_of
from harness.networks.seeded import condition
from harness.step import StepInput
from harness.verdict import Refused

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
NETWORK = {"network": "harness.networks.crnn:Crnn", "network_params": {"width": 0.0625}}


class Command:
    """What a hostile checkpoint holds: unpickling it would run a command."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch '{self.proof}'",)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Seeded weights of a narrow CRNN."""
    return condition(Crnn(width=0.0625), 7)


@pytest.fixture
def saved(tmp_path):
    """Saves an object as a checkpoint, in the zip or in the legacy format, and returns its path."""

    def save(content: object, zipped: bool = True) -> Path:
        path = tmp_path / "checkpoint.pth"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        return path

    return save


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert sorted(found) == sorted(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@FORMATS
class TestReading:
    @pytest.mark.parametrize("prefix", ["", "module."])
    @pytest.mark.parametrize("below", [False, True], ids=["bare", "below state_dict"])
    def test_weights_come_back_as_they_were_saved_under_the_networks_own_keys(
        self, state, saved, zipped, prefix, below
    ):
        published = {prefix + key: value for key, value in state.items()}
        assert_equal(read_pth(saved({"state_dict": published} if below else published, zipped)), state)

    @pytest.mark.parametrize("best", [np.float64(0.7923), np.float32(0.7923), np.int64(2377), 0.7923, None], ids=repr)
    def test_a_best_accuracy_beside_the_weights_does_not_matter(self, state, saved, zipped, best):
        assert_equal(read_pth(saved({"state_dict": state, "best_acc": best, "epoch": 12}, zipped)), state)

    def test_a_prefix_is_removed_only_from_the_front(self, saved, zipped):
        read = read_pth(saved({"module.a.module.b": torch.ones(1)}, zipped))
        assert list(read) == ["a.module.b"]

    def test_a_truncated_file_is_refused_wherever_it_ends(self, state, saved, zipped):
        path = saved(state, zipped)
        whole = path.read_bytes()
        lengths = {*range(0, 60, 3), *np.linspace(60, len(whole) - 1, 60, dtype=int).tolist()}
        passed = []
        for length in sorted(lengths):
            path.write_bytes(whole[:length])
            try:
                read_pth(path)
                passed.append((length, "was read"))
            except Refused:
                continue
            except Exception as error:
                passed.append((length, type(error).__name__))
        assert passed == []

    @pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
    @pytest.mark.parametrize("protocol", [3, 4, 5])
    def test_another_pickle_protocol_is_read_or_refused(self, state, tmp_path, zipped, protocol):
        path = tmp_path / "checkpoint.pth"
        torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        try:
            assert_equal(read_pth(path), state)
        except Refused as refused:
            told = str(refused)
            assert protocol > 3, told

    def test_code_in_a_checkpoint_is_refused_and_not_run(self, state, saved, zipped, tmp_path):
        proof = tmp_path / "proof"
        path = saved({"state_dict": state, "extra": Command(proof)}, zipped)
        with pytest.raises(Refused, match=r"checkpoint\.pth: refused, .*system.* nothing in it was run"):
            read_pth(path)
        assert not proof.exists()

    def test_a_pickled_network_is_refused_with_how_to_save_its_weights(self, saved, zipped):
        with pytest.raises(Refused, match=r"Crnn.*torch\.save\(network\.state_dict\(\), PATH\)"):
            read_pth(saved(Crnn(width=0.0625), zipped))

    @pytest.mark.parametrize(
        "content", [{"epoch": 3, "lr": 0.1}, [1, 2], {"state_dict": {"a": [1.0]}}, torch.ones(3), {"state_dict": None}]
    )
    def test_what_holds_no_tensors_by_key_is_no_state_dict(self, saved, zipped, content):
        with pytest.raises(Refused, match=r"checkpoint\.pth: holds no state dict"):
            read_pth(saved(content, zipped))


class TestOtherFiles:
    @pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
    def test_a_plain_pickle_that_would_run_code_is_refused_and_not_run(self, tmp_path):
        proof, path = tmp_path / "proof", tmp_path / "plain.pth"
        path.write_bytes(pickle.dumps({"state_dict": Command(proof)}))
        with pytest.raises(Refused, match=r"plain\.pth: "):
            read_pth(path)
        assert not proof.exists()

    @pytest.mark.parametrize(
        "content", [b"", b"<html>404</html>", b"PK\x03\x04", b"\x80\x02.", bytes(20), b"\x89PNG\r\n"], ids=repr
    )
    def test_a_file_that_is_no_checkpoint_is_refused(self, tmp_path, content):
        path = tmp_path / "page.pth"
        path.write_bytes(content)
        with pytest.raises(Refused, match=r"page\.pth: "):
            read_pth(path)

    def test_a_damaged_safetensors_file_is_refused(self, state, tmp_path):
        path = tmp_path / "weights.safetensors"
        save_file(state, path)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(Refused, match=r"weights\.safetensors: not a readable safetensors file"):
            collect.build(StepInput(sources=(path,), **NETWORK), tmp_path)

    def test_a_suffix_without_a_reader_is_refused_with_the_known_ones(self, tmp_path):
        with pytest.raises(Refused, match=r"no reader for '\.onnx'; known: .*\.pth.*\.safetensors"):
            collect.build(StepInput(sources=(tmp_path / "model.onnx",), **NETWORK), tmp_path)


class TestCollecting:
    def collected(self, path: Path, out: Path) -> dict[str, torch.Tensor]:
        assert collect.build(StepInput(sources=(path,), **NETWORK), out) == {"keys": 49}
        return load_file(out / WEIGHTS)

    def test_split_directions_are_collected_under_the_keys_of_one_lstm(self, state, saved, tmp_path):
        published = {
            key.replace(".rnn.", ".bw_rnn.").removesuffix("_reverse")
            if key.endswith("_reverse")
            else key.replace(".rnn.", ".fw_rnn."): value
            for key, value in state.items()
        }
        assert "rnn.0.bw_rnn.weight_ih_l0" in published
        assert "rnn.0.fw_rnn.weight_ih_l0" in published
        assert_equal(self.collected(saved({"state_dict": published}), tmp_path), state)

    def test_half_and_double_precision_are_collected_in_single_precision(self, state, saved, tmp_path):
        halved = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        found = self.collected(saved(halved), tmp_path)
        assert {str(value.dtype) for value in found.values()} == {"torch.float32", "torch.int64"}
        assert_equal(
            found, {key: value.float() if value.is_floating_point() else value for key, value in halved.items()}
        )

    def test_weights_that_share_one_buffer_are_collected(self, state, saved, tmp_path):
        # cuDNN keeps the weights of an LSTM as pieces of one buffer, and checkpoints keep them so.
        names = [key for key in state if "rnn.0.rnn." in key]
        buffer = torch.cat([state[name].flatten() for name in names])
        pieces = buffer.split([state[name].numel() for name in names])
        shared = {name: piece.view_as(state[name]) for name, piece in zip(names, pieces, strict=True)}
        assert_equal(self.collected(saved({**state, **shared}), tmp_path), state)

    def test_drawn_weights_are_a_function_of_their_seed(self, tmp_path):
        found = []
        for name, seed in (("a", 7), ("b", 7), ("c", 8)):
            (tmp_path / name).mkdir()
            params = {"initialise": "harness.networks.seeded:condition", "seed": seed}
            collect.build(StepInput(params=params, **NETWORK), tmp_path / name)
            found.append((tmp_path / name / WEIGHTS).read_bytes())
        assert found[0] == found[1] != found[2]


class TestFitting:
    def test_the_published_network_has_its_published_keys_and_size(self):
        network = Crnn()
        lstm = [
            f"{part}_{gate}_l0{way}" for part in ("weight", "bias") for gate in ("ih", "hh") for way in ("", "_reverse")
        ]
        keys = {f"cnn.conv{index}.{part}" for index in range(7) for part in ("weight", "bias")}
        statistics = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        keys |= {f"cnn.batchnorm{index}.{part}" for index in (2, 4, 6) for part in statistics}
        keys |= {f"rnn.{index}.rnn.{name}" for index in (0, 1) for name in lstm}
        keys |= {f"rnn.{index}.embedding.{part}" for index in (0, 1) for part in ("weight", "bias")}
        assert set(network.state_dict()) == keys
        assert sum(parameter.numel() for parameter in network.parameters()) == 8_331_301
        assert sum(parameter.numel() for parameter in Crnn(width=0.25).parameters()) == 526_885

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda state: state.pop("cnn.conv3.bias"), r"1 keys missing \(cnn\.conv3\.bias\), 0 unused"),
            (lambda state: state.update(extra=torch.ones(1)), r"0 keys missing , 1 unused \(extra\)"),
            (
                lambda state: state.update({"cnn.conv0.weight": torch.ones(4, 3, 3, 3)}),
                r"cnn\.conv0\.weight: .*4, 3, 3",
            ),
            (lambda state: state["rnn.1.embedding.bias"].fill_(np.nan), r"rnn\.1\.embedding\.bias: .*not finite"),
            (lambda state: state["cnn.batchnorm2.running_var"][:1].fill_(np.inf), r"running_var: .*not finite"),
        ],
        ids=["missing", "unused", "shape", "NaN", "infinite"],
    )
    def test_a_state_that_does_not_fit_is_refused_with_the_key(self, state, change, told):
        changed = {key: value.clone() for key, value in state.items()}
        change(changed)
        with pytest.raises(Refused, match=told):
            check_state(Crnn(width=0.0625), changed)

    def test_the_state_of_another_width_is_refused(self, state):
        with pytest.raises(Refused, match=r"the checkpoint has shape \[4, 1, 3, 3\], the network \[16, 1, 3, 3\]"):
            check_state(Crnn(width=0.25), state)

    def test_a_network_is_loaded_as_it_was_written_and_ready_to_evaluate(self, state, tmp_path):
        save_file(state, tmp_path / WEIGHTS)
        (tmp_path / "out").mkdir()
        facts = network_of.build(StepInput(sources=(tmp_path,), **NETWORK), tmp_path / "out")
        network = load_network(tmp_path / "out")
        assert facts == {"parameters": sum(parameter.numel() for parameter in network.parameters()), "keys": 49}
        assert not network.training
        assert_equal(network.state_dict(), state)
