"""Lessons of the detectors are functions of seed and step, and teach the map that the postprocess grows words from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.boxes import IGNORED, Region, write_truth
from harness.datasets.rendered.scenes import SIZE, draw_scene
from harness.datasets.rendered.words import encode_png
from harness.metrics.detection import ICDAR_IOU
from harness.postprocess.db import BUNDLED
from harness.preprocess.scene import stretch_centred, stretch_normalised
from harness.registry import PROJECT, load_models, resolve
from harness.training import detection, loop
from harness.training.detection import SHAPE, SHRINK, Lesson, Scenes, maps_of, shrunk

SEEDS = st.integers(0, 2**31)
SCALE = SHAPE[2] / SIZE[0]
SQUARE = ((100, 100), (200, 100), (200, 150), (100, 150))
LESSONS = Scenes(stretch_centred)
PARAMS = {
    "initial_seed": 3,
    "seed": 1,
    "held_out_seed": 2,
    "steps": 3,
    "batch": 2,
    "learning_rate": 1e-3,
    "warm_up": 0.1,
    "weight_decay": 1e-4,
    "clip": 5.0,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return LESSONS.batch(5, 1, 2)


def parts(lesson: Lesson) -> list[list[float]]:
    return [part.tolist() for part in (lesson.pictures, lesson.words, lesson.counted)]


def tiny() -> nn.Module:
    """A map of the same size as the picture, by three convolutions."""
    torch.manual_seed(0)
    middle = nn.Conv2d(12, 12, 3, padding=1, bias=False)
    return nn.Sequential(
        nn.Conv2d(3, 12, 4, 4),
        middle,
        nn.BatchNorm2d(12),
        nn.Hardswish(),
        nn.ConvTranspose2d(12, 1, 4, 4),
        nn.Sigmoid(),
    )


class Knowing(nn.Module):
    """Answers with the maps of the scenes of a set in turn, changed."""

    def __init__(self, seed: int, change=lambda words: words) -> None:
        super().__init__()
        self.seed, self.change, self.asked = seed, change, 0

    def forward(self, pictures: Tensor) -> Tensor:
        words = maps_of(draw_scene(self.seed, self.asked)[1])[:1]
        self.asked += 1
        return torch.from_numpy(self.change(words.astype(np.float32)))[None]


class TestBatches:
    def test_a_batch_is_a_function_of_seed_step_and_size(self, lesson):
        assert parts(LESSONS.batch(5, 1, 2)) == parts(lesson)
        for other in (LESSONS.batch(5, 2, 2), LESSONS.batch(6, 1, 2)):
            assert all(
                not torch.equal(left, right)
                for left, right in zip((other.pictures, other.words), (lesson.pictures, lesson.words), strict=True)
            )

    def test_steps_follow_each_other_in_the_set(self, lesson):
        halves = [parts(LESSONS.batch(5, step, 1)) for step in (2, 3)]
        assert parts(lesson) == [left + right for left, right in zip(*halves, strict=True)]

    @pytest.mark.parametrize("feed", [stretch_centred, stretch_normalised])
    def test_pictures_are_fed_as_the_suite_feeds_them(self, feed):
        picture, regions = draw_scene(7, 3)
        found = Scenes(feed).batch(7, 3, 1)
        assert np.array_equal(found.pictures[0].numpy(), feed(encode_png(picture), SHAPE))
        assert np.array_equal(torch.cat([found.words, found.counted], dim=1)[0].numpy(), maps_of(regions))

    def test_each_training_has_the_feed_of_its_model(self):
        assert detection.train_ppocr.args == (stretch_normalised,)
        assert detection.train_db.args == (stretch_centred,)


class TestMaps:
    def test_a_rectangle_is_shrunk_by_area_over_perimeter_on_every_side(self):
        distance = 100 * 50 * (1 - SHRINK**2) / 300
        (found,) = shrunk(np.array(SQUARE, np.int32))
        assert np.abs(found.min(axis=0) - (100 + distance, 100 + distance)).max() <= 1
        assert np.abs(found.max(axis=0) - (200 - distance, 150 - distance)).max() <= 1

    @settings(max_examples=10)
    @given(SEEDS)
    def test_what_is_taught_lies_inside_of_its_words_and_each_word_is_taught(self, seed):
        _, regions = draw_scene(seed, 0)
        words, counted = maps_of(regions)
        ignored = [covered(region) for region in regions if region.ignored]
        assert np.array_equal(counted == 0, np.any([np.zeros(SHAPE[1:], bool), *ignored], axis=0))
        inner = np.zeros(SHAPE[1:], bool)
        for region in regions:
            if not region.ignored:
                inside = covered(region)
                inner |= inside
                # Of a rectangle, (1 - 0.84 w / (w + h)) * (1 - 0.84 h / (w + h)) of the area is left: 0.34 of a square.
                assert 0.2 < words[inside].mean() < 0.36
        assert not words[~inner].any()

    def test_what_is_ignored_is_not_taught(self):
        words, counted = maps_of((Region(SQUARE, IGNORED),))
        assert not words.any()
        assert (counted == 0).sum() == pytest.approx(100 * 50 * SCALE**2, rel=0.05)
        words, counted = maps_of((Region(SQUARE, "WORD"),))
        assert words.any()
        assert counted.all()

    def test_the_postprocess_grows_the_map_to_the_words_that_it_is_of(self):
        assert LESSONS.hits(Knowing(3), 3, 6) == 6


class TestLoss:
    def loss_of(self, found: Tensor, lesson: Lesson) -> float:
        return LESSONS.loss(lambda pictures: found, lesson).item()

    def test_it_is_none_for_the_map_itself_and_most_for_its_opposite(self, lesson):
        assert self.loss_of(lesson.words, lesson) == pytest.approx(0, abs=1e-4)
        assert self.loss_of(1 - lesson.words, lesson) == pytest.approx(2 * 100 + 1, rel=1e-3)

    def test_what_nobody_cares_about_does_not_count(self, lesson):
        generator = torch.Generator().manual_seed(1)
        found = torch.rand(lesson.words.shape, generator=generator) * 0.98 + 0.01
        other = torch.rand(lesson.words.shape, generator=generator)
        assert (lesson.counted == 0).any()
        assert self.loss_of(torch.where(lesson.counted == 0, other, found), lesson) == self.loss_of(found, lesson)
        assert self.loss_of(torch.where(lesson.counted == 1, other, found), lesson) != self.loss_of(found, lesson)

    def test_it_is_that_of_the_paper(self, lesson):
        """By hand: the hardest three negatives for each positive, and dice."""
        found = torch.rand(lesson.words.shape, generator=torch.Generator().manual_seed(2)) * 0.98 + 0.01
        p, y, counted = (each.numpy().ravel().astype(float) for each in (found, lesson.words, lesson.counted))
        words, others = p[(y == 1) & (counted == 1)], np.sort(p[(y == 0) & (counted == 1)])[::-1]
        hardest = others[: 3 * len(words)]
        assert len(hardest) < len(others)
        entropy = -(np.log(words).sum() + np.log(1 - hardest).sum()) / (len(words) + len(hardest))
        dice = 1 - 2 * words.sum() / (words.sum() + others.sum() + len(words))
        assert self.loss_of(found, lesson) == pytest.approx(2 * entropy + dice, rel=1e-4)

    def test_a_batch_without_a_word_teaches_no_nonsense(self, lesson):
        empty = Lesson(lesson.pictures, torch.zeros_like(lesson.words), lesson.counted)
        assert np.isfinite(self.loss_of(torch.full_like(lesson.words, 0.5), empty))


class TestTeaching:
    def test_a_few_steps_on_the_same_scenes_lower_the_loss_and_every_weight_learns(self, lesson):
        network, losses = tiny(), []
        part = Lesson(*(each[..., :128, :128] for each in (lesson.pictures, lesson.words, lesson.counted)))
        optimiser = torch.optim.Adam(network.parameters(), lr=3e-2)
        for _ in range(20):
            loss = LESSONS.loss(network, part)
            optimiser.zero_grad()
            loss.backward()
            losses.append(loss.item())
            assert all(parameter.grad.any() for parameter in network.parameters())
            optimiser.step()
        assert losses[-1] < 0.85 * losses[0]
        assert all(np.isfinite(losses))

    @pytest.mark.parametrize("train", [detection.train_db, detection.train_ppocr])
    def test_an_interrupted_training_ends_with_the_same_weights(self, train, tmp_path, monkeypatch):
        monkeypatch.setattr(loop, "SAVE_EVERY", 1)
        monkeypatch.setattr(loop, "REPORT_EVERY", 1)

        def interrupt(line: str) -> None:
            if line.startswith("step 2/"):
                raise KeyboardInterrupt

        whole, _ = train(tiny, PARAMS, tmp_path / "whole", lambda line: None)
        with pytest.raises(KeyboardInterrupt):
            train(tiny, PARAMS, tmp_path / "broken", interrupt)
        said: list[str] = []
        resumed, progress = train(tiny, PARAMS, tmp_path / "broken", said.append)
        assert said[0] == "going on at step 1 of 3"
        assert progress.step == 3
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), name


class TestHits:
    @pytest.mark.parametrize("name", ["db", "db_deform", "ppocr_det"])
    def test_a_trained_network_finds_the_words_of_the_held_out_set_and_none_with_channels_exchanged(self, name):
        model = load_models()[name]
        bundled = model.reference("bundled")
        network = resolve(model.network)(**bundled.network_params).eval()
        state = load_file(PROJECT / "suites" / "references" / name / f"{name}.safetensors")
        network.load_state_dict({key: value.float() for key, value in state.items()})
        lessons = Scenes(resolve(model.feed))
        with torch.inference_mode():
            assert lessons.hits(network, bundled.data.params["seed"], 8) >= 6
            assert lessons.hits(lambda pictures: network(pictures.flip(1)), bundled.data.params["seed"], 4) == 0

    @pytest.mark.parametrize(
        "change",
        [
            lambda words: words * 0,
            lambda words: np.roll(words, 40, axis=2),
            lambda words: words * 0.49,
            lambda words: np.maximum(words, corner(words.shape)),
        ],
        ids=["nothing", "elsewhere", "unsure", "one too many"],
    )
    def test_a_scene_is_no_hit_unless_all_its_words_and_nothing_else_is_found(self, change):
        assert LESSONS.hits(Knowing(3, change), 3, 3) == 0

    def test_hits_are_those_of_the_metric_at_the_thresholds_of_the_bundled_references(self):
        seen = []
        LESSONS.hits(lambda pictures: seen.append(pictures) or torch.zeros(1, 1, *SHAPE[1:]), 3, 2)
        for index, fed in enumerate(seen):
            picture, regions = draw_scene(3, index)
            assert np.array_equal(fed[0].numpy(), stretch_centred(encode_png(picture), SHAPE))
            answer = BUNDLED.decode(maps_of(regions)[:1].astype(np.float32), SIZE[::-1])
            assert ICDAR_IOU.count(answer, write_truth(regions))[0] == 1
        assert len(seen) == 2


def covered(region: Region) -> np.ndarray:
    """Which pixels of the map a region covers."""
    mask = np.zeros(SHAPE[1:], np.uint8)
    cv2.fillPoly(mask, [np.rint(np.array(region.points) * SCALE * 16).astype(np.int32)], 1, shift=4)
    return mask == 1


def corner(shape: tuple[int, ...]) -> np.ndarray:
    """A map of one word in the lower right corner."""
    found = np.zeros(shape, np.float32)
    found[:, -24:-8, -60:-8] = 1
    return found
