"""Files that the project does not make: found by path, checked before use."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.assets.cache import Cache, Download, difference
from harness.assets.listing import Listing
from harness.model import Model
from harness.reference import Archive, Asset
from harness.registry import PROJECT
from harness.verdict import Absent, Broken

VARIABLE = "CONFORMANCE_ASSETS"


@dataclass(frozen=True)
class Candidate:
    """Something that lies where an asset is looked for, and what is wrong with it, if anything."""

    path: Path
    fault: str | None = None


@dataclass(frozen=True)
class Assets:
    """Folders of other people's files, searched in order; what the project ships is found in the project.

    What matches in a folder comes before archives in these folders, and those before what was fetched into the cache.
    Each folder is walked once, each file read once for its sha256.
    """

    folders: tuple[Path, ...] = ()
    cache: Cache = field(default_factory=Cache, compare=False)
    _listings: dict[Path, Listing] = field(default_factory=dict, init=False, repr=False, compare=False)
    _chosen: dict[Asset, Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, given: Iterable[str | Path]) -> Assets:
        """The assets in the folders that were given, then in those of ``CONFORMANCE_ASSETS``.

        Raises ``NotADirectoryError`` naming the option or the variable that names no folder.
        """
        named = [("--assets=", str(folder)) for folder in given]
        named += [(f"{VARIABLE}: ", folder) for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
        folders: list[Path] = []
        for where, name in named:
            folder = Path(name).expanduser().absolute()
            if not folder.is_dir():
                raise NotADirectoryError(f"{where}{folder}: no such folder")
            folders.append(folder)
        return cls(tuple(dict.fromkeys(folders)))

    def references(self, models: Iterable[Model]) -> frozenset[tuple[str, str]]:
        """Model and name of every reference whose files of weights are all here."""
        return frozenset(
            (model.name, reference.name)
            for model in models
            for reference in model.references
            if reference.weights and all(self.locate(asset) is not None for asset in reference.weights)
        )

    def locate(self, asset: Asset) -> Path | None:
        """What ``find`` chose; before that the first match of the asset's patterns, unchecked, or the archive that
        should hold it, not unpacked; or nothing."""
        return self._chosen.get(asset) or next(self._sightings(asset), None)

    def find(self, asset: Asset) -> Path:
        """The path of an asset: the first that is the declared one.

        Raises ``Absent`` saying where it was looked for and how to get it, and ``Broken`` where all that was found is
        something else, or damaged.
        """
        faults: list[str] = []
        for candidate in self.candidates(asset):
            if candidate.fault is None:
                self._chosen[asset] = candidate.path
                return candidate.path
            faults.append(candidate.fault)
        if faults:
            raise Broken("; ".join(faults))
        if asset.shipped:
            raise Broken(f"{asset.name}: {' or '.join(asset.patterns)} is not in the checkout; restore it with git")
        raise Absent(self._absence(asset))

    def candidates(self, asset: Asset) -> Iterator[Candidate]:
        """All that could be the asset, checked one by one, the preferred first; archives are unpacked on the way."""
        for path in self._matches(asset):
            yield self._checked(path, asset)
        if asset.archive is not None:
            for held in self._holders(asset.archive):
                yield from self._held(held, asset, asset.archive)
        fetched = self.cache.fetched(Download.of_file(asset))
        if fetched is not None:
            yield self._checked(fetched, asset)

    def _sightings(self, asset: Asset) -> Iterator[Path]:
        """Where candidates come from, with nothing read, checked or unpacked."""
        yield from self._matches(asset)
        if asset.archive is not None:
            for held in self._holders(asset.archive):
                yield from self._below((held,), asset) if held.is_dir() else (held,)
        fetched = self.cache.fetched(Download.of_file(asset))
        if fetched is not None:
            yield fetched

    def _matches(self, asset: Asset) -> list[Path]:
        if asset.shipped:
            return [match for pattern in asset.patterns for match in sorted(PROJECT.glob(pattern))]
        return self._below(self.folders, asset)

    def _below(self, folders: Iterable[Path], asset: Asset) -> list[Path]:
        found = [match for folder in folders for pattern in asset.patterns for match in self._in(folder, pattern)]
        return list(dict.fromkeys(found))

    def _in(self, folder: Path, pattern: str) -> list[Path]:
        if folder not in self._listings:
            self._listings[folder] = Listing(folder)
        return self._listings[folder].matches(pattern)

    def _holders(self, archive: Archive) -> Iterator[Path]:
        """Files that should be the archive, or the folders that they were unpacked into before."""
        known = self.cache.unpacked(archive)
        if known is not None:
            yield known
            return
        found = [path for folder in self.folders for path in self._in(folder, f"**/{archive.name}")]
        fetched = self.cache.fetched(Download.of_archive(archive))
        for path in found if fetched is None else (*found, fetched):
            if path.exists():  # a link may lead nowhere
                yield self.cache.unpacked(archive, path) or path

    def _held(self, held: Path, asset: Asset, archive: Archive) -> Iterator[Candidate]:
        """What matches in an archive, unpacked now unless it was before."""
        try:
            folder = held if held.is_dir() else self.cache.unpack(archive, held)
        except Broken as broken:
            yield Candidate(held, str(broken))
            return
        except OSError as error:
            yield Candidate(held, f"{held}: cannot be read: {error.strerror}")
            return
        found = self._below((folder,), asset)
        for match in found:
            yield self._checked(match, asset)
        if not found:
            patterns = " or ".join(asset.patterns)
            yield Candidate(held, f"{held}: the archive {archive.name} holds nothing that matches {patterns}")

    def _checked(self, path: Path, asset: Asset) -> Candidate:
        try:
            if path.is_dir():
                known = asset.size is not None or asset.sha256 is not None
                wrong = f"is a folder, {asset.name} is a file" if known else None
                empty = not any(path.iterdir())
            else:
                wrong = difference(path, asset.name, asset, self.cache.digest)
                empty = path.stat().st_size == 0
        except OSError as error:
            return Candidate(path, f"{path}: cannot be read: {error.strerror}")
        # The one thing that can be told of a folder of any data set: what was moved elsewhere, or never unpacked.
        wrong = wrong or ("is empty" if empty else None)
        return Candidate(path, f"{path}: {wrong}; fetch it again" if wrong else None)

    def _absence(self, asset: Asset) -> str:
        """What was looked for and where, what it must be, and each way to get it."""
        what = [*asset.patterns] + ([f"the archive {asset.archive.name}"] if asset.archive else [])
        looked = ", ".join(map(str, self.folders)) or "no folder given"
        unread = [str(path) for folder in self.folders for path in self._listings[folder].unread]
        told = f"{asset.name} not found: looked for {' or '.join(what)} in {looked}"
        told += f", could not read {', '.join(unread)}" if unread else ""
        told += f"; its sha256 is {asset.sha256}" if asset.sha256 else ""
        told += f"; get it from {asset.source}" + (f", {asset.url}" if asset.url else "")
        if asset.archive is not None:
            told += f"; the archive {asset.archive.name}"
            told += f" with sha256 {asset.archive.sha256}" if asset.archive.sha256 else ""
            told += f", {asset.archive.url}," if asset.archive.url else ""
            told += " will do, packed as it is"
        told += f"; put it anywhere below a folder DIR, and pass --assets=DIR or set {VARIABLE}=DIR"
        if Download.of(asset) is not None:
            told += f"; or fetch it: python -m harness assets fetch {shlex.quote(asset.name)}"
        return told
