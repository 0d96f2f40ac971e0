"""benchmark gives means and no samples, of one chip, and what is not its file is told."""

from __future__ import annotations

from dataclasses import fields

import pytest

from harness.ascend.benchmark import Pass, Pure, Stage, card_throughput, read_pass, read_pure
from harness.verdict import Broken

PASS = """\
[e2e] throughputRate: 78.7504, latency: 304761
[data read] throughputRate: 92.9318, moduleLatency: 10.7606
[preprocess] throughputRate: 92.6819, moduleLatency: 10.7896
[infer] throughputRate: 88.0032, Interface throughputRate: 103.795, moduleLatency: 10.7968
[post] throughputRate: 88.0046, moduleLatency: 11.363
"""
PURE = "[INFO] ave_throughputRate: 36.0774samples/s, ave_latency: 27.7591ms\n"


def test_older_names_are_the_same_stages():
    newer = PASS.replace("[infer]", "[inference]").replace("[post]", "[postprocess]")
    assert read_pass(PASS) == read_pass(newer)
    assert read_pass(PASS).stages["postprocess"] == Stage(throughput=88.0046, latency=11.363)


def test_the_whole_pass_takes_milliseconds():
    assert read_pass(PASS).seconds == 304.761
    assert read_pass(PASS).items == 24000


def test_there_is_no_place_for_samples():
    assert not {"samples", "minimum", "maximum", "median"} & {one.name for kind in (Pass, Pure) for one in fields(kind)}
    rounds = "".join(f"[INFO] Dataset number: {number} finished cost 27.6ms\n" for number in range(20))
    assert read_pure(rounds + PURE) == read_pure(PURE) == Pure(throughput=36.0774, latency=27.7591, saved=None)


def test_a_card_has_four_chips_of_310_and_one_of_310p():
    assert card_throughput(100.0, "Ascend310") == 400
    assert card_throughput(100.0, "Ascend310P3") == 100
    with pytest.raises(Broken, match="found Ascend910B"):
        card_throughput(100.0, "Ascend910B")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (PASS, "", "a line [e2e]"),
        ("Interface throughputRate: 103.795, ", "", "a line [inference] with Interface throughputRate"),
        ("latency: 304761", "latency: 0", "figures above 0"),
        ("88.0046", "nan", "a number below"),
        (", moduleLatency: 11.363", "", "throughputRate and moduleLatency of [postprocess]"),
        ("[post]", "[infer]", "one line [inference]"),
    ],
)
def test_another_file_is_told(old, new, told):
    assert old in PASS
    with pytest.raises(Broken) as raised:
        read_pass(PASS.replace(old, new))
    assert told.replace("a number below", "a finite number") in str(raised.value)


def test_two_results_are_told():
    assert read_pure(PURE + PURE).throughput == 36.0774
    with pytest.raises(Broken, match="one result"):
        read_pure(PURE + PURE.replace("36", "37"))
    with pytest.raises(Broken, match="ave_throughputRate"):
        read_pure("Segmentation fault")
