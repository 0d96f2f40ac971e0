"""The commands say how many batches there are, what fills up the last, and what was dropped or read otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.commands import progress
from harness.files.packed import MANIFEST
from tests.folders import declare_few
from tests.street_files import (
    AIS_BENCH,
    Streets,
    declare_tiny,
    right,
    run_tool,
)

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command on the model ``tiny``, whose six streets lie in assets; its status and what it printed."""
    options = declare_tiny(tmp_path)

    def run(name: str, *arguments: object) -> tuple[int, str]:
        status = main([name, "tiny", *map(str, arguments), *options])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


class TestCommand:
    def packed(self, command: Command, folder: Path, *more: str) -> str:
        status, text = command("pack", "--out", folder, *more)
        assert status == 0, text
        return text

    def test_it_says_how_many_files_there_are_and_how_often_the_last_sample(self, command, tmp_path):
        lines = self.packed(command, tmp_path / "out").splitlines()
        assert lines[0] == "tiny official: 6 of 6 samples of few"
        told = f"packed 2 files of float32 [4, 3, 4, 6] into {tmp_path / 'out' / 'imgs'}, 0.0 MB"
        assert lines[1] == f"{told}; the last is filled up with its last sample, 2 times more, which 'score' leaves out"
        assert "writes image_bin0_0 and so on" in lines[2]
        more = self.packed(command, tmp_path / "four", "--samples=4")
        assert "filled up" not in more

    def test_long_work_says_how_far_it_is_sample_by_sample(self, command, tmp_path, monkeypatch):
        monkeypatch.setattr(progress, "EVERY", 1e-9)
        assert re.search(r"packing: 5 of 6, \d+/s", self.packed(command, tmp_path / "out"))
        run_tool(tmp_path / "out" / "imgs", tmp_path / "answers")
        _, text = command("score", "--data", tmp_path / "out", "--outputs", tmp_path / "answers")
        assert re.search(r"scoring: 5 of 6, \d+/s", text)

    def test_all_samples_are_scored_and_no_more(self, command, tmp_path):
        self.packed(command, tmp_path / "out")
        out = run_tool(tmp_path / "out" / "imgs", tmp_path / "answers")
        kept = tmp_path / "said.json"
        for data in (["--data", tmp_path / "out"], []):
            status, text = command("score", "--outputs", out, "--json", kept, *data)
            assert (status, "all of the reference's own\n" in text) == (10, True)
            assert f"read .txt files of 6 samples from {out}, image_bin0_0 to image_bin1_0\n" in text
            said = json.loads(kept.read_text())
            assert (said["n"], said["figures"]["n"], said["figures"]["complete"]) == (6, 6, True)
            streets = Streets(tmp_path / "assets" / "few_streets", "few")
            assert (said["figures"]["correct"], said["figures"]["counted"]) == right(streets, 6)

    def test_claims_of_a_precision_are_judged_where_it_is_said_that_it_computed(self, command, tmp_path):
        self.packed(command, tmp_path / "out")
        out = run_tool(tmp_path / "out" / "imgs", tmp_path / "answers")
        status, text = command("score", "--data", tmp_path / "out", "--outputs", out)
        assert (status, "claims no figure to judge in fp32" in text) == (10, True)
        status, text = command("score", "--data", tmp_path / "out", "--outputs", out, "--precision", "fp16")
        assert (status, "claim 1.0, floor 1.0000" in text) == (1, True)

    def test_what_fills_no_batch_may_be_dropped_and_the_score_is_not_of_all(self, command, tmp_path):
        text = self.packed(command, tmp_path / "out", "--drop-last")
        told = "2 more fill no batch of 4 and are dropped, so the score will be of 4, and not complete"
        assert text.splitlines()[0] == f"tiny official: 4 of 6 samples of few; {told}"
        manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
        assert (manifest["n"], manifest["dropped"], len(manifest["samples"])) == (4, 2, 4)
        assert sorted(path.name for path in (tmp_path / "out").rglob("*.bin")) == ["image_bin0.bin", "label_bin0.bin"]
        out = run_tool(tmp_path / "out" / "imgs", tmp_path / "answers")
        status, text = command("score", "--data", tmp_path / "out", "--outputs", out, "--json", tmp_path / "said.json")
        head = (
            "tiny official: 4 samples of few, a part of the reference's own; 2 more were dropped when they were packed"
        )
        assert (status, text.splitlines()[0]) == (10, head)
        figures = json.loads((tmp_path / "said.json").read_text())["figures"]
        assert (figures["n"], figures["complete"], figures["whole"]) == (4, False, False)

    def test_a_batch_that_was_dropped_without_a_word_is_missing(self, command, tmp_path):
        self.packed(command, tmp_path / "out")
        out = run_tool(tmp_path / "out" / "imgs", tmp_path / "answers")
        (out / "image_bin1_output_0.txt").unlink()
        status, text = command("score", "--data", tmp_path / "out", "--outputs", out)
        assert (status, "1 missing: image_bin1_0.txt of few/4 to few/5" in text) == (1, True)

    @pytest.mark.parametrize("dtype", ["int32", "float32"])
    def test_numbers_of_another_type_are_read_and_it_is_said(self, command, tmp_path, dtype):
        self.packed(command, tmp_path / "out")
        out = run_tool(tmp_path / "out" / "imgs", tmp_path / "answers", ".bin", AIS_BENCH, dtype)
        kept = tmp_path / "said.json"
        _, text = command("score", "--data", tmp_path / "out", "--outputs", out, "--json", kept)
        assert f", image_bin0_0 to image_bin1_0; y is whole {dtype} there\n" in text
        assert json.loads(kept.read_text())["types"] == {"y": [dtype]}

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (
                ["--samples=3", "--drop-last"],
                "tiny: 4 samples a file at bs4, and there are 3, nothing to drop; leave out",
            ),
            (["--info=a.info"], "tiny: its files hold whole batches, a list is of single pictures"),
        ],
    )
    def test_what_makes_no_sense_of_batches_is_refused_before_anything_is_packed(
        self, command, tmp_path, options, told
    ):
        status, text = command("pack", "--out", tmp_path / "out", *options)
        assert (status, told in text) == (1, True)
        assert not (tmp_path / "out").exists()

    def test_at_a_point_of_one_a_file_holds_one_and_nothing_is_left_to_drop(self, command, tmp_path):
        text = self.packed(command, tmp_path / "out", "--point=bs1", "--drop-last")
        assert text.splitlines()[0] == "tiny official: 6 of 6 samples of few"
        assert f"packed 6 files of float32 [3, 4, 6] into {tmp_path / 'out' / 'imgs'}, 0.0 MB\n" in text
        out = run_tool(tmp_path / "out" / "imgs", tmp_path / "answers", ".npy")
        _, text = command("score", "--data", tmp_path / "out", "--outputs", out)
        assert "6 samples of few, all of the reference's own\n" in text

    def test_single_files_have_nothing_to_drop(self, words, tmp_path, capsys):
        few = declare_few(tmp_path, words)
        assert main(["pack", "few", "--drop-last", f"--out={tmp_path / 'out'}", *few]) == 1
        assert "few: one sample a file, nothing to drop; leave out --drop-last" in capsys.readouterr().err
