"""Labels that upstream could not teach are kept, left out or replaced as declared, and a report can say how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.datasets import DataError, Sample
from harness.datasets.lmdb_words import write_words
from harness.datasets.picture_list import write_pictures
from harness.datasets.word_sets import WordSets, is_usable, open_words
from harness.declaration import DeclarationError
from tests.word_folders import build, expected, read

CHARACTERS = st.sampled_from("aZ09zA -!'\u00e9\u0130\u212a\u00df\u4e2d")
LABELS = st.one_of(
    st.text(CHARACTERS, max_size=6),
    st.builds(str.__mul__, CHARACTERS, st.integers(22, 27)),
    st.builds("{}{}".format, st.builds(str.__mul__, CHARACTERS, st.integers(20, 26)), st.text(CHARACTERS, max_size=4)),
)
POOLS = st.dictionaries(
    st.sampled_from(["IC03_860", "IC15_2077", "SVT"]), st.lists(LABELS, min_size=1, max_size=6), min_size=1
)
CODES = {character: code for code, character in enumerate("0123456789abcdefghijklmnopqrstuvwxyz", 1)}


def encoded(label: str) -> list[int] | None:
    """``AttnLabelEncode`` of PaddleOCR 2.5 with ``max_text_length`` 25, line by line."""
    if len(label) == 0 or len(label) > 25:
        return None
    codes = [CODES[character] for character in label.lower() if character in CODES]
    if len(codes) == 0 or len(codes) >= 25:
        return None
    return [0, *codes, 37, *[0] * (25 - len(codes) - 2)]


class TestLabels:
    @given(LABELS)
    @example("a" * 24)
    @example("a" * 25)
    @example("a" * 24 + "!")
    @example("!" + "a" * 25)
    @example("\u0130")
    @example("\u212a")
    def test_a_label_is_usable_where_upstream_can_encode_it(self, label):
        assert is_usable(label) == (encoded(label) is not None)

    @given(POOLS)
    def test_kept_samples_are_given_as_they_are(self, tmp_path_factory, sets):
        assert read(build(tmp_path_factory.mktemp("words"), sets)) == expected(sets)

    @given(POOLS, st.integers(0, 4))
    def test_skipped_samples_are_left_out_and_the_others_keep_their_ids(self, tmp_path_factory, sets, start):
        folder = build(tmp_path_factory.mktemp("words"), sets)
        usable = [sample for sample in expected(sets) if encoded(sample.truth)]
        if not usable:
            with pytest.raises(DataError, match=r"none of its \d+ labels is usable; expected 1 to 25 char"):
                WordSets(folder, labels="skip")
            return
        reader = WordSets(folder, labels="skip")
        assert reader.facts() == {"unusable labels skipped": len(expected(sets)) - len(usable)}
        reader.close()
        assert read(folder, start, labels="skip") == usable[start:]

    @given(POOLS, st.integers(0, 9), st.integers(0, 4))
    def test_replaced_samples_are_usable_ones_of_the_pool_drawn_by_seed_and_place(
        self, tmp_path_factory, sets, seed, start
    ):
        folder, pool = build(tmp_path_factory.mktemp("words"), sets), expected(sets)
        if not any(encoded(sample.truth) for sample in pool):
            with pytest.raises(DataError, match=r"none of its \d+ labels is usable"):
                WordSets(folder, labels="replace", seed=seed)
            return
        given_instead = []
        for place, sample in enumerate(pool):
            draw, other = np.random.default_rng((seed, place)), sample
            while not encoded(other.truth):
                other = pool[draw.integers(len(pool))]
            name = sample.id if other is sample else f"{sample.id}<{other.id}"
            given_instead.append(Sample(name, other.content, other.truth))
        assert read(folder, start, labels="replace", seed=seed) == given_instead[start:]

    def test_another_seed_draws_others_and_the_same_one_the_same(self, tmp_path):
        folder = build(tmp_path, {"A": ["!"] * 20, "B": [f"b{number}" for number in range(50)]})
        drawn = [[sample.id for sample in read(folder, labels="replace", seed=seed)] for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert drawn[0][20:] == drawn[2][20:]
        assert len({name.partition("<")[2] for name in drawn[0][:20]}) > 10

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"labels": "skpi"}, r"labels: 'skpi' is not allowed; allowed: keep, skip, replace .did you mean 'skip'"),
            ({"seed": -1}, "seed: -1, expected 0 or more"),
            ({"only": "A,"}, "only: 'A,' names a set without a name"),
        ],
    )
    def test_an_option_that_says_nothing_is_a_wrong_declaration(self, tmp_path, options, told):
        with pytest.raises(DeclarationError, match=told):
            WordSets(build(tmp_path, {"A": ["a"]}), **options)


class TestFacts:
    SHARED: Mapping[str, Sequence[tuple[bytes, str]]] = {
        "IC03_860": [(b"1", "a"), (b"2", "b"), (b"2", "b")],
        "IC03_867": [(b"1", "a"), (b"2", "b"), (b"3", "!"), (b"4", "d")],
        "SVT": [(b"4", "?"), (b"5", "e")],
    }

    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        """Three sets, two of which share pictures."""
        for name, words in self.SHARED.items():
            (tmp_path / name).mkdir()
            write_words(tmp_path / name, words)
        return tmp_path

    @pytest.mark.parametrize(
        ("policy", "told"),
        [
            ("keep", {"pictures of IC03_860 in IC03_867": 3, "pictures of IC03_867 in SVT": 1}),
            ("skip", {"unusable labels skipped": 2, "pictures of IC03_860 in IC03_867": 3}),
            ("replace", {"unusable labels replaced": 2, "pictures of IC03_860 in IC03_867": 3}),
        ],
    )
    def test_unusable_labels_and_pictures_of_two_sets_are_counted_once(self, folder, policy, told):
        reader = WordSets(folder, labels=policy)
        for start in (0, 2, 0):
            list(reader.samples(start))
            assert reader.facts() == told
        reader.close()

    def test_facts_are_of_what_was_read(self, folder):
        reader = WordSets(folder, labels="replace")
        told = [reader.facts() for _ in reader.samples()]
        assert told[:4] == [
            {"unusable labels replaced": 0},
            {"unusable labels replaced": 0},
            {"unusable labels replaced": 0},
            {"unusable labels replaced": 0, "pictures of IC03_860 in IC03_867": 1},
        ]
        assert told[5]["unusable labels replaced"] == 1
        reader.close()

    def test_real_sets_share_no_picture(self, shared):
        reader = WordSets(shared / "assets" / "data_lmdb_release" / "evaluation", labels="replace")
        assert len(list(reader.samples())) == len(reader)
        assert reader.facts() == {"unusable labels replaced": 0}
        reader.close()

    def test_single_sets_have_nothing_to_tell(self, tmp_path):
        build(tmp_path, {"A": ["a"]})
        build(tmp_path, {"B": ["a"]}, write_pictures)
        for name in "AB":
            reader = open_words(tmp_path / name)
            assert len(list(reader.samples())) == 1
            assert reader.facts() == {}
            reader.close()
