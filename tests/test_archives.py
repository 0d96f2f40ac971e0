"""Archives give what they hold, below the folder asked for, or are refused by name before a byte is written."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.assets.archives import unpack
from harness.verdict import Broken

HELD = {"set/a.png": b"picture" * 3000, "set/deep/labels.txt": b"word\n" * 200, "empty.bin": b"", "é.txt": b"x"}
KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")


def zipped(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", how) as out:
        warnings.simplefilter("ignore", UserWarning)  # names twice, on purpose
        for name, content in members:
            out.writestr(name, content, how)
    return made.getvalue()


def tarred(members: Iterable[tuple[str | tarfile.TarInfo, bytes]], compression: str = "") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=f"w:{compression}") as out:
        for named, content in members:
            info = tarfile.TarInfo(named) if isinstance(named, str) else named
            info.size = info.size or len(content)
            out.addfile(info, io.BytesIO(content))
    return made.getvalue()


def packed(kind: str, members: Mapping[str, bytes]) -> bytes:
    return zipped(members.items()) if kind == "zip" else tarred(members.items(), kind[4:])


def unpacked(content: bytes, tmp_path: Path, name: str = "pack.bin") -> dict[str, bytes]:
    """The files that come out of an archive of that content, and a look that nothing lies beside them."""
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "inside" / "out"
    out.mkdir(parents=True, exist_ok=True)
    try:
        unpack(tmp_path / name, out)
    finally:
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["inside", name])
        assert [path.name for path in (tmp_path / "inside").iterdir()] == ["out"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def refused(content: bytes, tmp_path: Path) -> str:
    """What the refusal says; nothing was written."""
    with pytest.raises(Broken) as broken:
        unpacked(content, tmp_path)
    assert list((tmp_path / "inside" / "out").iterdir()) == []
    told = str(broken.value)
    assert told.startswith(f"{tmp_path / 'pack.bin'}: ")
    return told


def entry(name: str, kind: bytes = tarfile.REGTYPE, **said: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in said.items():
        setattr(info, field, value)
    return info


def zip_entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = name  # the constructor would mend it
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("kind", KINDS)
class TestWhole:
    def test_all_files_come_out_with_their_content(self, kind, tmp_path):
        assert unpacked(packed(kind, HELD), tmp_path) == HELD

    def test_an_archive_cut_short_is_broken_wherever_it_ends(self, kind, tmp_path):
        whole = packed(kind, HELD)
        # A plain tar ends with blocks of zeros, of which one is enough.
        least = len(whole.rstrip(b"\0")) if kind == "tar" else len(whole)
        for length in {*range(0, least, max(1, least // 25)), 512, 1024, least - 1} - set(range(least, 2000)):
            with pytest.raises(Broken, match=r"pack\.bin: .*fetch it again"):
                unpacked(whole[:length], tmp_path)

    def test_altered_bytes_give_the_same_files_or_are_broken(self, kind, tmp_path):
        whole = packed(kind, HELD)
        caught = 0
        for at in range(0, len(whole), max(1, len(whole) // 30)):
            altered = bytearray(whole)
            altered[at] ^= 0x55
            with TemporaryDirectory(dir=tmp_path) as folder:
                try:
                    found = unpacked(bytes(altered), Path(folder))
                except Broken:
                    caught += 1
                else:
                    assert found == HELD or kind == "tar"  # a plain tar has no checksum of what it holds
        assert caught > (0 if kind == "tar" else 10)


class TestTarKinds:
    @pytest.mark.parametrize(
        ("info", "told"),
        [
            (entry("way", tarfile.SYMTYPE, linkname="/etc"), "member 'way' is a symbolic link"),
            (entry("way", tarfile.SYMTYPE, linkname="set"), "member 'way' is a symbolic link"),
            (entry("way", tarfile.LNKTYPE, linkname="set/a.png"), "member 'way' is a hard link"),
            (entry("tty", tarfile.CHRTYPE), "member 'tty' is a device"),
            (entry("sda", tarfile.BLKTYPE), "member 'sda' is a device"),
            (entry("pipe", tarfile.FIFOTYPE), "member 'pipe' is neither a file nor a folder"),
            (entry("holes", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"}), "is a file with holes"),
        ],
        ids=lambda said: said.name if isinstance(said, tarfile.TarInfo) else "",
    )
    def test_what_is_neither_file_nor_folder_is_refused(self, info, told, tmp_path):
        assert told in refused(tarred([("set/a.png", b"1"), (info, b"")]), tmp_path)

    def test_folders_and_the_folder_itself_are_no_obstacle(self, tmp_path):
        members = [(entry("./", tarfile.DIRTYPE), b""), (entry("./set/", tarfile.DIRTYPE), b""), ("./set//a", b"1")]
        assert unpacked(tarred([*members, members[1]]), tmp_path) == {"set/a": b"1"}

    def test_a_header_that_was_damaged_is_not_taken_for_the_end(self, tmp_path):
        content = bytearray(tarred([("a", b"1"), ("b", b"2")]))
        content[1024] ^= 1
        assert "is cut short or altered at byte 1024 of its tar" in refused(bytes(content), tmp_path)

    def test_a_tar_without_its_end_is_cut_short(self, tmp_path):
        assert "is cut short" in refused(tarred([("a", b"1"), ("b", b"2")])[:1024], tmp_path)


class TestZipKinds:
    @pytest.mark.parametrize(
        ("mode", "told"),
        [
            (stat.S_IFLNK | 0o777, "member 'set/way' is a symbolic link"),
            (stat.S_IFIFO, "member 'set/way' is neither a file nor a folder"),
            (stat.S_IFCHR, "member 'set/way' is neither a file nor a folder"),
        ],
    )
    def test_what_is_neither_file_nor_folder_is_refused(self, mode, told, tmp_path):
        assert told in refused(zipped([("set/a", b"1"), (zip_entry("set/way", mode), b"/etc")]), tmp_path)

    def test_an_encrypted_member_is_refused(self, tmp_path):
        content = bytearray(zipped([("a.txt", b"secret")]))
        content[6] |= 1
        content[content.index(b"PK\x01\x02") + 8] |= 1
        assert "member 'a.txt' is encrypted" in refused(bytes(content), tmp_path)

    def test_altered_content_names_its_member(self, tmp_path):
        content = zipped([("set/a.txt", b"content")], zipfile.ZIP_STORED).replace(b"content", b"c0ntent")
        with pytest.raises(Broken, match=r"pack\.bin: member 'set/a\.txt': damaged: Bad CRC-32"):
            unpacked(content, tmp_path)

    def test_a_directory_that_lost_a_member_is_damaged(self, tmp_path):
        content = bytearray(zipped([("a.txt", b"1"), ("b.txt", b"2")]))
        content[content.index(b"PK\x01\x02") + 32] = 46 + len("b.txt")  # its comment, which the second then is
        assert "damaged: lists 1 of 2 members" in refused(bytes(content), tmp_path)

    def test_a_member_that_begins_before_the_file_is_damaged(self, tmp_path):
        content = bytearray(zipped([("a.txt", b"1")]))
        content[content.index(b"PK\x05\x06") + 18] = 255  # where its directory begins, from which offsets are mended
        with pytest.raises(Broken, match=r"member 'a\.txt': damaged: .*Invalid argument"):
            unpacked(bytes(content), tmp_path)

    def test_a_zip_with_a_comment_is_no_damaged_one(self, tmp_path):
        made = io.BytesIO(zipped([("a.txt", b"1")]))
        with zipfile.ZipFile(made, "a") as out:
            out.comment = b"evaluation sets"
        assert unpacked(made.getvalue(), tmp_path) == {"a.txt": b"1"}

    def test_a_compression_that_nobody_here_knows_names_its_member(self, tmp_path):
        content = bytearray(zipped([("a.txt", b"content")]))
        content[8] = content[content.index(b"PK\x01\x02") + 10] = 99
        with pytest.raises(Broken, match=r"member 'a\.txt': damaged: That compression method is not supported"):
            unpacked(bytes(content), tmp_path)


class TestOther:
    @pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>", b"\x00" * 2000], ids=["empty", "page", "zeros"])
    def test_a_file_that_is_no_archive_is_told_by_how_it_begins(self, content, tmp_path):
        told = refused(content, tmp_path)
        assert f"is neither a zip nor a tar archive, it begins with {content[:16]!r}" in told

    def test_a_compressed_file_that_is_no_tar_is_broken(self, tmp_path):
        assert "damaged" in refused(gzip.compress(b"weights" * 1000), tmp_path)

    def test_a_tar_that_ends_with_a_zip_is_still_a_tar(self, tmp_path):
        inner = zipped([("inner.txt", b"1")])
        assert unpacked(tarred([("pack.zip", inner)]), tmp_path) == {"pack.zip": inner}

    def test_modes_and_owners_of_another_machine_are_left_there(self, tmp_path):
        unpacked(tarred([(entry("tool", mode=0o6777, uid=12345), b"1")]), tmp_path)
        made = (tmp_path / "inside" / "out" / "tool").stat()
        assert made.st_mode & 0o6111 == 0
        assert made.st_uid == tmp_path.stat().st_uid
