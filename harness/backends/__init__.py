"""What executes a form: one module a backend, each with a ``BACKEND``. Importing them imports no vendor library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

from harness.cells import Cell
from harness.measure import Measurement, TimingPlan
from harness.store import Artefact

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
    """Whether a backend can run here; if not, what was looked for and what would make it run."""

    present: bool
    reason: str = ""
    remedy: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """What a backend may ask of the machine; tests hand in one with recorded answers."""

    package: Callable[[str], str | None]


class Session(Protocol):
    """A form, loaded and ready at one point."""

    def map(self, batches: Iterable[Batch]) -> Iterator[Outputs]:
        """Answers every batch, in order; chooses its own window, bounded in memory and disk."""
        ...

    def measure(self, batch: Batch, plan: TimingPlan) -> Measurement:
        """Times repeated calls on one batch."""
        ...


class Backend(Protocol):
    """One way to execute forms."""

    name: str
    formats: tuple[str, ...]
    markers: tuple[str, ...]

    def discover(self, probe: Probe) -> Availability:
        """Pure in what the probe saw."""
        ...

    def prepare(self, form: Artefact, cell: Cell) -> Artefact:
        """The form as the backend loads it: compiled where it compiles."""
        ...

    def open(self, prepared: Artefact, cell: Cell, threads: int) -> AbstractContextManager[Session]:
        """A session, closed on leaving. Raises ``Broken`` where it does not run where it was asked to."""
        ...


def machine() -> Probe:
    """A probe of this machine."""
    return Probe(package=_package)


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
