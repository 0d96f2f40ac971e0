"""Lessons are functions of seed and step, and what they teach is what is drawn."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from harness.datasets.rendered.curved import DASH, FULL, LINES, CurvedWord, draw_curved
from harness.datasets.rendered.words import encode_png
from harness.networks.crnn import Crnn
from harness.networks.rare import START, STEPS, Rare
from harness.networks.svtr_lcnet import SvtrLcnet
from harness.networks.tps import Sampler
from harness.postprocess.recognition import ENGLISH, ENGLISH_CTC, LOWER, LOWER_ATTENTION
from harness.preprocess.text_line import preprocess
from harness.registry import PROJECT, load_models, resolve
from harness.training import attention, lines, recognition
from harness.training.attention import CurvedWords
from harness.training.glyphs import NONE, Pupil, edges_in_input, glyphs_of, pictures_of
from harness.training.lines import TextLines
from harness.training.recognition import Words

SEEDS, STEPS_OF_TRAINING = st.integers(0, 2**31), st.sampled_from([0, 149, 150, 299, 300, 499, 500, 1599, 1600, 2199])
DASHED = replace(FULL, marks=("dash",))


pytestmark = pytest.mark.usefixtures("one_thread")


def flat(batch: object) -> list[object]:
    """The parts of a batch, of whatever kind it is."""
    parts = [getattr(batch, field.name) for field in fields(batch)] if is_dataclass(batch) else list(batch)
    return [part.tolist() if isinstance(part, torch.Tensor) else part for part in parts]


def one_hot(classes: list[int], count: int) -> np.ndarray:
    return np.eye(count)[classes]


def drawn_text(word: CurvedWord) -> str:
    return "".join(glyph for glyph, _, _ in word.glyphs)


def without_repeats(classes: list[int]) -> list[int]:
    return [each for each, _ in groupby(classes) if each != NONE]


def is_subsequence(part: list[int], whole: list[int]) -> bool:
    rest = iter(whole)
    return all(each in rest for each in part)


class TestBatches:
    @pytest.mark.parametrize("lessons", [CurvedWords(), TextLines(), Words()], ids=["curved", "lines", "words"])
    def test_a_batch_is_a_function_of_seed_step_and_size(self, lessons):
        first, again, next_one, other_seed = (
            flat(lessons.batch(seed, step, 3)) for seed, step in ((5, 2), (5, 2), (5, 3), (6, 2))
        )
        assert first == again
        assert first[0] not in (next_one[0], other_seed[0])
        assert len(first[0]) == 3

    @pytest.mark.parametrize("lessons", [CurvedWords(), TextLines(), Words()], ids=["curved", "lines", "words"])
    def test_steps_follow_each_other_in_the_set(self, lessons):
        together = flat(lessons.batch(5, 1, 4))
        halves = [flat(lessons.batch(5, step, 2)) for step in (2, 3)]
        for whole, left, right in zip(together, *halves, strict=True):
            assert whole == left + right

    def test_the_manners_of_curved_words_become_harder(self):
        for step, manner in zip((0, 149, 150, 299, 300, 499), (0, 0, 1, 1, 2, 2), strict=True):
            words = [draw_curved(9, 2 * step + item, attention.MANNERS[manner][1]) for item in range(2)]
            assert torch.equal(CurvedWords().batch(9, step, 2).pictures, pictures_of(words, attention.SHAPE))
        words = [draw_curved(9, 1000 + item) for item in range(2)]
        assert torch.equal(CurvedWords().batch(9, 500, 2).pictures, pictures_of(words, attention.SHAPE))

    @given(SEEDS, st.sampled_from([attention.SHAPE, lines.SHAPE]))
    def test_pictures_are_fed_as_the_suite_feeds_them(self, seed, shape):
        word = draw_curved(seed, 0)
        assert np.array_equal(pictures_of([word], shape)[0].numpy(), preprocess(encode_png(word.picture), shape))

    @pytest.mark.parametrize(("step", "width"), [(0, 160), (1599, 160), (1600, 320), (2999, 320)])
    def test_the_first_lines_are_half_as_wide(self, step, width):
        batch = TextLines().batch(1, step, 2)
        assert batch.pictures.shape == (2, 3, 48, width)
        assert batch.glyphs.shape == (2, width // 8)


class TestWhatIsSaid:
    @given(SEEDS, STEPS_OF_TRAINING)
    def test_what_each_step_must_say_is_read_as_the_label(self, seed, step):
        batch = CurvedWords().batch(seed, step, 2)
        manner = next((manner for end, manner in attention.MANNERS if step < end), FULL)
        for item, said in enumerate(batch.said.tolist()):
            label = draw_curved(seed, 2 * step + item, manner).label.lower()
            assert (len(said), said[0]) == (STEPS + 1, START)
            assert LOWER_ATTENTION.decode(one_hot(said[1:], 38)) == label
            end = len(said) - said[::-1].index(LOWER_ATTENTION.eos)
            assert set(said[end:]) == {START}

    @given(SEEDS)
    def test_a_dash_is_taught_as_an_end_after_which_the_word_goes_on(self, seed):
        word = draw_curved(seed, 0, DASHED)
        said = attention._said(word)
        place = drawn_text(word).index(DASH)
        assert said.count(LOWER_ATTENTION.eos) == 2
        assert said[1 + place] == LOWER_ATTENTION.eos
        assert LOWER_ATTENTION.decode(one_hot(said[1 : 1 + place], 38)) == word.label.lower()[:place]
        assert LOWER_ATTENTION.decode(one_hot(said[1:], 38)) == word.label.lower()

    @given(SEEDS, st.sampled_from([0, 1600]))
    def test_the_classes_of_a_line_are_its_label_with_its_case(self, seed, step):
        batch = TextLines().batch(seed, step, 2)
        for item, classes in enumerate(batch.targets):
            assert "".join(ENGLISH[each - 1] for each in classes) == draw_curved(seed, 2 * step + item, LINES).label

    @given(SEEDS)
    def test_the_classes_of_a_word_are_its_label_in_lower_case(self, seed):
        _, targets = Words().batch(seed, 0, 2)
        labels = [recognition.draw_word(seed, item)[1].lower() for item in range(2)]
        assert ["".join(LOWER[each - 1] for each in classes) for classes in targets] == labels


class TestWhereItIs:
    @given(SEEDS, st.sampled_from([FULL, LINES]), st.sampled_from([attention.SHAPE, lines.NARROW, lines.SHAPE]))
    def test_edges_are_those_of_the_picture_at_the_size_that_it_is_fed_in(self, seed, manner, shape):
        word = draw_curved(seed, 0, manner)
        width, height = word.picture.size
        fed = min(shape[2], int(np.ceil(shape[1] * width / height)))
        found = edges_in_input(word, shape)
        assert np.allclose(found / [fed / width, shape[1] / height], word.edges)
        filled = np.flatnonzero(pictures_of([word], shape)[0].numpy().any(axis=(0, 1)))
        assert found[:, 0].min() >= 0
        assert found[:, 0].max() <= filled.max() + 1

    @given(SEEDS)
    def test_the_sampler_finds_the_edges_at_the_taught_fiducials(self, seed):
        word = draw_curved(seed, 0)
        _, height, width = attention.SHAPE
        column = torch.arange(width, dtype=torch.float64).expand(height, width)
        row = torch.arange(height, dtype=torch.float64)[:, None].expand(height, width)
        taught = attention._fiducials(word).double().view(1, 20, 1, 2)
        sampled = Sampler()(torch.stack([column, row])[None], taught)[0, :, :, 0].numpy().T
        # Half a pixel: the centre of the first pixel is half a pixel from the side of the picture. What lies nearer
        # to the side than that is outside of all centres, and read as nothing.
        wanted = edges_in_input(word, attention.SHAPE) - 0.5
        inside = ((wanted >= 0) & (wanted <= [width - 1, height - 1])).all(axis=1)
        assert inside.any()
        assert np.abs(sampled - wanted)[inside].max() < 1e-4

    def test_a_batch_teaches_the_fiducials_and_glyphs_of_its_words(self):
        batch = CurvedWords().batch(3, 600, 2)
        for item in range(2):
            word = draw_curved(3, 1200 + item)
            assert torch.equal(batch.fiducials[item], attention._fiducials(word))
            assert batch.glyphs[item].tolist() == attention._glyphs(word)
        assert batch.fiducials.shape == (2, 20, 2)
        assert batch.fiducials.dtype == batch.pictures.dtype == torch.float32


class TestGlyphs:
    def order_of(self, word: CurvedWord, encode) -> list[int]:
        return without_repeats([NONE if glyph == DASH else encode(glyph)[0] for glyph in drawn_text(word)])

    @given(SEEDS, st.sampled_from([FULL, DASHED]))
    def test_columns_of_a_rectified_word_show_its_characters_in_their_order(self, seed, manner):
        word = draw_curved(seed, 0, manner)
        columns = attention._glyphs(word)
        assert len(columns) == STEPS
        assert is_subsequence(
            without_repeats(columns), self.order_of(word, lambda glyph: LOWER_ATTENTION.encode(glyph.lower()))
        )
        for column, shown in enumerate(columns):
            middle = (column + 0.5) / STEPS
            over = [glyph for glyph, begin, end in word.glyphs if begin <= middle < end]
            assert (LOWER[shown - 1] if shown else "") == "".join(over).lower().replace(DASH, "")

    @given(SEEDS, st.sampled_from([0, 1600]))
    def test_columns_of_a_line_show_its_characters_where_they_stand(self, seed, step):
        batch = TextLines().batch(seed, step, 1)
        word = draw_curved(seed, step, LINES)
        columns = batch.glyphs[0].tolist()
        assert is_subsequence(without_repeats(columns), self.order_of(word, ENGLISH_CTC.encode))
        edges = edges_in_input(word, tuple(batch.pictures.shape[1:]))[:, 0]
        shown = [8 * column + 4 for column, each in enumerate(columns) if each != NONE]
        assert shown
        assert edges.min() <= shown[0] <= shown[-1] <= edges.max()
        assert {each for each in columns if each} <= set(ENGLISH_CTC.encode(word.label))

    def test_the_extent_says_where_a_word_begins_and_ends(self):
        word = CurvedWord(None, "ab", np.zeros((20, 2)), (("a", 0.0, 0.5), (DASH, 0.5, 0.75), ("b", 0.75, 1.0)))
        assert glyphs_of(word, (0.0, 1.0), 8, "-ab".index) == [1, 1, 1, 1, 0, 0, 2, 2]
        assert glyphs_of(word, (0.5, 1.0), 8, "-ab".index) == [0, 0, 0, 0, 1, 1, 0, 2]
        assert glyphs_of(word, (0.25, 0.75), 8, "-ab".index) == [0, 0, 1, 1, 0, 2, 0, 0]


def tiny_rare() -> Pupil:
    torch.manual_seed(0)
    network = Rare(width=0.125, hidden=16)
    return Pupil(network, network.backbone.out_channels, LOWER_ATTENTION.classes - 1)


def tiny_lines() -> Pupil:
    torch.manual_seed(0)
    network = SvtrLcnet(width=0.125, hidden=16)
    return Pupil(network, network.backbone.out_channels, network.classes)


class TestTeaching:
    @pytest.mark.parametrize(
        ("lessons", "make"), [(CurvedWords(), tiny_rare), (TextLines(), tiny_lines)], ids=["curved", "lines"]
    )
    def test_a_few_steps_on_the_same_words_lower_the_loss_and_every_weight_learns(self, lessons, make):
        pupil, batch, losses = make(), lessons.batch(1, 0, 4), []
        pupil.train()
        optimiser = torch.optim.Adam(pupil.parameters(), lr=5e-3)
        for step in range(6):
            loss = lessons.loss(pupil, batch)
            optimiser.zero_grad()
            loss.backward()
            losses.append(loss.item())
            # In the first step the rectification is the rectangle, whatever the picture: only its last layer learns.
            for name, parameter in pupil.named_parameters():
                assert torch.isfinite(parameter.grad).all(), name
                assert parameter.grad.any() or (step == 0 and "loc_net" in name), name
            optimiser.step()
        assert losses[-1] < 0.9 * losses[0]
        assert all(np.isfinite(losses))

    def test_the_loss_is_that_of_characters_glyphs_and_edges(self):
        """Each step is fed the true character: told to say what it says by itself, it is fed what it feeds itself."""
        pupil, batch = tiny_rare().eval(), CurvedWords().batch(1, 600, 3)
        with torch.inference_mode():
            for parameter in pupil.network.head.parameters():
                parameter.mul_(16)
            # One of the characters that it says becomes the start, which weighs less.
            second = int(pupil(batch.pictures)[0, 1].argmax())
            for parameter in pupil.network.head.generator.parameters():
                parameter[[START, second]] = parameter[[second, START]]
            own = pupil(batch.pictures)
            said = torch.cat([torch.full((3, 1), START), own.argmax(dim=2)], dim=1)
            found = CurvedWords().loss(pupil, replace(batch, said=said)).item()
            straightened = pupil.network.transform(batch.pictures)
            glyphs = pupil.glyphs(pupil.network.backbone(straightened).squeeze(2).transpose(1, 2)).softmax(dim=2)
            points = pupil.network.transform.loc_net(batch.pictures)
        weights = np.where(said[:, 1:].numpy() == START, 0.1, 1.0)
        characters = (-np.log(own.max(dim=2).values.numpy()) * weights).sum() / weights.sum()
        of_columns = -np.log(np.take_along_axis(glyphs.numpy(), batch.glyphs.numpy()[..., None], 2)).mean()
        edges = ((points - batch.fiducials).numpy() ** 2).mean()
        assert len(set(weights.flatten())) == 2
        assert min(characters, of_columns, edges) > 0.01
        assert found == pytest.approx(characters + of_columns + 2 * edges, rel=1e-4)

    @pytest.mark.parametrize(
        ("lessons", "other", "taught"),
        [(CurvedWords(), Crnn(width=0.0625), "RARE"), (TextLines(), Crnn(width=0.0625), "SVTR-LCNet")],
    )
    def test_lessons_for_another_network_are_refused_with_both_names(self, lessons, other, taught):
        with pytest.raises(TypeError, match=rf"a pupil of {taught}, not a Crnn"):
            lessons.loss(other, lessons.batch(1, 0, 1))
        with pytest.raises(TypeError, match=rf"a pupil of {taught}, not a"):
            lessons.loss(Pupil(other, 8, 38), lessons.batch(1, 0, 1))

    @pytest.mark.parametrize(
        ("module", "make", "taught"),
        [(attention, SvtrLcnet, "Rare"), (lines, Rare, "SvtrLcnet"), (lines, nn.Identity, "SvtrLcnet")],
    )
    def test_so_is_their_training(self, module, make, taught, tmp_path: Path):
        params = load_models()["rare"].training.params
        with pytest.raises(TypeError, match=rf"these lessons are for {taught}, not for a {make.__name__}"):
            module.train(make, params, tmp_path, lambda line: None)

    @pytest.mark.parametrize(
        ("name", "lessons"), [("rare", CurvedWords()), ("ppocr_rec", TextLines()), ("crnn", Words())]
    )
    def test_a_trained_network_reads_most_words_of_the_held_out_set(self, name, lessons):
        model = load_models()[name]
        network = resolve(model.network)(**model.reference("bundled").network_params).eval()
        state = load_file(PROJECT / "suites" / "references" / name / f"{name}.safetensors")
        network.load_state_dict({key: value.float() for key, value in state.items()})
        with torch.inference_mode():
            hits = [lessons.hits(network, 2, count) for count in (10, 60)]
            blind = lessons.hits(nn.Sequential(nn.Threshold(99, -1.0), network), 2, 10)
        assert 8 <= hits[0] <= 10
        assert 50 <= hits[1] <= 60
        assert blind == 0
