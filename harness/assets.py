"""Files that the project does not make: found by path, checked before use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.model import Asset
from harness.registry import PROJECT
from harness.store import file_digest
from harness.verdict import Absent, Broken


@dataclass(frozen=True)
class Assets:
    """Folders of other people's files, searched in order; what the project ships is found in the project."""

    folders: tuple[Path, ...] = ()

    def locate(self, asset: Asset) -> Path | None:
        """The first match of the asset's patterns, unchecked, or nothing."""
        for folder in (PROJECT,) if asset.shipped else self.folders:
            for pattern in asset.patterns:
                for match in sorted(folder.glob(pattern)):
                    return match
        return None

    def find(self, asset: Asset) -> Path:
        """The path of an asset. Raises ``Absent`` saying where it was looked for and where to get it, and ``Broken``
        where the file found is not the one declared."""
        path = self.locate(asset)
        if path is None and asset.shipped:
            raise Broken(f"{asset.name}: {' or '.join(asset.patterns)} is not in the checkout; restore it with git")
        if path is None:
            raise Absent(self._absence(asset))
        if asset.size is not None and path.stat().st_size != asset.size:
            raise Broken(f"{path}: has {path.stat().st_size} bytes, {asset.name} has {asset.size}; fetch it again")
        if asset.sha256 is not None and file_digest(path) != asset.sha256:
            raise Broken(
                f"{path}: its sha256 is {file_digest(path)}, that of {asset.name} is {asset.sha256}; fetch it again"
            )
        return path

    def _absence(self, asset: Asset) -> str:
        patterns = " or ".join(asset.patterns)
        looked = ", ".join(map(str, self.folders)) or "no folder given"
        return (
            f"{asset.name} not found: looked for {patterns} in {looked}; get it from {asset.source}, "
            "put it in a folder DIR, and pass --assets=DIR"
        )
