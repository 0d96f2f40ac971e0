"""Files that the project does not make are found by pattern, checked before use, and their absence says what to do."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from harness import assets as module
from harness.assets import Assets
from harness.assets.cache import Cache
from harness.assets.listing import Listing
from harness.reference import Archive, Asset
from harness.verdict import Absent, Broken, Verdict

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def asset(*patterns: str, **said: object) -> Asset:
    described = {"name": "toy weights", "licence": "none", "source": "the vendor's page"}
    return Asset(**{**described, "patterns": patterns or ("**/toy.pth",), **said})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of assets with one file in it."""
    made = tmp_path / "assets"
    (made / "deep" / "er").mkdir(parents=True)
    (made / "deep" / "er" / "toy.pth").write_bytes(CONTENT)
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache's folder, not there yet."""
    return tmp_path / "cache"


def looking(folder: Path, cache: Path) -> Assets:
    """As a new process looks."""
    return Assets((folder,), Cache(cache))


class TestFinding:
    def test_a_file_is_found_however_deep_it_lies(self, folder):
        assert Assets((folder,)).find(asset()) == folder / "deep" / "er" / "toy.pth"

    def test_folders_are_searched_in_the_order_they_were_given(self, folder, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        (other / "toy.pth").write_bytes(b"others")
        assert Assets((other, folder)).find(asset()) == other / "toy.pth"
        assert Assets((folder, other)).find(asset()).read_bytes() == CONTENT

    def test_earlier_patterns_are_preferred_and_later_ones_are_tried(self, folder):
        (folder / "named_otherwise.pth").write_bytes(b"others")
        both = ("**/toy.pth", "named_*.pth")
        assert Assets((folder,)).find(asset(*both)).name == "toy.pth"
        assert Assets((folder,)).find(asset(*both[::-1])).name == "named_otherwise.pth"
        assert Assets((folder,)).find(asset("absent.pth", "named_*.pth")).name == "named_otherwise.pth"

    def test_a_folder_is_an_asset_too(self, folder):
        assert Assets((folder,)).find(asset("**/er")) == folder / "deep" / "er"

    def test_size_and_sha256_that_fit_are_no_obstacle(self, folder):
        known = asset(size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
        assert Assets((folder,)).find(known).read_bytes() == CONTENT

    def test_a_file_that_is_not_the_declared_one_is_passed_by_for_one_that_is(self, folder, tmp_path):
        for name, content in (("a", b"Weights"), ("c", b"short"), ("d", CONTENT)):
            (folder / name).mkdir()
            (folder / name / "toy.pth").write_bytes(content)
        for known in ({"size": 7, "sha256": SHA256}, {"sha256": SHA256}):
            assets = Assets((folder,))
            assert assets.find(asset(**known)) == folder / "d" / "toy.pth"
            assert assets.locate(asset(**known)) == folder / "d" / "toy.pth"

    @pytest.mark.parametrize("empty", [Path.mkdir, Path.touch], ids=["folder", "file"])
    def test_what_is_empty_is_passed_by_and_broken_where_it_is_all(self, tmp_path, empty):
        empty(tmp_path / "IIIT5K_lmdb")
        with pytest.raises(Broken, match=r"IIIT5K_lmdb: is empty; fetch it again"):
            Assets((tmp_path,)).find(asset("**/IIIT5K_lmdb"))
        (tmp_path / "real" / "IIIT5K_lmdb" / "data").mkdir(parents=True)
        assert Assets((tmp_path,)).find(asset("**/IIIT5K_lmdb")) == tmp_path / "real" / "IIIT5K_lmdb"

    def test_links_are_followed_once_and_loops_end(self, folder, tmp_path):
        (tmp_path / "elsewhere" / "set").mkdir(parents=True)
        (tmp_path / "elsewhere" / "set" / "data.mdb").write_bytes(b"1")
        (folder / "data").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere" / "back").symlink_to(folder)
        (folder / "itself").symlink_to("itself")
        assert Assets((folder,)).find(asset("**/set/data.mdb")) == folder / "data" / "set" / "data.mdb"
        assert Listing(folder).matches("**/toy.pth") == [folder / "deep" / "er" / "toy.pth"]
        with pytest.raises(Broken, match=r"itself: cannot be read: Too many levels of symbolic links"):
            Assets((folder,)).find(asset("itself"))

    def test_a_folder_is_known_by_its_own_path_where_links_lead_to_it_too(self, folder):
        for at in range(9):
            (folder / f"link{at}").symlink_to("deep")
        assert Listing(folder).matches("**/er/toy.pth") == [folder / "deep" / "er" / "toy.pth"]

    @pytest.mark.parametrize(
        "pattern", ["**/toy.pth", "*/*/toy.pth", "deep/**/*.pth", "**/d?ep/**/toy.pth", "toy.pth", "**/er", "*", "**/*"]
    )
    def test_patterns_mean_what_globs_mean(self, folder, pattern):
        (folder / "other").mkdir()
        (folder / "other" / ".toy.pth").write_bytes(b"1")
        assert Listing(folder).matches(pattern) == sorted(folder.glob(pattern))

    def test_a_folder_is_walked_and_a_file_read_once(self, folder, monkeypatch):
        walks, reads = [], []
        monkeypatch.setattr(module, "Listing", lambda walked: (walks.append(walked), Listing(walked))[1])
        monkeypatch.setattr("harness.assets.cache.file_digest", lambda path: (reads.append(path), SHA256)[1])
        assets = Assets((folder,))
        for _ in range(3):
            assert assets.find(asset(sha256=SHA256)) == assets.locate(asset(sha256=SHA256))
            assert assets.locate(asset("**/absent.pth")) is None
        assert walks == [folder]
        assert reads == [folder / "deep" / "er" / "toy.pth"]


class TestFolders:
    @pytest.fixture
    def folders(self, tmp_path):
        made = [tmp_path / name for name in ("one", "two", "three")]
        for path in made:
            path.mkdir()
        return made

    def test_folders_given_come_before_those_of_the_variable(self, folders, monkeypatch):
        monkeypatch.setenv("CONFORMANCE_ASSETS", os.pathsep.join([str(folders[2]), "", str(folders[0])]))
        assert Assets.of([str(folders[1])]).folders == (folders[1], folders[2], folders[0])
        assert Assets.of([folders[0]]).folders == (folders[0], folders[2])
        assert Assets.of([]).folders == (folders[2], folders[0])
        monkeypatch.delenv("CONFORMANCE_ASSETS")
        assert Assets.of([]).folders == ()

    def test_a_folder_that_is_not_there_is_named_with_what_named_it(self, folders, monkeypatch):
        with pytest.raises(NotADirectoryError, match=r"^--assets=.*/absent: no such folder"):
            Assets.of([folders[0] / "absent"])
        monkeypatch.setenv("CONFORMANCE_ASSETS", str(folders[0] / "absent"))
        with pytest.raises(NotADirectoryError, match=r"^CONFORMANCE_ASSETS: .*/absent: no such folder"):
            Assets.of([folders[0]])

    def test_the_cache_is_where_its_variable_says(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "kept"))
        assert Assets().cache.root == tmp_path / "kept"
        monkeypatch.setenv("CONFORMANCE_CACHE", "")
        assert Assets().cache.root == Path.home() / ".cache" / "ocr-deployment-conformance"


class TestAbsence:
    def test_an_absent_asset_is_a_skip_that_says_what_where_and_how_to_get_it(self, folder, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(Absent) as absent:
            Assets((folder, tmp_path / "empty")).find(asset("**/IIIT5K_lmdb", "**/IIIT5k_3000"))
        assert absent.value.verdict == Verdict.SKIPPED
        told = str(absent.value)
        assert "toy weights not found: looked for **/IIIT5K_lmdb or **/IIIT5k_3000 in " in told
        assert f"{folder}, {tmp_path / 'empty'}" in told
        assert "get it from the vendor's page" in told
        assert "--assets=DIR" in told

    def test_the_absence_tells_all_that_was_declared_and_each_way_to_get_it(self, folder, cache):
        archive = Archive(name="pack.tar", url="https://vendor.example/pack.tar", sha256="1" * 64)
        wanted = asset("a/b.pth", sha256="0" * 64, url="https://vendor.example/b.pth", archive=archive)
        with pytest.raises(Absent) as absent:
            looking(folder, cache).find(wanted)
        told = str(absent.value)
        for words in (
            f"toy weights not found: looked for a/b.pth or the archive pack.tar in {folder}; ",
            f"; its sha256 is {'0' * 64}; ",
            "get it from the vendor's page, https://vendor.example/b.pth; ",
            f"the archive pack.tar with sha256 {'1' * 64}, https://vendor.example/pack.tar, will do, packed as it is; ",
            "put it anywhere below a folder DIR, and pass --assets=DIR or set CONFORMANCE_ASSETS=DIR; ",
            "or fetch it: python -m harness assets fetch 'toy weights'",
        ):
            assert words in told
        assert "\n" not in told

    def test_what_cannot_be_fetched_is_not_offered(self, folder, cache):
        with pytest.raises(Absent) as absent:
            looking(folder, cache).find(asset("absent", archive=Archive(name="pack.tar")))
        assert "the archive pack.tar will do" in str(absent.value)
        assert "or fetch it" not in str(absent.value)

    def test_a_folder_that_cannot_be_read_is_named(self, folder, cache, monkeypatch):
        def scan(path: Path) -> object:
            if path.name == "deep":
                raise PermissionError(13, "Permission denied")
            return os_scandir(path)

        os_scandir = os.scandir
        monkeypatch.setattr("harness.assets.listing.os.scandir", scan)
        with pytest.raises(Absent, match=r"in .*/assets, could not read .*/assets/deep; get it from"):
            looking(folder, cache).find(asset())

    def test_without_folders_the_absence_says_so(self):
        with pytest.raises(Absent, match="in no folder given; get it from"):
            Assets().find(asset())

    def test_locating_tells_nothing_and_checks_nothing(self, folder):
        assert Assets((folder,)).locate(asset(size=1)) == folder / "deep" / "er" / "toy.pth"
        assert Assets((folder,)).locate(asset("absent")) is None

    def test_a_shipped_asset_is_searched_in_the_project_alone_and_its_absence_is_broken(self, folder):
        shipped = asset("suites/references/no_such_model/toy.pth", shipped=True)
        with pytest.raises(Broken, match=r"suites/references/no_such_model/toy\.pth is not in the checkout.*git"):
            Assets((folder,)).find(shipped)
        assert Assets((folder,)).locate(asset("**/er/toy.pth", shipped=True)) is None
        assert Assets().find(asset("harness/assets/__init__.py", shipped=True)).name == "__init__.py"


class TestChecking:
    @pytest.mark.parametrize(
        ("known", "told"),
        [
            ({"size": 8}, r"toy\.pth: has 7 bytes, toy weights has 8; fetch it again"),
            (
                {"sha256": "0" * 64},
                rf"its sha256 is {hashlib.sha256(CONTENT).hexdigest()}, that of toy weights is 0000",
            ),
        ],
        ids=["size", "sha256"],
    )
    def test_another_file_of_the_same_name_is_broken(self, folder, known, told):
        with pytest.raises(Broken, match=told):
            Assets((folder,)).find(asset(**known))

    def test_a_truncated_download_is_told_by_its_size(self, folder):
        (folder / "deep" / "er" / "toy.pth").write_bytes(CONTENT[:3])
        with pytest.raises(Broken, match="has 3 bytes, toy weights has 7"):
            Assets((folder,)).find(asset(size=7, sha256=SHA256))

    def test_all_that_is_wrong_under_the_name_is_named(self, folder):
        (folder / "toy.pth").write_bytes(b"others")
        with pytest.raises(Broken, match=r"er/toy\.pth: its sha256 .*; .*assets/toy\.pth: its sha256 .*"):
            Assets((folder,)).find(asset(sha256="0" * 64))

    def test_a_folder_in_the_place_of_a_file_is_broken(self, folder):
        with pytest.raises(Broken, match=r"deep/er: is a folder, toy weights is a file"):
            Assets((folder,)).find(asset("**/er", size=7))

    def test_a_file_that_goes_away_is_broken(self, folder):
        assets = Assets((folder,))
        assets.locate(asset())
        (folder / "deep" / "er" / "toy.pth").unlink()
        with pytest.raises(Broken, match=r"toy\.pth: cannot be read: No such file"):
            assets.find(asset())
