"""TS.Knight: networks quantised, compiled and simulated by the vendor's tools of guide 004, on this machine or in their
image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.backends import Availability, Room
from harness.cells import Cell
from harness.knight.drive.host import Host, discover
from harness.probe import Probe, machine
from harness.provenance import STAND_IN
from harness.store import Artefact
from harness.verdict import Absent, Broken, Outcome

if TYPE_CHECKING:  # listing cells needs no arrays
    from harness.knight.drive.session import KnightSession


class KnightBackend:
    """Quantises what is deployed as the model's recipe says, and infers with the tool that did. ``formats`` are of what
    is deployed; the tool is given what the recipe compiles in its place: the Paddle program."""

    name = "knight"
    formats: tuple[str, ...] = ("onnx",)
    markers: tuple[str, ...] = ()
    compiles = True
    timed = False

    def discover(self, probe: Probe) -> Availability:
        """Present where the tools say of themselves what they are; broken where they are there and do not load."""
        try:
            host = discover(probe)
        except Outcome as outcome:
            return Availability(False, str(outcome), broken=isinstance(outcome, Broken))
        return Availability(True, provenance=provenance(host), details=tuple(details(host)))

    def prepare(self, form: Artefact, cell: Cell, room: Room) -> Artefact:
        """The quantised and compiled network. Raises ``Absent`` where there is nothing to calibrate on."""
        from harness.knight.drive.compile import prepared

        if room.calibration is None:
            raise Absent(f"{cell.id}: no calibration inputs, and the tool finds its ranges on them")
        return prepared(form, cell, discover(machine()), room.store, room.calibration())

    @contextmanager
    def open(self, prepared: Artefact, cell: Cell, room: Room) -> Iterator[KnightSession]:
        """A session on the quantised network."""
        from harness.knight.drive.compile import Job
        from harness.knight.drive.session import KnightSession
        from harness.knight.plan import plan_of

        logs = room.scratch / cell.id
        logs.mkdir(parents=True, exist_ok=True)
        # Each window has a folder of its own; this one only says where logs go.
        yield KnightSession(prepared, cell, Job(host=discover(machine()), plan=plan_of(cell), folder=logs, logs=logs))


def provenance(host: Host) -> dict[str, str]:
    """What the answers of a host depend on. Of a stand-in every line says so."""
    found = {"tools": f"{host.version} ({host.generation} generation)", "image": host.image or "none: on this machine"}
    return {name: f"{STAND_IN}: {value}" for name, value in found.items()} if host.stand_in else found


def details(host: Host) -> Iterator[str]:
    """A line for the tools."""
    where = f"in {host.image}" if host.image else "on this machine"
    yield f"{host.tools.script or 'Knight quant'}, {host.tools.knight} {host.version}, {where}"
    if not host.own_script:
        yield "its script takes no inference function of ours (-uds): no network can be asked of it"


BACKEND = KnightBackend()
