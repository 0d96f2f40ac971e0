"""``python -m harness doctor``: what is here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from harness.assets import Assets
from harness.commands.folders import add_assets, add_models, assets_of
from harness.probe import machine
from harness.provenance import provenance
from harness.reference import Asset, Reference
from harness.registry import backends, load_models
from harness.verdict import Outcome

TEXT = "what this machine is, which backends it has, and which weights and data were found"


def declare(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_models(parser)
    add_assets(parser)


def run(options: argparse.Namespace) -> Iterator[str]:
    """The machine, its backends, and for each model which weights and data were found."""
    for name, value in provenance(1).items():
        if name != "threads":
            yield f"{name:22} {value}"
    yield ""
    for name, backend in backends().items():
        seen = backend.discover(machine())
        shown = ", ".join(f"{key} {value}" for key, value in seen.provenance.items())
        state = "present" if seen.present else "broken" if seen.broken else "absent"
        yield f"backend {name:14} {state}: {shown if seen.present else seen.told}"
        yield from (f"  {line}" for line in seen.details)
    assets = assets_of(options)
    for model in load_models(options.models).values():
        yield ""
        yield f"model {model.name:16} {model.title} (guide {model.guide})"
        for reference in model.references:
            yield f"  {reference.name:20} {_found(reference, assets)}"


def _found(reference: Reference, assets: Assets) -> str:
    if reference.weights:
        weights = "weights " + "; ".join(_where(asset, assets) for asset in reference.weights)
    else:
        weights = f"weights drawn by {reference.initialise}"
    if reference.data is None:
        return weights
    data = f"data made by {reference.data.make}" if reference.data.asset is None else "data "
    return f"{weights}; {data}{_where(reference.data.asset, assets) if reference.data.asset else ''}"


def _where(asset: Asset, assets: Assets) -> str:
    try:
        return f"found: {assets.find(asset)}"
    except Outcome as outcome:
        return f"absent: {outcome}"
