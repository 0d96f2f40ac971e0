"""RARE is the published network, and its head is fed its own answers for 25 steps."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from harness.datasets.rendered.curved import draw_curved
from harness.networks.rare import STEPS, AttentionHead, Rare
from harness.networks.seeded import condition
from harness.networks.tps import fiducials
from harness.postprocess.recognition import LOWER_ATTENTION
from harness.training.glyphs import pictures_of

SHAPE = (3, 32, 100)
FEATURES, HIDDEN, CLASSES = 12, 8, 38
SEED, SWING = 4, 2.0


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def published() -> Rare:
    """The network at full size with seeded weights, as the suite builds it without a checkpoint."""
    network = Rare()
    network.load_state_dict(condition(network, 7))
    return network.eval()


@pytest.fixture(scope="module")
def words() -> torch.Tensor:
    return pictures_of([draw_curved(2, index) for index in range(4)], SHAPE)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max())
    return raised / raised.sum()


def plain_head(state: dict[str, np.ndarray], columns: np.ndarray, *, fed: bool = True) -> np.ndarray:
    """One word by the formulae of the paper and of the GRU, step by step; unless ``fed``, every step sees the start."""
    cell = {key.removeprefix("attention_cell."): values for key, values in state.items()}
    hidden, best, said = np.zeros(HIDDEN), 0, []
    for _ in range(25):
        energies = [
            cell["score.weight"][0]
            @ np.tanh(cell["i2h.weight"] @ column + cell["h2h.weight"] @ hidden + cell["h2h.bias"])
            for column in columns
        ]
        context = sum(weight * column for weight, column in zip(softmax(np.array(energies)), columns, strict=True))
        given = np.concatenate([context, np.eye(CLASSES)[best]])
        from_input = np.split(cell["rnn.weight_ih"] @ given + cell["rnn.bias_ih"], 3)
        from_hidden = np.split(cell["rnn.weight_hh"] @ hidden + cell["rnn.bias_hh"], 3)
        reset, update = (sigmoid(from_input[gate] + from_hidden[gate]) for gate in (0, 1))
        new = np.tanh(from_input[2] + reset * from_hidden[2])
        hidden = (1 - update) * new + update * hidden
        said.append(state["generator.weight"] @ hidden + state["generator.bias"])
        best = int(said[-1].argmax()) if fed else 0
    return np.stack([softmax(scores) for scores in said])


@pytest.fixture(scope="module")
def head() -> AttentionHead:
    """A small head that swings: its words change with the columns and from step to step."""
    made = AttentionHead(FEATURES, HIDDEN, CLASSES).double()
    rng = np.random.default_rng(SEED)
    drawn = {key: torch.from_numpy(rng.normal(0, SWING, tensor.shape)) for key, tensor in made.state_dict().items()}
    made.load_state_dict(drawn)
    return made.eval()


@pytest.fixture(scope="module")
def columns() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).normal(size=(6, 25, FEATURES)))


@pytest.fixture(scope="module")
def found(head: AttentionHead, columns: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return head(columns).numpy()


class TestHead:
    def state(self, head: AttentionHead) -> dict[str, np.ndarray]:
        return {key: tensor.numpy() for key, tensor in head.state_dict().items()}

    def test_it_is_the_head_of_the_paper_fed_with_its_own_answers(self, head, columns, found):
        for word, scores in zip(columns.numpy(), found, strict=True):
            assert np.abs(plain_head(self.state(head), word) - scores).max() < 1e-9

    def test_what_it_is_fed_matters(self, head, columns, found):
        assert min(len(set(scores.argmax(axis=1))) for scores in found) >= 3
        fixed = np.stack([plain_head(self.state(head), word, fed=False) for word in columns.numpy()])
        assert np.abs(fixed[:, 0] - found[:, 0]).max() < 1e-9
        assert np.abs(fixed[:, 1:] - found[:, 1:]).max(axis=(1, 2)).min() > 0.1

    def test_it_takes_25_steps_and_does_not_stop_at_the_end_of_a_word(self, head, columns, found):
        assert found.shape == (6, STEPS, CLASSES) == (6, 25, 38)
        ending = copy.deepcopy(head)
        calls = []
        ending.attention_cell.register_forward_hook(lambda *_: calls.append(1))
        with torch.inference_mode():
            ending.generator.bias[LOWER_ATTENTION.eos] += 1000
            ended = ending(columns)
        assert ended.argmax(dim=2).eq(LOWER_ATTENTION.eos).all()
        assert (len(calls), ended.shape) == (25, found.shape)

    def test_words_of_a_batch_do_not_see_each_other(self, head, columns, found):
        with torch.inference_mode():
            alone = torch.cat([head(word[None]) for word in columns]).numpy()
        assert np.abs(alone - found).max() < 1e-9


class TestNetwork:
    def test_the_published_network_has_the_published_number_of_parameters(self, published):
        assert sum(parameter.numel() for parameter in published.parameters()) == 26_983_268

    def test_its_layers_are_those_of_the_published_network(self, published):
        kinds = [type(module) for module in published.modules()]
        assert [kinds.count(kind) for kind in (nn.Conv2d, nn.BatchNorm2d, nn.LSTM, nn.GRUCell)] == [43, 43, 1, 1]
        keys = set(published.state_dict())
        assert {
            "transform.loc_net.loc_conv3.bn.running_var",
            "transform.grid_generator.fc.weight",
            "backbone.conv1_1._conv.weight",
            "backbone.bb_3_2.conv1._batch_norm.bias",
            "backbone.bb_0_0.short._conv.weight",
            "neck.encoder.lstm.weight_hh_l1_reverse",
            "head.attention_cell.rnn.weight_ih",
            "head.generator.bias",
        } <= keys

    @pytest.mark.parametrize(
        "params",
        [{"width": 0.125, "hidden": 16}, {"width": 0.25, "hidden": 24, "classes": 97}],
        ids=["narrow", "wider"],
    )
    @pytest.mark.parametrize("batch", [1, 3])
    def test_width_scales_the_layers_and_not_the_output(self, params, batch):
        network = Rare(**params).eval()
        with torch.inference_mode():
            features = network.backbone(torch.zeros(batch, *SHAPE))
            found = network(torch.rand(batch, *SHAPE) * 2 - 1)
        assert features.shape == (batch, round(512 * params["width"]), 1, 25)
        assert found.shape == (batch, 25, params.get("classes", 38))
        assert torch.allclose(found.sum(dim=2), torch.ones(batch, 25), atol=1e-5)

    def test_a_class_stands_before_the_word_one_for_each_character_and_one_after(self, published):
        assert published.head.generator.out_features == LOWER_ATTENTION.classes == 38


class TestSeededWeights:
    """Weights of a seed must not fold the picture, nor make every word the same."""

    def test_fiducials_stay_near_the_rectangle_and_move_with_the_picture(self, published, words):
        with torch.inference_mode():
            found = published.transform.loc_net(words).numpy()
        moved = np.abs(found - fiducials())
        assert 0.005 < moved.max() < 0.3
        between = np.abs(found[:, None] - found[None]).max(axis=(2, 3))[~np.eye(len(words), dtype=bool)]
        assert between.min() > 1e-4
        # Not folded: the edges run from left to right, the upper one above the lower one.
        assert (np.diff(found[:, :10, 0]) > 0).all()
        assert (found[:, 10:, 1] > found[:, :10, 1]).all()

    def test_different_pictures_get_different_words(self, published, words):
        with torch.inference_mode():
            found = published(words).numpy()
            exact = published.double()(words.double()).numpy()
            published.float()
        texts = [LOWER_ATTENTION.decode(scores) for scores in found]
        assert len(set(texts)) == len(words), texts
        assert min(len(set(text)) for text in texts) > 2
        noise = np.abs(found - exact).max(axis=(1, 2)).min()
        between = np.abs(exact - np.roll(exact, 1, axis=0)).max(axis=(1, 2))
        assert between.min() > 100 * noise

    def test_they_are_a_function_of_the_seed(self):
        network = Rare(width=0.125, hidden=16)
        states = [condition(network, seed) for seed in (7, 7, 8)]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
        assert not torch.equal(states[0]["head.generator.weight"], states[2]["head.generator.weight"])
