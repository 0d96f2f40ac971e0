"""Outputs are read greedily, as the published decoders do, and only words that are decided beyond the bound are
compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.postprocess.recognition import ENGLISH, ENGLISH_CTC, LOWER_ATTENTION, LOWER_CTC, Greedy
from harness.postprocess.recognition import LOWER as ALPHABET

BLANK, CLASSES = LOWER_CTC.BLANK, LOWER_CTC.classes
compare, decode, encode = LOWER_CTC.compare, LOWER_CTC.decode, LOWER_CTC.encode
TEXTS = st.text(ALPHABET, max_size=12)
PATHS = st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=26)
SCORES = st.floats(-20, 0, width=32)
SPACES = (95, 96)
"""Both classes that PP-OCRv3 has for a space: the dictionary's own, and the one that is added."""


def scores_of(path: list[int], lead: float = 1.0, classes: int = CLASSES) -> np.ndarray:
    """Steps x classes scores whose best class a step is the path's, by ``lead``."""
    scores = np.full((len(path), classes), -5.0)
    scores[np.arange(len(path)), path] += lead
    return scores


def spelt(raw: str) -> list[int]:
    """The path that a raw reading with ``-`` for the blank stands for."""
    return [BLANK if character == "-" else encode(character)[0] for character in raw]


@st.composite
def aligned(draw, text: str) -> list[int]:
    """A path that CTC reads as the text: characters repeated, blanks between, one at least between equal ones."""
    path: list[int] = []
    for index in encode(text):
        blanks = draw(st.integers(int(bool(path) and path[-1] == index), 2))
        path += [BLANK] * blanks + [index] * draw(st.integers(1, 3))
    return path + [BLANK] * draw(st.integers(int(not path), 2))


class TestDecoding:
    @pytest.mark.parametrize(
        ("raw", "text"),
        [
            ("a-----v--a-i-l-a-bb-l-ee--", "available"),
            ("--------------------------", ""),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaa", "a"),
            ("hhe-l-ll-oo", "hello"),
            ("0-0", "00"),
            ("zz9", "z9"),
            ("-", ""),
        ],
    )
    def test_raw_readings_are_those_of_the_published_converter(self, raw, text):
        assert decode(scores_of(spelt(raw))) == text

    @given(st.data(), TEXTS)
    def test_every_alignment_of_a_text_decodes_to_it(self, data, text):
        assert decode(scores_of(data.draw(aligned(text)))) == text

    @given(PATHS)
    def test_repeating_every_step_changes_nothing(self, path):
        twice = [index for index in path for _ in range(2)]
        assert decode(scores_of(twice)) == decode(scores_of(path))

    @given(PATHS, st.floats(-3, 3), st.floats(0.1, 10))
    def test_scores_count_by_their_order_alone(self, path, shift, scale):
        assert decode(scores_of(path) * scale + shift) == decode(scores_of(path))

    def test_class_zero_is_the_blank_and_class_i_plus_one_is_character_i(self):
        assert [decode(scores_of([index])) for index in range(CLASSES)] == ["", *ALPHABET]


class TestEncoding:
    @given(TEXTS)
    def test_an_encoded_text_has_one_class_a_character_and_never_the_blank(self, text):
        assert [ALPHABET[index - 1] for index in encode(text)] == list(text)
        assert BLANK not in encode(text)

    @pytest.mark.parametrize(("text", "named"), [("Abc", "A"), ("03/09/2009", "/"), ("a b-", " -"), ("é", "é")])
    def test_characters_outside_the_alphabet_are_named(self, text, named):
        with pytest.raises(ValueError, match=f"label {text!r} holds {named!r}"):
            encode(text)


class TestComparing:
    @given(st.lists(PATHS, min_size=1, max_size=4).map(lambda paths: [(path * 26)[:26] for path in paths]))
    def test_equal_outputs_have_equal_texts_and_all_are_decided(self, paths):
        outputs = np.stack([scores_of(path) for path in paths])
        found = compare(outputs, outputs, bound=0.0)
        assert (found.n, found.compared, found.equal) == (len(paths), len(paths), len(paths))

    def test_only_words_whose_every_step_leads_by_more_than_twice_the_bound_are_compared(self):
        leads = (0.25, 0.5, 0.75)
        expected = np.stack([scores_of(spelt("a-b"), lead) for lead in leads])
        wrong = np.stack([scores_of(spelt("a-c"))] * 3)
        assert [compare(expected, wrong, bound).compared for bound in (0.1, 0.125, 0.25, 0.375)] == [3, 2, 1, 0]
        assert compare(expected, wrong, 0.1).equal == 0

    def test_one_undecided_step_leaves_the_whole_word_out(self):
        expected = np.stack([scores_of(spelt("a-b")), scores_of(spelt("a-b"))])
        expected[1, 1, BLANK] -= 0.9
        found = compare(expected, np.stack([scores_of(spelt("a-b")), scores_of(spelt("axb"))]), bound=0.1)
        assert (found.n, found.compared, found.equal) == (2, 1, 1)

    def test_a_tie_is_not_decided_even_at_bound_zero(self):
        assert compare(np.zeros((1, 3, CLASSES)), np.zeros((1, 3, CLASSES)), 0.0).compared == 0

    @given(arrays(np.float64, (3, 5, 6), elements=SCORES), st.floats(0.01, 5), st.data())
    def test_nothing_within_the_bound_turns_a_decided_word(self, expected, bound, data):
        noise = data.draw(arrays(np.float64, expected.shape, elements=st.floats(-bound, bound)))
        found = compare(expected, expected + noise, bound)
        assert found.equal == found.compared <= found.n == 3


def english(path: list[int]) -> str:
    return ENGLISH_CTC.decode(scores_of(path, classes=97))


def attended(path: list[int]) -> str:
    return LOWER_ATTENTION.decode(scores_of(path, classes=38))


def best_of(row: np.ndarray) -> int:
    """The first class that no other beats."""
    best = 0
    for index, score in enumerate(row):
        if score > row[best]:
            best = index
    return best


def plain_ctc(scores: np.ndarray) -> str:
    """``CTCLabelDecode``, step by step."""
    text, before = "", None
    for row in scores:
        best = best_of(row)
        if best not in (0, before):
            text += ENGLISH[best - 1]
        before = best
    return text


def plain_attention(scores: np.ndarray) -> str:
    """``AttnLabelDecode``, step by step: it goes on after the end."""
    text = ""
    for row in scores:
        best = best_of(row)
        if best not in (0, 37):
            text += ALPHABET[best - 1]
    return text


class TestPublishedDecoders:
    """Few levels and few classes make ties and repeats likely."""

    @given(arrays(np.float32, st.tuples(st.integers(1, 9), st.just(97)), elements=st.sampled_from([0, 0.25, 0.5])))
    def test_english_is_read_as_step_by_step(self, scores):
        assert ENGLISH_CTC.decode(scores) == plain_ctc(scores)

    @given(st.lists(st.sampled_from([0, 1, 2, 94, *SPACES]), min_size=1, max_size=40))
    def test_english_merges_repeats_and_drops_blanks_alone(self, path):
        assert english(path) == plain_ctc(scores_of(path, classes=97))

    @given(arrays(np.float32, st.tuples(st.integers(1, 25), st.just(38)), elements=st.sampled_from([0, 0.25, 0.5])))
    def test_attention_is_read_as_step_by_step(self, scores):
        assert LOWER_ATTENTION.decode(scores) == plain_attention(scores)

    @given(st.lists(st.sampled_from([0, 1, 2, 36, 37]), min_size=1, max_size=25))
    def test_attention_keeps_repeats_and_drops_starts_and_ends_alone(self, path):
        assert attended(path) == plain_attention(scores_of(path, classes=38))

    def test_attention_goes_on_after_the_end(self):
        assert attended([11, 12, 37, 13, 13, 0, 14, 37]) == "abccd"
        assert attended([37] * 25) == attended([0] * 25) == ""


class TestAlphabets:
    def test_english_is_the_published_dictionary_and_a_space(self, shared: Path):
        lines = (shared / "assets" / "weights" / "ppocrv3" / "en_dict.txt").read_text(encoding="utf-8").split("\n")
        assert list(ENGLISH) == [*(line for line in lines if line), " "]

    @pytest.mark.parametrize(("decoder", "classes"), [(LOWER_CTC, 37), (ENGLISH_CTC, 97), (LOWER_ATTENTION, 38)])
    def test_there_are_as_many_classes_as_the_networks_have(self, decoder, classes):
        assert decoder.classes == classes

    def test_every_class_is_read_as_its_character(self):
        assert [english([index]) for index in range(97)] == ["", *ENGLISH]
        assert [attended([index]) for index in range(38)] == ["", *ALPHABET, ""]

    def test_a_space_is_read_from_two_classes_and_written_as_the_last(self):
        assert ENGLISH_CTC.encode("a b") == [*ENGLISH_CTC.encode("a"), 96, *ENGLISH_CTC.encode("b")]
        assert [english([index]) for index in SPACES] == [" ", " "]
        assert english([*SPACES]) == "  "
        assert english([96, 96]) == " "

    @given(st.text(ENGLISH, max_size=20))
    def test_an_english_text_with_blanks_between_is_read_again(self, text):
        path = [index for each in ENGLISH_CTC.encode(text) for index in (0, each)]
        assert english([*path, 0]) == text

    @given(st.text(ALPHABET, max_size=23))
    def test_a_text_between_its_start_and_its_end_is_read_again(self, text):
        assert attended([0, *LOWER_ATTENTION.encode(text), LOWER_ATTENTION.eos]) == text

    @pytest.mark.parametrize(("decoder", "text"), [(ENGLISH_CTC, "café"), (LOWER_ATTENTION, "Word")])
    def test_what_a_decoder_cannot_write_is_refused(self, decoder, text):
        with pytest.raises(ValueError, match="outside the alphabet"):
            decoder.encode(text)


class TestDecided:
    BOUNDS = arrays(np.float64, 4, elements=st.sampled_from([0.0, 0.125, 0.25, 0.5]))
    OUTPUTS = arrays(np.float64, (4, 3, 5), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0]))

    def plain(self, expected: np.ndarray, bounds: list[float]) -> list[bool]:
        found = []
        for item, bound in zip(expected, bounds, strict=True):
            first_two = [sorted(step, reverse=True)[:2] for step in item]
            found.append(all(first - second > 2 * bound for first, second in first_two))
        return found

    @given(st.sampled_from([ENGLISH_CTC, LOWER_ATTENTION]), OUTPUTS, BOUNDS)
    def test_each_word_is_decided_by_its_own_bound(self, decoder: Greedy, expected, bounds):
        assert decoder.decided(expected, bounds).tolist() == self.plain(expected, list(bounds))

    @given(OUTPUTS, st.sampled_from([0.0, 0.125, 0.25, 0.5]))
    def test_one_bound_is_that_of_every_word(self, expected, bound):
        found = LOWER_ATTENTION.decided(expected, bound)
        assert found.tolist() == self.plain(expected, [bound] * 4)
        assert found.tolist() == LOWER_ATTENTION.decided(expected, np.full(4, bound)).tolist()

    @given(OUTPUTS)
    def test_below_no_lead_at_all_every_word_is_decided(self, expected):
        assert LOWER_ATTENTION.decided(expected, -1.0).all()
