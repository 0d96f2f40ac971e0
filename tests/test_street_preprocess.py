"""Pictures of streets become inputs bit for bit as PaddleSeg prepares them, and are stretched where sizes differ."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.preprocess import street
from harness.preprocess.street import centred

SIDES = st.integers(1, 40)


def encoded(height: int, width: int, seed: int = 0, kind: str = "PNG") -> bytes:
    """Noise in colour, each channel about another level: an exchange of channels is seen."""
    levels = np.array([40, 120, 220])
    made = np.random.default_rng(seed).normal(levels, 30, (height, width, 3)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(made).save(file, kind)
    return file.getvalue()


def plain(content: bytes, height: int, width: int) -> np.ndarray:
    """``Normalize`` of PaddleSeg in the plainest numpy, of the picture that OpenCV reads."""
    picture = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    if picture.shape[:2] != (height, width):
        shrinks = height <= picture.shape[0] and width <= picture.shape[1]
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    picture = picture.astype(np.float32) / 255.0
    picture -= np.array([0.5, 0.5, 0.5])
    picture /= np.array([0.5, 0.5, 0.5])
    return picture.transpose(2, 0, 1)


class TestInputs:
    @given(size=st.tuples(SIDES, SIDES), shape=st.tuples(SIDES, SIDES), seed=st.integers(0, 99))
    def test_they_are_bit_equal_to_the_plain_formula(self, size, shape, seed):
        content = encoded(*size, seed)
        for height, width in (size, shape):
            found = centred(content, (3, height, width))
            assert found.shape == (3, height, width)
            assert found.dtype == np.float32
            assert found.flags.c_contiguous
            assert np.array_equal(found, plain(content, height, width))

    def test_every_byte_is_bit_equal(self):
        steps = np.arange(256, dtype=np.uint8).reshape(16, 16)
        file = io.BytesIO()
        Image.fromarray(np.stack([steps, steps.T, 255 - steps], axis=2)).save(file, "PNG")
        assert np.array_equal(centred(file.getvalue(), (3, 16, 16)), plain(file.getvalue(), 16, 16))

    def test_at_its_own_size_a_picture_is_only_normalised(self):
        file = io.BytesIO()
        made = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
        Image.fromarray(made).save(file, "PNG")
        found = centred(file.getvalue(), (3, 24, 32))
        assert np.array_equal(np.rint((found + 1) * 127.5).astype(np.uint8), made.transpose(2, 0, 1))

    def test_red_comes_first_and_values_reach_from_minus_one_to_one(self):
        file = io.BytesIO()
        Image.new("RGB", (8, 4), (255, 51, 0)).save(file, "PNG")
        found = centred(file.getvalue(), (3, 4, 8))
        np.testing.assert_allclose(found, np.broadcast_to(np.reshape([1, -0.6, -1], (3, 1, 1)), (3, 4, 8)), atol=1e-6)

    def test_the_whole_picture_is_stretched_and_nothing_is_cut_off(self):
        """Corners of four colours, to a shape of another ratio, smaller and larger."""
        made = np.zeros((40, 80, 3), np.uint8)
        made[:20, 40:], made[20:, :40], made[20:, 40:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
        file = io.BytesIO()
        Image.fromarray(made).save(file, "PNG")
        for height, width in ((10, 10), (100, 90), (20, 120)):
            found = centred(file.getvalue(), (3, height, width)) > 0
            for channel, (top, left) in enumerate(((0, width // 2), (height // 2, 0), (height // 2, width // 2))):
                wanted = np.zeros((height, width), bool)
                wanted[top : top + height // 2, left : left + width // 2] = True
                assert (found[channel] != wanted).mean() < 0.04

    def test_shrinking_takes_the_mean_of_what_is_there(self):
        made = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (8, 8))
        file = io.BytesIO()
        Image.fromarray(made).convert("RGB").save(file, "PNG")
        assert np.abs(centred(file.getvalue(), (3, 4, 4))).max() < 0.01

    def test_a_jpeg_is_read_too(self):
        content = encoded(16, 24, kind="JPEG")
        assert np.array_equal(centred(content, (3, 16, 24)), plain(content, 16, 24))

    def test_real_pictures_are_bit_equal(self, shared):
        for path in sorted((shared / "assets" / "cityscapes" / "leftImg8bit").glob("*/*/*.png")):
            content = path.read_bytes()
            for height, width in ((1024, 2048), (256, 512), (128, 256)):
                assert np.array_equal(centred(content, (3, height, width)), plain(content, height, width))


class TestRefusals:
    @pytest.mark.parametrize("content", [b"", b"no picture", encoded(9, 9)[:40]], ids=["empty", "text", "cut short"])
    def test_what_is_no_picture_is_told(self, content):
        with pytest.raises(ValueError, match="OpenCV"):
            centred(content, (3, 32, 32))

    @pytest.mark.parametrize("shape", [(1, 32, 32), (3, 0, 32), (3, 32, -1), (32, 64, 3)])
    def test_another_shape_is_refused(self, shape):
        found = "x".join(map(str, shape))
        with pytest.raises(ValueError, match=rf"3 x height x width, found {found}; declare it in this order"):
            centred(encoded(9, 9), shape)


class TestSaboteurs:
    """The plain formula tells each of these from what is published."""

    def test_exchanged_channels_are_seen(self):
        content = encoded(9, 9)
        assert np.abs(centred(content, (3, 9, 9))[::-1] - plain(content, 9, 9)).max() > 0.1

    @pytest.mark.parametrize(
        "table",
        [
            np.arange(256, dtype=np.float32) / np.float32(255),
            np.arange(256, dtype=np.float32) - np.float32(127.5),
            (np.arange(256, dtype=np.float32) / np.float32(255) - np.float32(0.485)) / np.float32(0.229),
        ],
        ids=["no mean", "no 1/255", "of ImageNet"],
    )
    def test_other_constants_are_seen(self, monkeypatch, table):
        monkeypatch.setattr(street, "CENTRED", table.astype(np.float32))
        content = encoded(9, 9)
        assert np.abs(centred(content, (3, 9, 9)) - plain(content, 9, 9)).max() > 0.1

    def test_an_exchange_of_height_and_width_is_seen(self):
        content = encoded(12, 24)
        assert centred(content, (3, 12, 24)).shape != centred(content, (3, 24, 12)).shape
        assert not np.array_equal(centred(content, (3, 24, 12)).transpose(0, 2, 1), plain(content, 12, 24))
