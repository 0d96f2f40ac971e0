"""A model with a quantised form that is none: its numbers are those of the float one, until they are spoilt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256

import numpy as np

from harness.backends import Batch, Outputs, Session
from harness.cells import Ask, Cell, Scope
from harness.claim import Claim
from harness.domains import asks
from harness.form import Form, quantisable, quantised
from harness.model import Model
from harness.quantisation import Quantisation
from harness.reference import Reference
from harness.registry import load_models
from harness.sizes import Point
from harness.store import Artefact
from harness.workbench import Workbench
from tests.saboteurs import SpoiltSession

BOUND = 0.03
SAMPLES, CALIBRATED = 150, 50


def directions(**changes: object) -> Model:
    """The direction classifier, whose bundled reference calibrates on a third of a few samples of its own."""
    model = load_models()["ppocr_cls"]
    how = Quantisation(**{"rule": "minmax", "samples": CALIBRATED, "loss": BOUND, **changes})
    forms = [form for form in model.forms if form.quantisation is None and form.name != "quantisable"]
    made = (quantisable("exported"), quantised("int8_minmax", how, equal=0.6, because="8 bits turn near ties"))
    bundled = model.reference("bundled")
    few = replace(bundled.data, name="few_words", params={"seed": 2, "count": SAMPLES}, n=SAMPLES, digest=None)
    claims = (
        Claim(metric="acc", printed="0.998", source="the test"),
        Claim(metric="acc", printed="0.1", source="the test", precisions=("int8",)),
    )
    bundled = replace(bundled, data=few, calibration=None, claims=claims)
    references = tuple(bundled if each.name == "bundled" else each for each in model.references)
    return replace(model, forms=(*forms, *made), references=references)


def asked(model: Model) -> Ask:
    """Accuracy of the quantised form under the bundled reference."""
    found = asks("accuracy", {model.name: model}, Scope())
    return next(ask for ask in found if ask.form.quantisation and ask.reference == "bundled")


class Watched:
    """A session that keeps a digest of what it is fed, by id."""

    def __init__(self, session: Session) -> None:
        self.fed: dict[str, str] = {}
        self._session = session

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        def seen() -> Iterator[Batch]:
            for batch in batches:
                (values,) = batch.inputs.values()
                self.fed |= {
                    name: sha256(value.tobytes()).hexdigest() for name, value in zip(batch.ids, values, strict=True)
                }
                yield batch

        return self._session.map(seen())

    def measure(self, batch, plan):
        return self._session.measure(batch, plan)


class QuantisedBench(Workbench):
    """A workbench on which the forms that quantising makes are the exported one; ``spoil`` is what integers do to the
    outputs. ``arms`` are the sessions that were opened, float and quantised."""

    spoil: Callable[[Outputs], Outputs] = staticmethod(lambda outputs: outputs)
    arms: tuple[Watched, ...] = ()

    def form(self, model: Model, reference: Reference, form: Form, point: Point | None = None) -> Artefact:
        same = form.quantisation is not None or form.name == "quantisable"
        return super().form(model, reference, model.form("exported") if same else form, point)

    @contextmanager
    def open(self, cell: Cell, reference: Reference) -> Iterator[Session]:
        with super().open(cell, reference) as session:
            watched = Watched(SpoiltSession(session, self.spoil) if cell.form.quantisation else session)
            self.arms = (*self.arms, watched)
            yield watched


def turning(share: float) -> Callable[[Outputs], Outputs]:
    """Turns the answers to a share of all samples, drawn by their ids."""

    def spoil(outputs: Outputs) -> Outputs:
        drawn = [int(sha256(name.encode()).hexdigest()[:8], 16) / 16**8 < share for name in outputs.ids]
        turned = {
            name: np.where(np.array(drawn)[:, None], value[:, ::-1], value) for name, value in outputs.values.items()
        }
        return Outputs(outputs.ids, turned)

    return spoil


def dead(outputs: Outputs) -> Outputs:
    """The same answer to everything, as of a network whose activations are all clipped."""
    return Outputs(outputs.ids, {name: np.full_like(value, 0.5) for name, value in outputs.values.items()})
