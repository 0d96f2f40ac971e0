"""Versions of CANN come in the order in which they were released, however they are spelt."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ascend.cann import Cann
from harness.registry import load_models
from harness.verdict import Broken

RELEASED = """
    3.2.0 5.0.3.alpha002 5.0.4 5.0.4.6 6.0.RC1.alpha001 6.0.RC1 6.0.1 6.3.RC1 6.3.RC2 7.0.RC1 7.0.0.alpha001
    7.0.0.beta1 7.0.0 7.0.1 8.0.RC2 8.0.RC2.2 8.0.RC3.alpha003 8.0.RC3 8.0.0.alpha002 8.0.0 8.0.1 8.1.RC1
    9.0.0-beta.2 9.0.0 10.0.0
"""

numbers = st.lists(st.integers(0, 30), min_size=1, max_size=4)
stages = st.sampled_from(["", ".RC1", ".RC2", ".RC2.alpha001", ".alpha003", ".beta1"])


@st.composite
def spelt(draw) -> str:
    return ".".join(map(str, draw(numbers))) + draw(stages)


def test_each_release_comes_after_the_one_before():
    versions = [Cann.of(text) for text in RELEASED.split()]
    assert all(before < after for before, after in pairwise(versions))


@pytest.mark.parametrize(
    ("one", "other"), [("7.0", "7.0.0"), ("7.0.0", "7.0.stand-in"), ("8.0.T63", "8.0.0"), ("6.0.rc1", " 6.0.RC1\n")]
)
def test_two_spellings_of_a_release_are_the_same(one, other):
    assert Cann.of(one) == Cann.of(other)
    assert len({Cann.of(one), Cann.of(other)}) == 1


def test_a_version_is_shown_as_it_was_spelt():
    assert str(Cann.of("7.0.stand-in")) == "7.0.stand-in"


@given(numbers)
def test_what_leads_to_a_release_comes_before_it(parts):
    release = ".".join(map(str, parts))
    stages = ("RC1.alpha001", "RC1", "RC2", "alpha001", "beta1")
    versions = [Cann.of(f"{release}.{stage}") for stage in stages]
    assert all(before < after for before, after in pairwise([*versions, Cann.of(release)]))


@given(numbers, numbers, stages, stages)
def test_numbers_count_before_stages(one, other, stage, last):
    first, second = (tuple(parts) + (0,) * (4 - len(parts)) for parts in (one, other))
    versions = Cann.of(".".join(map(str, first)) + stage), Cann.of(".".join(map(str, second)) + last)
    if first != second:
        assert (versions[0] < versions[1]) == (first < second)


@given(spelt(), spelt(), spelt())
def test_the_order_is_total(one, two, three):
    first, second, third = sorted(Cann.of(text) for text in (one, two, three))
    assert first <= second <= third
    assert first <= third


@pytest.mark.parametrize("text", ["", "latest", "RC1", "v8.0.0"])
def test_what_begins_with_no_number_is_told(text):
    with pytest.raises(Broken, match=r"expected numbers first, as in 6\.0\.RC1"):
        Cann.of(text)


def test_every_toolkit_of_every_recipe_is_a_version():
    named = [text for model in load_models().values() for recipe in model.recipes.values() for text in recipe.toolkits]
    assert named
    assert all(Cann.of(text) for text in named)
