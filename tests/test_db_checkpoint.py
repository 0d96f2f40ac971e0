"""Published checkpoints of DB load key for key, and what is left out of them is declared and counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.checkpoints.collect import collect
from harness.networks.db import DbNet
from harness.networks.load import WEIGHTS, load_network, network_of
from harness.networks.seeded import condition
from harness.step import Facts, StepInput
from harness.verdict import Refused

WIDTH = 0.0625
BOTH = pytest.mark.parametrize("deformable", [False, True], ids=["plain", "deformable"])
PREFIX = "model.module."
EXTRA = {
    "backbone.fc.weight": (1000, 128),
    "backbone.fc.bias": (1000,),
    "backbone.smooth.weight": (16, 128, 1, 1),
    "backbone.smooth.bias": (16,),
    "decoder.thresh.0.weight": (4, 16, 3, 3),
    "decoder.thresh.1.running_var": (4,),
    "decoder.thresh.3.bias": (4,),
    "decoder.thresh.6.weight": (4, 1, 2, 2),
}
ALWAYS = "backbone.fc.* 2, backbone.smooth.* 2, decoder.thresh.* 4"


@pytest.fixture(scope="module")
def states() -> dict[bool, dict[str, Tensor]]:
    """Seeded weights of a narrow network, by whether it is deformable."""
    return {deformable: condition(DbNet(width=WIDTH, deformable=deformable), 7) for deformable in (False, True)}


@pytest.fixture
def published(states) -> dict[str, Tensor]:
    """A checkpoint as its authors' training saves it: the deformable network, and what only training needs."""
    state = states[True] | {key: torch.ones(shape) for key, shape in EXTRA.items()}
    return {PREFIX + key: tensor for key, tensor in state.items()}


def loaded(state: dict[str, Tensor], folder: Path, *, deformable: bool) -> tuple[Facts, Path]:
    """The facts of the collected checkpoint, and the folder of its network."""
    torch.save(state, folder / "checkpoint.pth")
    collected, made = folder / "collected", folder / "made"
    for each in (collected, made):
        each.mkdir()
    network = {"network": "harness.networks.db:DbNet", "network_params": {"width": WIDTH, "deformable": deformable}}
    facts = collect.build(StepInput(sources=(folder / "checkpoint.pth",), **network), collected)
    network_of.build(StepInput(sources=(collected,), **network), made)
    return facts, made


def test_it_loads_and_what_is_left_out_is_counted_by_pattern(states, published, tmp_path):
    facts, made = loaded(published, tmp_path, deformable=True)
    own = states[True]
    assert facts == {"keys": len(own), "dropped": 8, "dropped_keys": ALWAYS}
    found = load_network(made).state_dict()
    assert all(torch.equal(found[key], own[key]) for key in own)


def test_the_plain_network_takes_it_without_its_offsets(states, published, tmp_path):
    facts, made = loaded(published, tmp_path, deformable=False)
    assert (facts["dropped"], facts["dropped_keys"]) == (34, f"backbone.*.conv2_offset.* 26, {ALWAYS}")
    found, own = load_network(made).state_dict(), states[True]
    assert all(torch.equal(found[key], own[key]) for key in found)
    assert len(found) == len(own) - 26 == facts["keys"]


def test_own_weights_are_taken_whole(states, tmp_path):
    save_file(states[False], tmp_path / "own.safetensors")
    given = StepInput(
        sources=(tmp_path / "own.safetensors",),
        network="harness.networks.db:DbNet",
        network_params={"width": WIDTH},
    )
    facts = collect.build(given, tmp_path)
    assert facts == {"keys": len(states[False])}
    assert load_file(tmp_path / WEIGHTS).keys() == states[False].keys()


@pytest.mark.parametrize("key", ["backbone.fc2.weight", "decoder.threshold.0.weight", "criterion.weight", "fc.bias"])
def test_any_other_key_is_refused(published, tmp_path, key):
    with pytest.raises(Refused, match=f"0 keys missing , 1 unused .{key}"):
        loaded(published | {PREFIX + key: torch.ones(1)}, tmp_path, deformable=True)


@pytest.mark.parametrize("key", ["backbone.layer4.2.conv2_offset.bias", "decoder.binarize.6.weight"])
def test_a_key_that_is_missing_is_refused(published, tmp_path, key):
    del published[PREFIX + key]
    with pytest.raises(Refused, match=f"1 keys missing .{key}"):
        loaded(published, tmp_path, deformable=True)


def test_a_plain_checkpoint_is_no_deformable_one(states, tmp_path):
    with pytest.raises(Refused, match="26 keys missing"):
        loaded(states[False], tmp_path, deformable=True)


@BOTH
def test_no_key_of_the_network_itself_is_left_out(states, deformable, tmp_path):
    own = states[deformable]
    facts, _ = loaded(own, tmp_path, deformable=deformable)
    assert facts == {"keys": len(own)}
