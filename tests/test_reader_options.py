"""What a declaration tells the reader of its own data reaches it, and says nothing of other data."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.assets import Assets
from harness.assets.cache import Cache
from harness.assets.listing import Listing
from harness.datasets.lmdb_words import write_words
from harness.datasets.picture_list import write_pictures
from harness.declaration import DeclarationError
from harness.reference import Archive, Asset, DataSet
from harness.registry import load_models
from harness.store import Store
from harness.verdict import Absent
from harness.workbench import Workbench, open_reader
from tests.folders import listing
from tests.word_folders import build

EVALUATION = Asset(
    name="evaluation",
    patterns=("**/evaluation",),
    licence="none",
    source="a test",
    archive=Archive(name="evaluation.zip"),
)
WORDS = DataSet(
    name="many", reader="harness.datasets.word_sets:WordSets", asset=EVALUATION, n=4, options={"only": "A,B"}
)
MANY = """
from dataclasses import replace

from harness.reference import Archive, Asset, DataSet
from harness.registry import load_models

CRNN = load_models()["crnn"]
ASSET = Asset(name="evaluation", patterns=("**/evaluation",), licence="none", source="a test")
OPTIONS = {"only": "A,B", "labels": "skip"}
DATA = DataSet(name="many", reader="harness.datasets.word_sets:WordSets", asset=ASSET, n=4, options=OPTIONS)
OFFICIAL = replace(CRNN.reference("official"), data=DATA, claims=())
MODEL = replace(CRNN, name="many", references=(OFFICIAL, *CRNN.references[1:]))
"""


@pytest.fixture
def many(tmp_path, words) -> list[str]:
    """Options that declare ``many``, CRNN on two of the three sets of a folder."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "many.py").write_text(MANY)
    for number, name in enumerate("ABC"):
        (tmp_path / "assets" / "evaluation" / name).mkdir(parents=True)
        some = [(word.content, word.truth) for word in words[2 * number : 2 * number + 2]]
        write_words(tmp_path / "assets" / "evaluation" / name, [*some, (words[0].content, "!")])
    return [f"--models={tmp_path / 'models'}", f"--assets={tmp_path / 'assets'}", f"--store={tmp_path / 'store'}"]


def blank(folder: Path, count: int) -> Path:
    """A folder of raw outputs of CRNN, named as its declaration says."""
    folder.mkdir()
    layout = load_models()["crnn"].layout
    for number in range(layout.first, layout.first + count):
        (folder / f"{layout.output.format(i=number, k=0)}.bin").write_bytes(bytes(26 * 37 * 4))
    return folder


def packed(folder: Path) -> dict[str, object]:
    return json.loads((folder / "pack.json").read_text())


class TestDeclaration:
    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ({"make": "toy:make", "options": {"only": "A"}}, r"\.options: only would be told to nobody"),
            ({"asset": EVALUATION, "params": {"seed": 1}}, r"\.params: seed would be told to nobody; options are for"),
            ({"asset": EVALUATION, "options": {"only": ("A",)}}, r"\.options: only is a tuple, expected a text"),
            ({"asset": EVALUATION, "options": {"only": None}}, r"\.options: only is a NoneType, expected a text"),
        ],
    )
    def test_options_are_scalars_for_the_reader_of_an_asset(self, said, told):
        with pytest.raises(DeclarationError, match=rf"DataSet\(toy\){told}"):
            DataSet(name="toy", reader="toy:Reader", n=1, **said)

    @pytest.mark.parametrize("options", [{"onyl": "A"}, {"name": "A"}])
    def test_an_option_that_the_reader_does_not_have_is_named(self, tmp_path, options):
        data, told = replace(WORDS, options=options), f"{WORDS.reader}: .*'{next(iter(options))}'"
        with pytest.raises(DeclarationError, match=rf"^DataSet\(many\)\.options: {told}"):
            open_reader(data, tmp_path, "many", data.options)

    def test_every_declared_data_set_is_readable_by_its_reader(self):
        found = [reference.data for model in load_models().values() for reference in model.references if reference.data]
        assert found
        for data in found:
            with pytest.raises(Exception, match="nowhere") as refused:
                open_reader(data, Path("nowhere"), data.name, data.options)
            assert not isinstance(refused.value, DeclarationError)


class TestOwnData:
    def test_the_references_own_data_is_read_with_its_options(self, many, tmp_path, capsys):
        own = [[], [f"--data={tmp_path / 'assets' / 'evaluation'}"]]
        for number, given in enumerate(own):
            assert main(["pack", "many", f"--out={tmp_path / str(number)}", *given, *many]) == 0
            assert "many official: 4 of 4 samples of many" in capsys.readouterr().out
            found = packed(tmp_path / str(number))
            assert found["samples"] == ["A/000000001", "A/000000002", "B/000000001", "B/000000002"]
            assert (found["own"], found["declared"]) == (True, "any with labels=skip, only=A,B")

    def test_other_data_is_read_without_them(self, many, tmp_path):
        (tmp_path / "assets" / "evaluation").rename(tmp_path / "my_words")
        assert main(["pack", "many", f"--out={tmp_path / 'out'}", f"--data={tmp_path / 'my_words'}", *many]) == 0
        found = packed(tmp_path / "out")
        assert [name[0] for name in found["samples"]] == ["A"] * 3 + ["B"] * 3 + ["C"] * 3
        assert (found["own"], found["declared"]) == (False, None)

    def test_samples_that_were_packed_with_other_options_are_not_the_references_own(self, many, tmp_path, capsys):
        assert main(["pack", "many", f"--out={tmp_path / 'out'}", *many]) == 0
        outputs = blank(tmp_path / "outputs", 4)
        score = ["score", "many", f"--data={tmp_path / 'out'}", f"--outputs={outputs}", *many]
        main(score)
        assert "4 samples of many, all of the reference's own" in capsys.readouterr().out
        declared = tmp_path / "models" / "many.py"
        declared.write_text(declared.read_text().replace("skip", "replace"))
        main(score)
        assert "4 samples of many, all of the reference's own" not in capsys.readouterr().out

    def test_a_set_that_is_not_there_leaves_other_references_and_questions_alone(self, many, tmp_path, capsys):
        for path in (tmp_path / "assets" / "evaluation" / "B").iterdir():
            path.unlink()
        (tmp_path / "assets" / "evaluation" / "B").rmdir()
        assert main(["pack", "many", f"--out={tmp_path / 'out'}", "--samples=2", *many]) == 0
        assert "many bundled: 2 of 500 samples of rendered_words" in capsys.readouterr().out
        assert main(["pack", "many", f"--out={tmp_path / 'no'}", "--reference=official", *many]) == 1
        assert re.search("no set B below it, there are A, C; put", capsys.readouterr().err)
        bench = Workbench(Store(tmp_path / "store"), Assets((tmp_path / "assets",)), tmp_path)
        model = load_models([tmp_path / "models"])["many"]
        found = bench.inputs(model, model.reference("official"), 6)
        assert [item.id for item in found] == [f"rendered_words/{number:09d}" for number in range(1, 7)]
        with pytest.raises(Absent, match="no set B below it"), bench.data(model.reference("official").data):
            pass


class TestLayouts:
    @pytest.mark.parametrize("reference", ["official", "bundled"])
    def test_pictures_with_a_list_are_words_as_an_lmdb_is(self, words, tmp_path, reference, capsys):
        for name, write in (("IIIT5k_3000", write_words), ("pictures", write_pictures)):
            (tmp_path / name).mkdir()
            write(tmp_path / name, [(word.content, word.truth) for word in words])
            out = tmp_path / f"{name}_packed"
            given = [f"--data={tmp_path / name}", f"--reference={reference}", f"--store={tmp_path / 'store'}"]
            assert main(["pack", "crnn", f"--out={out}", *given]) == 0
            assert f"crnn {reference}: 8 of 8 samples of" in capsys.readouterr().out
        one, other = (listing(tmp_path / f"{name}_packed" / "inputs") for name in ("IIIT5k_3000", "pictures"))
        assert len(one) == 8
        assert one == other

    def test_outputs_are_scored_by_pictures_with_a_list(self, words, tmp_path, capsys):
        (tmp_path / "pictures").mkdir()
        write_pictures(tmp_path / "pictures", [(word.content, word.truth) for word in words])
        given = [f"--data={tmp_path / 'pictures'}", f"--outputs={blank(tmp_path / 'outputs', 8)}"]
        main(["score", "crnn", *given, f"--store={tmp_path / 'store'}"])
        assert "8 samples of pictures" in capsys.readouterr().out


class TestArchive:
    @pytest.fixture
    def assets(self, tmp_path) -> Assets:
        """A folder with ``evaluation.zip`` as it is published, and what macOS adds."""
        build(tmp_path / "evaluation", {"A": ["a1", "a2"], "B": ["b1", "b2"], "C": ["c1"]})
        (tmp_path / "assets").mkdir()
        with zipfile.ZipFile(tmp_path / "assets" / "evaluation.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__MACOSX/evaluation/A/._data.mdb", b"\0\5\26\7")
            for path in sorted((tmp_path / "evaluation").rglob("*")):
                archive.write(path, path.relative_to(tmp_path))
        return Assets((tmp_path / "assets",), Cache(tmp_path / "cache"))

    def test_the_folder_in_the_archive_is_found_and_its_sets_are_read(self, assets, tmp_path):
        assert assets.locate(EVALUATION) == tmp_path / "assets" / "evaluation.zip"
        folder = assets.find(EVALUATION)
        assert folder.relative_to(tmp_path / "cache" / "unpacked").parts[1:] == ("evaluation",)
        bench = Workbench(Store(tmp_path / "store"), assets, tmp_path)
        with bench.data(WORDS) as reader:
            assert [sample.truth for sample in reader.samples()] == ["a1", "a2", "b1", "b2"]
        assert Assets((tmp_path / "assets",), assets.cache).locate(EVALUATION) == folder

    def test_a_single_set_in_the_archive_is_found_too(self, assets, tmp_path):
        one = replace(EVALUATION, name="B", patterns=("**/B",))
        data = DataSet(name="B", reader="harness.datasets.word_sets:open_words", asset=one, n=2)
        with Workbench(Store(tmp_path / "store"), assets, tmp_path).data(data) as reader:
            assert [sample.id for sample in reader.samples()] == ["B/000000001", "B/000000002"]

    def test_what_macos_adds_is_never_the_asset(self, assets):
        unpacked = assets.find(EVALUATION).parent
        assert (unpacked / "__MACOSX" / "evaluation").is_dir()
        assert Listing(unpacked).matches("**/evaluation") == [unpacked / "evaluation"]
        assert Listing(unpacked).matches("__MACOSX") == []
