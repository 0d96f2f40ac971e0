"""Pictures become CRNN's input exactly as the guide prepares them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.datasets.rendered.words import draw_word, encode_png
from harness.preprocess.text_line import normalise_grey, stretch_grey

SHAPE = (1, 32, 100)

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 120))


def preprocess(content: bytes) -> np.ndarray:
    return stretch_grey(content, SHAPE)


def normalise(made: Image.Image) -> np.ndarray:
    return normalise_grey(made, SHAPE)


def picture(size: tuple[int, int], mode: str = "L", seed: int = 0) -> Image.Image:
    """Noise in a mode."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    noise = np.random.default_rng(seed).integers(0, 256, size=(size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(noise.squeeze(-1) if channels == 1 else noise)


def encoded(made: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    made.save(buffer, format=kind)
    return buffer.getvalue()


def claiming(size: tuple[int, int]) -> bytes:
    """A whole and valid PNG header that claims a size, over a small picture's data."""
    whole = bytearray(encoded(picture((8, 8))))
    whole[16:24] = struct.pack(">II", *size)
    whole[29:33] = struct.pack(">I", zlib.crc32(bytes(whole[12:29])))
    return bytes(whole)


class TestInput:
    @given(SIZES, st.sampled_from(["L", "RGB", "RGBA"]), st.integers(0, 99))
    def test_any_picture_becomes_one_grey_plane_between_minus_one_and_one(self, size, mode, seed):
        found = preprocess(encoded(picture(size, mode, seed)))
        assert (found.shape, found.dtype) == (SHAPE, np.float32)
        assert found.min() >= -1
        assert found.max() <= 1

    @given(SIZES, st.sampled_from(["L", "RGB"]), st.integers(0, 99))
    def test_it_is_pillows_grey_and_bicubic_scaled_to_minus_one_and_one(self, size, mode, seed):
        made = picture(size, mode, seed)
        levels = np.asarray(made.convert("L").resize((100, 32), Image.Resampling.BICUBIC), dtype=np.float64)
        assert np.abs(preprocess(encoded(made))[0] - (levels / 127.5 - 1)).max() < 2e-7

    def test_black_white_and_middle_grey_are_minus_one_one_and_nearly_zero(self):
        ends = [float(normalise(Image.new("L", (5, 5), level)).mean()) for level in (0, 255, 128)]
        assert ends == [-1.0, 1.0, pytest.approx(1 / 255, abs=1e-7)]

    def test_bicubic_is_neither_bilinear_nor_nearest(self):
        made = draw_word(2, 0)[0]
        found = normalise(made)[0]
        for other in (Image.Resampling.BILINEAR, Image.Resampling.NEAREST, Image.Resampling.LANCZOS):
            levels = np.asarray(made.resize((100, 32), other), dtype=np.float64)
            assert np.abs(found - (levels / 127.5 - 1)).max() > 0.01

    def test_width_and_height_are_not_exchanged(self):
        left_dark = Image.new("L", (100, 32), 255)
        left_dark.paste(0, (0, 0, 50, 32))
        found = normalise(left_dark)[0]
        assert found[:, :40].max() == -1
        assert found[:, 60:].min() == 1

    @pytest.mark.parametrize("size", [(1, 1), (10_000, 10), (10, 10_000), (1, 5000), (100, 32)])
    def test_extreme_sizes_become_the_same_input_shape(self, size):
        found = preprocess(encoded(Image.new("L", size, 51)))
        assert found.shape == (1, 32, 100)
        assert found == pytest.approx(51 / 127.5 - 1, abs=1e-6)

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
    def test_the_encoding_does_not_matter_where_it_keeps_the_pixels(self, kind):
        made = draw_word(2, 1)[0]
        assert np.array_equal(preprocess(encoded(made, kind)), normalise(made))

    def test_a_picture_of_the_benchmark_is_read(self, shared):
        from harness.datasets.lmdb_words import LmdbWords

        reader = LmdbWords(shared / "assets" / "data_lmdb_release" / "evaluation" / "IC03_100")
        found = np.stack([preprocess(sample.content) for sample in reader.samples(start=90)])
        reader.close()
        assert found.shape == (10, 1, 32, 100)
        assert found.std(axis=(1, 2, 3)).min() > 0.01


class TestDamage:
    @pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", bytes(100)])
    def test_bytes_that_are_no_picture_are_an_error_of_their_kind(self, content):
        with pytest.raises((OSError, ValueError)):
            preprocess(content)

    @given(st.floats(0, 0.98), st.sampled_from(["PNG", "JPEG", "BMP", "GIF"]))
    def test_a_truncated_picture_is_an_error_of_its_kind(self, part, kind):
        whole = encoded(draw_word(2, 0)[0], kind)
        with pytest.raises((OSError, ValueError)):
            preprocess(whole[: int(len(whole) * part)])

    @given(st.data(), st.sampled_from(["PNG", "JPEG", "GIF"]))
    def test_a_damaged_picture_is_read_or_an_error_of_its_kind(self, data, kind):
        damaged = bytearray(encoded(draw_word(2, 0)[0], kind))
        for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
            damaged[at] = data.draw(st.integers(0, 255))
        try:
            found = preprocess(bytes(damaged))
        except (OSError, ValueError):
            return
        assert found.shape == (1, 32, 100)

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000)], ids=["warned of", "refused"])
    def test_a_header_that_claims_an_enormous_picture_is_an_error_of_its_kind(self, size):
        with pytest.raises((OSError, ValueError)):
            preprocess(claiming(size))

    def test_a_header_of_the_true_size_is_read(self):
        assert preprocess(claiming((8, 8))).shape == (1, 32, 100)

    def test_a_png_of_a_rendered_word_is_read_as_it_was_drawn(self):
        made = draw_word(2, 3)[0]
        assert np.array_equal(preprocess(encode_png(made)), normalise(made))
