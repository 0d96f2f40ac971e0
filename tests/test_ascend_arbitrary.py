"""Whatever a tool prints is read, or refused in words: no reader crashes, and none believes a text that was cut."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.ascend import ais_bench, atc, benchmark, msame, npu_smi, npu_smi_queries, printed, versions
from harness.ascend.ais_bench_summary import read_summary
from harness.verdict import Outcome
from tests.test_ascend_ais_bench import HELP, summary
from tests.test_ascend_ais_bench import RUN as BENCHED
from tests.test_ascend_atc import FAILURE, SUCCESS, UNPARSED, UNSUPPORTED, WARNING
from tests.test_ascend_benchmark import PASS, PURE
from tests.test_ascend_msame import RUN
from tests.test_ascend_npu_smi import A3, INFO, MAPPING, PHYSICAL

READERS = (
    npu_smi.read_info,
    npu_smi_queries.read_mapping,
    npu_smi_queries.read_board,
    npu_smi_queries.read_health,
    npu_smi_queries.read_usages,
    versions.read_driver,
    versions.read_firmware,
    versions.read_toolkit,
    versions.read_running,
    ais_bench.read_features,
    ais_bench.read_run,
    ais_bench.read_throughputs,
    read_summary,
    msame.read_run,
    benchmark.read_pass,
    benchmark.read_pure,
    lambda text: atc.judge(text, 0, [], "net"),
    lambda text: atc.judge(text, 255, ["net.om"], "net").checked(),
    lambda text: atc.check_loads(text, 255),
    lambda text: ais_bench.check_run(text, 0),
    lambda text: msame.check_run(text, 0),
)
TEXTS = (
    BENCHED,
    HELP,
    summary(),
    FAILURE + UNPARSED,
    FAILURE + UNSUPPORTED,
    SUCCESS + WARNING,
    PASS,
    PURE,
    RUN,
    A3,
    INFO,
)
PIECES = sorted({piece for text in (*TEXTS, MAPPING, PHYSICAL) for piece in text.splitlines()})
STRANGE = st.text(st.characters(), max_size=30)
SPOILT = st.lists(st.sampled_from(PIECES) | STRANGE, max_size=12).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", "\r", " "]).map(lambda end: end.join(lines))
)


def read_by_all(text: str | bytes) -> None:
    """Every reader has read the text or refused it in one line of words."""
    told = []
    for read in READERS:
        try:
            read(text)  # type: ignore[operator]
        except Outcome as error:
            told.append(str(error))
    for line in told:
        assert line
        assert not set("\n\r\x1b") & set(line)


@given(st.text() | st.binary() | SPOILT)
@example("[INFO] throughput (1000*batchsize/NPU_compute_time): 1e300")
@example("Inference time: 1e308ms\n" * 3 + "Inference average time: 1 ms")
@example("NPU ID : " + "9" * 5000)
@example("| NPU Name | Health | Temp(C) |\n| Chip | Bus-Id |  |\n|  | | |\n| | | |")
@example("\ud800 [INFO]")
def test_no_text_makes_a_reader_crash(text):
    read_by_all(text)


@given(st.sampled_from(TEXTS), st.integers(0, 2000), st.integers(0, 2000), STRANGE)
def test_no_damage_makes_a_reader_crash(text, start, end, strange):
    read_by_all(text[:start] + strange + text[end:])


def test_no_damaged_sample_makes_a_reader_crash(shared: Path):
    for path in sorted((shared / "samples").iterdir()):
        content = path.read_bytes()
        for end in range(0, len(content), 97):
            read_by_all(content[:end])


@pytest.mark.parametrize("end", range(len(BENCHED)))
def test_a_cut_run_has_no_other_figures(end):
    (whole,) = ais_bench.read_run(BENCHED).reports
    with suppress(Outcome):
        for report in ais_bench.read_run(BENCHED[:end]).reports:
            assert math.isclose(report.throughput, whole.throughput, rel_tol=1e-12)
            assert replace(report, throughput=whole.throughput) == whole


def test_a_cut_table_has_no_other_devices():
    whole = npu_smi.read_info(A3).devices
    for end in range(len(A3)):
        with suppress(Outcome):
            for one, expected in zip(npu_smi.read_info(A3[:end]).devices, whole, strict=False):
                assert replace(one, processes=()) == expected


def test_a_cut_compile_is_no_success_before_it_says_so():
    for end in range(SUCCESS.index("success")):
        assert not atc.judge(SUCCESS[:end], 0, ["net.om"], "net").succeeded


@given(st.lists(st.text(st.characters(exclude_characters="\r\n")), max_size=5))
def test_lines_are_the_same_however_they_end(lines):
    assert printed.lines_of("\n".join(lines)) == printed.lines_of("\r\n".join(lines))
    assert printed.lines_of("\n".join(lines)) == printed.lines_of(tuple(lines))
    assert printed.lines_of("\r".join(lines)) == printed.lines_of("\n".join(lines).encode("utf-8", "replace"))
