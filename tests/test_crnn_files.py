"""CRNN's files are those of guide 001: its names and labels, lists for its older tool, outputs counted in both ways."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.__main__ import main
from harness.datasets import Sample
from harness.declaration import DeclarationError
from harness.files.listing import listing
from harness.files.pack import pack
from harness.files.packed import read_packed
from harness.files.unpack import OutputFolder
from harness.layout import FileLayout
from harness.model import Model
from harness.sizes import BATCH, TensorSpec
from harness.verdict import Refused
from tests.folders import PLAN, Listed, answer, declare_few, six, spelt, task_of

LABELS = ["Grand", "12:30", "a\tb", "", "CAFÉ", "ß:ẞ", "İ", "ΟΔΟΣ", " x ", "\x85", "\u2028"]
"""Case, the separators of both layouts, nothing, and letters whose lower case has another length."""


@pytest.fixture(scope="module")
def guide(toy: Callable[..., Model], crnn: Model) -> Model:
    """The toy model in CRNN's layout."""
    return replace(toy(), layout=crnn.layout)


@pytest.fixture
def few(tmp_path: Path, words: list[Sample]) -> list[str]:
    return declare_few(tmp_path, words)


def packed(model: Model, folder: Path, truths: Sequence[str]) -> Path:
    """A folder of as many samples with these truths."""
    samples = [Sample(f"set/{at}", np.array([at, 0], np.float32).tobytes(), truth) for at, truth in enumerate(truths)]
    plan = replace(PLAN, n=len(samples), layout=model.layout.told)
    list(pack(Listed(samples), task_of(model), plan, folder))
    return folder


class TestLabels:
    def test_names_and_labels_are_those_of_the_guides_script(self, guide, tmp_path):
        packed(guide, tmp_path, LABELS)
        # As the script writes them: index += 1; 'test_{}.bin:{}'.format(index, label.lower()); then '\n'.
        lines = [f"test_{index}.bin:{label.lower()}\n" for index, label in enumerate(LABELS, 1)]
        assert (tmp_path / "label.txt").read_bytes() == "".join(lines).encode()
        names = sorted(path.name for path in (tmp_path / "inputs").iterdir())
        assert names == sorted(f"test_{index}.bin" for index in range(1, len(LABELS) + 1))

    @given(
        truths=st.lists(
            st.one_of(
                st.sampled_from(LABELS), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))
            ),
            min_size=1,
            max_size=12,
        ),
        own=st.booleans(),
    )
    def test_any_truths_are_read_back_as_the_data_set_has_them_and_packed_again_to_the_same(
        self, toy, guide, tmp_path_factory, truths, own
    ):
        model = guide if own else toy()
        folder = packed(model, tmp_path_factory.mktemp("packed"), truths)
        before = (folder / "pack.json").read_bytes()
        assert [sample.truth for sample in read_packed(folder, model.layout).samples] == truths
        packed(model, folder, truths)
        assert (folder / "pack.json").read_bytes() == before
        # What is in the file is the truth as the layout writes it, whole, also where it holds the separator.
        lines = (folder / model.layout.labels).read_bytes().decode().removesuffix("\n").split("\n")
        written = [line.split(model.layout.separator, 1)[1] for line in lines]
        assert written == [truth.lower() if own else truth for truth in truths]

    def test_a_folder_of_one_layout_is_never_read_as_of_another(self, toy, guide, tmp_path):
        folder = packed(toy(), tmp_path / "default", ["Grand"])
        with pytest.raises(
            Exception, match=r"packed as img_\{i\}.bin from 0, .*; the declaration now says test_\{i\}.bin"
        ):
            read_packed(folder, guide.layout)
        with pytest.raises(FileExistsError, match=r"packed from something else .layout img_.*, now test_"):
            packed(guide, folder, ["Grand"])

    @pytest.mark.parametrize(
        ("field", "told"),
        [
            ({"separator": ""}, "FileLayout.separator: '' cannot be told from the name 'img_{i}.bin'"),
            ({"separator": "_"}, "FileLayout.separator: '_' cannot be told from the name"),
            ({"separator": " 1"}, "FileLayout.separator: ' 1' cannot be told from the name"),
            ({"separator": "\n"}, "or the end of a line; expected characters that neither has"),
            ({"first": -1}, "FileLayout.first: -1, expected 0 or more"),
        ],
    )
    def test_a_layout_whose_lines_could_not_be_read_is_none(self, field, told):
        with pytest.raises(DeclarationError) as refused:
            FileLayout(**field)
        assert told in str(refused.value)


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "two lines exchanged": (
        lambda folder: exchange(folder / "label.txt", 1, 2, whole=True),
        r"label.txt:2: says 'test_3.bin:', packed for set/1 was 'test_2.bin:truth\\t1'; pack again",
    ),
    "two truths exchanged": (
        lambda folder: exchange(folder / "label.txt", 1, 3, whole=False),
        r"label.txt:2: says 'test_2.bin:truth\\t3', packed for set/1 was 'test_2.bin:truth\\t1'; pack again",
    ),
    "a truth in its own case": (
        lambda folder: rewrite(folder / "label.txt", "truth", "Truth"),
        r"label.txt:2: says 'test_2.bin:Truth\\t1', packed for set/1 was 'test_2.bin:truth\\t1'",
    ),
    "an input of another sample": (
        lambda folder: shutil.copyfile(folder / "inputs" / "test_5.bin", folder / "inputs" / "test_3.bin"),
        "test_3.bin: holds not what was packed for set/2 but what was packed for set/4; pack again into a new folder$",
    ),
    "an input that is cut": (
        lambda folder: (folder / "inputs" / "test_3.bin").write_bytes(b"\0" * 7),
        "test_3.bin: holds not what was packed for set/2; pack again into a new folder$",
    ),
}


def exchange(path: Path, one: int, other: int, *, whole: bool) -> None:
    """Exchanges two lines of a labels file, whole or what stands behind their names."""
    lines = path.read_text().splitlines()
    first, second = lines[one].split(":"), lines[other].split(":")
    kept = (second, first) if whole else ([first[0], second[1]], [second[0], first[1]])
    lines[one], lines[other] = (":".join(parts) for parts in kept)
    path.write_text("".join(f"{line}\n" for line in lines))


def rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


class TestSpoiltPacks:
    @pytest.mark.parametrize("name", SPOILT)
    def test_a_pack_that_is_not_what_it_was_is_named_by_file_and_sample(self, guide, tmp_path, name):
        spoil, told = SPOILT[name]
        folder = packed(guide, tmp_path, [sample.truth for sample in six()])
        read_packed(folder, guide.layout)
        spoil(folder)
        with pytest.raises(Exception, match=told) as caught:
            read_packed(folder, guide.layout)
        assert type(caught.value).__name__ == "DataError"


class TestLists:
    def listed(self, few: list[str], info: Path, out: Path, *more: str) -> list[str]:
        assert main(["pack", "few", f"--out={out}", f"--info={info}", *more, *few]) == 0
        return info.read_text().splitlines()

    @pytest.mark.parametrize(
        ("info", "way"),
        [
            ("crnn.info", "packed/inputs"),
            ("packed/crnn.info", "inputs"),
            ("packed/lists/crnn.info", "../inputs"),
            ("lists/new/crnn.info", "../../packed/inputs"),
        ],
    )
    def test_a_line_an_input_says_where_it_lies_from_the_lists_folder(self, few, tmp_path, capsys, info, way):
        lines = self.listed(few, tmp_path / info, tmp_path / "packed")
        assert lines == [f"{at} {way}/test_{at + 1}.bin 100 32" for at in range(8)]
        start = (tmp_path / info).parent
        assert all((start / line.split()[1]).stat().st_size == 12800 for line in lines)
        given = "-input_text_path=crnn.info -input_width=100 -input_height=32 -output_binary=True -useDvpp=False"
        said = f"listed them in {tmp_path / info}: start benchmark.x86_64 in the folder {start}, with {given}\n"
        assert said in capsys.readouterr().out

    def test_list_and_inputs_go_to_another_machine_together(self, few, tmp_path):
        lines = self.listed(few, tmp_path / "packed" / "crnn.info", tmp_path / "packed", "--samples=3")
        moved = (tmp_path / "packed").rename(tmp_path / "elsewhere")
        assert len(lines) == 3
        assert all((moved / line.split()[1]).is_file() for line in lines)

    def test_a_folder_that_is_packed_already_is_listed_by_the_same_command(self, few, tmp_path):
        assert main(["pack", "few", f"--out={tmp_path / 'packed'}", *few]) == 0
        times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "packed" / "inputs").iterdir()}
        assert len(self.listed(few, tmp_path / "a.info", tmp_path / "packed")) == 8
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "packed" / "inputs").iterdir()} == times

    @pytest.mark.parametrize(
        ("info", "told"),
        [
            ("packed/inputs/crnn.info", "lies among the inputs, where tools take every file for one"),
            ("packed/inputs/../inputs/deep/crnn.info", "lies among the inputs"),
            ("packed/pack.json", "is a part of the packed folder itself; choose another name"),
            ("packed/label.txt", "is a part of the packed folder itself"),
            ("packed/inputs", "is a part of the packed folder itself"),
        ],
    )
    def test_a_list_that_would_be_in_the_way_is_refused_before_anything_is_packed(
        self, few, tmp_path, capsys, info, told
    ):
        assert main(["pack", "few", f"--out={tmp_path / 'packed'}", f"--info={tmp_path / info}", *few]) == 1
        assert told in capsys.readouterr().err
        assert not (tmp_path / "packed").exists()

    def test_a_path_that_the_tool_would_cut_is_refused(self, few, tmp_path, capsys):
        given = [f"--out={tmp_path / 'my words'}", f"--info={tmp_path / 'a.info'}"]
        assert main(["pack", "few", *given, *few]) == 1
        assert "the path 'my words/inputs/test_1.bin' would hold white space" in capsys.readouterr().err
        # The list may lie where it needs no such name.
        assert len(self.listed(few, tmp_path / "my words" / "a.info", tmp_path / "my words")) == 8

    def test_only_pictures_have_width_and_height_in_this_order(self, toy, tmp_path):
        pictures = toy(inputs=(TensorSpec(name="x", axes=(BATCH, 3, 48, 192), dtype="float32"),))
        assert listing(tmp_path / "a.info", tmp_path, pictures, 1) == "0 inputs/img_0.bin 192 48\n"
        with pytest.raises(
            DeclarationError, match=r"the input x is float32 \[2\], a list needs channels x height x width"
        ):
            listing(tmp_path / "a.info", tmp_path, toy(), 1)


def write(folder: Path, names: Sequence[str], values: Sequence[np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, value in zip(names, values, strict=True):
        (folder / name).write_bytes(value.tobytes())
    return folder


class TestCounting:
    @pytest.mark.parametrize("counted", [0, 1])
    def test_either_way_is_read_and_shown(self, few, words, tmp_path, capsys, counted):
        assert main(["pack", "few", f"--out={tmp_path / 'packed'}", *few]) == 0
        out = answer(tmp_path / "out", [word.truth.lower() for word in words], counted)
        (out / "summary.json").write_text("{}")
        assert main(["score", "few", f"--data={tmp_path / 'packed'}", f"--outputs={out}", *few]) == 0
        printed = capsys.readouterr().out
        assert f"read .bin files of 8 samples from {out}, test_1_{counted} to test_8_{counted}\n" in printed
        assert "\npass: acc 1.0000 (8/8" in printed

    def test_both_ways_in_one_folder_are_ambiguous_and_one_file_of_each_is_named(self, few, words, tmp_path, capsys):
        out = answer(tmp_path / "out", [word.truth.lower() for word in words])
        (out / "test_5_1.bin").write_bytes((out / "test_4_0.bin").read_bytes())
        assert main(["score", "few", f"--outputs={out}", *few]) == 1
        told = f"fail: {out}: outputs counted from 0 (test_1_0.bin) and from 1 (test_5_1.bin), as of two tools"
        assert told in capsys.readouterr().out
        (out / "test_5_0.bin").unlink()
        assert main(["score", "few", f"--outputs={out}", *few]) == 1
        assert told in capsys.readouterr().out

    def test_what_is_missing_is_named_as_the_others_are(self, crnn, tmp_path):
        out = answer(tmp_path / "out", ["a", "b", "c"], 1)
        (out / "test_2_1.bin").unlink()
        with pytest.raises(
            Refused, match=r"expected 3 files test_1_1 to test_3_1 .*; 1 missing: test_2_1.bin of set/1$"
        ):
            OutputFolder(out, crnn, ["set/0", "set/1", "set/2"])

    def test_samples_numbered_from_0_are_not_taken_for_those_of_the_guide(self, crnn, tmp_path):
        out = write(tmp_path / "out", ["test_0_0.bin", "test_1_0.bin"], [spelt("a"), spelt("b")])
        with pytest.raises(Refused, match=r"1 unexpected: test_0_0.bin; 1 missing: test_2_0.bin of set/1$"):
            OutputFolder(out, crnn, ["set/0", "set/1"])

    @pytest.mark.parametrize("counted", [0, 1])
    def test_with_two_outputs_a_name_that_both_ways_have_is_told_by_the_others(self, toy, tmp_path, counted):
        second = TensorSpec(name="z", axes=(BATCH,), dtype="float32")
        model = toy(outputs=(TensorSpec(name="y", axes=(BATCH,), dtype="float32"), second))
        names = [f"img_{at}_{counted + k}.bin" for at in range(3) for k in range(2)]
        out = write(tmp_path / "out", names, [np.float32(at) for at in range(6)])
        (found,) = OutputFolder(out, model, ["set/0", "set/1", "set/2"]).batches(4)
        assert (found.values["y"].tolist(), found.values["z"].tolist()) == ([0, 2, 4], [1, 3, 5])
        (out / f"img_2_{2 - 2 * counted}.bin").write_bytes(bytes(4))
        with pytest.raises(Refused, match=r"counted from 0 \(img_._0.bin\) and from 1 \(img_._2.bin\)"):
            OutputFolder(out, model, ["set/0", "set/1", "set/2"])

    def test_msame_counts_from_0_alone(self, crnn, tmp_path):
        out = write(tmp_path / "out", ["test_1_output_1.bin"], [spelt("a")])
        with pytest.raises(Refused, match=r"1 unexpected: test_1_output_1.bin; 1 missing: test_1_0 of set/0$"):
            OutputFolder(out, crnn, ["set/0"])
        (out / "test_1_output_1.bin").rename(out / "test_1_output_0.bin")
        assert OutputFolder(out, crnn, ["set/0"]).counted_from == 0
        write(out, ["test_2_1.bin"], [spelt("b")])
        with pytest.raises(
            Refused, match=r"from 0 \(test_1_output_0.bin\) and from 1 \(test_2_1.bin\), as of two tools"
        ):
            OutputFolder(out, crnn, ["set/0", "set/1"])
