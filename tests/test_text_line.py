"""Pictures become inputs as PaddleOCR prepares them: aspect kept, width rounded up, grey padding, blue first."""

from __future__ import annotations

import io
import math
import struct
import zlib
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.checkpoints.paddle_pickle import read_saved
from harness.datasets.rendered.words import draw_word
from harness.preprocess.text_line import arrange, decode_bgr, normalise, preprocess, resize

SHAPES = st.sampled_from([(3, 48, 192), (3, 48, 320), (3, 32, 100)]) | st.tuples(
    st.just(3), st.integers(1, 60), st.integers(1, 200)
)
EXTREME = [(1, 1), (10_000, 10), (10, 10_000), (1, 3000), (3000, 1), (192, 48), (193, 48), (191, 48), (320, 48)]
SIZES = st.tuples(st.integers(1, 400), st.integers(1, 200)) | st.sampled_from(EXTREME)
"""Columns and rows."""


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    columns, rows = size
    return np.random.default_rng(seed).integers(0, 256, size=(rows, columns, 3), dtype=np.uint8)


def encoded(picture: Image.Image | np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    made = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    made.save(buffer, format=kind)
    return buffer.getvalue()


def claiming(size: tuple[int, int]) -> bytes:
    """A whole and valid PNG header that claims a size, over a small picture's data."""
    whole = bytearray(encoded(noise((8, 8))))
    whole[16:24] = struct.pack(">II", *size)
    whole[29:33] = struct.pack(">I", zlib.crc32(bytes(whole[12:29])))
    return bytes(whole)


def wanted(size: tuple[int, int], shape: tuple[int, ...]) -> int:
    """The columns that a picture fills, in exact arithmetic."""
    return min(shape[2], math.ceil(Fraction(shape[1] * size[0], size[1])))


class TestGeometry:
    @given(SIZES, SHAPES)
    def test_the_height_is_filled_and_the_width_follows_the_aspect_rounded_up(self, size, shape):
        found = resize(noise(size), *shape[1:])
        assert (found.shape, found.dtype) == ((shape[1], wanted(size, shape), 3), np.uint8)

    @given(SIZES, SHAPES)
    def test_a_white_picture_is_one_where_it_lies_and_exactly_zero_beside(self, size, shape):
        found = arrange(np.full((size[1], size[0], 3), 255, np.uint8), shape)
        width = wanted(size, shape)
        assert (found.shape, found.dtype) == (shape, np.float32)
        assert (found[:, :, :width] == 1).all()
        assert (found[:, :, width:] == 0).all()

    @given(SIZES, SHAPES, st.integers(0, 99))
    def test_any_picture_lies_between_minus_one_and_one_with_grey_beside(self, size, shape, seed):
        found = arrange(noise(size, seed), shape)
        assert -1 <= found.min() <= found.max() <= 1
        assert not found[:, :, wanted(size, shape) :].any()
        assert np.array_equal(found[:, :, : wanted(size, shape)], normalise(resize(noise(size, seed), *shape[1:])))

    @pytest.mark.parametrize(
        ("size", "width"),
        [
            ((1, 1), 48),
            ((10_000, 10), 192),
            ((10, 10_000), 1),
            ((1, 10_000), 1),
            ((192, 48), 192),
            ((193, 48), 192),
            ((191, 48), 191),
            ((100, 33), 146),
            ((100, 32), 150),
            ((33, 100), 16),
            ((96, 24), 192),
            ((97, 49), 96),
            ((2, 97), 1),
        ],
    )
    def test_widths_by_hand(self, size, width):
        assert resize(noise(size), 48, 192).shape[1] == width

    def test_a_picture_of_the_inputs_size_keeps_its_pixels(self):
        made = noise((192, 48))
        assert np.array_equal(resize(made, 48, 192), made)

    def test_width_and_height_are_not_exchanged(self):
        made = np.zeros((48, 192, 3), np.uint8)
        made[:, :96] = 255
        found = arrange(made, (3, 48, 192))
        assert found[:, :, :96].min() == 1
        assert found[:, :, 96:].max() == -1


class TestNumbers:
    def test_two_pixels_scaled_by_two_are_the_numbers_of_a_hand_calculation(self):
        # Pixel centres: columns at -0.25, 0.25, 0.75 and 1.25 of two pixels, the ends held.
        made = np.zeros((1, 2, 3), np.uint8)
        made[0, 1] = (100, 200, 40)
        levels = np.array([[0, 25, 75, 100], [0, 50, 150, 200], [0, 10, 30, 40]])
        expected = np.zeros((3, 2, 5))
        expected[:, :, :4] = levels[:, None, :] / 127.5 - 1
        assert np.abs(arrange(made, (3, 2, 5)) - expected).max() < 1e-7

    def test_two_rows_scaled_by_two_are_the_numbers_of_a_hand_calculation(self):
        made = np.zeros((2, 1, 3), np.uint8)
        made[1] = 100
        expected = np.zeros((3, 4, 3))
        expected[:, :, :2] = np.array([0, 25, 75, 100])[None, :, None] / 127.5 - 1
        assert np.abs(arrange(made, (3, 4, 3)) - expected).max() < 1e-7

    def test_bilinear_is_neither_bicubic_nor_nearest_nor_area(self):
        made = noise((300, 120))
        found = resize(made, 48, 192).astype(int)
        for other in (cv2.INTER_CUBIC, cv2.INTER_NEAREST, cv2.INTER_AREA, cv2.INTER_LANCZOS4):
            levels: Any = cv2.resize(made, found.shape[1::-1], interpolation=other)
            assert np.abs(found - levels.astype(int)).max() > 3

    def test_every_level_becomes_its_own_number(self):
        levels = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
        found = normalise(levels)
        assert (found.shape, found.dtype) == ((3, 1, 256), np.float32)
        assert (found[0, 0, 0], found[0, 0, 255]) == (-1, 1)
        assert np.abs(found - (np.arange(256) / 127.5 - 1)).max() < 1e-7
        assert np.unique(found).size == 256

    def test_no_level_is_the_number_of_the_padding(self):
        assert np.abs(normalise(np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2))).min() > 0.003

    @pytest.mark.parametrize("size", [(30, 48), (9, 5)])
    def test_pure_colours_come_blue_first(self, size):
        for channel, colour in enumerate([(0, 0, 255), (0, 255, 0), (255, 0, 0)]):
            found = preprocess(encoded(Image.new("RGB", size, colour)), (3, 48, 192))
            width = wanted(size, (3, 48, 192))
            assert [float(plane[:, :width].mean()) for plane in found] == [
                1 if plane == channel else -1 for plane in range(3)
            ]


class TestDecoding:
    @given(st.tuples(st.integers(1, 40), st.integers(1, 20)), st.integers(0, 99))
    def test_a_colour_picture_is_its_pixels_with_blue_first(self, size, seed):
        made = noise(size, seed)
        assert np.array_equal(decode_bgr(encoded(made)), made[:, :, ::-1])

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
    def test_the_encoding_does_not_matter_where_it_keeps_the_pixels(self, kind):
        made = noise((60, 20))
        assert np.array_equal(preprocess(encoded(made, kind), (3, 48, 192)), arrange(made[:, :, ::-1], (3, 48, 192)))

    @pytest.mark.parametrize("mode", ["L", "LA", "1", "P"])
    def test_a_grey_picture_is_three_equal_planes(self, mode):
        made = Image.fromarray(np.array([[0, 255, 255], [255, 0, 0]], np.uint8)).convert(mode)
        assert decode_bgr(encoded(made)).tolist() == [[[0] * 3, [255] * 3, [255] * 3], [[255] * 3, [0] * 3, [0] * 3]]

    @pytest.mark.parametrize("alpha", [0, 128, 255])
    def test_alpha_is_dropped_and_not_mixed_in(self, alpha):
        assert (
            decode_bgr(encoded(Image.new("RGBA", (3, 2), (200, 30, 90, alpha)))).tolist() == [[[90, 30, 200]] * 3] * 2
        )

    @pytest.mark.parametrize(
        ("level", "byte"), [(0, 0), (255, 0), (256, 1), (0x7FFF, 127), (0x80FF, 128), (0xFFFF, 255)]
    )
    def test_sixteen_bits_become_their_upper_eight(self, level, byte):
        found = decode_bgr(encoded(np.full((2, 3), level, np.uint16)))
        assert (found.shape, found.dtype, np.unique(found).tolist()) == ((2, 3, 3), np.uint8, [byte])

    @pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", bytes(100)])
    def test_bytes_that_are_no_picture_are_an_error_of_their_kind(self, content):
        with pytest.raises(ValueError, match=r"OpenCV (cannot decode it: .|knows no such format)"):
            preprocess(content, (3, 48, 192))

    @given(st.floats(0, 0.98), st.sampled_from(["PNG", "JPEG", "BMP", "TIFF"]))
    def test_a_truncated_picture_is_an_error_of_its_kind(self, part, kind):
        whole = encoded(draw_word(2, 0)[0], kind)
        with pytest.raises(ValueError, match="OpenCV"):
            preprocess(whole[: int(len(whole) * part)], (3, 48, 192))

    @given(st.data(), st.sampled_from(["PNG", "JPEG", "BMP"]))
    def test_a_damaged_picture_is_read_or_an_error_of_its_kind(self, data, kind):
        damaged = bytearray(encoded(draw_word(2, 0)[0], kind))
        for at in data.draw(st.lists(st.integers(len(damaged) // 2, len(damaged) - 1), min_size=1, max_size=4)):
            damaged[at] = data.draw(st.integers(0, 255))
        try:
            found = preprocess(bytes(damaged), (3, 48, 192))
        except ValueError as error:
            told = str(error)
            assert told.startswith("OpenCV "), told
        else:
            assert found.shape == (3, 48, 192)
            assert np.abs(found).max() <= 1

    @pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 1), (0, 5)])
    def test_a_header_that_claims_another_size_is_an_error_of_its_kind(self, size):
        with pytest.raises(ValueError, match="OpenCV"):
            preprocess(claiming(size), (3, 48, 192))

    def test_a_header_of_the_true_size_is_read(self):
        assert np.array_equal(decode_bgr(claiming((8, 8))), noise((8, 8))[:, :, ::-1])


class TestPublished:
    """The vendor prepared these with PaddleOCR itself, from pictures that are not here."""

    @staticmethod
    def filled(tensor: np.ndarray) -> int:
        """The columns before the padding."""
        return int(np.flatnonzero(tensor.any(axis=(0, 1)))[-1]) + 1

    @pytest.mark.parametrize(("name", "count"), [("rec_b1_10", 10), ("cls_b1", 30)])
    def test_the_vendors_numbers_are_these_normalised_levels_bit_for_bit(self, shared, name, count):
        batches = read_saved(shared / "assets" / "knight" / f"{name}.pd")
        assert len(batches) == count
        for (_, tensors), *_ in batches:
            (tensor,) = tensors
            content = tensor[:, :, : self.filled(tensor)]
            levels = np.rint((content.astype(np.float64) + 1) * 127.5).astype(np.uint8)
            assert np.array_equal(normalise(levels.transpose(1, 2, 0)), content)

    def test_the_vendors_padding_is_zero_beside_a_width_that_fits_the_valid_ratio(self, shared):
        widths = []
        for batch in read_saved(shared / "assets" / "knight" / "rec_b1_10.pd"):
            (tensor,), (ratio,) = batch[0][1], batch[-1][1]
            assert (tensor.shape, ratio.dtype) == ((3, 48, 320), np.float64)
            width = self.filled(tensor)
            assert width / 320 == ratio
            assert not tensor[:, :, width:].any()
            assert (tensor[:, :, :width] != 0).all()
            widths.append(width)
        assert len(widths) == 10
        assert min(widths) < 320

    def test_a_picture_of_the_vendors_width_gives_the_vendors_padding(self, shared):
        for batch in read_saved(shared / "assets" / "knight" / "rec_b1_10.pd"):
            (tensor,) = batch[0][1]
            width = self.filled(tensor)
            content = np.rint((tensor[:, :, :width].astype(np.float64) + 1) * 127.5).astype(np.uint8)
            assert np.array_equal(arrange(np.ascontiguousarray(content.transpose(1, 2, 0)), (3, 48, 320)), tensor)
