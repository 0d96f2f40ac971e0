"""CTC outputs are read greedily, and only words that are decided beyond the bound are compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.postprocess.recognition import LOWER as ALPHABET
from harness.postprocess.recognition import LOWER_CTC

BLANK, CLASSES = LOWER_CTC.BLANK, LOWER_CTC.classes
compare, decode, encode = LOWER_CTC.compare, LOWER_CTC.decode, LOWER_CTC.encode
TEXTS = st.text(ALPHABET, max_size=12)
PATHS = st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=26)
SCORES = st.floats(-20, 0, width=32)


def scores_of(path: list[int], lead: float = 1.0) -> np.ndarray:
    """Steps x classes scores whose best class a step is the path's, by ``lead``."""
    scores = np.full((len(path), CLASSES), -5.0)
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
