"""Claims are kept as printed, and a figure that its own counts cannot give is refused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.claim import Claim
from harness.declaration import DeclarationError

COUNTS = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
DIGITS = st.integers(1, 6)


def claim(printed: str, **said: object) -> Claim:
    return Claim(**{"metric": "acc", "source": "a guide", "printed": printed, **said})


def shown(scaled: int, digits: int) -> str:
    """An integer count of the last printed digit, as a decimal figure."""
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"


def truncated(hits: int, n: int, digits: int) -> int:
    return hits * 10**digits // n


def rounded(hits: int, n: int, digits: int) -> int:
    return (2 * hits * 10**digits + n) // (2 * n)


class TestPrinting:
    @given(COUNTS, DIGITS)
    def test_a_share_truncated_or_rounded_to_any_digits_is_accepted(self, counts, digits):
        hits, n = counts
        for scaled in (truncated(hits, n, digits), rounded(hits, n, digits)):
            assert claim(shown(scaled, digits), hits=hits, n=n).value == hits / n

    @given(COUNTS, DIGITS, st.integers(-20, 20))
    def test_any_other_figure_is_refused_with_what_the_counts_give(self, counts, digits, off):
        hits, n = counts
        wrong = truncated(hits, n, digits) + off
        assume(wrong >= 0 and wrong not in (truncated(hits, n, digits), rounded(hits, n, digits)))
        with pytest.raises(DeclarationError, match=f"hits/n = {hits}/{n} prints as .*, not as {shown(wrong, digits)}"):
            claim(shown(wrong, digits), hits=hits, n=n)

    @pytest.mark.parametrize(
        ("printed", "counts"),
        [
            ("0.8479", {"hits": 10232, "n": 12067}),
            ("0.7923", {"hits": 2377, "n": 3000}),
            ("0.699", {"hits": 21, "n": 30, "epsilon": 1e-5}),
            ("0.700", {"hits": 21, "n": 30, "epsilon": 1e-5}),
            ("0.69999977", {"hits": 21, "n": 30, "epsilon": 1e-5}),
            ("0.70", {"hits": 21, "n": 30}),
            ("1", {"hits": 30, "n": 30}),
        ],
    )
    def test_published_figures_are_those_of_their_counts(self, printed, counts):
        assert claim(printed, **counts).printed == printed

    @pytest.mark.parametrize(
        ("printed", "counts"),
        [
            ("0.699", {"hits": 21, "n": 30}),
            ("0.8480", {"hits": 10232, "n": 12067}),
            ("0.84790", {"hits": 10232, "n": 12067}),
            ("0.7923", {"hits": 2378, "n": 3000}),
        ],
    )
    def test_figures_that_their_counts_cannot_give_are_refused(self, printed, counts):
        with pytest.raises(DeclarationError, match=rf"Claim\(acc {printed}\): hits/n"):
            claim(printed, **counts)

    @pytest.mark.parametrize("counts", [{"hits": 21}, {"n": 30}], ids=["hits", "n"])
    def test_hits_and_n_go_together(self, counts):
        with pytest.raises(DeclarationError, match="hits and n go together"):
            claim("0.7", **counts)

    @pytest.mark.parametrize(("printed", "hits", "n"), [("1.5", 3, 2), ("-0.5", -1, 2), ("0.0", 0, 0)])
    def test_counts_that_are_no_share_are_refused(self, printed, hits, n):
        with pytest.raises(DeclarationError, match=rf"Claim\(acc {printed}\)"):
            claim(printed, hits=hits, n=n)

    @pytest.mark.parametrize("printed", ["79.23 %", "about 0.8", "", "nan", "inf"])
    @pytest.mark.parametrize("counts", [{}, {"hits": 2377, "n": 3000}], ids=["bare", "with counts"])
    def test_a_figure_that_is_no_number_is_refused(self, printed, counts):
        with pytest.raises(DeclarationError, match="Claim"):
            claim(printed, **counts)


class TestFloor:
    @given(COUNTS, DIGITS)
    def test_the_floor_is_the_lower_of_figure_and_share_so_that_the_claims_own_hits_reach_it(self, counts, digits):
        hits, n = counts
        for scaled in (truncated(hits, n, digits), rounded(hits, n, digits)):
            made = claim(shown(scaled, digits), hits=hits, n=n)
            assert made.floor == min(hits / n, float(made.printed))

    def test_a_truncated_figure_is_the_floor_although_the_share_lies_above_it(self):
        assert claim("0.699", hits=21, n=30, epsilon=1e-5).floor == 0.699

    def test_a_figure_rounded_up_does_not_lift_the_floor_above_the_share(self):
        assert claim("0.67", hits=2, n=3).floor == 2 / 3

    def test_without_counts_the_figure_is_the_floor(self):
        assert claim("0.655").floor == claim("0.655").value == 0.655

    def test_the_value_counts_the_epsilon_of_its_source(self):
        assert claim("0.699", hits=21, n=30, epsilon=1e-5).value == pytest.approx(0.69999977, abs=5e-9)

    @given(st.floats(0.001, 0.2))
    def test_an_allowance_on_a_share_is_absolute(self, allow):
        made = claim("0.8479", hits=10232, n=12067, allow=allow, because="the device rounds")
        assert made.floor == pytest.approx(0.8479 - allow)

    @given(st.floats(0.001, 0.5), st.integers(1, 10_000))
    def test_an_allowance_on_throughput_is_relative(self, allow, rate):
        said = {"metric": "throughput", "clock": "device", "allow": allow, "because": "no rounds given"}
        assert claim(str(rate), **said).floor == pytest.approx(rate * (1 - allow))

    def test_an_allowance_needs_its_reason(self):
        with pytest.raises(DeclarationError, match=r"Claim\(acc 0\.7\)\.because: missing.*0\.05"):
            claim("0.7", allow=0.05)

    def test_a_throughput_needs_its_clock(self):
        with pytest.raises(DeclarationError, match=r"Claim\(throughput 4400\)\.clock: missing"):
            claim("4400", metric="throughput")


SIZE = {"metric": "size", "unit": "MB", "form": "onnx"}


class TestSizes:
    def test_a_size_is_one_and_neither_a_time_nor_anything_else(self):
        assert [claim("34", **SIZE).is_size, claim("34", **SIZE).is_time] == [True, False]
        assert not claim("0.7").is_size
        assert claim("34", **SIZE).value == 34.0

    @pytest.mark.parametrize(
        ("said", "found"),
        [
            ({"unit": "MiB"}, "'MiB', 'onnx'"),
            ({"unit": ""}, "'', 'onnx'"),
            ({"form": ""}, "'MB', ''"),
            ({"unit": "", "form": ""}, "'', ''"),
        ],
    )
    def test_a_size_is_in_megabytes_of_a_form(self, said, found):
        with pytest.raises(DeclarationError, match=r"Claim\(size 34\): a size is in MB, of a form; found") as refused:
            claim("34", **{**SIZE, **said})
        assert str(refused.value).endswith(found)

    def test_what_a_size_may_be_over_needs_its_reason(self):
        with pytest.raises(DeclarationError, match=r"Claim\(size 34\)\.because: missing"):
            claim("34", **SIZE, allow=0.1)
        assert claim("34", **SIZE, allow=0.1, because="another exporter").allow == 0.1


class TestWhatItIsAbout:
    def test_a_claim_is_on_all_samples_in_single_precision_unless_it_says_otherwise(self):
        plain = claim("0.7")
        assert (plain.part, plain.precisions, plain.form) == ("", ("fp32",), "")
        said = claim("0.649", part="IC15_2077", precisions=("int16",))
        assert (said.part, said.precisions) == ("IC15_2077", ("int16",))

    @given(COUNTS, DIGITS)
    def test_counts_of_one_set_are_checked_as_those_of_all(self, counts, digits):
        hits, n = counts
        printed = shown(truncated(hits, n, digits), digits)
        assert claim(printed, hits=hits, n=n, part="SVT").floor == claim(printed, hits=hits, n=n).floor
        wrong = shown(rounded(hits, n, digits) + 1, digits)
        with pytest.raises(DeclarationError, match=r"hits/n = "):
            claim(wrong, hits=hits, n=n, part="SVT")
