"""Archives whose members lead elsewhere, or claim more than they are, are refused by name; nothing is written."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.assets import archives
from harness.assets.archives import parts_of
from harness.verdict import Broken
from tests.test_archives import HELD, KINDS, entry, packed, refused, tarred, unpacked, zip_entry, zipped

HOSTILE = {
    "/etc/passwd": "is an absolute path",
    "//server/share": "is an absolute path",
    "../outside": "leads out of its folder with ..",
    "set/../../outside": "leads out of its folder with ..",
    "set/..": "leads out of its folder with ..",
    "set\\outside": "has a backslash",
    "..\\outside": "has a backslash",
    "C:/outside": "has a drive letter",
    "./c:outside": "has a drive letter",
    "line\nbreak": "has a control character",
    "a" * 256: "is longer than 255 bytes",
    "é" * 128: "is longer than 255 bytes",
    "deep/" * 201 + "x": "is longer than 255 bytes a component, or 1000 in all",
    "./": "has no name",
}


class TestNames:
    @pytest.mark.parametrize(("name", "told"), HOSTILE.items(), ids=[str(at) for at in range(len(HOSTILE))])
    def test_a_name_that_could_lie_elsewhere_is_refused_in_both_kinds(self, name, told, tmp_path):
        if name != "./":
            assert told in refused(zipped([("set/a", b"1"), (zip_entry(name), b"2")]), tmp_path)
        assert told in refused(tarred([("set/a", b"1"), (name, b"2")]), tmp_path)

    def test_a_name_with_a_nul_is_refused_and_not_cut(self, tmp_path):
        assert "'a.txt\\x00.png' has a control character" in refused(
            zipped([(zip_entry("a.txt\0.png"), b"")]), tmp_path
        )

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("set/a.txt", "set/a.txt"),
            ("set/a.txt", "SET/A.txt"),
            ("set/a.txt", "set/./a.txt"),
            ("set/caf\u00e9", "set/cafe\u0301"),
            ("set", "set/a.txt"),
            ("Set", "set/deep/a.txt"),
            ("set/deep/a.txt", "set"),
            ("set/deep/a.txt", "set/DEEP"),
        ],
    )
    def test_two_members_that_are_one_on_some_system_are_refused(self, one, other, tmp_path):
        for content in (zipped([(one, b"1"), (other, b"2")]), tarred([(one, b"1"), (other, b"2")])):
            assert f"member {other!r} lies where {one!r} does" in refused(content, tmp_path)

    def test_a_folder_in_the_place_of_a_file_is_refused(self, tmp_path):
        content = tarred([("set/a", b"1"), (entry("set/A/", tarfile.DIRTYPE), b"")])
        assert "member 'set/A' lies where 'set/a' does" in refused(content, tmp_path)

    @given(st.lists(st.sampled_from(["..", "/", "\\", "C:", ".", "a", "B", " ", "é", "\0", "~", "con"]), max_size=8))
    @example(["C:", "..", "/"])
    def test_an_accepted_name_stays_below_its_folder_on_every_system(self, tokens):
        name = "".join(tokens)
        try:
            parts = parts_of(name)
        except ValueError:
            return
        assert not {"", ".", ".."} & set(parts)
        windows = PureWindowsPath("D:/cache", *parts)
        assert windows.is_relative_to("D:/cache")
        assert windows.parts[2:] == parts
        below = Path("/cache").joinpath(*parts)
        assert below.parts[2:] == parts

    @given(st.lists(st.text("abcXYZ019-_. ()é字", min_size=1, max_size=12), min_size=1, max_size=6))
    def test_an_ordinary_name_is_accepted_as_it_is(self, parts):
        ordinary = [part for part in parts if part not in {".", ".."}]
        assert parts_of("/".join(ordinary)) == tuple(ordinary)

    @given(
        names=st.sets(st.text("ab./\\:é", min_size=1, max_size=6), min_size=1, max_size=3), kind=st.sampled_from(KINDS)
    )
    def test_whatever_its_names_an_archive_gives_all_its_files_or_none(self, names, kind):
        with TemporaryDirectory() as folder:
            members = {name: name.encode() for name in names}
            try:
                found = unpacked(packed(kind, members), Path(folder))
            except Broken:
                assert list(Path(folder, "inside", "out").iterdir()) == []
            else:
                files = {name: content for name, content in members.items() if kind != "zip" or name[-1] != "/"}
                assert sorted(found.values()) == sorted(files.values())


class TestBombs:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 20_000)

    @pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
    def test_what_grows_a_thousandfold_is_refused(self, kind, tmp_path):
        assert "bytes, 200 times its own size" in refused(packed(kind, {"zeros": bytes(3_000_000)}), tmp_path)

    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_many_members_that_grow_together_are_refused(self, kind, tmp_path, monkeypatch):
        monkeypatch.setattr(archives, "RATIO", 20)
        members = {f"zeros{at}": bytes(9_000) for at in range(40)}
        assert "bytes, 20 times its own size" in refused(packed(kind, members), tmp_path)

    @pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
    def test_what_grows_after_the_end_is_refused(self, kind, tmp_path):
        press = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind]
        assert "200 times its own size" in refused(press(tarred([("a", b"1")]) + bytes(3_000_000)), tmp_path)

    def test_text_that_shrinks_well_is_none(self, tmp_path):
        held = {"labels.txt": b"".join(b"word_%d.png, word\n" % at for at in range(30_000))}
        assert unpacked(packed("zip", held), tmp_path) == held

    @pytest.mark.parametrize("kind", KINDS)
    def test_too_many_members_are_refused(self, kind, tmp_path, monkeypatch):
        monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
        assert "more than 3 members" in refused(packed(kind, HELD), tmp_path)

    def test_a_size_that_is_only_claimed_is_refused(self, tmp_path):
        assert "refused" in refused(entry("big", size=1 << 50).tobuf() + bytes(1024), tmp_path)

    @pytest.mark.parametrize("size", [1 << 30, -512])
    def test_a_header_that_claims_any_length_is_not_read(self, size, tmp_path):
        header = entry("pax", tarfile.XHDTYPE, size=size).tobuf(tarfile.GNU_FORMAT)
        assert f"has a header of {size} bytes" in refused(header + bytes(1024), tmp_path)

    def test_a_size_below_zero_is_refused(self, tmp_path):
        header = entry("back", size=-1536).tobuf(tarfile.GNU_FORMAT)
        assert "member 'back' has -1536 bytes" in refused(entry("a").tobuf() + header + bytes(1024), tmp_path)

    def test_headers_of_headers_without_end_are_refused(self, tmp_path):
        header = entry("pax", tarfile.XHDTYPE, size=512).tobuf() + b"9 path=a\n".ljust(512, b"\0")
        told = refused(header * 2000 + bytes(1024), tmp_path)
        assert "headers" in told
