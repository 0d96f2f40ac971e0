"""Archives of other people's: unpacked only after every member of them has been looked at."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from harness.verdict import Broken

MOST_BYTES = 64 << 30
MOST_MEMBERS = 200_000
RATIO = 200
"""How many times its own size an archive may unpack to: labels in text shrink tenfold, a bomb a thousandfold."""
ALWAYS_ALLOWED = 64 << 20
"""Bytes that any archive may unpack to, however small it is."""
LONGEST_PART, LONGEST_NAME = 255, 1000
BLOCK = 1 << 20
LONGEST_READ = 16 * BLOCK
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    IndexError,
    OverflowError,
)
STREAMS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


@dataclass(frozen=True)
class Member:
    """What an archive says of one of its members. ``kind`` is ``file``, ``folder``, or what it is instead."""

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, out: Path) -> None:
    """Every file of a zip or tar archive (gzip, bzip2, xz or plain) lies below the empty folder ``out``.

    Names, kinds and sizes of all members are checked before the first is written. Raises ``Broken`` naming the archive,
    the member and what is wrong; what ``out`` holds then must not be used.
    """
    with _damage(str(archive)), archive.open("rb") as file:
        begins = file.read(512)
    limit = min(MOST_BYTES, max(ALWAYS_ALLOWED, RATIO * archive.stat().st_size))
    if begins.startswith(b"PK"):
        with _damage(str(archive)), zipfile.ZipFile(archive) as zipped:
            _check_count(archive, zipped)
            _write(archive, out, _accepted(archive, _zip_members(zipped), limit))
        return
    opener = next((opener for magic, opener in STREAMS.items() if begins.startswith(magic)), None)
    if opener is None and begins[257:262] != b"ustar":
        raise Broken(f"{archive}: is neither a zip nor a tar archive, it begins with {begins[:16]!r}; fetch it again")
    with _damage(str(archive)), opener(archive) if opener else archive.open("rb") as stream:
        bounded = _Bounded(archive, stream, limit)
        with tarfile.TarFile(fileobj=cast("IO[bytes]", bounded)) as tar:
            members = _accepted(archive, _tar_members(tar), limit)
            _check_end(archive, tar, bounded)
            _write(archive, out, members)


def parts_of(name: str) -> tuple[str, ...]:
    """The components of a member's name, relative to where it is unpacked; none for that folder itself.

    Raises ``ValueError`` saying what is wrong with a name that could lie elsewhere, on any system.
    """
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if name.startswith("/"):
        raise ValueError("is an absolute path")
    if ".." in parts:
        raise ValueError("leads out of its folder with ..")
    if "\\" in name:
        raise ValueError("has a backslash, which separates folders on some systems")
    if any(re.match("[A-Za-z]:", part) for part in parts):
        raise ValueError("has a drive letter")
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise ValueError("has a control character")
    lengths = [len(part.encode("utf-8", "surrogatepass")) for part in parts]
    if max(lengths, default=0) > LONGEST_PART or sum(lengths) + len(lengths) > LONGEST_NAME:
        raise ValueError(f"is longer than {LONGEST_PART} bytes a component, or {LONGEST_NAME} in all")
    return parts


def _accepted(archive: Path, members: Iterable[Member], limit: int) -> list[tuple[tuple[str, ...], Member]]:
    """All members with the components of their names, none of them refused."""
    accepted: list[tuple[tuple[str, ...], Member]] = []
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    total = 0
    for member in members:
        total += max(member.size, 0)
        parts = _checked(archive, member)
        if total > limit or len(accepted) >= MOST_MEMBERS:
            raise _bomb(archive, limit)
        # Names that differ by case or by the form of their accents are one file on some systems.
        keys = [_folded(parts[: count + 1]) for count in range(len(parts))]
        own, above = keys[-1:], keys[:-1]
        # A folder may be named twice; a file may not, neither as a file nor as a folder.
        taken = [files[key] for key in keys if key in files]
        if member.kind == "file":
            taken += [folders[key] for key in own if key in folders]
            files |= dict.fromkeys(own, member.name)
        else:
            above = keys
        if taken:
            raise _refusal(archive, member, f"lies where {_short(taken[0])} does")
        for key in above:
            folders.setdefault(key, member.name)
        accepted.append((parts, member))
    return accepted


def _checked(archive: Path, member: Member) -> tuple[str, ...]:
    """The components of the name of a member that may be unpacked."""
    try:
        parts = parts_of(member.name)
    except ValueError as error:
        raise _refusal(archive, member, str(error)) from error
    if member.kind not in {"file", "folder"}:
        raise _refusal(archive, member, f"is {member.kind}")
    if member.kind == "file" and not parts:
        raise _refusal(archive, member, "has no name")
    if member.size < 0:
        raise _refusal(archive, member, f"has {member.size} bytes")
    return parts


def _write(archive: Path, out: Path, members: list[tuple[tuple[str, ...], Member]]) -> None:
    for parts, member in members:
        path = out.joinpath(*parts)
        (path if member.kind == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
        if member.kind == "file":
            # Only the bytes: an owner, a mode or a time of somebody else's machine has no meaning here.
            with _damage(f"{archive}: member {_short(member.name)}"), member.open() as source, path.open("xb") as file:
                shutil.copyfileobj(source, file, BLOCK)


def _zip_members(zipped: zipfile.ZipFile) -> Iterator[Member]:
    for info in zipped.infolist():
        name = info.orig_filename  # the other one ends at a NUL
        kind = "folder" if name.endswith("/") else "file"
        mode = stat.S_IFMT(info.external_attr >> 16)
        if mode not in {0, stat.S_IFREG, stat.S_IFDIR}:
            kind = "a symbolic link" if mode == stat.S_IFLNK else "neither a file nor a folder"
        if info.flag_bits & 0x1:
            kind = "encrypted"
        yield Member(name, kind, info.file_size, partial(zipped.open, info))


def _check_count(archive: Path, zipped: zipfile.ZipFile) -> None:
    """The directory holds as many members as its end says; zipfile takes an altered length for a longer comment."""
    with archive.open("rb") as file:
        file.seek(-22 - len(zipped.comment), os.SEEK_END)
        (count,) = struct.unpack("<10xH", file.read(12))
    if count not in {0xFFFF, len(zipped.infolist()) % 0x10000}:  # 0xFFFF: told elsewhere
        raise Broken(f"{archive}: damaged: lists {len(zipped.infolist())} of {count} members; fetch it again")


def _tar_members(tar: tarfile.TarFile) -> Iterator[Member]:
    kinds = {
        tarfile.REGTYPE: "file",
        tarfile.AREGTYPE: "file",
        tarfile.DIRTYPE: "folder",
        tarfile.SYMTYPE: "a symbolic link",
        tarfile.LNKTYPE: "a hard link",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
    }
    for info in tar:
        kind = "a file with holes" if info.issparse() else kinds.get(info.type, "neither a file nor a folder")
        yield Member(info.name, kind, info.size, cast("Callable[[], IO[bytes]]", partial(tar.extractfile, info)))


def _check_end(archive: Path, tar: tarfile.TarFile, stream: _Bounded) -> None:
    """The members end with an empty block, and the stream with the checksum that its compression has.

    tarfile takes a header that is damaged, or missing, for the end.
    """
    stream.seek(tar.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise Broken(f"{archive}: is cut short or altered at byte {tar.offset} of its tar; fetch it again")
    while stream.read(BLOCK):
        pass


class _Bounded:
    """A stream that refuses to be read beyond ``limit``, or much at once: headers of a bomb claim any length."""

    def __init__(self, archive: Path, stream: IO[bytes], limit: int) -> None:
        self.archive = archive
        self.stream = stream
        self.limit = limit

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_READ:
            raise Broken(f"{self.archive}: has a header of {size} bytes; fetch it again")
        found = self.stream.read(size)
        if self.stream.tell() > self.limit:
            raise _bomb(self.archive, self.limit)
        return found

    def seek(self, offset: int) -> int:
        return self.stream.seek(offset)

    def tell(self) -> int:
        return self.stream.tell()


@contextmanager
def _damage(what: str) -> Iterator[None]:
    """Turns the many errors of readers into ``Broken``; those of the disk pass through."""
    try:
        yield
    except DAMAGE as error:
        raise Broken(f"{what}: damaged: {error or type(error).__name__}; fetch it again") from error
    except OSError as error:
        if error.errno not in {None, errno.EINVAL}:  # offsets before the beginning
            raise
        raise Broken(f"{what}: damaged: {error}; fetch it again") from error


def _folded(parts: tuple[str, ...]) -> str:
    return unicodedata.normalize("NFC", "/".join(parts)).casefold()


def _refusal(archive: Path, member: Member, wrong: str) -> Broken:
    return Broken(f"{archive}: refused, nothing was unpacked: member {_short(member.name)} {wrong}")


def _bomb(archive: Path, limit: int) -> Broken:
    return Broken(
        f"{archive}: refused, nothing was unpacked: it holds more than {MOST_MEMBERS} members or {limit} bytes, "
        f"{RATIO} times its own size"
    )


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:60]}...")
