"""The store: artefacts of ours, keyed by content, each built once whoever asks.

``root/<name>/<key>/`` holds an artefact's files and, written last, ``manifest.json``. Builders work in
``root/.partial`` under a lock of their own and rename when done, so a reader sees all of an artefact or nothing,
and a killed builder leaves only a partial folder that the next builder of the same artefact removes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.declaration import Scalar
from harness.verdict import Broken, Outcome

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
LOGS = ".logs"
"""What tools printed in builds that failed."""
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_ENTRY = {errno.EACCES, errno.EPERM, errno.EROFS}
LEAST_FREE = 1 << 20


@dataclass(frozen=True)
class Artefact:
    """A finished artefact: its folder, key and facts, the digest of its files, and why it was built when it was."""

    name: str
    folder: Path
    key: str
    digest: str
    facts: Mapping[str, Scalar]
    because: str
    size: int

    def file(self, name: str) -> Path:
        """The path of one of its files."""
        return self.folder / name


class Store:
    """A folder of artefacts that processes share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.built: list[str] = []
        """What this process built, and why."""
        self._verified: dict[Path, Artefact] = {}

    def get(self, name: str, parts: Mapping[str, str], build: Callable[[Path], Mapping[str, Scalar]]) -> Artefact:
        """The artefact ``name`` whose key has these parts, built now unless it is there and whole.

        ``build`` writes into the empty folder that it is given and returns facts. Raises ``Broken`` where the store
        cannot be written or the disk is full; whatever ``build`` raises passes through and leaves nothing behind.
        """
        key = hashlib.sha256(json.dumps(sorted(parts.items())).encode()).hexdigest()[:16]
        folder = self.root / name / key
        if folder in self._verified:
            return self._verified[folder]
        with self._explained(name):
            (self.root / ".locks").mkdir(parents=True, exist_ok=True)
            with self.lock(f"{name}-{key}"):
                found = _read(folder) if folder.exists() else None
                if found is None:
                    found = self._build(folder, parts, build)
                    self.built.append(f"{name}: {found.because}")
                os.utime(folder / MANIFEST)
        self._verified[folder] = found
        return found

    def lock(self, name: str) -> AbstractContextManager[object]:
        """Excludes every other process that takes the lock of this name, until leaving."""
        from filelock import FileLock

        return FileLock(self.root / ".locks" / f"{name}.lock")

    def entries(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Folder and manifest of every artefact, the longest unused first."""
        used = {folder: _last_used(folder) for folder in self.root.glob("[!.]*/*")}
        for folder in sorted(used, key=lambda folder: used[folder] or 0.0):
            # Read one by one: another process may prune meanwhile.
            manifest = _manifest(folder)
            if manifest is not None:
                yield folder, manifest

    def prune(self, unused_days: float) -> Iterator[tuple[Path, int]]:
        """Removes what no run has used for that many days, logs of failed builds that old, and what killed builders
        left; yields path and bytes."""
        limit = time.time() - unused_days * 86400
        for folder, manifest in list(self.entries()):
            with self.lock(f"{folder.parent.name}-{folder.name}"):
                used = _last_used(folder)
                if used is not None and used <= limit:
                    shutil.rmtree(folder)
                    yield folder, sum(file["size"] for file in manifest["files"].values())
        for log_file in (self.root / LOGS).glob("*"):
            if log_file.stat().st_mtime <= limit:
                yield log_file, log_file.stat().st_size
                log_file.unlink(missing_ok=True)
        for partial in (self.root / ".partial").glob("*"):
            with self.lock(partial.name):
                if not partial.exists():  # its builder finished while we waited
                    continue
                size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
                shutil.rmtree(partial, ignore_errors=True)
                yield partial, size

    def _build(self, folder: Path, parts: Mapping[str, str], build: Callable[[Path], Mapping[str, Scalar]]) -> Artefact:
        name, key = folder.parent.name, folder.name
        because = "damaged: its files are not those of its manifest" if folder.exists() else self._because(name, parts)
        log.info("building %s: %s", name, because)
        partial = self.root / ".partial" / f"{name}-{key}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            facts = dict(build(partial))
            manifest = {
                "name": name,
                "key": dict(parts),
                "facts": facts,
                "because": because,
                "files": {
                    str(path.relative_to(partial)): {"size": path.stat().st_size, "sha256": file_digest(path)}
                    for path in sorted(partial.rglob("*"))
                    if path.is_file()
                },
            }
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1))
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial.rename(folder)
        except BaseException as error:
            # Native writers report a full disk in words of their own.
            full = isinstance(error, Exception) and shutil.disk_usage(self.root).free < LEAST_FREE
            error = self._with_log(error, partial)
            shutil.rmtree(partial, ignore_errors=True)
            if full:
                raise OSError(errno.ENOSPC, str(error)) from error
            raise error
        made = _read(folder)
        if made is None:
            raise Broken(f"{folder}: written a moment ago and already not what was written; check the disk")
        return made

    def _with_log(self, error: BaseException, partial: Path) -> BaseException:
        """The error, its log moved out of the folder that is removed now: what a tool printed is all that is left."""
        log = error.log if isinstance(error, Outcome) else None
        if log is None or not log.is_relative_to(partial):
            return error
        kept = self.root / LOGS / f"{partial.name}-{log.name}"
        kept.parent.mkdir(exist_ok=True)
        log.replace(kept)
        return type(error)(str(error).replace(str(log), str(kept)), log=kept)  # type: ignore[call-arg]

    def _because(self, name: str, parts: Mapping[str, str]) -> str:
        """Which parts of the key differ from the artefact of this name that was used last."""
        before = [manifest["key"] for folder, manifest in self.entries() if folder.parent.name == name]
        if not before:
            return "first time"
        old = before[-1]
        changed = [part for part in sorted({*old, *parts}) if old.get(part) != parts.get(part)]
        return "changed: " + ", ".join(
            f"{part} {_short(old.get(part))} -> {_short(parts.get(part))}" for part in changed
        )

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turns a disk that cannot be written into ``Broken`` with what to do."""
        choose = "choose another folder with --store=DIR"
        try:
            yield
        except OSError as error:
            if error.errno in NO_SPACE:
                raise Broken(
                    f"disk full while building {name} in {self.root}: {error}; free space, or {choose}"
                ) from error
            ours = error.filename is not None and Path(error.filename).is_relative_to(self.root)
            if ours and (error.errno in NO_ENTRY or isinstance(error, (NotADirectoryError, FileExistsError))):
                raise Broken(f"the store {self.root} cannot be written: {error}; {choose}") from error
            raise


def file_digest(path: Path) -> str:
    """sha256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> Mapping[str, Any] | None:
    """The manifest in a folder, or nothing where it is missing, damaged or not whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(manifest, dict) and {"name", "key", "facts", "because", "files"} <= manifest.keys()
    return manifest if whole else None


def _last_used(folder: Path) -> float | None:
    """When a run last used the artefact, in seconds; nothing where another process has just removed it."""
    try:
        return (folder / MANIFEST).stat().st_mtime
    except FileNotFoundError:
        return None


def _read(folder: Path) -> Artefact | None:
    """The artefact in a folder, or nothing where a file is missing or is not what the manifest says."""
    manifest = _manifest(folder)
    if manifest is None:
        return None
    digest = hashlib.sha256()
    size = 0
    for name, file in sorted(manifest["files"].items()):
        path = folder / name
        if not path.is_file() or path.stat().st_size != file["size"] or file_digest(path) != file["sha256"]:
            return None
        digest.update(f"{name} {file['sha256']}\n".encode())
        size += file["size"]
    return Artefact(
        manifest["name"], folder, folder.name, digest.hexdigest(), manifest["facts"], manifest["because"], size
    )


def _short(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if len(value) <= 24 else f"{value[:10]}.."
