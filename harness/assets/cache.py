"""The cache: files that were fetched, and archives that were unpacked.

``fetched/<key>/`` holds a file under its own name, ``unpacked/<sha256>/`` what an archive of that content holds. Both
are made in ``.partial`` under a lock of their own and renamed when done, so a reader sees all of it or nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from harness.assets.archives import unpack
from harness.assets.listing import is_wild
from harness.reference import Archive, Asset
from harness.store import NO_SPACE, file_digest
from harness.verdict import Broken

log = logging.getLogger(__name__)

VARIABLE = "CONFORMANCE_CACHE"


@dataclass(frozen=True)
class Download:
    """A file that can be fetched: from where, under which name it is kept, and what it must be."""

    url: str
    file: str
    sha256: str | None
    size: int | None

    @classmethod
    def of(cls, asset: Asset) -> Download | None:
        """What fetching an asset means: the file itself, or the archive that holds it; nothing without a URL."""
        return cls.of_file(asset) or (cls.of_archive(asset.archive) if asset.archive else None)

    @classmethod
    def of_file(cls, asset: Asset) -> Download | None:
        """The asset's own file, under the name that its patterns look for."""
        if asset.url is None:
            return None
        looked_for = asset.patterns[0].rpartition("/")[2]
        name = PurePosixPath(urlsplit(asset.url).path).name if is_wild(looked_for) else looked_for
        return cls(asset.url, "file" if name in {"", ".."} else name, asset.sha256, asset.size)

    @classmethod
    def of_archive(cls, archive: Archive) -> Download | None:
        """An archive as a file."""
        return cls(archive.url, archive.name, archive.sha256, None) if archive.url else None


class Cache:
    """A folder that processes share: ``CONFORMANCE_CACHE``, or ``~/.cache/ocr-deployment-conformance``."""

    def __init__(self, root: Path | None = None) -> None:
        given = os.environ.get(VARIABLE) or Path("~/.cache/ocr-deployment-conformance")
        self.root = root or Path(given).expanduser().absolute()
        self._digests: dict[tuple[Path, int, int], str] = {}
        self._refused: dict[str, str] = {}

    def digest(self, path: Path) -> str:
        """sha256 of a file, read once a process."""
        found = path.stat()
        key = (path, found.st_size, found.st_mtime_ns)
        if key not in self._digests:
            self._digests[key] = file_digest(path)
        return self._digests[key]

    def fetched(self, download: Download | None) -> Path | None:
        """Where a file lies that was fetched before, or nothing."""
        path = self._place(download) if download else None
        return path if path is not None and path.is_file() else None

    def fetch(self, download: Download, transfer: Callable[[str, Path], None]) -> Path:
        """The file of a download, transferred now and checked before anybody can see it.

        Raises ``Broken`` where the transfer fails or gives another file, and keeps nothing of it.
        """
        path = self._place(download)
        with self._making(f"fetched-{path.parent.name}", download.url) as partial:
            transfer(download.url, partial / "file")
            wrong = difference(partial / "file", download.file, download)
            if wrong:
                raise Broken(f"{download.url}: {wrong}; what arrived was discarded")
            path.parent.mkdir(parents=True, exist_ok=True)
            (partial / "file").replace(path)
        return path

    def unpacked(self, archive: Archive, path: Path | None = None) -> Path | None:
        """Where an archive was unpacked before, or nothing; no byte of the archive is read."""
        digest = archive.sha256
        if digest is None and path is not None and self._note(path).is_file():
            digest = self._note(path).read_text()
        return self.root / "unpacked" / digest if digest and (self.root / "unpacked" / digest).is_dir() else None

    def unpack(self, archive: Archive, path: Path) -> Path:
        """The folder with what an archive holds, unpacked now unless it was before, by whichever process.

        Raises ``Broken`` where the file is not the declared one, is damaged, or is hostile.
        """
        found = self.unpacked(archive, path)
        if found is not None:
            return found
        digest = self.digest(path)
        if archive.sha256 not in {None, digest}:
            raise Broken(f"{path}: its sha256 is {digest}, that of {archive.name} is {archive.sha256}; fetch it again")
        if digest in self._refused:
            raise Broken(self._refused[digest])
        folder = self.root / "unpacked" / digest
        with self._making(digest, str(path)) as partial:
            if not folder.is_dir():
                log.info("unpacking %s into %s", path, folder)
                try:
                    unpack(path, partial)
                except Broken as broken:
                    self._refused[digest] = str(broken)
                    raise
                folder.parent.mkdir(exist_ok=True)
                partial.rename(folder)
            self._note(path).parent.mkdir(exist_ok=True)
            self._note(path).write_text(digest)
        return folder

    def _place(self, download: Download) -> Path:
        key = download.sha256 or hashlib.sha256(download.url.encode()).hexdigest()
        return self.root / "fetched" / key[:16] / download.file

    def _note(self, path: Path) -> Path:
        """Where the sha256 of an archive of this name, size and time is kept: an archive of many gigabytes whose
        sha256 nobody declared would be read by each process anew."""
        found = path.stat()
        key = hashlib.sha256(os.fsencode(f"{path} {found.st_size} {found.st_mtime_ns}")).hexdigest()
        return self.root / "archives" / key[:32]

    @contextmanager
    def _making(self, name: str, what: str) -> Iterator[Path]:
        """An empty folder for what is being made, excluded from other processes until leaving and gone then."""
        from filelock import FileLock

        partial = self.root / ".partial" / name
        try:
            (self.root / ".locks").mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / ".locks" / f"{name}.lock"):
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                try:
                    yield partial
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
        except OSError as error:
            ours = error.filename is not None and Path(error.filename).is_relative_to(self.root)
            if not ours and error.errno not in NO_SPACE:
                raise Broken(f"{what}: cannot be read: {error}") from error
            raise Broken(
                f"{what}: the cache {self.root} cannot be written: {error}; free space there, or choose another folder "
                f"with {VARIABLE}=DIR"
            ) from error


def difference(
    path: Path, name: str, declared: Asset | Download, digest: Callable[[Path], str] = file_digest
) -> str | None:
    """What tells a file from the one that was declared, in words, or nothing."""
    size = path.stat().st_size
    if declared.size not in {None, size}:
        return f"has {size} bytes, {name} has {declared.size}"
    found = digest(path) if declared.sha256 else None
    if found != declared.sha256:
        return f"its sha256 is {found}, that of {name} is {declared.sha256}"
    return None
