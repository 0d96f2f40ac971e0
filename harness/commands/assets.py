"""``python -m harness assets``: files that the project does not make, listed, fetched and verified."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from harness.assets import VARIABLE, Assets
from harness.assets.cache import VARIABLE as CACHE
from harness.assets.cache import Download
from harness.assets.transfer import transfer
from harness.commands.folders import add_assets, add_models, assets_of
from harness.declaration import choose
from harness.reference import Asset
from harness.registry import choose_model, load_models
from harness.verdict import Absent, Broken

TEXT = "list the weights and data that models need, fetch those that can be, and verify what was found"
DETAIL = (
    f"Assets are looked for below the folders of --assets=DIR, then below those of the variable {VARIABLE}, then in "
    f"the cache: the folder {CACHE}, or ~/.cache/ocr-deployment-conformance. Nothing is fetched but by 'fetch'."
)
VERBS = {
    "list": "every asset: who needs it, licence, size, sha256, where it was found, and whether it can be fetched",
    "fetch": "fetch assets into the cache; ends with 1 where one of them cannot be had",
    "verify": "check size and sha256 of every asset found; ends with 1 where one is not what it should be",
}


def declare(parser: argparse.ArgumentParser) -> None:
    """Its verbs and their options."""
    parser.epilog = DETAIL
    verbs = parser.add_subparsers(dest="verb", required=True, title="verbs")
    for name, text in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=text, epilog=DETAIL)
        verb.add_argument("names", nargs="*", metavar="NAME", help="these assets only, named as 'list' names them")
        verb.add_argument("--model", metavar="NAME", help="those of this model only")
        add_models(verb)
        add_assets(verb)
        if name == "fetch":
            verb.set_defaults(wrong=verb.error)


def run(options: argparse.Namespace) -> Iterator[str]:
    """What the verb says of the assets that were named, or of all."""
    if options.verb == "fetch" and not options.names and not options.model:
        options.wrong("name assets, or a model with --model NAME: nothing is fetched without being asked for")
    wanted = _wanted(options)
    verbs = {"list": _list, "fetch": _fetch, "verify": _verify}
    yield from verbs[options.verb](wanted, assets_of(options))


def _wanted(options: argparse.Namespace) -> dict[Asset, list[str]]:
    """Each asset once, with the references that need it."""
    models = load_models(options.models)
    needed: dict[Asset, list[str]] = {}
    for model in [choose_model(models, options.model)] if options.model else models.values():
        for reference in model.references:
            data = [reference.data.asset] if reference.data and reference.data.asset else []
            for asset in (*reference.weights, *data):
                role = "data" if asset in data else "weights"
                needed.setdefault(asset, []).append(f"{model.name} {reference.name} ({role})")
    for name in options.names:
        choose("asset", name, [asset.name for asset in needed])
    return {asset: by for asset, by in needed.items() if not options.names or asset.name in options.names}


def _list(wanted: dict[Asset, list[str]], assets: Assets) -> Iterator[str]:
    for asset, needed in wanted.items():
        download = Download.of(asset)
        yield asset.name
        yield f"  needed by  {', '.join(needed)}"
        yield f"  licence    {asset.licence}"
        yield f"  size       {'not declared' if asset.size is None else f'{asset.size} bytes'}"
        yield f"  sha256     {asset.sha256 or 'not declared'}"
        yield f"  found      {assets.locate(asset) or 'absent'}"
        if not asset.shipped:
            yield f"  fetchable  {download.url if download else f'no; get it from {asset.source}'}"


def _fetch(wanted: dict[Asset, list[str]], assets: Assets) -> Iterator[str]:
    lacking: list[str] = []
    for asset in wanted:
        try:
            yield f"found    {asset.name}: {assets.find(asset)}"
            continue
        except (Absent, Broken) as error:
            reason = str(error)
        download = Download.of(asset)
        if download is not None:
            try:
                yield f"fetched  {asset.name}: {_fetched(asset, download, assets)}{_known(asset)}"
                continue
            except (Absent, Broken) as error:
                reason = f"{error}; get it by hand from {asset.source}, and pass --assets=DIR with where it lies"
        lacking.append(asset.name)
        yield f"LACKING  {asset.name}: {reason}"
    if lacking:
        raise Absent(f"{len(lacking)} of {len(wanted)} assets could not be had: {', '.join(lacking)}")


def _fetched(asset: Asset, download: Download, assets: Assets) -> Path:
    """Where an asset is found once it was fetched. What does not give the asset is kept no longer: an archive may hold
    something else, and a server may answer with a page."""
    path = assets.cache.fetch(download, transfer)
    try:
        return assets.find(asset)
    except (Absent, Broken):
        path.unlink()
        raise


def _verify(wanted: dict[Asset, list[str]], assets: Assets) -> Iterator[str]:
    wrong = 0
    for asset in wanted:
        seen = list(assets.candidates(asset))
        sound = [candidate for candidate in seen if candidate.fault is None]
        wrong += not sound and (bool(seen) or asset.shipped)
        if not seen:
            yield f"{'WRONG   ' if asset.shipped else 'absent  '} {asset.name}: not found"
        for candidate in seen:
            if candidate.fault is not None:
                yield f"{'passed  ' if sound else 'WRONG   '} {asset.name}: {candidate.fault}"
        for candidate in sound[:1]:
            digest = "" if candidate.path.is_dir() else f", sha256 {assets.cache.digest(candidate.path)}"
            yield f"ok       {asset.name}: {candidate.path}{digest}{_known(asset)}"
    if wrong:
        raise Broken(f"{wrong} of {len(wanted)} assets are not what they should be")


def _known(asset: Asset) -> str:
    """What was left unchecked because nobody declared it."""
    missing = [name for name, value in (("size", asset.size), ("sha256", asset.sha256)) if value is None]
    return f" ({' and '.join(missing)} not declared, so not checked)" if missing else ""
