"""Files that the project does not make are found by pattern, checked before use, and their absence says what to do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.assets import Assets
from harness.model import Asset
from harness.verdict import Absent, Broken, Verdict

CONTENT = b"weights"


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
        assert Assets().find(asset("harness/assets.py", shipped=True)).name == "assets.py"


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
            Assets((folder,)).find(asset(size=7, sha256=hashlib.sha256(CONTENT).hexdigest()))
