"""The folders that several commands take, and what they resolve to."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.assets import VARIABLE, Assets
from harness.registry import PROJECT


def add_models(parser: argparse.ArgumentParser) -> None:
    """``--models=DIR``, repeatable."""
    parser.add_argument("--models", type=Path, action="append", default=[], metavar="DIR", help="more declarations")


def add_assets(parser: argparse.ArgumentParser) -> None:
    """``--assets=DIR``, repeatable."""
    text = f"where to look, before the folders of {VARIABLE}; repeatable"
    parser.add_argument("--assets", type=Path, action="append", default=[], metavar="DIR", help=text)


def add_store(parser: argparse.ArgumentParser) -> None:
    """``--store=DIR``."""
    parser.add_argument("--store", type=Path, default=PROJECT / ".store", metavar="DIR", help="default: .store")


def assets_of(options: argparse.Namespace) -> Assets:
    """The folders that were given, by option or by variable."""
    return Assets.of(options.assets)
