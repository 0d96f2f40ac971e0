"""``python -m harness store``: what was built and kept."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from harness.registry import PROJECT
from harness.store import Store

TEXT = "list what the store holds, the longest unused first, or prune it"


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("action", choices=("list", "prune"))
    parser.add_argument("--store", type=Path, default=PROJECT / ".store", metavar="DIR", help="default: .store")
    parser.add_argument(
        "--unused-days",
        type=float,
        default=30.0,
        metavar="D",
        help="prune what no run has used for D days (default: 30; 0 for everything) and what killed builds left",
    )


def run(options: argparse.Namespace) -> Iterator[str]:
    """What the store holds, or what was pruned from it."""
    kept = Store(options.store)
    if options.action == "prune":
        freed = 0
        for path, size in kept.prune(options.unused_days):
            freed += size
            yield f"removed {path} ({size} bytes)"
        yield f"freed {freed / 1e6:.1f} MB in {options.store}"
        return
    total = 0
    for folder, manifest in kept.entries():
        size = sum(file["size"] for file in manifest["files"].values())
        total += size
        yield f"{folder.parent.name:28} {folder.name} {size / 1e6:8.2f} MB  {manifest['because']}"
    yield f"{total / 1e6:.1f} MB in {options.store}"
