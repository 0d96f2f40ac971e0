"""The workbench: forms, data and sessions for the questions, each made once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from harness.assets import Assets
from harness.backends import Availability, Backend, Compute, Room, Session
from harness.cells import Cell
from harness.datasets import DataError, DataSetReader
from harness.declaration import DeclarationError, Scalar
from harness.evaluate import Prepared, Task
from harness.model import Form, Model
from harness.probe import machine
from harness.reference import DataSet, Reference
from harness.registry import backends, resolve
from harness.sizes import Point
from harness.step import Step, StepInput
from harness.store import Artefact, Store
from harness.verdict import Absent

ALONE = Compute()
"""One thread, one process, and whatever devices there are."""


class Workbench:
    """Builds what questions need through the store, and opens sessions on it.

    ``scratch`` is a folder for files on their way into the run; ``compute`` is what sessions compute with; ``samples``
    limits how many samples accuracy reads.
    """

    def __init__(
        self,
        store: Store,
        assets: Assets,
        scratch: Path,
        *,
        compute: Compute = ALONE,
        samples: int | None = None,
    ) -> None:
        self.store = store
        self.assets = assets
        self.scratch = scratch
        self.compute = compute
        self.samples = samples
        self.float_noise: dict[tuple[str, str, tuple[str, ...]], NDArray[Any]] = {}
        """Measured already by this process: model, reference and sample ids -> distances of single and double."""

    def form(self, model: Model, reference: Reference, form: Form, point: Point | None = None) -> Artefact:
        """The artefact of a form under a reference's weights, with all that it is made from; of a static form that for
        a point, where none is given for the one at which the reference is judged."""
        sources: dict[str, Path] = {}
        params = dict(form.params)
        digests: dict[str, str] = {}
        if form.parent is not None:
            parent = self.form(model, reference, model.form(form.parent))
            sources["parent"], digests["parent"] = parent.folder, parent.digest
        elif reference.initialise is not None:
            params["initialise"] = reference.initialise
        for asset in reference.weights if form.parent is None else ():
            sources[asset.name] = self.assets.find(asset)
            digests[asset.name] = self.assets.cache.digest(sources[asset.name])
        name, inputs, outputs = f"{model.name}.{form.name}-{reference.name}", model.inputs, model.outputs_of(form)
        if form.static:
            point = point or model.judged(reference)
            inputs, outputs = (tuple(spec.bound(point) for spec in side) for side in (inputs, outputs))
            name = f"{name}-{point.id}"
        given = StepInput(
            sources=tuple(sources.values()),
            params=params,
            network=model.network,
            network_params=reference.network_params,
            inputs=inputs,
            outputs=outputs,
        )
        return self._made(name, form.step, given, digests)

    @contextmanager
    def data(self, data: DataSet, *, exact: bool = True) -> Iterator[DataSetReader]:
        """A data set, opened until leaving: found among the assets, or made.

        Raises ``DataError`` where ``exact`` samples are needed and those made are not the declared ones.
        """
        if data.asset is not None:
            folder = self.assets.find(data.asset)
        else:
            made = self._made(data.name, str(data.make), StepInput(params=data.params), {})
            folder = made.folder
            if exact and data.digest is not None and made.facts["pixels"] != data.digest:
                raise DataError(
                    f"{data.name}: its pixels have the digest {made.facts['pixels']}, declared is {data.digest}: this "
                    "Pillow draws other pictures than the one of constraints.txt, so no figure can be compared"
                )
        with closing(open_reader(data, folder, data.name, data.options)) as reader:
            yield reader

    def inputs(self, model: Model, reference: Reference, count: int) -> list[Prepared]:
        """Prepared items for questions that compare a form with another one, not with a published figure; of a model
        whose sizes are bound.

        Half of them come from the reference's own data where it is somebody else's and was found; the rest from the
        model's bundled data, which every machine has.
        """
        owners = [model.reference("bundled")]
        if reference.data is not None and reference.data.asset and self.assets.locate(reference.data.asset):
            owners.insert(0, reference)
        items: list[Prepared] = []
        for left, owner in zip(range(len(owners), 0, -1), owners, strict=True):
            if owner.data is None:
                raise DataError(f"{model.name}: its bundled reference declares no data")
            task = Task.of(model, owner)
            wanted = (count - len(items)) // left
            try:
                with self.data(owner.data, exact=False) as reader:
                    items += [task.prepare(sample) for sample in islice(reader.samples(), wanted)]
            except Absent:  # its folder is here, the part of it that is meant is not
                continue
        if len(items) < count:
            raise DataError(f"{model.name}: its data gives {len(items)} of {count} samples")
        return items

    def weights(self, reference: Reference) -> str:
        """The name of a reference's weights for the record: with the sha256 of the files that are really used."""
        paths = [self.assets.locate(asset) for asset in reference.weights]
        digests = "+".join(self.assets.cache.digest(path)[:16] for path in paths if path is not None)
        return f"{reference.name} sha256:{digests}" if digests else reference.name

    def available(self, name: str) -> tuple[Backend, Availability]:
        """A backend, and whether it can run on this machine."""
        backend: Backend = backends()[name]
        return backend, backend.discover(machine())

    @contextmanager
    def open(self, cell: Cell, reference: Reference) -> Iterator[Session]:
        """A session on a cell. Raises ``Absent`` where its backend is not here, ``Broken`` where it does not work."""
        backend, availability = self.available(cell.backend)
        availability.required(cell.backend)
        room = Room(self.store, self.scratch, self.compute)
        prepared = backend.prepare(self.form(cell.model, reference, cell.loaded, cell.point), cell, room)
        with backend.open(prepared, cell, room) as session:
            yield session

    def runner(self, cell: Cell, form: Form, precision: str = "fp32") -> Cell:
        """The cell at the same point that runs another form of the model, on the first backend that runs it as it
        is."""
        name = next(
            name for name, backend in backends().items() if form.format in backend.formats and not backend.compiles
        )
        return Cell(cell.model, form, name, precision, cell.point)

    def kept(self, name: str) -> Path:
        """A path for a file that an answer hands over to the run."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        return self.scratch / name

    def _made(self, name: str, step: str, given: StepInput, digests: dict[str, str]) -> Artefact:
        builder: Step = resolve(step)
        parts = builder.key_parts(given) | {f"input.{key}": digest for key, digest in digests.items()}
        return self.store.get(name, parts, lambda out: builder.build(given, out))


def open_reader(data: DataSet, path: Path, name: str, options: Mapping[str, Scalar]) -> DataSetReader:
    """What lies at a path, opened under a name by the reader of a data set.

    Raises ``DeclarationError`` where that reader has no such options.
    """
    reader = resolve(data.reader)
    try:
        signature(reader).bind(path, name, **options)
    except TypeError as error:
        raise DeclarationError(f"DataSet({data.name}).options: {data.reader}: {error}") from error
    opened: DataSetReader = reader(path, name, **options)
    return opened
