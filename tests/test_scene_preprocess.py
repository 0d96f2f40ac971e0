"""Pictures of scenes become inputs of detectors bit for bit as the published code prepares them."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.preprocess import scene
from harness.preprocess.scene import limit_side, stretch_centred, stretch_normalised, up_to_32
from harness.preprocess.text_line import decode_bgr

SIDES = st.sampled_from([32, 64, 96, 128])
SIZES = st.tuples(st.integers(1, 150), st.integers(1, 150))


def encoded(height: int, width: int, seed: int = 0) -> bytes:
    """Noise in colour, each channel about another level: an exchange of channels is seen."""
    levels = np.array([40, 120, 220])
    made = np.random.default_rng(seed).normal(levels, 30, (height, width, 3)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(made).save(file, "PNG")
    return file.getvalue()


def normalised(content: bytes, height: int, width: int) -> np.ndarray:
    """PP-OCRv3's input in the plainest numpy."""
    picture = cv2.resize(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), (width, height))
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return ((picture.astype(np.float32) * np.float32(1 / 255) - mean) / deviation).transpose(2, 0, 1)


def centred(content: bytes, height: int, width: int) -> np.ndarray:
    """DB's input in the plainest numpy: scaled as float32, the mean subtracted in float64 in place."""
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).astype(np.float32)
    picture = cv2.resize(picture, (width, height))
    picture -= np.array([122.67891434, 116.66876762, 104.00698793])
    return (picture / np.float32(255)).transpose(2, 0, 1)


WAYS = [(stretch_normalised, normalised), (stretch_centred, centred)]
both = pytest.mark.parametrize(("prepare", "plain"), WAYS, ids=["normalised", "centred"])


class TestInputs:
    @given(way=st.sampled_from(WAYS), size=SIZES, shape=st.tuples(SIDES, SIDES), seed=st.integers(0, 99))
    def test_they_are_bit_equal_to_the_plain_formula(self, way, size, shape, seed):
        prepare, plain = way
        content = encoded(*size, seed)
        found = prepare(content, (3, *shape))
        assert found.shape == (3, *shape)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        assert np.array_equal(found, plain(content, *shape))

    @both
    def test_real_pictures_are_bit_equal_at_the_published_sizes(self, prepare, plain, shared):
        content = (shared / "assets" / "icdar2015" / "test_images" / "img_2.jpg").read_bytes()
        for height, width in ((512, 896), (736, 1280)):
            assert np.array_equal(prepare(content, (3, height, width)), plain(content, height, width))

    def test_one_colour_has_the_values_of_the_constants(self):
        file = io.BytesIO()
        Image.new("RGB", (40, 30), (200, 100, 50)).save(file, "PNG")
        # Blue first, with the constants in the order they are printed in.
        found = stretch_normalised(file.getvalue(), (3, 32, 64))
        wanted = [(50 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (200 / 255 - 0.406) / 0.225]
        np.testing.assert_allclose(found, np.broadcast_to(np.reshape(wanted, (3, 1, 1)), (3, 32, 64)), rtol=1e-5)
        found = stretch_centred(file.getvalue(), (3, 32, 64))
        wanted = [(50 - 122.67891434) / 255, (100 - 116.66876762) / 255, (200 - 104.00698793) / 255]
        np.testing.assert_allclose(found, np.broadcast_to(np.reshape(wanted, (3, 1, 1)), (3, 32, 64)), rtol=1e-5)

    @both
    @pytest.mark.parametrize("content", [b"", b"no picture", encoded(9, 9)[:40]], ids=["empty", "text", "cut short"])
    def test_what_is_no_picture_is_told(self, prepare, plain, content):
        with pytest.raises(ValueError, match="OpenCV"):
            prepare(content, (3, 32, 32))

    @both
    @pytest.mark.parametrize(
        ("shape", "nearest"),
        [
            ((3, 720, 1280), "3x704x1280"),
            ((3, 736, 1300), "3x736x1312"),
            ((3, 0, 32), "3x32x32"),
            ((3, -32, 32), "3x32x32"),
            ((1, 32, 32), "3x32x32"),
        ],
    )
    def test_a_size_that_the_networks_do_not_take_is_refused(self, prepare, plain, shape, nearest):
        found = "x".join(map(str, shape))
        with pytest.raises(ValueError, match=rf"multiples of 32, found {found}; the nearest is {nearest}"):
            prepare(encoded(9, 9), shape)


class TestSaboteurs:
    """The plain formula tells each of these from what is published."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("MEAN exchanged", [scene.NORMALISED[channel] for channel in (2, 1, 0)]),
            ("no mean", [scene.BYTES / np.float32(255) / np.float32(each) for each in scene.DEVIATION]),
            ("no 1/255", [(scene.BYTES - np.float32(0.5)) / np.float32(0.2)] * 3),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_constants_of_pp_ocr_are_seen(self, monkeypatch, name, value):
        monkeypatch.setattr(scene, "NORMALISED", value)
        content = encoded(30, 40)
        assert np.abs(stretch_normalised(content, (3, 32, 64)) - normalised(content, 32, 64)).max() > 0.1

    @pytest.mark.parametrize("mean", [scene.DB_MEAN[::-1], (0.0, 0.0, 0.0)], ids=["exchanged", "none"])
    def test_the_mean_of_db_is_seen(self, monkeypatch, mean):
        monkeypatch.setattr(scene, "DB_MEAN", mean)
        content = encoded(30, 40)
        assert np.abs(stretch_centred(content, (3, 32, 64)) - centred(content, 32, 64)).max() > 0.05

    def test_scaling_bytes_for_db_is_seen(self):
        content = encoded(30, 40)
        scaled = cv2.resize(decode_bgr(content), (64, 32)).astype(np.float32).transpose(2, 0, 1)
        rounded = (scaled - np.float32(scene.DB_MEAN)[:, np.newaxis, np.newaxis]) / np.float32(255)
        apart = np.abs(rounded - stretch_centred(content, (3, 32, 64))).max()
        assert 1e-3 < apart < 1 / 255


class TestSizes:
    @pytest.mark.parametrize(
        ("size", "wanted"),
        [
            ((720, 1280), (736, 1312)),
            ((1280, 720), (1312, 736)),
            ((736, 736), (736, 736)),
            ((1000, 1000), (992, 992)),
            ((752, 784), (768, 768)),
            ((10, 4000), (736, 294400)),
        ],
    )
    def test_the_general_rule_of_paddleocr(self, size, wanted):
        assert limit_side(*size) == wanted

    @pytest.mark.parametrize(
        ("size", "wanted"), [((720, 1280), (736, 1280)), ((1, 33), (32, 64)), ((736, 1280), (736, 1280))]
    )
    def test_the_rule_of_guide_003(self, size, wanted):
        assert up_to_32(*size) == wanted

    @given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
    def test_every_size_that_a_rule_gives_is_taken(self, size):
        for height, width in (limit_side(*size), up_to_32(*size)):
            assert height % 32 == width % 32 == 0
            assert min(height, width) >= 32
        assert min(limit_side(*size)) >= 736
        assert all(0 <= given - side < 32 for given, side in zip(up_to_32(*size), size, strict=True))
