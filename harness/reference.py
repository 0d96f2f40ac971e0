"""What a declaration says of weights and data: assets, data sets, references and the outputs that they must give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from harness.claim import Claim
from harness.declaration import DeclarationError, Scalar, declared

Name = Literal["official", "official_words", "exported", "dequantised", "dequantised_samples", "bundled", "seeded"]


@declared
class Archive:
    """A tar or zip file that holds an asset: its name where it is stored, and where it can be fetched."""

    name: str
    url: str | None = None
    sha256: str | None = None


@declared
class Asset:
    """A file or folder that a reference needs.

    ``patterns`` are globs relative to an assets folder, to an unpacked ``archive``, or to the project for what it
    ships. Size and sha256 are checked before use where declared. ``url`` is where the file itself can be fetched.
    """

    name: str
    patterns: tuple[str, ...]
    licence: str
    source: str
    sha256: str | None = None
    size: int | None = None
    url: str | None = None
    archive: Archive | None = None
    shipped: bool = False


@declared
class DataSet:
    """Samples with their truth: an asset of somebody else's, or made by a step of ours (``make`` with ``params``).

    ``n`` and ``digest`` (of pixels and labels, where we make them) tie claims to exactly these samples. ``feed`` says
    how its samples become inputs, where that is not the model's way: stored tensors are fed as they are. ``options``
    are what the reader of an asset is told beside path and name, such as which of its parts are meant. ``pooled`` names
    the sets whose samples ``n`` and the claims are of, where others may lie beside them.
    """

    name: str
    reader: str
    n: int
    asset: Asset | None = None
    make: str | None = None
    params: Mapping[str, Scalar] = field(default_factory=dict)
    options: Mapping[str, Scalar] = field(default_factory=dict)
    digest: str | None = None
    feed: str | None = None
    pooled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.asset is None) == (self.make is None):
            raise DeclarationError(f"DataSet({self.name}): declare either asset or make, one of the two")
        idle, told = ("options", self.options) if self.asset is None else ("params", self.params)
        if told:
            raise DeclarationError(
                f"DataSet({self.name}).{idle}: {', '.join(told)} would be told to nobody; options are for the reader "
                "of an asset, params for what makes the data"
            )
        for name, value in self.options.items():
            if not isinstance(value, Scalar):
                raise DeclarationError(
                    f"DataSet({self.name}).options: {name} is a {type(value).__name__}, expected a text, a number, or "
                    "true or false"
                )


@declared
class Golden:
    """Outputs that a reference's weights must give: a file of the project, and how far from it any output may lie.

    They show the faults that accuracy cannot see. ``python -m harness golden`` writes the file, of the first ``n``
    samples or of all.
    """

    file: str
    max_abs: float
    n: int | None = None


@declared
class GoldenBoxes:
    """Boxes that a reference's weights must find: a file of the project, and the least share of them, and of those
    found, that are in both, corner by corner. ``python -m harness golden`` writes the file."""

    file: str
    equal: float
    n: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.equal <= 1:
            raise DeclarationError(f"GoldenBoxes.equal: {self.equal}, expected a share over 0 and up to 1")


@declared
class Reference:
    """Weights and data that belong together, and the figures they must give.

    Weights are files, or drawn by ``initialise`` (seeded weights, always named so). ``network_params`` may narrow the
    network. ``main`` is the deployed form of this reference, where it cannot make the model's. ``point`` is where its
    accuracy is asked, and ``decode`` and ``compare`` are its way from outputs to answers, where they are not the
    model's: thresholds belong to weights. ``calibration`` are the samples that quantised forms are calibrated on, where
    its own are too few to be judged on the others.
    """

    name: Name
    weights: tuple[Asset, ...] = ()
    initialise: str | None = None
    network_params: Mapping[str, Scalar] = field(default_factory=dict)
    main: str | None = None
    point: str | None = None
    decode: str | None = None
    compare: str | None = None
    data: DataSet | None = None
    calibration: DataSet | None = None
    claims: tuple[Claim, ...] = ()
    golden: Golden | GoldenBoxes | None = None

    def __post_init__(self) -> None:
        if bool(self.weights) == bool(self.initialise):
            raise DeclarationError(f"Reference({self.name}): declare either weights or initialise, one of the two")
        if self.golden is not None and (self.data is None or any(asset.sha256 is None for asset in self.weights)):
            raise DeclarationError(
                f"Reference({self.name}).golden: goldens are outputs of known weights on known data; declare data, and "
                "the sha256 of every file of weights"
            )
        for claim in self.claims:
            if claim.n is not None and not claim.part and (self.data is None or claim.n != self.data.n):
                held = "no data" if self.data is None else f"{self.data.n} samples"
                raise DeclarationError(
                    f"Reference({self.name}): claim {claim.metric} is on n={claim.n}, its data has {held}"
                )
