"""What CANN versions take is told with its source, and what nobody wrote down is unknown, never taken for granted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ascend.cann import Cann
from harness.ascend.operators import LISTS, OPSETS, SINGLES, VERSIONS, Support, readers, reads, support, takers

T, R, U = Support.TAKEN, Support.REFUSED, Support.UNKNOWN
numbers = st.lists(st.integers(0, 12), min_size=1, max_size=4)
versions = numbers.map(lambda parts: Cann.of(".".join(map(str, parts))))
operators = st.sampled_from(sorted({name for each in LISTS for name in each.taken} | {"DeformConv", "Loop", "Nothing"}))
opsets = st.integers(1, 25)


def of(operator: str, opset: int, version: str, domain: str = "") -> Support:
    return support(operator, domain, opset, Cann.of(version)).support


@pytest.mark.parametrize(
    ("version", "opset", "expected"),
    [
        ("5.0.4.6", 8, U), ("5.0.4.6", 9, T), ("5.0.4.6", 13, T), ("5.0.4.6", 14, R), ("6.0.RC1", 11, T),
        ("6.0.RC1", 13, T), ("6.0.1", 13, T), ("6.0.1", 14, U), ("6.0.1", 16, U), ("6.0.1", 17, R), ("6.3.RC1", 11, T),
        ("6.3.RC1", 18, U), ("7.0.0", 18, T), ("7.0.0", 19, R), ("7.0.stand-in", 18, T), ("8.0.RC2", 18, T),
        ("8.0.0", 19, R), ("8.3.RC1", 11, T), ("3.2.0", 11, U), ("10.0.0", 11, U),
    ],
)  # fmt: skip
def test_opsets_are_those_of_the_guides(version, opset, expected):
    assert reads(opset, Cann.of(version)).support is expected


@pytest.mark.parametrize(
    ("version", "opset", "expected"),
    [
        ("5.0.4.6", 11, R), ("5.0.4.6", 16, R), ("5.1.0", 11, U), ("6.0.RC1", 11, T), ("6.0.RC1", 16, U),
        ("6.0.1", 11, T), ("7.0.0", 11, T), ("7.0.0", 12, U), ("8.0.RC2", 16, T), ("8.0.0", 11, T), ("8.0.0", 12, R),
        ("8.0.0", 16, T), ("8.0.0", 17, U), ("9.0.0-beta.2", 17, T), ("9.0.0-beta.2", 13, R),
    ],
)  # fmt: skip
def test_grid_sample_is_taken_at_single_opsets(version, opset, expected):
    assert of("GridSample", opset, version) is expected


@pytest.mark.parametrize(
    ("version", "opset", "expected"),
    [
        ("5.0.4.6", 11, T), ("6.0.1", 13, R), ("7.0.0", 13, R), ("7.0.0", 14, T), ("8.0.0", 12, T), ("8.0.0", 13, R),
        ("8.0.0", 18, U),
    ],
)  # fmt: skip
def test_resize_is_refused_at_opset_13_alone(version, opset, expected):
    assert of("Resize", opset, version) is expected


@pytest.mark.parametrize("version", ["5.0.4.6", "6.0.1", "7.0.0", "8.0.0"])
def test_onnx_deformable_convolution_and_loops_are_refused_and_the_vendors_own_is_taken(version):
    assert [of(name, 11, version) for name in ("DeformConv", "Loop", "DeformableConv2D")] == [R, R, T]


def test_what_the_parser_had_and_its_list_does_not_is_unknown():
    assert [of("GRU", 11, version) for version in ("5.0.4.6", "6.0.1", "8.0.0")] == [U, U, T]


def test_what_is_not_looked_up_in_the_open_source_is_unknown_there():
    assert of("Flatten", 11, "9.0.0-beta.2") is U
    assert of("Conv", 11, "9.0.0-beta.2") is T


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "vendor"])
def test_another_domain_is_unknown_whatever_its_operator(domain):
    word = support("Conv", domain, 1, Cann.of("8.0.0"))
    assert word.support is U
    assert domain in word.why


def test_both_spellings_of_the_domain_are_onnx():
    assert of("Conv", 11, "8.0.0", "ai.onnx") is T


def test_the_source_of_each_answer_is_told():
    assert "operatorlist_00176" in support("Conv", "", 11, Cann.of("8.0.0")).why
    assert support("GridSample", "", 11, Cann.of("5.0.4.6")).why == (
        "not on the operator list of 5.0.4.6 (operatorlist_0071)"
    )
    assert "guide 000" in support("GridSample", "", 11, Cann.of("6.0.RC1")).why
    assert "v9 to v13" in reads(19, Cann.of("6.0.1")).why
    assert all(fact.source for fact in (*OPSETS, *LISTS, *SINGLES))


def test_who_takes_an_operator_also_reads_its_opset():
    assert takers("GridSample", "", 16) == ("8.0.RC2", "8.0.RC3", "8.0.0", "8.3.RC1", "9.0.0-beta.2")
    assert "6.0.RC1" in takers("GridSample", "", 11)
    assert "5.0.4.6" not in takers("GridSample", "", 11)
    assert takers("Conv", "", 16) == ("7.0.0", "8.0.RC2", "8.0.RC3", "8.0.0", "8.3.RC1", "9.0.0-beta.2")
    assert takers("DeformConv", "", 19) == ()
    assert readers(19) == ()


@given(operators, opsets, versions)
def test_nothing_is_taken_that_no_list_names(operator, opset, version):
    if support(operator, "", opset, version).support is T:
        assert any(operator in each.taken for each in LISTS)
        assert VERSIONS[0] <= version <= VERSIONS[-1]


@given(opsets, versions)
def test_no_opset_is_read_that_no_guide_names(opset, version):
    if reads(opset, version).support is T:
        assert 9 <= opset <= 18
        assert VERSIONS[0] <= version <= VERSIONS[-1]


@given(operators, opsets, versions)
def test_a_version_between_two_that_agree_agrees_with_them(operator, opset, version):
    before = [each for each in VERSIONS if each <= version]
    after = [each for each in VERSIONS if each >= version]
    found = support(operator, "", opset, version).support
    if not before or not after:
        assert found is U
        return
    around = {support(operator, "", opset, each).support for each in (before[-1], after[0])}
    if len(around) == 1:
        assert found in around
    assert found is U or found in around
