"""Rendered streets are a function of seed and index, hold every class often, and tell them by more than colour."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.cityscapes import CLASSES, IGNORED
from harness.datasets.cityscapes import Cityscapes
from harness.datasets.rendered import streets as module
from harness.datasets.rendered.cityscapes import render
from harness.datasets.rendered.street_sides import building, wall
from harness.datasets.rendered.street_traffic import car
from harness.datasets.rendered.street_view import LABEL, SIZE, View, light
from harness.datasets.rendered.streets import draw_street, streets
from harness.datasets.rendered.words import PixelDigest, encode_png
from harness.registry import PROJECT
from harness.step import StepInput

SEEDS = st.integers(0, 2**31)
INDICES = st.integers(0, 100_000)
DIGEST = """
from hashlib import sha256

from harness.datasets.rendered.streets import streets
from harness.datasets.rendered.words import PixelDigest

found = PixelDigest()
for picture, labels in streets(5, 3):
    found.add(picture, sha256(labels.tobytes()).hexdigest())
print(found.hexdigest())
"""

Street = tuple[Image.Image, np.ndarray]


@pytest.fixture(scope="module")
def some() -> list[Street]:
    return list(streets(2, 50))


def digest(drawn: Sequence[Street]) -> str:
    found = PixelDigest()
    for picture, labels in drawn:
        found.add(picture, sha256(labels.tobytes()).hexdigest())
    return found.hexdigest()


def colours(drawn: Sequence[Street]) -> tuple[np.ndarray, np.ndarray]:
    """Red, green and blue of every pixel that counts, and its class."""
    counted = [labels != IGNORED for _, labels in drawn]
    pixels = [np.asarray(picture)[mask] for (picture, _), mask in zip(drawn, counted, strict=True)]
    return np.concatenate(pixels), np.concatenate(
        [labels[mask] for (_, labels), mask in zip(drawn, counted, strict=True)]
    )


class TestDrawing:
    @settings(max_examples=8)
    @given(SEEDS, st.lists(INDICES, min_size=2, max_size=3, unique=True))
    def test_a_street_does_not_depend_on_what_was_drawn_before(self, seed, indices):
        forwards = {index: digest([draw_street(seed, index)]) for index in indices}
        backwards = {index: digest([draw_street(seed, index)]) for index in reversed(indices)}
        assert forwards == backwards

    def test_another_process_draws_the_same(self):
        told = subprocess.run([sys.executable, "-c", DIGEST], cwd=PROJECT, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == digest(list(streets(5, 3)))

    def test_seeds_and_indices_give_different_streets(self):
        assert len({digest([draw_street(seed, index)]) for seed in range(3) for index in range(3)}) == 9

    def test_the_streets_of_a_set_are_those_of_its_indices(self):
        assert digest(list(streets(3, 3))) == digest([draw_street(3, index) for index in range(3)])

    @settings(max_examples=20)
    @given(SEEDS, INDICES)
    def test_pictures_and_labels_have_the_promised_form(self, seed, index):
        picture, labels = draw_street(seed, index)
        assert (picture.mode, picture.size) == ("RGB", SIZE)
        assert (labels.dtype, labels.shape) == (np.uint8, SIZE[::-1])
        assert set(np.unique(labels).tolist()) <= {*range(len(CLASSES)), IGNORED}
        # The sky is above the road, whatever hides a part of them.
        rows = {name: np.nonzero(labels == LABEL[name])[0] for name in ("sky", "road")}
        assert rows["road"].size
        assert not rows["sky"].size or rows["sky"].mean() < rows["road"].mean()


class TestClasses:
    def test_every_class_is_in_many_of_the_held_out_streets(self, some):
        assert scarce(some) == []

    def test_saboteur_streets_without_trams_are_seen(self, monkeypatch):
        monkeypatch.setattr(module, "TRAM", 0.0)
        assert scarce(list(streets(2, 12))) == ["train"]

    def test_colour_alone_does_not_tell_the_classes(self, some):
        """Each pixel gets the class that its colour, to a sixteenth, most often has in the very same streets."""
        pixels, labels = colours(some)
        cells = (pixels.astype(int) >> 4) @ (256, 16, 1)
        votes = np.zeros((4096, len(CLASSES)), int)
        np.add.at(votes, (cells, labels), 1)
        found = votes.argmax(axis=1)[cells]
        both = np.bincount(labels[found == labels], minlength=19)
        ious = both / (np.bincount(found, minlength=19) + np.bincount(labels, minlength=19) - both)
        assert ious.mean() < 0.35
        assert (
            max(ious[LABEL[name]] for name in ("car", "truck", "bus", "motorcycle", "person", "rider", "wall")) < 0.45
        )

    def test_channels_can_be_told_apart(self, some):
        """A network that is fed BGR for RGB has to fail: the sky is blue, the sidewalk warm."""
        pixels, labels = colours(some)
        warmth = pixels[:, 0].astype(int) - pixels[:, 2]
        assert warmth[labels == LABEL["sky"]].mean() < -15
        assert warmth[labels == LABEL["road"]].mean() < -4
        assert warmth[labels == LABEL["sidewalk"]].mean() > 4

    @pytest.mark.parametrize("shift", [(0, 2), (2, 0), (0, -2), (-2, 0)])
    def test_labels_lie_on_their_ink_to_the_pixel(self, some, shift):
        """Where labels change the picture changes, more than where shifted labels do."""
        assert edge(some, (0, 0)) > 1.2 * edge(some, shift)


def scarce(drawn: Sequence[Street]) -> list[str]:
    """Classes that hold no 60 pixels in at least a fourth of the streets, or too few in all to measure."""
    found = []
    for label, name in [*enumerate(CLASSES), (IGNORED, "ignored")]:
        held = [int((labels == label).sum()) for _, labels in drawn]
        if sum(count >= 60 for count in held) < len(drawn) / 4 or sum(held) < 100 * len(drawn):
            found.append(name)
    return found


def edge(drawn: Sequence[Street], shift: tuple[int, int]) -> float:
    """The mean step of grey between neighbours of two classes, when labels are shifted by rows and columns."""
    steps = []
    for picture, labels in drawn:
        grey = np.asarray(picture.convert("L")).astype(int)
        moved = np.roll(labels, shift, axis=(0, 1))
        for axis in (0, 1):
            steps.append(np.abs(np.diff(grey, axis=axis))[np.diff(moved.astype(int), axis=axis) != 0])
    return float(np.concatenate(steps).mean())


class TestView:
    """Places in metres, before a camera 1.7 m above the road."""

    @pytest.fixture
    def view(self) -> View:
        return View(np.random.default_rng(1), 50, 128, (200, 200, 200))

    def test_what_is_as_high_as_the_camera_lies_on_the_horizon_and_farther_is_nearer_to_it(self, view):
        assert [view.at((0, 1.7, z))[1] for z in (2, 9, 60)] == [50, 50, 50]
        assert [view.at((0, 0, z))[1] for z in (5, 10, 20)] == [115, 82, 66]
        assert [view.at((1, 0, z))[0] - 128 for z in (5, 10, 20)] == [38, 19, 10]

    @pytest.mark.parametrize(
        ("paint", "place", "label"),
        [(building, (5, 4, 20), "building"), (wall, (-5, 4, 20), "wall"), (car, (2, 8), "car")],
    )
    def test_a_thing_is_where_it_was_put_and_its_labels_with_it(self, view, paint, place, label):
        paint(view, *place)
        rows, columns = np.nonzero(np.asarray(view.labels) == LABEL[label])
        assert rows.size > 100
        assert (columns.mean() > 128) == (place[0] > 0)
        inked = np.asarray(view.picture).any(axis=2)
        assert inked[rows, columns].all()

    def test_light_changes_no_more_than_it_may(self):
        grey = Image.new("RGB", SIZE, (100, 100, 100))
        labels = Image.new("L", SIZE, 7)
        lit = np.stack([np.asarray(light(grey, labels, [0] * 256, np.random.default_rng(seed))) for seed in range(40)])
        means = lit.mean(axis=(1, 2))
        assert 60 < means.min() < 85
        assert 115 < means.max() < 145
        assert lit.std(axis=(1, 2)).max() < 5
        rough = [40 if label == 7 else 0 for label in range(256)]
        assert np.asarray(light(grey, labels, rough, np.random.default_rng(1))).std() > 10


class TestStep:
    def test_the_rendered_folder_holds_the_streets_and_their_digest(self, tmp_path):
        facts = render.build(StepInput(params={"seed": 5, "count": 3}), tmp_path)
        drawn = list(streets(5, 3))
        assert facts == {"n": 3, "pixels": digest(drawn)}
        reader = Cityscapes(tmp_path, "streets")
        samples = list(reader.samples())
        assert [sample.id for sample in samples] == [
            f"streets/rendered/rendered_00000{each}_000000" for each in range(3)
        ]
        assert [sample.content for sample in samples] == [encode_png(picture) for picture, _ in drawn]
        assert {sample.size for sample in samples} == {SIZE[::-1]}
        for sample, (_, labels) in zip(samples, drawn, strict=True):
            assert np.array_equal(sample.label.pixels(), labels)
        assert reader.facts() == {"labels": "labelTrainIds"}
        assert len(Cityscapes(tmp_path, split="val")) == 3

    def test_another_seed_or_count_gives_another_digest(self, tmp_path):
        found = set()
        for number, params in enumerate(({"seed": 5, "count": 2}, {"seed": 6, "count": 2}, {"seed": 5, "count": 1})):
            (tmp_path / str(number)).mkdir()
            found.add(render.build(StepInput(params=params), tmp_path / str(number))["pixels"])
        assert len(found) == 3

    def test_saboteur_other_labels_of_the_same_pictures_have_another_digest(self):
        drawn = list(streets(5, 2))
        assert digest([(picture, np.where(labels == 0, 1, labels)) for picture, labels in drawn]) != digest(drawn)
