"""The workbench: forms, data and sessions for the questions, each made once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from harness.assets import Assets
from harness.backends import Availability, Backend, Compute, Room, Session
from harness.calibration import Calibrated, choose_samples, set_of
from harness.cells import Cell
from harness.datasets import DataError, DataSetReader
from harness.declaration import DeclarationError, Scalar
from harness.evaluate import Prepared, Task
from harness.form import Form, quantisation_of
from harness.model import Model
from harness.probe import machine
from harness.reference import DataSet, Reference
from harness.registry import backends, resolve
from harness.sizes import Point
from harness.step import Step, StepInput
from harness.store import Artefact, Store
from harness.verdict import Absent


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a run narrows or changes: accuracy reads the first ``samples`` only; ``first`` calibrates as the guide does,
    on the first samples of the set that is judged; of a quantised form up to ``keep_float`` tensors are left float."""

    samples: int | None = None
    first: bool = False
    keep_float: int | None = None


ALL = Wanted()
ALONE = Compute()
"""One thread, one process, and whatever devices there are."""


class Workbench:
    """Builds what questions need through the store, and opens sessions on it.

    ``scratch`` is a folder for files on their way into the run; ``compute`` is what sessions compute with.
    """

    def __init__(
        self,
        store: Store,
        assets: Assets,
        scratch: Path,
        *,
        compute: Compute = ALONE,
        wanted: Wanted = ALL,
    ) -> None:
        self.store = store
        self.assets = assets
        self.scratch = scratch
        self.compute = compute
        self.samples = wanted.samples
        self.first = wanted.first
        self.keep_float = wanted.keep_float
        self.float_noise: dict[tuple[str, str, tuple[str, ...]], NDArray[Any]] = {}
        """Measured already by this process: model, reference and sample ids -> distances of single and double."""
        self._calibrated: dict[tuple[str, bool, int, float, int], Calibrated] = {}

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
        if form.quantisation is not None:
            ranges = self.ranges(model, reference, form)
            sources["ranges"], digests["ranges"] = ranges.folder, ranges.digest
            params |= {"bits": form.quantisation.bits, "left_float": " ".join(sorted(form.quantisation.left_float))}
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

    def statistics(self, model: Model, reference: Reference, form: Form) -> Artefact:
        """What each tensor of a quantised form's parent holds over the calibration samples."""
        parent, chosen = self.form(model, reference, _parent(model, form)), self.calibrated(model, reference, form)
        path, digests = self._located(chosen.data), {"parent": parent.digest, "samples": chosen.digest}
        sized = model.at(model.judged(reference))
        given = StepInput(
            sources=(parent.folder, path), params=chosen.params(model.feed), inputs=sized.inputs, outputs=sized.outputs
        )
        name = f"{model.name}.{form.parent}-{reference.name}-statistics"
        return self._made(name, "harness.quantize.calibrate:statistics", given, digests)

    def ranges(self, model: Model, reference: Reference, form: Form) -> Artefact:
        """The range of each tensor of a quantised form, by its rule."""
        how, parent = quantisation_of(form), self.form(model, reference, _parent(model, form))
        made = self.statistics(model, reference, form)
        params = {"rule": how.rule, "percentile": how.percentile, "bits": how.bits}
        given = StepInput(sources=(made.folder, parent.folder), params=params)
        digests = {"statistics": made.digest, "parent": parent.digest}
        name = f"{model.name}.{form.name}-{reference.name}-ranges"
        return self._made(name, "harness.quantize.calibrate:ranges", given, digests)

    def ranking(self, model: Model, reference: Reference, form: Form, count: int) -> Artefact:
        """The activation tensors of a quantised form, the one that costs most first, over the first ``count`` samples
        that it is calibrated on: none of them is judged."""
        made, parent = self.form(model, reference, form), self.form(model, reference, _parent(model, form))
        chosen = self.calibrated(model, reference, form)
        few = {name: getattr(chosen, name)[:count] for name in ("numbers", "ids", "digests")}
        chosen = replace(chosen, **few)
        sized = model.at(model.judged(reference))
        given = StepInput(
            sources=(made.folder, parent.folder, self._located(chosen.data)),
            params=chosen.params(model.feed),
            inputs=sized.inputs,
            outputs=sized.outputs,
        )
        digests = {"quantised": made.digest, "parent": parent.digest, "samples": chosen.digest}
        name = f"{model.name}.{form.name}-{reference.name}-ranking"
        return self._made(name, "harness.quantize.ranking:ranking", given, digests)

    def calibration_inputs(self, model: Model, reference: Reference, form: Form) -> Artefact:
        """What a quantised form is calibrated on, as files, for a backend that calibrates itself."""
        chosen = self.calibrated(model, reference, form)
        sized = model.at(model.judged(reference))
        given = StepInput(sources=(self._located(chosen.data),), params=chosen.params(model.feed), inputs=sized.inputs)
        name = f"{model.name}.{form.name}-{reference.name}-inputs"
        return self._made(name, "harness.quantize.calibrate:inputs", given, {"samples": chosen.digest})

    def calibrated(self, model: Model, reference: Reference, form: Form) -> Calibrated:
        """The samples that a quantised form is calibrated on."""
        data, how = set_of(model, reference, first=self.first), quantisation_of(form)
        judged = data == reference.data
        if (key := (data.name, judged, how.samples, how.share, how.seed)) not in self._calibrated:
            with self.data(data, exact=False) as reader:
                self._calibrated[key] = choose_samples(data, reader, how, first=self.first, judged=judged)
        return self._calibrated[key]

    def fed(self, model: Model, reference: Reference, form: Form, count: int) -> list[str]:
        """sha256 of the first ``count`` inputs that a quantised form is calibrated on, as the model is fed them now."""
        chosen = self.calibrated(model, reference, form)
        feed, shape = resolve(chosen.data.feed or model.feed), model.at(model.judged(reference)).inputs[0].item
        with self.data(chosen.data, exact=False) as reader:
            wanted = islice(
                ((number, sample) for number, sample in enumerate(reader.samples()) if number in chosen.numbers), count
            )
            return [hashlib.sha256(feed(sample.content, shape).tobytes()).hexdigest() for _, sample in wanted]

    def calibrated_on(self, model: Model, reference: Reference, form: Form) -> frozenset[str]:
        """The ids of samples that must not be judged, since the form was calibrated on them; none where that was done
        as the guide does."""
        if self.first or set_of(model, reference, first=False) != reference.data:
            return frozenset()
        return frozenset(self.calibrated(model, reference, form).ids)

    @contextmanager
    def data(self, data: DataSet, *, exact: bool = True) -> Iterator[DataSetReader]:
        """A data set, opened until leaving: found among the assets, or made.

        Raises ``DataError`` where ``exact`` samples are needed and those made are not the declared ones.
        """
        with closing(open_reader(data, self._located(data, exact=exact), data.name, data.options)) as reader:
            yield reader

    def _located(self, data: DataSet, *, exact: bool = False) -> Path:
        """Where a data set lies."""
        if data.asset is not None:
            return self.assets.find(data.asset)
        made = self._made(data.name, str(data.make), StepInput(params=data.params), {})
        if exact and data.digest is not None and made.facts["pixels"] != data.digest:
            raise DataError(
                f"{data.name}: its pixels have the digest {made.facts['pixels']}, declared is {data.digest}: this "
                "Pillow draws other pictures than the one of constraints.txt, so no figure can be compared"
            )
        return made.folder

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
        inputs = None
        if (like := quantised_like(cell)) is not None:
            inputs = partial(self.calibration_inputs, cell.model, reference, like)
        room = Room(self.store, self.scratch, self.compute, inputs)
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


def quantised_like(cell: Cell) -> Form | None:
    """The quantised form that a backend which quantises itself is to do as, and that foretells it here."""
    recipe = cell.model.recipes.get(cell.backend)
    form = cell.model.foretelling(cell.form, recipe) if recipe else None
    return form if form is not None and form.quantisation else None


def _parent(model: Model, form: Form) -> Form:
    return next(model.ancestors(form))


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
