"""What a declaration of a model can say. Declarations are data: they name code by string and import none of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Literal

from harness.claim import Claim
from harness.declaration import DeclarationError, choose, declared

Scalar = str | int | float | bool
BATCH = "batch"
"""The symbol of the batch axis in a ``TensorSpec``."""

Promise = Literal["none", "exact", "close"]
"""What a form keeps of the form it is compared with: ``exact`` the same numbers, ``close`` up to float noise, ``none``
where nothing before it runs."""
Format = Literal["weights", "torch", "onnx"]
Precision = Literal["fp32", "fp64"]
Family = Literal["recognition", "detection", "classification", "segmentation"]


@declared
class TensorSpec:
    """An input or output: its name, its axes (an int, or ``BATCH``) and its numpy dtype."""

    name: str
    axes: tuple[int | str, ...]
    dtype: Literal["float32", "float64", "int64", "int32", "uint8"]

    def __post_init__(self) -> None:
        for axis in self.axes:
            if isinstance(axis, str):
                choose(f"TensorSpec({self.name}).axes", axis, (BATCH,))

    @property
    def batch_axis(self) -> int:
        """Where the batch lies; 0 in most tensors, 1 in CRNN's output."""
        return self.axes.index(BATCH)

    def shape(self, batch: int) -> tuple[int, ...]:
        """The shape at a batch size."""
        return tuple(batch if isinstance(axis, str) else axis for axis in self.axes)


@declared
class Point:
    """The sizes that are bound for a run. ``slow`` where measuring it takes over a minute."""

    batch: int
    slow: bool = False

    @property
    def id(self) -> str:
        """``bs8``."""
        return f"bs{self.batch}"


@declared
class Form:
    """One shape of the network on its way to the device.

    ``step`` names what makes it from its parent (``"package.module:name"``, a ``harness.step.Step``). ``operators``,
    ``nodes`` and ``parameters`` are exact figures of the full-size form, declared and changed on purpose.
    """

    name: str
    parent: str | None
    step: str
    format: Format
    promise: Promise = "none"
    precision: Precision = "fp32"
    params: Mapping[str, Scalar] = field(default_factory=dict)
    opset: int | None = None
    nodes: int | None = None
    operators: Mapping[str, int] = field(default_factory=dict)
    parameters: int | None = None


@declared
class Asset:
    """A file or folder that a reference needs.

    ``patterns`` are globs relative to an assets folder, or to the project for what it ships. Size and sha256 are
    checked before use where they are declared.
    """

    name: str
    patterns: tuple[str, ...]
    licence: str
    source: str
    sha256: str | None = None
    size: int | None = None
    shipped: bool = False


@declared
class DataSet:
    """Samples with their truth: an asset of somebody else's, or made by a step of ours (``make`` with ``params``).

    ``n`` and ``digest`` (of pixels and labels, where we make them) tie claims to exactly these samples.
    """

    name: str
    reader: str
    n: int
    asset: Asset | None = None
    make: str | None = None
    params: Mapping[str, Scalar] = field(default_factory=dict)
    digest: str | None = None

    def __post_init__(self) -> None:
        if (self.asset is None) == (self.make is None):
            raise DeclarationError(f"DataSet({self.name}): declare either asset or make, one of the two")


@declared
class Reference:
    """Weights and data that belong together, and the figures they must give.

    Weights are an ``asset``, or drawn by ``initialise`` (seeded weights, always named so). ``network_params`` may
    narrow the network.
    """

    name: Literal["official", "bundled", "seeded"]
    weights: Asset | None = None
    initialise: str | None = None
    network_params: Mapping[str, Scalar] = field(default_factory=dict)
    data: DataSet | None = None
    claims: tuple[Claim, ...] = ()

    def __post_init__(self) -> None:
        if (self.weights is None) == (self.initialise is None):
            raise DeclarationError(f"Reference({self.name}): declare either weights or initialise, one of the two")
        for claim in self.claims:
            if claim.n is not None and (self.data is None or claim.n != self.data.n):
                held = "no data" if self.data is None else f"{self.data.n} samples"
                raise DeclarationError(
                    f"Reference({self.name}): claim {claim.metric} is on n={claim.n}, its data has {held}"
                )


@declared
class Training:
    """The recipe of the bundled checkpoint: a function, and the numbers it takes."""

    function: str
    params: Mapping[str, Scalar]


@declared
class Model:
    """A network with its contract: inputs, outputs, points, how it is fed and scored, what was published about it.

    ``feed`` turns a sample's bytes into one item of the input, ``decode`` one item of the output into an answer,
    ``metric`` scores it against the truth, ``compare`` compares decoded outputs. Accuracy is asked at
    ``accuracy_batch``; batching proves the others.
    """

    name: str
    title: str
    guide: str
    family: Family
    network: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    points: tuple[Point, ...]
    accuracy_batch: int
    forms: tuple[Form, ...]
    main: str
    references: tuple[Reference, ...]
    feed: str
    decode: str
    metric: str
    compare: str
    training: Training | None = None

    def __post_init__(self) -> None:
        where = f"Model({self.name})"
        if not self.name.isidentifier():
            raise DeclarationError(f"{where}.name: not an identifier, so it cannot be a marker")
        names = [form.name for form in self.forms]
        _distinct(f"{where}.forms", names)
        _distinct(f"{where}.references", [reference.name for reference in self.references])
        _distinct(f"{where}.points", [point.id for point in self.points])
        choose(f"{where}.main", self.main, names)
        choose(f"{where}.accuracy_batch", str(self.accuracy_batch), [str(point.batch) for point in self.points])
        for index, form in enumerate(self.forms):
            if not form.name.isidentifier():
                raise DeclarationError(f"{where}.forms[{form.name}].name: not an identifier, so it cannot be a marker")
            if form.parent is not None:
                choose(f"{where}.forms[{form.name}].parent", form.parent, names[:index])
            if form.promise != "none" and self.against(form) is None:
                raise DeclarationError(
                    f"{where}.forms[{form.name}].promise: {form.promise!r}, but no form before it runs"
                )

    def form(self, name: str) -> Form:
        """The form of that name."""
        choose(f"Model({self.name}): form", name, [form.name for form in self.forms])
        return next(form for form in self.forms if form.name == name)

    def reference(self, name: str) -> Reference:
        """The reference of that name."""
        choose(f"Model({self.name}): reference", name, [reference.name for reference in self.references])
        return next(reference for reference in self.references if reference.name == name)

    def ancestors(self, form: Form) -> Iterator[Form]:
        """Parent, grandparent and so on, nearest first."""
        while form.parent is not None:
            form = self.form(form.parent)
            yield form

    def against(self, form: Form) -> Form | None:
        """The form whose numbers this one must keep: the nearest ancestor that runs."""
        return next((ancestor for ancestor in self.ancestors(form) if ancestor.format != "weights"), None)

    def twin(self, form: Form) -> Form | None:
        """The nearest ancestor in torch, where float noise can be measured."""
        return next((ancestor for ancestor in self.ancestors(form) if ancestor.format == "torch"), None)


def _distinct(where: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DeclarationError(f"{where}: {name!r} is declared {names.count(name)} times")
