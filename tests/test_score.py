"""A folder of outputs is judged as a run judges its own: by the same claims, goldens and outcomes, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.__main__ import main
from harness.assets import Assets
from harness.cells import Scope
from harness.commands.score import Scoring, score
from harness.datasets import Sample
from harness.domains import asks
from harness.files.packed import MANIFEST
from harness.files.sources import Truth
from harness.files.unpack import OutputFolder
from harness.files.windows import Window
from harness.questions.accuracy import ask as ask_accuracy
from harness.registry import load_models
from harness.store import Store
from harness.workbench import Wanted, Workbench
from tests.files_backend import run_tool
from tests.folders import answer, declare_few

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(tmp_path: Path, words: list[Sample], capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command on the model ``few``, whose eight words are packed already; its status and what it printed."""
    few = declare_few(tmp_path, words)

    def run(*arguments: object, options: list[str] = few) -> tuple[int, str]:
        status = main([*map(str, arguments), *options])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    assert run("pack", "few", f"--out={tmp_path / 'packed'}")[0] == 0
    return run


def right(words: list[Sample], count: int) -> list[str]:
    """Answers of which the first ``count`` are right."""
    return [word.truth.lower() if at < count else "wrong" for at, word in enumerate(words)]


class TestVerdict:
    @pytest.mark.parametrize("expected", [(8, "pass", 0), (6, "pass", 0), (5, "fail", 1)])
    def test_all_own_samples_are_judged_by_the_claim(self, command, words, tmp_path, expected):
        hits, verdict, status = expected
        out = answer(tmp_path / "out", right(words, hits))
        for data in ([f"--data={tmp_path / 'packed'}"], []):
            found, text = command("score", "few", f"--outputs={out}", *data)
            assert found == status
            assert "few official: 8 samples of few, all of the reference's own\n" in text
            assert f"read .bin files of 8 samples from {out}, test_1_0 to test_8_0\n" in text
            assert f"\n{verdict}: acc {hits / 8:.4f} ({hits}/8, 95% " in text
            assert "claim 0.75 (6/8), floor 0.7500" in text

    def test_a_part_of_them_is_inconclusive_and_ends_with_10(self, command, words, tmp_path):
        part = f"--out={tmp_path / 'part'}"
        assert command("pack", "few", part, "--samples=4")[0] == 0
        out = answer(tmp_path / "out", right(words, 4)[:4])
        status, text = command("score", "few", f"--outputs={out}", f"--data={tmp_path / 'part'}")
        assert status == 10
        assert "few official: 4 samples of few, a part of the reference's own\n" in text
        assert "\ninconclusive: acc 1.0000 (4/4" in text
        assert "4 samples cannot tell, all 8 samples would" in text

    @pytest.mark.parametrize("packed", [True, False], ids=["packed", "as they are"])
    def test_a_data_set_that_lacks_samples_is_a_part_of_itself(self, command, words, tmp_path, packed):
        few = declare_few(tmp_path / "less", words[:7])
        out = answer(tmp_path / "out", right(words, 7)[:7])
        given = [f"--data={tmp_path / 'less' / 'packed'}"] if packed else []
        if packed:
            assert command("pack", "few", f"--out={tmp_path / 'less' / 'packed'}", options=few)[0] == 0
        status, text = command("score", "few", f"--outputs={out}", *given, options=few)
        assert status == 10
        assert "few official: 7 samples of few, a part of the reference's own\n" in text

    @pytest.mark.parametrize("packed", [True, False], ids=["packed", "as they are"])
    def test_a_claim_says_nothing_about_other_samples_however_wrong_they_are(self, command, words, tmp_path, packed):
        data = (tmp_path / "assets" / "few_lmdb").rename(tmp_path / "mine")
        if packed:
            assert command("pack", "few", f"--out={tmp_path / 'other'}", f"--data={data}")[0] == 0
            data = tmp_path / "other"
        out = answer(tmp_path / "out", right(words, 0))
        kept = f"--json={tmp_path / 'a.json'}"
        status, text = command("score", "few", f"--outputs={out}", f"--data={data}", kept)
        assert status == 10
        assert json.loads((tmp_path / "a.json").read_text())["figures"]["complete"] is False
        assert "few official: 8 samples of mine, not the reference's own\n" in text
        assert "\ninconclusive: these are not the samples of official's claims; 0/8" in text

    def test_files_and_outcomes_are_written_as_a_run_writes_them(self, command, words, tmp_path):
        out = answer(tmp_path / "out", right(words, 7))
        kept = [f"--json={tmp_path / 'new' / 'a.json'}", f"--outcomes={tmp_path / 'new' / 'a.jsonl'}"]
        assert command("score", "few", f"--outputs={out}", f"--data={tmp_path / 'packed'}", *kept)[0] == 0
        said = json.loads((tmp_path / "new" / "a.json").read_text())
        names = ("model", "reference", "data", "own", "n", "format", "counted_from", "verdict")
        assert {name: said[name] for name in names} == {
            "model": "few", "reference": "official", "data": "few", "own": True, "n": 8, "format": ".bin",
            "counted_from": 0, "verdict": "pass",
        }  # fmt: skip
        assert (said["figures"]["hits"], said["figures"]["complete"]) == (7, True)
        lines = [json.loads(line) for line in (tmp_path / "new" / "a.jsonl").read_text().splitlines()]
        assert [line["hit"] for line in lines] == [True] * 7 + [False]
        assert lines[7] == {"id": "few/000000008", "predicted": "wrong", "truth": words[7].truth, "hit": False}

    def test_a_broken_folder_fails_says_why_also_in_the_file_and_leaves_no_outcomes(self, command, words, tmp_path):
        out = answer(tmp_path / "out", right(words, 8))
        (out / "test_6_0.bin").unlink()
        kept = [f"--json={tmp_path / 'a.json'}", f"--outcomes={tmp_path / 'a.jsonl'}"]
        status, text = command("score", "few", f"--outputs={out}", f"--data={tmp_path / 'packed'}", *kept)
        assert status == 1
        assert f"\nfail: {out}: expected 8 files" in text
        assert "; 1 missing: test_6_0.bin of few/000000006\n" in text
        said = json.loads((tmp_path / "a.json").read_text())
        assert (said["verdict"], said["line"]) == ("fail", text.splitlines()[-1].removeprefix("fail: "))
        assert not (tmp_path / "a.jsonl").exists()

    def test_without_the_data_nothing_is_confirmed_which_is_no_success(self, command, words, tmp_path):
        out = answer(tmp_path / "out", right(words, 8))
        status, text = command("score", "crnn", "--reference=official", f"--outputs={out}", options=[])
        assert status == 10
        assert text.startswith("skipped: IIIT5K LMDB, 3000 words not found: looked for **/IIIT5K_lmdb")


class TestOwnSamples:
    def test_where_the_data_set_is_not_the_packed_folder_is_believed(self, command, words, tmp_path):
        out = answer(tmp_path / "out", right(words, 8))
        given = ["score", "few", f"--outputs={out}", f"--data={tmp_path / 'packed'}", f"--models={tmp_path / 'models'}"]
        status, text = command(*given, options=[])
        assert (status, "all of the reference's own" in text) == (0, True)

    def test_where_it_is_the_packed_samples_must_be_in_it(self, command, words, tmp_path):
        out = answer(tmp_path / "out", right(words, 8))
        declare_few(tmp_path / "changed", [*words[:6], words[7], words[6]])
        given = ["score", "few", f"--outputs={out}", f"--data={tmp_path / 'packed'}", f"--models={tmp_path / 'models'}"]
        status, text = command(*given, f"--assets={tmp_path / 'changed' / 'assets'}", options=[])
        assert status == 1
        truths = f"few/000000007 has the truth {words[6].truth!r}, the data set has few/000000007 with"
        assert f"broken: {tmp_path / 'packed'}: {truths} {words[7].truth!r} there; pack again" in text

    @pytest.mark.parametrize("change", ['"declared": "digest"', '"own": false', '"data": "fewer"'])
    def test_a_pack_of_what_is_not_declared_any_more_is_none_of_its_own(self, command, words, tmp_path, change):
        name = change.partition(":")[0]
        lines = (tmp_path / "packed" / MANIFEST).read_text().splitlines()
        changed = [f" {change}," if line.strip().startswith(name) else line for line in lines]
        assert changed != lines
        (tmp_path / "packed" / MANIFEST).write_text("\n".join(changed))
        out = answer(tmp_path / "out", right(words, 8))
        status, text = command("score", "few", f"--outputs={out}", f"--data={tmp_path / 'packed'}")
        assert (status, "not the reference's own" in text) == (10, True)

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            (["crnn"], "packed for few official, not for crnn"),
            (["few", "--reference=bundled"], "packed for few official, not for few bundled"),
        ],
    )
    def test_what_was_packed_for_another_is_refused(self, command, words, tmp_path, asked, told):
        out = answer(tmp_path / "out", right(words, 8))
        status, text = command("score", *asked, f"--outputs={out}", f"--data={tmp_path / 'packed'}")
        assert (status, told in text) == (1, True)


class TestStream:
    @given(scored=st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=700))
    def test_every_sample_has_one_outcome_and_the_hits_are_those_of_the_outputs(self, scored, tmp_path_factory):
        model = load_models()["ppocr_cls"]
        folder = tmp_path_factory.mktemp("scored")
        (folder / "out").mkdir()
        truths = [("0", "180")[turned] for _, turned in scored]
        for at, (first, _) in enumerate(scored):
            (folder / "out" / f"img_{at}_0.bin").write_bytes(np.array([first, 0.5], np.float32).tobytes())
        samples = tuple(Sample(f"set/{at}", b"", truth) for at, truth in enumerate(truths))
        truth = Truth(model.reference("bundled"), "set", samples, own=False, complete=False, point=model.points[0])
        found = OutputFolder(folder / "out", model, [sample.id for sample in samples])
        figures = score(Scoring(model, truth, found), folder / "outcomes.jsonl").figures
        expected = ["0" if first >= 0.5 else "180" for first, _ in scored]
        lines = [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]
        assert [line["predicted"] for line in lines] == expected
        assert [line["id"] for line in lines] == [sample.id for sample in samples]
        assert figures["n"] == len(scored)
        assert figures["hits"] == sum(map(str.__eq__, expected, truths))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Reads only the first samples, so that it takes seconds."""
    folder = tmp_path_factory.mktemp("run")
    return Workbench(Store(folder / "store"), Assets(), folder / "scratch", wanted=Wanted(samples=60))


class TestAsInARun:
    """What a tool answered in files, packed and scored, is what a run in this process answers: number for number."""

    @pytest.mark.parametrize("suffix", [".bin", ".npy", ".txt"])
    def test_bundled_words_score_as_in_a_run(self, bench, crnn, tmp_path, capsys, suffix):
        ask = next(
            ask
            for ask in asks("accuracy", {"crnn": crnn}, Scope())
            if ask.reference == "bundled" and ask.at.backend == "ort"
        )
        expected = ask_accuracy(bench, ask)
        store, packed = f"--store={bench.store.root}", tmp_path / "packed"
        assert main(["pack", "crnn", "--reference=bundled", f"--out={packed}", "--samples=60", store]) == 0
        graph = bench.form(crnn, crnn.reference("bundled"), ask.form).file("model.onnx")
        out = run_tool(graph, crnn, Window(tmp_path, packed / "inputs", 60, 8), tmp_path / "tool.log", suffix)
        kept = [f"--json={tmp_path / 'a.json'}", f"--outcomes={tmp_path / 'a.jsonl'}"]
        given = ["score", "crnn", f"--data={packed}", f"--outputs={out}"]
        assert main([*given, store, *kept]) == 10
        said = json.loads((tmp_path / "a.json").read_text())
        assert (said["verdict"], said["line"]) == (str(expected.verdict), expected.line)
        assert said["figures"] == dict(expected.figures)
        assert (tmp_path / "a.jsonl").read_bytes() == expected.outcomes.read_bytes()

    def test_official_directions_pass_their_claim_and_goldens_through_files(self, shared, tmp_path, capsys):
        pytest.importorskip("paddle2onnx", reason="no Python package paddle2onnx: it converts the official program")
        model = load_models()["ppocr_cls"]
        assets = Assets((shared / "assets",))
        bench = Workbench(Store(tmp_path / "store"), assets, tmp_path / "scratch")
        given = [f"--assets={shared / 'assets'}", f"--store={tmp_path / 'store'}"]
        assert main(["pack", "ppocr_cls", f"--out={tmp_path / 'packed'}", *given]) == 0
        graph = bench.form(model, model.reference("official"), model.form("onnx")).file("model.onnx")
        out = run_tool(graph, model, Window(tmp_path, tmp_path / "packed" / "inputs", 30, 1), tmp_path / "tool.log")
        assert main(["score", "ppocr_cls", f"--data={tmp_path / 'packed'}", f"--outputs={out}", *given]) == 0
        text = capsys.readouterr().out
        assert "pass: acc 0.7000 (21/30" in text
        assert "goldens: max-abs" in text
        # The goldens belong to numbers and ids together: neighbours exchanged are as many hits, and still caught.
        first, second = (out / f"img_{at}_0.bin" for at in (2, 3))
        swapped = second.read_bytes(), first.read_bytes()
        first.write_bytes(swapped[0])
        second.write_bytes(swapped[1])
        assert main(["score", "ppocr_cls", f"--data={tmp_path / 'packed'}", f"--outputs={out}", *given]) == 1
        assert "worst at cls_b1/000" in capsys.readouterr().out
