"""What executes a form: one module a backend, each with a ``BACKEND``. Importing them imports no vendor library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.cells import Cell
from harness.measure import Measurement, TimingPlan
from harness.probe import Probe
from harness.store import Artefact, Store
from harness.verdict import Absent, Answer, Broken

if TYPE_CHECKING:  # listing cells needs no arrays
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Batch:
    """Items that run together: their sample ids, and one array an input, stacked along its batch axis."""

    ids: tuple[str, ...]
    inputs: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Outputs:
    """What came back for a batch: the ids it was asked with, and one array an output."""

    ids: tuple[str, ...]
    values: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Availability:
    """Whether a backend can run here; if not, what was looked for and what would make it run.

    ``broken`` says that it is here and does not work, which is a failure and no skip. ``provenance`` is what its
    answers depend on, ``details`` are lines for people.
    """

    present: bool
    reason: str = ""
    remedy: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    broken: bool = False
    details: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """Why it cannot run, and what would make it."""
        return "; ".join(part for part in (self.reason, self.remedy) if part)

    def required(self, name: str) -> None:
        """Returns where the backend of that name is here. Raises ``Absent`` where it is not, ``Broken`` where it is and
        does not work."""
        if not self.present:
            kind = Broken if self.broken else Absent
            raise kind(f"backend {name}: {self.told}")


@dataclass(frozen=True, kw_only=True)
class Compute:
    """What a process may compute with: so many ``threads`` a session; ``devices`` by number, all where none is named;
    ``worker`` is its own number among the processes that ask side by side."""

    threads: int = 1
    devices: tuple[int, ...] = ()
    worker: int = 0


@dataclass(frozen=True)
class Room:
    """Where a backend works: the store for what it compiles, a folder for its logs, what to compute with, and for one
    that quantises itself what makes the inputs that it calibrates on: ``0.npy``, ``1.npy`` and so on, one item each."""

    store: Store
    scratch: Path
    compute: Compute = Compute()
    calibration: Callable[[], Artefact] | None = None


class Session(Protocol):
    """A form, loaded and ready at one point."""

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        """Answers every batch, in order; chooses its own window, bounded in memory and disk."""
        ...

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        """Times repeated calls on one batch."""
        ...


class SimulatingSession(Session, Protocol):
    """A session on something compiled that its own tools simulate."""

    def simulate(self, batch: Batch) -> Answer:
        """Whether what was compiled computes what it was compiled from, by its tools, on one batch."""
        ...


class Backend(Protocol):
    """One way to execute forms. One that ``compiles`` has cells of what is deployed, where a model has a recipe. One
    whose tools take no times is not ``timed``, and its sessions simulate."""

    name: str
    formats: tuple[str, ...]
    markers: tuple[str, ...]
    compiles: bool
    timed: bool

    def discover(self, probe: Probe) -> Availability:
        """Pure in what the probe saw."""
        ...

    def prepare(self, form: Artefact, cell: Cell, room: Room) -> Artefact:
        """The form as the backend loads it: compiled where it compiles."""
        ...

    def open(self, prepared: Artefact, cell: Cell, room: Room) -> AbstractContextManager[Session]:
        """A session, closed on leaving. Raises ``Broken`` where it does not run where it was asked to."""
        ...
