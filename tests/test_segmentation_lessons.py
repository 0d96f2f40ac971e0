"""Lessons of the segmentation network are functions of seed and step, and count no pixel that has no class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.cityscapes import CLASSES, IGNORED
from harness.datasets.rendered.streets import draw_street, streets
from harness.datasets.rendered.words import encode_png
from harness.preprocess.street import centred
from harness.registry import PROJECT, load_models, resolve
from harness.training import loop
from harness.training.segmentation import (
    AUXILIARY,
    LEAST_WEIGHT,
    MOST_WEIGHT,
    PIXELS,
    SHAPE,
    Lesson,
    Streets,
    train_ocrnet,
    weights_of,
)

LESSONS = Streets()
PARAMS = {
    "initial_seed": 3,
    "seed": 1,
    "held_out_seed": 2,
    "steps": 3,
    "batch": 2,
    "learning_rate": 1e-2,
    "warm_up": 0.1,
    "weight_decay": 1e-4,
    "clip": 5.0,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    """Two streets, with places that have no class."""
    drawn = LESSONS.batch(5, 1, 2)
    drawn.classes[:, 60:80, 100:150] = IGNORED
    return drawn


class Tiny(nn.Module):
    """Logits of the size of the picture, two of them in training."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8), nn.ReLU())
        self.heads = nn.ModuleList(nn.Conv2d(8, 19, 1) for _ in range(2))

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        found = self.middle(pictures)
        logits, auxiliary = (nn.functional.interpolate(head(found), scale_factor=8) for head in self.heads)
        return (logits, auxiliary) if self.training else logits


class Knowing(nn.Module):
    """Answers with the classes of the streets of a set in turn, changed."""

    def __init__(self, seed: int, change=lambda labels: labels) -> None:
        super().__init__()
        self.seed, self.change, self.asked = seed, change, 0

    def forward(self, pictures: Tensor) -> Tensor:
        labels = self.change(draw_street(self.seed, self.asked)[1])
        self.asked += 1
        return logits_of(torch.from_numpy(labels.astype(np.int64))[None])


def tiny() -> nn.Module:
    return Tiny()


def logits_of(classes: Tensor, sure: float = 30.0) -> Tensor:
    """Logits that are sure of the classes, and of any where there is none."""
    return sure * nn.functional.one_hot(classes % IGNORED, len(CLASSES)).permute(0, 3, 1, 2).float()


def parts(lesson: Lesson) -> list[list[float]]:
    return [part.tolist() for part in (lesson.pictures, lesson.classes)]


class TestBatches:
    def test_a_batch_is_a_function_of_seed_step_and_size(self):
        drawn = LESSONS.batch(5, 1, 2)
        assert parts(LESSONS.batch(5, 1, 2)) == parts(drawn)
        for other in (LESSONS.batch(5, 2, 2), LESSONS.batch(6, 1, 2)):
            assert not torch.equal(other.pictures, drawn.pictures)
            assert not torch.equal(other.classes, drawn.classes)

    def test_steps_follow_each_other_in_the_set(self):
        halves = [parts(LESSONS.batch(5, step, 1)) for step in (2, 3)]
        assert parts(LESSONS.batch(5, 1, 2)) == [left + right for left, right in zip(*halves, strict=True)]

    def test_pictures_are_fed_as_the_suite_feeds_them(self):
        picture, labels = draw_street(7, 3)
        found = LESSONS.batch(7, 3, 1)
        assert np.array_equal(found.pictures[0].numpy(), centred(encode_png(picture), SHAPE))
        assert np.array_equal(found.classes[0].numpy(), labels)


class TestWeights:
    def test_the_rarer_a_class_the_more_it_weighs_within_limits(self):
        assert weights_of((100, 400, 25, 1, 10_000)).tolist() == pytest.approx([1, 0.5, 2, MOST_WEIGHT, LEAST_WEIGHT])

    def test_the_declared_shares_are_those_of_the_streets(self):
        """Forty streets tell a share to a fourth or so."""
        counts = np.zeros(256, int)
        for _, labels in streets(1, 40):
            counts += np.bincount(labels.ravel(), minlength=256)
        assert sum(PIXELS) == pytest.approx(1_000_000, abs=20)
        np.testing.assert_allclose(counts[:19] / counts[:19].sum(), np.array(PIXELS) / 1e6, rtol=0.6)


class TestLoss:
    def loss_of(self, logits: Tensor, lesson: Lesson, auxiliary: Tensor | None = None) -> float:
        return LESSONS.loss(lambda _: (logits, logits if auxiliary is None else auxiliary), lesson).item()

    def test_it_is_none_for_the_classes_themselves_and_much_for_others(self, lesson):
        assert self.loss_of(logits_of(lesson.classes), lesson) == pytest.approx(0, abs=1e-4)
        other = logits_of(torch.where(lesson.classes == IGNORED, IGNORED, (lesson.classes + 1) % 19))
        assert self.loss_of(other, lesson) == pytest.approx(30 * (1 + AUXILIARY), rel=1e-3)

    def test_what_has_no_class_does_not_count(self, lesson):
        generator = torch.Generator().manual_seed(1)
        found, other = torch.randn((2, 2, 19, *SHAPE[1:]), generator=generator)
        ignored = (lesson.classes == IGNORED)[:, None]
        assert self.loss_of(torch.where(ignored, other, found), lesson) == self.loss_of(found, lesson)
        assert self.loss_of(torch.where(ignored, found, other), lesson) != self.loss_of(found, lesson)

    def test_it_is_the_weighted_entropy_of_both(self, lesson):
        """By hand, in numpy."""
        found, auxiliary = torch.randn((2, 2, 19, *SHAPE[1:]), generator=torch.Generator().manual_seed(2))
        classes = lesson.classes.numpy()
        weights = weights_of(PIXELS).numpy()[classes % IGNORED] * (classes != IGNORED)
        losses = []
        for logits in (found.double().numpy(), auxiliary.double().numpy()):
            own = np.take_along_axis(logits, (classes % IGNORED)[:, None], axis=1)[:, 0]
            losses.append((weights * (np.log(np.exp(logits).sum(axis=1)) - own)).sum() / weights.sum())
        assert self.loss_of(found, lesson, auxiliary) == pytest.approx(losses[0] + AUXILIARY * losses[1], rel=1e-4)


class TestTeaching:
    def test_a_few_steps_on_the_same_streets_lower_the_loss_and_every_weight_learns(self, lesson):
        torch.manual_seed(0)
        network, losses = tiny(), []
        optimiser = torch.optim.Adam(network.parameters(), lr=3e-2)
        for _ in range(10):
            loss = LESSONS.loss(network, lesson)
            optimiser.zero_grad()
            loss.backward()
            losses.append(loss.item())
            assert all(parameter.grad.any() for parameter in network.parameters())
            optimiser.step()
        assert losses[-1] < 0.85 * losses[0]
        assert all(np.isfinite(losses))

    def test_an_interrupted_training_ends_with_the_same_weights(self, tmp_path, monkeypatch):
        monkeypatch.setattr(loop, "SAVE_EVERY", 1)
        monkeypatch.setattr(loop, "REPORT_EVERY", 1)

        def interrupt(line: str) -> None:
            if line.startswith("step 2/"):
                raise KeyboardInterrupt

        whole, _ = train_ocrnet(tiny, PARAMS, tmp_path / "whole", lambda line: None)
        with pytest.raises(KeyboardInterrupt):
            train_ocrnet(tiny, PARAMS, tmp_path / "broken", interrupt)
        said: list[str] = []
        resumed, progress = train_ocrnet(tiny, PARAMS, tmp_path / "broken", said.append)
        assert said[0] == "going on at step 1 of 3"
        assert progress.step == 3
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), name


class TestHits:
    def test_the_trained_network_knows_the_held_out_streets_and_none_with_channels_exchanged(self):
        model = load_models()["ocrnet"]
        bundled = model.reference("bundled")
        network = resolve(model.network)(**bundled.network_params).eval()
        state = load_file(PROJECT / "suites" / "references" / "ocrnet" / "ocrnet.safetensors")
        network.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        )
        with torch.inference_mode():
            assert LESSONS.hits(network, bundled.data.params["seed"], 6) >= 5
            assert LESSONS.hits(lambda pictures: network(pictures.flip(1)), bundled.data.params["seed"], 4) == 0

    def test_a_street_with_all_its_classes_is_a_hit_whatever_is_said_where_none_counts(self):
        assert LESSONS.hits(Knowing(3), 3, 4) == 4
        assert LESSONS.hits(Knowing(3, lambda labels: np.where(labels == IGNORED, 5, labels)), 3, 4) == 4

    @pytest.mark.parametrize(
        "change",
        [
            lambda labels: labels * 0,
            lambda labels: np.roll(labels, 40, axis=1),
            lambda labels: np.where(labels == 0, 1, labels),
            lambda labels: labels[::-1].copy(),
        ],
        ids=["all road", "elsewhere", "sidewalk for road", "upside down"],
    )
    def test_another_answer_is_none(self, change):
        assert LESSONS.hits(Knowing(3, change), 3, 3) == 0

    def test_nine_pixels_of_ten_are_enough(self):
        def but(share: float):
            def change(labels: np.ndarray) -> np.ndarray:
                found = labels.copy().ravel()
                counted = np.nonzero(found != IGNORED)[0]
                wrong = counted[: round(share * counted.size)]
                found[wrong] = (found[wrong] + 1) % 19
                return found.reshape(labels.shape)

            return change

        assert LESSONS.hits(Knowing(3, but(0.09)), 3, 2) == 2
        assert LESSONS.hits(Knowing(3, but(0.11)), 3, 2) == 0
