"""Every recorded output of Ascend's tools is read, and says what is known of it; a new one needs its facts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ascend_compiles, ascend_devices, ascend_times

TOOLS = ("npu-smi", "ascend-versions", "atc", "ais_bench", "msame", "benchmark.x86_64")
EXPECTED = ascend_devices.FACTS | ascend_compiles.FACTS | ascend_times.FACTS


def test_every_sample_has_its_facts(shared: Path):
    there = {path.name for path in (shared / "samples").iterdir() if path.stem.rpartition("-")[0] in TOOLS}
    # What is known without its file is no error: the samples are other people's, and some may be left out.
    assert there, "no sample of these tools in the shared folder"
    assert there <= set(EXPECTED), f"no facts for {sorted(there - set(EXPECTED))}"


@pytest.mark.parametrize("ending", ["as recorded", "CRLF", "coloured"])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_says_what_is_known_of_it(shared: Path, name: str, ending: str):
    path = shared / "samples" / name
    if not path.is_file():
        pytest.skip(f"no sample {path}")
    text = path.read_bytes().decode()
    if ending == "CRLF":
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    if ending == "coloured" and name != "ais_bench-8.txt":  # a file of JSON is never coloured
        text = re.sub(r"\[(INFO|ERROR|WARNING)\]", "\x1b[0;32m[\\1]\x1b[0m", text)
        text = re.sub(r"\b(OK|Alarm|success)\b", "\x1b[1m\\1\x1b[m", text)
    read, expected = EXPECTED[name]
    assert read(text) == expected
